#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

static bm_status infer(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_same(n->inputs[0], n->inputs[1]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 1, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

/* exp counts as 8 operations. */
static bm_cost cost(const bm_node *n) { return bm_ops_cost(n, 11); }
static bm_cost cost_backward(const bm_node *n) { return bm_ops_cost(n, 4); }

/* Kernels (inputs ..., y, rows, n, each). */
static bm_status launch_rows(bm_launcher *l, const bm_node *n, const char *kernel)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *y = n->outputs[0];
    const int64_t rows = bm_ops_rows(y), last = bm_ops_last(y), each = bm_ops_rows_each(l, last);
    bm_arg args[6];
    int a = 0;
    for (int i = 0; i < n->n_inputs; i++) args[a++] = bm_arg_mem(bm_launcher_mem(l, n->inputs[i]));
    args[a++] = bm_arg_mem(bm_launcher_mem(l, y));
    args[a++] = bm_arg_i64(rows);
    args[a++] = bm_arg_i64(last);
    args[a++] = bm_arg_i64(each);
    bm_kernel_launch k = {.source = "ops/softmax", .kernel = kernel, .args = args, .n_args = a};
    k.options = bm_ops_options(options, l, y->dtype);
    if (last) bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    return bm_launcher_status(l);
}

static bm_status launch(bm_launcher *l, const bm_node *n) { return launch_rows(l, n, "softmax"); }
static bm_status launch_backward(bm_launcher *l, const bm_node *n) { return launch_rows(l, n, "softmax_backward"); }

static const bm_op op_backward = {.name = "softmax_backward", .infer = infer_backward, .cost = cost_backward,
                                  .launch = launch_backward};

static void gradient(bm_graph *g, bm_node *n)
{
    bm_value *const in[] = {n->outputs[0], bm_grad_of(g, n->outputs[0])};
    bm_grad_add(g, n->inputs[0], bm_node_first(bm_node_create(g, &op_backward, NULL, in, 2, 0)));
}

static const bm_op op_softmax = {.name = "softmax", .infer = infer, .gradient = gradient, .cost = cost, .launch = launch};

bm_value *bm_softmax(bm_graph *g, bm_value *x)
{
    return bm_node_first(bm_node_create(g, &op_softmax, NULL, &x, 1, 0));
}
