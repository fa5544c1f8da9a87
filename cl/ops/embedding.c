#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/embedding"

/* Parts that the ids are dealt to in the plain form, so that there is work for a GPU: a table of C columns keeps
 * BUCKETS * C work-items busy. */
#define BUCKETS 32

/* ---- shape rules ---- */

static bm_status want_table(const bm_value *v)
{
    BM_TRY(bm_ops_want_float_or_scaled(v));
    if (v->shape.rank == 2 && v->shape.dim[0] <= INT32_MAX) return BM_OK;
    char text[BM_SHAPE_TEXT];
    return bm_fail(BM_ERR_SHAPE, "%s is %s, not a table [rows, columns]", v->name, bm_shape_text(&v->shape, text, sizeof text));
}

static bm_status add_output(bm_graph *g, bm_node *n, bm_dtype type, const bm_value *table, const bm_value *ids)
{
    bm_shape s = ids->shape;
    if (s.rank == BM_MAX_RANK) return bm_fail(BM_ERR_SHAPE, "%s has %d dimensions", ids->name, s.rank);
    s.dim[s.rank++] = table->shape.dim[1];
    return bm_node_output(g, n, type, s) ? bm_ops_want_float(n->outputs[0]) : bm_graph_status(g);
}

static bm_status infer(bm_graph *g, bm_node *n)
{
    BM_TRY(want_table(n->inputs[0]));
    BM_TRY(bm_ops_want_type(n->inputs[1], BM_I32));
    return add_output(g, n, n->inputs[0]->scale ? BM_F32 : n->inputs[0]->dtype, n->inputs[0], n->inputs[1]);
}

static bm_status infer_positions(bm_graph *g, bm_node *n)
{
    const bm_value *token = n->inputs[0], *position = n->inputs[1], *ids = n->inputs[2];
    BM_TRY(want_table(token));
    BM_TRY(want_table(position));
    BM_TRY(bm_ops_want_type(position, token->dtype));
    BM_TRY(bm_ops_want_type(ids, BM_I32));
    if (ids->shape.rank == 2 && position->shape.dim[1] == token->shape.dim[1])
        return add_output(g, n, *(const bm_dtype *)n->attrs, token, ids);
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT], c[BM_SHAPE_TEXT];
    return bm_fail(BM_ERR_SHAPE, "tables %s and %s and ids %s do not fit: [V, C], [P, C], [B, T]",
                   bm_shape_text(&token->shape, a, sizeof a), bm_shape_text(&position->shape, b, sizeof b),
                   bm_shape_text(&ids->shape, c, sizeof c));
}

/* Input 1 is added to. */
static bm_status infer_scatter(bm_graph *g, bm_node *n)
{
    const bm_value *acc = n->inputs[1];
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    bm_node_output(g, n, acc->dtype, acc->shape);
    bm_node_inplace(n, 0, 1, BM_INPLACE_MUST);
    return bm_graph_status(g);
}

/* ---- costs: of a table the rows that are touched count, one for each id ---- */

static double bytes_of(const bm_value *v) { return (double)bm_shape_bytes(&v->shape, v->dtype); }

static double bytes_of_rows(const bm_value *table, int64_t rows)
{
    const double elements = (double)table->shape.dim[1] * (double)bm_dtype_size(table->dtype);
    return (double)rows * (elements + (table->scale ? sizeof(float) : 0));
}

static bm_cost cost(const bm_node *n)
{
    const bm_value *table = n->inputs[0], *ids = n->inputs[1];
    return (bm_cost){.bytes = bytes_of(ids) + bytes_of(n->outputs[0]) + bytes_of_rows(table, bm_ops_elements(ids))};
}

/* The positions of one sequence serve all of them. */
static bm_cost cost_positions(const bm_node *n)
{
    const bm_value *token = n->inputs[0], *position = n->inputs[1], *ids = n->inputs[2], *y = n->outputs[0];
    return (bm_cost){(double)bm_ops_elements(y), bytes_of(ids) + bytes_of(y) + bytes_of_rows(token, bm_ops_elements(ids)) +
                                                     bytes_of_rows(position, ids->shape.dim[1])};
}

/* Bytes of the gradient's rows, one for each row of dy. */
static double touched(const bm_node *n)
{
    return (double)bm_ops_elements(n->inputs[0]) * (double)bm_dtype_size(n->outputs[0]->dtype);
}

static bm_cost cost_scatter(const bm_node *n)
{
    const bm_value *dy = n->inputs[0];
    return (bm_cost){(double)bm_ops_elements(dy), bytes_of(n->inputs[2]) + bytes_of(dy) + 2 * touched(n)};
}

static bm_cost cost_scatter_positions(const bm_node *n)
{
    const bm_value *dy = n->inputs[0];
    const double B = dy->shape.dim[0] ? (double)dy->shape.dim[0] : 1; /* the positions of one sequence serve all of them */
    return (bm_cost){(double)bm_ops_elements(dy), bytes_of(dy) + 2 * touched(n) / B};
}

/* ---- launches ---- */

/* `of` is y or dy, `table` what is looked up or the gradient of it. */
static const char *types(char options[BM_OPS_OPTIONS], const bm_launcher *l, const bm_value *of, const bm_value *table)
{
    return bm_ops_options_with(options, l, of->dtype, " -DTABLE=%d -DSCALED=%d", (int)table->dtype, table->scale != NULL);
}

static void launch_rows(bm_launcher *l, bm_kernel_launch *k, const char *options, int64_t rows, int64_t each)
{
    k->source = SOURCE;
    k->options = options;
    bm_ops_launch_groups(l, k, bm_ceil_div(rows, each));
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const bm_value *table = n->inputs[0], *ids = n->inputs[1], *y = n->outputs[0];
    const int64_t rows = bm_ops_elements(ids), last = bm_ops_last(y), each = bm_ops_rows_each(l, last);
    char options[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, table)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[2])),
                           bm_arg_mem(bm_launcher_mem(l, ids)),
                           bm_arg_mem(bm_launcher_mem(l, y)),
                           bm_arg_i32((int32_t)table->shape.dim[0]),
                           bm_arg_i64(rows),
                           bm_arg_i64(last),
                           bm_arg_i64(each)};
    bm_kernel_launch k = {.kernel = "embedding", .args = args, .n_args = 8};
    launch_rows(l, &k, types(options, l, y, table), rows, each);
    return bm_launcher_status(l);
}

static bm_status launch_positions(bm_launcher *l, const bm_node *n)
{
    const bm_value *token = n->inputs[0], *position = n->inputs[1], *ids = n->inputs[2], *y = n->outputs[0];
    const int64_t rows = bm_ops_elements(ids), last = bm_ops_last(y), each = bm_ops_rows_each(l, last);
    char options[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, token)),
                           bm_arg_mem(bm_launcher_mem(l, position)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[3])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[4])),
                           bm_arg_mem(bm_launcher_mem(l, ids)),
                           bm_arg_mem(bm_launcher_mem(l, y)),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i32((int32_t)token->shape.dim[0]),
                           bm_arg_i64(position->shape.dim[0]),
                           bm_arg_i64(ids->shape.dim[1]),
                           bm_arg_i64(rows),
                           bm_arg_i64(last),
                           bm_arg_i64(each)};
    bm_kernel_launch k = {.kernel = "embedding_positions", .args = args, .n_args = 13};
    launch_rows(l, &k, types(options, l, y, token), rows, each);
    return bm_launcher_status(l);
}

static bm_status launch_scatter(bm_launcher *l, const bm_node *n)
{
    const bm_value *dy = n->inputs[0], *ids = n->inputs[2], *dtable = n->outputs[0];
    const int64_t last = bm_ops_last(dtable), rows = bm_ops_elements(ids);
    const int cpu = bm_launcher_form(l) == BM_FORM_CPU;
    char options[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, dy)),
                           bm_arg_mem(bm_launcher_mem(l, ids)),
                           bm_arg_mem(bm_launcher_mem(l, dtable)),
                           bm_arg_i32((int32_t)dtable->shape.dim[0]),
                           bm_arg_i64(rows),
                           bm_arg_i64(last)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "scatter", .args = args, .n_args = 6, .dims = 2};
    k.options = types(options, l, dy, dtable);
    k.local[0] = cpu ? 1 : 64;
    k.local[1] = 1;
    k.global[0] = (size_t)bm_ceil_div(last, 64) * k.local[0];
    k.global[1] = cpu ? 1 : BUCKETS;
    if (rows) bm_launcher_kernel(l, &k);
    return bm_launcher_status(l);
}

static bm_status launch_scatter_positions(bm_launcher *l, const bm_node *n)
{
    const bm_value *dy = n->inputs[0], *dposition = n->outputs[0];
    const int64_t B = dy->shape.dim[0], T = dy->shape.dim[1], last = bm_ops_last(dposition);
    const int64_t each = bm_ops_rows_each(l, last * (B > 0 ? B : 1));
    char options[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, dy)),
                           bm_arg_mem(bm_launcher_mem(l, dposition)),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i64(dposition->shape.dim[0]),
                           bm_arg_i64(B),
                           bm_arg_i64(T),
                           bm_arg_i64(last),
                           bm_arg_i64(each)};
    bm_kernel_launch k = {.kernel = "scatter_positions", .args = args, .n_args = 8};
    launch_rows(l, &k, types(options, l, dy, dposition), T, each);
    return bm_launcher_status(l);
}

/* ---- gradients ---- */

static const bm_op op_scatter = {.name = "scatter", .infer = infer_scatter, .cost = cost_scatter, .launch = launch_scatter};
static const bm_op op_scatter_positions = {.name = "scatter_positions",
                                           .infer = infer_scatter,
                                           .cost = cost_scatter_positions,
                                           .launch = launch_scatter_positions};

/* Adds the rows of dy to what dL/d(table) holds so far, zeros if nothing. */
static void scatter(bm_graph *g, const bm_op *op, bm_value *table, bm_value *dy, bm_value *ids)
{
    if (!bm_grad_wanted(g, table)) return;
    bm_value *acc = bm_grad_take(g, table);
    if (!acc) acc = bm_ops_fill(g, bm_grad_dtype(table), table->shape, 0.0f);
    bm_value *const in[] = {dy, acc, ids};
    bm_grad_add(g, table, bm_node_first(bm_node_create(g, op, NULL, in, ids ? 3 : 2, 0)));
}

static void gradient(bm_graph *g, bm_node *n)
{
    if (bm_ops_ends_gradient(g, n->inputs[0])) return;
    scatter(g, &op_scatter, n->inputs[0], bm_grad_of(g, n->outputs[0]), n->inputs[1]);
}

static void gradient_positions(bm_graph *g, bm_node *n)
{
    if (bm_ops_ends_gradient(g, n->inputs[0])) return;
    bm_value *dy = bm_grad_of(g, n->outputs[0]);
    scatter(g, &op_scatter, n->inputs[0], dy, n->inputs[2]);
    scatter(g, &op_scatter_positions, n->inputs[1], dy, NULL);
}

/* ---- builders ---- */

static const bm_op op_embedding = {.name = "embedding", .infer = infer, .gradient = gradient, .cost = cost,
                                   .launch = launch};
static const bm_op op_positions = {.name = "embedding_positions", .attrs_bytes = sizeof(bm_dtype), .infer = infer_positions,
                                   .gradient = gradient_positions,
                                   .cost = cost_positions, .launch = launch_positions};

bm_value *bm_embedding(bm_graph *g, bm_value *table, bm_value *ids)
{
    bm_value *const in[] = {table, ids, table ? table->scale : NULL};
    return bm_node_first(bm_node_create(g, &op_embedding, NULL, in, 3, 1u << 2));
}

bm_value *bm_embedding_positions(bm_graph *g, bm_value *token, bm_value *position, bm_value *ids, bm_dtype type)
{
    bm_value *const in[] = {token, position, ids, token ? token->scale : NULL, position ? position->scale : NULL};
    return bm_node_first(bm_node_create(g, &op_positions, &type, in, 5, 1u << 3 | 1u << 4));
}
