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

static bm_shape one_of(const bm_value *v)
{
    bm_shape s = *bm_value_shape(v);
    memmove(s.dim, s.dim + 1, (size_t)(s.rank - 1) * sizeof *s.dim);
    s.dim[--s.rank] = 0;
    return s;
}

bm_sample_form bm_network_form(const bm_network *p)
{
    const bm_model_io *io = &p->io;
    return (bm_sample_form){.input = bm_value_dtype(io->inputs), .target = bm_value_dtype(io->targets), .input_shape = one_of(io->inputs),
                     .target_shape = one_of(io->targets), .vocab = io->vocab, .classes = io->classes, .lengths = io->lengths != NULL};
}

bm_status bm_network_check(const bm_network *p, const bm_sample_form *f, const char *what)
{
    char theirs[BM_SAMPLE_TEXT], ours[BM_SAMPLE_TEXT];
    const bm_sample_form n = bm_network_form(p);
    if (n.input == f->input && n.target == f->target && bm_shape_equal(&n.input_shape, &f->input_shape) &&
        bm_shape_equal(&n.target_shape, &f->target_shape) && n.vocab >= f->vocab && n.classes >= f->classes && n.lengths == f->lengths)
        return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s has samples %s; the model takes %s", what, bm_sample_text(f, theirs), bm_sample_text(&n, ours));
}

bm_status bm_network_feed(bm_network *p, const bm_batch *b)
{
    BM_TRY(bm_plan_write(p->plan, p->io.inputs, b->input));
    if (p->io.lengths) BM_TRY(bm_plan_write(p->plan, p->io.lengths, b->lengths));
    if (p->io.class_weights) BM_TRY(bm_plan_write(p->plan, p->io.class_weights, p->class_weights));
    return bm_plan_write(p->plan, p->io.targets, b->target);
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
