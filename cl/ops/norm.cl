/* Normalisation over the last dimension (Ba, Kiros & Hinton 2016; with RMS Zhang & Sennrich 2019), with the residual sum before
 * it joined in.
 *
 *     v = x + r                 x, r, sum, y [rows, n]; without r, v = x
 *     mean = sum(v) / n, 0 with RMS;  rstd = 1 / sqrt(sum((v - mean)^2) / n + eps)
 *     y = (v - mean) rstd w + b                                          w, b [n]
 *
 *     h = (v - mean) rstd;  g = dy w;  dv = rstd (g - sum(g) / n - h sum(g h) / n) + dsum;  without sum(g) with RMS
 *     dw = sum over rows of dy h;  db = sum over rows of dy
 *
 * forward: a work-group does `each` rows: v is read three times, from cache but for the first. sum may be the memory of x, y that
 * of x or r where it is not needed later. backward: the same for dv; in the cpu form it gathers dw and db of its rows in row k
 * of dw_part and db_part, [chunks, n] f32, so that `each` is the number of rows of a chunk; in the plain form weights does
 * that: work-items (i, k). rows_last of reduce.cl adds the chunks. With DR, dr becomes dv in the type of dy. dv and dr may be the
 * memory of dy or dsum that has their type.
 * Work-groups of 64 (and 64 floats of local memory), of 1 in the cpu form. Options: STORAGE (of r, y, dy, dr; types.clh), XSTORAGE
 * (the same, of x, sum, dsum, dv; default STORAGE), WSTORAGE (of w, b; default 0), CPU (grid.clh). */

#include "rowsum.clh"

#ifndef WSTORAGE
#define WSTORAGE 0
#endif
#ifndef XSTORAGE
#define XSTORAGE STORAGE
#endif
typedef STORED(XSTORAGE) wide; /* of the residual stream */

#define RMS 1
#define BIAS 2
#define RESIDUAL 4
#define SAVE_MEAN 8
#define SAVE_RSTD 16
#define DSUM 32
#define DX 64
#define DW 128
#define DB 256
#define DR 512

#define WLOAD(w, p, i) PASTE(LOAD, w)(WSTORAGE, p, i)
#define XLOAD(w, p, i) PASTE(LOAD, w)(XSTORAGE, p, i)
#define XSTORE(w, v, p, i) PASTE(STORE, w)(XSTORAGE, v, p, i)
#define FLOAD(w, p, i) PASTE(LOAD, w)(0, p, i)
#define FSTORE(w, v, p, i) PASTE(STORE, w)(0, v, p, i)

#define V(w) (flags & RESIDUAL ? XLOAD(w, x, r * n + i) + GET(w, res, r * n + i) : XLOAD(w, x, r * n + i))

#define MEAN_STEP(w) PASTE(s, w) += V(w);
#define VARIANCE_STEP(w)                                                                                               \
    const VEC(w) v = V(w) - mean;                                                                                      \
    PASTE(q, w) = FMA(v, v, PASTE(q, w));
#define FORWARD_STEP(w)                                                                                                \
    const VEC(w) v = V(w);                                                                                             \
    const VEC(w) h = (v - mean) * rstd * WLOAD(w, weight, i);                                                          \
    if (flags & RESIDUAL) XSTORE(w, v, sum, r * n + i);                                                                \
    PUT(w, flags & BIAS ? h + WLOAD(w, bias, i) : h, y, r * n + i);

__kernel void forward(__global const wide *x, __global const stored *res, __global const STORED(WSTORAGE) *weight,
                      __global const STORED(WSTORAGE) *bias, __global stored *y, __global wide *sum,
                      __global float *mean_out, __global float *rstd_out, const long rows, const long n, const long each,
                      const float eps, const int flags)
{
    LOCAL_SUMS
    ROWS(rows, each)
    {
        float mean = 0.0f;
        if (!(flags & RMS)) {
            SUM_OVER_ROW(s);
            COLUMNS(n, MEAN_STEP)
            mean = ROW_SUM(s, sums) / (float)n;
        }
        SUM_OVER_ROW(q);
        COLUMNS(n, VARIANCE_STEP)
        const float rstd = 1.0f / sqrt(ROW_SUM(q, sums) / (float)n + eps);
        COLUMNS(n, FORWARD_STEP)
        if (LANE == 0 && (flags & SAVE_MEAN)) mean_out[r] = mean;
        if (LANE == 0 && (flags & SAVE_RSTD)) rstd_out[r] = rstd;
    }
}

#define G_AND_H(w)                                                                                                     \
    const VEC(w) d = GET(w, dy, r * n + i);                                                                            \
    const VEC(w) g = d * WLOAD(w, weight, i);                                                                          \
    const VEC(w) h = (XLOAD(w, x, r * n + i) - mean) * rstd;
#define SUMS_STEP(w)                                                                                                   \
    G_AND_H(w)                                                                                                         \
    PASTE(a, w) += g;                                                                                                  \
    PASTE(c, w) = FMA(g, h, PASTE(c, w));
#define GATHER(w, v, part)                                                                                             \
    {                                                                                                                  \
        const VEC(w) gathered = first ? (v) : FLOAD(w, part, k * n + i) + (v);                                         \
        FSTORE(w, gathered, part, k * n + i);                                                                          \
    }
#if CPU
#define GATHER_STEP(w)                                                                                                 \
    if (flags & DW) GATHER(w, d * h, dw_part)                                                                          \
    if (flags & DB) GATHER(w, d, db_part)
#else
#define GATHER_STEP(w)
#endif
#define BACKWARD_STEP(w)                                                                                               \
    G_AND_H(w)                                                                                                         \
    GATHER_STEP(w)                                                                                                     \
    if (flags & (DX | DR)) {                                                                                           \
        VEC(w) v = rstd * (g - mean_g - h * mean_gh);                                                                  \
        if (flags & DSUM) v += XLOAD(w, dsum, r * n + i);                                                              \
        if (flags & DX) XSTORE(w, v, dx, r * n + i);                                                                   \
        if (flags & DR) PUT(w, v, dr, r * n + i);                                                                      \
    }

__kernel void backward(__global const stored *dy, __global const wide *x, __global const STORED(WSTORAGE) *weight,
                       __global const float *mean_in, __global const float *rstd_in, __global const wide *dsum,
                       __global wide *dx, __global stored *dr, __global float *dw_part, __global float *db_part,
                       const long rows, const long n, const long each, const int flags)
{
    LOCAL_SUMS
    const size_t k = get_group_id(0);
    int first = 1;
    ROWS(rows, each)
    {
        const float mean = flags & RMS ? 0.0f : mean_in[r], rstd = rstd_in[r];
        float mean_g = 0.0f, mean_gh = 0.0f;
        if (flags & (DX | DR)) {
            SUM_OVER_ROW(a);
            SUM_OVER_ROW(c);
            COLUMNS(n, SUMS_STEP)
            mean_g = flags & RMS ? 0.0f : ROW_SUM(a, sums) / (float)n;
            mean_gh = ROW_SUM(c, sums) / (float)n;
        }
        COLUMNS(n, BACKWARD_STEP)
        first = 0;
    }
    (void)k;
    (void)first;
}

/* dw_part[k, i] and db_part[k, i]: the sums over the k-th chunk of rows. */
__kernel void weights(__global const stored *dy, __global const wide *x, __global const float *mean_in,
                      __global const float *rstd_in, __global float *dw_part, __global float *db_part, const long rows,
                      const long n, const long chunk, const int flags)
{
    const size_t i = get_global_id(0), k = get_global_id(1), end = min((k + 1) * chunk, (size_t)rows);
    if (i >= (size_t)n) return;
    float dw = 0.0f, db = 0.0f;
    for (size_t r = k * chunk; r < end; r++) {
        const float d = load1(dy, r * n + i), mean = flags & RMS ? 0.0f : mean_in[r];
        if (flags & DW) dw = FMA(d, (LOAD1(XSTORAGE, x, r * n + i) - mean) * rstd_in[r], dw);
        db += d;
    }
    if (flags & DW) dw_part[k * n + i] = dw;
    if (flags & DB) db_part[k * n + i] = db;
}
