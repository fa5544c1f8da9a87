/* Columns of one matrix into columns of another.
 *
 *     y[r, y_at + i] = x[r, x_at + i]      r < rows, i < n; x [rows, x_width], y [rows, y_width]
 *
 * A work-group does `each` rows. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "grid.clh"

#define STEP(w) PUT(w, GET(w, x, r * x_width + x_at + i), y, r * y_width + y_at + i);
__kernel void columns(__global const stored *x, __global stored *y, const long rows, const long each, const long n, const long x_width,
                      const long x_at, const long y_width, const long y_at)
{
    ROWS(rows, each)
    COLUMNS(n, STEP)
}
