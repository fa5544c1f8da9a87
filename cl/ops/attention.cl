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
 *     append     k and v of qkv to the ends of the caches; a work-group per (token, 1, batch element), on any device.
 *
 * The other kernels here are for work-groups of ITEMS, one query (or key) per work-item, KEYS keys (or queries) at a time in local
 * memory: 2 KEYS HEAD floats. Those of CPU devices are in attention_cpu.cl and attention_decode.cl.
 *     forward, delta, backward_q (owns dQ), backward_kv (owns dK and dV): no atomics.
 *
 * Options: HEAD (elements of a head, at most 256), STORAGE (types.clh), CPU (grid.clh). */

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

#if !CPU

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
