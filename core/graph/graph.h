/* A graph describes a computation: values made by ops from other values. Building never touches a device, so a model of any
 * size can be built and planned anywhere. A graph belongs to one thread at a time.
 *
 * Builders are sticky: a failed call returns NULL, calls given NULL return NULL, and the graph keeps the first error, which
 * bm_graph_status() returns. Model code reads like the formula and checks once.
 */
#ifndef BM_CORE_GRAPH_GRAPH_H
#define BM_CORE_GRAPH_GRAPH_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "core/base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_graph bm_graph;
typedef struct bm_value bm_value; /* owned by its graph */
typedef struct bm_op bm_op;

/* Where a value lives.
 *   TEMP       made by a node; the plan gives it an offset for its lifetime
 *   INPUT      written by the host before a run; kept between runs
 *   OUTPUT     a TEMP that the host may read after a run (bm_graph_output)
 *   WEIGHT...  a tensor of a bank (bm_bank): it outlives plans and is shared by them, found by name
 */
typedef enum bm_place {
    BM_PLACE_TEMP,
    BM_PLACE_INPUT,
    BM_PLACE_WEIGHT,
    BM_PLACE_GRAD,   /* the gradient of the weight of the same name */
    BM_PLACE_STATE0, /* optimizer state: Adam's m */
    BM_PLACE_STATE1, /* Adam's v */
    BM_PLACE_STATE2,
    BM_PLACE_AVERAGE, /* the mean of the weight of the same name over the updates */
    BM_PLACE_HALF,   /* the 16-bit copy of the weight of the same name */
    BM_PLACE_CACHE,  /* keys and values of decoding */
    BM_PLACE_COUNT
} bm_place;

typedef struct bm_graph_opts {
    /* How core adds and copies values where a gradient needs it; core knows no kernel, so these are handed in
     * (cl/ops has bm_graph_opts_with_ops()). */
    bm_value *(*add)(bm_graph *g, bm_value *a, bm_value *b); /* may write into a */
    bm_value *(*copy)(bm_graph *g, bm_value *a);
    /* Gradients of weights add to what the GRAD bank holds instead of replacing it (micro-batches). */
    int accumulate;
} bm_graph_opts;

BM_API bm_status bm_graph_create(bm_graph **out, const bm_graph_opts *opts);
BM_API void bm_graph_destroy(bm_graph *g);
/* The first error of any builder (its detail becomes the thread's error again), or BM_OK. */
BM_API bm_status bm_graph_status(bm_graph *g);

/* Values that no op makes. Names are unique within a place and have 1 to 255 characters. `shape` is checked. */
BM_API bm_value *bm_graph_input(bm_graph *g, const char *name, bm_dtype t, bm_shape shape);
/* A named parameter, "h0/attn/qkv/weight"; asking again for the same name and shape gives the same value (tied weights).
 * Parameters of one `group` lie side by side in their bank, so that an optimizer treats a group with one launch: group 0 is
 * decayed, group 1 is not. Order within a group is order of declaration. */
#define BM_MAX_GROUPS 64
BM_API bm_value *bm_graph_param(bm_graph *g, const char *name, bm_dtype t, bm_shape shape, int group);
/* A matrix [N, K] that is only read, kept in 8 bits: the i8 parameter `name` and the f32 parameter "NAME/scale" [N] of the same
 * group stand for w[n, k] = scale[n] q[n, k] (bm_row_to_i8 makes both). Returns the i8 value. Ops that know it (bm_linear,
 * bm_embedding, bm_embedding_positions) read the scales too; other ops and bm_reshape refuse it, and so do gradients. */
BM_API bm_value *bm_graph_param_scaled(bm_graph *g, const char *name, bm_shape shape, int group);
/* The parameters, in the order of their first declaration; of those there are. */
BM_API int bm_graph_params(const bm_graph *g);
BM_API bm_value *bm_graph_param_at(const bm_graph *g, int i);
/* The parameter of that name, or NULL. */
BM_API bm_value *bm_graph_param_find(const bm_graph *g, const char *name);
/* The 16-bit copy, f16 or bf16, of an f32 parameter, for ops to read in its stead. The copy lies in the HALF bank; who changes
 * the parameter writes it. Its gradient is the parameter's, in f32. */
BM_API bm_value *bm_graph_half(bm_graph *g, bm_value *param, bm_dtype t);
/* The copy of the parameter of that name, or NULL. */
BM_API bm_value *bm_graph_half_find(const bm_graph *g, const char *name);
/* Data that the plan uploads once; copied into the graph. */
BM_API bm_value *bm_graph_constant(bm_graph *g, const char *name, bm_dtype t, bm_shape shape, const void *data);
BM_API bm_value *bm_graph_cache(bm_graph *g, const char *name, bm_dtype t, bm_shape shape);

/* The host may read `v` after a run: it keeps its memory to the end of the plan. Returns v. */
BM_API bm_value *bm_graph_output(bm_graph *g, bm_value *v, const char *name);

/* The same memory under another shape of as many elements. Differentiable. */
BM_API bm_value *bm_reshape(bm_graph *g, bm_value *v, bm_shape shape);

/* Nodes built between begin and end are computed again for the gradient instead of being kept (Chen et al. 2016,
 * "Training Deep Nets with Sublinear Memory Cost"). Blocks do not nest. Call before bm_graph_gradients. */
BM_API void bm_graph_recompute_begin(bm_graph *g);
BM_API void bm_graph_recompute_end(bm_graph *g);

/* Appends the gradient of the one-element value `loss` with respect to every parameter that it depends on; the results
 * lie in the GRAD bank. Once per graph. */
BM_API bm_status bm_graph_gradients(bm_graph *g, bm_value *loss);
/* After bm_graph_gradients: dL/dv for an input or a value (marked by bm_graph_want_gradient before); NULL if nothing flows. */
BM_API void bm_graph_want_gradient(bm_graph *g, bm_value *v);
BM_API bm_value *bm_graph_gradient(bm_graph *g, bm_value *v);

/* The name of a scope is put before names of nodes made inside it, for dumps, profiles and errors: "h3/attn". */
BM_API void bm_graph_scope_push(bm_graph *g, const char *fmt, ...) BM_PRINTF(2, 3);
BM_API void bm_graph_scope_pop(bm_graph *g);

BM_API const bm_shape *bm_value_shape(const bm_value *v);
BM_API bm_dtype bm_value_dtype(const bm_value *v);
BM_API const char *bm_value_name(const bm_value *v);
BM_API int bm_value_group(const bm_value *v); /* of a parameter */
BM_API bm_value *bm_value_scale(const bm_value *v); /* the scales of a matrix in 8 bits; NULL of other values */

/* Floating-point operations and bytes moved by all nodes whose results are used, as their ops count them. */
typedef struct bm_cost {
    double flops; /* a multiply-add counts two */
    double bytes; /* read + written, each operand once */
} bm_cost;
BM_API bm_cost bm_graph_cost(bm_graph *g);
/* Each of those nodes, in order: its name, the last part of which is its op's, and its cost. */
BM_API void bm_graph_each_cost(bm_graph *g, void (*see)(void *user, const char *node, bm_cost c), void *user);
/* The least seconds on a device of these rates: max(flops / flop rate, bytes / byte rate) (Williams, Waterman & Patterson 2009,
 * "Roofline"). */
BM_API double bm_cost_least_s(bm_cost c, double flops_per_s, double bytes_per_s);

/* One line per node; Graphviz' DOT. */
BM_API void bm_graph_dump_text(const bm_graph *g, bm_str *out);
BM_API void bm_graph_dump_dot(const bm_graph *g, bm_str *out);

#ifdef __cplusplus
}
#endif
#endif
