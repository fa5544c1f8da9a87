#include "cl/ops/ops_priv.h"

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0];
    BM_TRY(bm_ops_want_float(x));
    if (x->shape.rank != 3 || !x->shape.dim[1]) return bm_fail(BM_ERR_SHAPE, "the last token of what is not [B, T, C]");
    bm_node_output(g, n, x->dtype, BM_SHAPE(x->shape.dim[0], x->shape.dim[2]));
    return bm_graph_status(g);
}

/* Of x the rows that it takes. */
static bm_cost cost(const bm_node *n)
{
    const bm_value *y = n->outputs[0];
    return (bm_cost){.bytes = 2.0 * (double)bm_shape_bytes(&y->shape, y->dtype)};
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_shape *s = &n->inputs[0]->shape;
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_mem(bm_launcher_scalars(l)), bm_arg_i32((int32_t)s->dim[1]), bm_arg_i32((int32_t)s->dim[2])};
    bm_kernel_launch k = {.source = "ops/last_token", .kernel = "last_token", .args = args, .n_args = 5, .dims = 2,
                          .global = {(size_t)s->dim[2], (size_t)s->dim[0]}};
    k.options = bm_ops_options(options, l, n->outputs[0]->dtype);
    bm_launcher_kernel(l, &k);
    return bm_launcher_status(l);
}

static const bm_op op = {.name = "last_token", .infer = infer, .cost = cost, .launch = launch};

bm_value *bm_last_token(bm_graph *g, bm_value *x)
{
    return bm_node_first(bm_node_create(g, &op, NULL, &x, 1, 0));
}
