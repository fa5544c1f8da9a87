/* What the files of cl/ops share: checks of operands, launches of the usual kind, and builders that only gradients need. */
#ifndef BM_CL_OPS_OPS_PRIV_H
#define BM_CL_OPS_OPS_PRIV_H

#include "cl/ops/ops.h"
#include "core/graph/bank.h"
#include "core/graph/launch.h"
#include "core/graph/op.h"

/* ---- shape rules ---- */

/* BM_ERR_SHAPE unless v has a storage type of kernels: f32, f16, bf16. */
bm_status bm_ops_want_float(const bm_value *v);
/* The same, or a matrix of scaled i8. */
bm_status bm_ops_want_float_or_scaled(const bm_value *v);
bm_status bm_ops_want_type(const bm_value *v, bm_dtype t);
/* Equal types and shapes. */
bm_status bm_ops_want_same(const bm_value *a, const bm_value *b);
/* v is [n]. */
bm_status bm_ops_want_vector(const bm_value *v, int64_t n);

static inline int64_t bm_ops_elements(const bm_value *v) { return bm_shape_elements(&v->shape); }
static inline int64_t bm_ops_rows(const bm_value *v) { return bm_shape_rows(&v->shape); }
static inline int64_t bm_ops_last(const bm_value *v) { return bm_shape_last(&v->shape); }

/* One group of the parameters that a graph has declared so far. */
typedef struct bm_ops_group {
    int index, tensors;
    bm_dtype dtype; /* of all of them */
    bm_dtype half;  /* of their 16-bit copies; BM_F32: they have none */
    int64_t elements;
} bm_ops_group;
bm_status bm_ops_group_of(bm_ops_group *out, bm_graph *g, int group);

/* ---- costs ---- */

/* Bytes of every operand once, and `each` operations for each element of the first output. */
bm_cost bm_ops_cost(const bm_node *n, double each);

/* ---- launches (cl/lib/grid.clh) ---- */

#define BM_OPS_OPTIONS 128
/* "-DCPU=1 -DSTORAGE=2", and what `fmt` adds, into buf; returns buf. */
const char *bm_ops_options(char buf[BM_OPS_OPTIONS], const bm_launcher *l, bm_dtype storage);
const char *bm_ops_options_with(char buf[BM_OPS_OPTIONS], const bm_launcher *l, bm_dtype storage, const char *fmt, ...)
    BM_PRINTF(4, 5);
/* Kernels that use FLAT: `n` elements over work-items. k has all but its sizes. */
void bm_ops_launch_flat(bm_launcher *l, bm_kernel_launch *k, int64_t n);
/* Kernels over rows: `groups` work-groups. */
void bm_ops_launch_groups(bm_launcher *l, bm_kernel_launch *k, int64_t groups);
/* How many rows of n elements a work-group does (`each` of ROWS). */
int64_t bm_ops_rows_each(const bm_launcher *l, int64_t n);

/* ---- builders ---- */

bm_value *bm_ops_fill(bm_graph *g, bm_dtype t, bm_shape shape, float x);
/* Values of `d` spread over `shape`, times `factor`: the one element of a [1] f32, a row [N] over all rows, or a column [..]
 * over the last dimension. Type of d, or t for a scalar. */
bm_value *bm_ops_expand_scalar(bm_graph *g, bm_value *d, bm_dtype t, bm_shape shape, float factor);
bm_value *bm_ops_expand_row(bm_graph *g, bm_value *d, bm_shape shape, float factor);
bm_value *bm_ops_expand_column(bm_graph *g, bm_value *d, bm_shape shape, float factor);
/* d f'(x), elementwise; it may take d's memory. */
bm_value *bm_ops_activate_backward(bm_graph *g, bm_value *d, bm_value *x, bm_activation act);
/* Whether v is scaled i8, through which no gradient goes: the graph fails. For gradient rules. */
int bm_ops_ends_gradient(bm_graph *g, const bm_value *v);
/* dL/d(x) += the sum of d over all leading dimensions; x [N]. */
void bm_ops_grad_rows(bm_graph *g, bm_value *x, bm_value *d);
/* dL/d(w) += d^T x over all leading dimensions; w [N, K], d [.., N], x [.., K]. */
void bm_ops_grad_matrix(bm_graph *g, bm_value *w, bm_value *d, bm_value *x);

/* ---- losses (cl/ops/loss.c): of a node whose first input is what was predicted ---- */

enum { BM_OPS_LOSS, BM_OPS_LOSS_ROWS, BM_OPS_LOSS_DX }; /* its outputs */
/* Declares them: [1] and [rows] f32, and the gradient, which may take the memory of the input. */
bm_status bm_ops_loss_outputs(bm_graph *g, bm_node *n, int64_t rows);
/* Its gradient rule. */
void bm_ops_loss_gradient(bm_graph *g, bm_node *n);
/* The last launch: the loss from those of the rows. */
void bm_ops_launch_loss_sum(bm_launcher *l, const bm_node *n);
/* What its builder returns, n NULL if it failed; *rows (may be NULL) gets the losses of the rows. */
bm_value *bm_ops_loss_of(bm_node *n, bm_value **rows);

/* ---- sums ---- */

/* How many partial sums the first stage of a sum of n elements makes. */
int64_t bm_ops_partials(int64_t n);

/* ---- sums over rows, for ops that end in one ---- */

/* Rows of one chunk; a function of the number of rows alone. There are at most BM_OPS_CHUNKS chunks. */
#define BM_OPS_CHUNKS 256
int64_t bm_ops_chunk_rows(int64_t rows);
/* y [n] of type t (+)= sum over the rows of partials [rows, n] f32. */
void bm_ops_launch_rows_last(bm_launcher *l, cl_mem partials, cl_mem y, bm_dtype t, int64_t rows, int64_t n, int add);

#endif
