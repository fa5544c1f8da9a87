/* Losses of numbers and of yes or no: the loss of each row, and the gradient in the same visit.
 *
 *     numbers      rows[r] = sum over i of f(e);  dx[r, i] = scale f'(e);  e = x[r, i] - y[r, i], 0 where y is NaN
 *                      KIND 0    f = e^2                                                     f' = 2 e
 *                      KIND 1    f = |e|                                                     f' = sign of e
 *                      KIND 2    f = e^2 / 2 to |e| = delta, then delta (|e| - delta / 2)    f' = e, then delta (sign of e)
 *     bce          rows[r] = max(x, 0) - x y + log(1 + exp(-|x|)), which is -log of sigmoid(x) where y is 1, of 1 - sigmoid(x)
 *                  where it is 0;  dx[r] = scale (sigmoid(x) - y)
 *     loss_sum     loss[0] = scale sum over r of rows[r]
 *
 * scale is the run-time scalar BM_RT_LOSS_SCALE; KIND 2: Huber 1964, "Robust Estimation of a Location Parameter". x, dx [rows, n],
 * bce: [rows]; y of their shape, f32, bce: i32; rows [rows] f32; loss [1] f32. dx may be NULL (forward alone) or the memory of x.
 * bce: a negative y counts for nothing, and one above 1, which the host should have refused, gives NaN.
 *
 * numbers: a work-group does `each` rows. bce: a work-item does FLAT_BLOCK of them. loss_sum: one work-group, an order that depends
 * on `rows` alone. Local memory: 256 bytes in the plain form. Options: KIND, STORAGE (types.clh), CPU (grid.clh). */

#include "logsum.clh"
#include "reduce.clh"
#include "scalars.clh"

#ifndef KIND
#define KIND 0
#endif

#define ABS(w, v) abs##w(v)
#define SIGN(w, v) with_sign##w((VEC(w))(1.0f), v)

#if KIND == 0
#define VALUE(w, e) ((e) * (e))
#define SLOPE(w, e) ((e) + (e))
#elif KIND == 1
#define VALUE(w, e) ABS(w, e)
#define SLOPE(w, e) ((e) > (VEC(w))(0.0f) ? (VEC(w))(1.0f) : (e) < (VEC(w))(0.0f) ? (VEC(w))(-1.0f) : (e))
#else
#define FAR(w, e) (ABS(w, e) > (VEC(w))(delta))
#define VALUE(w, e) (FAR(w, e) ? delta * (ABS(w, e) - 0.5f * delta) : 0.5f * (e) * (e))
#define SLOPE(w, e) (FAR(w, e) ? delta * SIGN(w, e) : (e))
#endif

#define ERROR(w)                                                                                                       \
    const VEC(w) y = PASTE(LOAD, w)(0, targets, r * n + i);                                                            \
    const VEC(w) e = y == y ? GET(w, x, r * n + i) - y : (VEC(w))(0.0f);
#define VALUE_STEP(w)                                                                                                  \
    ERROR(w)                                                                                                           \
    PASTE(s, w) += VALUE(w, e);
#define GRADIENT_STEP(w)                                                                                               \
    VALUE_STEP(w)                                                                                                      \
    PUT(w, scale * SLOPE(w, e), dx, r * n + i);

__kernel void numbers(__global const stored *x, __global const float *targets, __global float *loss_of, __global stored *dx,
                      __global const uint *rt, const long rows, const long n, const long each, const float delta)
{
    LOCAL_SUMS
    const float scale = as_float(rt[BM_RT_LOSS_SCALE]);
    ROWS(rows, each)
    {
        SUM_OVER_ROW(s);
        if (dx) COLUMNS(n, GRADIENT_STEP)
        else COLUMNS(n, VALUE_STEP)
        const float sum = ROW_SUM(s, sums);
        if (LANE == 0) loss_of[r] = sum;
    }
}

#define TARGET_1 (float)targets[i]
#define TARGET_4 convert_float4(vload4(0, targets + i))
#define TARGET_16 convert_float16(vload16(0, targets + i))
#define SIGMOID(w, v) sigmoid##w(v)

#define YES_NO(w)                                                                                                      \
    const VEC(w) t = PASTE(TARGET_, w), y = t > (VEC(w))(1.0f) ? (VEC(w))(NAN) : t, v = GET(w, x, i);
#define COUNTED(w, z) (t < (VEC(w))(0.0f) ? (VEC(w))(0.0f) : (z))
#define BCE_STEP(w)                                                                                                    \
    YES_NO(w)                                                                                                          \
    const VEC(w) above = v > (VEC(w))(0.0f) ? v : (VEC(w))(0.0f);                                                      \
    PASTE(STORE, w)(0, COUNTED(w, above - v * y + log1p(EXP(w, -ABS(w, v)))), loss_of, i);                             \
    if (dx) PUT(w, scale * COUNTED(w, SIGMOID(w, v) - y), dx, i);

__kernel void bce(__global const stored *x, __global const int *targets, __global float *loss_of, __global stored *dx,
                  __global const uint *rt, const long n)
{
    const float scale = as_float(rt[BM_RT_LOSS_SCALE]);
    FLAT(n, BCE_STEP)
}

REDUCTION(sum_rows, 0, MAP_SAME)

__kernel void loss_sum(__global const float *loss_of, __global float *loss, __global const uint *rt, const long rows)
{
    LOCAL_LANES
    const float sum = sum_rows(loss_of, 0, rows, 0, 1, lanes);
    if (LANE == 0) loss[0] = as_float(rt[BM_RT_LOSS_SCALE]) * sum;
}
