#include "cl/ops/ops_priv.h"

typedef struct attrs {
    float p;
    uint32_t stream;
} attrs;

static bm_status infer(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

/* Ten rounds of ten operations make four numbers. */
static bm_cost cost(const bm_node *n) { return bm_ops_cost(n, 28); }

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const attrs *a = n->attrs;
    const int64_t elements = bm_ops_elements(n->outputs[0]);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i64(elements),
                           bm_arg_i32((int32_t)a->stream),
                           bm_arg_f32(a->p),
                           bm_arg_f32(1.0f / (1.0f - a->p))};
    bm_kernel_launch k = {.source = "ops/dropout", .kernel = "dropout", .args = args, .n_args = 7};
    k.options = bm_ops_options(options, l, n->outputs[0]->dtype);
    bm_ops_launch_flat(l, &k, elements);
    return bm_launcher_status(l);
}

static void gradient(bm_graph *g, bm_node *n);

static const bm_op op_dropout = {.name = "dropout", .attrs_bytes = sizeof(attrs), .infer = infer, .gradient = gradient,
                                 .cost = cost, .launch = launch};

/* The same numbers drop the same elements of dy. */
static void gradient(bm_graph *g, bm_node *n)
{
    bm_value *dy = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], bm_node_first(bm_node_create(g, &op_dropout, n->attrs, &dy, 1, 0)));
}

bm_value *bm_dropout(bm_graph *g, bm_value *x, float p, uint32_t stream)
{
    if (!(p >= 0.0f && p < 1.0f)) return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "dropout takes p in [0, 1), not %g", (double)p));
    if (p == 0.0f) return x;
    const attrs a = {p, stream};
    return bm_node_first(bm_node_create(g, &op_dropout, &a, &x, 1, 0));
}
