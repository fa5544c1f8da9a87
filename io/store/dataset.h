/* The dataset of token ids, and the making of one.
 *
 * In the file: /tokens/ids u16[N] (vocabularies up to 65,536) or u32[N]; /tokens/doc_offsets u64[D + 1], in tokens,
 * from 0 to N; attributes vocab_size, eot_id u32 on /tokens (eot_id is missing where no token ends a document); groups
 * /splits/train and /splits/val with attributes start, count u64 in tokens; /tokenizer/json, /tokenizer/blob and
 * /meta/json u8[n] (bmtool writes source, a list of names, licence, text or null, and tokenizer; the writer adds counts and
 * the tokenizer's hash). The training part is the first N - floor(f N) tokens, f the validation fraction, the validation
 * part the rest; where that is empty there is no /splits/val. */
#ifndef BM_IO_STORE_DATASET_H
#define BM_IO_STORE_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/store/manifest.h"
#include "io/store/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_tokens bm_tokens;

/* BM_ERR_REFUSED when the file is of another kind, or rule 9 does not hold (offsets rise from 0 to N, splits inside).
 * The ids themselves are checked where they are read. */
BM_API bm_status bm_tokens_open(bm_tokens **out, const char *path);
BM_API void bm_tokens_close(bm_tokens *t);

BM_API const bm_store *bm_tokens_store(const bm_tokens *t); /* borrowed */
BM_API int64_t bm_tokens_count(const bm_tokens *t);
BM_API int64_t bm_tokens_documents(const bm_tokens *t);
BM_API int64_t bm_tokens_vocab(const bm_tokens *t);
BM_API int64_t bm_tokens_eot(const bm_tokens *t); /* -1: none */
/* BM_ERR_NOT_FOUND naming the splits there are. "train" and "val" are what bm writes. */
BM_API bm_status bm_tokens_split(int64_t *start, int64_t *count, const bm_tokens *t, const char *name);
BM_API int bm_tokens_has_split(const bm_tokens *t, const char *name);
/* Borrowed; the JSON texts are terminated ("" when missing), the blob has `bytes` bytes. */
BM_API const char *bm_tokens_tokenizer_json(const bm_tokens *t);
BM_API const void *bm_tokens_tokenizer_blob(size_t *bytes, const bm_tokens *t);
BM_API const char *bm_tokens_meta_json(const bm_tokens *t);
/* Ids [first, first + count), widened. BM_ERR_DAMAGED when one is outside the vocabulary, naming it and its place. */
BM_API bm_status bm_tokens_read(const bm_tokens *t, int32_t *ids, int64_t first, int64_t count);

/* ---- making one ---- */

typedef struct bm_tokens_opts {
    int64_t vocab_size;         /* required */
    int64_t eot_id;             /* -1: none */
    double val_fraction;        /* [0, 1) */
    const char *meta_json;      /* an object to which counts and the tokenizer's hash are added; NULL: {} */
    const char *tokenizer_json; /* NULL: no /tokenizer */
    const void *tokenizer_blob;
    size_t tokenizer_blob_bytes;
    int replace; /* as bm_writer_opts.replace */
} bm_tokens_opts;
BM_API bm_tokens_opts bm_tokens_opts_default(void);

typedef struct bm_tokens_writer bm_tokens_writer;

/* Ids stream in any amount: they wait in an unnamed file in the target's folder until commit, which knows their number
 * (so the folder needs room for them twice). The options' texts are copied. */
BM_API bm_status bm_tokens_writer_create(bm_tokens_writer **out, const char *path, const bm_tokens_opts *opts);
BM_API void bm_tokens_writer_destroy(bm_tokens_writer *w); /* abandons what was not committed */
/* BM_ERR_USAGE when an id is outside the vocabulary. */
BM_API bm_status bm_tokens_writer_add(bm_tokens_writer *w, const uint32_t *ids, int64_t n);
/* Ends a document here (the caller has added the end-of-text id, if there is one). */
BM_API bm_status bm_tokens_writer_end_document(bm_tokens_writer *w);
BM_API int64_t bm_tokens_writer_count(const bm_tokens_writer *w);
/* BM_ERR_CONFIG when there are no tokens. A last document left open is ended. */
BM_API bm_status bm_tokens_writer_commit(bm_content_id *id, bm_tokens_writer *w);

#ifdef __cplusplus
}
#endif
#endif
