#include <string.h>

#include "core/base/mem.h"
#include "io/text/intern_priv.h"

/* Eight bytes at a time, multiply and fold. Chosen for speed on short strings; an attacker can make it slow, not wrong. */
static uint64_t hash_bytes(const unsigned char *p, size_t n)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = n * k, w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = (h ^ w) * k;
        h ^= h >> 32;
    }
    w = 0;
    memcpy(&w, p, n);
    h = (h ^ w) * k;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

void bm_intern_init(bm_intern *t) { *t = (bm_intern){0}; }

void bm_intern_finish(bm_intern *t)
{
    bm_free(t->bytes);
    bm_free(t->start);
    bm_free(t->tag);
    bm_free(t->slots);
    *t = (bm_intern){0};
}

void bm_intern_clear(bm_intern *t)
{
    if (t->n_slots) memset(t->slots, 0, t->n_slots * sizeof *t->slots);
    t->count = 0;
    t->used = 0;
}

static uint32_t find(const bm_intern *t, uint64_t hash, const void *bytes, size_t n, size_t *slot)
{
    size_t mask = t->n_slots - 1;
    uint32_t tag = (uint32_t)(hash >> 32);
    for (*slot = (size_t)hash & mask; t->slots[*slot]; *slot = (*slot + 1) & mask) {
        uint32_t number = t->slots[*slot] - 1;
        size_t m;
        const unsigned char *text = bm_intern_text(t, number, &m);
        if (t->tag[number] == tag && m == n && memcmp(text, bytes, n) == 0) return number;
    }
    return BM_INTERN_NONE;
}

uint32_t bm_intern_find(const bm_intern *t, const void *bytes, size_t n)
{
    size_t slot;
    return t->n_slots ? find(t, hash_bytes(bytes, n), bytes, n, &slot) : BM_INTERN_NONE;
}

/* Twice as many slots; hashes are computed again, so that only half of each need be kept. */
static bm_status grow_slots(bm_intern *t)
{
    size_t n_slots = t->n_slots ? 2 * t->n_slots : 64;
    uint32_t *slots = bm_calloc(n_slots, sizeof *slots);
    if (!slots) return BM_ERR_MEMORY;
    for (uint32_t i = 0; i < t->count; i++) {
        size_t n, slot;
        const unsigned char *text = bm_intern_text(t, i, &n);
        slot = (size_t)hash_bytes(text, n) & (n_slots - 1);
        while (slots[slot]) slot = (slot + 1) & (n_slots - 1);
        slots[slot] = i + 1;
    }
    bm_free(t->slots);
    t->slots = slots;
    t->n_slots = n_slots;
    return BM_OK;
}

static bm_status reserve(bm_intern *t, size_t n)
{
    if (t->count + 1 > t->capacity) {
        size_t capacity = t->capacity ? t->capacity + t->capacity / 2 : 64;
        uint32_t *p = bm_realloc(t->start, capacity + 1, sizeof *p);
        if (!p) return BM_ERR_MEMORY;
        t->start = p;
        p = bm_realloc(t->tag, capacity, sizeof *p);
        if (!p) return BM_ERR_MEMORY;
        t->tag = p;
        t->capacity = capacity;
    }
    if (n > t->room - t->used) {
        size_t room = t->room + t->room / 2 + n + 1024;
        unsigned char *bytes = bm_realloc(t->bytes, room, 1);
        if (!bytes) return BM_ERR_MEMORY;
        t->bytes = bytes;
        t->room = room;
    }
    return 4 * (t->count + 1) > 3 * t->n_slots ? grow_slots(t) : BM_OK;
}

bm_status bm_intern_add(uint32_t *out, bm_intern *t, const void *bytes, size_t n)
{
    uint64_t hash = hash_bytes(bytes, n);
    size_t slot;
    if (t->n_slots) {
        *out = find(t, hash, bytes, n, &slot);
        if (*out != BM_INTERN_NONE) return BM_OK;
    }
    if (n > UINT32_MAX - 1 - t->used || t->count >= UINT32_MAX - 1)
        return bm_fail(BM_ERR_MEMORY, "more than 4 GiB of distinct strings");
    BM_TRY(reserve(t, n));
    find(t, hash, bytes, n, &slot);
    if (n) memcpy(t->bytes + t->used, bytes, n);
    t->start[t->count] = (uint32_t)t->used;
    t->used += n;
    t->start[t->count + 1] = (uint32_t)t->used;
    t->tag[t->count] = (uint32_t)(hash >> 32);
    *out = (uint32_t)t->count++;
    t->slots[slot] = *out + 1;
    return BM_OK;
}
