/* The hidden state that predicts the next token.
 *
 *     y[b, c] = x[b, rt[BM_RT_LENGTH] - 1, c]          x [B, T, C], y [B, C]
 *
 * A work-item copies one element. No local memory. Option: STORAGE (types.clh). */
#include "types.clh"
#include "scalars.clh"

__kernel void last_token(__global const stored *x, __global stored *y, __global const uint *rt, const int t, const int c)
{
    const size_t i = get_global_id(0), b = get_global_id(1);
    const size_t row = b * (size_t)t + min(rt[BM_RT_LENGTH], (uint)t) - 1;
    store1(load1(x, row * (size_t)c + i), y, b * (size_t)c + i);
}
