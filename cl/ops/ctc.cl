/* Connectionist temporal classification (Graves et al. 2006): minus the logarithm of the probability of all alignments of a
 * target to the steps of a sequence, and its gradient.
 *
 *     p[t, k] = softmax of x[b, t], over k; class 0 is the blank
 *     l = blank, target[0], blank, target[1], ..., blank: 2 n + 1 states for the n of the target that are not negative
 *     alpha[t, s] = p[t, l[s]] (alpha[t-1, s] + alpha[t-1, s-1] + alpha[t-1, s-2])                  (equations 6 and 7)
 *     beta[t, s] = e[t+1, s] + e[t+1, s+1] + e[t+1, s+2],  e[t, s] = p[t, l[s]] beta[t, s]          (equations 10 and 11, beta
 *                  without the step's own p)
 *         the third of each only between labels that differ; alpha begins and beta ends in the two outer states
 *     rows[b] = -log(alpha[last, 2 n] + alpha[last, 2 n - 1])
 *     dx[b, t, k] = scale (p[t, k] - sum over s with l[s] = k of g[t, s]),  g[t, .] = alpha beta of the step over its sum   (16)
 *
 * All is kept as logarithms, less the largest of the step before: what is common to a step cancels in g, and is added up for the
 * loss. No alignment: the loss is infinite and the gradient NaN. A label that is no class, or 0, gives NaN.
 *
 *     norms        norms[b, t] = (m, log sum over k of exp(x[b, t, k] - m)), m the largest of x[b, t, k]
 *     paths        a work-group a sequence: alpha, then the loss; if e is there, then beta, of which alpha[t, s] gets
 *                  log(alpha beta) and links what gradient wants of the target
 *     shares       a work-group a step: g, of which alpha[t, s] gets dx[b, t, l[s]] where s is the first state of its class
 *     gradient     a work-group a step: dx, which may be the memory of x
 *
 * x, dx [B, T, C]; targets [B, L] i32; lengths [B] i32 or NULL, all T; rows [B] f32; scale is the run-time scalar
 * BM_RT_LOSS_SCALE. Between the launches: norms [B, T, 2], alpha [B, kept, 2 L + 1] of the last `kept` steps, e [B, 2, 2 L + 1], links
 * [B, 2 L + 1] i32: n, and for each label the next one like it, or -1, and whether it is the first. Local memory: 768 bytes in
 * the plain form. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "logsum.clh"
#include "reduce.clh"
#include "scalars.clh"

/* log(exp(a) + exp(b) + exp(c)) */
FN float log_add(float a, float b, float c)
{
    const float ab = a > b ? a : b, top = ab > c ? ab : c, shift = SHIFT(float, top);
    return shift + log(exp1(a - shift) + exp1(b - shift) + exp1(c - shift));
}

/* The largest of what the work-items put into a row of `tops` before SYNC; -INFINITY counts as 0, to be subtracted. Two rows take
 * turns, so that one SYNC a step is enough. */
#if CPU
#define SYNC
#define LOCAL_TOPS float tops[2];
#define TOP(k) SHIFT(float, tops[k])
#else
#define SYNC barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
#define LOCAL_TOPS __local float tops[128];
#define TOP(k) top_of(tops + (k) * 64, min(states, (size_t)64))
FN float top_of(__local const float *tops, size_t n)
{
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++) top = tops[i] > top ? tops[i] : top;
    return SHIFT(float, top);
}
#endif
#define MY_TOP(k) tops[(k) * LANES + LANE]

FN size_t length_of(__global const int *lengths, size_t b, size_t steps)
{
    return lengths ? (size_t)clamp(lengths[b], 0, (int)steps) : steps;
}

/* log p[r, label] of one state of row r = b T + t; labels stand in odd states. */
FN float log_p(__global const stored *x, __global const float2 *norms, size_t r, int classes, size_t s, int label)
{
    const int known = !(s & 1) || (label > 0 && label < classes);
    return known ? load1(x, r * classes + label) - norms[r].x - norms[r].y : NAN;
}

#define LABEL(s) ((s) & 1 ? targets[(s) / 2] : 0)
#define LOG_P(t, s) log_p(x, norms, b * steps + (t), classes, s, LABEL(s))
#define SKIPPED_TO(s) ((s) & 1 && (s) > 1 && (s) < states && LABEL(s) != LABEL((s) - 2))
#define EACH_STATE(s) for (size_t s = LANE; s < states; s += LANES)

__kernel void norms(__global const stored *x, __global float2 *norms, const long rows, const long n, const long each)
{
    LOCAL_PAIR
    ROWS(rows, each)
    {
        const float2 ms = max_sum(x, r * n, n, pair);
        if (LANE == 0) norms[r] = (float2)(ms.x, log(ms.y));
    }
}

__kernel void paths(__global const stored *x, __global const int *targets, __global const int *lengths, __global float *loss_of,
                    __global const float2 *norms, __global float *alpha, __global float *e, __global int *links,
                    const int steps, const int classes, const int most, const int kept)
{
    LOCAL_TOPS
    const size_t b = get_group_id(0), width = 2 * (size_t)most + 1, length = length_of(lengths, b, steps);
    targets += b * most;
    alpha += b * kept * width;
    size_t n = 0;
    while (2 * n + 1 < width && targets[n] >= 0) n++;
    const size_t states = 2 * n + 1;

    float total = 0.0f, lost = 0.0f, top = -INFINITY;
    if (length > 0) EACH_STATE(s) {
        alpha[s] = s < 2 ? LOG_P(0, s) : -INFINITY;
        top = alpha[s] > top ? alpha[s] : top;
    }
    MY_TOP(0) = top;
    for (size_t t = 1; t < length; t++) {
        SYNC
        __global const float *before = alpha + (t - 1) % kept * width;
        __global float *now = alpha + t % kept * width;
        const float shift = TOP((t - 1) & 1);
        KAHAN(float, total, lost, shift)
        top = -INFINITY;
        EACH_STATE(s) {
            const float one = s > 0 ? before[s - 1] : -INFINITY, two = SKIPPED_TO(s) ? before[s - 2] : -INFINITY;
            now[s] = log_add(before[s], one, two) - shift + LOG_P(t, s);
            top = now[s] > top ? now[s] : top;
        }
        MY_TOP(t & 1) = top;
    }
    SYNC
    if (LANE == 0) {
        __global const float *last = alpha + (length > 0 ? (length - 1) % kept * width : 0);
        const float p = length > 0 ? log_add(last[2 * n], n > 0 ? last[2 * n - 1] : -INFINITY, -INFINITY) : n > 0 ? -INFINITY : 0.0f;
        loss_of[b] = -(p + total);
    }
    if (e && length > 0) {
        e += b * 2 * width;
        links += b * width;
        top = -INFINITY;
        SYNC
        EACH_STATE(s) {
            const float beta = s + 2 < states ? -INFINITY : 0.0f, v = beta + LOG_P(length - 1, s);
            alpha[(length - 1) * width + s] += beta;
            e[((length - 1) & 1) * width + s] = v;
            top = v > top ? v : top;
        }
        MY_TOP((length - 1) & 1) = top;
        for (size_t t = length - 1; t-- > 0;) {
            SYNC
            __global const float *after = e + ((t + 1) & 1) * width;
            const float shift = TOP((t + 1) & 1);
            top = -INFINITY;
            EACH_STATE(s) {
                const float one = s + 1 < states ? after[s + 1] : -INFINITY, two = SKIPPED_TO(s + 2) ? after[s + 2] : -INFINITY;
                const float beta = log_add(after[s], one, two) - shift, v = beta + LOG_P(t, s);
                alpha[t * width + s] += beta;
                e[(t & 1) * width + s] = v;
                top = v > top ? v : top;
            }
            MY_TOP(t & 1) = top;
        }
        if (LANE == 0) links[0] = (int)n;
        for (size_t i = LANE; i < n; i += LANES) {
            int next = -1, first = 1;
            for (size_t k = 0; k < i; k++) first &= targets[k] != targets[i];
            for (size_t k = n; --k > i;) next = targets[k] == targets[i] ? (int)k : next;
            links[1 + 2 * i] = next;
            links[2 + 2 * i] = first;
        }
    }
}

/* The sum of g over the states of one class, the first of which is s. */
FN float of_class(__global const float *g, __global const int *links, size_t s, float m)
{
    float sum = 0.0f;
    if (s & 1)
        for (int k = (int)(s / 2); k >= 0; k = links[1 + 2 * k]) sum += exp1(g[2 * k + 1] - m);
    else
        for (int k = 0; k <= links[0]; k++) sum += exp1(g[2 * k] - m);
    return sum;
}

/* Whether a state is the first of its class, which is one. */
#define SPEAKS(s) ((s) == 0 || ((s) & 1 && links[(s) + 1] && LABEL(s) > 0 && LABEL(s) < n))

__kernel void shares(__global const stored *x, __global const int *targets, __global const int *lengths, __global const uint *rt,
                     __global const float2 *norms, __global float *alpha, __global const int *links, const long n,
                     const int steps, const int most)
{
    LOCAL_TOPS
    LOCAL_SUMS
    const size_t r = get_group_id(0), b = r / steps, width = 2 * (size_t)most + 1;
    targets += b * most;
    links += b * width;
    __global float *g = alpha + r * width;
    const size_t states = r % steps < length_of(lengths, b, steps) ? 2 * (size_t)links[0] + 1 : 0;
    float top = -INFINITY, sum = 0.0f;
    EACH_STATE(s) top = g[s] > top ? g[s] : top;
    MY_TOP(0) = top;
    SYNC
    const float m = TOP(0);
    EACH_STATE(s) sum += exp1(g[s] - m);
    const float factor = 1.0f / sum_group(sum, sums), scale = as_float(rt[BM_RT_LOSS_SCALE]);
    EACH_STATE(s) if (SPEAKS(s)) {
        const float p = exp1(load1(x, r * n + LABEL(s)) - norms[r].x - norms[r].y);
        g[s] = scale * (p - of_class(g, links, s, m) * factor);
    }
}

#define ZERO_STEP(w) PUT(w, (VEC(w))(0.0f), dx, r * n + i);
#define CLASS_STEP(w) PUT(w, EXP(w, GET(w, x, r * n + i) - (VEC(w))(norm.x) - (VEC(w))(norm.y)) * (VEC(w))(scale), dx, r * n + i);

__kernel void gradient(__global const stored *x, __global const int *targets, __global const int *lengths, __global stored *dx,
                       __global const uint *rt, __global const float2 *norms, __global const float *alpha,
                       __global const int *links, const long n, const int steps, const int most)
{
    const size_t r = get_group_id(0), b = r / steps, width = 2 * (size_t)most + 1;
    const float scale = as_float(rt[BM_RT_LOSS_SCALE]);
    targets += b * most;
    links += b * width;
    __global const float *g = alpha + r * width;
    if (r % steps < length_of(lengths, b, steps)) {
        const size_t states = 2 * (size_t)links[0] + 1;
        const float2 norm = g[0] == g[0] ? norms[r] : (float2)(NAN);
        COLUMNS(n, CLASS_STEP)
#if !CPU
        barrier(CLK_GLOBAL_MEM_FENCE);
#endif
        EACH_STATE(s) if (SPEAKS(s)) store1(g[s], dx, r * n + LABEL(s));
    } else {
        COLUMNS(n, ZERO_STEP)
    }
}
