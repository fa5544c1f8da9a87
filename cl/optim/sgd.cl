/* Stochastic gradient descent (Robbins & Monro 1951) with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013, "On the
 * importance of initialization and momentum in deep learning"), as PyTorch does it:
 *
 *     MOMENTUM 0    w <- w - lr g'                                           g', h: update.clh
 *     MOMENTUM 1    m <- momentum m + g';  w <- w - lr m
 *     NESTEROV 1    m <- momentum m + g';  w <- w - lr (g' + momentum m)
 *
 * w, g, m [n]; without MOMENTUM there is no m. lr is a run-time scalar. A work-item does FLAT_BLOCK elements. No local memory.
 * Options: MOMENTUM, NESTEROV (both 0), update.clh. */

#include "update.clh"

#ifndef MOMENTUM
#define MOMENTUM 0
#endif
#ifndef NESTEROV
#define NESTEROV 0
#endif

#if MOMENTUM
#define GATHER(w)                                                                                                      \
    const VEC(w) a = FMA((VEC(w))(momentum), GET(w, m, i), d);                                                         \
    PUT(w, a, m, i);
#else
#define GATHER(w) const VEC(w) a = d;
#endif
#if NESTEROV
#define AHEAD(w) FMA((VEC(w))(momentum), a, d)
#else
#define AHEAD(w) a
#endif

#define STEP(w)                                                                                                        \
    const VEC(w) d = GRADIENT(w);                                                                                      \
    GATHER(w)                                                                                                          \
    const VEC(w) c = FMA((VEC(w))(-lr), AHEAD(w), GET(w, x, i));                                                       \
    PUT_WEIGHT(w, c)

__kernel void sgd(UPDATE_ARGS, __global stored *m, const float momentum)
{
    const float lr = as_float(rt[BM_RT_LR]), factor = clip_factor(norm, clip);
    FLAT(n, STEP)
}
