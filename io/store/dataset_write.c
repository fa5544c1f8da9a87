/* Making a dataset of tokens: ids and offsets wait in unnamed files until their number is known. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "io/store/dataset.h"
#include "io/store/json_priv.h"
#include "io/store/part_priv.h"
#include "io/store/spool_priv.h"
#include "io/store/writer.h"

struct bm_tokens_writer {
    char *path;
    bm_tokens_opts opts; /* its texts are our copies */
    bm_writer *writer;
    bm_spool ids, offsets;
    size_t id_bytes;
    int64_t tokens, documents;
    int64_t document; /* where the open one begins */
};

bm_tokens_opts bm_tokens_opts_default(void) { return (bm_tokens_opts){.eot_id = -1}; }

static bm_status copy_text(const char **text)
{
    if (*text && !(*text = bm_strdup(*text))) return BM_ERR_MEMORY;
    return BM_OK;
}

static bm_status copy_opts(bm_tokens_writer *w, const bm_tokens_opts *opts)
{
    w->opts = *opts;
    w->opts.meta_json = w->opts.tokenizer_json = NULL;
    w->opts.tokenizer_blob = NULL;
    const char *meta = opts->meta_json, *tokenizer = opts->tokenizer_json;
    BM_TRY(copy_text(&meta));
    w->opts.meta_json = meta;
    BM_TRY(copy_text(&tokenizer));
    w->opts.tokenizer_json = tokenizer;
    if (!opts->tokenizer_blob_bytes) return BM_OK;
    void *blob = bm_alloc(opts->tokenizer_blob_bytes);
    if (!blob) return BM_ERR_MEMORY;
    memcpy(blob, opts->tokenizer_blob, opts->tokenizer_blob_bytes);
    w->opts.tokenizer_blob = blob;
    return BM_OK;
}

/* Where the next document begins. */
static bm_status add_offset(bm_tokens_writer *w)
{
    const uint64_t at = (uint64_t)w->tokens;
    return bm_spool_add(&w->offsets, &at, sizeof at);
}

bm_status bm_tokens_writer_create(bm_tokens_writer **out, const char *path, const bm_tokens_opts *opts)
{
    bm_status status;
    *out = NULL;
    if (opts->vocab_size < 1 || opts->vocab_size > INT32_MAX || opts->eot_id >= opts->vocab_size || opts->eot_id < -1)
        return bm_fail(BM_ERR_USAGE, "%s: a vocabulary of %" PRId64 " with end-of-text %" PRId64, path,
                       opts->vocab_size, opts->eot_id);
    if (!(opts->val_fraction >= 0 && opts->val_fraction < 1))
        return bm_fail(BM_ERR_USAGE, "%s: the validation fraction %g is not in [0, 1)", path, opts->val_fraction);
    bm_tokens_writer *w = bm_calloc(1, sizeof *w);
    if (!w) return BM_ERR_MEMORY;
    w->ids = w->offsets = (bm_spool)BM_SPOOL_NONE;
    w->id_bytes = opts->vocab_size <= 65536 ? 2 : 4;
    bm_writer_opts writer = {.kind = BM_STORE_DATASET, .replace = opts->replace};
    BM_GO(copy_opts(w, opts));
    BM_GO(bm_writer_create(&w->writer, path, &writer));
    w->path = bm_strdup(path);
    if (!w->path) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    BM_GO(bm_spool_open(&w->ids, w->path));
    BM_GO(bm_spool_open(&w->offsets, w->path));
    BM_GO(add_offset(w));
    *out = w;
    w = NULL;
done:
    bm_tokens_writer_destroy(w);
    return status;
}

void bm_tokens_writer_destroy(bm_tokens_writer *w)
{
    if (!w) return;
    bm_writer_destroy(w->writer);
    bm_spool_close(&w->ids);
    bm_spool_close(&w->offsets);
    bm_free((void *)w->opts.meta_json);
    bm_free((void *)w->opts.tokenizer_json);
    bm_free((void *)w->opts.tokenizer_blob);
    bm_free(w->path);
    bm_free(w);
}

bm_status bm_tokens_writer_add(bm_tokens_writer *w, const uint32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= (uint64_t)w->opts.vocab_size)
            return bm_fail(BM_ERR_USAGE, "%s: token %" PRIu32 " at %" PRId64 " is outside the vocabulary of %" PRId64,
                           w->path, ids[i], w->tokens, w->opts.vocab_size);
        BM_TRY(bm_spool_add(&w->ids, &ids[i], w->id_bytes)); /* little-endian */
        w->tokens++;
    }
    return BM_OK;
}

bm_status bm_tokens_writer_end_document(bm_tokens_writer *w)
{
    w->document = w->tokens;
    w->documents++;
    return add_offset(w);
}

int64_t bm_tokens_writer_count(const bm_tokens_writer *w) { return w->tokens; }

/* Over the JSON text, a NUL and the blob. */
static bm_status tokenizer_hash(char hex[33], const bm_tokens_opts *o)
{
    bm_hasher *h;
    BM_TRY(bm_hasher_create(&h));
    bm_hasher_add(h, o->tokenizer_json, strlen(o->tokenizer_json) + 1);
    bm_hasher_add(h, o->tokenizer_blob, o->tokenizer_blob_bytes);
    bm_hash128 digest = bm_hasher_digest(h);
    bm_hasher_destroy(h);
    bm_hash_hex(hex, &digest);
    return BM_OK;
}

/* The caller's object with what is known now. */
static bm_status add_meta(bm_tokens_writer *w)
{
    bm_status status;
    char hex[33], *text = NULL;
    json_t *meta;
    BM_TRY(bm_fail_prefix(bm_json_parse(&meta, w->opts.meta_json ? w->opts.meta_json : "{}", "the description"), "%s",
                          w->path));
    int bad = json_object_set_new(meta, "tokens", json_integer(w->tokens)) ||
              json_object_set_new(meta, "documents", json_integer(w->documents)) ||
              json_object_set_new(meta, "vocab_size", json_integer(w->opts.vocab_size));
    if (w->opts.tokenizer_json) {
        BM_GO(tokenizer_hash(hex, &w->opts));
        bad |= json_object_set_new(meta, "tokenizer_xxh128", json_string(hex));
    }
    BM_GO(bad ? bm_fail(BM_ERR_MEMORY, "%s: no memory for its description", w->path)
              : bm_json_text(&text, meta, JSON_INDENT(1) | JSON_ENSURE_ASCII));
    status = bm_writer_bytes(w->writer, "/meta/json", text, strlen(text));
done:
    bm_free(text);
    json_decref(meta);
    return status;
}

static bm_status describe(int64_t *ids, int64_t *offsets, bm_tokens_writer *w)
{
    bm_writer *out = w->writer;
    const bm_tokens_opts *o = &w->opts;
    int64_t n = w->tokens, val = (int64_t)floor(o->val_fraction * (double)n);
    bm_shape shape = bm_shape_of(1, &n);
    BM_TRY(bm_writer_dataset(ids, out, "/tokens/ids", w->id_bytes == 2 ? BM_U16 : BM_U32, &shape));
    shape = BM_SHAPE(w->documents + 1);
    BM_TRY(bm_writer_dataset(offsets, out, "/tokens/doc_offsets", BM_U64, &shape));
    BM_TRY(bm_writer_attr_u32(out, "/tokens", "vocab_size", (uint32_t)o->vocab_size));
    if (o->eot_id >= 0) BM_TRY(bm_writer_attr_u32(out, "/tokens", "eot_id", (uint32_t)o->eot_id));
    BM_TRY(bm_part_write(out, "train", 0, n - val));
    if (val) BM_TRY(bm_part_write(out, "val", n - val, val));
    if (o->tokenizer_json)
        BM_TRY(bm_writer_bytes(out, "/tokenizer/json", o->tokenizer_json, strlen(o->tokenizer_json)));
    if (o->tokenizer_json) BM_TRY(bm_writer_bytes(out, "/tokenizer/blob", o->tokenizer_blob, o->tokenizer_blob_bytes));
    return add_meta(w);
}

bm_status bm_tokens_writer_commit(bm_content_id *id, bm_tokens_writer *w)
{
    int64_t ids = -1, offsets = -1;
    if (!w->tokens) return bm_fail(BM_ERR_CONFIG, "%s: there are no tokens: is the text empty?", w->path);
    if (w->document != w->tokens) BM_TRY(bm_tokens_writer_end_document(w));
    BM_TRY(describe(&ids, &offsets, w));
    BM_TRY(bm_writer_begin(w->writer));
    BM_TRY(bm_spool_put(&w->ids, w->writer, ids, w->id_bytes));
    BM_TRY(bm_spool_put(&w->offsets, w->writer, offsets, sizeof(uint64_t)));
    return bm_writer_commit(id, w->writer);
}
