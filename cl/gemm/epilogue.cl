/* D [M, N] = act(D + bias), and the value before the activation into `pre`: after a product by a library that has no epilogue.
 *
 *     gemm_epilogue    global (runs of 16 columns, rows, batch), any local size
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

__kernel void gemm_epilogue(__global STORED(TYPE_D) *d, __global const STORED(TYPE_D) *bias, __global STORED(TYPE_D) *pre, long n,
                            long ldd, long offset_d, long stride_d)
{
    const long col = 16 * (long)get_global_id(0);
    const size_t at = offset_d + (long)get_global_id(2) * stride_d + (long)get_global_id(1) * ldd + col;
    if (col + 16 <= n) {
        float16 v = LOAD16(TYPE_D, d, at);
        if (HAS_BIAS) v += LOAD16(TYPE_D, bias, col);
        if (HAS_PRE) STORE16(TYPE_D, v, pre, at);
        STORE16(TYPE_D, act16(v), d, at);
        return;
    }
    for (long i = 0; col + i < n; i++) {
        float v = LOAD1(TYPE_D, d, at + i);
        if (HAS_BIAS) v += LOAD1(TYPE_D, bias, col + i);
        if (HAS_PRE) STORE1(TYPE_D, v, pre, at + i);
        STORE1(TYPE_D, act1(v), d, at + i);
    }
}
