#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/reduce"
#define CHUNK 4096    /* of cl/lib/reduce.clh */
#define PARTIALS 1024 /* at most */
#define FINISH_ZERO 2 /* of reduce.cl */

static bm_cost cost_inputs(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    c.flops = (double)bm_ops_elements(n->inputs[0]);
    return c;
}

/* ---- all elements to one ---- */

typedef struct total {
    const char *kernel; /* of the first stage */
    float factor;
    int what;           /* of the second */
} total;

int64_t bm_ops_partials(int64_t n)
{
    int64_t p = bm_ceil_div(n, CHUNK);
    return p < 1 ? 1 : p > PARTIALS ? PARTIALS : p;
}

static bm_status infer_total(bm_graph *g, bm_node *n)
{
    BM_TRY(bm_ops_want_float(n->inputs[0]));
    bm_node_output(g, n, BM_F32, BM_SHAPE(1));
    return bm_graph_status(g);
}

static bm_status scratch_total(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l, (void)limits;
    *bytes = 4 * bm_ops_partials(bm_ops_elements(n->inputs[0]));
    return BM_OK;
}

static bm_status launch_total(bm_launcher *l, const bm_node *n)
{
    const total *a = n->attrs;
    const bm_value *x = n->inputs[0];
    const int64_t count = bm_ops_elements(x), partials = bm_ops_partials(count);
    char options[BM_OPS_OPTIONS];
    const cl_mem scratch = bm_launcher_scratch(l, 0, 4 * partials);
    const bm_arg first[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(scratch), bm_arg_i64(count), bm_arg_i32(0)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = a->kernel, .args = first, .n_args = 4};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_groups(l, &k, partials);
    const bm_arg second[] = {bm_arg_mem(scratch), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])), bm_arg_i64(partials),
                             bm_arg_f32(a->factor), bm_arg_i32(a->what)};
    k.kernel = "sum_finish";
    k.args = second;
    k.n_args = 5;
    bm_ops_launch_groups(l, &k, 1);
    return bm_launcher_status(l);
}

static void gradient_total(bm_graph *g, bm_node *n)
{
    bm_value *x = n->inputs[0];
    const float factor = ((const total *)n->attrs)->factor;
    bm_grad_add(g, x, bm_grad_is_one(g, n->outputs[0])
                          ? bm_ops_fill(g, x->dtype, x->shape, factor)
                          : bm_ops_expand_scalar(g, bm_grad_of(g, n->outputs[0]), x->dtype, x->shape, factor));
}

#define TOTAL .attrs_bytes = sizeof(total), .infer = infer_total, .cost = cost_inputs, .scratch = scratch_total, \
              .launch = launch_total
static const bm_op op_sum = {.name = "sum", TOTAL, .gradient = gradient_total};
static const bm_op op_mean = {.name = "mean", TOTAL, .gradient = gradient_total};
static const bm_op op_all_finite = {.name = "all_finite", TOTAL};

static bm_value *total_of(bm_graph *g, const bm_op *op, bm_value *a, total attrs)
{
    return bm_node_first(bm_node_create(g, op, &attrs, &a, 1, 0));
}

bm_value *bm_sum(bm_graph *g, bm_value *a)
{
    return total_of(g, &op_sum, a, (total){"sum_partials", 1.0f, 0});
}

bm_value *bm_mean(bm_graph *g, bm_value *a)
{
    if (a && !bm_ops_elements(a)) return bm_graph_fail(g, bm_fail(BM_ERR_SHAPE, "%s: the mean of no elements", a->name));
    return total_of(g, &op_mean, a, (total){"sum_partials", a ? (float)(1.0 / (double)bm_ops_elements(a)) : 0.0f, 0});
}

bm_value *bm_all_finite(bm_graph *g, bm_value *a)
{
    return total_of(g, &op_all_finite, a, (total){"wrong_partials", 1.0f, FINISH_ZERO});
}

/* ---- over the last dimension ---- */

static bm_status infer_sum_last(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0];
    BM_TRY(bm_ops_want_float(x));
    if (x->shape.rank < 1) return bm_fail(BM_ERR_SHAPE, "%s is a scalar; sum_last takes [.., N]", x->name);
    bm_node_output(g, n, x->dtype, bm_shape_of(x->shape.rank - 1, x->shape.dim));
    return bm_graph_status(g);
}

static void gradient_sum_last(bm_graph *g, bm_node *n)
{
    bm_value *x = n->inputs[0];
    bm_grad_add(g, x, bm_ops_expand_column(g, bm_grad_of(g, n->outputs[0]), x->shape, 1.0f));
}

static bm_status launch_sum_last(bm_launcher *l, const bm_node *n)
{
    const bm_value *x = n->inputs[0];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), each = bm_ops_rows_each(l, last);
    char options[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(bm_launcher_mem(l, n->outputs[0])),
                           bm_arg_i64(rows), bm_arg_i64(last), bm_arg_i64(each)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "sum_last", .args = args, .n_args = 5};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    return bm_launcher_status(l);
}

static const bm_op op_sum_last = {.name = "sum_last", .infer = infer_sum_last, .gradient = gradient_sum_last,
                                  .cost = cost_inputs, .launch = launch_sum_last};

bm_value *bm_sum_last(bm_graph *g, bm_value *a)
{
    return bm_node_first(bm_node_create(g, &op_sum_last, NULL, &a, 1, 0));
}

/* ---- over the rows ---- */

int64_t bm_ops_chunk_rows(int64_t rows)
{
    int64_t chunk = 32;
    while (bm_ceil_div(rows, chunk) > BM_OPS_CHUNKS) chunk *= 2;
    return chunk;
}

static bm_status infer_sum_rows(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0];
    BM_TRY(bm_ops_want_float(x));
    if (x->shape.rank < 1) return bm_fail(BM_ERR_SHAPE, "%s is a scalar; sum_rows takes [.., N]", x->name);
    const bm_dtype type = *(const bm_dtype *)n->attrs;
    bm_node_output(g, n, type, BM_SHAPE(bm_ops_last(x)));
    if (n->inputs[1]) {
        BM_TRY(bm_ops_want_type(n->inputs[1], type));
        BM_TRY(bm_ops_want_vector(n->inputs[1], bm_ops_last(x)));
        bm_node_inplace(n, 0, 1, BM_INPLACE_MUST);
    }
    return bm_graph_status(g);
}

static bm_status scratch_sum_rows(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l, (void)limits;
    const int64_t rows = bm_ops_rows(n->inputs[0]), chunk = bm_ops_chunk_rows(rows);
    *bytes = rows > chunk ? 4 * bm_ceil_div(rows, chunk) * bm_ops_last(n->inputs[0]) : 0;
    return BM_OK;
}

typedef struct column_sums {
    const char *kernel;
    cl_mem x, y;
    bm_dtype from, to; /* the type of x and of y where they are not f32 by the kernel's nature */
    int64_t rows, n, chunk;
    int add;
} column_sums;

static void launch_column_sums(bm_launcher *l, const column_sums *c)
{
    char options[BM_OPS_OPTIONS];
    const int cpu = bm_launcher_form(l) == BM_FORM_CPU;
    const bm_arg args[] = {bm_arg_mem(c->x), bm_arg_mem(c->y), bm_arg_i64(c->rows), bm_arg_i64(c->n), bm_arg_i64(c->chunk),
                           bm_arg_i32(c->add)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = c->kernel, .args = args, .n_args = 6, .dims = 2};
    k.options = bm_ops_options_with(options, l, c->from, " -DTO=%d", (int)c->to);
    k.global[0] = (size_t)(cpu ? bm_ceil_div(c->n, 64) : bm_round_up(c->n, 64));
    k.global[1] = c->rows > c->chunk ? (size_t)bm_ceil_div(c->rows, c->chunk) : 1;
    k.local[0] = cpu ? 1 : 64;
    k.local[1] = 1;
    bm_launcher_kernel(l, &k);
}

void bm_ops_launch_rows_last(bm_launcher *l, cl_mem partials, cl_mem y, bm_dtype t, int64_t rows, int64_t n, int add)
{
    launch_column_sums(l, &(column_sums){"rows_last", partials, y, BM_F32, t, rows, n, rows, add});
}

static bm_status launch_sum_rows(bm_launcher *l, const bm_node *n)
{
    const bm_value *x = n->inputs[0];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), chunk = bm_ops_chunk_rows(rows);
    const int64_t chunks = bm_ceil_div(rows, chunk);
    const bm_dtype type = n->outputs[0]->dtype;
    const int add = n->inputs[1] != NULL;
    const cl_mem in = bm_launcher_mem(l, x), out = bm_launcher_mem(l, n->outputs[0]);
    if (chunks <= 1) {
        launch_column_sums(l, &(column_sums){"rows_only", in, out, x->dtype, type, rows, last, chunk, add});
    } else if (last) {
        const cl_mem partials = bm_launcher_scratch(l, 0, 4 * chunks * last);
        launch_column_sums(l, &(column_sums){"rows_first", in, partials, x->dtype, BM_F32, rows, last, chunk, 0});
        bm_ops_launch_rows_last(l, partials, out, type, chunks, last, add);
    }
    return bm_launcher_status(l);
}

static void gradient_sum_rows(bm_graph *g, bm_node *n)
{
    bm_value *x = n->inputs[0];
    bm_grad_add(g, x, bm_ops_expand_row(g, bm_grad_of(g, n->outputs[0]), x->shape, 1.0f));
}

static const bm_op op_sum_rows = {.name = "sum_rows", .attrs_bytes = sizeof(bm_dtype), .infer = infer_sum_rows,
                                  .gradient = gradient_sum_rows,
                                  .cost = cost_inputs, .scratch = scratch_sum_rows, .launch = launch_sum_rows};

static bm_value *sum_rows(bm_graph *g, bm_value *a, bm_value *acc, bm_dtype type)
{
    bm_value *const in[] = {a, acc};
    return bm_node_first(bm_node_create(g, &op_sum_rows, &type, in, 2, 1u << 1));
}

bm_value *bm_sum_rows(bm_graph *g, bm_value *a)
{
    return sum_rows(g, a, NULL, a ? a->dtype : BM_F32);
}

void bm_ops_grad_rows(bm_graph *g, bm_value *x, bm_value *d)
{
    if (!bm_grad_wanted(g, x)) return;
    bm_grad_add(g, x, sum_rows(g, d, bm_grad_take(g, x), bm_grad_dtype(x)));
}
