#include "cl/ops/ops_priv.h"
#include "cl/optim/optim.h"

typedef struct average {
    bm_ops_group group;
    float rest; /* 1 - decay */
} average;

static bm_status infer(bm_graph *g, bm_node *n)
{
    (void)n;
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n)
{
    const bm_ops_group *a = &((const average *)n->attrs)->group;
    return (bm_cost){.flops = 3 * (double)a->elements, .bytes = 3 * (double)a->elements * (double)bm_dtype_size(a->dtype)};
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const average *a = n->attrs;
    char options[BM_OPS_OPTIONS];
    bm_ops_options(options, l, a->group.dtype);
    for (int slab = 0; slab < bm_launcher_bank_slabs(l, a->group.index); slab++) {
        const int64_t count = bm_launcher_bank_bytes(l, a->group.index, slab) / (int64_t)bm_dtype_size(a->group.dtype);
        const bm_arg args[] = {bm_arg_mem(bm_launcher_scalars(l)), bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, a->group.index, slab)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_AVERAGE, a->group.index, slab)), bm_arg_i64(count),
                               bm_arg_f32(a->rest)};
        bm_kernel_launch k = {.source = "optim/average", .kernel = "average", .options = options, .args = args, .n_args = 5};
        bm_ops_launch_flat(l, &k, count);
    }
    return bm_launcher_status(l);
}

static const bm_op op = {.name = "average", .attrs_bytes = sizeof(average), .infer = infer, .cost = cost, .launch = launch, .effects = 1};

bm_status bm_optim_average(bm_graph *g, int group, double decay)
{
    average attrs = {.rest = (float)(1 - decay)};
    bm_status s = bm_ops_group_of(&attrs.group, g, group);
    if (s) bm_graph_fail(g, s);
    else if (attrs.group.tensors) bm_node_create(g, &op, &attrs, NULL, 0, 0);
    return bm_graph_status(g);
}
