/* Element by element.
 *
 *     add, sub, mul      y[i] = a[i] op b[i]                                 [n]
 *     scale              y[i] = s x[i]                                       s an argument
 *     mul_scalar         y[i] = s[0] x[i]                                    s [1] f32
 *     add_bias           y[r, i] = x[r, i] + b[i]                            [rows, n], b [n]
 *     fill               y[i] = s
 *     expand_scalar      y[i] = s d[0]                                       d [1] f32
 *     expand_row         y[r, i] = s d[i]                                    d [n]
 *     expand_column      y[r, i] = s d[r]                                    d [rows]
 *
 * y may be the memory of a or x. Flat kernels: a work-item does FLAT_BLOCK elements. Kernels over rows: a work-group does
 * `each` rows. No local memory. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "grid.clh"

#define BINARY(name)                                                                                                   \
    __kernel void name(__global const stored *a, __global const stored *b, __global stored *y, const long n)           \
    {                                                                                                                  \
        FLAT(n, BINARY_STEP_##name)                                                                                    \
    }
#define BINARY_STEP_add(w) PUT(w, GET(w, a, i) + GET(w, b, i), y, i);
#define BINARY_STEP_sub(w) PUT(w, GET(w, a, i) - GET(w, b, i), y, i);
#define BINARY_STEP_mul(w) PUT(w, GET(w, a, i) * GET(w, b, i), y, i);
BINARY(add)
BINARY(sub)
BINARY(mul)

#define SCALE_STEP(w) PUT(w, s * GET(w, x, i), y, i);
__kernel void scale(__global const stored *x, __global stored *y, const float s, const long n)
{
    FLAT(n, SCALE_STEP)
}

__kernel void mul_scalar(__global const stored *x, __global const float *scalar, __global stored *y, const long n)
{
    const float s = scalar[0];
    FLAT(n, SCALE_STEP)
}

#define FILL_STEP(w) PUT(w, (VEC(w))(s), y, i);
__kernel void fill(__global stored *y, const float s, const long n)
{
    FLAT(n, FILL_STEP)
}

__kernel void expand_scalar(__global const float *d, __global stored *y, const float factor, const long n)
{
    const float s = factor * d[0];
    FLAT(n, FILL_STEP)
}

#define ADD_BIAS_STEP(w) PUT(w, GET(w, x, r * n + i) + GET(w, b, i), y, r * n + i);
__kernel void add_bias(__global const stored *x, __global const stored *b, __global stored *y, const long rows, const long n,
                       const long each)
{
    ROWS(rows, each)
    COLUMNS(n, ADD_BIAS_STEP)
}

#define EXPAND_ROW_STEP(w) PUT(w, s * GET(w, d, i), y, r * n + i);
__kernel void expand_row(__global const stored *d, __global stored *y, const float s, const long rows, const long n,
                         const long each)
{
    ROWS(rows, each)
    COLUMNS(n, EXPAND_ROW_STEP)
}

#define EXPAND_COLUMN_STEP(w) PUT(w, (VEC(w))(v), y, r * n + i);
__kernel void expand_column(__global const stored *d, __global stored *y, const float s, const long rows, const long n,
                            const long each)
{
    ROWS(rows, each)
    {
        const float v = s * load1(d, r);
        COLUMNS(n, EXPAND_COLUMN_STEP)
    }
}
