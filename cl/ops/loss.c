#include <math.h>

#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/loss"

/* ---- what every loss has ---- */

bm_status bm_ops_loss_outputs(bm_graph *g, bm_node *n, int64_t rows)
{
    const bm_value *x = n->inputs[0];
    bm_node_output(g, n, BM_F32, BM_SHAPE(1));
    bm_node_output(g, n, BM_F32, BM_SHAPE(rows));
    bm_node_output_optional(g, n, x->dtype, x->shape);
    bm_node_inplace(n, BM_OPS_LOSS_DX, 0, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

bm_value *bm_ops_loss_of(bm_node *n, bm_value **rows)
{
    if (rows) *rows = n ? n->outputs[BM_OPS_LOSS_ROWS] : NULL;
    return bm_node_first(n);
}

/* Nothing flows through the losses of single rows. */
void bm_ops_loss_gradient(bm_graph *g, bm_node *n)
{
    bm_value *loss = n->outputs[BM_OPS_LOSS], *dx = n->outputs[BM_OPS_LOSS_DX];
    if (!bm_grad_wanted(g, n->inputs[0])) return;
    if (bm_grad_is_one(g, loss)) bm_grad_add(g, n->inputs[0], dx);
    else if (bm_grad_of(g, loss)) bm_grad_add(g, n->inputs[0], bm_mul_scalar(g, dx, bm_grad_of(g, loss)));
}

void bm_ops_launch_loss_sum(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *rows = n->outputs[BM_OPS_LOSS_ROWS];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, rows)), bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS])),
                           bm_arg_mem(bm_launcher_scalars(l)), bm_arg_i64(bm_ops_elements(rows))};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "loss_sum", .args = args, .n_args = 4};
    k.options = bm_ops_options(options, l, BM_F32);
    bm_ops_launch_groups(l, &k, 1);
}

/* ---- mse, mae, huber ---- */

typedef struct attrs {
    int kind; /* of loss.cl */
    float delta;
} attrs;

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0], *targets = n->inputs[1];
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT];
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_type(targets, BM_F32));
    if (x->shape.rank != 2)
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [rows, numbers]", x->name, bm_shape_text(&x->shape, a, sizeof a));
    if (!bm_shape_equal(&x->shape, &targets->shape))
        return bm_fail(BM_ERR_SHAPE, "%s is %s, its targets %s are %s", x->name, bm_shape_text(&x->shape, a, sizeof a), targets->name,
                       bm_shape_text(&targets->shape, b, sizeof b));
    return bm_ops_loss_outputs(g, n, x->shape.dim[0]);
}

static bm_cost cost(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    c.flops = (n->outputs[BM_OPS_LOSS_DX]->used ? 6.0 : 4.0) * (double)bm_ops_elements(n->inputs[0]);
    return c;
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const attrs *a = n->attrs;
    const bm_value *x = n->inputs[0], *dx = n->outputs[BM_OPS_LOSS_DX];
    const int64_t rows = bm_ops_rows(x), last = bm_ops_last(x), each = bm_ops_rows_each(l, last);
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)),
                           bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS_ROWS])),
                           bm_arg_mem(dx->used ? bm_launcher_mem(l, dx) : NULL),
                           bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i64(rows),
                           bm_arg_i64(last),
                           bm_arg_i64(each),
                           bm_arg_f32(a->delta)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "numbers", .args = args, .n_args = 9};
    k.options = bm_ops_options_with(options, l, x->dtype, " -DKIND=%d", a->kind);
    bm_ops_launch_groups(l, &k, bm_ceil_div(rows, each));
    bm_ops_launch_loss_sum(l, n);
    return bm_launcher_status(l);
}

#define NUMBERS(op) {.name = op, .attrs_bytes = sizeof(attrs), .infer = infer, .gradient = bm_ops_loss_gradient, .cost = cost, \
                     .launch = launch}
static const bm_op op_mse = NUMBERS("mse"), op_mae = NUMBERS("mae"), op_huber = NUMBERS("huber");

static bm_value *numbers(bm_graph *g, bm_value **rows, const bm_op *op, attrs a, bm_value *x, bm_value *targets)
{
    bm_value *const in[] = {x, targets};
    return bm_ops_loss_of(bm_node_create(g, op, &a, in, 2, 0), rows);
}

bm_value *bm_mse(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets)
{
    return numbers(g, rows, &op_mse, (attrs){.kind = 0}, x, targets);
}

bm_value *bm_mae(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets)
{
    return numbers(g, rows, &op_mae, (attrs){.kind = 1}, x, targets);
}

bm_value *bm_huber(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets, float delta)
{
    if (delta > 0 && isfinite(delta)) return numbers(g, rows, &op_huber, (attrs){.kind = 2, .delta = delta}, x, targets);
    if (rows) *rows = NULL;
    return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "huber takes a delta above 0, not %g", (double)delta));
}

/* ---- bce ---- */

static bm_status infer_bce(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0], *targets = n->inputs[1];
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_type(targets, BM_I32));
    if (x->shape.rank != 1 && !(x->shape.rank == 2 && x->shape.dim[1] == 1)) {
        char text[BM_SHAPE_TEXT];
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [rows] or [rows, 1]", x->name, bm_shape_text(&x->shape, text, sizeof text));
    }
    BM_TRY(bm_ops_want_vector(targets, x->shape.dim[0]));
    return bm_ops_loss_outputs(g, n, x->shape.dim[0]);
}

static bm_cost cost_bce(const bm_node *n)
{
    bm_cost c = bm_ops_cost(n, 0);
    c.flops = (n->outputs[BM_OPS_LOSS_DX]->used ? 34.0 : 22.0) * (double)bm_ops_elements(n->inputs[0]); /* exp and log count 8 */
    return c;
}

static bm_status launch_bce(bm_launcher *l, const bm_node *n)
{
    char options[BM_OPS_OPTIONS];
    const bm_value *x = n->inputs[0], *dx = n->outputs[BM_OPS_LOSS_DX];
    const bm_arg args[] = {bm_arg_mem(bm_launcher_mem(l, x)), bm_arg_mem(bm_launcher_mem(l, n->inputs[1])),
                           bm_arg_mem(bm_launcher_mem(l, n->outputs[BM_OPS_LOSS_ROWS])),
                           bm_arg_mem(dx->used ? bm_launcher_mem(l, dx) : NULL), bm_arg_mem(bm_launcher_scalars(l)),
                           bm_arg_i64(bm_ops_elements(x))};
    bm_kernel_launch k = {.source = SOURCE, .kernel = "bce", .args = args, .n_args = 6};
    k.options = bm_ops_options(options, l, x->dtype);
    bm_ops_launch_flat(l, &k, bm_ops_elements(x));
    bm_ops_launch_loss_sum(l, n);
    return bm_launcher_status(l);
}

static const bm_op op_bce = {.name = "bce_logits", .infer = infer_bce, .gradient = bm_ops_loss_gradient, .cost = cost_bce,
                             .launch = launch_bce};

bm_value *bm_bce_logits(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets)
{
    bm_value *const in[] = {x, targets};
    return bm_ops_loss_of(bm_node_create(g, &op_bce, NULL, in, 2, 0), rows);
}
