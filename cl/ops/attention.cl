/* Scaled dot-product attention, causal, heads side by side (Vaswani et al. 2017; blocks and backward pass as in Dao 2023,
 * FlashAttention-2, algorithms 1 and 2).
 *
 *     S = scale Q K^T, P = softmax(S) over the keys at positions <= the query's, Y = P V, lse = log sum exp(S)
 *     delta = rowsum(dY Y), dV = P^T dY, dP = dY V^T, dS = P (dP - delta), dQ = scale dS K, dK = scale dS^T Q
 *
 * q [B, T, 3 C] as q, k, v side by side; C = heads HEAD; y, dy [B, T, C]; lse [B, heads, T] f32, may be NULL; dq, dk and dv lie
 * in dqkv [B, T, 3 C] as q, k, v do. Keys and values are rows of `kv_row` elements, `kv_rows` of them to a batch element, at
 * element k_at and v_at: of qkv itself, or of the caches. Query t stands at position rt[BM_RT_POSITION] + t of its batch
 * element's keys when `cached`, else at t. Nothing is read or written at positions from kv_rows on.
 *
 * Options: HEAD (elements of a head, at most 256), STORAGE (types.clh), CPU (grid.clh).
 *
 * CPU 1: one work-item per work-group, panels of BLOCK queries and BLOCK keys in private memory.
 *     forward    a work-item per (`parts` blocks of queries, head, batch element). Scores are kept transposed, queries in the
 *                    lanes, so that softmax needs no sum over lanes and P enters the second product as it lies.
 *     backward   a work-item per (1, head, batch element): one pass makes dQ, dK and dV, each product once. dK and dV gather in
 *                    `acc`: dqkv itself where rows can be written there as they are (f32, HEAD a multiple of 32), else
 *                    [B heads, T, 2, PITCH] f32.
 *     decode     a work-item per (query, head, batch element), for few queries: reads keys and values once, in order.
 *
 * CPU 0: work-groups of ITEMS, one query (or key) per work-item, KEYS keys (or queries) at a time in local memory:
 * 2 KEYS HEAD floats.
 *     forward, delta, backward_q (owns dQ), backward_kv (owns dK and dV): no atomics. */

#include "grid.clh"
#include "math.clh"
#include "scalars.clh"

#ifndef HEAD
#define HEAD 64
#endif

#define APPEND_STEP(w)                                                                                                 \
    PUT(w, GET(w, qkv, (3 * r + 1) * C + i), k, (b * P + to) * C + i);                                                 \
    PUT(w, GET(w, qkv, (3 * r + 2) * C + i), v, (b * P + to) * C + i);

__kernel void append(__global const stored *qkv, __global stored *k, __global stored *v, __global const uint *rt, int T, int C,
                     int P)
{
    const size_t t = get_group_id(0), b = get_group_id(2), r = b * T + t, to = rt[BM_RT_POSITION] + t;
    if (to < (size_t)P) COLUMNS(C, APPEND_STEP)
}

#if CPU

#include "tile.clh"

#define PITCH ((HEAD + 31) / 32 * 32)     /* length of a row of a panel */
#define BLOCK (HEAD > 128 ? 32 : 64)      /* rows of a panel */
#define PARTS 2                           /* panels of queries that meet a panel of keys, at most */
#define DIRECT (STORAGE == 0 && HEAD % 32 == 0) /* dK and dV gather in dqkv itself */

FN void load_row(float *p, __global const stored *x, size_t at)
{
    for (int c = 0; c < PITCH; c += 16) {
        if (c + 16 <= HEAD) {
            AT16(p + c) = load16(x, at + c);
        } else {
            AT16(p + c) = (float16)(0.0f);
            for (int j = c; j < HEAD; j++) p[j] = load1(x, at + j);
        }
    }
}

FN void fill_panel(float *panel, int n, float value)
{
    for (int i = 0; i < n; i += 16) AT16(panel + i) = (float16)(value);
}

/* Rows [0, n) of x at element `at`, `row` apart, as f32; zeros beyond n and HEAD. */
FN void load_panel(float *panel, __global const stored *x, size_t at, size_t row, int n)
{
    for (int i = 0; i < n; i++) load_row(panel + i * PITCH, x, at + i * row);
    fill_panel(panel + n * PITCH, (BLOCK - n) * PITCH, 0.0f);
}

FN void store_row(__global stored *x, size_t at, const float *p, float16 s)
{
    int c = 0;
    for (; c + 16 <= HEAD; c += 16) store16(AT16(p + c) * s, x, at + c);
    for (; c < HEAD; c++) store1(p[c] * s.s0, x, at + c);
}

/* t[c][i] = scale panel[i][c] */
FN void transpose_panel(float *t, const float *panel, float scale)
{
    for (int c = 0; c < PITCH; c += 16) {
        for (int i = 0; i < BLOCK; i += 16) transpose16(t + c * BLOCK + i, BLOCK, panel + i * PITCH + c, PITCH, scale);
    }
}

#define LANE_NUMBERS ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))

/* Scores that may not be seen become -inf: key i of the block against queries whose positions less the block's first key's are
 * first + 0, 1, ... */
FN float16 causal(float16 s, int i, int first) { return i <= first + LANE_NUMBERS ? s : (float16)(-INFINITY); }

FN void causal_tile(tile *t, int i, int first)
{
#define M(u) t->l##u = causal(t->l##u, i + u, first), t->r##u = causal(t->r##u, i + u, first + 16);
    TILE_ROWS(M)
#undef M
}

#define LOG2E 1.44269504f
#define LN2 0.693147181f

/* 2^t for t <= 0, or a little more: what is left of exp16 when there is no overflow and results below 2^-126 may be 0. Minimax
 * polynomial on [-1/2, 1/2], relative error 2e-9; 1 at 0; NaN stays. */
FN float16 power2(float16 t)
{
    const float16 shifted = t + 12582912.0f; /* its low bits are t to the nearest whole number */
    const float16 r = t - (shifted - 12582912.0f);
    float16 p = FMA(r, (float16)(1.53458124e-4f), (float16)(1.33999309e-3f));
    p = FMA(p, r, (float16)(9.61848907e-3f));
    p = FMA(p, r, (float16)(5.55032864e-2f));
    p = FMA(p, r, (float16)(2.40226462e-1f));
    p = FMA(p, r, (float16)(6.93147182e-1f));
    p = FMA(p, r, (float16)(1.0f));
    p = as_float16(as_int16(p) + (as_int16(shifted) << 23));
    return t < (float16)(-126.0f) ? (float16)(0.0f) : p;
}

/* What meets in a step: the first `queries` and `keys` of a block; diag is the first query's position less the first key's. */
typedef struct span {
    int queries, keys, diag;
} span;

/* How many keys of the block queries [j, j + n) see. */
FN int seen(span x, int j, int n) { return min(x.keys, x.diag + j + n); }

/* s[key][query] = k qt, for the keys that queries see. */
FN void scores(float *s, const float *kp, const float *qt, span x)
{
    for (int j = 0; j < x.queries; j += 32) {
        const int n = seen(x, j, 32);
        for (int i = 0; i < n; i += 8) {
            tile t;
            tile_zero(&t);
            tile_mul(&t, kp + i * PITCH, PITCH, 1, qt + j, BLOCK, HEAD);
            if (i + 7 > x.diag + j) causal_tile(&t, i, x.diag + j);
            tile_store(&t, s + i * BLOCK + j, BLOCK);
        }
    }
}

/* One step of the running softmax: s, in units of ln 2, becomes 2^(s - m), and `alpha` what the sums so far are to be scaled
 * by. */
FN void softmax_step(float *s, float *m, float *l, float *alpha, span x)
{
    for (int j = 0; j < x.queries; j += 16) {
        const int n = seen(x, j, 16);
        const float16 before = AT16(m + j);
        float16 top = before;
        for (int i = 0; i < n; i++) {
            const float16 v = AT16(s + i * BLOCK + j);
            top = top > v ? top : v;
        }
        float16 sum = (float16)(0.0f);
        for (int i = 0; i < n; i++) {
            const float16 e = power2(AT16(s + i * BLOCK + j) - top);
            sum += e;
            AT16(s + i * BLOCK + j) = e;
        }
        const float16 a = n > 0 ? power2(before - top) : (float16)(1.0f);
        AT16(m + j) = top;
        AT16(alpha + j) = a;
        AT16(l + j) = FMA(AT16(l + j), a, sum);
    }
}

/* o[query] = alpha o[query] + sum over keys of p[key][query] v[key] */
FN void gather_values(float *o, const float *p, const float *vp, const float *alpha, span x)
{
    for (int i = 0; i < x.queries; i += 8) {
        const int n = seen(x, i, 8);
        for (int c = 0; n > 0 && c < PITCH; c += 32) {
            tile t;
            tile_load(&t, o + i * PITCH + c, PITCH);
#define M(u) t.l##u *= alpha[i + u], t.r##u *= alpha[i + u];
            TILE_ROWS(M)
#undef M
            tile_mul(&t, p + i, 1, BLOCK, vp + c, PITCH, n);
            tile_store(&t, o + i * PITCH + c, PITCH);
        }
    }
}

__kernel void forward(__global const stored *qkv, __global const stored *k, __global const stored *v, __global stored *y,
                      __global float *lse, __global const uint *rt, int T, int k_at, int v_at, int kv_row, int kv_rows,
                      int cached, float scale, int parts)
{
    PANEL qt[PARTS][PITCH * BLOCK], o[PARTS][BLOCK * PITCH], m[PARTS][BLOCK], l[PARTS][BLOCK], alpha[BLOCK];
    PANEL kp[BLOCK * PITCH], vp[BLOCK * PITCH], s[BLOCK * BLOCK];
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const int first = (int)get_group_id(0) * parts * BLOCK, last = min(T, first + parts * BLOCK);
    const int position = cached ? (int)min(rt[BM_RT_POSITION], (uint)kv_rows) : 0, end = min(position + last, kv_rows);

    for (int q0 = first, i = 0; q0 < last; q0 += BLOCK, i++) {
        load_panel(o[i], qkv, (b * T + q0) * 3 * C + h * HEAD, 3 * C, min(BLOCK, last - q0));
        transpose_panel(qt[i], o[i], scale * LOG2E);
        fill_panel(o[i], BLOCK * PITCH, 0.0f);
        fill_panel(m[i], BLOCK, -INFINITY);
        fill_panel(l[i], BLOCK, 0.0f);
    }
    for (int k0 = 0; k0 < end; k0 += BLOCK) {
        const size_t from = (b * kv_rows + k0) * kv_row + h * HEAD;
        const int keys = min(BLOCK, end - k0);
        load_panel(kp, k, from + k_at, kv_row, keys);
        load_panel(vp, v, from + v_at, kv_row, keys);
        for (int q0 = first, i = 0; q0 < last; q0 += BLOCK, i++) {
            const span x = {min(BLOCK, last - q0), keys, position + q0 - k0};
            if (x.diag + x.queries <= 0) continue;
            scores(s, kp, qt[i], x);
            softmax_step(s, m[i], l[i], alpha, x);
            gather_values(o[i], s, vp, alpha, x);
        }
    }
    for (int q0 = first, i = 0; q0 < last; q0 += BLOCK, i++) {
        for (int j = 0; j < BLOCK; j += 16) AT16(m[i] + j) = FMA(AT16(m[i] + j), (float16)(LN2), log(AT16(l[i] + j)));
        for (int j = 0; j < BLOCK && q0 + j < last; j++) {
            store_row(y, (b * T + q0 + j) * C + h * HEAD, o[i] + j * PITCH, (float16)(1.0f / l[i][j]));
            if (lse) lse[at * T + q0 + j] = m[i][j];
        }
    }
}

/* A block of queries in the backward pass: q and lse in units of ln 2; q and dy transposed, both times scale, and delta too. */
typedef struct asked {
    const float *qt, *dt, *lse, *delta;
} asked;

/* p = exp(s - lse) and ds = scale p (dp - delta), both [key][query]. */
FN void backward_scores(float *p, float *ds, const float *kp, const float *vp, asked a, span x)
{
    for (int j = 0; j < x.queries; j += 32) {
        const float16 lse_l = AT16(a.lse + j), lse_r = AT16(a.lse + j + 16);
        const float16 delta_l = AT16(a.delta + j), delta_r = AT16(a.delta + j + 16);
        const int n = seen(x, j, 32);
        for (int i = 0; i < n; i += 8) {
            float *pi = p + i * BLOCK + j;
            tile t;
            tile_zero(&t);
            tile_mul(&t, kp + i * PITCH, PITCH, 1, a.qt + j, BLOCK, HEAD);
            if (i + 7 > x.diag + j) causal_tile(&t, i, x.diag + j);
#define M(u) t.l##u = power2(t.l##u - lse_l), t.r##u = power2(t.r##u - lse_r);
            TILE_ROWS(M)
#undef M
            tile_store(&t, pi, BLOCK);
            tile_zero(&t);
            tile_mul(&t, vp + i * PITCH, PITCH, 1, a.dt + j, BLOCK, HEAD);
#define M(u)                                                                                                           \
    t.l##u = (t.l##u - delta_l) * AT16(pi + u * BLOCK);                                                          \
    t.r##u = (t.r##u - delta_r) * AT16(pi + u * BLOCK + 16);
            TILE_ROWS(M)
#undef M
            tile_store(&t, ds + i * BLOCK + j, BLOCK);
        }
    }
}

/* acc[key] += sum over queries of w[key][query] y[query]; when `first`, acc is written. */
FN void gather_keys(__global float *acc, size_t row, const float *w, const float *y, span x, int first)
{
    for (int i = 0; i < x.keys; i += 8) {
        const int from = max(0, i - x.diag), rows = min(8, x.keys - i); /* earlier queries do not see these keys */
        for (int c = 0; c < PITCH; c += 32) {
            __global float *to = acc + (size_t)i * row + c;
            tile t;
            if (first) tile_zero(&t);
            else tile_load_rows(&t, to, row, rows);
            tile_mul(&t, w + i * BLOCK + from, BLOCK, 1, y + from * PITCH + c, PITCH, x.queries - from);
            tile_store_rows(&t, to, row, rows);
        }
    }
}

/* delta = scale rowsum(d y) */
FN void row_dots(float *delta, const float *d, const float *y, float scale)
{
    for (int i = 0; i < BLOCK; i++) {
        float16 sum = (float16)(0.0f);
        for (int c = 0; c < PITCH; c += 16) sum = FMA(AT16(d + i * PITCH + c), AT16(y + i * PITCH + c), sum);
        delta[i] = scale * sum16(sum);
    }
}

__kernel void backward(__global const stored *qkv, __global const stored *y, __global const float *lse_of,
                       __global const stored *dy, __global stored *dqkv, __global float *acc, int T, float scale)
{
    PANEL q[PARTS][BLOCK * PITCH], d[PARTS][BLOCK * PITCH], dq[PARTS][BLOCK * PITCH];
    PANEL qt[PARTS][PITCH * BLOCK], dt[PARTS][PITCH * BLOCK];
    PANEL lse[PARTS][BLOCK], delta[PARTS][BLOCK], one[BLOCK];
    PANEL kp[BLOCK * PITCH], vp[BLOCK * PITCH], p[BLOCK * BLOCK], ds[BLOCK * BLOCK];
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const size_t head = b * T * 3 * C + h * HEAD;
#if DIRECT
    __global float *dk = acc + head + C, *dv = dk + C;
    const size_t row = 3 * C;
#else
    __global float *dk = acc + at * T * 2 * PITCH, *dv = dk + PITCH;
    const size_t row = 2 * PITCH;
#endif
    fill_panel(one, BLOCK, 1.0f);

    for (int first = 0; first < T; first += PARTS * BLOCK) {
        const int last = min(T, first + PARTS * BLOCK);
        for (int q0 = first, i = 0; q0 < last; q0 += BLOCK, i++) {
            const size_t from = (b * T + q0) * C + h * HEAD;
            const int queries = min(BLOCK, last - q0);
            load_panel(d[i], dy, from, C, queries);
            load_panel(dq[i], y, from, C, queries);
            row_dots(delta[i], d[i], dq[i], scale);
            fill_panel(lse[i], BLOCK, INFINITY); /* for queries that are not there: p = 0 */
            for (int j = 0; j < queries; j++) lse[i][j] = LOG2E * lse_of[at * T + q0 + j];
            transpose_panel(dt[i], d[i], scale);
            load_panel(q[i], qkv, head + (size_t)q0 * 3 * C, 3 * C, queries);
            transpose_panel(qt[i], q[i], scale * LOG2E);
            fill_panel(dq[i], BLOCK * PITCH, 0.0f);
        }
        for (int k0 = 0; k0 < last; k0 += BLOCK) {
            const int keys = min(BLOCK, last - k0);
            load_panel(kp, qkv, head + C + (size_t)k0 * 3 * C, 3 * C, keys);
            load_panel(vp, qkv, head + 2 * C + (size_t)k0 * 3 * C, 3 * C, keys);
            for (int q0 = first, i = 0; q0 < last; q0 += BLOCK, i++) {
                const span x = {min(BLOCK, last - q0), keys, q0 - k0};
                const asked a = {qt[i], dt[i], lse[i], delta[i]};
                if (x.diag < 0) continue;
                backward_scores(p, ds, kp, vp, a, x);
                gather_keys(dv + k0 * row, row, p, d[i], x, x.diag == 0); /* these queries are the first to see these keys */
                gather_keys(dk + k0 * row, row, ds, q[i], x, x.diag == 0);
                gather_values(dq[i], ds, kp, one, x);
            }
        }
        for (int t = first; t < last; t++)
            store_row(dqkv, head + (size_t)t * 3 * C, dq[(t - first) / BLOCK] + (t - first) % BLOCK * PITCH, (float16)(1.0f));
    }
#if !DIRECT
    for (int i = 0; i < T; i++) {
        for (int c = 0; c < HEAD; c++) {
            store1(dk[i * row + c], dqkv, head + (size_t)i * 3 * C + C + c);
            store1(dv[i * row + c], dqkv, head + (size_t)i * 3 * C + 2 * C + c);
        }
    }
#endif
}

__kernel void decode(__global const stored *qkv, __global const stored *k, __global const stored *v, __global stored *y,
                     __global const uint *rt, int T, int kv_row, int kv_rows, float scale)
{
    PANEL q[PITCH], o[PITCH], row[PITCH], s[BLOCK];
    const size_t t = get_group_id(0), h = get_group_id(1), b = get_group_id(2), C = get_num_groups(1) * HEAD;
    const int end = min((int)min(rt[BM_RT_POSITION], (uint)kv_rows) + (int)t + 1, kv_rows);
    load_row(q, qkv, (b * T + t) * 3 * C + h * HEAD);
    for (int c = 0; c < PITCH; c += 16) {
        AT16(q + c) = AT16(q + c) * scale;
        AT16(o + c) = (float16)(0.0f);
    }
    float m = -INFINITY, l = 0.0f;
    for (int k0 = 0; k0 < end; k0 += BLOCK) {
        const int keys = min(BLOCK, end - k0);
        const size_t from = (b * kv_rows + k0) * kv_row + h * HEAD;
        float16 top16 = (float16)(m);
        for (int i = 0; i < BLOCK; i += 16) AT16(s + i) = (float16)(-INFINITY);
        for (int i = 0; i < keys; i++) {
            load_row(row, k, from + (size_t)i * kv_row);
            float16 sum = (float16)(0.0f);
            for (int c = 0; c < PITCH; c += 16) sum = FMA(AT16(q + c), AT16(row + c), sum);
            s[i] = sum16(sum);
        }
        for (int i = 0; i < BLOCK; i += 16) {
            const float16 x = AT16(s + i);
            top16 = top16 > x ? top16 : x;
        }
        const float top = max16(top16), alpha = exp1(m - top);
        float16 sum = (float16)(0.0f);
        for (int i = 0; i < BLOCK; i += 16) {
            const float16 e = exp16(AT16(s + i) - top);
            sum += e;
            AT16(s + i) = e;
        }
        m = top;
        l = l * alpha + sum16(sum);
        for (int c = 0; c < PITCH; c += 16) AT16(o + c) = AT16(o + c) * alpha;
        for (int i = 0; i < keys; i++) {
            load_row(row, v, from + (size_t)i * kv_row);
            for (int c = 0; c < PITCH; c += 16) AT16(o + c) = FMA((float16)(s[i]), AT16(row + c), AT16(o + c));
        }
    }
    store_row(y, (b * T + t) * C + h * HEAD, o, (float16)(1.0f / l));
}

#else /* plain */

#define ITEMS 64
#define KEYS (HEAD > 128 ? 8 : HEAD > 64 ? 16 : 32)

/* Rows of HEAD elements, `row` apart, to local memory; zeros from row n on. Ends without a barrier. */
FN void load_local(__local float *to, __global const stored *x, size_t at, size_t row, int n)
{
    for (int i = 0; i < KEYS; i++)
        for (int c = (int)get_local_id(0); c < HEAD; c += ITEMS) to[i * HEAD + c] = i < n ? load1(x, at + i * row + c) : 0.0f;
}

FN float dot_local(const float *a, __local const float *b)
{
    float sum = 0.0f;
    for (int c = 0; c < HEAD; c++) sum = FMA(a[c], b[c], sum);
    return sum;
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
forward(__global const stored *qkv, __global const stored *k, __global const stored *v, __global stored *y,
              __global float *lse, __global const uint *rt, int T, int k_at, int v_at, int kv_row, int kv_rows, int cached,
              float scale)
{
    __local float kp[KEYS * HEAD], vp[KEYS * HEAD];
    float q[HEAD], o[HEAD], m = -INFINITY, l = 0.0f;
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const int q0 = (int)get_group_id(0) * ITEMS, t = q0 + (int)get_local_id(0);
    const int position = cached ? (int)min(rt[BM_RT_POSITION], (uint)kv_rows) : 0;
    for (int c = 0; c < HEAD; c++) {
        q[c] = t < T ? load1(qkv, (b * T + t) * 3 * C + h * HEAD + c) * scale : 0.0f;
        o[c] = 0.0f;
    }
    const int end = min(position + min(T, q0 + ITEMS), kv_rows);
    for (int k0 = 0; k0 < end; k0 += KEYS) {
        const size_t from = (b * kv_rows + k0) * kv_row + h * HEAD;
        barrier(CLK_LOCAL_MEM_FENCE);
        load_local(kp, k, from + k_at, kv_row, end - k0);
        load_local(vp, v, from + v_at, kv_row, end - k0);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int n = t < T ? min(min(KEYS, end - k0), position + t + 1 - k0) : 0;
        for (int i = 0; i < n; i++) {
            const float s = dot_local(q, kp + i * HEAD);
            if (s > m) { /* a new maximum: scale what was summed so far */
                const float a = exp1(m - s);
                m = s;
                l *= a;
                for (int c = 0; c < HEAD; c++) o[c] *= a;
            }
            const float e = exp1(s - m);
            l += e;
            for (int c = 0; c < HEAD; c++) o[c] = FMA(e, vp[i * HEAD + c], o[c]);
        }
    }
    if (t < T) {
        for (int c = 0; c < HEAD; c++) store1(o[c] / l, y, (b * T + t) * C + h * HEAD + c);
        if (lse) lse[at * T + t] = m + log(l);
    }
}

__kernel void delta(__global const stored *y, __global const stored *dy, __global float *delta, int T)
{
    const size_t t = get_global_id(0), h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1);
    const size_t at = ((b * T + t) * heads + h) * HEAD;
    if (t >= (size_t)T) return;
    float sum = 0.0f;
    for (int c = 0; c < HEAD; c++) sum = FMA(load1(y, at + c), load1(dy, at + c), sum);
    delta[(b * heads + h) * T + t] = sum;
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
backward_q(__global const stored *qkv, __global const float *lse, __global const float *delta, __global const stored *dy,
                 __global stored *dqkv, int T, float scale)
{
    __local float kp[KEYS * HEAD], vp[KEYS * HEAD];
    float q[HEAD], d[HEAD], dq[HEAD];
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const size_t head = b * T * 3 * C + h * HEAD;
    const int q0 = (int)get_group_id(0) * ITEMS, t = q0 + (int)get_local_id(0), end = min(T, q0 + ITEMS);
    for (int c = 0; c < HEAD; c++) {
        q[c] = t < T ? load1(qkv, head + t * 3 * C + c) * scale : 0.0f;
        d[c] = t < T ? load1(dy, (b * T + t) * C + h * HEAD + c) : 0.0f;
        dq[c] = 0.0f;
    }
    const float lse_t = t < T ? lse[at * T + t] : 0.0f, delta_t = t < T ? delta[at * T + t] : 0.0f;
    for (int k0 = 0; k0 < end; k0 += KEYS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        load_local(kp, qkv, head + C + k0 * 3 * C, 3 * C, end - k0);
        load_local(vp, qkv, head + 2 * C + k0 * 3 * C, 3 * C, end - k0);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int n = t < T ? min(KEYS, t + 1 - k0) : 0;
        for (int i = 0; i < n; i++) {
            const float p = exp1(dot_local(q, kp + i * HEAD) - lse_t);
            const float ds = p * (dot_local(d, vp + i * HEAD) - delta_t) * scale;
            for (int c = 0; c < HEAD; c++) dq[c] = FMA(ds, kp[i * HEAD + c], dq[c]);
        }
    }
    if (t < T)
        for (int c = 0; c < HEAD; c++) store1(dq[c], dqkv, head + t * 3 * C + c);
}

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
backward_kv(__global const stored *qkv, __global const float *lse, __global const float *delta, __global const stored *dy,
                  __global stored *dqkv, int T, float scale)
{
    __local float qp[KEYS * HEAD], dp[KEYS * HEAD];
    float k[HEAD], v[HEAD], dk[HEAD], dv[HEAD];
    const size_t h = get_group_id(1), b = get_group_id(2), heads = get_num_groups(1), at = b * heads + h, C = heads * HEAD;
    const size_t head = b * T * 3 * C + h * HEAD;
    const int k0 = (int)get_group_id(0) * ITEMS, t = k0 + (int)get_local_id(0);
    for (int c = 0; c < HEAD; c++) {
        k[c] = t < T ? load1(qkv, head + t * 3 * C + C + c) * scale : 0.0f;
        v[c] = t < T ? load1(qkv, head + t * 3 * C + 2 * C + c) : 0.0f;
        dk[c] = dv[c] = 0.0f;
    }
    for (int q0 = k0; q0 < T; q0 += KEYS) { /* earlier queries do not see these keys */
        barrier(CLK_LOCAL_MEM_FENCE);
        load_local(qp, qkv, head + q0 * 3 * C, 3 * C, T - q0);
        load_local(dp, dy, (b * T + q0) * C + h * HEAD, C, T - q0);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int n = t < T ? min(KEYS, T - q0) : 0;
        for (int i = max(0, t - q0); i < n; i++) {
            const float p = exp1(dot_local(k, qp + i * HEAD) - lse[at * T + q0 + i]);
            const float ds = p * (dot_local(v, dp + i * HEAD) - delta[at * T + q0 + i]) * scale;
            for (int c = 0; c < HEAD; c++) {
                dk[c] = FMA(ds, qp[i * HEAD + c], dk[c]);
                dv[c] = FMA(p, dp[i * HEAD + c], dv[c]);
            }
        }
    }
    for (int c = 0; t < T && c < HEAD; c++) {
        store1(dk[c], dqkv, head + t * 3 * C + C + c);
        store1(dv[c], dqkv, head + t * 3 * C + 2 * C + c);
    }
}

#endif
