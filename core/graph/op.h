/* The interface of an op: what cl/ops/NAME.c implements. */
#ifndef BM_CORE_GRAPH_OP_H
#define BM_CORE_GRAPH_OP_H

#include "core/device/device.h"
#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BM_MAX_INPUTS 12
#define BM_MAX_OUTPUTS 6

typedef struct bm_node bm_node;
typedef struct bm_launcher bm_launcher; /* core/graph/launch.h */

/* How output j may share the memory of an input. */
typedef enum bm_inplace {
    BM_INPLACE_NO,
    BM_INPLACE_MAY, /* the plan decides: when that input is not read later */
    BM_INPLACE_MUST /* the op updates that input (accumulation, key/value cache) */
} bm_inplace;

struct bm_value {
    bm_node *node; /* that makes it; NULL for inputs, parameters, caches */
    int output;    /* which output of the node */
    bm_place place;
    bm_dtype dtype;
    bm_shape shape;
    const char *name;
    int group;     /* parameters */
    int id;        /* position in the graph's list of values */
    bm_value *view_of; /* reshape: the value whose memory this is; else NULL */
    bm_value *bound;   /* a tensor of a bank whose memory this value takes (gradients of parameters); else NULL */
    bm_value *origin;  /* of a value that is computed again: the one that it repeats; of a copy: its parameter; else itself */
    bm_value *scale;   /* of a matrix in 8 bits (bm_graph_param_scaled): what its rows are multiplied by; else NULL */
    const void *data;  /* a constant's bytes, owned by the graph */
    int optional;      /* an output that is not computed when nothing uses it */
    int is_output;     /* bm_graph_output */
    int is_gradient;   /* the last contribution to a parameter's gradient */
    int used;          /* live nodes that read it, plus 1 for an output or a gradient of a parameter; set by planning */
    int grad_refs;     /* gradient slots that hold it */
};

struct bm_node {
    const bm_op *op;
    const void *attrs; /* op->attrs_bytes bytes, owned by the graph */
    int n_inputs, n_outputs;
    bm_value *inputs[BM_MAX_INPUTS]; /* NULL for an optional operand that is absent */
    bm_value *outputs[BM_MAX_OUTPUTS];
    struct {
        bm_inplace mode;
        int input;
    } inplace[BM_MAX_OUTPUTS];
    const char *name; /* "h3/attn/linear" */
    int block;        /* recompute block, 0 for none */
    int index;        /* position in the graph's order */
    int live;         /* something uses what it makes; set by planning */
};

struct bm_op {
    const char *name; /* "linear" */
    size_t attrs_bytes;

    /* Shape rule. Checks inputs and attributes and declares every output, in order, by bm_node_output(); marks in-place by
     * bm_node_inplace(). Fails by bm_fail(BM_ERR_SHAPE, ...). */
    bm_status (*infer)(bm_graph *g, bm_node *n);

    /* Gradient rule: builds the gradients of the inputs from those of the outputs, by bm_grad_*(). NULL: none flows. */
    void (*gradient)(bm_graph *g, bm_node *n);

    /* Operations and bytes; NULL counts no flops and each operand once. */
    bm_cost (*cost)(const bm_node *n);

    /* Temporary bytes that the launches need besides inputs and outputs, on a device with these limits. The launcher has no
     * engine when planning without a device: then the answer must equal what such a device would need. NULL: none. */
    bm_status (*scratch)(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits);

    /* Adds the launches of this node, arguments bound. */
    bm_status (*launch)(bm_launcher *l, const bm_node *n);

    /* Effects other than its outputs (an update of a bank): the node stays although nothing uses its outputs. */
    int effects;
};

/* ---- building a node; used by the bm_xxx() builder of each op ---- */

/* Makes a node of `op` and runs its shape rule. `inputs` may hold NULL only where the bit of `optional` is set: any
 * other NULL means that an earlier call failed, and nothing is built. Returns the node, or NULL with the graph's error set. */
BM_API bm_node *bm_node_create(bm_graph *g, const bm_op *op, const void *attrs, bm_value *const *inputs, int n_inputs,
                               unsigned optional);
/* Shortcut: the only (or first) output, or NULL. */
BM_API bm_value *bm_node_first(bm_node *n);

/* In a shape rule: the next output. */
BM_API bm_value *bm_node_output(bm_graph *g, bm_node *n, bm_dtype t, bm_shape shape);
/* The next output, computed only if something uses it (saved statistics, pre-activations). */
BM_API bm_value *bm_node_output_optional(bm_graph *g, bm_node *n, bm_dtype t, bm_shape shape);
BM_API void bm_node_inplace(bm_node *n, int output, int input, bm_inplace mode);
/* Keeps the first error of a builder that fails before it makes a node; always returns NULL. */
BM_API bm_value *bm_graph_fail(bm_graph *g, bm_status s);

/* ---- gradient rules ---- */

/* dL/d(output) of the node, or NULL when nothing flows through it. */
BM_API bm_value *bm_grad_of(bm_graph *g, const bm_value *output);
/* Whether dL/d(output) is the constant 1 that a gradient starts from; bm_grad_of() is NULL then. */
BM_API int bm_grad_is_one(bm_graph *g, const bm_value *output);
/* The type of dL/d(input): the input's own, or that of the parameter that it is a 16-bit copy of. */
BM_API bm_dtype bm_grad_dtype(const bm_value *input);
/* Whether anything needs dL/d(input). */
BM_API int bm_grad_wanted(bm_graph *g, const bm_value *input);
/* Adds a contribution to dL/d(input). */
BM_API void bm_grad_add(bm_graph *g, bm_value *input, bm_value *d);
/* For ops that can accumulate by themselves: takes the gradient gathered so far (NULL if none) as `acc`. The op then builds a
 * node whose output must share acc's memory and holds the sum, and hands it back by bm_grad_add. With a NULL acc it writes. */
BM_API bm_value *bm_grad_take(bm_graph *g, bm_value *input);

#ifdef __cplusplus
}
#endif
#endif
