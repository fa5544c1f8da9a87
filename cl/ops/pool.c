#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/pool"

typedef struct pool {
    int64_t H, W, C, Ho, Wo;
    bm_pool_opts o;
} pool;

static int64_t window(const pool *p) { return p->o.kernel[0] * p->o.kernel[1]; }

/* Lines of the result for a work-item of the cpu form: about as much work whatever the windows are. */
static int64_t lines_each(const pool *p, const bm_value *result)
{
    const int64_t each = 8192 / (window(p) * result->shape.dim[2] * p->C);
    return each > 1 ? each : 1;
}

/* SIZES of pool.cl behind `mems` operands. */
enum { N_SIZES = 14, MOST_MEMS = 4 };
static bm_status launch(bm_launcher *l, const bm_node *n, const char *kernel, const bm_value *const *operands, int mems)
{
    const pool *p = n->attrs;
    const bm_value *result = n->outputs[0];
    const int64_t lines = result->shape.dim[0] * result->shape.dim[1], each = lines_each(p, result);
    const int64_t sizes[] = {p->H,           p->W,           p->C,           p->Ho,          p->Wo,       p->o.kernel[0],
                             p->o.kernel[1], p->o.stride[0], p->o.stride[1], p->o.pad[0], p->o.pad[1]};
    char options[BM_OPS_OPTIONS];
    bm_arg args[MOST_MEMS + N_SIZES];
    int k = 0;
    for (int i = 0; i < mems; i++) args[k++] = bm_arg_mem(bm_launcher_mem(l, operands[i]));
    args[k++] = bm_arg_i64(each);
    args[k++] = bm_arg_i64(lines);
    args[k++] = bm_arg_f32((float)(1.0 / (double)window(p)));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) args[k++] = bm_arg_i64(sizes[i]);
    bm_kernel_launch launch = {.source = SOURCE, .kernel = kernel, .args = args, .n_args = k};
    launch.options = bm_ops_options(options, l, result->dtype);
    if (bm_launcher_form(l) == BM_FORM_CPU) bm_ops_launch_groups(l, &launch, bm_ceil_div(lines, each));
    else bm_ops_launch_flat(l, &launch, bm_ops_elements(result));
    return bm_launcher_status(l);
}

/* ---- backward: of the maximum dy, x, y, of the average dy ---- */

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    const pool *p = n->attrs;
    const bm_value *dy = n->inputs[0];
    bm_node_output(g, n, dy->dtype, BM_SHAPE(dy->shape.dim[0], p->H, p->W, p->C));
    return bm_graph_status(g);
}

/* An element of x is in about window / stride windows; in the maximum's half of such a window is compared. */
static bm_cost cost_backward(const bm_node *n)
{
    const pool *p = n->attrs;
    const double windows = (double)window(p) / (double)(p->o.stride[0] * p->o.stride[1]);
    return bm_ops_cost(n, windows * (n->n_inputs > 1 ? 1 + (double)window(p) / 2 : 1));
}

static bm_status launch_max_backward(bm_launcher *l, const bm_node *n)
{
    const bm_value *const operands[] = {n->inputs[0], n->inputs[1], n->inputs[2], n->outputs[0]};
    return launch(l, n, "max_pool_backward", operands, 4);
}

static bm_status launch_avg_backward(bm_launcher *l, const bm_node *n)
{
    const bm_value *const operands[] = {n->inputs[0], n->outputs[0]};
    return launch(l, n, "avg_pool_backward", operands, 2);
}

#define BACKWARD .attrs_bytes = sizeof(pool), .infer = infer_backward, .cost = cost_backward
static const bm_op op_max_backward = {.name = "max_pool2d_backward", BACKWARD, .launch = launch_max_backward};
static const bm_op op_avg_backward = {.name = "avg_pool2d_backward", BACKWARD, .launch = launch_avg_backward};

static void gradient_max(bm_graph *g, bm_node *n)
{
    bm_value *const in[] = {bm_grad_of(g, n->outputs[0]), n->inputs[0], n->outputs[0]};
    bm_grad_add(g, n->inputs[0], bm_node_first(bm_node_create(g, &op_max_backward, n->attrs, in, 3, 0)));
}

static void gradient_avg(bm_graph *g, bm_node *n)
{
    bm_value *const in[] = {bm_grad_of(g, n->outputs[0])};
    bm_grad_add(g, n->inputs[0], bm_node_first(bm_node_create(g, &op_avg_backward, n->attrs, in, 1, 0)));
}

/* ---- forward ---- */

static bm_status infer(bm_graph *g, bm_node *n)
{
    const pool *p = n->attrs;
    const bm_value *x = n->inputs[0];
    bm_node_output(g, n, x->dtype, BM_SHAPE(x->shape.dim[0], p->Ho, p->Wo, p->C));
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n) { return bm_ops_cost(n, (double)window(n->attrs)); }

static bm_status launch_max(bm_launcher *l, const bm_node *n)
{
    const bm_value *const operands[] = {n->inputs[0], n->outputs[0]};
    return launch(l, n, "max_pool", operands, 2);
}

static bm_status launch_avg(bm_launcher *l, const bm_node *n)
{
    const bm_value *const operands[] = {n->inputs[0], n->outputs[0]};
    return launch(l, n, "avg_pool", operands, 2);
}

#define POOL .attrs_bytes = sizeof(pool), .infer = infer, .cost = cost
static const bm_op op_max = {.name = "max_pool2d", POOL, .gradient = gradient_max, .launch = launch_max};
static const bm_op op_avg = {.name = "avg_pool2d", POOL, .gradient = gradient_avg, .launch = launch_avg};

/* ---- builders ---- */

static bm_status want_image(const bm_value *x)
{
    char text[BM_SHAPE_TEXT];
    BM_TRY(bm_ops_want_float(x));
    if (x->shape.rank == 4 && x->shape.dim[1] && x->shape.dim[2] && x->shape.dim[3]) return BM_OK;
    return bm_fail(BM_ERR_SHAPE, "pooling: %s is %s, not [B, H, W, C] of pixels", x->name, bm_shape_text(&x->shape, text, sizeof text));
}

static bm_status count_windows(int64_t *out, const bm_value *x, const bm_pool_opts *o, int axis)
{
    static const char *const axes[] = {"height", "width"};
    const int64_t size = x->shape.dim[1 + axis], kernel = o->kernel[axis], stride = o->stride[axis], pad = o->pad[axis];
    if (kernel < 1 || stride < 1)
        return bm_fail(BM_ERR_SHAPE, "pooling: along the %s a kernel of %lld, %lld apart", axes[axis], (long long)kernel,
                       (long long)stride);
    if (pad < 0 || pad > kernel / 2)
        return bm_fail(BM_ERR_SHAPE, "pooling: along the %s %lld of padding; a kernel of %lld takes 0 to %lld", axes[axis],
                       (long long)pad, (long long)kernel, (long long)(kernel / 2));
    if (kernel - pad > size + pad)
        return bm_fail(BM_ERR_SHAPE, "pooling: the %s of %s, %lld with %lld of padding on both sides, is less than a kernel of %lld",
                       axes[axis], x->name, (long long)size, (long long)pad, (long long)kernel);
    *out = (size + pad - (kernel - pad)) / stride + 1;
    return BM_OK;
}

static bm_value *pool_of(bm_graph *g, const bm_op *op, bm_value *x, const bm_pool_opts *o)
{
    pool p = {.o = *o};
    bm_status s = x ? want_image(x) : BM_OK;
    if (x && !s) {
        p.H = x->shape.dim[1], p.W = x->shape.dim[2], p.C = x->shape.dim[3];
        s = count_windows(&p.Ho, x, o, 0);
        if (!s) s = count_windows(&p.Wo, x, o, 1);
    }
    return s ? bm_graph_fail(g, s) : bm_node_first(bm_node_create(g, op, &p, &x, 1, 0));
}

bm_pool_opts bm_pool_opts_default(int64_t kernel)
{
    return (bm_pool_opts){.kernel = {kernel, kernel}, .stride = {kernel, kernel}};
}

bm_value *bm_max_pool2d(bm_graph *g, bm_value *x, const bm_pool_opts *o) { return pool_of(g, &op_max, x, o); }

bm_value *bm_avg_pool2d(bm_graph *g, bm_value *x, const bm_pool_opts *o) { return pool_of(g, &op_avg, x, o); }

bm_value *bm_global_avg_pool(bm_graph *g, bm_value *x)
{
    bm_pool_opts o = bm_pool_opts_default(1);
    for (int i = 0; x && x->shape.rank == 4 && i < 2; i++) o.kernel[i] = o.stride[i] = x->shape.dim[1 + i];
    bm_value *y = pool_of(g, &op_avg, x, &o);
    return y ? bm_reshape(g, y, BM_SHAPE(y->shape.dim[0], y->shape.dim[3])) : NULL;
}
