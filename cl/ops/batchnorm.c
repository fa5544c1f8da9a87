/* The kernels' arithmetic is described in batchnorm.cl. In training the statistics are outputs of the node, which its gradient and
 * the update of the running ones read; that update is a node of its own, so that a block that is computed again moves them once. */
#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/batchnorm"

/* Flags of batchnorm.cl. */
enum { RELU = 1, FIXED = 2, DW = 4, DB = 8, ADD_W = 16, ADD_B = 32 };

typedef struct norm {
    float eps;
    int flags; /* RELU, FIXED */
} norm;

enum { IN_X, IN_W, IN_B, IN_MEAN, IN_VAR, N_IN }; /* the last two where they are FIXED */
enum { OUT_Y, OUT_MEAN, OUT_RSTD, OUT_VAR };
enum { BACK_DY, BACK_X, BACK_Y, BACK_W, BACK_MEAN, BACK_RSTD, BACK_ACC_W, BACK_ACC_B, N_BACK };
enum { OUT_DX, OUT_DW, OUT_DB };

/* ---- launches ---- */

static int64_t chunks_of(const bm_value *x) { return bm_ceil_div(bm_ops_rows(x), bm_ops_chunk_rows(bm_ops_rows(x))); }

/* Two rows of sums for each chunk of rows. */
static int64_t part_bytes(const bm_value *x, const bm_limits *limits)
{
    return bm_round_up(4 * 2 * chunks_of(x) * bm_ops_last(x), limits->align_bytes);
}

static const char *options(char buf[BM_OPS_OPTIONS], const bm_launcher *l, const bm_value *x, const bm_value *w)
{
    return bm_ops_options_with(buf, l, x->dtype, " -DWSTORAGE=%d", (int)w->dtype);
}

/* Work-items (STRIP columns, chunk). */
static void launch_strips(bm_launcher *l, bm_kernel_launch *k, int64_t columns, int64_t chunks)
{
    const int cpu = bm_launcher_form(l) == BM_FORM_CPU;
    k->dims = 2;
    k->global[0] = (size_t)(cpu ? bm_ceil_div(columns, 64) : bm_round_up(columns, 64));
    k->global[1] = (size_t)chunks;
    k->local[0] = cpu ? 1 : 64;
    k->local[1] = 1;
    bm_launcher_kernel(l, k);
}

/* A work-item for each column. */
static void launch_columns(bm_launcher *l, bm_kernel_launch *k, int64_t columns)
{
    k->dims = 1;
    k->local[0] = bm_launcher_form(l) == BM_FORM_CPU ? 1 : 64;
    k->global[0] = (size_t)bm_round_up(columns, (int64_t)k->local[0]);
    bm_launcher_kernel(l, k);
}

/* ---- backward ---- */

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[BACK_X], *w = n->inputs[BACK_W];
    bm_node_output_optional(g, n, x->dtype, x->shape);
    bm_node_output_optional(g, n, w->dtype, w->shape);
    bm_node_output_optional(g, n, w->dtype, w->shape);
    bm_node_inplace(n, OUT_DX, BACK_DY, BM_INPLACE_MAY);
    if (n->inputs[BACK_ACC_W]) bm_node_inplace(n, OUT_DW, BACK_ACC_W, BM_INPLACE_MUST);
    if (n->inputs[BACK_ACC_B]) bm_node_inplace(n, OUT_DB, BACK_ACC_B, BM_INPLACE_MUST);
    return bm_graph_status(g);
}

static bm_cost cost_backward(const bm_node *n) { return bm_ops_cost(n, 10); }

static int64_t sums_bytes(const bm_value *x) { return 4 * 2 * bm_ops_last(x); }

static bm_status scratch_backward(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    *bytes = part_bytes(n->inputs[BACK_X], limits) + sums_bytes(n->inputs[BACK_X]);
    return BM_OK;
}

typedef struct pass {
    const bm_node *n;
    const bm_value *x;
    cl_mem part, sums;
    int64_t rows, columns, chunk;
    int flags;
} pass;

static void launch_sums(bm_launcher *l, const pass *p)
{
    const bm_node *n = p->n;
    char buf[BM_OPS_OPTIONS];
    const norm *a = n->attrs;
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DY])), bm_arg_mem(bm_launcher_mem(l, p->x)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_Y])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_RSTD])), bm_arg_mem(p->part), bm_arg_i64(p->rows),
                           bm_arg_i64(p->columns), bm_arg_i64(p->chunk), bm_arg_f32(a->eps), bm_arg_i32(a->flags)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "gradient_sums", .args = args, .n_args = 11};
    k.options = options(buf, l, p->x, n->inputs[BACK_W]);
    launch_strips(l, &k, p->columns, chunks_of(p->x));
    const bm_arg last[] = {bm_arg_mem(p->part), bm_arg_mem(p->sums), bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_DB])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_DW])), bm_arg_i64(chunks_of(p->x)), bm_arg_i64(p->columns),
                           bm_arg_i32(p->flags)};
    k.kernel = "sums_last";
    k.args = last;
    k.n_args = 7;
    launch_columns(l, &k, p->columns);
}

static void launch_dx(bm_launcher *l, const pass *p)
{
    const bm_node *n = p->n;
    char buf[BM_OPS_OPTIONS];
    const norm *a = n->attrs;
    const int64_t elements = p->rows * p->columns;
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DY])), bm_arg_mem(bm_launcher_mem(l, p->x)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_Y])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_W])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_RSTD])), bm_arg_mem(p->sums),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_DX])), bm_arg_i64(elements),
                           bm_arg_i64(p->columns), bm_arg_f32((float)(1.0 / (double)p->rows)), bm_arg_f32(a->eps),
                           bm_arg_i32(a->flags)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "gradient", .args = args, .n_args = 13};
    k.options = options(buf, l, p->x, n->inputs[BACK_W]);
    bm_ops_launch_flat(l, &k, elements);
}

static bm_status launch_backward(bm_launcher *l, const bm_node *n)
{
    const bm_value *x = n->inputs[BACK_X];
    const int64_t behind = part_bytes(x, bm_launcher_limits(l));
    pass p = {.n = n, .x = x, .rows = bm_ops_rows(x), .columns = bm_ops_last(x)};
    p.chunk = bm_ops_chunk_rows(p.rows);
    p.part = bm_launcher_scratch(l, 0, behind);
    p.sums = bm_launcher_scratch(l, behind, sums_bytes(x));
    p.flags = (n->outputs[OUT_DW]->used ? DW : 0) | (n->outputs[OUT_DB]->used ? DB : 0) | (n->inputs[BACK_ACC_W] ? ADD_W : 0) |
              (n->inputs[BACK_ACC_B] ? ADD_B : 0);
    launch_sums(l, &p);
    if (n->outputs[OUT_DX]->used) launch_dx(l, &p);
    return bm_launcher_status(l);
}

static const bm_op op_backward = {.name = "batchnorm_backward", .attrs_bytes = sizeof(norm), .infer = infer_backward,
                                  .cost = cost_backward, .scratch = scratch_backward, .launch = launch_backward};

/* ---- forward ---- */

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[IN_X], *w = n->inputs[IN_W];
    const int fixed = ((const norm *)n->attrs)->flags & FIXED;
    char text[BM_SHAPE_TEXT];
    BM_TRY(bm_ops_want_float(x));
    if (x->shape.rank < 2 || !bm_ops_elements(x))
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [.., C] of rows", x->name, bm_shape_text(&x->shape, text, sizeof text));
    if (!fixed && bm_ops_rows(x) < 2) return bm_fail(BM_ERR_SHAPE, "%s has one row, which has no variance to train with", x->name);
    BM_TRY(bm_ops_want_float(w));
    if (w->dtype != BM_F32) BM_TRY(bm_ops_want_type(w, x->dtype));
    BM_TRY(bm_ops_want_type(n->inputs[IN_B], w->dtype));
    for (int i = IN_W; i < N_IN; i++)
        if (n->inputs[i]) BM_TRY(bm_ops_want_vector(n->inputs[i], bm_ops_last(x)));
    for (int i = IN_MEAN; fixed && i < N_IN; i++) BM_TRY(bm_ops_want_type(n->inputs[i], BM_F32));
    bm_node_output(g, n, x->dtype, x->shape);
    for (int i = OUT_MEAN; !fixed && i <= OUT_VAR; i++) bm_node_output(g, n, BM_F32, BM_SHAPE(bm_ops_last(x)));
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n) { return bm_ops_cost(n, ((const norm *)n->attrs)->flags & FIXED ? 4 : 7); }

static bm_status scratch(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    *bytes = ((const norm *)n->attrs)->flags & FIXED ? 0 : part_bytes(n->inputs[IN_X], limits);
    return BM_OK;
}

static void launch_stats(bm_launcher *l, const bm_node *n)
{
    const bm_value *x = n->inputs[IN_X];
    const int64_t rows = bm_ops_rows(x), columns = bm_ops_last(x), chunk = bm_ops_chunk_rows(rows);
    char buf[BM_OPS_OPTIONS];
    const cl_mem part = bm_launcher_scratch(l, 0, part_bytes(x, bm_launcher_limits(l)));
    const bm_arg first[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(part), bm_arg_i64(rows), bm_arg_i64(columns),
                            bm_arg_i64(chunk)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "stats", .args = first, .n_args = 5};
    k.options = options(buf, l, x, n->inputs[IN_W]);
    launch_strips(l, &k, columns, chunks_of(x));
    const bm_arg last[] = {bm_arg_mem(part), bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_RSTD])), bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_VAR])),
                           bm_arg_i64(rows), bm_arg_i64(columns), bm_arg_i64(chunk), bm_arg_f32(((const norm *)n->attrs)->eps)};
    k.kernel = "stats_last";
    k.args = last;
    k.n_args = 8;
    launch_columns(l, &k, columns);
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const norm *a = n->attrs;
    const int fixed = a->flags & FIXED;
    const bm_value *x = n->inputs[IN_X];
    const int64_t elements = bm_ops_elements(x);
    char buf[BM_OPS_OPTIONS];
    if (!fixed) launch_stats(l, n);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_W])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_B])),
                           bm_arg_mem(bm_launcher_mem(l, fixed ? n->inputs[IN_MEAN] : n->outputs[OUT_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, fixed ? n->inputs[IN_VAR] : n->outputs[OUT_RSTD])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_Y])), bm_arg_i64(elements),
                           bm_arg_i64(bm_ops_last(x)), bm_arg_f32(a->eps), bm_arg_i32(a->flags)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "normalise", .args = args, .n_args = 10};
    k.options = options(buf, l, x, n->inputs[IN_W]);
    bm_ops_launch_flat(l, &k, elements);
    return bm_launcher_status(l);
}

static void gradient(bm_graph *g, bm_node *n)
{
    const norm *a = n->attrs;
    const int fixed = a->flags & FIXED;
    bm_value *x = n->inputs[IN_X], *w = n->inputs[IN_W], *b = n->inputs[IN_B], *dy = bm_grad_of(g, n->outputs[OUT_Y]);
    if (!dy) return;
    const int want_w = bm_grad_wanted(g, w), want_b = bm_grad_wanted(g, b);
    bm_value *const in[N_BACK] = {dy, x, a->flags & RELU ? n->outputs[OUT_Y] : NULL, w,
                                  fixed ? n->inputs[IN_MEAN] : n->outputs[OUT_MEAN], fixed ? n->inputs[IN_VAR] : n->outputs[OUT_RSTD],
                                  want_w ? bm_grad_take(g, w) : NULL, want_b ? bm_grad_take(g, b) : NULL};
    const unsigned optional = 1u << BACK_Y | 1u << BACK_ACC_W | 1u << BACK_ACC_B;
    bm_node *d = bm_node_create(g, &op_backward, a, in, N_BACK, optional);
    if (!d) return;
    bm_grad_add(g, x, d->outputs[OUT_DX]);
    if (want_w) bm_grad_add(g, w, d->outputs[OUT_DW]);
    if (want_b) bm_grad_add(g, b, d->outputs[OUT_DB]);
}

static const bm_op op_batchnorm = {.name = "batchnorm", .attrs_bytes = sizeof(norm), .infer = infer, .gradient = gradient,
                                   .cost = cost, .scratch = scratch, .launch = launch};

/* ---- the running statistics ---- */

typedef struct running {
    float momentum, unbias;
} running;

enum { RUN_MEAN, RUN_VAR, OF_MEAN, OF_VAR, N_RUN };

static bm_status infer_running(bm_graph *g, bm_node *n)
{
    (void)g;
    for (int i = 0; i < N_RUN; i++) {
        BM_TRY(bm_ops_want_type(n->inputs[i], BM_F32));
        BM_TRY(bm_ops_want_vector(n->inputs[i], bm_ops_last(n->inputs[OF_MEAN])));
    }
    return BM_OK;
}

/* All four are read, the first two written. */
static bm_cost cost_running(const bm_node *n)
{
    const double columns = (double)bm_ops_last(n->inputs[OF_MEAN]);
    return (bm_cost){.flops = 7 * columns, .bytes = 4 * 6 * columns};
}

static bm_status launch_running(bm_launcher *l, const bm_node *n)
{
    const running *a = n->attrs;
    const int64_t columns = bm_ops_last(n->inputs[OF_MEAN]);
    char buf[BM_OPS_OPTIONS];
    bm_arg args[N_RUN + 3];
    for (int i = 0; i < N_RUN; i++) args[i] = bm_arg_mem(bm_launcher_mem(l, n->inputs[i]));
    args[N_RUN] = bm_arg_i64(columns);
    args[N_RUN + 1] = bm_arg_f32(a->momentum);
    args[N_RUN + 2] = bm_arg_f32(a->unbias);
    bm_kernel_launch k = {.source = SOURCE, .kernel = "running", .args = args, .n_args = N_RUN + 3};
    k.options = options(buf, l, n->inputs[OF_MEAN], n->inputs[OF_MEAN]);
    launch_columns(l, &k, columns);
    return bm_launcher_status(l);
}

static const bm_op op_running = {.name = "batchnorm_running", .attrs_bytes = sizeof(running), .infer = infer_running,
                                 .cost = cost_running, .launch = launch_running, .effects = 1};

/* ---- the builder ---- */

bm_batchnorm_opts bm_batchnorm_opts_default(bm_value *mean, bm_value *var)
{
    return (bm_batchnorm_opts){.mean = mean, .var = var, .eps = 1e-5f, .momentum = 0.1f};
}

bm_value *bm_batchnorm(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, const bm_batchnorm_opts *o)
{
    const norm attrs = {o->eps, (o->relu ? RELU : 0) | (o->training ? 0 : FIXED)};
    bm_value *const in[N_IN] = {x, w, b, o->training ? NULL : o->mean, o->training ? NULL : o->var};
    bm_node *n = bm_node_create(g, &op_batchnorm, &attrs, in, N_IN, o->training ? 1u << IN_MEAN | 1u << IN_VAR : 0);
    if (!n || !o->training) return bm_node_first(n);
    const double rows = (double)bm_ops_rows(x);
    const running move = {o->momentum, (float)(rows / (rows - 1))};
    bm_value *const run[N_RUN] = {o->mean, o->var, n->outputs[OUT_MEAN], n->outputs[OUT_VAR]};
    return bm_node_create(g, &op_running, &move, run, N_RUN, 0) ? n->outputs[OUT_Y] : NULL;
}
