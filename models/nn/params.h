/* The parameters of a model on an engine: banks of one layout for weights, gradients and optimizer state. */
#ifndef BM_MODELS_NN_PARAMS_H
#define BM_MODELS_NN_PARAMS_H

#include "core/graph/bank.h"
#include "core/graph/plan.h"
#include "models/nn/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_params bm_params;

typedef struct bm_params_opts {
    int gradients; /* the GRAD bank too */
    int states;    /* optimizer states per weight: 2 for Adam */
    int average;   /* the AVERAGE bank too */
} bm_params_opts;

/* Zeroed memory for the parameters that `nn`'s graph declares. The names are copied; nn and graph may go. */
BM_API bm_status bm_params_create(bm_params **out, bm_engine *e, const bm_nn *nn, const bm_graph *g, const bm_params_opts *opts);
BM_API void bm_params_destroy(bm_params *p);

/* Weights from Philox draws of (seed, stream of the name): the same on every device and in any order. Blocks. */
BM_API bm_status bm_params_init(bm_params *p, uint64_t seed);

/* Brings the layers' 16-bit copies up to weights that were written to the bank, where there are copies. Blocks. */
BM_API bm_status bm_params_written(bm_params *p);

BM_API const bm_layout *bm_params_layout(const bm_params *p);
BM_API bm_dtype bm_params_stored(const bm_params *p); /* of tensors of rank 2 and more */
BM_API bm_semantic bm_params_semantic(const bm_params *p, int i); /* of bm_layout_at(i) */
/* What the rows of bm_layout_at(i) are multiplied by, a tensor of the layout too; NULL where they are not scaled. */
BM_API const bm_tensor *bm_params_scale(const bm_params *p, int i);
BM_API int bm_params_ties(const bm_params *p);
BM_API const bm_nn_tie *bm_params_tie_at(const bm_params *p, int i);
BM_API bm_bank *bm_params_bank(bm_params *p, bm_place place);      /* NULL if there is none */
/* All banks, for bm_plan_opts; borrowed. */
BM_API bm_bank *const *bm_params_banks(bm_params *p, int *n);

#ifdef __cplusplus
}
#endif
#endif
