/* One forward pass over every sample of a data set. */
#ifndef BM_MODELS_INFER_PREDICT_H
#define BM_MODELS_INFER_PREDICT_H

#include "io/store/dataset.h"
#include "models/nn/params.h"
#include "models/nn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_predict_opts {
    int64_t batch, window; /* samples at a time; tokens of a sample */
    int logits, hidden;    /* what is written */
    const char *gemm;
    int replace;           /* the output may be replaced */
    bm_status (*progress)(void *user, int64_t done, int64_t all); /* samples; may be NULL; a failure ends it */
    void *user;
} bm_predict_opts;

/* Samples are the whole windows of the data set in file order, S of W tokens. Writes /outputs/logits f32 [S, W, V] and
 * /outputs/hidden f32 [S, W, C]. Everything handed in is borrowed. */
BM_API bm_status bm_predict(bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params, const bm_tokens *data,
                            const char *output, const bm_predict_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
