/* Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2):
 *
 *     c = beta1 m + (1 - beta1) g';  m <- beta2 m + (1 - beta2) g'           g', h: update.clh
 *     w <- w - lr (sign(c) + decay w)                                        sign(0) = 0
 *
 * w, g, m [n]. lr is a run-time scalar. A work-item does FLAT_BLOCK elements. No local memory. Options: update.clh. */

#include "update.clh"

#define STEP(w)                                                                                                        \
    const VEC(w) d = GRADIENT(w), a = GET(w, m, i);                                                                    \
    const VEC(w) b = FMA((VEC(w))(beta2), a, rest2 * d);                                                               \
    PUT(w, b, m, i);                                                                                                   \
    const VEC(w) c = keep * GET(w, x, i) - lr * sign(FMA((VEC(w))(beta1), a, rest1 * d));                              \
    PUT_WEIGHT(w, c)

/* rest1 and rest2 are 1 - beta1 and 1 - beta2, rounded once. */
__kernel void lion(UPDATE_ARGS, __global stored *m, const float beta1, const float rest1, const float beta2, const float rest2,
                   const float decay)
{
    const float lr = as_float(rt[BM_RT_LR]), keep = 1.0f - lr * decay, factor = clip_factor(norm, clip);
    FLAT(n, STEP)
}
