/* Sums (the order of additions: reduce.clh).
 *
 *     sum_partials, squares_partials, wrong_partials
 *                     y[p] = the sum of x, of x^2, of 1 where x is not finite, over the chunks p, p + partials, ...
 *                     x [n]; a work-group for each of `partials`; `add`: adds to y, for a region in several pieces
 *     sum_finish      y[0] = factor * sum of x [n] f32; square root of it (ROOT), or whether it is 0 (ZERO). One work-group.
 *     sum_last        y[r] = sum of x[r, i] over i; x [rows, n]; a work-group does `each` rows
 *     rows_first, rows_last, rows_only
 *                     y[k, i] = sum of x[r, i] over the k-th `chunk` of rows; x [rows, n]; work-items (i, k); `add`: adds to y.
 *                     rows_first makes f32 of STORAGE, rows_last TO of f32, rows_only TO of STORAGE. Rows are
 *                     added in order, 32 by 32.
 *
 * Work-groups of 64, of 1 in the cpu form, where a work-item of rows_* does 64 columns. Local memory: 64 floats but in the cpu
 * form. Options: STORAGE (types.clh), TO (the same; default STORAGE), CPU (grid.clh). */

#include "reduce.clh"

#ifndef TO
#define TO STORAGE
#endif

#define FINISH_ROOT 1
#define FINISH_ZERO 2

#define MAP_SQUARE(w, v) square##w(v)
#define MAP_WRONG(w, v) wrong##w(v)
FN float square1(float v) { return v * v; }
FN float16 square16(float16 v) { return v * v; }
FN float wrong1(float v) { return (as_uint(v) & 0x7f800000u) == 0x7f800000u ? 1.0f : 0.0f; }
FN float16 wrong16(float16 v)
{
    return (as_uint16(v) & 0x7f800000u) == 0x7f800000u ? (float16)(1.0f) : (float16)(0.0f);
}

REDUCTION(sum_of, STORAGE, MAP_SAME)
REDUCTION(squares_of, STORAGE, MAP_SQUARE)
REDUCTION(wrong_of, STORAGE, MAP_WRONG)
REDUCTION(sum_of_f32, 0, MAP_SAME)

#define PARTIALS(kernel_name, name)                                                                                    \
    __kernel void kernel_name(__global const stored *x, __global float *y, const long n, const int add)                \
    {                                                                                                                  \
        LOCAL_LANES                                                                                                    \
        const size_t p = get_group_id(0);                                                                              \
        const float s = name(x, 0, (size_t)n, p, get_num_groups(0), lanes);                                            \
        if (LANE == 0) y[p] = add ? y[p] + s : s;                                                                      \
    }
PARTIALS(sum_partials, sum_of)
PARTIALS(squares_partials, squares_of)
PARTIALS(wrong_partials, wrong_of)

__kernel void sum_finish(__global const float *x, __global float *y, const long n, const float factor, const int what)
{
    LOCAL_LANES
    const float s = factor * sum_of_f32(x, 0, (size_t)n, 0, 1, lanes);
    if (LANE == 0) y[0] = what == FINISH_ROOT ? sqrt(s) : what == FINISH_ZERO ? (s == 0.0f ? 1.0f : 0.0f) : s;
}

__kernel void sum_last(__global const stored *x, __global stored *y, const long rows, const long n, const long each)
{
    LOCAL_LANES
    ROWS(rows, each)
    {
        const float s = sum_of(x, r * n, (size_t)n, 0, 1, lanes);
        if (LANE == 0) store1(s, y, r);
    }
}

/* The sum of x[r, i .. i + w) over r in [r, end), in order, 32 rows at a time. */
#define COLUMN_SUM(w, T, t, i)                                                                                         \
    VEC(w) t = 0.0f;                                                                                                   \
    for (size_t r = begin; r < end;) {                                                                                 \
        const size_t stop = min(r + 32, end);                                                                          \
        VEC(w) s = 0.0f;                                                                                               \
        for (; r < stop; r++) s += PASTE(LOAD, w)(T, x, r * n + (i));                                                  \
        t += s;                                                                                                        \
    }

#define COLUMN_STORE(w, Y, t, i)                                                                                       \
    {                                                                                                                  \
        const size_t at = k * n + (i);                                                                                 \
        if (add) t += PASTE(LOAD, w)(Y, y, at);                                                                        \
        PASTE(STORE, w)(Y, t, y, at);                                                                                  \
    }

#define COLUMN(w, T, Y)                                                                                                \
    {                                                                                                                  \
        COLUMN_SUM(w, T, t, i)                                                                                         \
        COLUMN_STORE(w, Y, t, i)                                                                                       \
    }

#if CPU
#define STRIP 64
#define STRIP_OF_16(T, Y)                                                                                              \
    if (i + 64 <= stop_i) {                                                                                            \
        float16 t0 = 0.0f, t1 = 0.0f, t2 = 0.0f, t3 = 0.0f;                                                            \
        for (size_t r = begin; r < end;) {                                                                             \
            const size_t stop = min(r + 32, end);                                                                      \
            float16 s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;                                                        \
            for (; r < stop; r++) {                                                                                    \
                s0 += LOAD16(T, x, r * n + i);                                                                         \
                s1 += LOAD16(T, x, r * n + i + 16);                                                                    \
                s2 += LOAD16(T, x, r * n + i + 32);                                                                    \
                s3 += LOAD16(T, x, r * n + i + 48);                                                                    \
            }                                                                                                          \
            t0 += s0;                                                                                                  \
            t1 += s1;                                                                                                  \
            t2 += s2;                                                                                                  \
            t3 += s3;                                                                                                  \
        }                                                                                                              \
        COLUMN_STORE(16, Y, t0, i)                                                                                     \
        COLUMN_STORE(16, Y, t1, i + 16)                                                                                \
        COLUMN_STORE(16, Y, t2, i + 32)                                                                                \
        COLUMN_STORE(16, Y, t3, i + 48)                                                                                \
        return;                                                                                                        \
    }                                                                                                                  \
    for (; i + 16 <= stop_i; i += 16) COLUMN(16, T, Y)
#else
#define STRIP 1
#define STRIP_OF_16(T, Y)
#endif

#define COLUMN_SUMS(kernel_name, T, Y)                                                                                 \
    __kernel void kernel_name(__global const STORED(T) *x, __global STORED(Y) *y, const long rows, const long n,       \
                              const long chunk, const int add)                                                         \
    {                                                                                                                  \
        const size_t k = get_global_id(1), begin = k * chunk, end = min(begin + (size_t)chunk, (size_t)rows);          \
        size_t i = get_global_id(0) * STRIP;                                                                           \
        const size_t stop_i = min(i + STRIP, (size_t)n);                                                               \
        STRIP_OF_16(T, Y)                                                                                              \
        for (; i < stop_i; i++) COLUMN(1, T, Y)                                                                        \
    }
COLUMN_SUMS(rows_first, STORAGE, 0)
COLUMN_SUMS(rows_last, 0, TO)
COLUMN_SUMS(rows_only, STORAGE, TO)
