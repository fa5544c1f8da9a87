/* Optimizers: what train.optimizer and the keys of its rule (cl/optim) make of a step. */
#ifndef BM_MODELS_TRAIN_OPTIMIZER_H
#define BM_MODELS_TRAIN_OPTIMIZER_H

#include "cl/optim/optim.h"
#include "core/graph/graph.h"
#include "models/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_optimizer {
    const char *name; /* what train.optimizer says */
    bm_optim_opts opts;
    int slots;        /* states kept for each weight, in STATE0, STATE1, ... */
    const char *slot[BM_OPTIM_MOST_STATES]; /* their names in a checkpoint */
    double ema;       /* decay of the average kept of each weight; 0: none is kept */
    int hypers;       /* what its rule reads, for the checkpoint */
    struct {
        const char *name; /* "beta1" of train.beta1 */
        double value;
    } hyper[BM_OPTIM_MOST_HYPER];
} bm_optimizer;

/* The one that train.optimizer names. */
BM_API bm_optimizer bm_optimizer_of(const bm_config *c);

/* Whether the keys of train fit the optimizer; BM_ERR_CONFIG. A weight_decay that was not given becomes 0 where the optimizer has
 * none. */
BM_API bm_status bm_optimizer_check(bm_config *c);

#define BM_OPTIMIZER_GROUPS 2 /* tensors of rank 2 and more, which decay, and the others; not BM_NN_BUFFERS, which follows */

/* The whole update of a step: the gradient of the penalty; the norm of the gradient before clipping, [1], an output of g; the
 * optimizer's ops; and the averages of the weights, where buffers are kept as they are. The parameters are declared. */
BM_API bm_status bm_optimizer_build(bm_value **norm, bm_graph *g, const bm_config *c);

#ifdef __cplusplus
}
#endif
#endif
