#include "core/base/hash.h"

#include <pthread.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* the state's size, so that it lives in memory that is counted */
#include <xxhash.h>
#ifdef BM_HAS_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* renames the functions to those that look at the processor first */
#endif

#include "core/base/hash_priv.h"
#include "core/base/mem.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

struct bm_hasher {
    XXH3_state_t state;
};

static bm_hash128 canonical(XXH128_hash_t h)
{
    XXH128_canonical_t c;
    bm_hash128 out;
    XXH128_canonicalFromHash(&c, h);
    memcpy(out.byte, c.digest, sizeof out.byte);
    return out;
}

bm_hash128 bm_hash(const void *data, size_t bytes) { return canonical(XXH3_128bits(data, bytes)); }

int bm_hash_equal(const bm_hash128 *a, const bm_hash128 *b) { return memcmp(a->byte, b->byte, sizeof a->byte) == 0; }

void bm_hash_hex(char out[33], const bm_hash128 *h)
{
    static const char digit[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[2 * i] = digit[h->byte[i] >> 4];
        out[2 * i + 1] = digit[h->byte[i] & 15];
    }
    out[32] = '\0';
}

bm_status bm_hasher_create(bm_hasher **out)
{
    *out = bm_alloc_aligned(64, sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    XXH3_INITSTATE(&(*out)->state);
    bm_hasher_reset(*out);
    return BM_OK;
}

void bm_hasher_destroy(bm_hasher *h) { bm_free_aligned(h); }

void bm_hasher_reset(bm_hasher *h) { (void)XXH3_128bits_reset(&h->state); }

void bm_hasher_add(bm_hasher *h, const void *data, size_t bytes)
{
    if (bytes > 0) (void)XXH3_128bits_update(&h->state, data, bytes);
}

bm_hash128 bm_hasher_digest(const bm_hasher *h) { return canonical(XXH3_128bits_digest(&h->state)); }

/* CRC32C eight bytes at a time: table[k][b] is the checksum of byte b followed by k zeros. */
static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1u ? 0x82f63b78u : 0u);
        table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int b = 0; b < 256; b++) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255u];
}

static uint32_t crc32c_table(uint32_t c, const unsigned char *p, size_t n)
{
    pthread_once(&table_once, make_table);
    for (; n >= 8; n -= 8, p += 8) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = table[7][c & 255u] ^ table[6][c >> 8 & 255u] ^ table[5][c >> 16 & 255u] ^ table[4][c >> 24] ^
            table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; n > 0; n--, p++) c = c >> 8 ^ table[0][(c ^ *p) & 255u];
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t c, const unsigned char *p, size_t n)
{
    uint64_t c64 = c;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c64 = _mm_crc32_u64(c64, word);
    }
    c = (uint32_t)c64;
    for (; n > 0; n--, p++) c = _mm_crc32_u8(c, *p);
    return c;
}
#endif

uint32_t bm_crc32c_plain(uint32_t crc, const void *data, size_t bytes) { return ~crc32c_table(~crc, data, bytes); }

uint32_t bm_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc32c_sse42(~crc, data, bytes);
#endif
    return bm_crc32c_plain(crc, data, bytes);
}
