#include "cl/ops/ops_priv.h"

/* A count of operations for each element, about what the formula has. */
static bm_cost cost_activation(const bm_node *n)
{
    static const double operations[] = {0, 12, 20, 1, 8, 10, 8};
    return bm_ops_cost(n, operations[*(const bm_activation *)n->attrs]);
}

static bm_status launch(bm_launcher *l, const bm_node *n, const char *kernel, const bm_arg *args, int n_args)
{
    char options[BM_OPS_OPTIONS];
    bm_kernel_launch k = {.source = "ops/activation", .kernel = kernel, .args = args, .n_args = n_args};
    k.options = bm_ops_options_with(options, l, n->outputs[0]->dtype, " -DACT=%d", (int)*(const bm_activation *)n->attrs);
    bm_ops_launch_flat(l, &k, bm_ops_elements(n->outputs[0]));
    return bm_launcher_status(l);
}

/* ---- dx = dy f'(x) ---- */

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    BM_TRY(bm_ops_want_same(n->inputs[0], n->inputs[1]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static bm_status launch_backward(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[0])), bm_arg_i64(bm_ops_elements(n->outputs[0]))};
    return launch(l, n, "backward", args, 4);
}

static const bm_op op_backward = {.name = "activation_backward", .attrs_bytes = sizeof(bm_activation),
                                  .infer = infer_backward, .cost = cost_activation, .launch = launch_backward};

bm_value *bm_ops_activate_backward(bm_graph *g, bm_value *d, bm_value *x, bm_activation act)
{
    if (act == BM_ACT_NONE) return d;
    bm_value *const in[] = {d, x};
    return bm_node_first(bm_node_create(g, &op_backward, &act, in, 2, 0));
}

/* ---- y = f(x) ---- */

static bm_status infer_activation(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static void gradient_activation(bm_graph *g, bm_node *n)
{
    bm_value *x = n->inputs[0];
    bm_grad_add(g, x, bm_ops_activate_backward(g, bm_grad_of(g, n->outputs[0]), x, *(const bm_activation *)n->attrs));
}

static bm_status launch_activation(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_i64(bm_ops_elements(n->outputs[0]))};
    return launch(l, n, "forward", args, 3);
}

static const bm_op op_activation = {.name = "activation", .attrs_bytes = sizeof(bm_activation), .infer = infer_activation,
                                    .gradient = gradient_activation, .cost = cost_activation,
                                    .launch = launch_activation};

bm_value *bm_activate(bm_graph *g, bm_value *x, bm_activation act)
{
    if (act == BM_ACT_NONE) return x;
    if ((int)act < 0 || act > BM_ACT_SIGMOID)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%d is no activation", (int)act));
    return bm_node_first(bm_node_create(g, &op_activation, &act, &x, 1, 0));
}
