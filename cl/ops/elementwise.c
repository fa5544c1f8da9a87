#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/elementwise"

static bm_cost cost_each(const bm_node *n)
{
    return bm_ops_cost(n, 1);
}

static bm_status launch_flat(bm_launcher *l, const bm_node *n, const char *kernel, const bm_arg *args, int n_args)
{
    char options[BM_OPS_OPTIONS];
    bm_kernel_launch k = {.source = SOURCE, .kernel = kernel, .args = args, .n_args = n_args};
    k.options = bm_ops_options(options, l, n->outputs[0]->dtype);
    bm_ops_launch_flat(l, &k, bm_ops_elements(n->outputs[0]));
    return bm_launcher_status(l);
}

/* Kernels (a, b, y, n) over two operands and one result. */
static bm_status launch_two(bm_launcher *l, const bm_node *n, const char *kernel)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[0])), bm_arg_i64(bm_ops_elements(n->outputs[0]))};
    return launch_flat(l, n, kernel, args, 4);
}

/* Kernels (x, y, s, rows, n, each). */
static bm_status launch_rows(bm_launcher *l, const bm_node *n, const char *kernel, bm_arg second, bm_arg third)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *y = n->outputs[0];
    const int64_t rows = bm_ops_rows(y), last = bm_ops_last(y), each = bm_ops_rows_each(l, last);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), second, third, bm_arg_i64(rows), bm_arg_i64(last),
                           bm_arg_i64(each)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = kernel, .args = args, .n_args = 6};
    k.options = bm_ops_options(options, l, y->dtype);
    if (last) bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    return bm_launcher_status(l);
}

/* ---- two operands of one shape ---- */

static bm_status infer_two(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    BM_TRY(bm_ops_want_same(n->inputs[0], n->inputs[1]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static void gradient_add(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], d);
    bm_grad_add(g, n->inputs[1], d);
}

static void gradient_sub(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], d);
    if (bm_grad_wanted(g, n->inputs[1])) bm_grad_add(g, n->inputs[1], bm_scale(g, d, -1.0f));
}

static void gradient_mul(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]), *a = n->inputs[0], *b = n->inputs[1];
    if (bm_grad_wanted(g, a)) bm_grad_add(g, a, bm_mul(g, d, b));
    if (bm_grad_wanted(g, b)) bm_grad_add(g, b, bm_mul(g, d, a));
}

static bm_status launch_add(bm_launcher *l, const bm_node *n) { return launch_two(l, n, "add"); }
static bm_status launch_sub(bm_launcher *l, const bm_node *n) { return launch_two(l, n, "sub"); }
static bm_status launch_mul(bm_launcher *l, const bm_node *n) { return launch_two(l, n, "mul"); }

static const bm_op op_add = {.name = "add", .infer = infer_two, .gradient = gradient_add, .cost = cost_each,
                             .launch = launch_add};
static const bm_op op_sub = {.name = "sub", .infer = infer_two, .gradient = gradient_sub, .cost = cost_each,
                             .launch = launch_sub};
static const bm_op op_mul = {.name = "mul", .infer = infer_two, .gradient = gradient_mul, .cost = cost_each,
                             .launch = launch_mul};

static bm_value *two(bm_graph *g, const bm_op *op, const void *attrs, bm_value *a, bm_value *b)
{
    bm_value *const in[] = {a, b};
    return bm_node_first(bm_node_create(g, op, attrs, in, 2, 0));
}

bm_value *bm_add(bm_graph *g, bm_value *a, bm_value *b) { return two(g, &op_add, NULL, a, b); }
bm_value *bm_sub(bm_graph *g, bm_value *a, bm_value *b) { return two(g, &op_sub, NULL, a, b); }
bm_value *bm_mul(bm_graph *g, bm_value *a, bm_value *b) { return two(g, &op_mul, NULL, a, b); }

/* ---- s x ---- */

static bm_status infer_one(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    bm_node_output(g, n, n->inputs[0]->dtype, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static void gradient_scale(bm_graph *g, bm_node *n)
{
    bm_grad_add(g, n->inputs[0], bm_scale(g, bm_grad_of(g, n->outputs[0]), *(const float *)n->attrs));
}

static bm_status launch_scale(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_f32(*(const float *)n->attrs), bm_arg_i64(bm_ops_elements(n->outputs[0]))};
    return launch_flat(l, n, "scale", args, 4);
}

static const bm_op op_scale = {.name = "scale", .attrs_bytes = sizeof(float), .infer = infer_one,
                               .gradient = gradient_scale, .cost = cost_each, .launch = launch_scale};

bm_value *bm_scale(bm_graph *g, bm_value *a, float s)
{
    return bm_node_first(bm_node_create(g, &op_scale, &s, &a, 1, 0));
}

static bm_status infer_mul_scalar(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_type(n->inputs[1], BM_F32));
    BM_TRY(bm_ops_want_vector(n->inputs[1], 1));
    return infer_one(g, n);
}

static void gradient_mul_scalar(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]), *x = n->inputs[0], *s = n->inputs[1];
    if (bm_grad_wanted(g, x)) bm_grad_add(g, x, bm_mul_scalar(g, d, s));
    if (bm_grad_wanted(g, s)) bm_grad_add(g, s, bm_sum(g, bm_mul(g, d, x)));
}

static bm_status launch_mul_scalar(bm_launcher *l, const bm_node *n) { return launch_two(l, n, "mul_scalar"); }

static const bm_op op_mul_scalar = {.name = "mul_scalar", .infer = infer_mul_scalar, .gradient = gradient_mul_scalar,
                                    .cost = cost_each, .launch = launch_mul_scalar};

bm_value *bm_mul_scalar(bm_graph *g, bm_value *x, bm_value *scalar) { return two(g, &op_mul_scalar, NULL, x, scalar); }

/* ---- x + b ---- */

static bm_status infer_add_bias(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_type(n->inputs[1], n->inputs[0]->dtype));
    BM_TRY(bm_ops_want_vector(n->inputs[1], bm_ops_last(n->inputs[0])));
    return infer_one(g, n);
}

static void gradient_add_bias(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], d);
    bm_ops_grad_rows(g, n->inputs[1], d);
}

static bm_status launch_add_bias(bm_launcher *l, const bm_node *n)
{
    return launch_rows(l, n, "add_bias", bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                       bm_arg_mem(bm_launcher_mem(l, n->outputs[0])));
}

static const bm_op op_add_bias = {.name = "add_bias", .infer = infer_add_bias, .gradient = gradient_add_bias,
                                  .cost = cost_each, .launch = launch_add_bias};

bm_value *bm_add_bias(bm_graph *g, bm_value *x, bm_value *b) { return two(g, &op_add_bias, NULL, x, b); }

/* ---- constants and expansions ---- */

typedef struct spread {
    bm_dtype dtype;
    bm_shape shape;
    float factor;
} spread;

static bm_status infer_fill(bm_graph *g, bm_node *n)
{
    const spread *a = n->attrs;
    bm_node_output(g, n, a->dtype, a->shape);
    return bm_graph_status(g);
}

static bm_status launch_fill(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->outputs[0])), bm_arg_f32(((const spread *)n->attrs)->factor),
                           bm_arg_i64(bm_ops_elements(n->outputs[0]))};
    return launch_flat(l, n, "fill", args, 3);
}

static bm_status launch_expand_scalar(bm_launcher *l, const bm_node *n)
{
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[0])), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_f32(((const spread *)n->attrs)->factor), bm_arg_i64(bm_ops_elements(n->outputs[0]))};
    return launch_flat(l, n, "expand_scalar", args, 4);
}

static bm_status launch_expand_row(bm_launcher *l, const bm_node *n)
{
    return launch_rows(l, n, "expand_row", bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                       bm_arg_f32(((const spread *)n->attrs)->factor));
}

static bm_status launch_expand_column(bm_launcher *l, const bm_node *n)
{
    return launch_rows(l, n, "expand_column", bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                       bm_arg_f32(((const spread *)n->attrs)->factor));
}

static const bm_op op_fill = {.name = "fill", .attrs_bytes = sizeof(spread), .infer = infer_fill, .launch = launch_fill};
static const bm_op op_expand_scalar = {.name = "expand_scalar", .attrs_bytes = sizeof(spread), .infer = infer_fill,
                                       .launch = launch_expand_scalar};
static const bm_op op_expand_row = {.name = "expand_row", .attrs_bytes = sizeof(spread), .infer = infer_fill,
                                    .launch = launch_expand_row};
static const bm_op op_expand_column = {.name = "expand_column", .attrs_bytes = sizeof(spread), .infer = infer_fill,
                                       .launch = launch_expand_column};

bm_value *bm_ops_fill(bm_graph *g, bm_dtype t, bm_shape shape, float x)
{
    const spread a = {t, shape, x};
    bm_value *none = NULL;
    return bm_node_first(bm_node_create(g, &op_fill, &a, &none, 0, 0));
}

bm_value *bm_ops_expand_scalar(bm_graph *g, bm_value *d, bm_dtype t, bm_shape shape, float factor)
{
    const spread a = {t, shape, factor};
    return bm_node_first(bm_node_create(g, &op_expand_scalar, &a, &d, 1, 0));
}

bm_value *bm_ops_expand_row(bm_graph *g, bm_value *d, bm_shape shape, float factor)
{
    const spread a = {d ? d->dtype : BM_F32, shape, factor};
    return bm_node_first(bm_node_create(g, &op_expand_row, &a, &d, 1, 0));
}

bm_value *bm_ops_expand_column(bm_graph *g, bm_value *d, bm_shape shape, float factor)
{
    const spread a = {d ? d->dtype : BM_F32, shape, factor};
    return bm_node_first(bm_node_create(g, &op_expand_column, &a, &d, 1, 0));
}
