/* The gradient of a penalty on weights, l1 sum |w| + l2 sum w^2 (lasso, Tibshirani 1996; ridge, Hoerl & Kennard 1970; both:
 * elastic net, Zou & Hastie 2005):
 *
 *     g <- g + l1 sign(w) + 2 l2 w                                           sign(0) = 0
 *
 * w, g [n]. A work-item does FLAT_BLOCK elements. No local memory. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "grid.clh"

#define STEP(w)                                                                                                        \
    const VEC(w) a = GET(w, x, i);                                                                                     \
    PUT(w, GET(w, g, i) + FMA((VEC(w))(twice_l2), a, l1 * sign(a)), g, i);

__kernel void penalty(__global const stored *x, __global stored *g, const long n, const float l1, const float twice_l2)
{
    FLAT(n, STEP)
}
