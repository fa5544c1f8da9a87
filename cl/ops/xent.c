#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

enum { LOSS, ROWS, DLOGITS };

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0], *targets = n->inputs[1];
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_type(targets, BM_I32));
    if (x->shape.rank != 2 || x->shape.dim[1] < 1 || x->shape.dim[1] > INT32_MAX) {
        char text[BM_SHAPE_TEXT];
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [rows, classes]", x->name, bm_shape_text(&x->shape, text, sizeof text));
    }
    BM_TRY(bm_ops_want_vector(targets, x->shape.dim[0]));
    bm_node_output(g, n, BM_F32, BM_SHAPE(1));
    bm_node_output(g, n, BM_F32, BM_SHAPE(x->shape.dim[0]));
    bm_node_output_optional(g, n, x->dtype, x->shape);
    bm_node_inplace(n, DLOGITS, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    c.flops = (n->outputs[DLOGITS]->used ? 20.0 : 10.0) * (double)bm_ops_elements(n->inputs[0]); /* exp counts 8 */
    return c;
}

/* Nothing flows through the losses of single rows. */
static void gradient(bm_graph *g, bm_node *n)
{
    bm_value *loss = n->outputs[LOSS], *dx = n->outputs[DLOGITS];
    if (!bm_grad_wanted(g, n->inputs[0])) return;
    if (bm_grad_is_one(g, loss)) bm_grad_add(g, n->inputs[0], dx);
    else if (bm_grad_of(g, loss)) bm_grad_add(g, n->inputs[0], bm_mul_scalar(g, dx, bm_grad_of(g, loss)));
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *x = n->inputs[0], *dx = n->outputs[DLOGITS];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), each = bm_ops_rows_each(l, last);
    const bm_arg of_rows = bm_arg_mem(bm_launcher_mem(l, n->outputs[ROWS])), rt = bm_arg_mem(bm_launcher_scalars(l));
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           of_rows,
                           bm_arg_mem(dx->used ? bm_launcher_mem(l, dx) : NULL),
                           rt,
                           bm_arg_i64(rows),
                           bm_arg_i64(last),
                           bm_arg_i64(each)};
    bm_kernel_launch k = {.source = "ops/xent", .kernel = "xent", .args = args, .n_args = 8};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    const bm_arg sum[] = {of_rows, bm_arg_mem(bm_launcher_mem(l, n->outputs[LOSS])), rt, bm_arg_i64(rows)};
    k.kernel = "xent_loss";
    k.args = sum;
    k.n_args = 4;
    bm_ops_launch_groups(l, &k, 1);
    return bm_launcher_status(l);
}

static const bm_op op_xent = {.name = "softmax_xent", .infer = infer, .gradient = gradient, .cost = cost, .launch = launch};

bm_value *bm_softmax_xent(bm_graph *g, bm_value **rows, bm_value *logits, bm_value *targets)
{
    bm_value *const in[] = {logits, targets};
    bm_node *n = bm_node_create(g, &op_xent, NULL, in, 2, 0);
    if (rows) *rows = n ? n->outputs[ROWS] : NULL;
    return bm_node_first(n);
}
