/* The loss of a model over a part of a data set. */
#ifndef BM_MODELS_TRAIN_EVALUATE_H
#define BM_MODELS_TRAIN_EVALUATE_H

#include "io/store/data.h"
#include "models/nn/params.h"
#include "models/nn/network.h"
#include "models/train/scores.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_evaluator bm_evaluator;

typedef struct bm_evaluator_opts {
    int64_t batch;          /* samples at a time */
    int64_t window;         /* tokens of a sample, of token data; 0: what the configuration says */
    const char *split;      /* "val" */
    int64_t tokens;         /* use the first samples that have this many places (rounded up to whole ones); 0: all */
    const char *gemm;       /* a forced backend, or NULL */
    int scores;             /* outputs are read back and judged, too */
    const double *bytes;    /* with scores, of each token id the bytes it stands for; NULL: not known */
    bm_plan *share_temps;   /* as bm_plan_opts has it */
} bm_evaluator_opts;

typedef struct bm_evaluation {
    double loss;    /* mean over the targets that count */
    int64_t tokens; /* how many those are */
    int64_t samples;
    bm_scores *scores; /* the evaluator's, until its next run; NULL without */
} bm_evaluation;

/* Plans the forward pass, on the averages of the weights where params keeps them. Everything handed in is borrowed. */
BM_API bm_status bm_evaluator_create(bm_evaluator **out, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params,
                                     const bm_data *data, const bm_evaluator_opts *opts);
BM_API void bm_evaluator_destroy(bm_evaluator *v);
/* Samples in file order, each once; blocks. Allocates nothing. `progress` (may be NULL) is called before each batch with the
 * samples done and all of them; what it returns other than BM_OK ends the evaluation with that. BM_ERR_CONFIG where no target counts. */
BM_API bm_status bm_evaluator_run(bm_evaluator *v, bm_evaluation *out,
                                  bm_status (*progress)(void *user, int64_t done, int64_t all), void *user);
BM_API int64_t bm_evaluator_samples(const bm_evaluator *v);

#ifdef __cplusplus
}
#endif
#endif
