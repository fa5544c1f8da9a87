/* RMSprop (Hinton 2012, "Neural Networks for Machine Learning", lecture 6e), centered (Graves 2013, "Generating Sequences With
 * Recurrent Neural Networks", equations 38 to 41) and with momentum, as PyTorch does them:
 *
 *     v <- alpha v + (1 - alpha) g'^2;  r = sqrt(v) + eps                    g', h: update.clh
 *     CENTERED 1    u <- alpha u + (1 - alpha) g';  r = sqrt(v - u^2) + eps
 *     MOMENTUM 0    w <- w - lr g' / r
 *     MOMENTUM 1    m <- momentum m + g' / r;  w <- w - lr m
 *
 * w, g, v, u, m [n]; u and m are there with their options. v - u^2 is not negative but by rounding: then it counts as 0. lr is a
 * run-time scalar. A work-item does FLAT_BLOCK elements. No local memory. Options: CENTERED, MOMENTUM (both 0), update.clh. */

#include "update.clh"

#ifndef CENTERED
#define CENTERED 0
#endif
#ifndef MOMENTUM
#define MOMENTUM 0
#endif

#if CENTERED
#define CENTER(w)                                                                                                      \
    const VEC(w) b = FMA((VEC(w))(alpha), GET(w, u, i), rest * d);                                                     \
    PUT(w, b, u, i);
#define VARIANCE fmax(a - b * b, 0.0f)
#else
#define CENTER(w)
#define VARIANCE a
#endif
#if MOMENTUM
#define GATHER(w)                                                                                                      \
    const VEC(w) p = FMA((VEC(w))(momentum), GET(w, m, i), q);                                                         \
    PUT(w, p, m, i);
#else
#define GATHER(w) const VEC(w) p = q;
#endif

#define STEP(w)                                                                                                        \
    const VEC(w) d = GRADIENT(w);                                                                                      \
    const VEC(w) a = FMA((VEC(w))(alpha), GET(w, v, i), rest * (d * d));                                               \
    PUT(w, a, v, i);                                                                                                   \
    CENTER(w)                                                                                                          \
    const VEC(w) q = d / (sqrt(VARIANCE) + eps);                                                                       \
    GATHER(w)                                                                                                          \
    const VEC(w) c = FMA((VEC(w))(-lr), p, GET(w, x, i));                                                              \
    PUT_WEIGHT(w, c)

/* rest is 1 - alpha, rounded once. */
__kernel void rmsprop(UPDATE_ARGS, __global stored *v, __global stored *u, __global stored *m, const float alpha,
                      const float rest, const float eps, const float momentum)
{
    const float lr = as_float(rt[BM_RT_LR]), factor = clip_factor(norm, clip);
    FLAT(n, STEP)
}
