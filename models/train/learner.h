/* A learner: a model with its parameters on an engine, and the plans that make one update. It knows neither data files nor
 * checkpoints. Belongs to one thread at a time. */
#ifndef BM_MODELS_TRAIN_LEARNER_H
#define BM_MODELS_TRAIN_LEARNER_H

#include "models/nn/params.h"
#include "models/nn/network.h"
#include "models/train/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a configuration asks of a model: the pass over one micro-batch of a training step. */
BM_API bm_model_request bm_learner_request(const bm_config *c);

/* Places of a training sample's sequence: data.window, else model.context; 1 for a family that has none. */
BM_API int64_t bm_window_of(const bm_config *c);

typedef struct bm_learner bm_learner;

/* Builds and plans: a forward-and-backward pass over a micro-batch, one that accumulates when the batch has several, and
 * the update. The parameters are zero. `gemm` forces a backend (NULL: the measured choice). config and model are borrowed;
 * no key that the model's `fit` sets is null. */
BM_API bm_status bm_learner_create(bm_learner **out, bm_engine *e, const bm_model *m, const bm_config *c, const char *gemm);
BM_API void bm_learner_destroy(bm_learner *l);
BM_API bm_params *bm_learner_params(bm_learner *l);
BM_API const bm_optimizer *bm_learner_optimizer(const bm_learner *l);
/* The forward-and-backward plan, to share its temporaries with. */
BM_API bm_plan *bm_learner_plan(bm_learner *l);
BM_API double bm_learner_flops(const bm_learner *l); /* of one step */
/* The least seconds of a step: the sum of bm_cost_least_s over its nodes. */
BM_API double bm_learner_roofline_s(const bm_learner *l, double flops_per_s, double bytes_per_s);
/* bm_graph_each_cost of a step: of the pass over a micro-batch as often as it is made, then of the update. */
BM_API void bm_learner_each_cost(const bm_learner *l, void (*see)(void *user, const char *node, bm_cost c), void *user);
BM_API const bm_nn *bm_learner_nn(const bm_learner *l);
BM_API bm_sample_form bm_learner_form(const bm_learner *l); /* of a sample */
BM_API bm_status bm_learner_check(const bm_learner *l, const bm_sample_form *f, const char *what); /* bm_network_check */
/* What a target of each of the first n classes counts for, where train.class_weights is set; 1 until then. They are copied. */
BM_API bm_status bm_learner_weigh(bm_learner *l, const double *weights, int64_t n);
BM_API bm_objective bm_learner_objective(const bm_learner *l);
BM_API int64_t bm_learner_batch(const bm_learner *l);

typedef struct bm_step_result {
    int64_t step;
    double loss;      /* mean over the targets of the batch that count, before the update */
    double grad_norm; /* before clipping */
    double done_s;    /* when the device completed it, on bm_now_s()'s clock */
} bm_step_result;

/* Enqueues step n (from 1) on a whole batch, which may be reused at once. BM_ERR_CONFIG when none of its targets counts. At most
 * BM_LEARNER_AHEAD steps may be under way: collect the oldest before. */
#define BM_LEARNER_AHEAD 2
BM_API bm_status bm_learner_step(bm_learner *l, int64_t n, double lr, const bm_batch *b);
/* Waits for the oldest step under way. BM_ERR_USAGE when there is none. */
BM_API bm_status bm_learner_collect(bm_learner *l, bm_step_result *out);
BM_API int bm_learner_under_way(const bm_learner *l);

/* Step n again, node by node: the first node whose result is not finite is *node (borrowed from the plan; NULL:
 * none was). The parameters are those before the step; they are updated. */
BM_API bm_status bm_learner_find_not_finite(bm_learner *l, const char **node, int64_t n, double lr, const bm_batch *b);

#ifdef __cplusplus
}
#endif
#endif
