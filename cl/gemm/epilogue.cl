/* D [M, N] = act(S + beta D + bias), and the value before the activation into `pre`: after a product S by a library that has no
 * epilogue. S is D itself (then beta is 0), or lies apart.
 *
 *     gemm_epilogue    global (runs of 16 columns, rows, batch), rounded up to any local size; column 0 of this part is bias[bias_at]
 *
 * Options: TYPE_D (storage number), HAS_BIAS, HAS_PRE, ACT. */

#include "act.clh"

#ifndef TYPE_D
#define TYPE_D 0
#endif
#ifndef HAS_BIAS
#define HAS_BIAS 0
#endif
#ifndef HAS_PRE
#define HAS_PRE 0
#endif

#define EPILOGUE(F, w, col)                                                                                            \
    {                                                                                                                  \
        F v = PASTE(LOAD, w)(TYPE_D, sum, at_sum + (col));                                                             \
        if (beta != 0.0f) v = FMA((F)(beta), PASTE(LOAD, w)(TYPE_D, d, at + (col)), v);                                \
        if (HAS_BIAS) v += PASTE(LOAD, w)(TYPE_D, bias, bias_at + (col));                                              \
        if (HAS_PRE) PASTE(STORE, w)(TYPE_D, v, pre, at + (col));                                                      \
        PASTE(STORE, w)(TYPE_D, PASTE(act, w)(v), d, at + (col));                                                      \
    }

__kernel void gemm_epilogue(__global const STORED(TYPE_D) *sum, __global STORED(TYPE_D) *d, __global const STORED(TYPE_D) *bias,
                            __global STORED(TYPE_D) *pre, long m, long n, long ld_sum, long ldd, long offset_sum,
                            long offset_d, long bias_at, long stride, float beta)
{
    const long col = 16 * (long)get_global_id(0), row = (long)get_global_id(1), batch = (long)get_global_id(2);
    if (row >= m) return;
    const size_t at_sum = offset_sum + batch * stride + row * ld_sum, at = offset_d + batch * stride + row * ldd;
    if (col + 16 <= n) {
        EPILOGUE(float16, 16, col)
        return;
    }
    for (long i = col; i < n; i++) EPILOGUE(float, 1, i)
}
