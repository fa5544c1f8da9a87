/* From a pair of token ids to a number. */
#ifndef BM_IO_TEXT_PAIR_MAP_PRIV_H
#define BM_IO_TEXT_PAIR_MAP_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct bm_pair_map {
    uint64_t *keys;   /* left << 32 | right, or BM_PAIR_EMPTY */
    uint32_t *values;
    size_t n_slots;   /* a power of two, or 0 */
    size_t count;
} bm_pair_map;

#define BM_PAIR_NONE UINT32_MAX
#define BM_PAIR_EMPTY UINT64_MAX

static inline uint64_t bm_pair(uint32_t left, uint32_t right) { return (uint64_t)left << 32 | right; }

static inline size_t bm_pair_slot(const bm_pair_map *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32) & (m->n_slots - 1);
}

/* Its number, or BM_PAIR_NONE. */
static inline uint32_t bm_pair_map_find(const bm_pair_map *m, uint64_t pair)
{
    if (!m->n_slots) return BM_PAIR_NONE;
    for (size_t i = bm_pair_slot(m, pair); m->keys[i] != BM_PAIR_EMPTY; i = (i + 1) & (m->n_slots - 1)) {
        if (m->keys[i] == pair) return m->values[i];
    }
    return BM_PAIR_NONE;
}

void bm_pair_map_init(bm_pair_map *m);
void bm_pair_map_finish(bm_pair_map *m);
bm_status bm_pair_map_add(bm_pair_map *m, uint64_t pair, uint32_t number); /* the pair is not there yet */
void bm_pair_map_remove(bm_pair_map *m, uint64_t pair);

#endif
