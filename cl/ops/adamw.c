#include "cl/ops/ops_priv.h"

typedef struct adamw {
    bm_adamw_opts opts;
    bm_ops_group group;
} adamw;

static bm_status infer(bm_graph *g, bm_node *n)
{
    (void)g;
    if (n->inputs[0]) {
        BM_TRY(bm_ops_want_type(n->inputs[0], BM_F32));
        BM_TRY(bm_ops_want_vector(n->inputs[0], 1));
    }
    return BM_OK;
}

static bm_cost cost(const bm_node *n)
{
    const bm_ops_group *a = &((const adamw *)n->attrs)->group;
    const size_t bytes = 7 * bm_dtype_size(a->dtype) + (a->half == BM_F32 ? 0 : bm_dtype_size(a->half));
    return (bm_cost){.flops = 14 * (double)a->elements, .bytes = (double)a->elements * (double)bytes};
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const adamw *a = n->attrs;
    const bm_adamw_opts *o = &a->opts;
    char options[BM_OPS_OPTIONS];
    const int halves = a->group.half != BM_F32;
    for (int slab = 0; slab < bm_launcher_bank_slabs(l, a->group.index); slab++) {
        const int64_t count = bm_launcher_bank_bytes(l, a->group.index, slab) / (int64_t)bm_dtype_size(a->group.dtype);
        const bm_arg args[] = {bm_arg_mem(bm_launcher_scalars(l)), bm_arg_mem(bm_launcher_mem(l, n->inputs[0])),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, a->group.index, slab)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_GRAD, a->group.index, slab)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_STATE0, a->group.index, slab)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_STATE1, a->group.index, slab)),
                               bm_arg_mem(halves ? bm_launcher_bank_mem(l, BM_PLACE_HALF, a->group.index, slab) : NULL),
                               bm_arg_i64(count), bm_arg_f32((float)o->beta1), bm_arg_f32((float)(1 - o->beta1)),
                               bm_arg_f32((float)o->beta2), bm_arg_f32((float)(1 - o->beta2)), bm_arg_f32((float)o->eps),
                               bm_arg_f32((float)o->weight_decay), bm_arg_f32((float)o->clip)};
        bm_kernel_launch k = {.source = "ops/adamw", .kernel = "adamw", .args = args, .n_args = 15};
        k.options = bm_ops_options_with(options, l, a->group.dtype, " -DHALF=%d", (int)a->group.half);
        bm_ops_launch_flat(l, &k, count);
    }
    return bm_launcher_status(l);
}

static const bm_op op_adamw = {.name = "adamw", .attrs_bytes = sizeof(adamw), .infer = infer, .cost = cost, .launch = launch,
                               .effects = 1};

bm_status bm_adamw(bm_graph *g, int group, bm_value *norm, const bm_adamw_opts *opts)
{
    adamw attrs = {.opts = *opts};
    bm_status s = bm_ops_group_of(&attrs.group, g, group);
    if (!s && opts->clip > 0 && !norm) s = bm_fail(BM_ERR_USAGE, "adamw: clipping at %g needs the norm of the gradients", opts->clip);
    if (s) bm_graph_fail(g, s);
    else bm_node_create(g, &op_adamw, &attrs, &norm, 1, 1u << 0);
    return bm_graph_status(g);
}
