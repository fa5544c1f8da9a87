/* An operand in the layout that CLBlast's kernel reads: y [K, width] = op(X) [K, cols], its columns from `cols` on zero.
 *
 *     arrange    TRANS 0: X is [K, cols], its rows ldx apart; global (runs of 256 columns, runs of 16 rows)
 *                TRANS 1: X is [cols, K], its rows ldx apart; global (runs of 64 k, runs of 16 columns)
 *
 * A work-item does its block alone, and is a work-group. `width` is a multiple of 16, and y begins at one of 64 bytes.
 * Option: TRANS. */

#include "transpose.clh"

#ifndef TRANS
#define TRANS 0
#endif

/* y lies in another core's cache as a rule, and is read by all next. */
#define STORE_WORDS(v, p) STORE_PAST(v, (__global word16 *)(p))

#if TRANS
__kernel void arrange(__global const word *x, __global word *y, long offset_x, long ldx, long k_all, long cols, long width)
{
    const long k0 = 64 * (long)get_global_id(0), k1 = min(k0 + 64, k_all), col = SIDE * (long)get_global_id(1);
    const long high = min(cols - col, (long)SIDE);
    __global const word *const from = x + offset_x + col * ldx;
    __global word *const to = y + col;
    long k = k0;
    for (; k + SIDE <= k1; k += SIDE) {
        word16 tile[SIDE];
#pragma unroll
        for (int i = 0; i < SIDE; i++) tile[i] = i < high ? vload16(0, from + i * ldx + k) : (word16)(0);
        transpose_tile(tile);
#pragma unroll
        for (int i = 0; i < SIDE; i++) STORE_WORDS(tile[i], to + (k + i) * width);
    }
    for (; k < k1; k++)
        for (int i = 0; i < SIDE; i++) to[k * width + i] = i < high ? from[i * ldx + k] : 0;
}
#else
__kernel void arrange(__global const word *x, __global word *y, long offset_x, long ldx, long k_all, long cols, long width)
{
    const long col0 = 256 * (long)get_global_id(0), col1 = min(col0 + 256, width);
    const long k0 = 16 * (long)get_global_id(1), k1 = min(k0 + 16, k_all);
    for (long k = k0; k < k1; k++) {
        __global const word *const from = x + offset_x + k * ldx;
        __global word *const to = y + k * width;
        long col = col0;
        for (; col + 16 <= min(col1, cols); col += 16) STORE_WORDS(vload16(0, from + col), to + col);
        for (; col < col1; col++) to[col] = col < cols ? from[col] : 0;
    }
}
#endif
