#include "cl/ops/ops_priv.h"
#include "cl/optim/optim.h"

typedef struct penalty {
    bm_ops_group group;
    float l1, twice_l2;
} penalty;

static bm_status infer(bm_graph *g, bm_node *n)
{
    (void)n;
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n)
{
    const bm_ops_group *a = &((const penalty *)n->attrs)->group;
    return (bm_cost){.flops = 5 * (double)a->elements, .bytes = 3 * (double)a->elements * (double)bm_dtype_size(a->dtype)};
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const penalty *a = n->attrs;
    char options[BM_OPS_OPTIONS];
    bm_ops_options(options, l, a->group.dtype);
    for (int slab = 0; slab < bm_launcher_bank_slabs(l, a->group.index); slab++) {
        const int64_t count = bm_launcher_bank_bytes(l, a->group.index, slab) / (int64_t)bm_dtype_size(a->group.dtype);
        const bm_arg args[] = {bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, a->group.index, slab)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_GRAD, a->group.index, slab)), bm_arg_i64(count),
                               bm_arg_f32(a->l1), bm_arg_f32(a->twice_l2)};
        bm_kernel_launch k = {.source = "optim/penalty", .kernel = "penalty", .options = options, .args = args, .n_args = 5};
        bm_ops_launch_flat(l, &k, count);
    }
    return bm_launcher_status(l);
}

static const bm_op op_penalty = {.name = "penalty", .attrs_bytes = sizeof(penalty), .infer = infer, .cost = cost,
                                 .launch = launch, .effects = 1};

bm_status bm_optim_penalty(bm_graph *g, int group, double l1, double l2)
{
    penalty attrs = {.l1 = (float)l1, .twice_l2 = (float)(2 * l2)};
    if (l1 == 0 && l2 == 0) return bm_graph_status(g);
    bm_status s = bm_ops_group_of(&attrs.group, g, group);
    if (s) bm_graph_fail(g, s);
    else bm_node_create(g, &op_penalty, &attrs, NULL, 0, 0);
    return bm_graph_status(g);
}
