/* Draws of N(mean, std) by Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958):
 *
 *     y[i] = mean + std sqrt(-2 ln u) cos(2 pi v),    u = (a + 1) / 2^32, v = b / 2^32
 *     a, b = draws 2 i and 2 i + 1 of Philox(seed, stream, step), seed and step run-time scalars: what bm_rng_normal() takes
 *
 * y [n]; std 0 writes mean. A work-item does FLAT_BLOCK elements: 16 at a time (cpu) or the 4 of two counters (plain). No local
 * memory. Options: STORAGE (types.clh), CPU (grid.clh).
 *
 * ln and cos as Cephes' logf, sinf and cosf have them; their arguments are whole numbers until they are small, so that nothing
 * is lost near u = 1 or in the reduction of the angle. A draw is within 3e-7 of the true one. */

#include "grid.clh"
#include "philox.clh"
#include "scalars.clh"

#define NORMAL_OF_WIDTH(n, F, U, I)                                                                                    \
    FN F radius##n(U a)                                                                                                \
    {                                                                                                                  \
        /* u = 2^(e - 32) m, m in [sqrt(1/2), sqrt(2)); from sqrt(1/2) on 1 - u, exact as a whole number. */            \
        const F x = PASTE(convert_, F)(a) + (F)(1.0f);                                                                 \
        const I bits = PASTE(as_, I)(x);                                                                               \
        const I e = (bits - (I)(0x3f3504f3)) >> 23;                                                                    \
        const F m = PASTE(as_, F)(bits - (e << 23));                                                                   \
        const I near = a >= (U)(0xb504f334u);                                                                          \
        const F rest = PASTE(convert_, F)(~a) * (F)(-0x1p-32f);                                                        \
        const F f = PASTE(as_, F)((near & PASTE(as_, I)(rest)) | (~near & PASTE(as_, I)(m - (F)(1.0f))));               \
        const F k = PASTE(convert_, F)((e - (I)(32)) & ~near);                                                         \
        const F z = f * f;                                                                                             \
        F p = FMA(f, (F)(7.0376836292e-2f), (F)(-1.1514610310e-1f));                                                   \
        p = FMA(p, f, (F)(1.1676998740e-1f));                                                                          \
        p = FMA(p, f, (F)(-1.2420140846e-1f));                                                                         \
        p = FMA(p, f, (F)(1.4249322787e-1f));                                                                          \
        p = FMA(p, f, (F)(-1.6668057665e-1f));                                                                         \
        p = FMA(p, f, (F)(2.0000714765e-1f));                                                                          \
        p = FMA(p, f, (F)(-2.4999993993e-1f));                                                                         \
        p = FMA(p, f, (F)(3.3333331174e-1f));                                                                          \
        F l = FMA(p * z, f, (F)(-0.5f) * z);                                                                           \
        l = FMA(k, (F)(-2.12194440e-4f), l) + f;                                                                       \
        l = FMA(k, (F)(0.693359375f), l);                                                                              \
        return sqrt((F)(-2.0f) * min(l, (F)(0.0f)));                                                                   \
    }                                                                                                                  \
    FN F cosine##n(U b) /* of 2 pi b / 2^32 */                                                                         \
    {                                                                                                                  \
        const U quarter = (b + (U)(0x20000000u)) >> (U)(30u);                                                          \
        const F x = PASTE(convert_, F)(PASTE(as_, I)(b - (quarter << (U)(30u)))) * (F)(1.46291808e-9f);                \
        const F z = x * x;                                                                                             \
        F s = FMA(z, (F)(-1.9515295891e-4f), (F)(8.3321608736e-3f));                                                   \
        s = FMA(s, z, (F)(-1.6666654611e-1f));                                                                         \
        s = FMA(s * z, x, x);                                                                                          \
        F c = FMA(z, (F)(2.443315711809948e-5f), (F)(-1.388731625493765e-3f));                                         \
        c = FMA(c, z, (F)(4.166664568298827e-2f));                                                                     \
        c = FMA(c * z, z, FMA(z, (F)(-0.5f), (F)(1.0f)));                                                              \
        const U odd = (U)(0u) - (quarter & (U)(1u)), sign = ((quarter + (U)(1u)) & (U)(2u)) << (U)(30u);               \
        return PASTE(as_, F)(((odd & PASTE(as_, U)(s)) | (~odd & PASTE(as_, U)(c))) ^ sign);                           \
    }

#if CPU
NORMAL_OF_WIDTH(16, float16, uint16, int16)
#else
NORMAL_OF_WIDTH(2, float2, uint2, int2)
#endif

__kernel void normal(__global stored *y, __global const uint *rt, const long n, const uint stream, const float mean,
                     const float std)
{
    const uint seed_lo = rt[BM_RT_SEED_LO], seed_hi = rt[BM_RT_SEED_HI], step = rt[BM_RT_RNG_STEP];
    size_t i = get_global_id(0) * FLAT_BLOCK;
    const size_t end = min(i + FLAT_BLOCK, (size_t)n);
#if CPU
    for (; i < end; i += 16) {
        uint16 a, b;
        draws32(&a, &b, seed_lo, seed_hi, stream, step, i / 2);
        const float16 r = radius16((uint16)(a.even, b.even)) * cosine16((uint16)(a.odd, b.odd));
        const float16 x = FMA(r, (float16)(std), (float16)(mean));
        if (i + 16 <= end) {
            store16(x, y, i);
        } else {
            float rest[16];
            vstore16(x, 0, rest);
            for (size_t k = 0; i + k < end; k++) store1(rest[k], y, i + k);
        }
    }
#else
    for (; i < end; i += 2) {
        const uint4 u = draws4(seed_lo, seed_hi, stream, step, i / 2);
        const float2 x = FMA(radius2((uint2)(u.x, u.z)) * cosine2((uint2)(u.y, u.w)), (float2)(std), (float2)(mean));
        store1(x.x, y, i);
        if (i + 1 < end) store1(x.y, y, i + 1);
    }
#endif
}
