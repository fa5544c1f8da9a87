/* Movement.
 *
 *     copy         y[i] = x[i]                       [n] words of WORD bits (16 or 32), whatever they mean
 *     cast         y[i] = x[i] in another type       [n]; from the type FROM to the type TO (numbers of types.clh)
 *     transpose    y[b, j, i] = x[b, i, j]           x [batch, rows, cols] words
 *
 * copy, cast: a work-item does FLAT_BLOCK elements. transpose: a work-group does a tile of 16 x 16 through local memory (16 x 17
 * words, work-items (16, 4)); in the cpu form a work-item transposes four of them in registers. Options: WORD, FROM, TO,
 * CPU (grid.clh). */

#include "grid.clh"
#include "transpose.clh"

#ifndef FROM
#define FROM 0
#endif
#ifndef TO
#define TO 0
#endif

#define COPY_STEP(w) PASTE(COPY_, w)
#define COPY_1 y[i] = x[i];
#define COPY_4 vstore4(vload4(0, x + i), 0, y + i);
#define COPY_16 vstore16(vload16(0, x + i), 0, y + i);
__kernel void copy(__global const word *x, __global word *y, const long n)
{
    FLAT(n, COPY_STEP)
}

#define CAST_STEP(w) PASTE(STORE, w)(TO, PASTE(LOAD, w)(FROM, x, i), y, i);
__kernel void cast(__global const STORED(FROM) *x, __global STORED(TO) *y, const long n)
{
    FLAT(n, CAST_STEP)
}

#if CPU
/* Work-items (64 columns, 16 rows, batch): four tiles, which read and write whole lines. */
__kernel void transpose(__global const word *x, __global word *y, const long rows, const long cols)
{
    const size_t base = get_global_id(2) * rows * cols, r0 = get_global_id(1) * SIDE;
    const size_t high = min((size_t)SIDE, rows - r0), c1 = min((get_global_id(0) + 1) * 64, (size_t)cols);
    size_t c = get_global_id(0) * 64;
    __global const word *from = x + base + r0 * cols;
    __global word *to = y + base + r0;
    for (; high == SIDE && c + SIDE <= c1; c += SIDE) {
        word16 tile[SIDE];
#pragma unroll
        for (int i = 0; i < SIDE; i++) tile[i] = vload16(0, from + i * cols + c);
        transpose_tile(tile);
#pragma unroll
        for (int i = 0; i < SIDE; i++) vstore16(tile[i], 0, to + (c + i) * rows);
    }
    for (; c < c1; c++)
        for (size_t i = 0; i < high; i++) to[c * rows + i] = from[i * cols + c];
}
#else
__kernel void transpose(__global const word *x, __global word *y, const long rows, const long cols)
{
    __local word tile[16][17];
    const size_t base = get_group_id(2) * rows * cols, r0 = get_group_id(1) * 16, c0 = get_group_id(0) * 16;
    const size_t across = get_local_id(0), down = get_local_id(1);
    for (size_t k = down; k < 16; k += 4)
        if (r0 + k < (size_t)rows && c0 + across < (size_t)cols) tile[k][across] = x[base + (r0 + k) * cols + c0 + across];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (size_t k = down; k < 16; k += 4)
        if (c0 + k < (size_t)cols && r0 + across < (size_t)rows) y[base + (c0 + k) * rows + r0 + across] = tile[across][k];
}
#endif
