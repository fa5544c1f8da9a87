/* The exponential moving average of weights (Polyak & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", with
 * weights that decay), as PyTorch's AveragedModel with get_ema_avg_fn has it:
 *
 *     a <- w                                                                 after the first update
 *     a <- a + (1 - decay) (w - a)                                           after the others; decay 0: a <- w
 *
 * x: w, a [n]. The step, from 1, is a run-time scalar. A work-item does FLAT_BLOCK elements. No local memory. Options: STORAGE
 * (types.clh), CPU (grid.clh). */

#include "grid.clh"
#include "scalars.clh"

#define STEP(w)                                                                                                        \
    const VEC(w) b = GET(w, x, i), c = first ? b : GET(w, a, i);                                                       \
    PUT(w, FMA((VEC(w))(rest), b - c, c), a, i);

/* rest is 1 - decay, rounded once. */
__kernel void average(__global const uint *rt, __global const stored *x, __global stored *a, const long n, const float rest)
{
    const int first = rt[BM_RT_STEP] == 1 || rest == 1.0f;
    FLAT(n, STEP)
}
