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
    if (bm_mul_i64(&all, bm_shape_rows(&x->shape), 8 * targets->shape.dim[1] + 8))
        return bm_fail(BM_ERR_SHAPE, "%s and %s: the paths do not fit in memory", x->name, targets->name);
    return bm_ops_loss_outputs(g, n, d[0]);
}

static int64_t states(const bm_node *n)
{
    return 2 * n->inputs[TARGETS]->shape.dim[1] + 1;
}

/* An exp for each class, twice with the gradient; three and a logarithm for each state, twice with the gradient. */
static bm_cost cost(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    const int64_t *d = n->inputs[X]->shape.dim;
    const double passes = n->outputs[BM_OPS_LOSS_DX]->used ? 2 : 1;
    c.flops = passes * (double)d[0] * (double)d[1] * (10.0 * (double)d[2] + 40.0 * (double)states(n));
    return c;
}

/* What lies between the launches: see ctc.cl. */
typedef struct between {
    int64_t kept; /* steps of alpha */
    struct {
        int64_t at, bytes;
    } norms, alpha, e, links;
    int64_t bytes;
} between;

static between lay_out(const bm_node *n, const bm_limits *limits)
{
    const int64_t *d = n->inputs[X]->shape.dim, row = 4 * d[0] * states(n), align = limits->align_bytes;
    const int gradient = n->outputs[BM_OPS_LOSS_DX]->used != 0;
    between w = {.kept = gradient ? d[1] : 2, .norms.bytes = 8 * d[0] * d[1]};
    w.alpha.bytes = w.kept * row;
    w.e.bytes = gradient ? 2 * row : 0;
    w.links.bytes = gradient ? row : 0;
    w.alpha.at = bm_round_up(w.norms.bytes, align);
    w.e.at = w.alpha.at + bm_round_up(w.alpha.bytes, align);
    w.links.at = w.e.at + bm_round_up(w.e.bytes, align);
    w.bytes = w.links.at + bm_round_up(w.links.bytes, align);
    return w;
}

static bm_status scratch(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l;
    *bytes = lay_out(n, limits).bytes;
    return BM_OK;
}

/* The arguments that kernels share. */
typedef struct pieces {
    bm_arg x, targets, lengths, norms, alpha, e, links;
} pieces;

static void launch_norms(bm_launcher *l, const bm_node *n, const pieces *p, bm_kernel_launch *k)
{
    const bm_value *x = n->inputs[X];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), each = bm_ops_rows_each(l, last);
    const bm_arg args[] = {p->x, p->norms, bm_arg_i64(rows), bm_arg_i64(last), bm_arg_i64(each)};
    k->kernel = "norms";
    k->args = args;
    k->n_args = 5;
    bm_ops_launch_groups(l, k, bm_ceil_div(rows, each));
}

static void launch_paths(bm_launcher *l, const bm_node *n, const pieces *p, int64_t kept, bm_kernel_launch *k)
{
    const int64_t *d = n->inputs[X]->shape.dim;
    const bm_arg args[] = {p->x,
                           p->targets,
                           p->lengths,
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS_ROWS])),
                           p->norms,
                           p->alpha,
                           p->e,
                           p->links,
                           bm_arg_i32((int32_t)d[1]),
                           bm_arg_i32((int32_t)d[2]),
                           bm_arg_i32((int32_t)n->inputs[TARGETS]->shape.dim[1]),
                           bm_arg_i32((int32_t)kept)};
    k->kernel = "paths";
    k->args = args;
    k->n_args = 12;
    bm_ops_launch_groups(l, k, d[0]);
}

static void launch_gradient(bm_launcher *l, const bm_node *n, const pieces *p, bm_kernel_launch *k)
{
    const bm_value *x = n->inputs[X];
    const bm_arg rt = bm_arg_mem(bm_launcher_scalars(l)), last = bm_arg_i64(bm_ops_last(x)),
                 steps = bm_arg_i32((int32_t)x->shape.dim[1]), most = bm_arg_i32((int32_t)n->inputs[TARGETS]->shape.dim[1]);
    const bm_arg shares[] = {p->x, p->targets, p->lengths, rt, p->norms, p->alpha, p->links, last, steps, most};
    k->kernel = "shares";
    k->args = shares;
    k->n_args = 10;
    bm_ops_launch_groups(l, k, bm_ops_rows(x));
    const bm_arg dx = bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS_DX]));
    const bm_arg gradient[] = {p->x, p->targets, p->lengths, dx, rt, p->norms, p->alpha, p->links, last, steps, most};
    k->kernel = "gradient";
    k->args = gradient;
    k->n_args = 11;
    bm_ops_launch_groups(l, k, bm_ops_rows(x));
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const between w = lay_out(n, bm_launcher_limits(l));
    const int gradient = n->outputs[BM_OPS_LOSS_DX]->used != 0;
    if (n->inputs[X]->shape.dim[0]) {
        const pieces p = {.x = bm_arg_mem(bm_launcher_mem(l, n->inputs[X])),
                          .targets = bm_arg_mem(bm_launcher_mem(l, n->inputs[TARGETS])),
                          .lengths = bm_arg_mem(bm_launcher_mem(l, n->inputs[LENGTHS])),
                          .norms = bm_arg_mem(bm_launcher_scratch(l, w.norms.at, w.norms.bytes)),
                          .alpha = bm_arg_mem(bm_launcher_scratch(l, w.alpha.at, w.alpha.bytes)),
                          .e = bm_arg_mem(gradient ? bm_launcher_scratch(l, w.e.at, w.e.bytes) : NULL),
                          .links = bm_arg_mem(gradient ? bm_launcher_scratch(l, w.links.at, w.links.bytes) : NULL)};
        bm_kernel_launch k = {.source = "ops/ctc", .options = bm_ops_options(options, l, n->inputs[X]->dtype)};
        launch_norms(l, n, &p, &k);
        launch_paths(l, n, &p, w.kept, &k);
        if (gradient) launch_gradient(l, n, &p, &k);
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
