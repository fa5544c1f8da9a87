#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

enum { X, TARGETS, LENGTHS, N_IN };

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[X], *targets = n->inputs[TARGETS];
    char text[BM_SHAPE_TEXT];
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_type(targets, BM_I32));
    const int64_t *d = x->shape.dim;
    if (x->shape.rank != 3 || d[1] < 1 || d[2] < 1 || d[1] > INT32_MAX || d[2] > INT32_MAX)
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [sequences, steps, classes]", x->name, bm_shape_text(&x->shape, text, sizeof text));
    if (targets->shape.rank != 2 || targets->shape.dim[0] != d[0] || targets->shape.dim[1] >= INT32_MAX / 2)
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [%lld, labels]", targets->name, bm_shape_text(&targets->shape, text, sizeof text),
                       (long long)d[0]);
    if (n->inputs[LENGTHS]) {
        BM_TRY(bm_ops_want_type(n->inputs[LENGTHS], BM_I32));
        BM_TRY(bm_ops_want_vector(n->inputs[LENGTHS], d[0]));
    }
    int64_t all;
    if (bm_mul_i64(&all, bm_shape_rows(&x->shape), 20 * targets->shape.dim[1] + 80))
        return bm_fail(BM_ERR_SHAPE, "%s and %s: the paths do not fit in memory", x->name, targets->name);
    return bm_ops_loss_outputs(g, n, d[0]);
}

/* Numbers in a row of states: ROW_WIDTH of ctc.cl. */
static int64_t width(const bm_node *n)
{
    return 2 * n->inputs[TARGETS]->shape.dim[1] + 5;
}

/* An exp for each class, twice with the gradient; three and a logarithm for each state, twice with the gradient. */
static bm_cost cost(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    const int64_t *d = n->inputs[X]->shape.dim;
    const double passes = n->outputs[BM_OPS_LOSS_DX]->used ? 2 : 1;
    c.flops = passes * (double)d[0] * (double)d[1] * (10.0 * (double)d[2] + 40.0 * (double)(width(n) - 4));
    return c;
}

/* What lies between the launches: see ctc.cl. e and links are for the gradient alone. */
enum { NORMS, LP, ALPHA, E, SKIPS, LINKS, PIECES };

typedef struct between {
    int64_t kept; /* steps of alpha */
    int64_t at[PIECES], bytes[PIECES], all;
} between;

static between lay_out(const bm_node *n, const bm_limits *limits)
{
    const int64_t *d = n->inputs[X]->shape.dim, row = 4 * d[0] * width(n);
    const int gradient = n->outputs[BM_OPS_LOSS_DX]->used != 0;
    between w = {.kept = gradient ? d[1] : 2};
    w.bytes[NORMS] = 8 * d[0] * d[1];
    w.bytes[LP] = d[1] * row;
    w.bytes[ALPHA] = w.kept * row;
    w.bytes[E] = gradient ? 2 * row : 0;
    w.bytes[SKIPS] = row;
    w.bytes[LINKS] = gradient ? row : 0;
    for (int i = 0; i < PIECES; i++) {
        w.at[i] = w.all;
        w.all += bm_round_up(w.bytes[i], limits->align_bytes);
    }
    return w;
}

static bm_status scratch(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    *bytes = lay_out(n, limits).all;
    return BM_OK;
}

/* The arguments that kernels share. */
typedef struct operands {
    bm_arg x, targets, lengths, rt, steps, most, classes, piece[PIECES];
} operands;

static operands gather(bm_launcher *l, const bm_node *n, const between *w)
{
    const bm_value *x = n->inputs[X];
    operands o = {.x = bm_arg_mem(bm_launcher_mem(l, x)),
                  .targets = bm_arg_mem(bm_launcher_mem(l, n->inputs[TARGETS])),
                  .lengths = bm_arg_mem(bm_launcher_mem(l, n->inputs[LENGTHS])),
                  .rt = bm_arg_mem(bm_launcher_scalars(l)),
                  .steps = bm_arg_i32((int32_t)x->shape.dim[1]),
                  .most = bm_arg_i32((int32_t)n->inputs[TARGETS]->shape.dim[1]),
                  .classes = bm_arg_i64(bm_ops_last(x))};
    for (int i = 0; i < PIECES; i++) o.piece[i] = bm_arg_mem(w->bytes[i] ? bm_launcher_scratch(l, w->at[i], w->bytes[i]) : NULL);
    return o;
}

static void launch_one(bm_launcher *l, const bm_node *n, const char *kernel, const bm_arg *args, int n_args, int64_t groups)
{
    char options[BM_OPS_OPTIONS];
    bm_kernel_launch k = {.source = "ops/ctc", .kernel = kernel, .args = args, .n_args = n_args};
    k.options = bm_ops_options(options, l, n->inputs[X]->dtype);
    bm_ops_launch_groups(l, &k, groups);
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const between w = lay_out(n, bm_launcher_limits(l));
    const bm_value *x = n->inputs[X], *dx = n->outputs[BM_OPS_LOSS_DX];
    const int64_t sequences = x->shape.dim[0], rows = bm_ops_rows(x), each = bm_ops_rows_each(l, bm_ops_last(x));
    if (sequences) {
        const operands o = gather(l, n, &w);
        const bm_arg loss_of = bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS_ROWS])), *p = o.piece;
        const bm_arg emissions[] = {o.x, o.targets, p[NORMS], p[LP], bm_arg_i64(rows), o.classes, bm_arg_i64(each), o.steps, o.most};
        launch_one(l, n, "emissions", emissions, 9, bm_ceil_div(rows, each));
        const bm_arg paths[] = {o.targets, o.lengths, loss_of, p[LP], p[ALPHA], p[E], p[SKIPS], p[LINKS], o.steps, o.most,
                                bm_arg_i32((int32_t)w.kept)};
        launch_one(l, n, "paths", paths, 11, sequences);
        if (dx->used) {
            const bm_arg shares[] = {o.targets, o.lengths, o.rt, p[LP], p[ALPHA], p[LINKS], o.classes, o.steps, o.most};
            launch_one(l, n, "shares", shares, 9, rows);
            const bm_arg gradient[] = {o.x, o.targets, o.lengths, bm_arg_mem(bm_launcher_mem(l, dx)), o.rt, p[NORMS], p[ALPHA],
                                       p[LINKS], o.classes, o.steps, o.most};
            launch_one(l, n, "gradient", gradient, 11, rows);
        }
    }
    bm_ops_launch_loss_sum(l, n);
    return bm_launcher_status(l);
}

static const bm_op op_ctc = {.name = "ctc", .infer = infer, .gradient = bm_ops_loss_gradient, .cost = cost, .scratch = scratch,
                             .launch = launch};

bm_value *bm_ctc(bm_graph *g, bm_value **rows, bm_value *logits, bm_value *targets, bm_value *lengths)
{
    bm_value *const in[N_IN] = {logits, targets, lengths};
    return bm_ops_loss_of(bm_node_create(g, &op_ctc, NULL, in, N_IN, 1u << LENGTHS), rows);
}
