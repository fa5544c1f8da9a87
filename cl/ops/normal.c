#include "cl/ops/ops_priv.h"

typedef struct attrs {
    float mean, std;
    uint32_t stream;
} attrs;

static bm_status infer(bm_graph *g, bm_node *n)
{
    (void)g;
    return bm_ops_want_float(n->inputs[0]);
}

/* Ten rounds of ten operations make the numbers of two elements; a logarithm, a root and a cosine. */
static bm_cost cost(const bm_node *n)
{
    const int64_t elements = bm_ops_elements(n->inputs[0]);
    return (bm_cost){.flops = 90 * (double)elements, .bytes = (double)elements * (double)bm_dtype_size(n->inputs[0]->dtype)};
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const attrs *a = n->attrs;
    const int64_t elements = bm_ops_elements(n->inputs[0]);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_scalars(l)), bm_arg_i64(elements),
                           bm_arg_i32((int32_t)a->stream), bm_arg_f32(a->mean), bm_arg_f32(a->std)};
    bm_kernel_launch k = {.source = "ops/normal", .kernel = "normal", .args = args, .n_args = 6};
    k.options = bm_ops_options(options, l, n->inputs[0]->dtype);
    bm_ops_launch_flat(l, &k, elements);
    return bm_launcher_status(l);
}

static const bm_op op_normal = {.name = "normal", .attrs_bytes = sizeof(attrs), .infer = infer, .cost = cost, .launch = launch,
                                .effects = 1};

bm_status bm_normal(bm_graph *g, bm_value *x, float mean, float std, uint32_t stream)
{
    const attrs a = {mean, std, stream};
    bm_node_create(g, &op_normal, &a, &x, 1, 0);
    return bm_graph_status(g);
}
