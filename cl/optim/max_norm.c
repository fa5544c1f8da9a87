#include "cl/ops/ops_priv.h"
#include "cl/optim/optim.h"
#include "core/base/checked.h"

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0];
    (void)g;
    if (x->shape.rank < 2) return bm_fail(BM_ERR_SHAPE, "%s has no rows whose norm could be limited", x->name);
    return bm_ops_want_float(x);
}

static bm_cost cost(const bm_node *n)
{
    const double elements = (double)bm_ops_elements(n->inputs[0]);
    return (bm_cost){.flops = 2 * elements, .bytes = elements * (double)bm_dtype_size(n->inputs[0]->dtype)};
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *x = n->inputs[0];
    const int64_t rows = x->shape.dim[0], cols = rows ? bm_ops_elements(x) / rows : 0, each = bm_ops_rows_each(l, cols);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_i64(rows), bm_arg_i64(cols), bm_arg_i64(each),
                           bm_arg_f32(*(const float *)n->attrs)};
    bm_kernel_launch k = {.source = "optim/max_norm", .kernel = "max_norm", .args = args, .n_args = 5};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    return bm_launcher_status(l);
}

static const bm_op op = {.name = "max_norm", .attrs_bytes = sizeof(float), .infer = infer, .cost = cost, .launch = launch, .effects = 1};

bm_status bm_optim_max_norm(bm_graph *g, int group, double most)
{
    const float attrs = (float)most;
    for (int i = 0, n = bm_graph_params(g); most > 0 && i < n; i++) {
        bm_value *w = bm_graph_param_at(g, i);
        if (bm_value_group(w) == group) bm_node_create(g, &op, &attrs, &w, 1, 0);
    }
    return most > 0 ? bm_copy_halves(g, group) : bm_graph_status(g);
}
