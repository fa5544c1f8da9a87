/* Choosing the next token from logits. */
#ifndef BM_MODELS_INFER_SAMPLER_H
#define BM_MODELS_INFER_SAMPLER_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_sampler_opts {
    double temperature; /* logits are divided by it; 0 takes the largest */
    int64_t top_k;      /* keep the k largest; 0: all */
    double top_p;       /* keep the fewest largest whose probabilities reach p (Holtzman et al. 2020, section 3.1); 1: all */
    uint64_t seed;
    int64_t banned;     /* an id that is never chosen (end of text), -1: none */
} bm_sampler_opts;
BM_API bm_sampler_opts bm_sampler_opts_default(void); /* temperature 1, all, seed 1 */

typedef struct bm_sampler bm_sampler;
/* BM_ERR_USAGE for options out of range. */
BM_API bm_status bm_sampler_create(bm_sampler **out, int64_t vocab, const bm_sampler_opts *opts);
BM_API void bm_sampler_destroy(bm_sampler *s);
/* The id drawn from logits [vocab] f32 for the n-th token: it depends on logits, options and n alone. Temperature first, then
 * top-k, then top-p; equal logits rank by id. BM_ERR_NOT_FINITE when a logit is NaN or none is finite. */
BM_API bm_status bm_sampler_pick(int64_t *id, bm_sampler *s, const float *logits, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
