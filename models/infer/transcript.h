/* Labels read from the outputs of a model that was trained with bm_ctc, and how far they are from what was meant. */
#ifndef BM_MODELS_INFER_TRANSCRIPT_H
#define BM_MODELS_INFER_TRANSCRIPT_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The likeliest class of each step of logits [steps, classes], repeats as one, blanks (class 0) left out (Graves et al. 2006,
 * section 3.2: best path decoding). Writes into labels [steps]; returns how many. */
BM_API int64_t bm_ctc_greedy(int32_t *labels, const float *logits, int64_t steps, int64_t classes);

/* Steps that CTC needs at least to align n labels: one for each, and a blank between two that are alike. */
BM_API int64_t bm_ctc_steps(const int32_t *labels, int64_t n);

/* The least number of labels to insert, remove or replace that makes a [n] into b [m] (Levenshtein 1966). BM_ERR_MEMORY. */
BM_API bm_status bm_edit_distance(int64_t *out, const int32_t *a, int64_t n, const int32_t *b, int64_t m);

#ifdef __cplusplus
}
#endif
#endif
