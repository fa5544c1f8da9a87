#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/copy"

static int word_bits(const bm_value *v)
{
    return bm_dtype_size(v->dtype) == 2 ? 16 : 32;
}

static bm_status want_words(const bm_value *v)
{
    if (bm_dtype_size(v->dtype) >= 2) return BM_OK;
    return bm_fail(BM_ERR_UNSUPPORTED, "%s is %s; kernels move types of 2, 4 and 8 bytes", v->name, bm_dtype_name(v->dtype));
}

static const char *word_options(char buf[BM_OPS_OPTIONS], const bm_launcher *l, const bm_value *v)
{
    return bm_ops_options_with(buf, l, BM_F32, " -DWORD=%d", word_bits(v));
}

/* Kernels (x, y, n). */
static bm_status launch_flat(bm_launcher *l, const bm_node *n, const char *kernel, const char *options, int64_t count)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_i64(count)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = kernel, .options = options, .args = args, .n_args = 3};
    bm_ops_launch_flat(l, &k, count);
    return bm_launcher_status(l);
}

/* ---- copy ---- */

static bm_status infer_copy(bm_graph *g, bm_node *n)
{
    BM_TRY(want_words(n->inputs[0]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    return bm_graph_status(g);
}

static void gradient_copy(bm_graph *g, bm_node *n)
{
    bm_grad_add(g, n->inputs[0], bm_grad_of(g, n->outputs[0]));
}

static bm_status launch_copy(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *x = n->inputs[0];
    const int64_t words = (int64_t)bm_shape_bytes(&x->shape, x->dtype) * 8 / word_bits(x);
    return launch_flat(l, n, "copy", word_options(options, l, x), words);
}

static const bm_op op_copy = {.name = "copy", .infer = infer_copy, .gradient = gradient_copy, .launch = launch_copy};

bm_value *bm_copy(bm_graph *g, bm_value *a)
{
    return bm_node_first(bm_node_create(g, &op_copy, NULL, &a, 1, 0));
}

/* ---- cast ---- */

static bm_status infer_cast(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    const bm_value *y = bm_node_output(g, n, *(const bm_dtype *)n->attrs, n->inputs[0]->shape);
    if (y) BM_TRY(bm_ops_want_float(y));
    return bm_graph_status(g);
}

static void gradient_cast(bm_graph *g, bm_node *n)
{
    bm_grad_add(g, n->inputs[0], bm_cast(g, bm_grad_of(g, n->outputs[0]), n->inputs[0]->dtype));
}

static bm_status launch_cast(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    bm_ops_options_with(options, l, BM_F32, " -DFROM=%d -DTO=%d", (int)n->inputs[0]->dtype, (int)n->outputs[0]->dtype);
    return launch_flat(l, n, "cast", options, bm_ops_elements(n->inputs[0]));
}

static const bm_op op_cast = {.name = "cast", .attrs_bytes = sizeof(bm_dtype), .infer = infer_cast,
                              .gradient = gradient_cast, .launch = launch_cast};

bm_value *bm_cast(bm_graph *g, bm_value *a, bm_dtype t)
{
    if (a && a->dtype == t) return a;
    return bm_node_first(bm_node_create(g, &op_cast, &t, &a, 1, 0));
}

/* ---- the 16-bit copies of a group ---- */

static bm_status infer_halves(bm_graph *g, bm_node *n)
{
    (void)n;
    return bm_graph_status(g);
}

static bm_cost cost_halves(const bm_node *n)
{
    const bm_ops_group *a = n->attrs;
    return (bm_cost){.bytes = (double)a->elements * (double)(bm_dtype_size(a->dtype) + bm_dtype_size(a->half))};
}

static bm_status launch_halves(bm_launcher *l, const bm_node *n)
{
    const bm_ops_group *a = n->attrs;
    char options[BM_OPS_OPTIONS];
    bm_ops_options_with(options, l, BM_F32, " -DFROM=%d -DTO=%d", (int)a->dtype, (int)a->half);
    for (int slab = 0; slab < bm_launcher_bank_slabs(l, a->index); slab++) {
        const int64_t count = bm_launcher_bank_bytes(l, a->index, slab) / (int64_t)bm_dtype_size(a->dtype);
        const bm_arg args[] = {bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, a->index, slab)),
                               bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_HALF, a->index, slab)), bm_arg_i64(count)};
        bm_kernel_launch k = {.source = SOURCE, .kernel = "cast", .options = options, .args = args, .n_args = 3};
        bm_ops_launch_flat(l, &k, count);
    }
    return bm_launcher_status(l);
}

static const bm_op op_halves = {.name = "copy_halves", .attrs_bytes = sizeof(bm_ops_group), .infer = infer_halves,
                                .cost = cost_halves, .launch = launch_halves, .effects = 1};

bm_status bm_copy_halves(bm_graph *g, int group)
{
    bm_ops_group attrs;
    bm_status s = bm_ops_group_of(&attrs, g, group);
    if (s) bm_graph_fail(g, s);
    else if (attrs.half != BM_F32) bm_node_create(g, &op_halves, &attrs, NULL, 0, 0);
    return bm_graph_status(g);
}

/* ---- transpose ---- */

static bm_status infer_transpose(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0];
    BM_TRY(want_words(x));
    if (x->shape.rank < 2 || bm_dtype_size(x->dtype) > 4)
        return bm_fail(BM_ERR_SHAPE, "%s: a transposed value has two dimensions or more, of 2 or 4 bytes", x->name);
    bm_shape y = x->shape;
    y.dim[y.rank - 1] = x->shape.dim[y.rank - 2];
    y.dim[y.rank - 2] = x->shape.dim[y.rank - 1];
    bm_node_output(g, n, x->dtype, y);
    return bm_graph_status(g);
}

static void gradient_transpose(bm_graph *g, bm_node *n)
{
    bm_grad_add(g, n->inputs[0], bm_transpose(g, bm_grad_of(g, n->outputs[0])));
}

static bm_status launch_transpose(bm_launcher *l, const bm_node *n)
{
    const bm_value *x = n->inputs[0];
    const int cpu = bm_launcher_form(l) == BM_FORM_CPU;
    const int64_t rows = x->shape.dim[x->shape.rank - 2], cols = bm_ops_last(x);
    const int64_t batch = rows && cols ? bm_ops_elements(x) / (rows * cols) : 0;
    char options[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_i64(rows), bm_arg_i64(cols)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "transpose", .args = args, .n_args = 4, .dims = 3};
    k.options = word_options(options, l, x);
    k.local[0] = cpu ? 1 : 16;
    k.local[1] = cpu ? 1 : 4;
    k.local[2] = 1;
    k.global[0] = (size_t)bm_ceil_div(cols, cpu ? 64 : 16) * k.local[0];
    k.global[1] = (size_t)bm_ceil_div(rows, 16) * k.local[1];
    k.global[2] = (size_t)batch;
    bm_launcher_kernel(l, &k);
    return bm_launcher_status(l);
}

static const bm_op op_transpose = {.name = "transpose", .infer = infer_transpose, .gradient = gradient_transpose,
                                   .launch = launch_transpose};

bm_value *bm_transpose(bm_graph *g, bm_value *a)
{
    return bm_node_first(bm_node_create(g, &op_transpose, NULL, &a, 1, 0));
}
