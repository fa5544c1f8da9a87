/* Connectionist temporal classification (Graves et al. 2006): minus the logarithm of the probability of all alignments of a
 * target to the steps of a sequence, and its gradient.
 *
 *     p[t, k] = softmax of x[b, t], over k; class 0 is the blank
 *     l = blank, target[0], blank, target[1], ..., blank: 2 n + 1 states for the n of the target that are not negative
 *     alpha[t, s] = p[t, l[s]] (alpha[t-1, s] + alpha[t-1, s-1] + alpha[t-1, s-2])                  (equations 6 and 7)
 *     beta[t, s] = e[t+1, s] + e[t+1, s+1] + e[t+1, s+2],  e[t, s] = p[t, l[s]] beta[t, s]          (10 and 11; beta without the
 *         step's own p)
 *         the third of each only between labels that differ; alpha begins and beta ends in the two outer states
 *     rows[b] = -log(alpha[last, 2 n] + alpha[last, 2 n - 1])
 *     dx[b, t, k] = scale (p[t, k] - sum over s with l[s] = k of g[t, s]),  g[t, .] = alpha beta of the step over its sum   (16)
 *
 * All is kept as logarithms, less the largest of the step before: what is common to a step cancels in g, and is added up for the
 * loss. No alignment: the loss is infinite and the gradient NaN. A label that is no class, or 0, gives NaN.
 *
 *     emissions    a work-group does `each` steps of all sequences: norms[b, t] = (m, log sum over k of exp(x[b, t, k] - m)), m the
 *                  largest of x[b, t, k], and lp[b, t, s] = log p[t, l[s]]
 *     paths        a work-group a sequence: alpha, then the loss; if e is there, then beta, of which alpha[t, s] gets
 *                  log(alpha beta) and links what the next two want of the target
 *     shares       a work-group a step: g, of which alpha[t, s] gets dx[b, t, l[s]] where s is the first state of its class
 *     gradient     a work-group a step: dx, which may be the memory of x
 *
 * x, dx [B, T, C]; targets [B, L] i32; lengths [B] i32 or NULL, all T; rows [B] f32; scale is the run-time scalar
 * BM_RT_LOSS_SCALE. Between the launches, in rows of W = 2 L + 5: lp [B, T, W]; alpha [B, kept, W] of the last `kept` steps, two
 * states that are never reached before each row; e [B, 2, W], two such behind; skips [B, W]: 0 where a state can be reached from
 * two before it, else -infinity; links [B, W] i32: n, and for each label the next one like it, or -1, and whether it is the first;
 * and norms [B, T, 2]. Local memory: 768 bytes in the plain form. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "logsum.clh"
#include "reduce.clh"
#include "scalars.clh"

#define AT(w, p, i) PASTE(LOAD, w)(0, p, i)
#define SET(w, v, p, i) PASTE(STORE, w)(0, v, p, i)

/* log(exp(a) + exp(b) + exp(c)): the largest, and the logarithm of a number z in [1, 3]. Halved above the root of 2, it is that of
 * (1 + u) / (1 - u), |u| <= 0.2: 2 u (1 + u^2 / 3 + u^4 / 5 + ...). */
#define LOG_ADD_OF_WIDTH(n, F)                                                                                         \
    FN F log_add##n(F a, F b, F c)                                                                                     \
    {                                                                                                                  \
        const F ab = a > b ? a : b, top = ab > c ? ab : c, shift = SHIFT(F, top);                                      \
        const F z = exp##n(a - shift) + exp##n(b - shift) + exp##n(c - shift);                                         \
        const F h = z > (F)(1.41421356f) ? z * (F)(0.5f) : z;                                                          \
        const F u = (h - (F)(1.0f)) / (h + (F)(1.0f)), q = u * u;                                                      \
        F y = FMA(q, (F)(0.111111111f), (F)(0.142857143f));                                                            \
        y = FMA(y, q, (F)(0.2f));                                                                                      \
        y = FMA(y, q, (F)(0.333333333f));                                                                              \
        y = (u + u) * FMA(y, q, (F)(1.0f)) + (z > (F)(1.41421356f) ? (F)(0.693147181f) : (F)(0.0f));                   \
        return z == (F)(0.0f) ? (F)(-INFINITY) : shift + y;                                                            \
    }
LOG_ADD_OF_WIDTH(1, float)
LOG_ADD_OF_WIDTH(4, float4)
LOG_ADD_OF_WIDTH(16, float16)
#define LOG_ADD(w, a, b, c) log_add##w(a, b, c)

/* The largest over the states of a row, of all work-items: each gives its own by GIVE_TOP into one of two rows of `tops`, which take
 * turns so that one SYNC a step is enough; then TOP has it, -INFINITY counting as 0, to be subtracted. */
#define TOP_OVER_ROW                                                                                                   \
    floatw PASTE(top, WIDE) = -INFINITY;                                                                               \
    float PASTE(top, 1) = -INFINITY
#define RAISE(w, v) PASTE(top, w) = (v) > PASTE(top, w) ? (v) : PASTE(top, w);
#if CPU
#define SYNC
#define LOCAL_TOPS float tops[2];
#define GIVE_TOP(k) tops[k] = fmax(max16(top16), top1);
#define TOP(k) SHIFT(float, tops[k])
#else
#define SYNC barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
#define LOCAL_TOPS __local float tops[128];
#define GIVE_TOP(k) tops[(k) * 64 + LANE] = fmax(fmax(fmax(top4.x, top4.y), fmax(top4.z, top4.w)), top1);
#define TOP(k) top_of(tops + (k) * 64, min((states + 3) / 4, (size_t)64))
FN float top_of(__local const float *tops, size_t n)
{
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++) top = tops[i] > top ? tops[i] : top;
    return SHIFT(float, top);
}
#endif

FN size_t length_of(__global const int *lengths, size_t b, size_t steps)
{
    return lengths ? (size_t)clamp(lengths[b], 0, (int)steps) : steps;
}

#define ROW_WIDTH (2 * (size_t)most + 5)
#define LABEL(s) ((s) & 1 ? targets[(s) / 2] : 0)
#define EACH(s, n) for (size_t s = LANE; s < (n); s += LANES)

__kernel void emissions(__global const stored *x, __global const int *all_targets, __global float2 *norms, __global float *lp,
                        const long rows, const long n, const long each, const int steps, const int most)
{
    LOCAL_PAIR
    ROWS(rows, each)
    {
        __global const int *targets = all_targets + r / steps * most;
        const float2 ms = max_sum(x, r * n, n, pair), norm = (float2)(ms.x, log(ms.y));
        if (LANE == 0) norms[r] = norm;
        EACH(s, 2 * (size_t)most + 1) {
            const int label = LABEL(s), known = !(s & 1) || (label > 0 && label < n);
            lp[r * ROW_WIDTH + s] = known ? load1(x, r * n + label) - norm.x - norm.y : NAN;
        }
    }
}

#define FORWARD_STEP(w)                                                                                                \
    const VEC(w) two = AT(w, before - 2, i) + AT(w, skips, i);                                                         \
    const VEC(w) v = LOG_ADD(w, AT(w, before, i), AT(w, before - 1, i), two) - (VEC(w))(shift) + AT(w, p, i);          \
    SET(w, v, now, i);                                                                                                 \
    RAISE(w, v)
#define BACKWARD_STEP(w)                                                                                               \
    const VEC(w) two = AT(w, after + 2, i) + AT(w, skips + 2, i);                                                      \
    const VEC(w) beta = LOG_ADD(w, AT(w, after, i), AT(w, after + 1, i), two) - (VEC(w))(shift), v = beta + AT(w, p, i); \
    SET(w, AT(w, now, i) + beta, now, i);                                                                              \
    SET(w, v, here, i);                                                                                                \
    RAISE(w, v)

__kernel void paths(__global const int *targets, __global const int *lengths, __global float *loss_of, __global const float *lp,
                    __global float *alpha, __global float *e, __global float *skips, __global int *links, const int steps,
                    const int most, const int kept)
{
    LOCAL_TOPS
    const size_t b = get_group_id(0), width = ROW_WIDTH, length = length_of(lengths, b, steps);
    targets += b * most;
    lp += b * steps * width;
    alpha += b * kept * width + 2;
    skips += b * width;
    size_t n = 0;
    while (2 * n + 5 < width && targets[n] >= 0) n++;
    const size_t states = 2 * n + 1;
    EACH(s, states + 2) skips[s] = s & 1 && s > 1 && s < states && LABEL(s) != LABEL(s - 2) ? 0.0f : -INFINITY;
    EACH(t, (size_t)kept) alpha[t * width - 1] = alpha[t * width - 2] = -INFINITY;

    float total = 0.0f, lost = 0.0f;
    if (length > 0) {
        TOP_OVER_ROW;
        EACH(s, states) alpha[s] = s < 2 ? lp[s] : -INFINITY;
        PASTE(top, 1) = n > 0 ? fmax(lp[0], lp[1]) : lp[0];
        GIVE_TOP(0)
    }
    for (size_t t = 1; t < length; t++) {
        SYNC
        TOP_OVER_ROW;
        __global const float *before = alpha + (t - 1) % kept * width, *p = lp + t * width;
        __global float *now = alpha + t % kept * width;
        const float shift = TOP((t - 1) & 1);
        KAHAN(float, total, lost, shift)
        COLUMNS(states, FORWARD_STEP)
        GIVE_TOP(t & 1)
    }
    SYNC
    if (LANE == 0) {
        __global const float *last = alpha + (length > 0 ? (length - 1) % kept * width : 0);
        const float p = length > 0 ? log_add1(last[2 * n], last[2 * (long)n - 1], -INFINITY) : n > 0 ? -INFINITY : 0.0f;
        loss_of[b] = -(p + total);
    }
    if (e && length > 0) {
        e += b * 2 * width;
        links += b * width;
        SYNC
        EACH(s, states + 2) {
            const float beta = s + 2 < states || s >= states ? -INFINITY : 0.0f;
            e[((length - 1) & 1) * width + s] = s < states ? beta + lp[(length - 1) * width + s] : beta;
            if (s < states) alpha[(length - 1) * width + s] += beta;
            else e[(length & 1) * width + s] = -INFINITY;
        }
        for (size_t t = length - 1; t-- > 0;) {
            SYNC
            TOP_OVER_ROW;
            __global const float *after = e + ((t + 1) & 1) * width, *p = lp + t * width;
            __global float *here = e + (t & 1) * width, *now = alpha + t * width;
            const float shift = t + 2 < length ? TOP((t + 1) & 1) : 0.0f;
            COLUMNS(states, BACKWARD_STEP)
            GIVE_TOP(t & 1)
        }
        if (LANE == 0) links[0] = (int)n;
        EACH(i, n) {
            int next = -1, first = 1;
            for (size_t k = 0; k < i; k++) first &= targets[k] != targets[i];
            for (size_t k = n; --k > i;) next = targets[k] == targets[i] ? (int)k : next;
            links[1 + 2 * i] = next;
            links[2 + 2 * i] = first;
        }
    }
}

/* The sum of g over the states of one class, the first of which is s. */
FN float of_class(__global const float *g, __global const int *links, size_t s)
{
    float sum = 0.0f;
    if (s & 1)
        for (int k = (int)(s / 2); k >= 0; k = links[1 + 2 * k]) sum += g[2 * k + 1];
    else
        for (int k = 0; k <= links[0]; k++) sum += g[2 * k];
    return sum;
}

/* Whether a state is the first of its class, which is one. */
#define SPEAKS(s) ((s) == 0 || ((s) & 1 && links[(s) + 1] && LABEL(s) > 0 && LABEL(s) < n))

#define TOP_STEP(w) RAISE(w, AT(w, g, i))
#define SHARE_STEP(w)                                                                                                  \
    const VEC(w) v = EXP(w, AT(w, g, i) - (VEC(w))(m));                                                                \
    SET(w, v, g, i);                                                                                                   \
    PASTE(z, w) += v;

__kernel void shares(__global const int *targets, __global const int *lengths, __global const uint *rt, __global const float *lp,
                     __global float *alpha, __global const int *links, const long n, const int steps, const int most)
{
    LOCAL_TOPS
    LOCAL_SUMS
    const size_t r = get_group_id(0), b = r / steps, width = ROW_WIDTH;
    targets += b * most;
    links += b * width;
    lp += r * width;
    __global float *g = alpha + r * width + 2;
    const size_t states = r % steps < length_of(lengths, b, steps) ? 2 * (size_t)links[0] + 1 : 0;
    TOP_OVER_ROW;
    COLUMNS(states, TOP_STEP)
    GIVE_TOP(0)
    SYNC
    const float m = TOP(0);
    SUM_OVER_ROW(z);
    COLUMNS(states, SHARE_STEP)
    SYNC
    const float factor = 1.0f / ROW_SUM(z, sums), scale = as_float(rt[BM_RT_LOSS_SCALE]);
    EACH(s, states) if (SPEAKS(s)) g[s] = scale * (exp1(lp[s]) - of_class(g, links, s) * factor);
}

#define ZERO_STEP(w) PUT(w, (VEC(w))(0.0f), dx, r * n + i);
#define CLASS_STEP(w) PUT(w, EXP(w, GET(w, x, r * n + i) - (VEC(w))(norm.x) - (VEC(w))(norm.y)) * (VEC(w))(scale), dx, r * n + i);

__kernel void gradient(__global const stored *x, __global const int *targets, __global const int *lengths, __global stored *dx,
                       __global const uint *rt, __global const float2 *norms, __global const float *alpha,
                       __global const int *links, const long n, const int steps, const int most)
{
    const size_t r = get_group_id(0), b = r / steps, width = ROW_WIDTH;
    const float scale = as_float(rt[BM_RT_LOSS_SCALE]);
    targets += b * most;
    links += b * width;
    __global const float *g = alpha + r * width + 2;
    if (r % steps < length_of(lengths, b, steps)) {
        const size_t states = 2 * (size_t)links[0] + 1;
        const float2 norm = g[0] == g[0] ? norms[r] : (float2)(NAN);
        COLUMNS(n, CLASS_STEP)
#if !CPU
        barrier(CLK_GLOBAL_MEM_FENCE);
#endif
        EACH(s, states) if (SPEAKS(s)) store1(g[s], dx, r * n + LABEL(s));
    } else {
        COLUMNS(n, ZERO_STEP)
    }
}
