/* Dropout (Srivastava et al. 2014), inverted: y[i] = x[i] / (1 - p) where u[i] >= p, else 0. The gradient is the same of dy.
 *
 *     u[i] = uniform of Philox(seed, stream, step, i), as bm_rng_at() gives it; seed and step are run-time scalars
 *
 * x, y [n]; y may be the memory of x. A work-item does FLAT_BLOCK elements: 64 at a time (cpu) or the 4 of one counter (plain).
 * No local memory. Options: STORAGE (types.clh), CPU (grid.clh). */

#include "grid.clh"
#include "philox.clh"
#include "scalars.clh"

/* The elements of two float16 by turns: a0 b0 a1 b1 ... of their lower halves, and of their upper ones. */
#define ZIP_LOW(a, b)                                                                                                  \
    (float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#define ZIP_HIGH(a, b)                                                                                                 \
    (float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf)

#define KEEP(w, x, u) ((u) >= (VEC(w))(p) ? (x) * (VEC(w))(factor) : (VEC(w))(0.0f))

__kernel void dropout(__global const stored *x, __global stored *y, __global const uint *rt, const long n, const uint stream,
                      const float p, const float factor)
{
    const uint seed_lo = rt[BM_RT_SEED_LO], seed_hi = rt[BM_RT_SEED_HI], step = rt[BM_RT_RNG_STEP];
    size_t i = get_global_id(0) * FLAT_BLOCK;
    const size_t end = min(i + FLAT_BLOCK, (size_t)n);
#if CPU
    for (; i < end; i += 64) {
        const philox16 d = draws16(seed_lo, seed_hi, stream, step, i / 4);
        const float16 ux = uniform16(d.x), uy = uniform16(d.y), uz = uniform16(d.z), uw = uniform16(d.w);
        const float16 a = ZIP_LOW(ux, uz), b = ZIP_HIGH(ux, uz), c = ZIP_LOW(uy, uw), e = ZIP_HIGH(uy, uw);
        const float16 u0 = ZIP_LOW(a, c), u1 = ZIP_HIGH(a, c), u2 = ZIP_LOW(b, e), u3 = ZIP_HIGH(b, e);
        if (i + 64 <= end) {
            store16(KEEP(16, load16(x, i), u0), y, i);
            store16(KEEP(16, load16(x, i + 16), u1), y, i + 16);
            store16(KEEP(16, load16(x, i + 32), u2), y, i + 32);
            store16(KEEP(16, load16(x, i + 48), u3), y, i + 48);
        } else {
            float u[64];
            vstore16(u0, 0, u);
            vstore16(u1, 1, u);
            vstore16(u2, 2, u);
            vstore16(u3, 3, u);
            for (size_t k = 0; i + k < end; k++) store1(KEEP(1, load1(x, i + k), u[k]), y, i + k);
        }
    }
#else
    if (i < end) {
        const philox1 d = draws1(seed_lo, seed_hi, stream, step, i / 4);
        const float4 u = (float4)(uniform1(d.x), uniform1(d.y), uniform1(d.z), uniform1(d.w));
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
