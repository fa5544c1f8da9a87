/* Products of matrices, by the GEMM of cl/gemm.
 *
 *     linear    y = act(x W^T + b)                 x [.., K], W [N, K], b [N]; with dpre = dy act'(pre):
 *               dx = dpre W, dW = dpre^T x, db = the sum of dpre over its rows
 *               of W in 8 bits: y[.., n] = act(scale[n] (x W^T)[.., n] + b[n]), and no gradient
 *     matmul    C = op(A) op(B)                    [.., M, K] and [.., K, N], equal leading dimensions
 *
 * A gradient that others have begun is added to by the product itself (beta = 1). */
#include "cl/gemm/gemm.h"
#include "cl/ops/ops_priv.h"

/* ---- the product node: D (+)= op(A) op(B) ---- */

typedef struct product {
    int64_t m, n, k, batch;
    int trans_a, trans_b;
    bm_dtype dtype;
    bm_shape shape; /* of D */
} product;

enum { IN_A, IN_B, IN_ACC, N_IN };

static bm_gemm_desc product_desc(const bm_node *n)
{
    const product *p = n->attrs;
    bm_gemm_desc d = bm_gemm_desc_default(p->m, p->n, p->k);
    d.trans_a = p->trans_a;
    d.trans_b = p->trans_b;
    d.type_a = n->inputs[IN_A]->dtype;
    d.type_b = n->inputs[IN_B]->dtype;
    d.type_d = p->dtype;
    d.batch = p->batch;
    d.stride_a = p->m * p->k;
    d.stride_b = p->k * p->n;
    d.stride_d = p->m * p->n;
    d.beta = n->inputs[IN_ACC] ? 1.0f : 0.0f;
    return d;
}

static bm_status infer_product(bm_graph *g, bm_node *n)
{
    const product *p = n->attrs;
    BM_TRY(bm_ops_want_float(n->inputs[IN_A]));
    BM_TRY(bm_ops_want_float(n->inputs[IN_B]));
    bm_value *d = bm_node_output(g, n, p->dtype, p->shape);
    if (d && n->inputs[IN_ACC]) {
        BM_TRY(bm_ops_want_same(d, n->inputs[IN_ACC]));
        bm_node_inplace(n, 0, IN_ACC, BM_INPLACE_MUST);
    }
    return bm_graph_status(g);
}

static bm_cost cost_product(const bm_node *n)
{
    const bm_gemm_desc d = product_desc(n);
    bm_cost c = bm_ops_cost(n, 0);
    c.flops = bm_gemm_flops(&d);
    return c;
}

static int is_empty(const bm_gemm_desc *d)
{
    return d->m == 0 || d->n == 0 || d->batch == 0;
}

static bm_status scratch_product(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    const bm_gemm_desc d = product_desc(n);
    *bytes = 0;
    return is_empty(&d) ? BM_OK : bm_gemm_scratch(bytes, l, &d, limits);
}

static bm_status launch_product(bm_launcher *l, const bm_node *n)
{
    const bm_gemm_desc d = product_desc(n);
    if (is_empty(&d)) return BM_OK;
    const bm_gemm_args args = {.a = bm_launcher_mem(l, n->inputs[IN_A]), .b = bm_launcher_mem(l, n->inputs[IN_B]),
                               .d = bm_launcher_mem(l, n->outputs[0])};
    bm_gemm_launch(l, &d, &args, 0);
    return bm_launcher_status(l);
}

static void gradient_product(bm_graph *g, bm_node *n);

static const bm_op op_product = {.name = "matmul", .attrs_bytes = sizeof(product), .infer = infer_product,
                                 .gradient = gradient_product, .cost = cost_product, .scratch = scratch_product,
                                 .launch = launch_product};

static bm_value *product_of(bm_graph *g, bm_value *a, bm_value *b, bm_value *acc, const product *p)
{
    bm_value *const in[N_IN] = {a, b, acc};
    return bm_node_first(bm_node_create(g, &op_product, p, in, N_IN, 1u << IN_ACC));
}

/* dL/d(v) += op(a) op(b), laid out as v. */
static void grad_product(bm_graph *g, bm_value *v, bm_value *a, bm_value *b, product p)
{
    if (!bm_grad_wanted(g, v)) return;
    p.dtype = bm_grad_dtype(v);
    p.shape = v->shape;
    bm_grad_add(g, v, product_of(g, a, b, bm_grad_take(g, v), &p));
}

void bm_ops_grad_matrix(bm_graph *g, bm_value *w, bm_value *d, bm_value *x)
{
    if (!d || !x) return;
    grad_product(g, w, d, x, (product){.m = bm_ops_last(d), .n = bm_ops_last(x), .k = bm_ops_rows(x), .batch = 1, .trans_a = 1});
}

/* Of C = op(A) op(B): the derivative of op(A) is dC op(B)^T, of op(B) op(A)^T dC; a transposed operand takes the transpose. */
static void gradient_product(bm_graph *g, bm_node *n)
{
    const product *p = n->attrs;
    bm_value *d = bm_grad_of(g, n->outputs[0]), *a = n->inputs[IN_A], *b = n->inputs[IN_B];
    product da = {.m = p->m, .n = p->k, .k = p->n, .batch = p->batch, .trans_a = 0, .trans_b = !p->trans_b};
    product db = {.m = p->k, .n = p->n, .k = p->m, .batch = p->batch, .trans_a = !p->trans_a, .trans_b = 0};
    if (p->trans_a) da = (product){.m = p->k, .n = p->m, .k = p->n, .batch = p->batch, .trans_a = p->trans_b, .trans_b = 1};
    if (p->trans_b) db = (product){.m = p->n, .n = p->k, .k = p->m, .batch = p->batch, .trans_a = 1, .trans_b = p->trans_a};
    grad_product(g, a, p->trans_a ? b : d, p->trans_a ? d : b, da);
    grad_product(g, b, p->trans_b ? d : a, p->trans_b ? a : d, db);
}

static bm_value *refuse(bm_graph *g, const bm_value *a, const bm_value *b, const char *what)
{
    char x[BM_SHAPE_TEXT], y[BM_SHAPE_TEXT];
    return bm_graph_fail(g, bm_fail(BM_ERR_SHAPE, "%s: %s is %s and %s is %s", what, a->name,
                                    bm_shape_text(&a->shape, x, sizeof x), b->name, bm_shape_text(&b->shape, y, sizeof y)));
}

bm_value *bm_matmul(bm_graph *g, bm_value *a, bm_value *b, int trans_a, int trans_b)
{
    if (!a || !b) return product_of(g, a, b, NULL, NULL);
    const int rank = a->shape.rank;
    int fits = rank >= 2 && b->shape.rank == rank;
    for (int i = 0; fits && i < rank - 2; i++) fits = a->shape.dim[i] == b->shape.dim[i];
    if (!fits) return refuse(g, a, b, "matmul takes equal leading dimensions");
    const int64_t *da = &a->shape.dim[rank - 2], *db = &b->shape.dim[rank - 2];
    product p = {.m = da[trans_a ? 1 : 0], .k = da[trans_a ? 0 : 1], .n = db[trans_b ? 0 : 1], .batch = 1,
                 .trans_a = trans_a != 0, .trans_b = trans_b != 0, .dtype = a->dtype, .shape = a->shape};
    if (db[trans_b ? 1 : 0] != p.k || a->dtype != b->dtype) return refuse(g, a, b, "matmul");
    for (int i = 0; i < rank - 2; i++) p.batch *= a->shape.dim[i];
    p.shape.dim[rank - 2] = p.m;
    p.shape.dim[rank - 1] = p.n;
    return product_of(g, a, b, NULL, &p);
}

/* ---- linear ---- */

enum { LINEAR_X, LINEAR_W, LINEAR_B, LINEAR_SCALE, N_LINEAR };
enum { OUT_Y, OUT_PRE };

static int keeps_pre(const bm_node *n)
{
    return n->n_outputs > OUT_PRE && n->outputs[OUT_PRE]->used;
}

static bm_gemm_desc linear_desc(const bm_node *n)
{
    const bm_value *x = n->inputs[LINEAR_X], *w = n->inputs[LINEAR_W];
    bm_gemm_desc d = bm_gemm_desc_default(bm_ops_rows(x), w->shape.dim[0], w->shape.dim[1]);
    d.trans_b = 1;
    d.type_a = d.type_d = x->dtype;
    d.type_b = w->dtype;
    d.has_scale = n->inputs[LINEAR_SCALE] != NULL;
    d.has_bias = n->inputs[LINEAR_B] != NULL;
    d.act = *(const bm_activation *)n->attrs;
    d.has_pre = keeps_pre(n);
    return d;
}

static bm_status infer_linear(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[LINEAR_X], *w = n->inputs[LINEAR_W], *b = n->inputs[LINEAR_B];
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_float_or_scaled(w));
    if (x->shape.rank < 1 || w->shape.rank != 2 || w->shape.dim[1] != bm_ops_last(x)) {
        refuse(g, x, w, "linear takes [.., K] and [N, K]");
        return bm_graph_status(g);
    }
    if (b) BM_TRY(bm_ops_want_type(b, x->dtype));
    if (b) BM_TRY(bm_ops_want_vector(b, w->shape.dim[0]));
    bm_shape y = x->shape;
    y.dim[y.rank - 1] = w->shape.dim[0];
    bm_node_output(g, n, x->dtype, y);
    if (*(const bm_activation *)n->attrs != BM_ACT_NONE) bm_node_output_optional(g, n, x->dtype, y);
    return bm_graph_status(g);
}

static bm_cost cost_linear(const bm_node *n)
{
    const bm_gemm_desc d = linear_desc(n);
    bm_cost c = bm_ops_cost(n, (n->inputs[LINEAR_B] ? 1 : 0) + (d.act ? 10 : 0));
    c.flops += bm_gemm_flops(&d);
    return c;
}

static bm_status scratch_linear(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    const bm_gemm_desc d = linear_desc(n);
    *bytes = 0;
    return is_empty(&d) ? BM_OK : bm_gemm_scratch(bytes, l, &d, limits);
}

static bm_status launch_linear(bm_launcher *l, const bm_node *n)
{
    const bm_gemm_desc d = linear_desc(n);
    if (is_empty(&d)) return BM_OK;
    const bm_gemm_args args = {.a = bm_launcher_mem(l, n->inputs[LINEAR_X]), .b = bm_launcher_mem(l, n->inputs[LINEAR_W]),
                               .d = bm_launcher_mem(l, n->outputs[OUT_Y]), .bias = bm_launcher_mem(l, n->inputs[LINEAR_B]),
                               .pre = d.has_pre ? bm_launcher_mem(l, n->outputs[OUT_PRE]) : NULL,
                               .scale = bm_launcher_mem(l, n->inputs[LINEAR_SCALE])};
    bm_gemm_launch(l, &d, &args, 0);
    return bm_launcher_status(l);
}

static void gradient_linear(bm_graph *g, bm_node *n)
{
    bm_value *x = n->inputs[LINEAR_X], *w = n->inputs[LINEAR_W], *b = n->inputs[LINEAR_B], *d = bm_grad_of(g, n->outputs[OUT_Y]);
    const int64_t rows = bm_ops_rows(x), out = w->shape.dim[0], in = w->shape.dim[1];
    if (bm_ops_ends_gradient(g, w)) return;
    if (n->n_outputs > OUT_PRE)
        d = bm_ops_activate_backward(g, d, n->outputs[OUT_PRE], *(const bm_activation *)n->attrs);
    bm_ops_grad_matrix(g, w, d, x);
    if (b) bm_ops_grad_rows(g, b, d);
    grad_product(g, x, d, w, (product){.m = rows, .n = in, .k = out, .batch = 1});
}

static const bm_op op_linear = {.name = "linear", .attrs_bytes = sizeof(bm_activation), .infer = infer_linear,
                                .gradient = gradient_linear, .cost = cost_linear, .scratch = scratch_linear,
                                .launch = launch_linear};

bm_value *bm_linear(bm_graph *g, bm_value *x, bm_value *w, bm_value *b, bm_activation act)
{
    bm_value *const in[N_LINEAR] = {x, w, b, w ? w->scale : NULL};
    return bm_node_first(bm_node_create(g, &op_linear, &act, in, N_LINEAR, 1u << LINEAR_B | 1u << LINEAR_SCALE));
}
