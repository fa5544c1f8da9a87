/* AdamW (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2) and, with decay 0, Adam (Kingma & Ba 2015,
 * "Adam: A Method for Stochastic Optimization", algorithm 1), as PyTorch does them:
 *
 *     m <- beta1 m + (1 - beta1) g';  v <- beta2 v + (1 - beta2) g'^2        g', h: update.clh
 *     w <- w (1 - lr decay) - (lr / bias1) m / (sqrt(v) / sqrt(bias2) + eps)
 *
 * w, g, m, v [n]. lr, bias1 = 1 - beta1^t and bias2 = 1 - beta2^t are run-time scalars. A work-item does FLAT_BLOCK elements. No
 * local memory. Options: update.clh. */

#include "update.clh"

#define STEP(w)                                                                                                        \
    const VEC(w) d = GRADIENT(w);                                                                                      \
    const VEC(w) a = FMA((VEC(w))(beta1), GET(w, m, i), rest1 * d);                                                    \
    const VEC(w) b = FMA((VEC(w))(beta2), GET(w, v, i), rest2 * (d * d));                                              \
    PUT(w, a, m, i);                                                                                                   \
    PUT(w, b, v, i);                                                                                                   \
    const VEC(w) c = keep * GET(w, x, i) - rate * a / (sqrt(b) * spread + eps);                                        \
    PUT_WEIGHT(w, c)

/* rest1 and rest2 are 1 - beta1 and 1 - beta2, rounded once. */
__kernel void adamw(UPDATE_ARGS, __global stored *m, __global stored *v, const float beta1, const float rest1, const float beta2,
                    const float rest2, const float eps, const float decay)
{
    const float lr = as_float(rt[BM_RT_LR]), rate = lr / as_float(rt[BM_RT_BIAS1]);
    const float spread = 1.0f / sqrt(as_float(rt[BM_RT_BIAS2])), keep = 1.0f - lr * decay;
    const float factor = clip_factor(norm, clip);
    FLAT(n, STEP)
}
