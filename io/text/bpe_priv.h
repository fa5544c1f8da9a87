/* Byte-level byte pair encoding (Sennrich, Haddow and Birch 2016, over bytes as in GPT-2): the merges and their use. */
#ifndef BM_IO_TEXT_BPE_PRIV_H
#define BM_IO_TEXT_BPE_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/text/pair_map_priv.h"

/* The 256 bytes have the ids 0..255 in some order; merge k joins two earlier ids into the id 256 + k. */
#define BM_BPE_BYTES 256u
#define BM_BPE_MOST_MERGES ((size_t)1 << 24)

typedef struct bm_bpe {
    uint32_t byte_id[BM_BPE_BYTES];
    uint32_t *merges;    /* [n_merges][2]: left, right */
    size_t n_merges;
    bm_pair_map ranks;   /* pair -> k */
    unsigned char *text; /* bytes of all ids, one after the other */
    size_t *start;       /* [256 + n_merges + 1] */
} bm_bpe;

/* Copies and checks the merges: BM_ERR_DAMAGED names the first that is not consistent. */
bm_status bm_bpe_init(bm_bpe *b, const uint32_t byte_id[BM_BPE_BYTES], const uint32_t *merges, size_t n_merges);
void bm_bpe_finish(bm_bpe *b);

/* What encoding a pretoken needs besides; one per thread. */
typedef struct bm_bpe_scratch {
    struct bm_bpe_node *nodes;
    size_t n_nodes;
    uint64_t *heap; /* rank << 32 | position, the least on top */
    size_t n_heap, heap_capacity;
} bm_bpe_scratch;

void bm_bpe_scratch_finish(bm_bpe_scratch *s);
/* The ids of one pretoken of n bytes (0 < n < 2^31) into ids[n]; *count of them. The pair of the lowest rank is joined first,
 * among equals the leftmost; O(n log n). */
bm_status bm_bpe_encode(uint32_t *ids, size_t *count, const bm_bpe *b, bm_bpe_scratch *s, const unsigned char *bytes, size_t n);

#endif
