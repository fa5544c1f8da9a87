#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

/* A node of part: columns [first, first + count) of x. */
typedef struct part {
    int64_t first, count;
} part;

/* Columns [x_at, x_at + n) of x into those from y_at on of y; both have the same rows. */
static void launch_columns(bm_launcher *l, const bm_value *x, int64_t x_at, const bm_value *y, int64_t y_at, int64_t n)
{
    char options[BM_OPS_OPTIONS];
    const int64_t rows = bm_ops_rows(x), each = bm_ops_rows_each(l, n);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(bm_launcher_mem(l, y)), bm_arg_i64(rows), bm_arg_i64(each),
                           bm_arg_i64(n), bm_arg_i64(bm_ops_last(x)), bm_arg_i64(x_at), bm_arg_i64(bm_ops_last(y)), bm_arg_i64(y_at)};
    bm_kernel_launch k = {.source = "ops/concat", .kernel = "columns", .args = args, .n_args = 9};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
}

/* ---- part ---- */

static bm_status infer_part(bm_graph *g, bm_node *n)
{
    const part *p = n->attrs;
    bm_shape shape = n->inputs[0]->shape;
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    if (shape.rank < 1 || p->first < 0 || p->count < 0 || p->first > bm_ops_last(n->inputs[0]) - p->count)
        return bm_fail(BM_ERR_SHAPE, "%s: columns %lld to %lld of %lld", n->inputs[0]->name, (long long)p->first,
                       (long long)(p->first + p->count), (long long)bm_ops_last(n->inputs[0]));
    shape.dim[shape.rank - 1] = p->count;
    bm_node_output(g, n, n->inputs[0]->dtype, shape);
    return bm_graph_status(g);
}

static bm_cost cost_part(const bm_node *n)
{
    const bm_value *y = n->outputs[0];
    return (bm_cost){.bytes = 2.0 * (double)bm_shape_bytes(&y->shape, y->dtype)};
}

static bm_status launch_part(bm_launcher *l, const bm_node *n)
{
    const part *p = n->attrs;
    launch_columns(l, n->inputs[0], p->first, n->outputs[0], 0, p->count);
    return bm_launcher_status(l);
}

static const bm_op op_part = {.name = "part", .attrs_bytes = sizeof(part), .infer = infer_part, .cost = cost_part, .launch = launch_part};

static bm_value *part_of(bm_graph *g, bm_value *x, int64_t first, int64_t count)
{
    const part p = {first, count};
    return bm_node_first(bm_node_create(g, &op_part, &p, &x, 1, 0));
}

/* ---- concat ---- */

static bm_status infer_concat(bm_graph *g, bm_node *n)
{
    const bm_value *a = n->inputs[0], *b = n->inputs[1];
    bm_shape shape = a->shape, other = b->shape;
    BM_TRY(bm_ops_want_float(a));
    BM_TRY(bm_ops_want_type(b, a->dtype));
    if (shape.rank < 1 || other.rank != shape.rank)
        return bm_fail(BM_ERR_SHAPE, "%s and %s have %d and %d dimensions", a->name, b->name, shape.rank, other.rank);
    other.dim[other.rank - 1] = shape.dim[shape.rank - 1];
    if (!bm_shape_equal(&shape, &other)) return bm_fail(BM_ERR_SHAPE, "%s and %s differ in more than the last dimension", a->name, b->name);
    shape.dim[shape.rank - 1] += bm_ops_last(b);
    bm_node_output(g, n, a->dtype, shape);
    return bm_graph_status(g);
}

static void gradient_concat(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    const int64_t first = bm_ops_last(n->inputs[0]);
    if (bm_grad_wanted(g, n->inputs[0])) bm_grad_add(g, n->inputs[0], part_of(g, d, 0, first));
    if (bm_grad_wanted(g, n->inputs[1])) bm_grad_add(g, n->inputs[1], part_of(g, d, first, bm_ops_last(n->inputs[1])));
}

static bm_status launch_concat(bm_launcher *l, const bm_node *n)
{
    int64_t at = 0;
    for (int i = 0; i < 2; i++) {
        launch_columns(l, n->inputs[i], 0, n->outputs[0], at, bm_ops_last(n->inputs[i]));
        at += bm_ops_last(n->inputs[i]);
    }
    return bm_launcher_status(l);
}

static const bm_op op_concat = {.name = "concat", .infer = infer_concat, .gradient = gradient_concat, .launch = launch_concat};

bm_value *bm_concat(bm_graph *g, bm_value *a, bm_value *b)
{
    bm_value *both[] = {a, b};
    return bm_node_first(bm_node_create(g, &op_concat, NULL, both, 2, 0));
}
