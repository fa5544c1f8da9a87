/* Softmax and cross-entropy in one: the loss of each row, and the gradient in the same visit.
 *
 *     p[i] = exp(x[r, i]) / sum over k of exp(x[r, k]);  t = target[r];  a = (1 - smoothing) w[t];  b = smoothing / n
 *     rows[r] = a (-log p[t]) + b sum over i of w[i] (-log p[i])
 *     dx[r, i] = scale (p[i] (a + b sum(w)) - a (i == t) - b w[i])
 *
 * (Szegedy et al. 2016, section 7, for label smoothing.) scale is the run-time scalar BM_RT_LOSS_SCALE. x, dx [rows, n]; targets
 * [rows] i32; w, the weights of classes, [n] f32 or NULL: all 1; rows [rows] f32. dx may be NULL (forward alone) or the memory of x:
 * a row is read once from memory, and written while it is in the cache. A negative target: the row counts for nothing. A target
 * from n on, which the host should have refused: loss and gradient are NaN.
 *
 * A work-group does `each` rows. Local memory: 512 bytes in the plain form. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "logsum.clh"
#include "scalars.clh"

#pragma OPENCL FP_CONTRACT OFF

#define WEIGHT(w) (weights ? PASTE(LOAD, w)(0, weights, i) : (VEC(w))(1.0f))
#define AWAY_STEP(w)                                                                                                   \
    const VEC(w) c = WEIGHT(w);                                                                                        \
    PASTE(d, w) += c * ((VEC(w))(ms.x) - GET(w, x, r * n + i));                                                        \
    PASTE(c, w) += c;
#define ZERO_STEP(w) PUT(w, (VEC(w))(0.0f), dx, r * n + i);
#define GRADIENT_STEP(w) PUT(w, EXP(w, GET(w, x, r * n + i) - (VEC(w))(ms.x)) * (VEC(w))(factor), dx, r * n + i);
#define SMOOTHED_STEP(w)                                                                                               \
    PUT(w, EXP(w, GET(w, x, r * n + i) - (VEC(w))(ms.x)) * (VEC(w))(factor) - (VEC(w))(scale * b) * WEIGHT(w), dx, r * n + i);

__kernel void xent(__global const stored *x, __global const int *targets, __global const float *weights, __global float *loss_of,
                   __global stored *dx, __global const uint *rt, const long rows, const long n, const long each,
                   const float smoothing)
{
    LOCAL_PAIR
    const float scale = as_float(rt[BM_RT_LOSS_SCALE]), b = smoothing / (float)n;
    ROWS(rows, each)
    {
        const int target = targets[r];
        if (target < 0) {
            if (LANE == 0) loss_of[r] = 0.0f;
            if (dx) COLUMNS(n, ZERO_STEP)
        } else {
            const int known = target < n;
            const float at_target = known ? load1(x, r * n + target) : NAN, weight = weights && known ? weights[target] : 1.0f;
            const float2 ms = max_sum(x, r * n, n, pair);
            float away = 0.0f, all = 0.0f; /* the sum of w (m - x), of w */
            if (smoothing > 0.0f) {
                SUM_OVER_ROW(d);
                SUM_OVER_ROW(c);
                COLUMNS(n, AWAY_STEP)
                away = ROW_SUM(d, pair);
                all = ROW_SUM(c, pair);
            }
            const float a = (1.0f - smoothing) * weight, share = a + b * all;
            if (LANE == 0) loss_of[r] = log(ms.y) * share + (a * (ms.x - at_target) + b * away);
            const float factor = known ? scale * share / ms.y : NAN;
            if (dx) {
                if (smoothing > 0.0f) COLUMNS(n, SMOOTHED_STEP)
                else COLUMNS(n, GRADIENT_STEP)
#if !CPU
                barrier(CLK_GLOBAL_MEM_FENCE);
#endif
                if (LANE == 0 && known)
                    store1(exp1(at_target - ms.x) * factor - scale * a - scale * b * weight, dx, r * n + target);
            }
        }
    }
}
