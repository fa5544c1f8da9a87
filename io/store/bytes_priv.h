/* Little-endian numbers in byte strings, and a cursor that cannot leave its string. */
#ifndef BM_IO_STORE_BYTES_PRIV_H
#define BM_IO_STORE_BYTES_PRIV_H

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensor bytes go to the file as they lie in memory: a big-endian host needs a conversion here"
#endif

static inline uint16_t bm_get_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t bm_get_u32(const uint8_t *p) { return bm_get_u16(p) | (uint32_t)bm_get_u16(p + 2) << 16; }
static inline uint64_t bm_get_u64(const uint8_t *p) { return bm_get_u32(p) | (uint64_t)bm_get_u32(p + 4) << 32; }

static inline void bm_put_u32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(x >> 8 * i);
}
static inline void bm_put_u64(uint8_t *p, uint64_t x)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(x >> 8 * i);
}

typedef struct bm_span {
    const uint8_t *p;
    size_t n;
} bm_span;

/* The next n bytes, or NULL when there are not so many. */
static inline const uint8_t *bm_span_take(bm_span *s, size_t n)
{
    if (n > s->n) return NULL;
    const uint8_t *p = s->p;
    s->p += n;
    s->n -= n;
    return p;
}

/* A number of 1, 2, 4 or 8 bytes into *out; 0 when it is cut short. */
static inline int bm_span_uint(uint64_t *out, bm_span *s, size_t bytes)
{
    const uint8_t *p = bm_span_take(s, bytes);
    if (!p) return 0;
    *out = 0;
    for (size_t i = 0; i < bytes; i++) *out |= (uint64_t)p[i] << 8 * i;
    return 1;
}

#endif
