#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "io/text/bpe_priv.h"

#define SHORT_BYTES 32 /* up to here looking at every pair again beats a heap */
#define MOST_TEXT ((size_t)1 << 30)

struct bm_bpe_node {
    uint32_t id;
    uint32_t rank;       /* of this node with the next, or BM_PAIR_NONE */
    uint32_t prev, next; /* positions; NONE at the ends */
};

#define NONE UINT32_MAX

static bm_status check_bytes(const uint32_t byte_id[BM_BPE_BYTES])
{
    unsigned char seen[BM_BPE_BYTES] = {0};
    for (unsigned i = 0; i < BM_BPE_BYTES; i++) {
        if (byte_id[i] >= BM_BPE_BYTES || seen[byte_id[i]])
            return bm_fail(BM_ERR_DAMAGED, "tokenizer: the ids of the 256 bytes are not 0 to 255, each once (byte %u: %u)", i,
                           byte_id[i]);
        seen[byte_id[i]] = 1;
    }
    return BM_OK;
}

/* Where the text of each id starts, checking that every merge joins ids made before it. */
static bm_status lay_out(bm_bpe *b)
{
    size_t n_ids = BM_BPE_BYTES + b->n_merges, used = 0;
    for (size_t id = 0; id < n_ids; id++) {
        size_t length = 1;
        if (id >= BM_BPE_BYTES) {
            const uint32_t *pair = b->merges + 2 * (id - BM_BPE_BYTES);
            if (pair[0] >= id || pair[1] >= id)
                return bm_fail(BM_ERR_DAMAGED, "tokenizer: merge %zu joins %u and %u, of which one does not exist yet",
                               id - BM_BPE_BYTES, pair[0], pair[1]);
            length = b->start[pair[0] + 1] - b->start[pair[0]] + b->start[pair[1] + 1] - b->start[pair[1]];
        }
        b->start[id] = used;
        if (bm_add_size(&used, used, length) || used > MOST_TEXT)
            return bm_fail(BM_ERR_DAMAGED, "tokenizer: the texts of its tokens take more than 1 GiB");
        b->start[id + 1] = used;
    }
    return BM_OK;
}

static void copy_token(bm_bpe *b, unsigned char **at, uint32_t id)
{
    size_t n = b->start[id + 1] - b->start[id];
    memcpy(*at, b->text + b->start[id], n);
    *at += n;
}

static bm_status fill(bm_bpe *b)
{
    size_t n_ids = BM_BPE_BYTES + b->n_merges;
    b->text = bm_alloc(b->start[n_ids]);
    if (!b->text) return BM_ERR_MEMORY;
    for (unsigned i = 0; i < BM_BPE_BYTES; i++) b->text[b->start[b->byte_id[i]]] = (unsigned char)i;
    for (size_t k = 0; k < b->n_merges; k++) {
        const uint32_t *pair = b->merges + 2 * k;
        unsigned char *at = b->text + b->start[BM_BPE_BYTES + k];
        if (bm_pair_map_find(&b->ranks, bm_pair(pair[0], pair[1])) != BM_PAIR_NONE)
            return bm_fail(BM_ERR_DAMAGED, "tokenizer: merge %zu joins %u and %u a second time", k, pair[0], pair[1]);
        BM_TRY(bm_pair_map_add(&b->ranks, bm_pair(pair[0], pair[1]), (uint32_t)k));
        copy_token(b, &at, pair[0]);
        copy_token(b, &at, pair[1]);
    }
    return BM_OK;
}

bm_status bm_bpe_init(bm_bpe *b, const uint32_t byte_id[BM_BPE_BYTES], const uint32_t *merges, size_t n_merges)
{
    bm_status status = BM_OK;
    memset(b, 0, sizeof *b);
    BM_TRY(check_bytes(byte_id));
    if (n_merges > BM_BPE_MOST_MERGES) return bm_fail(BM_ERR_DAMAGED, "tokenizer: %zu merges are too many", n_merges);
    memcpy(b->byte_id, byte_id, sizeof b->byte_id);
    b->n_merges = n_merges;
    b->merges = bm_calloc(n_merges + 1, 2 * sizeof *b->merges);
    b->start = bm_calloc(BM_BPE_BYTES + n_merges + 1, sizeof *b->start);
    if (!b->merges || !b->start) BM_GO(BM_ERR_MEMORY);
    if (n_merges) memcpy(b->merges, merges, n_merges * 2 * sizeof *merges);
    BM_GO(lay_out(b));
    BM_GO(fill(b));
done:
    if (status) bm_bpe_finish(b);
    return status;
}

void bm_bpe_finish(bm_bpe *b)
{
    bm_free(b->merges);
    bm_free(b->start);
    bm_free(b->text);
    bm_pair_map_finish(&b->ranks);
    memset(b, 0, sizeof *b);
}

void bm_bpe_scratch_finish(bm_bpe_scratch *s)
{
    bm_free(s->nodes);
    bm_free(s->heap);
    *s = (bm_bpe_scratch){0};
}

static uint32_t rank_of(const bm_bpe *b, uint32_t left, uint32_t right)
{
    return bm_pair_map_find(&b->ranks, bm_pair(left, right));
}

static size_t encode_short(uint32_t *ids, const bm_bpe *b, const unsigned char *bytes, size_t n)
{
    uint32_t rank[SHORT_BYTES];
    for (size_t i = 0; i < n; i++) ids[i] = b->byte_id[bytes[i]];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(b, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            if (rank[i] < rank[best]) best = i;
        }
        if (rank[best] == NONE) break;
        ids[best] = BM_BPE_BYTES + rank[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) memmove(rank + best + 1, rank + best + 2, (n - best - 2) * sizeof *rank);
        if (best + 1 < n) rank[best] = rank_of(b, ids[best], ids[best + 1]);
        if (best > 0) rank[best - 1] = rank_of(b, ids[best - 1], ids[best]);
    }
    return n;
}

static bm_status push(bm_bpe_scratch *s, uint32_t rank, uint32_t at)
{
    uint64_t entry = (uint64_t)rank << 32 | at;
    size_t i = s->n_heap;
    if (rank == NONE) return BM_OK;
    if (i == s->heap_capacity) {
        size_t capacity = 2 * i + 256;
        uint64_t *heap = bm_realloc(s->heap, capacity, sizeof *heap);
        if (!heap) return BM_ERR_MEMORY;
        s->heap = heap;
        s->heap_capacity = capacity;
    }
    for (s->n_heap++; i > 0 && s->heap[(i - 1) / 2] > entry; i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = entry;
    return BM_OK;
}

static uint64_t pop(bm_bpe_scratch *s)
{
    uint64_t top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->n_heap) break;
        if (child + 1 < s->n_heap && s->heap[child + 1] < s->heap[child]) child++;
        if (s->heap[child] >= last) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static bm_status start_nodes(bm_bpe_scratch *s, const bm_bpe *b, const unsigned char *bytes, size_t n)
{
    struct bm_bpe_node *node;
    if (n > s->n_nodes) {
        node = bm_realloc(s->nodes, n, sizeof *node);
        if (!node) return BM_ERR_MEMORY;
        s->nodes = node;
        s->n_nodes = n;
    }
    s->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)i, id = b->byte_id[bytes[i]];
        uint32_t rank = i + 1 < n ? rank_of(b, id, b->byte_id[bytes[i + 1]]) : NONE;
        s->nodes[i] = (struct bm_bpe_node){id, rank, i ? at - 1 : NONE, i + 1 < n ? at + 1 : NONE};
        BM_TRY(push(s, rank, at));
    }
    return BM_OK;
}

/* A pair is in the heap as often as it was seen; an entry counts only while its node still has that rank. */
static bm_status encode_long(uint32_t *ids, size_t *count, const bm_bpe *b, bm_bpe_scratch *s, const unsigned char *bytes,
                             size_t n)
{
    struct bm_bpe_node *node;
    BM_TRY(start_nodes(s, b, bytes, n));
    node = s->nodes;
    while (s->n_heap) {
        uint64_t top = pop(s);
        uint32_t rank = (uint32_t)(top >> 32), at = (uint32_t)top, gone, next, prev;
        if (node[at].rank != rank) continue;
        gone = node[at].next;
        next = node[gone].next;
        prev = node[at].prev;
        node[gone].rank = NONE;
        node[at].id = BM_BPE_BYTES + rank;
        node[at].next = next;
        node[at].rank = next == NONE ? NONE : rank_of(b, node[at].id, node[next].id);
        BM_TRY(push(s, node[at].rank, at));
        if (next != NONE) node[next].prev = at;
        if (prev == NONE) continue;
        node[prev].rank = rank_of(b, node[prev].id, node[at].id);
        BM_TRY(push(s, node[prev].rank, prev));
    }
    *count = 0;
    for (uint32_t i = 0; i != NONE; i = node[i].next) ids[(*count)++] = node[i].id;
    return BM_OK;
}

bm_status bm_bpe_encode(uint32_t *ids, size_t *count, const bm_bpe *b, bm_bpe_scratch *s, const unsigned char *bytes, size_t n)
{
    if (n > SHORT_BYTES) return encode_long(ids, count, b, s, bytes, n);
    *count = encode_short(ids, b, bytes, n);
    return BM_OK;
}
