/* Dropout (Srivastava et al. 2014), inverted: y[i] = x[i] / (1 - p) where u[i] >= p, else 0. The gradient is the same of dy.
 *
 *     u[i] = uniform of Philox(seed, stream, step, i), as bm_rng_at() gives it; seed and step are run-time scalars
 *
 * x, y [n]; y may be the memory of x. A work-item does FLAT_BLOCK elements: 32 at a time (cpu) or the 4 of one counter (plain).
 * No local memory. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "grid.clh"
#include "philox.clh"
#include "scalars.clh"

/* A loop that computes this long between its reads has too few of them under way to hide main memory: they are asked for
 * AHEAD elements before. */
#define AHEAD 512

#define KEEP(w, x, u) ((u) >= (VEC(w))(p) ? (x) * (VEC(w))(factor) : (VEC(w))(0.0f))

__kernel void dropout(__global const stored *x, __global stored *y, __global const uint *rt, const long n, const uint stream,
                      const float p, const float factor)
{
    const uint seed_lo = rt[BM_RT_SEED_LO], seed_hi = rt[BM_RT_SEED_HI], step = rt[BM_RT_RNG_STEP];
    size_t i = get_global_id(0) * FLAT_BLOCK;
    const size_t end = min(i + FLAT_BLOCK, (size_t)n);
#if CPU
    for (; i < end; i += 32) {
        uint16 a, b;
        PREFETCH(x + i + AHEAD);
        PREFETCH(x + i + AHEAD + 16);
        draws32(&a, &b, seed_lo, seed_hi, stream, step, i / 4);
        const float16 u = uniform16(a), v = uniform16(b);
        if (i + 32 <= end) {
            store16(KEEP(16, load16(x, i), u), y, i);
            store16(KEEP(16, load16(x, i + 16), v), y, i + 16);
        } else {
            float rest[32];
            vstore16(u, 0, rest);
            vstore16(v, 1, rest);
            for (size_t k = 0; i + k < end; k++) store1(KEEP(1, load1(x, i + k), rest[k]), y, i + k);
        }
    }
#else
    if (i < end) {
        const float4 u = uniform4(draws4(seed_lo, seed_hi, stream, step, i / 4));
        if (i + 4 <= end) {
            store4(KEEP(4, load4(x, i), u), y, i);
        } else {
            store1(KEEP(1, load1(x, i), u.x), y, i);
            if (i + 1 < end) store1(KEEP(1, load1(x, i + 1), u.y), y, i + 1);
            if (i + 2 < end) store1(KEEP(1, load1(x, i + 2), u.z), y, i + 2);
        }
    }
#endif
}
