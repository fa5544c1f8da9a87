/* Movement.
 *
 *     copy         y[i] = x[i]                       [n] words of WORD bits (16 or 32), whatever they mean
 *     cast         y[i] = x[i] in another type       [n]; from the type FROM to the type TO (numbers of types.clh)
 *     transpose    y[b, j, i] = x[b, i, j]           x [batch, rows, cols] words
 *
 * copy, cast: a work-item does FLAT_BLOCK elements. transpose: a work-group does a tile of 16 x 16 through local memory (16 x 17
 * words, work-items (16, 4)); in the cpu form a work-item does 16 columns of x in turn, in vectors. Options: WORD, FROM, TO,
 * CPU (grid.clh). */

#include "grid.clh"

#ifndef WORD
#define WORD 32
#endif
#ifndef FROM
#define FROM 0
#endif
#ifndef TO
#define TO 0
#endif

#if WORD == 32
typedef uint word;
typedef uint4 word4;
typedef uint16 word16;
#else
typedef ushort word;
typedef ushort4 word4;
typedef ushort16 word16;
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
/* Work-items (tiles of 64 columns, tiles of 16 rows, batch): each pair of them reads whole lines and writes whole lines. */
__kernel void transpose(__global const word *x, __global word *y, const long rows, const long cols)
{
    const size_t base = get_global_id(2) * rows * cols, r0 = get_global_id(1) * 16, c0 = get_global_id(0) * 64;
    const size_t r1 = min(r0 + 16, (size_t)rows), c1 = min(c0 + 64, (size_t)cols);
    for (size_t c = c0; c < c1; c++) {
        __global const word *from = x + base + r0 * cols + c;
        __global word *to = y + base + c * rows + r0;
        if (r1 - r0 == 16) {
            const word16 v = (word16)(from[0], from[cols], from[2 * cols], from[3 * cols], from[4 * cols], from[5 * cols],
                                      from[6 * cols], from[7 * cols], from[8 * cols], from[9 * cols], from[10 * cols],
                                      from[11 * cols], from[12 * cols], from[13 * cols], from[14 * cols], from[15 * cols]);
            vstore16(v, 0, to);
        } else {
            for (size_t k = 0; k < r1 - r0; k++) to[k] = from[k * cols];
        }
    }
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
