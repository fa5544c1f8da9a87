#include "models/train/optimizer.h"

#include <stdio.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "models/nn/nn.h"

static double number(const bm_config *c, const char *key)
{
    char dotted[64];
    snprintf(dotted, sizeof dotted, "train.%s", key);
    return bm_config_number(c, dotted);
}

bm_optimizer bm_optimizer_of(const bm_config *c)
{
    bm_optimizer o = {.name = bm_config_string(c, "train.optimizer"),
                      .opts = {.beta1 = number(c, "beta1"),
                               .beta2 = number(c, "beta2"),
                               .alpha = number(c, "alpha"),
                               .eps = number(c, "eps"),
                               .momentum = number(c, "momentum"),
                               .weight_decay = number(c, "weight_decay"),
                               .nesterov = bm_config_bool(c, "train.nesterov"),
                               .centered = bm_config_bool(c, "train.centered"),
                               .clip = number(c, "clip")},
                      .ema = number(c, "ema")};
    o.slots = bm_optim_states(o.slot, o.name, &o.opts);
    for (const char *const *h = bm_optim_hyper(o.name); *h; h++, o.hypers++) {
        o.hyper[o.hypers].name = *h;
        o.hyper[o.hypers].value = number(c, *h);
    }
    return o;
}

static int reads(const bm_optimizer *o, const char *key)
{
    for (int i = 0; i < o->hypers; i++)
        if (!strcmp(o->hyper[i].name, key)) return 1;
    return 0;
}

bm_status bm_optimizer_check(bm_config *c)
{
    static const struct {
        const char *key, *off;
    } apart[] = {{"weight_decay", "0 (train.l2 is a decay within the gradient)"},
                 {"momentum", "0"},
                 {"nesterov", "false"},
                 {"centered", "false"}};
    const bm_optimizer o = bm_optimizer_of(c);
    char dotted[64], where[256];
    if (!reads(&o, "weight_decay") && !bm_config_given(c, "train.weight_decay")) BM_TRY(bm_config_set(c, "train.weight_decay=0"));
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        if (reads(&o, apart[i].key) || number(c, apart[i].key) == 0) continue;
        snprintf(dotted, sizeof dotted, "train.%s", apart[i].key);
        return bm_fail(BM_ERR_CONFIG, "%s%s: %s has none: set it to %s", bm_config_where(c, dotted, where, sizeof where), dotted,
                       o.name, apart[i].off);
    }
    if (o.opts.nesterov && o.opts.momentum == 0)
        return bm_fail(BM_ERR_CONFIG, "%strain.nesterov: it wants a train.momentum above 0",
                       bm_config_where(c, "train.nesterov", where, sizeof where));
    return BM_OK;
}

bm_status bm_optimizer_build(bm_value **norm, bm_graph *g, const bm_config *c)
{
    bm_optimizer o = bm_optimizer_of(c);
    BM_TRY(bm_optim_penalty(g, 0, number(c, "l1"), number(c, "l2")));
    *norm = bm_graph_output(g, bm_grad_norm(g, BM_OPTIMIZER_GROUPS), "grad_norm");
    BM_TRY(bm_graph_status(g));
    BM_TRY(bm_optim_step(g, 0, *norm, o.name, &o.opts));
    BM_TRY(bm_optim_max_norm(g, 0, number(c, "max_norm")));
    o.opts.weight_decay = 0;
    BM_TRY(bm_optim_step(g, 1, *norm, o.name, &o.opts));
    for (int group = 0; o.ema > 0 && group <= BM_NN_BUFFERS; group++)
        BM_TRY(bm_optim_average(g, group, group == BM_NN_BUFFERS ? 0 : o.ema));
    return BM_OK;
}
