#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/norm"

/* Flags of norm.cl. */
enum {
    RMS = 1,
    BIAS = 2,
    RESIDUAL = 4,
    SAVE_MEAN = 8,
    SAVE_RSTD = 16,
    DSUM = 32,
    DX = 64,
    DW = 128,
    DB = 256,
    DR = 512
};

typedef struct norm {
    float eps;
    int rms;
} norm;

/* Operands and results by position. */
enum { IN_X, IN_R, IN_W, IN_B, N_IN };
enum { OUT_Y, OUT_MEAN, OUT_RSTD, OUT_SUM };
enum { BACK_DY, BACK_X, BACK_W, BACK_MEAN, BACK_RSTD, BACK_DSUM, BACK_ACC_W, BACK_ACC_B, N_BACK };
enum { OUT_DX, OUT_DR, OUT_DW, OUT_DB };

static int computed(const bm_value *v)
{
    return v && (!v->optional || v->used);
}

/* y is the norm or its gradient, x what it is of. */
static const char *options(char buf[BM_OPS_OPTIONS], const bm_launcher *l, const bm_value *y, const bm_value *x, const bm_value *w)
{
    return bm_ops_options_with(buf, l, y->dtype, " -DXSTORAGE=%d -DWSTORAGE=%d", (int)x->dtype, (int)w->dtype);
}

/* Equal shapes; storage types may differ. */
static bm_status want_shape(const bm_value *a, const bm_value *b)
{
    BM_TRY(bm_ops_want_float(b));
    bm_value like = *b;
    like.dtype = a->dtype;
    return bm_ops_want_same(a, &like);
}

/* ---- backward ---- */

typedef struct backward {
    int rms, bias;
} backward;

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[BACK_X], *w = n->inputs[BACK_W], *dy = n->inputs[BACK_DY];
    BM_TRY(want_shape(x, dy));
    bm_node_output_optional(g, n, x->dtype, x->shape);
    bm_node_output_optional(g, n, dy->dtype, x->shape);
    bm_node_output_optional(g, n, w->dtype, w->shape);
    if (((const backward *)n->attrs)->bias) bm_node_output_optional(g, n, w->dtype, w->shape);
    bm_node_inplace(n, OUT_DX, x->dtype == dy->dtype ? BACK_DY : BACK_DSUM, BM_INPLACE_MAY);
    if (x->dtype != dy->dtype) bm_node_inplace(n, OUT_DR, BACK_DY, BM_INPLACE_MAY);
    if (n->inputs[BACK_ACC_W]) bm_node_inplace(n, OUT_DW, BACK_ACC_W, BM_INPLACE_MUST);
    if (n->inputs[BACK_ACC_B]) bm_node_inplace(n, OUT_DB, BACK_ACC_B, BM_INPLACE_MUST);
    return bm_graph_status(g);
}

static bm_cost cost_backward(const bm_node *n)
{
    return bm_ops_cost(n, 12);
}

/* Bytes of one array of partial sums, [chunks, N] f32, in whole alignments. */
static int64_t part_bytes(const bm_node *n, const bm_limits *limits)
{
    const bm_value *x = n->inputs[BACK_X];
    const int64_t rows = bm_ops_rows(x), chunks = bm_ceil_div(rows, bm_ops_chunk_rows(rows));
    return bm_round_up(4 * chunks * bm_ops_last(x), limits->align_bytes);
}

static bm_status scratch_backward(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    const int parts = computed(n->outputs[OUT_DW]) + (n->n_outputs > OUT_DB && computed(n->outputs[OUT_DB]));
    *bytes = parts * part_bytes(n, limits);
    return BM_OK;
}

typedef struct pass {
    const bm_node *n;
    int flags;
    int64_t rows, last, chunk, chunks;
    cl_mem dw_part, db_part;
} pass;

static void launch_rows(bm_launcher *l, const pass *p, int64_t each)
{
    const bm_node *n = p->n;
    char buf[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DY])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_X])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_W])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_RSTD])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DSUM])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_DX])), bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_DR])),
                           bm_arg_mem(p->dw_part), bm_arg_mem(p->db_part),
                           bm_arg_i64(p->rows), bm_arg_i64(p->last), bm_arg_i64(each), bm_arg_i32(p->flags)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "backward", .args = args, .n_args = 14};
    k.options = options(buf, l, n->inputs[BACK_DY], n->inputs[BACK_X], n->inputs[BACK_W]);
    bm_ops_launch_groups(l, &k, bm_ceil_div(p->rows, each));
}

static void launch_weights(bm_launcher *l, const pass *p)
{
    const bm_node *n = p->n;
    char buf[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DY])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_X])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_RSTD])), bm_arg_mem(p->dw_part), bm_arg_mem(p->db_part),
                           bm_arg_i64(p->rows), bm_arg_i64(p->last), bm_arg_i64(p->chunk), bm_arg_i32(p->flags)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "weights", .args = args, .n_args = 10, .dims = 2};
    k.options = options(buf, l, n->inputs[BACK_DY], n->inputs[BACK_X], n->inputs[BACK_W]);
    k.global[0] = (size_t)bm_round_up(p->last, 64);
    k.global[1] = (size_t)p->chunks;
    k.local[0] = 64;
    k.local[1] = 1;
    bm_launcher_kernel(l, &k);
}

static bm_status launch_backward(bm_launcher *l, const bm_node *n)
{
    const bm_value *x = n->inputs[BACK_X], *dw = n->outputs[OUT_DW];
    const bm_value *db = n->n_outputs > OUT_DB ? n->outputs[OUT_DB] : NULL;
    pass p = {.n = n, .rows = bm_ops_rows(x), .last = bm_ops_last(x)};
    if (!p.last) return BM_OK;
    const int cpu = bm_launcher_form(l) == BM_FORM_CPU;
    const int sums = (computed(dw) ? DW : 0) | (computed(db) ? DB : 0);
    const int inputs = (computed(n->outputs[OUT_DX]) ? DX : 0) | (computed(n->outputs[OUT_DR]) ? DR : 0);
    p.flags = sums | inputs | (((const backward *)n->attrs)->rms ? RMS : 0) | (n->inputs[BACK_DSUM] ? DSUM : 0);
    p.chunk = bm_ops_chunk_rows(p.rows);
    p.chunks = bm_ceil_div(p.rows, p.chunk);
    const int64_t bytes = 4 * p.chunks * p.last;
    if (p.rows && (sums & DW)) p.dw_part = bm_launcher_scratch(l, 0, bytes);
    if (p.rows && (sums & DB))
        p.db_part = bm_launcher_scratch(l, sums & DW ? part_bytes(n, bm_launcher_limits(l)) : 0, bytes);
    if (sums && !cpu) launch_weights(l, &p); /* before dx and dr, which may take the memory of dy */
    if (inputs || cpu) launch_rows(l, &p, !cpu ? 1 : sums ? p.chunk : bm_ops_rows_each(l, p.last));
    if (sums & DW)
        bm_ops_launch_rows_last(l, p.dw_part, bm_launcher_mem(l, dw), dw->dtype, p.chunks, p.last, n->inputs[BACK_ACC_W] != NULL);
    if (sums & DB)
        bm_ops_launch_rows_last(l, p.db_part, bm_launcher_mem(l, db), db->dtype, p.chunks, p.last, n->inputs[BACK_ACC_B] != NULL);
    return bm_launcher_status(l);
}

static const bm_op op_norm_backward = {.name = "norm_backward", .attrs_bytes = sizeof(backward), .infer = infer_backward,
                                       .cost = cost_backward, .scratch = scratch_backward, .launch = launch_backward};

/* ---- forward ---- */

static bm_status infer_norm(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[IN_X], *r = n->inputs[IN_R], *w = n->inputs[IN_W], *b = n->inputs[IN_B];
    BM_TRY(bm_ops_want_float(x));
    if (x->shape.rank < 1) return bm_fail(BM_ERR_SHAPE, "%s is a scalar; a norm takes [.., N]", x->name);
    if (r) BM_TRY(want_shape(x, r));
    const bm_dtype type = r ? r->dtype : x->dtype;
    if (w->dtype != BM_F32) BM_TRY(bm_ops_want_type(w, type));
    BM_TRY(bm_ops_want_vector(w, bm_ops_last(x)));
    if (b) BM_TRY(bm_ops_want_same(w, b));
    const bm_shape stat = bm_shape_of(x->shape.rank - 1, x->shape.dim);
    bm_node_output(g, n, type, x->shape);
    bm_node_output_optional(g, n, BM_F32, stat);
    bm_node_output_optional(g, n, BM_F32, stat);
    if (r) bm_node_output(g, n, x->dtype, x->shape);
    bm_node_inplace(n, r ? OUT_SUM : OUT_Y, IN_X, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static bm_cost cost_norm(const bm_node *n)
{
    return bm_ops_cost(n, 8);
}

static bm_status launch_norm(bm_launcher *l, const bm_node *n)
{
    const norm *a = n->attrs;
    const bm_value *x = n->inputs[IN_X];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), each = bm_ops_rows_each(l, last);
    const int flags = (a->rms ? RMS : 0) | (n->inputs[IN_B] ? BIAS : 0) | (n->inputs[IN_R] ? RESIDUAL : 0) |
                      (computed(n->outputs[OUT_MEAN]) ? SAVE_MEAN : 0) | (computed(n->outputs[OUT_RSTD]) ? SAVE_RSTD : 0);
    char buf[BM_OPS_OPTIONS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_R])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_W])), bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_B])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_Y])),
                           bm_arg_mem(n->inputs[IN_R] ? bm_launcher_mem(l, n->outputs[OUT_SUM]) : NULL),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_MEAN])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_RSTD])), bm_arg_i64(rows), bm_arg_i64(last),
                           bm_arg_i64(each), bm_arg_f32(a->eps), bm_arg_i32(flags)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "forward", .args = args, .n_args = 13};
    k.options = options(buf, l, n->outputs[OUT_Y], x, n->inputs[IN_W]);
    if (last) bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    return bm_launcher_status(l);
}

static void gradient_norm(bm_graph *g, bm_node *n)
{
    const norm *a = n->attrs;
    bm_value *x = n->inputs[IN_X], *r = n->inputs[IN_R], *w = n->inputs[IN_W], *b = n->inputs[IN_B];
    bm_value *dy = bm_grad_of(g, n->outputs[OUT_Y]), *dsum = r ? bm_grad_of(g, n->outputs[OUT_SUM]) : NULL;
    if (!dy) { /* only the sum is used */
        bm_grad_add(g, x, dsum);
        bm_grad_add(g, r, bm_cast(g, dsum, r->dtype));
        return;
    }
    const int want_w = bm_grad_wanted(g, w), want_b = b && bm_grad_wanted(g, b);
    bm_value *in[N_BACK] = {dy, r ? n->outputs[OUT_SUM] : x, w, a->rms ? NULL : n->outputs[OUT_MEAN], n->outputs[OUT_RSTD], dsum,
                            want_w ? bm_grad_take(g, w) : NULL, want_b ? bm_grad_take(g, b) : NULL};
    const backward attrs = {a->rms, b != NULL};
    const unsigned optional = 1u << BACK_MEAN | 1u << BACK_DSUM | 1u << BACK_ACC_W | 1u << BACK_ACC_B;
    bm_node *d = bm_node_create(g, &op_norm_backward, &attrs, in, N_BACK, optional);
    if (!d) return;
    bm_grad_add(g, x, d->outputs[OUT_DX]);
    if (r) bm_grad_add(g, r, d->outputs[r->dtype == x->dtype ? OUT_DX : OUT_DR]);
    if (want_w) bm_grad_add(g, w, d->outputs[OUT_DW]);
    if (want_b) bm_grad_add(g, b, d->outputs[OUT_DB]);
}

static const bm_op op_norm = {.name = "norm", .attrs_bytes = sizeof(norm), .infer = infer_norm, .gradient = gradient_norm,
                              .cost = cost_norm, .launch = launch_norm};

static bm_value *norm_of(bm_graph *g, const norm *attrs, bm_value *x, bm_value *w, bm_value *b)
{
    bm_value *const in[N_IN] = {x, NULL, w, b};
    return bm_node_first(bm_node_create(g, &op_norm, attrs, in, N_IN, 1u << IN_R | 1u << IN_B));
}

bm_value *bm_layernorm(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, float eps)
{
    return norm_of(g, &(norm){eps, 0}, x, w, b);
}

bm_value *bm_rmsnorm(bm_graph *g, bm_value *x, bm_value *w, float eps)
{
    return norm_of(g, &(norm){eps, 1}, x, w, NULL);
}

bm_value *bm_add_norm(bm_graph *g, bm_value **sum, bm_value *x, bm_value *r, bm_value *w, bm_value *b, float eps, int rms)
{
    const norm attrs = {eps, rms};
    bm_value *const in[N_IN] = {x, r, w, b};
    *sum = NULL;
    bm_node *n = bm_node_create(g, &op_norm, &attrs, in, N_IN, 1u << IN_B);
    if (!n) return NULL;
    *sum = n->outputs[OUT_SUM];
    return n->outputs[OUT_Y];
}
