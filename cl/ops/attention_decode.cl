/* Attention (attention.cl has the formulas and how operands lie) of few queries on devices that run one work-item at full speed
 * (CPUs): keys and values are read once, in order, by a running softmax over blocks of keys.
 *
 *     decode     a work-item per (query, head, batch element)
 *
 * Options: HEAD (head.clh), STORAGE (types.clh), PAIRS (pairs.clh). */

#include "head.clh"
#include "math.clh"
#include "scalars.clh"

#define BLOCK 64 /* keys of a step */
#define PARTS (PITCH / 16)
#define KEYS_AHEAD 8

__kernel void decode(__global const stored *qkv, __global const stored *k, __global const stored *v, __global stored *y,
                     __global const uint *rt, int T, int kv_row, int kv_rows, float scale)
{
    PANEL s[BLOCK];
    float16 q[PARTS], o[PARTS];
    const size_t t = get_group_id(0), h = get_group_id(1), b = get_group_id(2), C = get_num_groups(1) * HEAD;
    const int end = min((int)min(rt[BM_RT_POSITION], (uint)kv_rows) + (int)t + 1, kv_rows);
#pragma unroll
    for (int c = 0; c < PARTS; c++) {
        q[c] = load_part(qkv, (b * T + t) * 3 * C + h * HEAD, 16 * c) * scale;
        o[c] = (float16)(0.0f);
    }
    float m = -INFINITY, l = 0.0f;
    for (int k0 = 0; k0 < end; k0 += BLOCK) {
        const int keys = min(BLOCK, end - k0);
        const size_t from = (b * kv_rows + k0) * kv_row + h * HEAD;
        float16 top16 = (float16)(m);
        for (int i = 0; i < BLOCK; i += 16) AT16(s + i) = (float16)(-INFINITY);
        for (int i = 0; i < keys; i++) {
            const size_t at = from + (size_t)i * kv_row;
            float16 sum = (float16)(0.0f);
            fetch_row(k + at + KEYS_AHEAD * kv_row);
            fetch_row(v + at);
#pragma unroll
            for (int c = 0; c < PARTS; c++) sum = FMA(q[c], load_part(k, at, 16 * c), sum);
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
#pragma unroll
        for (int c = 0; c < PARTS; c++) o[c] *= alpha;
        for (int i = 0; i < keys; i++) {
#pragma unroll
            for (int c = 0; c < PARTS; c++) o[c] = FMA((float16)(s[i]), load_part(v, from + (size_t)i * kv_row, 16 * c), o[c]);
        }
    }
    PANEL sums[PITCH];
#pragma unroll
    for (int c = 0; c < PARTS; c++) AT16(sums + 16 * c) = o[c];
    store_columns(y, (b * T + t) * C + h * HEAD, sums, HEAD, (float16)(1.0f / l));
}
