#include "models/nn/network.h"

#include <string.h>

#include "cl/ops/ops.h"

bm_status bm_network_build(bm_network *p, const bm_model *m, const bm_config *c, const bm_model_request *r, int accumulate)
{
    bm_status status;
    memset(p, 0, sizeof *p);
    bm_graph_opts opts = bm_graph_opts_with_ops();
    opts.accumulate = accumulate;
    BM_GO(bm_graph_create(&p->graph, &opts));
    BM_GO(bm_nn_create(&p->nn, p->graph));
    bm_nn_set_dtype(p->nn, r->dtype);
    bm_nn_set_stored(p->nn, r->stored);
    BM_GO(m->build(&p->io, p->nn, c, r));
    if (p->io.loss) bm_graph_output(p->graph, p->io.loss, "loss");
    if (r->mode == BM_MODEL_TRAIN) BM_GO(bm_graph_gradients(p->graph, p->io.loss));
    if (r->mode == BM_MODEL_DECODE) bm_graph_output(p->graph, p->io.logits, "logits");
    status = bm_graph_status(p->graph);
done:
    if (status) bm_network_finish(p);
    return status;
}

bm_status bm_network_plan(bm_network *p, bm_engine *e, const bm_plan_opts *opts)
{
    return bm_plan_create(&p->plan, e, p->graph, opts);
}

bm_status bm_network_declare(bm_graph *to, const bm_network *from)
{
    for (int i = 0; i < bm_nn_count(from->nn); i++) {
        const bm_value *v = bm_graph_param_find(from->graph, bm_nn_at(from->nn, i)->name);
        const bm_value *half = bm_graph_half_find(from->graph, bm_value_name(v));
        bm_value *param = bm_graph_param(to, bm_value_name(v), bm_value_dtype(v), *bm_value_shape(v), bm_value_group(v));
        if (half) bm_graph_half(to, param, bm_value_dtype(half));
    }
    return bm_graph_status(to);
}

void bm_network_finish(bm_network *p)
{
    bm_plan_destroy(p->plan);
    bm_nn_destroy(p->nn);
    bm_graph_destroy(p->graph);
    memset(p, 0, sizeof *p);
}
