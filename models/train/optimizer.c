#include "models/train/optimizer.h"

#include <string.h>

#include "cl/ops/ops.h"

/* Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2. Tensors of rank 1 do not decay. */
static bm_status adamw(bm_graph *g, bm_value *norm, const bm_config *c)
{
    bm_adamw_opts o = {.beta1 = bm_config_f64(c, "train.beta1"),
                       .beta2 = bm_config_f64(c, "train.beta2"),
                       .eps = bm_config_f64(c, "train.eps"),
                       .weight_decay = bm_config_f64(c, "train.weight_decay"),
                       .clip = bm_config_f64(c, "train.clip")};
    BM_TRY(bm_adamw(g, 0, norm, &o));
    o.weight_decay = 0;
    return bm_adamw(g, 1, norm, &o);
}

static const bm_optimizer optimizers[] = {
    {"adamw", 2, {"m", "v"}, {"train.beta1", "train.beta2", "train.eps", "train.weight_decay", "train.clip", NULL}, adamw},
};

const bm_optimizer *bm_optimizer_of(const bm_config *c)
{
    const char *name = bm_config_string(c, "train.optimizer");
    for (size_t i = 0; i < sizeof optimizers / sizeof optimizers[0]; i++)
        if (!strcmp(optimizers[i].name, name)) return &optimizers[i];
    return NULL;
}

bm_status bm_optimizer_build(bm_value **norm, bm_graph *g, const bm_config *c)
{
    *norm = bm_graph_output(g, bm_grad_norm(g, BM_OPTIMIZER_GROUPS), "grad_norm");
    BM_TRY(bm_graph_status(g));
    return bm_optimizer_of(c)->build(g, *norm, c);
}
