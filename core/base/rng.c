#include "core/base/rng.h"

#include <math.h>

/* The multipliers and key increments of Philox4x32, Salmon et al., table 2 and section 4.3. */
static const uint32_t multiplier0 = 0xd2511f53u, multiplier1 = 0xcd9e8d57u;
static const uint32_t weyl0 = 0x9e3779b9u, weyl1 = 0xbb67ae85u;
static const double two_pi = 6.283185307179586476925286766559;

void bm_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)multiplier0 * c0, p1 = (uint64_t)multiplier1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += weyl0;
        k1 += weyl1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The four draws from 4 * `block` on. */
static void draw_block(uint32_t out[4], uint64_t seed, uint32_t stream, uint32_t step, uint64_t block)
{
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), step, stream};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    bm_philox4x32(out, counter, key);
}

uint32_t bm_rng_at(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element)
{
    uint32_t block[4];
    draw_block(block, seed, stream, step, element / 4);
    return block[element % 4];
}

bm_rng bm_rng_start(uint64_t seed, uint32_t stream, uint32_t step)
{
    return (bm_rng){.seed = seed, .stream = stream, .step = step, .element = 0};
}

uint32_t bm_rng_u32(bm_rng *r) { return bm_rng_at(r->seed, r->stream, r->step, r->element++); }

float bm_rng_uniform(bm_rng *r) { return (float)(bm_rng_u32(r) >> 8) * 0x1p-24f; }

/* Box and Muller, "A Note on the Generation of Random Normal Deviates" (1958): radius in (0, 1], angle in [0, 1). */
static float normal_of(uint32_t a, uint32_t b)
{
    double radius = sqrt(-2.0 * log(((double)a + 1.0) * 0x1p-32));
    return (float)(radius * cos(two_pi * ((double)b * 0x1p-32)));
}

float bm_rng_normal(bm_rng *r)
{
    uint32_t a = bm_rng_u32(r), b = bm_rng_u32(r);
    return normal_of(a, b);
}

uint64_t bm_rng_below(bm_rng *r, uint64_t n)
{
    const uint64_t least = (0 - n) % n; /* 2^64 mod n: what lies below would make small results likelier */
    for (;;) {
        uint64_t high = bm_rng_u32(r);
        uint64_t x = high << 32 | bm_rng_u32(r);
        if (x >= least) return x % n;
    }
}

uint32_t bm_rng_stream(const char *name)
{
    uint32_t h = 2166136261u;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) h = (h ^ *p) * 16777619u;
    return h;
}
