#include "io/text/tokenizer.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "io/text/tokenizer_priv.h"

static bm_status create(bm_tokenizer **out, bm_tokenizer_kind kind, const uint32_t byte_id[256], const uint32_t *merges,
                        size_t n_merges)
{
    bm_tokenizer *t = bm_calloc(1, sizeof *t);
    bm_status status;
    *out = NULL;
    if (!t) return BM_ERR_MEMORY;
    t->kind = kind;
    t->vocab_size = (uint32_t)(BM_BPE_BYTES + n_merges + 1);
    status = bm_bpe_init(&t->bpe, byte_id, merges, n_merges);
    if (status) bm_tokenizer_destroy(t);
    else *out = t;
    return status;
}

bm_status bm_tokenizer_create_byte(bm_tokenizer **out)
{
    uint32_t byte_id[BM_BPE_BYTES];
    for (uint32_t i = 0; i < BM_BPE_BYTES; i++) byte_id[i] = i;
    return create(out, BM_TOKENIZER_BYTE, byte_id, NULL, 0);
}

bm_status bm_tokenizer_create_bpe(bm_tokenizer **out, const uint32_t byte_id[256], const uint32_t *merges, size_t n_merges)
{
    return create(out, BM_TOKENIZER_BPE, byte_id, merges, n_merges);
}

void bm_tokenizer_destroy(bm_tokenizer *t)
{
    if (!t) return;
    bm_bpe_finish(&t->bpe);
    bm_free(t);
}

bm_tokenizer_kind bm_tokenizer_get_kind(const bm_tokenizer *t) { return t->kind; }
const char *bm_tokenizer_kind_name(const bm_tokenizer *t) { return t->kind == BM_TOKENIZER_BYTE ? "byte" : "bpe"; }
uint32_t bm_tokenizer_vocab_size(const bm_tokenizer *t) { return t->vocab_size; }
uint32_t bm_tokenizer_eot(const bm_tokenizer *t) { return t->vocab_size - 1; }

const unsigned char *bm_tokenizer_token(const bm_tokenizer *t, uint32_t id, size_t *bytes)
{
    *bytes = 0;
    if (id >= t->vocab_size) return NULL;
    if (id == bm_tokenizer_eot(t)) {
        *bytes = sizeof BM_END_OF_TEXT - 1;
        return (const unsigned char *)BM_END_OF_TEXT;
    }
    *bytes = t->bpe.start[id + 1] - t->bpe.start[id];
    return t->bpe.text + t->bpe.start[id];
}

bm_status bm_tokenizer_decode(char **out, size_t *bytes, const bm_tokenizer *t, const uint32_t *ids, size_t n)
{
    size_t total = 0, k;
    char *at;
    *out = NULL;
    *bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (!bm_tokenizer_token(t, ids[i], &k))
            return bm_fail(BM_ERR_SHAPE, "token %u at %zu is outside the vocabulary of %u", ids[i], i, t->vocab_size);
        if (ids[i] != bm_tokenizer_eot(t) && bm_add_size(&total, total, k))
            return bm_fail(BM_ERR_MEMORY, "the text of %zu tokens", n);
    }
    at = bm_alloc(total + 1);
    if (!at) return BM_ERR_MEMORY;
    *out = at;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *token = bm_tokenizer_token(t, ids[i], &k);
        if (ids[i] == bm_tokenizer_eot(t)) continue;
        memcpy(at, token, k);
        at += k;
    }
    *at = '\0';
    *bytes = total;
    return BM_OK;
}
