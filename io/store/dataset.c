#include "io/store/dataset.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/data_priv.h"
#include "io/store/dataset_priv.h"
#include "io/store/h5_priv.h"
#include "io/store/part_priv.h"

#define MOST_JSON ((int64_t)16 << 20)
#define MOST_BLOB ((int64_t)256 << 20)
#define PIECE 8192 /* ids or offsets looked at together */

struct bm_tokens {
    bm_store *store;
    const bm_entry *ids, *offsets;
    int64_t vocab, eot;
    char *tokenizer_json, *meta_json; /* NULL: none */
    void *blob;
    size_t blob_bytes;
};

static bm_status optional_text(char **out, const bm_store *s, const char *path)
{
    const bm_entry *e = bm_store_find(s, path);
    if (!e) return BM_OK;
    BM_TRY(bm_store_require(&e, s, path, BM_U8, NULL));
    return bm_store_load((void **)out, s, e, MOST_JSON);
}

/* Document offsets begin at 0, never fall, and end at the number of tokens. */
static bm_status check_offsets(const bm_tokens *t)
{
    uint64_t piece[PIECE / 8], last = 0;
    int64_t n = bm_shape_elements(&t->offsets->shape), count = bm_tokens_count(t);
    for (int64_t at = 0; at < n;) {
        int64_t k = n - at < PIECE / 8 ? n - at : PIECE / 8;
        BM_TRY(bm_store_read(t->store, t->offsets, piece, at, k));
        if (at == 0 && piece[0] != 0) return bm_refuse(BM_RULE_IDS, "the first document does not begin at token 0");
        for (int64_t i = 0; i < k; i++) {
            if (piece[i] < last || piece[i] > (uint64_t)count)
                return bm_refuse(BM_RULE_IDS, "document %" PRId64 " begins at token %" PRIu64 ", after %" PRIu64,
                                 at + i, piece[i], last);
            last = piece[i];
        }
        at += k;
    }
    if (n < 1 || last != (uint64_t)count)
        return bm_refuse(BM_RULE_IDS, "the documents end at token %" PRIu64 " of %" PRId64, last, count);
    return BM_OK;
}

static bm_status read_numbers(bm_tokens *t)
{
    const bm_store *s = t->store;
    uint64_t x;
    BM_TRY(bm_store_attr_u64(&x, s, "/tokens", "vocab_size"));
    if (x < 1 || x > INT32_MAX) return bm_refuse(BM_RULE_IDS, "a vocabulary of %" PRIu64, x);
    t->vocab = (int64_t)x;
    t->eot = -1;
    if (bm_store_attr(s, "/tokens", "eot_id")) {
        BM_TRY(bm_store_attr_u64(&x, s, "/tokens", "eot_id"));
        if (x >= (uint64_t)t->vocab) return bm_refuse(BM_RULE_IDS, "eot_id %" PRIu64 " is outside the vocabulary", x);
        t->eot = (int64_t)x;
    }
    BM_TRY(check_offsets(t));
    return bm_part_check(s, bm_tokens_count(t));
}

static bm_status read_tokens(bm_tokens *t)
{
    const bm_store *s = t->store;
    const bm_entry *e = bm_store_find(s, "/tokens/ids");
    if (bm_store_get_kind(s) != BM_STORE_DATASET)
        return bm_refuse(BM_RULE_SCHEMA, "a checkpoint, where a dataset is due");
    if (!e || (e->dtype != BM_U16 && e->dtype != BM_U32) || e->shape.rank != 1)
        return bm_refuse(BM_RULE_SCHEMA, "there is no /tokens/ids of u16 or u32: not a dataset of tokens");
    t->ids = e;
    e = bm_store_find(s, "/tokens/doc_offsets");
    if (!e || e->dtype != BM_U64 || e->shape.rank != 1)
        return bm_refuse(BM_RULE_SCHEMA, "there is no /tokens/doc_offsets u64");
    t->offsets = e;
    BM_TRY(read_numbers(t));
    BM_TRY(optional_text(&t->tokenizer_json, s, "/tokenizer/json"));
    BM_TRY(optional_text(&t->meta_json, s, "/meta/json"));
    e = bm_store_find(s, "/tokenizer/blob");
    if (!e) return BM_OK;
    t->blob_bytes = (size_t)e->bytes;
    return bm_store_load(&t->blob, s, e, MOST_BLOB);
}

bm_status bm_tokens_from_store(bm_tokens **out, bm_store *s)
{
    *out = NULL;
    bm_tokens *t = bm_calloc(1, sizeof *t);
    if (!t) {
        bm_store_close(s);
        return BM_ERR_MEMORY;
    }
    t->store = s;
    bm_status status = bm_fail_prefix(read_tokens(t), "%s", bm_store_path(s));
    if (status)
        bm_tokens_close(t);
    else
        *out = t;
    return status;
}

bm_status bm_tokens_open(bm_tokens **out, const char *path)
{
    bm_store *s;
    *out = NULL;
    BM_TRY(bm_store_open(&s, path));
    return bm_tokens_from_store(out, s);
}

void bm_tokens_close(bm_tokens *t)
{
    if (!t) return;
    bm_free(t->tokenizer_json);
    bm_free(t->meta_json);
    bm_free(t->blob);
    bm_store_close(t->store);
    bm_free(t);
}

const bm_store *bm_tokens_store(const bm_tokens *t) { return t->store; }
int64_t bm_tokens_count(const bm_tokens *t) { return t->ids->shape.dim[0]; }
int64_t bm_tokens_documents(const bm_tokens *t) { return t->offsets->shape.dim[0] - 1; }
int64_t bm_tokens_vocab(const bm_tokens *t) { return t->vocab; }
int64_t bm_tokens_eot(const bm_tokens *t) { return t->eot; }
const char *bm_tokens_tokenizer_json(const bm_tokens *t) { return t->tokenizer_json ? t->tokenizer_json : ""; }
const char *bm_tokens_meta_json(const bm_tokens *t) { return t->meta_json ? t->meta_json : ""; }

const void *bm_tokens_tokenizer_blob(size_t *bytes, const bm_tokens *t)
{
    *bytes = t->blob_bytes;
    return t->blob;
}

int bm_tokens_has_split(const bm_tokens *t, const char *name) { return bm_part_has(t->store, name); }

bm_status bm_tokens_split(int64_t *start, int64_t *count, const bm_tokens *t, const char *name)
{
    return bm_part_find(start, count, t->store, name, bm_tokens_count(t));
}

bm_status bm_tokens_bad_id(const bm_tokens *t, int64_t id, int64_t at)
{
    return bm_fail(BM_ERR_DAMAGED,
                   "%s: token %" PRId64 " at %" PRId64 " is outside the vocabulary of %" PRId64
                   " (was it tokenized with another tokenizer?)",
                   bm_store_path(t->store), id, at, t->vocab);
}

bm_status bm_tokens_read(const bm_tokens *t, int32_t *ids, int64_t first, int64_t count)
{
    union {
        uint16_t narrow[PIECE];
        uint32_t wide[PIECE];
    } piece;
    for (int64_t done = 0; done < count;) {
        int64_t n = count - done < PIECE ? count - done : PIECE;
        BM_TRY(bm_store_read(t->store, t->ids, &piece, first + done, n));
        for (int64_t i = 0; i < n; i++) {
            uint32_t id = t->ids->dtype == BM_U16 ? piece.narrow[i] : piece.wide[i];
            if (id >= (uint64_t)t->vocab) return bm_tokens_bad_id(t, id, first + done + i);
            ids[done + i] = (int32_t)id;
        }
        done += n;
    }
    return BM_OK;
}
