/* Normalisation of each channel over all rows (Ioffe & Szegedy 2015, algorithm 1), x, y, dy, dx [rows, n], everything else [n].
 *
 *     h = (x - mean) rstd;   y = h w + b, with RELU max(0, that);   g = dy, with RELU 0 where y is not above 0
 *     dw = sum of g h;   db = sum of g;   dx = w rstd (g - db / rows - h dw / rows), with FIXED w rstd g
 *
 *     stats           part[2k], part[2k + 1] [n] = the mean of the k-th `chunk` of rows, and the sum of squares about it
 *     stats_last      mean, var = these over all chunks (Chan, Golub & LeVeque 1979), rstd = 1 / sqrt(var + eps)
 *     running         run_mean, run_var += momentum (of the batch - them), var times unbias
 *     normalise       y
 *     gradient_sums   part[2k], part[2k + 1] [n] = the sums of g and of g h over the k-th chunk of rows
 *     sums_last       sums[0], sums[1] [n] = these over all chunks in order; db, dw (+)= them, with DB, DW, and ADD_B, ADD_W
 *     gradient        dx
 *
 * With FIXED, mean and var are the running ones, and var comes in the place of rstd. stats, gradient_sums: work-items (i, k), for
 * STRIP columns; *_last, running: a work-item for each column; normalise, gradient: CHANNELS of grid.clh. No local memory. Options:
 * STORAGE (of x, y, dy, dx; types.clh), WSTORAGE (the same, of w, b, dw, db), CPU (grid.clh). */

#include "grid.clh"

#ifndef WSTORAGE
#define WSTORAGE 0
#endif
typedef STORED(WSTORAGE) weight;
#define WLOAD(w, p, i) PASTE(LOAD, w)(WSTORAGE, p, i)
#define FLOAD(w, p, i) PASTE(LOAD, w)(0, p, i)
#define FSTORE(w, v, p, i) PASTE(STORE, w)(0, v, p, i)

#define RELU 1
#define FIXED 2
#define DW 4
#define DB 8
#define ADD_W 16
#define ADD_B 32

/* BODY(w, EACH) for the columns from i on that belong to this work-item, EACH(M, w) being M(w, k) for as many vectors of w. */
#define EACH_1(M, w) M(w, 0)
#define EACH_4(M, w) M(w, 0) M(w, 1) M(w, 2) M(w, 3)
#if CPU
#define STRIP 64
#define WIDE_STRIPS(BODY)                                                                                              \
    for (; i + 64 <= stop; i += 64) BODY(16, EACH_4)                                                                   \
    for (; i + 16 <= stop; i += 16) BODY(16, EACH_1)
#else
#define STRIP 1
#define WIDE_STRIPS(BODY)
#endif
#define STRIPS(BODY)                                                                                                   \
    const size_t chunk_at = get_global_id(1), begin = chunk_at * chunk, end = min(begin + (size_t)chunk, (size_t)rows); \
    size_t i = get_global_id(0) * STRIP;                                                                               \
    const size_t stop = min(i + STRIP, (size_t)n);                                                                     \
    WIDE_STRIPS(BODY)                                                                                                  \
    for (; i < stop; i++) BODY(1, EACH_1)

#define AT(w, k) (r * n + i + (k) * (w))
#define ZERO_TWO(w, k) VEC(w) s##k = (VEC(w))(0.0f), q##k = (VEC(w))(0.0f);
#define KEEP_TWO(w, k)                                                                                                 \
    FSTORE(w, s##k, part, 2 * chunk_at * n + i + (k) * (w));                                                           \
    FSTORE(w, q##k, part, (2 * chunk_at + 1) * n + i + (k) * (w));

#define ADD_X(w, k) s##k += GET(w, x, AT(w, k));
#define TO_MEAN(w, k) s##k /= (float)(end - begin);
#define ADD_SQUARE(w, k)                                                                                               \
    {                                                                                                                  \
        const VEC(w) d = GET(w, x, AT(w, k)) - s##k;                                                                   \
        q##k = FMA(d, d, q##k);                                                                                        \
    }
#define STATS(w, EACH)                                                                                                 \
    {                                                                                                                  \
        EACH(ZERO_TWO, w)                                                                                              \
        for (size_t r = begin; r < end; r++) { EACH(ADD_X, w) }                                                        \
        EACH(TO_MEAN, w)                                                                                               \
        for (size_t r = begin; r < end; r++) { EACH(ADD_SQUARE, w) }                                                   \
        EACH(KEEP_TWO, w)                                                                                              \
    }

__kernel void stats(__global const stored *x, __global float *part, const long rows, const long n, const long chunk)
{
    STRIPS(STATS)
}

__kernel void stats_last(__global const float *part, __global float *mean_out, __global float *rstd_out, __global float *var_out,
                         const long rows, const long n, const long chunk, const float eps)
{
    const size_t i = get_global_id(0), chunks = (rows + chunk - 1) / chunk;
    if (i >= (size_t)n) return;
    float sum = 0.0f, squares = 0.0f;
    for (size_t k = 0; k < chunks; k++) sum = FMA((float)min(chunk, rows - (long)k * chunk), part[2 * k * n + i], sum);
    const float mean = sum / (float)rows;
    for (size_t k = 0; k < chunks; k++) {
        const float d = part[2 * k * n + i] - mean;
        squares += FMA((float)min(chunk, rows - (long)k * chunk) * d, d, part[(2 * k + 1) * n + i]);
    }
    mean_out[i] = mean;
    var_out[i] = squares / (float)rows;
    rstd_out[i] = 1.0f / sqrt(squares / (float)rows + eps);
}

__kernel void running(__global float *run_mean, __global float *run_var, __global const float *mean, __global const float *var,
                      const long n, const float momentum, const float unbias)
{
    const size_t i = get_global_id(0);
    if (i >= (size_t)n) return;
    run_mean[i] = FMA(momentum, mean[i] - run_mean[i], run_mean[i]);
    run_var[i] = FMA(momentum, var[i] * unbias - run_var[i], run_var[i]);
}

/* The column of i, kept beside it. */
#define WITH_COLUMN size_t c = get_global_id(0) * FLAT_BLOCK % n;
#define NEXT_COLUMN(w)                                                                                                 \
    c += w;                                                                                                            \
    if (c == (size_t)n) c = 0;
#define RSTD(w, at) (flags & FIXED ? (VEC(w))(1.0f) / sqrt(FLOAD(w, rstd, at) + (VEC(w))(eps)) : FLOAD(w, rstd, at))

#define NORMALISE(w)                                                                                                   \
    {                                                                                                                  \
        const VEC(w) v = FMA((GET(w, x, i) - FLOAD(w, mean, c)) * RSTD(w, c), WLOAD(w, weights, c), WLOAD(w, bias, c)); \
        PUT(w, flags & RELU ? (v < (VEC(w))(0.0f) ? (VEC(w))(0.0f) : v) : v, y, i);                                    \
        NEXT_COLUMN(w)                                                                                                 \
    }

__kernel void normalise(__global const stored *x, __global const weight *weights, __global const weight *bias,
                        __global const float *mean, __global const float *rstd, __global stored *y, const long elements,
                        const long n, const float eps, const int flags)
{
    WITH_COLUMN
    CHANNELS(elements, n, NORMALISE)
}

#define G(w, at) (flags & RELU ? (GET(w, y, at) > (VEC(w))(0.0f) ? GET(w, dy, at) : (VEC(w))(0.0f)) : GET(w, dy, at))
#define ADD_G(w, k)                                                                                                    \
    {                                                                                                                  \
        const VEC(w) g = G(w, AT(w, k));                                                                               \
        s##k += g;                                                                                                     \
        q##k = FMA(g, GET(w, x, AT(w, k)) - m##k, q##k);                                                               \
    }
#define MEAN_HERE(w, k) const VEC(w) m##k = FLOAD(w, mean, i + (k) * (w));
#define TIMES_RSTD(w, k) q##k *= RSTD(w, i + (k) * (w));
#define GRADIENT_SUMS(w, EACH)                                                                                         \
    {                                                                                                                  \
        EACH(ZERO_TWO, w)                                                                                              \
        EACH(MEAN_HERE, w)                                                                                             \
        for (size_t r = begin; r < end; r++) { EACH(ADD_G, w) }                                                        \
        EACH(TIMES_RSTD, w)                                                                                            \
        EACH(KEEP_TWO, w)                                                                                              \
    }

__kernel void gradient_sums(__global const stored *dy, __global const stored *x, __global const stored *y,
                            __global const float *mean, __global const float *rstd, __global float *part, const long rows,
                            const long n, const long chunk, const float eps, const int flags)
{
    STRIPS(GRADIENT_SUMS)
}

__kernel void sums_last(__global const float *part, __global float *sums, __global weight *db, __global weight *dw, const long chunks,
                        const long n, const int flags)
{
    const size_t i = get_global_id(0);
    if (i >= (size_t)n) return;
    float b = 0.0f, w = 0.0f;
    for (size_t k = 0; k < (size_t)chunks; k++) {
        b += part[2 * k * n + i];
        w += part[(2 * k + 1) * n + i];
    }
    sums[i] = b;
    sums[n + i] = w;
    if (flags & DB) STORE1(WSTORAGE, flags & ADD_B ? LOAD1(WSTORAGE, db, i) + b : b, db, i);
    if (flags & DW) STORE1(WSTORAGE, flags & ADD_W ? LOAD1(WSTORAGE, dw, i) + w : w, dw, i);
}

#define GRADIENT(w)                                                                                                    \
    {                                                                                                                  \
        const VEC(w) r = RSTD(w, c);                                                                                   \
        VEC(w) d = G(w, i);                                                                                            \
        if (!(flags & FIXED)) {                                                                                        \
            const VEC(w) h = (GET(w, x, i) - FLOAD(w, mean, c)) * r;                                                   \
            d -= FMA(h, FLOAD(w, sums, n + c), FLOAD(w, sums, c)) * (VEC(w))(per_row);                                 \
        }                                                                                                              \
        PUT(w, WLOAD(w, weights, c) * r * d, dx, i);                                                                   \
        NEXT_COLUMN(w)                                                                                                 \
    }

__kernel void gradient(__global const stored *dy, __global const stored *x, __global const stored *y,
                       __global const weight *weights, __global const float *mean, __global const float *rstd,
                       __global const float *sums, __global stored *dx, const long elements, const long n,
                       const float per_row, const float eps, const int flags)
{
    WITH_COLUMN
    CHANNELS(elements, n, GRADIENT)
}
