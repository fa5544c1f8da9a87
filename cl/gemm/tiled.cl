/* D [M, N] = act(alpha scale op(A) op(B) + beta D + bias) on any device, and the reference for the other backends.
 *
 * A work-group of SIDE x SIDE work-items makes a tile of 4 SIDE x 4 SIDE of D, each work-item 16 elements, SIDE apart. Runs of
 * DEPTH k of both operands lie in local memory: 2 (4 SIDE + 1) DEPTH floats. Sums run over k in order.
 *
 *     gemm_tile     global (columns of work-items, rows of work-items, batch), local (SIDE, SIDE, 1)
 *
 * Options: TYPE_A, TYPE_B, TYPE_D (storage numbers); TRANS_A, TRANS_B; SIDE (8: a group of 64); HAS_SCALE, HAS_BIAS,
 * HAS_PRE, ACT. */

#include "act.clh"

#ifndef TYPE_A
#define TYPE_A 0
#endif
#ifndef TYPE_B
#define TYPE_B 0
#endif
#ifndef TYPE_D
#define TYPE_D 0
#endif
#ifndef TRANS_A
#define TRANS_A 0
#endif
#ifndef TRANS_B
#define TRANS_B 0
#endif
#ifndef SIDE
#define SIDE 8
#endif
#ifndef HAS_SCALE
#define HAS_SCALE 0
#endif
#ifndef HAS_BIAS
#define HAS_BIAS 0
#endif
#ifndef HAS_PRE
#define HAS_PRE 0
#endif

#define TILE (4 * SIDE)
#define DEPTH 16
#define ROW (TILE + 1) /* of local memory: the odd length spreads columns over banks */

__kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1)))
void gemm_tile(__global const STORED(TYPE_A) *a, __global const STORED(TYPE_B) *b, __global STORED(TYPE_D) *d,
               __global const STORED(TYPE_D) *bias, __global STORED(TYPE_D) *pre, __global const float *scale, long m, long n,
               long k_all, long lda, long ldb, long ldd, long offset_a, long offset_b, long offset_d,
               long stride_a, long stride_b, long stride_d, float alpha,
               float beta)
{
    __local float rows[DEPTH * ROW], cols[DEPTH * ROW];
    const uint x = get_local_id(0), y = get_local_id(1), self = y * SIDE + x;
    const long col0 = (long)get_group_id(0) * TILE, row0 = (long)get_group_id(1) * TILE, batch = (long)get_group_id(2);
    a += offset_a + batch * stride_a;
    b += offset_b + batch * stride_b;
    float sum[4][4];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) sum[i][j] = 0.0f;

    for (long k0 = 0; k0 < k_all; k0 += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE); /* the last run was read by all */
        for (uint e = self; e < DEPTH * TILE; e += SIDE * SIDE) {
            /* Neighbours read neighbours, whichever way the operand lies. */
            const uint at_a = TRANS_A ? e % TILE : e / DEPTH, ka = TRANS_A ? e / TILE : e % DEPTH;
            const uint at_b = TRANS_B ? e / DEPTH : e % TILE, kb = TRANS_B ? e % DEPTH : e / TILE;
            const long row = row0 + at_a, col = col0 + at_b;
            rows[ka * ROW + at_a] = row < m && k0 + ka < k_all
                                        ? LOAD1(TYPE_A, a, TRANS_A ? (k0 + ka) * lda + row : row * lda + k0 + ka)
                                        : 0.0f;
            cols[kb * ROW + at_b] = col < n && k0 + kb < k_all
                                        ? LOAD1(TYPE_B, b, TRANS_B ? col * ldb + k0 + kb : (k0 + kb) * ldb + col)
                                        : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < DEPTH; k++) {
            float r[4], c[4];
            for (int i = 0; i < 4; i++) r[i] = rows[k * ROW + y + i * SIDE];
            for (int j = 0; j < 4; j++) c[j] = cols[k * ROW + x + j * SIDE];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][j] = FMA(r[i], c[j], sum[i][j]);
        }
    }

    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const long row = row0 + y + i * SIDE, col = col0 + x + j * SIDE;
            if (row >= m || col >= n) continue;
            const size_t at = offset_d + batch * stride_d + row * ldd + col;
            float v = alpha * sum[i][j];
            if (HAS_SCALE) v *= scale[col];
            if (beta != 0.0f) v = FMA(beta, LOAD1(TYPE_D, d, at), v);
            if (HAS_BIAS) v += LOAD1(TYPE_D, bias, col);
            if (HAS_PRE) STORE1(TYPE_D, v, pre, at);
            STORE1(TYPE_D, act1(v), d, at);
        }
}
