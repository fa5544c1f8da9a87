/* One forward pass over every sample of a data set. */
#ifndef BM_MODELS_INFER_PREDICT_H
#define BM_MODELS_INFER_PREDICT_H

#include "io/store/data.h"
#include "models/nn/params.h"
#include "models/nn/network.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_predict_opts {
    int64_t batch;         /* samples at a time */
    int64_t window;        /* tokens of a sample, of token data */
    int outputs, hidden;   /* what is written */
    const char *encoding_json; /* of the checkpoint (samples.h); NULL: none */
    const char *gemm;
    int replace;           /* the output may be replaced */
    bm_status (*progress)(void *user, int64_t done, int64_t all); /* samples; may be NULL; a failure ends it */
    void *user;
} bm_predict_opts;

/* Every sample of a data set in file order, all parts. With `outputs`, of token data the whole windows, S of W tokens:
 * /outputs/logits f32 [S, W, V]. Of regression /outputs/values f32 [N, D], in the units of the targets before they were standardised
 * (the encoding's target has shift and scale). Of classes /outputs/logits f32 [N, C] and /outputs/class i32 [N], the largest (two
 * classes by one logit: C = 1, and class 1 where it is above 0); at each place [N, T, C] and [N, T]. Of what was trained with ctc
 * /outputs/labels i32 [N, T] stands in place of /outputs/class: what bm_ctc_greedy (transcript.h) reads from the sample's frames, -1
 * behind the end. With `hidden`, what the head reads, /outputs/hidden f32. Everything handed in is borrowed. */
BM_API bm_status bm_predict(bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params, const bm_data *data,
                            const char *output, const bm_predict_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
