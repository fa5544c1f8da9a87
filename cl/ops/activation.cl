/* Activations (formulas: act.clh).
 *
 *     forward      y[i] = f(x[i])                    [n]
 *     backward     dx[i] = dy[i] f'(x[i])            dx may be the memory of dy
 *
 * A work-item does FLAT_BLOCK elements. No local memory. Options: ACT (act.clh), STORAGE (types.clh), CPU (grid.clh). */

#include "act.clh"
#include "grid.clh"

#define FORWARD_STEP(w) PUT(w, PASTE(act, w)(GET(w, x, i)), y, i);
__kernel void forward(__global const stored *x, __global stored *y, const long n)
{
    FLAT(n, FORWARD_STEP)
}

#define BACKWARD_STEP(w) PUT(w, GET(w, dy, i) * PASTE(act_grad, w)(GET(w, x, i)), dx, i);
__kernel void backward(__global const stored *dy, __global const stored *x, __global stored *dx, const long n)
{
    FLAT(n, BACKWARD_STEP)
}
