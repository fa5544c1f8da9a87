#include "core/base/mem.h"
#include "io/text/pair_map_priv.h"

void bm_pair_map_init(bm_pair_map *m) { *m = (bm_pair_map){0}; }

void bm_pair_map_finish(bm_pair_map *m)
{
    bm_free(m->keys);
    bm_free(m->values);
    *m = (bm_pair_map){0};
}

static void put(bm_pair_map *m, uint64_t pair, uint32_t number)
{
    size_t i = bm_pair_slot(m, pair);
    while (m->keys[i] != BM_PAIR_EMPTY) i = (i + 1) & (m->n_slots - 1);
    m->keys[i] = pair;
    m->values[i] = number;
}

static bm_status grow(bm_pair_map *m)
{
    bm_pair_map bigger = {.n_slots = m->n_slots ? 2 * m->n_slots : 64, .count = m->count};
    bigger.keys = bm_calloc(bigger.n_slots, sizeof *bigger.keys);
    bigger.values = bm_calloc(bigger.n_slots, sizeof *bigger.values);
    if (!bigger.keys || !bigger.values) {
        bm_pair_map_finish(&bigger);
        return BM_ERR_MEMORY;
    }
    for (size_t i = 0; i < bigger.n_slots; i++) bigger.keys[i] = BM_PAIR_EMPTY;
    for (size_t i = 0; i < m->n_slots; i++) {
        if (m->keys[i] != BM_PAIR_EMPTY) put(&bigger, m->keys[i], m->values[i]);
    }
    bm_pair_map_finish(m);
    *m = bigger;
    return BM_OK;
}

bm_status bm_pair_map_add(bm_pair_map *m, uint64_t pair, uint32_t number)
{
    if (10 * (m->count + 1) > 7 * m->n_slots) BM_TRY(grow(m));
    put(m, pair, number);
    m->count++;
    return BM_OK;
}

/* Entries behind the gap move up to it when their own place is at or before it, so that no search stops short (Knuth,
 * The Art of Computer Programming, volume 3, algorithm 6.4 R). */
void bm_pair_map_remove(bm_pair_map *m, uint64_t pair)
{
    size_t mask = m->n_slots - 1, gap;
    if (!m->n_slots) return;
    for (gap = bm_pair_slot(m, pair); m->keys[gap] != pair; gap = (gap + 1) & mask) {
        if (m->keys[gap] == BM_PAIR_EMPTY) return;
    }
    for (size_t i = (gap + 1) & mask; m->keys[i] != BM_PAIR_EMPTY; i = (i + 1) & mask) {
        if (((i - bm_pair_slot(m, m->keys[i])) & mask) < ((i - gap) & mask)) continue;
        m->keys[gap] = m->keys[i];
        m->values[gap] = m->values[i];
        gap = i;
    }
    m->keys[gap] = BM_PAIR_EMPTY;
    m->count--;
}
