/* Softmax over the last dimension, and its gradient (Bridle 1990).
 *
 *     softmax             y[r, i] = exp(x[r, i] - m[r]) / sum over i of exp(x[r, i] - m[r]), m the row's maximum
 *     softmax_backward    dx[r, i] = y[r, i] (dy[r, i] - sum over j of dy[r, j] y[r, j])
 *
 * x, y, dy, dx [rows, n]; y may be the memory of x, dx that of dy. A work-group does `each` rows. Local memory: 512 bytes in the
 * plain form. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "logsum.clh"

#define SOFTMAX_STEP(w) PUT(w, EXP(w, GET(w, x, r * n + i) - (VEC(w))(ms.x)) * (VEC(w))(scale), y, r * n + i);

__kernel void softmax(__global const stored *x, __global stored *y, const long rows, const long n, const long each)
{
    LOCAL_PAIR
    ROWS(rows, each)
    {
        const float2 ms = max_sum(x, r * n, n, pair);
        const float scale = 1.0f / ms.y;
        COLUMNS(n, SOFTMAX_STEP)
    }
}

#define DOT_STEP(w) PASTE(d, w) += GET(w, y, r * n + i) * GET(w, dy, r * n + i);
#define BACKWARD_STEP(w) PUT(w, GET(w, y, r * n + i) * (GET(w, dy, r * n + i) - (VEC(w))(sum)), dx, r * n + i);

__kernel void softmax_backward(__global const stored *y, __global const stored *dy, __global stored *dx, const long rows,
                               const long n, const long each)
{
    LOCAL_SUMS
    ROWS(rows, each)
    {
        SUM_OVER_ROW(d);
        COLUMNS(n, DOT_STEP)
        const float sum = ROW_SUM(d, sums);
        COLUMNS(n, BACKWARD_STEP)
    }
}
