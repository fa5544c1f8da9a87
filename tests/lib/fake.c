#include "tests/lib/fake.h"

#include <math.h>
#include <string.h>

#include "tests/lib/test.h"

static int64_t count(const bm_value *v) { return bm_shape_elements(&v->shape); }

static bm_value *make(bm_graph *g, const fake_op *op, const void *attrs, bm_value *const *in, int n, unsigned optional)
{
    return bm_node_first(bm_node_create(g, &op->op, attrs, in, n, optional));
}

static bm_status same_shapes(const bm_node *n)
{
    const bm_value *a = n->inputs[0], *b = n->inputs[1];
    if (bm_shape_equal(&a->shape, &b->shape)) return BM_OK;
    char x[BM_SHAPE_TEXT], y[BM_SHAPE_TEXT];
    return bm_fail(BM_ERR_SHAPE, "%s %s and %s %s differ", a->name, bm_shape_text(&a->shape, x, sizeof x), b->name,
                   bm_shape_text(&b->shape, y, sizeof y));
}

static bm_status infer_unary(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    return BM_OK;
}

static bm_status infer_binary(bm_graph *g, bm_node *n)
{
    BM_TRY(same_shapes(n));
    return infer_unary(g, n);
}

/* ---- add ---- */

static void compute_add(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = in[0][i] + in[1][i];
}

static void gradient_add(bm_graph *g, bm_node *n)
{
    bm_value *d = bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], d);
    bm_grad_add(g, n->inputs[1], d);
}

static const fake_op op_add = {{.name = "add", .infer = infer_binary, .gradient = gradient_add}, compute_add};

bm_value *fake_add(bm_graph *g, bm_value *a, bm_value *b)
{
    return make(g, &op_add, NULL, (bm_value *[]){a, b}, 2, 0);
}

/* ---- copy ---- */

static void compute_copy(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    memcpy(out[0], in[0], (size_t)count(n->outputs[0]) * sizeof(double));
}

static void gradient_copy(bm_graph *g, bm_node *n) { bm_grad_add(g, n->inputs[0], bm_grad_of(g, n->outputs[0])); }

static bm_status infer_copy(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, n->inputs[0]->shape);
    return BM_OK;
}

static const fake_op op_copy = {{.name = "copy", .infer = infer_copy, .gradient = gradient_copy}, compute_copy};

bm_value *fake_copy(bm_graph *g, bm_value *a) { return make(g, &op_copy, NULL, &a, 1, 0); }

bm_graph_opts fake_opts(int accumulate)
{
    return (bm_graph_opts){.add = fake_add, .copy = fake_copy, .accumulate = accumulate};
}

bm_graph *fake_graph(int accumulate)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = fake_opts(accumulate);
    test_ok(bm_graph_create(&g, &opts));
    return g;
}

/* ---- mul ---- */

static void compute_mul(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = in[0][i] * in[1][i];
}

static void gradient_mul(bm_graph *g, bm_node *n)
{
    bm_value *a = n->inputs[0], *b = n->inputs[1];
    int one = bm_grad_is_one(g, n->outputs[0]);
    bm_value *d = one ? NULL : bm_grad_of(g, n->outputs[0]);
    if (bm_grad_wanted(g, a)) bm_grad_add(g, a, one ? b : fake_mul(g, d, b));
    if (bm_grad_wanted(g, b)) bm_grad_add(g, b, one ? a : fake_mul(g, d, a));
}

static const fake_op op_mul = {{.name = "mul", .infer = infer_binary, .gradient = gradient_mul}, compute_mul};

bm_value *fake_mul(bm_graph *g, bm_value *a, bm_value *b)
{
    return make(g, &op_mul, NULL, (bm_value *[]){a, b}, 2, 0);
}

/* ---- scale ---- */

static void compute_scale(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    double s = *(const double *)n->attrs;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = s * in[0][i];
}

static void gradient_scale(bm_graph *g, bm_node *n)
{
    bm_grad_add(g, n->inputs[0], fake_scale(g, bm_grad_of(g, n->outputs[0]), *(const double *)n->attrs));
}

static const fake_op op_scale = {
    {.name = "scale", .attrs_bytes = sizeof(double), .infer = infer_unary, .gradient = gradient_scale}, compute_scale};

bm_value *fake_scale(bm_graph *g, bm_value *a, double s) { return make(g, &op_scale, &s, &a, 1, 0); }

/* ---- tanh: dx = d (1 - y^2) ---- */

static void compute_tanh(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = tanh(in[0][i]);
}

static void compute_tanh_gradient(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = in[0][i] * (1 - in[1][i] * in[1][i]);
}

static const fake_op op_tanh_gradient = {{.name = "tanh_gradient", .infer = infer_binary}, compute_tanh_gradient};

static void gradient_tanh(bm_graph *g, bm_node *n)
{
    bm_value *in[] = {bm_grad_of(g, n->outputs[0]), n->outputs[0]};
    bm_grad_add(g, n->inputs[0], make(g, &op_tanh_gradient, NULL, in, 2, 0));
}

static const fake_op op_tanh = {{.name = "tanh", .infer = infer_unary, .gradient = gradient_tanh}, compute_tanh};

bm_value *fake_tanh(bm_graph *g, bm_value *a) { return make(g, &op_tanh, NULL, &a, 1, 0); }

/* ---- sin: dx = d cos(x) ---- */

static void compute_sin(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = sin(in[0][i]);
}

static void compute_sin_gradient(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = in[0][i] * cos(in[1][i]);
}

static const fake_op op_sin_gradient = {{.name = "sin_gradient", .infer = infer_binary}, compute_sin_gradient};

static void gradient_sin(bm_graph *g, bm_node *n)
{
    bm_value *in[] = {bm_grad_of(g, n->outputs[0]), n->inputs[0]};
    bm_grad_add(g, n->inputs[0], make(g, &op_sin_gradient, NULL, in, 2, 0));
}

static const fake_op op_sin = {{.name = "sin", .infer = infer_unary, .gradient = gradient_sin}, compute_sin};

bm_value *fake_sin(bm_graph *g, bm_value *a) { return make(g, &op_sin, NULL, &a, 1, 0); }

/* ---- product: [acc +] op(A) op(B), the sum in acc's own memory; a NULL B counts the rows of A (the gradient of a bias) ---- */

typedef struct product_attrs {
    int64_t m, n, k;
    int trans_a, trans_b;
} product_attrs;

static void compute_product(const bm_node *node, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    const product_attrs *p = node->attrs;
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < p->k; l++)
                sum += in[0][p->trans_a ? l * p->m + i : i * p->k + l] *
                       (in[1] ? in[1][p->trans_b ? j * p->k + l : l * p->n + j] : 1);
            out[0][i * p->n + j] = in[2] ? in[2][i * p->n + j] + sum : sum;
        }
}

static bm_status infer_product(bm_graph *g, bm_node *n)
{
    const product_attrs *p = n->attrs;
    bm_node_output(g, n, BM_F64, n->inputs[2] ? n->inputs[2]->shape : BM_SHAPE(p->m, p->n));
    if (n->inputs[2]) bm_node_inplace(n, 0, 2, BM_INPLACE_MUST);
    return BM_OK;
}

static const fake_op op_product = {{.name = "product", .attrs_bytes = sizeof(product_attrs), .infer = infer_product},
                                   compute_product};

static void add_product(bm_graph *g, bm_value *to, bm_value *a, bm_value *b, const product_attrs *p)
{
    if (!to || !bm_grad_wanted(g, to)) return;
    bm_value *in[] = {a, b, bm_grad_take(g, to)};
    bm_grad_add(g, to, make(g, &op_product, p, in, 3, b ? 4u : 6u));
}

/* ---- linear ---- */

static void compute_linear(const bm_node *node, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    int64_t rows = node->inputs[0]->shape.dim[0], k = node->inputs[0]->shape.dim[1], n = node->inputs[1]->shape.dim[0];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = in[2] ? in[2][j] : 0;
            for (int64_t l = 0; l < k; l++) sum += in[0][i * k + l] * in[1][j * k + l];
            out[0][i * n + j] = sum;
        }
}

static void gradient_linear(bm_graph *g, bm_node *node)
{
    bm_value *x = node->inputs[0], *w = node->inputs[1], *d = bm_grad_of(g, node->outputs[0]);
    int64_t rows = x->shape.dim[0], k = x->shape.dim[1], n = w->shape.dim[0];
    add_product(g, x, d, w, &(product_attrs){rows, k, n, 0, 0});
    add_product(g, w, d, x, &(product_attrs){n, k, rows, 1, 0});
    add_product(g, node->inputs[2], d, NULL, &(product_attrs){n, 1, rows, 1, 0});
}

static bm_status infer_linear(bm_graph *g, bm_node *n)
{
    const bm_value *x = n->inputs[0], *w = n->inputs[1];
    char a[BM_SHAPE_TEXT], b[BM_SHAPE_TEXT];
    if (x->shape.rank != 2 || w->shape.rank != 2 || x->shape.dim[1] != w->shape.dim[1])
        return bm_fail(BM_ERR_SHAPE, "x %s does not fit the weight %s %s", bm_shape_text(&x->shape, a, sizeof a), w->name,
                       bm_shape_text(&w->shape, b, sizeof b));
    bm_node_output(g, n, BM_F64, BM_SHAPE(x->shape.dim[0], w->shape.dim[0]));
    return BM_OK;
}

static const fake_op op_linear = {{.name = "linear", .infer = infer_linear, .gradient = gradient_linear}, compute_linear};

bm_value *fake_linear(bm_graph *g, bm_value *x, bm_value *w, bm_value *b)
{
    return make(g, &op_linear, NULL, (bm_value *[]){x, w, b}, 3, b ? 0 : 4u);
}

/* ---- norm: y = x / (1 + m), m = mean(x^2); dx = d / (1 + m) - 2 x sum(d x) / (n (1 + m)^2) ---- */

static void spoil(double *scratch)
{
    for (int i = 0; i < 9; i++) scratch[i] = 1e77;
}

static bm_status scratch_norm(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    (void)l, (void)n, (void)limits;
    *bytes = 9 * (int64_t)sizeof(double);
    return BM_OK;
}

static void compute_norm(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    int64_t size = count(n->outputs[0]);
    spoil(scratch);
    scratch[8] = 0;
    for (int64_t i = 0; i < size; i++) scratch[8] += in[0][i] * in[0][i] / (double)size;
    if (out[1]) out[1][0] = scratch[8];
    for (int64_t i = 0; i < size; i++) out[0][i] = in[0][i] / (1 + scratch[8]);
    spoil(scratch);
}

static void compute_norm_gradient(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    int64_t size = count(n->outputs[0]);
    double m = in[2][0], dot = 0;
    spoil(scratch);
    for (int64_t i = 0; i < size; i++) dot += in[0][i] * in[1][i];
    for (int64_t i = 0; i < size; i++)
        out[0][i] = in[0][i] / (1 + m) - 2 * in[1][i] * dot / ((double)size * (1 + m) * (1 + m));
}

static const fake_op op_norm_gradient = {{.name = "norm_gradient", .infer = infer_unary, .scratch = scratch_norm},
                                         compute_norm_gradient};

static void gradient_norm(bm_graph *g, bm_node *n)
{
    bm_value *in[] = {bm_grad_of(g, n->outputs[0]), n->inputs[0], n->outputs[1]};
    bm_grad_add(g, n->inputs[0], make(g, &op_norm_gradient, NULL, in, 3, 0));
}

static bm_status infer_norm(bm_graph *g, bm_node *n)
{
    BM_TRY(infer_unary(g, n));
    bm_node_output_optional(g, n, BM_F64, BM_SHAPE(1));
    return BM_OK;
}

static const fake_op op_norm = {
    {.name = "norm", .infer = infer_norm, .gradient = gradient_norm, .scratch = scratch_norm}, compute_norm};

bm_value *fake_norm(bm_graph *g, bm_value *x) { return make(g, &op_norm, NULL, &x, 1, 0); }

/* ---- sincos: the gradient of either result may be absent ---- */

static void compute_sincos(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) {
        double x = in[0][i];
        if (out[0]) out[0][i] = sin(x);
        if (out[1]) out[1][i] = cos(x);
    }
}

static void gradient_sincos(bm_graph *g, bm_node *n)
{
    bm_value *s = bm_grad_of(g, n->outputs[0]), *c = bm_grad_of(g, n->outputs[1]);
    if (s) bm_grad_add(g, n->inputs[0], fake_mul(g, s, n->outputs[1]));
    if (c) bm_grad_add(g, n->inputs[0], fake_scale(g, fake_mul(g, c, n->outputs[0]), -1));
}

static bm_status infer_sincos(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, n->inputs[0]->shape);
    bm_node_output(g, n, BM_F64, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MAY);
    bm_node_inplace(n, 1, 0, BM_INPLACE_MAY);
    return BM_OK;
}

static const fake_op op_sincos = {{.name = "sincos", .infer = infer_sincos, .gradient = gradient_sincos}, compute_sincos};

bm_value *fake_sincos(bm_graph *g, bm_value **cosine, bm_value *x)
{
    bm_node *n = bm_node_create(g, &op_sincos.op, NULL, &x, 1, 0);
    *cosine = n ? n->outputs[1] : NULL;
    return bm_node_first(n);
}

/* ---- sum, and its gradient ---- */

static void compute_fill(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = in[0] ? in[0][0] : 1;
}

static bm_status infer_fill(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, *(const bm_shape *)n->attrs);
    return BM_OK;
}

static const fake_op op_fill = {{.name = "fill", .attrs_bytes = sizeof(bm_shape), .infer = infer_fill}, compute_fill};

static void compute_sum(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    double sum = 0;
    (void)scratch;
    for (int64_t i = 0; i < count(n->inputs[0]); i++) sum += in[0][i];
    out[0][0] = sum;
}

static void gradient_sum(bm_graph *g, bm_node *n)
{
    int one = bm_grad_is_one(g, n->outputs[0]);
    bm_value *d = one ? NULL : bm_grad_of(g, n->outputs[0]);
    bm_grad_add(g, n->inputs[0], make(g, &op_fill, &n->inputs[0]->shape, &d, 1, one ? 1u : 0));
}

static bm_status infer_sum(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, BM_SHAPE(1));
    return BM_OK;
}

static const fake_op op_sum = {{.name = "sum", .infer = infer_sum, .gradient = gradient_sum}, compute_sum};

bm_value *fake_sum(bm_graph *g, bm_value *x) { return make(g, &op_sum, NULL, &x, 1, 0); }

/* ---- log_cosh: dx = d tanh(x), written over x ---- */

static void compute_log_cosh(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    double sum = 0;
    (void)scratch;
    for (int64_t i = 0; i < count(n->inputs[0]); i++) sum += log(cosh(in[0][i]));
    out[0][0] = sum;
}

static void compute_log_cosh_gradient(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    double d = in[1][0];
    (void)scratch;
    for (int64_t i = 0; i < count(n->outputs[0]); i++) out[0][i] = d * tanh(in[0][i]);
}

static bm_status infer_log_cosh_gradient(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MUST);
    return BM_OK;
}

static const fake_op op_log_cosh_gradient = {{.name = "log_cosh_gradient", .infer = infer_log_cosh_gradient},
                                             compute_log_cosh_gradient};

static void gradient_log_cosh(bm_graph *g, bm_node *n)
{
    bm_value *in[] = {n->inputs[0], bm_grad_of(g, n->outputs[0])};
    bm_grad_add(g, n->inputs[0], make(g, &op_log_cosh_gradient, NULL, in, 2, 0));
}

static const fake_op op_log_cosh = {{.name = "log_cosh", .infer = infer_sum, .gradient = gradient_log_cosh},
                                    compute_log_cosh};

bm_value *fake_log_cosh(bm_graph *g, bm_value *x) { return make(g, &op_log_cosh, NULL, &x, 1, 0); }

/* ---- update ---- */

static bm_status infer_update(bm_graph *g, bm_node *n)
{
    BM_TRY(same_shapes(n));
    bm_node_output(g, n, BM_F64, n->inputs[0]->shape);
    bm_node_inplace(n, 0, 0, BM_INPLACE_MUST);
    return BM_OK;
}

static const fake_op op_update = {{.name = "update", .infer = infer_update}, compute_add};

bm_value *fake_update(bm_graph *g, bm_value *cache, bm_value *x)
{
    return make(g, &op_update, NULL, (bm_value *[]){cache, x}, 2, 0);
}

/* ---- effect ---- */

static void compute_effect(const bm_node *n, double *const *in, double *const *out, double *scratch)
{
    (void)in, (void)out, (void)scratch;
    ++**(int *const *)n->attrs;
}

static bm_status infer_effect(bm_graph *g, bm_node *n)
{
    (void)g, (void)n;
    return BM_OK;
}

static const fake_op op_effect = {
    {.name = "effect", .attrs_bytes = sizeof(int *), .infer = infer_effect, .effects = 1}, compute_effect};

bm_node *fake_effect(bm_graph *g, bm_value *x, int *runs) { return bm_node_create(g, &op_effect.op, &runs, &x, 1, 0); }

/* ---- any ---- */

static bm_status infer_any(bm_graph *g, bm_node *n)
{
    const fake_any_attrs *a = n->attrs;
    for (int i = 0; i < a->n_outputs; i++) {
        if (a->optional[i]) bm_node_output_optional(g, n, BM_F64, a->shape[i]);
        else bm_node_output(g, n, BM_F64, a->shape[i]);
        if (a->mode[i] != BM_INPLACE_NO) bm_node_inplace(n, i, a->input[i], a->mode[i]);
    }
    return a->infer_status ? bm_fail(a->infer_status, "refused by the test") : BM_OK;
}

static bm_status scratch_any(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    const fake_any_attrs *a = n->attrs;
    (void)l, (void)limits;
    *bytes = a->scratch;
    return a->scratch_status ? bm_fail(a->scratch_status, "no scratch today") : BM_OK;
}

static const fake_op op_any = {
    {.name = "any", .attrs_bytes = sizeof(fake_any_attrs), .infer = infer_any, .scratch = scratch_any}, NULL};

bm_node *fake_any(bm_graph *g, const fake_any_attrs *attrs, bm_value *const *inputs, int n_inputs)
{
    return bm_node_create(g, &op_any.op, attrs, inputs, n_inputs, 0);
}
