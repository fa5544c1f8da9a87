/* Adagrad (Duchi, Hazan & Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", with the
 * diagonal of G), as PyTorch does it:
 *
 *     s <- s + g'^2;  w <- w - lr g' / (sqrt(s) + eps)                       g', h: update.clh
 *
 * w, g, s [n]. lr is a run-time scalar. A work-item does FLAT_BLOCK elements. No local memory. Options: update.clh. */

#include "update.clh"

#define STEP(w)                                                                                                        \
    const VEC(w) d = GRADIENT(w);                                                                                      \
    const VEC(w) a = FMA(d, d, GET(w, s, i));                                                                          \
    PUT(w, a, s, i);                                                                                                   \
    const VEC(w) c = GET(w, x, i) - lr * d / (sqrt(a) + eps);                                                          \
    PUT_WEIGHT(w, c)

__kernel void adagrad(UPDATE_ARGS, __global stored *s, const float eps)
{
    const float lr = as_float(rt[BM_RT_LR]), factor = clip_factor(norm, clip);
    FLAT(n, STEP)
}
