/* Pairs of neighbouring symbols with how often and where they occur, the most frequent first; ties go to the smaller pair.
 * Counts are raised in the step that makes a pair only, and lowered at any time. */
#ifndef BM_IO_TEXT_PAIR_QUEUE_PRIV_H
#define BM_IO_TEXT_PAIR_QUEUE_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/text/pair_map_priv.h"

typedef struct bm_queued_pair {
    uint64_t key; /* bm_pair(left, right) */
    int64_t count;
    uint32_t first, n; /* places[first .. first + n), ascending; stale ones among them */
} bm_queued_pair;

typedef struct bm_pair_queue {
    bm_pair_map index; /* key -> number of the pair */
    bm_queued_pair *pairs;
    size_t n_pairs, pairs_capacity;
    uint32_t *unused;  /* numbers that may be given again */
    size_t n_unused, unused_capacity;
    uint32_t *created; /* in this step */
    size_t n_created, created_capacity;
    struct bm_pair_seen *seen; /* in this step, in order of place */
    size_t n_seen, seen_capacity;
    struct bm_pair_candidate *heap;
    size_t n_heap, heap_capacity;
    uint32_t *places;
    size_t n_places, places_capacity;
} bm_pair_queue;

void bm_pair_queue_init(bm_pair_queue *q);
void bm_pair_queue_finish(bm_pair_queue *q);
/* `weight` more of a pair at `place`; places come in ascending order for each pair. */
bm_status bm_pair_queue_add(bm_pair_queue *q, uint64_t key, int64_t weight, uint32_t place);
void bm_pair_queue_subtract(bm_pair_queue *q, uint64_t key, int64_t weight);
/* The pairs made since the last call take part from now on. */
bm_status bm_pair_queue_end_step(bm_pair_queue *q);
/* Takes out the best pair; its places are q->places[out->first ..]. 0 when there is none. */
int bm_pair_queue_pop(bm_queued_pair *out, bm_pair_queue *q);

#endif
