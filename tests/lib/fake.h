/* Ops in double that run on the host, and two interpreters of the graphs made of them: one that gives every value memory of its
 * own, and one that puts them where a memory plan says. The first is the oracle of the second: what the plan lets overlap
 * wrongly shows as wrong numbers. */
#ifndef BM_TESTS_LIB_FAKE_H
#define BM_TESTS_LIB_FAKE_H

#include "core/graph/graph.h"
#include "core/graph/memplan.h"
#include "core/graph/op.h"

/* Graph options whose add may write into its first operand. */
bm_graph_opts fake_opts(int accumulate);

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

/* The memory of what outlives a run: inputs, parameters, gradients, caches, found by place and name. */
typedef struct fake_store fake_store;
fake_store *fake_store_create(void);
void fake_store_destroy(fake_store *s);
/* The elements of a value without a node; zeros (a constant's data) when first asked for. */
double *fake_data(fake_store *s, const bm_value *v);
/* The gradient of a parameter. */
double *fake_grad(fake_store *s, const bm_value *param);

typedef struct fake_run fake_run;
/* Memory for running g, reusable. With `plan`, by its offsets, dead memory filled with NaN; without, a buffer per value. */
fake_run *fake_run_create(bm_graph *g, const bm_memplan *plan);
void fake_run_destroy(fake_run *r);
/* Runs the first n_nodes nodes (-1: all) on the memory of s; the gradients of parameters land in s. */
void fake_run_nodes(fake_run *r, fake_store *s, int n_nodes);
/* The elements of a value after a run; NULL when it was not computed. */
const double *fake_read(const fake_run *r, const bm_value *v);

#endif
