/* XXH3-128 (of the xxhash library) and CRC32C. Digests are written big-endian, as xxhsum prints them. */
#ifndef BM_CORE_BASE_HASH_H
#define BM_CORE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_hash128 {
    uint8_t byte[16];
} bm_hash128;

BM_API bm_hash128 bm_hash(const void *data, size_t bytes);
BM_API int bm_hash_equal(const bm_hash128 *a, const bm_hash128 *b);
BM_API void bm_hash_hex(char out[33], const bm_hash128 *h);

/* Over several pieces. */
typedef struct bm_hasher bm_hasher;
BM_API bm_status bm_hasher_create(bm_hasher **out);
BM_API void bm_hasher_destroy(bm_hasher *h);
BM_API void bm_hasher_reset(bm_hasher *h);
BM_API void bm_hasher_add(bm_hasher *h, const void *data, size_t bytes);
BM_API bm_hash128 bm_hasher_digest(const bm_hasher *h);

/* CRC32C (Castagnoli; RFC 3720, appendix B.4). Start with crc = 0; pieces chain. */
BM_API uint32_t bm_crc32c(uint32_t crc, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
