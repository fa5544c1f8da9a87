/* Ops in double that run on the host: graphs of them are planned and differentiated like any other, and run by the
 * interpreters of fake_run.h. */
#ifndef BM_TESTS_LIB_FAKE_H
#define BM_TESTS_LIB_FAKE_H

#include "core/graph/graph.h"
#include "core/graph/op.h"

/* What every op of these is. */
typedef struct fake_op {
    bm_op op;
    /* Operands and results; an absent one is NULL. A result that shares an operand's memory has its address. */
    void (*compute)(const bm_node *n, double *const *in, double *const *out, double *scratch);
} fake_op;

/* Graph options whose add may write into its first operand. */
bm_graph_opts fake_opts(int accumulate);
/* An empty graph with these. */
bm_graph *fake_graph(int accumulate);

/* Element by element, equal shapes; each may write into its first operand. */
bm_value *fake_add(bm_graph *g, bm_value *a, bm_value *b); /* the gradient of both is one value */
bm_value *fake_mul(bm_graph *g, bm_value *a, bm_value *b); /* its gradient reads both; that of a product that is the loss is b and a */
bm_value *fake_scale(bm_graph *g, bm_value *a, double s);
bm_value *fake_tanh(bm_graph *g, bm_value *a); /* its gradient reads the result */
bm_value *fake_sin(bm_graph *g, bm_value *a);  /* its gradient reads the operand */
bm_value *fake_copy(bm_graph *g, bm_value *a);
/* x [R, K], w [N, K], b [N] or NULL -> x w^T + b, [R, N]. Never in place; gradients are accumulated by the op itself. */
bm_value *fake_linear(bm_graph *g, bm_value *x, bm_value *w, bm_value *b);
/* x / (1 + mean(x^2)) over all elements; the mean is an optional second output that its gradient reads. Uses scratch. */
bm_value *fake_norm(bm_graph *g, bm_value *x);
/* Two results of one node: sin and cos of x. */
bm_value *fake_sincos(bm_graph *g, bm_value **cosine, bm_value *x);
/* Sum of all elements, [1]. */
bm_value *fake_sum(bm_graph *g, bm_value *x);
/* sum of log cosh(x), [1]; the gradient takes the place of x, which nothing else may read later. */
bm_value *fake_log_cosh(bm_graph *g, bm_value *x);
/* cache += x, in place. */
bm_value *fake_update(bm_graph *g, bm_value *cache, bm_value *x);
/* A node without outputs, with effects. It counts its runs in *runs (by either interpreter). */
bm_node *fake_effect(bm_graph *g, bm_value *x, int *runs);
/* An op that declares what the test says; not to be run. */
typedef struct fake_any_attrs {
    int n_outputs;
    bm_inplace mode[BM_MAX_OUTPUTS];
    int input[BM_MAX_OUTPUTS];
    int optional[BM_MAX_OUTPUTS];
    bm_shape shape[BM_MAX_OUTPUTS];
    int64_t scratch;
    bm_status scratch_status, infer_status;
} fake_any_attrs;
bm_node *fake_any(bm_graph *g, const fake_any_attrs *attrs, bm_value *const *inputs, int n_inputs);

#endif
