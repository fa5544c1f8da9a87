/* A model's graph for one request, and its plan. */
#ifndef BM_MODELS_NN_NETWORK_H
#define BM_MODELS_NN_NETWORK_H

#include "core/graph/plan.h"
#include "io/store/batch.h"
#include "models/nn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_network {
    bm_graph *graph;
    bm_nn *nn;
    bm_model_io io;
    bm_plan *plan; /* NULL until bm_network_plan */
    const float *class_weights; /* [classes], where the io asks for them; borrowed */
} bm_network;

/* Builds the graph, with gradients in TRAIN mode (adding to the GRAD bank with `accumulate`); no device is needed. */
BM_API bm_status bm_network_build(bm_network *p, const bm_model *m, const bm_config *c, const bm_model_request *r, int accumulate);
/* The form of the samples that it takes: its inputs and targets without the batch. */
BM_API bm_sample_form bm_network_form(const bm_network *p);
/* Whether samples are of that form, with as many ids and classes at most: BM_ERR_CONFIG naming `what`. */
BM_API bm_status bm_network_check(const bm_network *p, const bm_sample_form *f, const char *what);
/* Writes a batch that is as large as the network's to its inputs. */
BM_API bm_status bm_network_feed(bm_network *p, const bm_batch *b);
BM_API bm_status bm_network_plan(bm_network *p, bm_engine *e, const bm_plan_opts *opts);
/* Declares the parameters of `from` in `to`, so that ops over banks know what is in them. */
BM_API bm_status bm_network_declare(bm_graph *to, const bm_network *from);
/* Frees all of it; a network of zeros is fine. */
BM_API void bm_network_finish(bm_network *p);

#ifdef __cplusplus
}
#endif
#endif
