/* Optimizers: a table of update rules that append their ops to a graph over whole banks. */
#ifndef BM_MODELS_TRAIN_OPTIMIZER_H
#define BM_MODELS_TRAIN_OPTIMIZER_H

#include "core/graph/graph.h"
#include "models/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BM_OPTIMIZER_MOST_SLOTS 3

typedef struct bm_optimizer {
    const char *name; /* what train.optimizer says */
    int slots;        /* states kept for each weight, in STATE0, STATE1, ... */
    const char *slot[BM_OPTIMIZER_MOST_SLOTS]; /* their names in a checkpoint */
    const char *hyper[8];                      /* the keys of train: that it reads, for the checkpoint; NULL ends them */
    /* The update of both groups; norm [1] is the gradient's norm before clipping. */
    bm_status (*build)(bm_graph *g, bm_value *norm, const bm_config *c);
} bm_optimizer;

#define BM_OPTIMIZER_GROUPS 2 /* tensors of rank 2 and more, and the others */

/* The whole update of a step: the norm of the gradient, an output of g, and the optimizer's ops. The parameters are declared. */
BM_API bm_status bm_optimizer_build(bm_value **norm, bm_graph *g, const bm_config *c);
/* The one that train.optimizer names. */
BM_API const bm_optimizer *bm_optimizer_of(const bm_config *c);

#ifdef __cplusplus
}
#endif
#endif
