/* AdamW (Loshchilov & Hutter 2019; moments and bias corrections as Kingma & Ba 2015), as PyTorch does it, over a flat region:
 *
 *     g' = g min(1, clip / (norm + 1e-6))                                    clip 0: g' = g
 *     m <- beta1 m + (1 - beta1) g';  v <- beta2 v + (1 - beta2) g'^2
 *     w <- w (1 - lr decay) - (lr / bias1) m / (sqrt(v) / sqrt(bias2) + eps)
 *
 * w, g, m, v [n]; norm [1] f32. lr, bias1 = 1 - beta1^t and bias2 = 1 - beta2^t are run-time scalars. Where g, m and w are zero
 * they stay zero: the padding between tensors. With HALF, h [n] becomes w in that type. A work-item does FLAT_BLOCK elements. No
 * local memory. Options: STORAGE (types.clh), HALF (the same; default 0: there is no h), CPU (grid.clh). */

#include "grid.clh"
#include "scalars.clh"

#ifndef HALF
#define HALF 0
#endif
#if HALF
#define KEEP_HALF(w, value) PASTE(STORE, w)(HALF, value, h, i);
#else
#define KEEP_HALF(w, value)
#endif

#define STEP(w)                                                                                                        \
    const VEC(w) d = factor * GET(w, g, i);                                                                            \
    const VEC(w) a = FMA((VEC(w))(beta1), GET(w, m, i), rest1 * d);                                                    \
    const VEC(w) b = FMA((VEC(w))(beta2), GET(w, v, i), rest2 * (d * d));                                              \
    PUT(w, a, m, i);                                                                                                   \
    PUT(w, b, v, i);                                                                                                   \
    const VEC(w) c = keep * GET(w, x, i) - rate * a / (sqrt(b) * spread + eps);                                        \
    PUT(w, c, x, i);                                                                                                   \
    KEEP_HALF(w, c)

/* rest1 and rest2 are 1 - beta1 and 1 - beta2, rounded once. */
__kernel void adamw(__global const uint *rt, __global const float *norm, __global stored *x, __global const stored *g,
                    __global stored *m, __global stored *v, __global STORED(HALF) *h, const long n, const float beta1,
                    const float rest1, const float beta2, const float rest2, const float eps, const float decay,
                    const float clip)
{
    const float lr = as_float(rt[BM_RT_LR]), rate = lr / as_float(rt[BM_RT_BIAS1]);
    const float spread = 1.0f / sqrt(as_float(rt[BM_RT_BIAS2])), keep = 1.0f - lr * decay;
    const float share = clip > 0.0f ? clip / (norm[0] + 1e-6f) : 1.0f, factor = share > 1.0f ? 1.0f : share;
    FLAT(n, STEP)
}
