#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

enum { X, TARGETS, WEIGHTS, N_IN };

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[X], *weights = n->inputs[WEIGHTS];
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_type(n->inputs[TARGETS], BM_I32));
    if (x->shape.rank != 2 || x->shape.dim[1] < 1 || x->shape.dim[1] > INT32_MAX) {
        char text[BM_SHAPE_TEXT];
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [rows, classes]", x->name, bm_shape_text(&x->shape, text, sizeof text));
    }
    BM_TRY(bm_ops_want_vector(n->inputs[TARGETS], x->shape.dim[0]));
    if (weights) BM_TRY(bm_ops_want_type(weights, BM_F32));
    if (weights) BM_TRY(bm_ops_want_vector(weights, x->shape.dim[1]));
    return bm_ops_loss_outputs(g, n, x->shape.dim[0]);
}

static bm_cost cost(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    const double smoothing = ((const bm_xent_opts *)n->attrs)->label_smoothing > 0 ? 4 : 0;
    const double each = n->outputs[BM_OPS_LOSS_DX]->used ? 20 : 10; /* exp counts 8 */
    c.flops = (each + smoothing) * (double)bm_ops_elements(n->inputs[X]);
    return c;
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *x = n->inputs[X], *dx = n->outputs[BM_OPS_LOSS_DX];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), each = bm_ops_rows_each(l, last);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[TARGETS])),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[WEIGHTS])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS_ROWS])),
                           bm_arg_mem(dx->used ? bm_launcher_mem(l, dx) : NULL),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i64(rows),
                           bm_arg_i64(last),
                           bm_arg_i64(each),
                           bm_arg_f32(((const bm_xent_opts *)n->attrs)->label_smoothing)};
    bm_kernel_launch k = {.source = "ops/xent", .kernel = "xent", .args = args, .n_args = 10};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    bm_ops_launch_loss_sum(l, n);
    return bm_launcher_status(l);
}

static const bm_op op_xent = {.name = "softmax_xent", .attrs_bytes = sizeof(bm_xent_opts), .infer = infer,
                              .gradient = bm_ops_loss_gradient, .cost = cost, .launch = launch};

bm_value *bm_softmax_xent(bm_graph *g, bm_value **rows, bm_value *logits, bm_value *targets, bm_value *class_weights,
                          const bm_xent_opts *opts)
{
    const bm_xent_opts o = opts ? *opts : (bm_xent_opts){0};
    bm_value *const in[N_IN] = {logits, targets, class_weights};
    if (o.label_smoothing >= 0 && o.label_smoothing <= 1)
        return bm_ops_loss_of(bm_node_create(g, &op_xent, &o, in, N_IN, 1u << WEIGHTS), rows);
    if (rows) *rows = NULL;
    return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "label_smoothing lies in [0, 1], not at %g", (double)o.label_smoothing));
}
