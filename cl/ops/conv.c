/* Convolution of images (LeCun et al. 1989), and its gradients, as products of matrices (Chellapilla, Puri & Simard 2006):
 *
 *     rows   = the windows of x, one for each position of y                     [positions, kh kw C]
 *     y      = act(rows W^T + b)                                                W [O, kh kw C], b [O]
 *     dW     = dpre^T rows,   db = the sum of dpre over its rows,   dx = the fold of dpre W
 *
 * The windows are made for some images at a time, so that they are read before they leave a cache, and again for dW. CPU devices have
 * forms of their own (conv_priv.h). Convolutions in groups go element by element. */
#include <string.h>

#include "cl/gemm/gemm.h"
#include "cl/ops/conv_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/conv"
#define ROWS_BYTES_CPU (2ll << 20) /* of windows at a time: about a second-level cache */
#define ROWS_BYTES (64ll << 20)

enum { IN_X, IN_W, IN_B, N_IN };
enum { OUT_Y, OUT_PRE };
enum { DX_DY, DX_W, N_DX };
enum { DW_DY, DW_X, DW_ACC, N_DW };

/* ---- the product of some images ---- */

static int is_cpu(bm_launcher *l, const bm_limits *limits)
{
    return (l && bm_launcher_engine(l) ? bm_launcher_form(l) : bm_limits_form(limits)) == BM_FORM_CPU;
}

/* Whether both operands are of bf16 and the device multiplies such; without an engine, whether one of these limits should. */
static bm_status in_pairs(int *out, const bm_node *n, bm_launcher *l, const bm_limits *limits)
{
    *out = limits->bf16_dot && n->inputs[0]->dtype == BM_BF16 && n->inputs[1]->dtype == BM_BF16;
    return *out && l && bm_launcher_engine(l) ? bm_gemm_in_pairs(out, bm_launcher_engine(l)) : BM_OK;
}

/* The form for CPU devices that does this product, or NULL. Their kernels have one type for x and y. */
static bm_status form_of(const bm_conv_form **out, int *pairs, const bm_node *n, bm_launcher *l, const bm_limits *limits,
                         enum bm_conv_product what)
{
    static const bm_conv_form *const forms[] = {&bm_conv_winograd, &bm_conv_direct};
    const bm_conv *c = n->attrs;
    *out = NULL;
    *pairs = 0;
    if (!is_cpu(l, limits) || (what == BM_CONV_DX && c->type != n->inputs[DX_DY]->dtype)) return BM_OK;
    BM_TRY(in_pairs(pairs, n, l, limits));
    *pairs = *pairs && bm_conv_direct.takes(c, what, limits, 1);
    if (*pairs) *out = &bm_conv_direct;
    for (int i = 0; !*out && i < 2; i++)
        if (forms[i]->takes(c, what, limits, 0)) *out = forms[i];
    return BM_OK;
}

static int64_t positions(const bm_conv *c) { return c->Ho * c->Wo; }

static int64_t images_at_once(const bm_conv *c, bm_launcher *l, const bm_limits *limits)
{
    const int64_t wanted = is_cpu(l, limits) ? ROWS_BYTES_CPU : ROWS_BYTES, fits = limits->max_alloc_bytes / 2;
    const int64_t n = (wanted < fits ? wanted : fits) / (4 * positions(c) * bm_conv_window(c));
    return n < 1 ? 1 : n < c->B ? n : c->B;
}

static int64_t rows_bytes(const bm_conv *c, bm_launcher *l, const bm_limits *limits)
{
    return bm_round_up(4 * images_at_once(c, l, limits) * positions(c) * bm_conv_window(c), limits->align_bytes);
}

static int keeps_pre(const bm_node *n) { return n->n_outputs > OUT_PRE && n->outputs[OUT_PRE]->used; }

static bm_gemm_desc product_desc(const bm_node *n, enum bm_conv_product what, int64_t image, int64_t images)
{
    const bm_conv *c = n->attrs;
    const int64_t rows = images * positions(c), offset = image * positions(c) * c->O, window = bm_conv_window(c);
    bm_gemm_desc d = what == BM_CONV_FORWARD ? bm_gemm_desc_default(rows, c->O, window)
                     : what == BM_CONV_DX    ? bm_gemm_desc_default(rows, window, c->O)
                                     : bm_gemm_desc_default(c->O, window, rows);
    d.type_a = n->inputs[0]->dtype;
    d.type_b = n->inputs[1]->dtype;
    d.type_d = what == BM_CONV_DX ? BM_F32 : c->type;
    if (what == BM_CONV_FORWARD) {
        d.trans_b = 1;
        d.offset_d = offset;
        d.has_bias = n->inputs[IN_B] != NULL;
        d.act = c->act;
        d.has_pre = keeps_pre(n);
    } else {
        d.offset_a = offset;
        d.trans_a = what == BM_CONV_DW;
        d.beta = what == BM_CONV_DW && (image || n->inputs[DW_ACC]) ? 1.0f : 0.0f;
    }
    return d;
}

/* Both a full share of the images and the last one's. */
static bm_status scratch_product(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits, enum bm_conv_product what)
{
    const bm_conv *c = n->attrs;
    *bytes = 0;
    if (c->o.groups > 1) return BM_OK;
    const bm_conv_form *form;
    int pairs;
    BM_TRY(form_of(&form, &pairs, n, l, limits, what));
    if (form) {
        *bytes = form->scratch(c, what, limits, pairs);
        return BM_OK;
    }
    const int64_t images = images_at_once(c, l, limits), last = c->B % images;
    const int64_t shares[] = {images, last};
    for (int i = 0; i < 2; i++) {
        int64_t more = 0;
        const bm_gemm_desc d = product_desc(n, what, 0, shares[i]);
        if (shares[i]) BM_TRY(bm_gemm_scratch(&more, l, &d, limits));
        if (more > *bytes) *bytes = more;
    }
    *bytes += rows_bytes(c, l, limits);
    return BM_OK;
}

/* SIZES of conv.cl. */
enum { N_SIZES = 16 };
static int add_sizes(bm_arg *args, const bm_conv *c)
{
    const int64_t sizes[N_SIZES] = {c->B,           c->H,           c->W,        c->C,        c->O,             c->kh,
                                    c->kw,          c->Ho,          c->Wo,       c->o.stride[0], c->o.stride[1], c->o.pad[0],
                                    c->o.pad[1],    c->o.dilation[0], c->o.dilation[1], c->o.groups};
    for (int i = 0; i < N_SIZES; i++) args[i] = bm_arg_i64(sizes[i]);
    return N_SIZES;
}

static const char *options(char buf[BM_OPS_OPTIONS], const bm_launcher *l, const bm_conv *c, bm_dtype storage, bm_dtype weights)
{
    return bm_ops_options_with(buf, l, storage, " -DWSTORAGE=%d -DACT=%d", (int)weights, (int)c->act);
}

typedef struct movement {
    const char *kernel;
    cl_mem from, to;
    bm_dtype type;
    int64_t image, images, elements;
} movement;

/* unfold or fold. */
static void launch_movement(bm_launcher *l, const bm_conv *c, const movement *m)
{
    char buf[BM_OPS_OPTIONS];
    bm_arg args[4 + N_SIZES] = {bm_arg_mem(m->from), bm_arg_mem(m->to), bm_arg_i64(m->image), bm_arg_i64(m->images)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = m->kernel, .args = args, .n_args = 4 + add_sizes(args + 4, c)};
    k.options = options(buf, l, c, m->type, BM_F32);
    bm_ops_launch_flat(l, &k, m->elements);
}

static void launch_unfold(bm_launcher *l, const bm_conv *c, const bm_value *x, cl_mem rows, int64_t image, int64_t images)
{
    launch_movement(l, c, &(movement){"unfold", bm_launcher_mem(l, x), rows, x->dtype, image, images,
                                      images * positions(c) * bm_conv_window(c)});
}

static void launch_form(bm_launcher *l, const bm_node *n, const bm_conv_form *form, int pairs, enum bm_conv_product what)
{
    bm_conv_args a = {.c = n->attrs, .x_type = n->inputs[0]->dtype, .w_type = n->inputs[1]->dtype, .pairs = pairs};
    a.x = bm_launcher_mem(l, n->inputs[0]);
    a.w = bm_launcher_mem(l, n->inputs[1]);
    a.y = bm_launcher_mem(l, n->outputs[0]);
    if (what == BM_CONV_FORWARD) {
        a.bias = bm_launcher_mem(l, n->inputs[IN_B]);
        a.pre = keeps_pre(n) ? bm_launcher_mem(l, n->outputs[OUT_PRE]) : NULL;
        form->forward(l, &a);
    } else if (what == BM_CONV_DX) {
        form->dx(l, &a);
    } else {
        a = (bm_conv_args){.c = n->attrs, .x_type = a.x_type, .w_type = a.c->type, .pairs = pairs, .x = a.w, .w = a.y, .y = a.x};
        form->dw(l, &a, n->inputs[DW_ACC] != NULL);
    }
}

/* Share by share of the images; the windows lie at the beginning of the scratch. */
static bm_status launch_products(bm_launcher *l, const bm_node *n, enum bm_conv_product what)
{
    const bm_conv *c = n->attrs;
    const bm_limits *limits = bm_launcher_limits(l);
    const bm_conv_form *form;
    int pairs;
    BM_TRY(form_of(&form, &pairs, n, l, limits, what));
    if (form) {
        launch_form(l, n, form, pairs, what);
        return bm_launcher_status(l);
    }
    const int64_t most = images_at_once(c, l, limits), behind = rows_bytes(c, l, limits);
    const cl_mem rows = bm_launcher_scratch(l, 0, behind), in = bm_launcher_mem(l, n->inputs[0]), out = bm_launcher_mem(l, n->outputs[0]);
    for (int64_t image = 0; image < c->B; image += most) {
        const int64_t images = c->B - image < most ? c->B - image : most;
        const bm_gemm_desc d = product_desc(n, what, image, images);
        bm_gemm_args args = {.a = in, .b = rows, .d = out};
        if (what == BM_CONV_FORWARD) {
            args.a = rows;
            args.b = bm_launcher_mem(l, n->inputs[IN_W]);
            args.bias = bm_launcher_mem(l, n->inputs[IN_B]);
            args.pre = d.has_pre ? bm_launcher_mem(l, n->outputs[OUT_PRE]) : NULL;
            launch_unfold(l, c, n->inputs[IN_X], rows, image, images);
        } else if (what == BM_CONV_DX) {
            args.b = bm_launcher_mem(l, n->inputs[DX_W]);
            args.d = rows;
        } else {
            launch_unfold(l, c, n->inputs[DW_X], rows, image, images);
        }
        bm_gemm_launch(l, &d, &args, behind);
        if (what == BM_CONV_DX)
            launch_movement(l, c, &(movement){"fold", rows, out, c->type, image, images, images * c->H * c->W * c->C});
    }
    return bm_launcher_status(l);
}

/* One element for each work-item; args has room for the sizes. */
static bm_status launch_group(bm_launcher *l, const bm_node *n, const char *kernel, bm_arg *args, int n_args)
{
    char buf[BM_OPS_OPTIONS];
    const bm_conv *c = n->attrs;
    const int64_t elements = bm_ops_elements(n->outputs[0]);
    const int of_w = !strcmp(kernel, "group_dw");
    bm_kernel_launch k = {.source = SOURCE, .kernel = kernel, .args = args, .dims = 1, .global = {(size_t)bm_round_up(elements, 64)}, .local = {64}};
    k.n_args = n_args + add_sizes(args + n_args, c);
    k.options = options(buf, l, c, n->inputs[0]->dtype, of_w ? c->type : n->inputs[IN_W]->dtype);
    bm_launcher_kernel(l, &k);
    return bm_launcher_status(l);
}

static bm_cost cost_product(const bm_node *n, double each)
{
    const bm_conv *c = n->attrs;
    bm_cost cost = bm_ops_cost(n, each);
    cost.flops += 2.0 * (double)c->B * (double)positions(c) * (double)c->O * (double)bm_conv_window(c);
    return cost;
}

/* ---- dx and dw ---- */

static bm_status infer_dx(bm_graph *g, bm_node *n)
{
    const bm_conv *c = n->attrs;
    bm_node_output(g, n, c->type, BM_SHAPE(c->B, c->H, c->W, c->C));
    return bm_graph_status(g);
}

static bm_status infer_dw(bm_graph *g, bm_node *n)
{
    const bm_conv *c = n->attrs;
    bm_node_output(g, n, c->type, BM_SHAPE(c->O, c->kh, c->kw, c->C / c->o.groups));
    if (n->inputs[DW_ACC]) bm_node_inplace(n, 0, DW_ACC, BM_INPLACE_MUST);
    return bm_graph_status(g);
}

static bm_cost cost_gradient(const bm_node *n) { return cost_product(n, 0); }

static bm_status scratch_dx(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    return scratch_product(bytes, l, n, limits, BM_CONV_DX);
}

static bm_status scratch_dw(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    return scratch_product(bytes, l, n, limits, BM_CONV_DW);
}

static bm_status launch_dx(bm_launcher *l, const bm_node *n)
{
    if (((const bm_conv *)n->attrs)->o.groups == 1) return launch_products(l, n, BM_CONV_DX);
    bm_arg args[3 + N_SIZES] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[DX_DY])), bm_arg_mem(bm_launcher_mem(l, n->inputs[DX_W])),
                                bm_arg_mem(bm_launcher_mem(l, n->outputs[0]))};
    return launch_group(l, n, "group_dx", args, 3);
}

static bm_status launch_dw(bm_launcher *l, const bm_node *n)
{
    if (((const bm_conv *)n->attrs)->o.groups == 1) return launch_products(l, n, BM_CONV_DW);
    bm_arg args[4 + N_SIZES] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[DW_DY])), bm_arg_mem(bm_launcher_mem(l, n->inputs[DW_X])),
                                bm_arg_mem(bm_launcher_mem(l, n->outputs[0])), bm_arg_i32(n->inputs[DW_ACC] != NULL)};
    return launch_group(l, n, "group_dw", args, 4);
}

static const bm_op op_dx = {.name = "conv2d_dx", .attrs_bytes = sizeof(bm_conv), .infer = infer_dx, .cost = cost_gradient,
                            .scratch = scratch_dx, .launch = launch_dx};
static const bm_op op_dw = {.name = "conv2d_dw", .attrs_bytes = sizeof(bm_conv), .infer = infer_dw, .cost = cost_gradient,
                            .scratch = scratch_dw, .launch = launch_dw};

/* ---- forward ---- */

static bm_status infer(bm_graph *g, bm_node *n)
{
    const bm_conv *c = n->attrs;
    const bm_shape y = BM_SHAPE(c->B, c->Ho, c->Wo, c->O);
    bm_node_output(g, n, c->type, y);
    if (c->act != BM_ACT_NONE && c->act != BM_ACT_RELU) bm_node_output_optional(g, n, c->type, y);
    return bm_graph_status(g);
}

static bm_cost cost(const bm_node *n)
{
    return cost_product(n, (n->inputs[IN_B] ? 1 : 0) + (((const bm_conv *)n->attrs)->act ? 10 : 0));
}

static bm_status scratch(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    return scratch_product(bytes, l, n, limits, BM_CONV_FORWARD);
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    if (((const bm_conv *)n->attrs)->o.groups == 1) return launch_products(l, n, BM_CONV_FORWARD);
    bm_arg args[5 + N_SIZES] = {bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_X])), bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_W])),
                                bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_B])), bm_arg_mem(bm_launcher_mem(l, n->outputs[OUT_Y])),
                                bm_arg_mem(keeps_pre(n) ? bm_launcher_mem(l, n->outputs[OUT_PRE]) : NULL)};
    return launch_group(l, n, "group_forward", args, 5);
}

/* The derivative of ReLU is known from what it made. */
static void gradient(bm_graph *g, bm_node *n)
{
    bm_value *x = n->inputs[IN_X], *w = n->inputs[IN_W], *b = n->inputs[IN_B], *d = bm_grad_of(g, n->outputs[OUT_Y]);
    bm_conv c = *(const bm_conv *)n->attrs;
    d = bm_ops_activate_backward(g, d, n->outputs[n->n_outputs > OUT_PRE ? OUT_PRE : OUT_Y], c.act);
    c.act = BM_ACT_NONE;
    if (bm_grad_wanted(g, w)) {
        c.type = bm_grad_dtype(w);
        bm_value *const in[N_DW] = {d, x, bm_grad_take(g, w)};
        bm_grad_add(g, w, bm_node_first(bm_node_create(g, &op_dw, &c, in, N_DW, 1u << DW_ACC)));
    }
    if (b) bm_ops_grad_rows(g, b, d);
    if (bm_grad_wanted(g, x)) {
        c.type = bm_grad_dtype(x);
        bm_value *const in[N_DX] = {d, w};
        bm_grad_add(g, x, bm_node_first(bm_node_create(g, &op_dx, &c, in, N_DX, 0)));
    }
}

static const bm_op op_conv2d = {.name = "conv2d", .attrs_bytes = sizeof(bm_conv), .infer = infer, .gradient = gradient,
                                .cost = cost, .scratch = scratch, .launch = launch};

/* ---- the builder ---- */

static const char *const axes[] = {"height", "width"};

static bm_status check_opts(const bm_conv_opts *o)
{
    for (int i = 0; i < 2; i++) {
        if (o->stride[i] < 1) return bm_fail(BM_ERR_SHAPE, "conv2d: the stride of the %s is %lld", axes[i], (long long)o->stride[i]);
        if (o->pad[i] < 0) return bm_fail(BM_ERR_SHAPE, "conv2d: the padding of the %s is %lld", axes[i], (long long)o->pad[i]);
        if (o->dilation[i] < 1)
            return bm_fail(BM_ERR_SHAPE, "conv2d: the dilation of the %s is %lld", axes[i], (long long)o->dilation[i]);
    }
    return o->groups >= 1 ? BM_OK : bm_fail(BM_ERR_SHAPE, "conv2d: %lld groups", (long long)o->groups);
}

/* Positions along one axis. */
static bm_status count_positions(int64_t *out, const bm_value *x, const bm_value *w, const bm_conv_opts *o, int axis)
{
    const int64_t size = x->shape.dim[1 + axis], kernel = w->shape.dim[1 + axis];
    int64_t reach, padded;
    if (bm_mul_i64(&reach, kernel - 1, o->dilation[axis]) || bm_mul_i64(&padded, 2, o->pad[axis]) ||
        bm_add_i64(&padded, padded, size) || padded - 1 < reach)
        return bm_fail(BM_ERR_SHAPE, "conv2d: the %s of %s, %lld with %lld of padding on both sides, is less than a kernel of %lld, %lld apart",
                       axes[axis], x->name, (long long)size, (long long)o->pad[axis], (long long)kernel, (long long)o->dilation[axis]);
    *out = (padded - 1 - reach) / o->stride[axis] + 1;
    return BM_OK;
}

static bm_status want_image(const bm_value *v, const char *is)
{
    BM_TRY(bm_ops_want_float(v));
    int fits = v->shape.rank == 4;
    for (int i = 0; fits && i < 4; i++) fits = v->shape.dim[i] > 0;
    char text[BM_SHAPE_TEXT];
    return fits ? BM_OK : bm_fail(BM_ERR_SHAPE, "conv2d: %s is %s, not %s", v->name, bm_shape_text(&v->shape, text, sizeof text), is);
}

static bm_status measure(bm_conv *c, const bm_value *x, const bm_value *w, const bm_value *b)
{
    BM_TRY(check_opts(&c->o));
    BM_TRY(want_image(x, "[B, H, W, C] without a 0"));
    BM_TRY(want_image(w, "[O, kh, kw, C / groups] without a 0"));
    const int64_t *s = x->shape.dim, *k = w->shape.dim, groups = c->o.groups;
    c->B = s[0], c->H = s[1], c->W = s[2], c->C = s[3];
    c->O = k[0], c->kh = k[1], c->kw = k[2];
    if (c->C % groups || c->O % groups || k[3] != c->C / groups)
        return bm_fail(BM_ERR_SHAPE, "conv2d: %lld channels of %s and %lld outputs of %lld channels of %s do not fit in %lld groups",
                       (long long)c->C, x->name, (long long)c->O, (long long)k[3], w->name, (long long)groups);
    if (b) BM_TRY(bm_ops_want_type(b, x->dtype));
    if (b) BM_TRY(bm_ops_want_vector(b, c->O));
    BM_TRY(count_positions(&c->Ho, x, w, &c->o, 0));
    return count_positions(&c->Wo, x, w, &c->o, 1);
}

static int is_linear(const bm_conv *c)
{
    return c->kh == 1 && c->kw == 1 && c->o.groups == 1 && c->o.stride[0] == 1 && c->o.stride[1] == 1 && !c->o.pad[0] && !c->o.pad[1];
}

bm_conv_opts bm_conv_opts_default(void)
{
    return (bm_conv_opts){.stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
}

bm_value *bm_conv2d(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, bm_activation act, const bm_conv_opts *o)
{
    bm_conv c = {.o = o ? *o : bm_conv_opts_default(), .act = act, .type = x ? x->dtype : BM_F32};
    const bm_status s = x && w ? measure(&c, x, w, b) : BM_OK;
    if (s) return bm_graph_fail(g, s);
    if (x && w && is_linear(&c)) return bm_linear(g, x, bm_reshape(g, w, BM_SHAPE(c.O, c.C)), b, act);
    bm_value *const in[N_IN] = {x, w, b};
    return bm_node_first(bm_node_create(g, &op_conv2d, &c, in, N_IN, 1u << IN_B));
}
