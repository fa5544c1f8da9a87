/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
 * 1, 2, 3" (SC 2011), section 4.3. The same numbers come from cl/lib/philox.clh on a device. */
#ifndef BM_CORE_BASE_RNG_H
#define BM_CORE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = Philox4x32-10(counter, key). */
BM_API void bm_philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/* bm's use of it: key = seed; counter = (element / 4 low, element / 4 high, step, stream); lane element % 4.
 * A draw depends on these four numbers alone, never on the device or the order of calls. */
typedef struct bm_rng {
    uint64_t seed;
    uint32_t stream;  /* one per use: a dropout layer, a parameter's initialisation, sampling */
    uint32_t step;
    uint64_t element; /* the next draw of the sequential calls below */
} bm_rng;

BM_API uint32_t bm_rng_at(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element);
BM_API bm_rng bm_rng_start(uint64_t seed, uint32_t stream, uint32_t step);
BM_API uint32_t bm_rng_u32(bm_rng *r);
BM_API float bm_rng_uniform(bm_rng *r);          /* [0, 1): the top 24 bits times 2^-24 */
BM_API float bm_rng_normal(bm_rng *r);           /* N(0, 1) by Box and Muller; takes two draws */
BM_API uint64_t bm_rng_below(bm_rng *r, uint64_t n); /* unbiased in [0, n); n > 0 */

/* A stream number from a name (FNV-1a), so that streams do not depend on the order of declaration. */
BM_API uint32_t bm_rng_stream(const char *name);

#ifdef __cplusplus
}
#endif
#endif
