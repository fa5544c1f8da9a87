/* A model's graph for one request, and its plan. */
#ifndef BM_MODELS_NN_PROGRAM_H
#define BM_MODELS_NN_PROGRAM_H

#include "core/graph/plan.h"
#include "models/nn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_program {
    bm_graph *graph;
    bm_nn *nn;
    bm_model_io io;
    bm_plan *plan; /* NULL until bm_program_plan */
} bm_program;

/* Builds the graph, with gradients in TRAIN mode (adding to the GRAD bank with `accumulate`); no device is needed. */
BM_API bm_status bm_program_build(bm_program *p, const bm_model *m, const bm_config *c, const bm_model_request *r, int accumulate);
BM_API bm_status bm_program_plan(bm_program *p, bm_engine *e, const bm_plan_opts *opts);
/* Declares the parameters of `from` in `to`, so that ops over banks know what is in them. */
BM_API bm_status bm_program_declare(bm_graph *to, const bm_program *from);
/* Frees all of it; a program of zeros is fine. */
BM_API void bm_program_finish(bm_program *p);

#ifdef __cplusplus
}
#endif
#endif
