/* Softmax and cross-entropy in one: the loss of each row, and the gradient in the same visit.
 *
 *     xent         rows[r] = log sum over i of exp(x[r, i]) - x[r, target[r]]
 *                  dx[r, i] = scale (exp(x[r, i]) / sum - (i == target[r]))
 *     xent_loss    loss[0] = scale sum over r of rows[r]
 *
 * scale is the run-time scalar BM_RT_LOSS_SCALE. x, dx [rows, n]; targets [rows] i32; rows [rows] f32; loss [1] f32. dx may be
 * NULL (forward alone) or the memory of x: a row is read once from memory, and written while it is in the cache. A negative target:
 * the row counts for nothing. A target from n on, which the host should have refused: loss and gradient are NaN.
 *
 * xent: a work-group a row. xent_loss: one work-group, an order that depends on `rows` alone. Local memory: 512 bytes in the
 * plain form. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "logsum.clh"
#include "reduce.clh"
#include "scalars.clh"

#define ZERO_STEP(w) PUT(w, (VEC(w))(0.0f), dx, r * n + i);
#define GRADIENT_STEP(w) PUT(w, EXP(w, GET(w, x, r * n + i) - (VEC(w))(ms.x)) * (VEC(w))(factor), dx, r * n + i);

__kernel void xent(__global const stored *x, __global const int *targets, __global float *loss_of, __global stored *dx,
                   __global const uint *rt, const long rows, const long n, const long each)
{
    const float scale = as_float(rt[BM_RT_LOSS_SCALE]);
    LOCAL_PAIR
    ROWS(rows, each)
    {
        const int target = targets[r];
        if (target < 0) {
            if (LANE == 0) loss_of[r] = 0.0f;
            if (dx) COLUMNS(n, ZERO_STEP)
        } else {
            const float at_target = target < n ? load1(x, r * n + target) : NAN;
            const float2 ms = max_sum(x, r * n, n, pair);
            if (LANE == 0) loss_of[r] = log(ms.y) + (ms.x - at_target);
            const float factor = target < n ? scale / ms.y : NAN;
            if (dx) {
                COLUMNS(n, GRADIENT_STEP)
#if !CPU
                barrier(CLK_GLOBAL_MEM_FENCE);
#endif
                if (LANE == 0 && target < n) store1(exp1(at_target - ms.x) * factor - scale, dx, r * n + target);
            }
        }
    }
}

REDUCTION(sum_rows, 0, MAP_SAME)

__kernel void xent_loss(__global const float *loss_of, __global float *loss, __global const uint *rt, const long rows)
{
    LOCAL_LANES
    const float sum = sum_rows(loss_of, 0, rows, 0, 1, lanes);
    if (LANE == 0) loss[0] = as_float(rt[BM_RT_LOSS_SCALE]) * sum;
}
