/* Tokenizers: text (any bytes) to token ids and back, exactly.
 *
 * byte: id = byte, and 256 ends a document.
 * bpe:  byte-level byte pair encoding with GPT-2's splitting pattern; ids are the 256 bytes, then the merges in order of
 *       their rank, then end-of-text. No normalisation, no added space. Bytes that are not UTF-8 are kept.
 *
 * A tokenizer never changes: threads may share it. What costs memory per stream lives in an encoder.
 */
#ifndef BM_IO_TEXT_TOKENIZER_H
#define BM_IO_TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/hash.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_tokenizer_kind { BM_TOKENIZER_BYTE, BM_TOKENIZER_BPE } bm_tokenizer_kind;
typedef struct bm_tokenizer bm_tokenizer;

#define BM_END_OF_TEXT "<|endoftext|>"

BM_API bm_status bm_tokenizer_create_byte(bm_tokenizer **out);
/* byte_id[b] is the id of byte b; merge k joins ids merges[2k] and merges[2k + 1] into 256 + k. Both are copied;
 * BM_ERR_DAMAGED when they are not consistent. */
BM_API bm_status bm_tokenizer_create_bpe(bm_tokenizer **out, const uint32_t byte_id[256], const uint32_t *merges, size_t n_merges);
/* GPT-2's encoder.json and vocab.bpe, or any pair of files of that form whose ids run as above. */
BM_API bm_status bm_tokenizer_import_gpt2(bm_tokenizer **out, const char *encoder_json, const char *vocab_bpe);
BM_API void bm_tokenizer_destroy(bm_tokenizer *t);

/* As one JSON file. Saving replaces: old or new, never half. */
BM_API bm_status bm_tokenizer_load(bm_tokenizer **out, const char *path);
BM_API bm_status bm_tokenizer_save(const bm_tokenizer *t, const char *path);
BM_API bm_status bm_tokenizer_to_text(char **out, const bm_tokenizer *t); /* what the file holds; bm_free */
/* As it is kept in data sets and checkpoints: /tokenizer/json and /tokenizer/blob (empty for `byte`). Both outputs are
 * freed by bm_free; `name` stands in messages. */
BM_API bm_status bm_tokenizer_to_parts(char **json, void **blob, size_t *blob_bytes, const bm_tokenizer *t);
BM_API bm_status bm_tokenizer_from_parts(bm_tokenizer **out, const char *json, size_t json_bytes, const void *blob,
                                         size_t blob_bytes, const char *name);

BM_API bm_tokenizer_kind bm_tokenizer_get_kind(const bm_tokenizer *t);
BM_API const char *bm_tokenizer_kind_name(const bm_tokenizer *t); /* "byte", "bpe" */
BM_API uint32_t bm_tokenizer_vocab_size(const bm_tokenizer *t);
BM_API uint32_t bm_tokenizer_eot(const bm_tokenizer *t); /* the last id */
/* Equal for tokenizers that give equal ids: the hash of the blob. */
BM_API bm_status bm_tokenizer_hash(bm_hash128 *out, const bm_tokenizer *t);

/* The bytes of a token, borrowed; end-of-text has the text BM_END_OF_TEXT. NULL outside the vocabulary. */
BM_API const unsigned char *bm_tokenizer_token(const bm_tokenizer *t, uint32_t id, size_t *bytes);
/* The bytes of ids, freed by bm_free and NUL-terminated beyond *bytes. Works on any piece of a sequence: the pieces' bytes
 * join. End-of-text stands for no bytes. BM_ERR_SHAPE for an id outside the vocabulary. */
BM_API bm_status bm_tokenizer_decode(char **out, size_t *bytes, const bm_tokenizer *t, const uint32_t *ids, size_t n);

/* A text in pieces to ids in pieces; the ids do not depend on how the text was cut. */
typedef struct bm_encoder bm_encoder;
typedef bm_status (*bm_encoder_fn)(void *user, const uint32_t *ids, size_t n);
typedef struct bm_encoder_opts {
    int special; /* nonzero: BM_END_OF_TEXT in the text becomes its id; else it is text like any other */
} bm_encoder_opts;
BM_API bm_encoder_opts bm_encoder_opts_default(void);

/* `fn` gets the ids in order. The tokenizer is borrowed. Memory grows with the longest pretoken (a run of letters, of
 * digits, of spaces, ...), not with the text. */
BM_API bm_status bm_encoder_create(bm_encoder **out, const bm_tokenizer *t, const bm_encoder_opts *opts, bm_encoder_fn fn,
                                   void *user);
BM_API void bm_encoder_destroy(bm_encoder *e);
BM_API bm_status bm_encoder_feed(bm_encoder *e, const void *text, size_t bytes);
/* The end of a document: the last ids come out (end-of-text is not among them), and the next document may be fed. */
BM_API bm_status bm_encoder_finish(bm_encoder *e);

/* A whole text at once; *ids freed by bm_free. */
BM_API bm_status bm_tokenizer_encode(uint32_t **ids, size_t *count, const bm_tokenizer *t, const void *text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
