/* The norm of all gradients: sums of squares in two stages (reduce.cl), over the slabs of the GRAD bank one after another. */
#include "cl/ops/ops_priv.h"

#define SOURCE "ops/reduce"
#define FINISH_ROOT 1 /* of reduce.cl */
#define GROUPS 8      /* at most */

bm_status bm_ops_group_of(bm_ops_group *out, bm_graph *g, int group)
{
    bm_layout *layout = NULL;
    bm_limits limits = bm_limits_default(BM_DEVICE_CPU, INT64_MAX);
    limits.max_alloc_bytes = INT64_MAX / 2;
    *out = (bm_ops_group){.index = group, .dtype = BM_F32, .half = BM_F32};
    BM_TRY(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, &limits));
    bm_status s = BM_OK;
    for (int i = 0; i < bm_layout_count(layout) && !s; i++) {
        const bm_tensor *t = bm_layout_at(layout, i);
        if (t->group != group) continue;
        if (out->tensors++ == 0) out->dtype = t->dtype;
        if (t->dtype != out->dtype || (t->dtype != BM_F32 && t->dtype != BM_F16 && t->dtype != BM_BF16))
            s = bm_fail(BM_ERR_SHAPE, "%s is %s; the parameters of a group are all f32, all f16 or all bf16", t->name,
                        bm_dtype_name(t->dtype));
        out->elements += bm_shape_elements(&t->shape);
        const bm_value *half = bm_graph_half_find(g, t->name);
        if (half) out->half = half->dtype;
    }
    bm_layout_destroy(layout);
    return s;
}

typedef struct gradnorm {
    int n;
    int64_t partials; /* for each slab, so that scratch does not depend on their number */
    bm_ops_group groups[GROUPS];
} gradnorm;

static bm_status infer(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F32, BM_SHAPE(1));
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n)
{
    const gradnorm *a = n->attrs;
    bm_cost c = {0, 4};
    for (int i = 0; i < a->n; i++) {
        c.flops += 2 * (double)a->groups[i].elements;
        c.bytes += (double)a->groups[i].elements * (double)bm_dtype_size(a->groups[i].dtype);
    }
    return c;
}

static bm_status scratch(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l, (void)limits;
    *bytes = 4 * ((const gradnorm *)n->attrs)->partials;
    return BM_OK;
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const gradnorm *a = n->attrs;
    const cl_mem partials = bm_launcher_scratch(l, 0, 4 * a->partials);
    char options[BM_OPS_OPTIONS];
    bm_kernel_launch k = {.source = SOURCE, .options = options};
    int slabs = 0;
    for (int i = 0; i < a->n; i++) {
        const bm_ops_group *group = &a->groups[i];
        for (int slab = 0; slab < bm_launcher_bank_slabs(l, group->index); slab++) {
            const int64_t count = bm_launcher_bank_bytes(l, group->index, slab) / (int64_t)bm_dtype_size(group->dtype);
            const bm_arg args[] = {bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_GRAD, group->index, slab)), bm_arg_mem(partials),
                                   bm_arg_i64(count), bm_arg_i32(slabs++ > 0)};
            bm_ops_options(options, l, group->dtype);
            k.kernel = "squares_partials";
            k.args = args;
            k.n_args = 4;
            bm_ops_launch_groups(l, &k, a->partials);
        }
    }
    const bm_arg args[] = {bm_arg_mem(partials), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_i64(slabs ? a->partials : 0), bm_arg_f32(1.0f), bm_arg_i32(FINISH_ROOT)};
    bm_ops_options(options, l, BM_F32);
    k.kernel = "sum_finish";
    k.args = args;
    k.n_args = 5;
    bm_ops_launch_groups(l, &k, 1);
    return bm_launcher_status(l);
}

static const bm_op op_grad_norm = {.name = "grad_norm", .attrs_bytes = sizeof(gradnorm), .infer = infer, .cost = cost,
                                   .scratch = scratch, .launch = launch};

bm_value *bm_grad_norm(bm_graph *g, int groups)
{
    gradnorm attrs = {.n = groups};
    bm_value *none = NULL;
    int64_t elements = 0;
    if (groups < 0 || groups > GROUPS)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "grad_norm of %d groups, at most %d", groups, GROUPS));
    for (int i = 0; i < groups; i++) {
        bm_status s = bm_ops_group_of(&attrs.groups[i], g, i);
        if (s) return bm_graph_fail(g, s);
        elements += attrs.groups[i].elements;
    }
    attrs.partials = bm_ops_partials(elements);
    return bm_node_first(bm_node_create(g, &op_grad_norm, &attrs, &none, 0, 0));
}
