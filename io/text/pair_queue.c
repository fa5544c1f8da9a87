#include "io/text/pair_queue_priv.h"

#include <string.h>

#include "core/base/mem.h"

#define MOST_SEEN_KEPT ((size_t)1 << 16) /* the first step sees every place of the text, later ones few */

struct bm_pair_seen {
    uint32_t pair, place;
};

/* The count may have fallen since; it is looked at again when the candidate comes to the top. */
struct bm_pair_candidate {
    int64_t count;
    uint32_t pair;
};

void bm_pair_queue_init(bm_pair_queue *q) { *q = (bm_pair_queue){0}; }

void bm_pair_queue_finish(bm_pair_queue *q)
{
    bm_pair_map_finish(&q->index);
    bm_free(q->pairs);
    bm_free(q->unused);
    bm_free(q->created);
    bm_free(q->seen);
    bm_free(q->heap);
    bm_free(q->places);
    bm_pair_queue_init(q);
}

/* Room for `more` elements beyond n in the array that *(void **)array points to, whatever its type. */
static bm_status reserve(void *array, size_t *capacity, size_t n, size_t more, size_t element)
{
    size_t wanted = *capacity + *capacity / 4 + more + 256;
    void *p;
    if (n + more <= *capacity) return BM_OK;
    memcpy(&p, array, sizeof p);
    p = bm_realloc(p, wanted, element);
    if (!p) return BM_ERR_MEMORY;
    memcpy(array, &p, sizeof p);
    *capacity = wanted;
    return BM_OK;
}

static int before(const bm_pair_queue *q, const struct bm_pair_candidate *a, const struct bm_pair_candidate *b)
{
    if (a->count != b->count) return a->count > b->count;
    return q->pairs[a->pair].key < q->pairs[b->pair].key;
}

static void sift_up(bm_pair_queue *q, size_t i)
{
    struct bm_pair_candidate moved = q->heap[i];
    for (; i > 0 && before(q, &moved, &q->heap[(i - 1) / 2]); i = (i - 1) / 2) q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = moved;
}

static void sift_down(bm_pair_queue *q, size_t i)
{
    struct bm_pair_candidate moved = q->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= q->n_heap) break;
        if (child + 1 < q->n_heap && before(q, &q->heap[child + 1], &q->heap[child])) child++;
        if (!before(q, &q->heap[child], &moved)) break;
        q->heap[i] = q->heap[child];
        i = child;
    }
    q->heap[i] = moved;
}

static bm_status create(uint32_t *out, bm_pair_queue *q, uint64_t key)
{
    BM_TRY(reserve(&q->created, &q->created_capacity, q->n_created, 1, sizeof *q->created));
    if (q->n_unused) {
        *out = q->unused[q->n_unused - 1];
    } else {
        BM_TRY(reserve(&q->pairs, &q->pairs_capacity, q->n_pairs, 1, sizeof *q->pairs));
        BM_TRY(reserve(&q->unused, &q->unused_capacity, 0, q->n_pairs + 1, sizeof *q->unused));
        *out = (uint32_t)q->n_pairs;
    }
    BM_TRY(bm_pair_map_add(&q->index, key, *out));
    if (q->n_unused) q->n_unused--;
    else q->n_pairs++;
    q->pairs[*out] = (bm_queued_pair){.key = key};
    q->created[q->n_created++] = *out;
    return BM_OK;
}

static void drop(bm_pair_queue *q, uint32_t number)
{
    bm_pair_map_remove(&q->index, q->pairs[number].key);
    q->unused[q->n_unused++] = number;
}

bm_status bm_pair_queue_add(bm_pair_queue *q, uint64_t key, int64_t weight, uint32_t place)
{
    uint32_t number = bm_pair_map_find(&q->index, key);
    if (number == BM_PAIR_NONE) BM_TRY(create(&number, q, key));
    BM_TRY(reserve(&q->seen, &q->seen_capacity, q->n_seen, 1, sizeof *q->seen));
    q->seen[q->n_seen++] = (struct bm_pair_seen){number, place};
    q->pairs[number].n++;
    q->pairs[number].count += weight;
    return BM_OK;
}

void bm_pair_queue_subtract(bm_pair_queue *q, uint64_t key, int64_t weight)
{
    uint32_t number = bm_pair_map_find(&q->index, key);
    if (number != BM_PAIR_NONE) q->pairs[number].count -= weight;
}

/* Pairs that no longer occur leave the heap once they are half of it. */
static void sweep(bm_pair_queue *q)
{
    size_t kept = 0, gone = 0;
    for (size_t i = 0; i < q->n_heap; i++) gone += q->pairs[q->heap[i].pair].count <= 0;
    if (gone < q->n_heap / 2) return;
    for (size_t i = 0; i < q->n_heap; i++) {
        uint32_t number = q->heap[i].pair;
        if (q->pairs[number].count > 0) q->heap[kept++] = (struct bm_pair_candidate){q->pairs[number].count, number};
        else drop(q, number);
    }
    q->n_heap = kept;
    for (size_t i = kept / 2; i-- > 0;) sift_down(q, i);
}

bm_status bm_pair_queue_end_step(bm_pair_queue *q)
{
    BM_TRY(reserve(&q->places, &q->places_capacity, q->n_places, q->n_seen, sizeof *q->places));
    for (size_t i = 0; i < q->n_created; i++) {
        bm_queued_pair *p = &q->pairs[q->created[i]];
        p->first = (uint32_t)q->n_places;
        q->n_places += p->n;
        p->n = 0;
    }
    for (size_t i = 0; i < q->n_seen; i++) {
        bm_queued_pair *p = &q->pairs[q->seen[i].pair];
        q->places[p->first + p->n++] = q->seen[i].place;
    }
    q->n_seen = 0;
    if (q->seen_capacity > MOST_SEEN_KEPT) {
        bm_free(q->seen);
        q->seen = NULL;
        q->seen_capacity = 0;
    }
    if (q->n_heap + q->n_created > q->heap_capacity) sweep(q);
    BM_TRY(reserve(&q->heap, &q->heap_capacity, q->n_heap, q->n_created, sizeof *q->heap));
    for (size_t i = 0; i < q->n_created; i++) {
        uint32_t number = q->created[i];
        if (q->pairs[number].count <= 0) {
            drop(q, number);
            continue;
        }
        q->heap[q->n_heap] = (struct bm_pair_candidate){q->pairs[number].count, number};
        sift_up(q, q->n_heap++);
    }
    q->n_created = 0;
    return BM_OK;
}

int bm_pair_queue_pop(bm_queued_pair *out, bm_pair_queue *q)
{
    while (q->n_heap) {
        struct bm_pair_candidate *top = &q->heap[0];
        int64_t count = q->pairs[top->pair].count;
        if (count > 0 && count < top->count) {
            top->count = count;
            sift_down(q, 0);
            continue;
        }
        *out = q->pairs[top->pair];
        drop(q, top->pair);
        *top = q->heap[--q->n_heap];
        if (q->n_heap) sift_down(q, 0);
        if (count > 0) return 1;
    }
    return 0;
}
