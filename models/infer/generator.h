/* Decoding with a key/value cache: tokens in, the logits of the next one out. */
#ifndef BM_MODELS_INFER_GENERATOR_H
#define BM_MODELS_INFER_GENERATOR_H

#include "models/nn/params.h"
#include "models/nn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_generator bm_generator;

/* Plans steps of one token and of several (for prompts), and makes the cache. Borrows all it is given. */
BM_API bm_status bm_generator_create(bm_generator **out, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params,
                                     const char *gemm);
BM_API void bm_generator_destroy(bm_generator *g);
BM_API int64_t bm_generator_vocab(const bm_generator *g);

/* Appends n >= 1 tokens to the sequence; *logits [vocab] f32 are those after the last, valid until the next call. Blocks.
 * When the sequence outgrows the context, it goes on with its last half, read anew. An id outside the vocabulary is BM_ERR_USAGE. */
BM_API bm_status bm_generator_feed(bm_generator *g, const int32_t *ids, int64_t n, const float **logits);
/* Bytes of keys and values, or of states, that the last token was written from. */
BM_API int64_t bm_generator_cache_bytes(const bm_generator *g);
BM_API void bm_generator_reset(bm_generator *g); /* to the empty sequence */

#ifdef __cplusplus
}
#endif
#endif
