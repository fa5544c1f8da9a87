/* What the files of core/graph share. */
#ifndef BM_CORE_GRAPH_GRAPH_PRIV_H
#define BM_CORE_GRAPH_GRAPH_PRIV_H

#include "core/graph/graph.h"
#include "core/graph/op.h"

#define BM_SCOPE_DEPTH 16
#define BM_NAME_MOST 255

typedef struct bm_arena_block bm_arena_block;

/* What bm_graph_gradients knows of one value; indexed by value id. */
typedef struct bm_grad_slot {
    bm_value *d;    /* the gradient gathered so far */
    int is_one;     /* it is the constant 1 */
    int wanted;     /* something needs it */
    int keep;       /* bm_graph_want_gradient */
} bm_grad_slot;

struct bm_graph {
    bm_graph_opts opts;
    bm_error error; /* the first; status BM_OK while all is well */
    bm_arena_block *blocks;

    bm_value **values;
    int n_values, cap_values;
    bm_node **nodes;
    int n_nodes, cap_nodes;

    char scope[256];
    size_t scope_length[BM_SCOPE_DEPTH];
    int scope_depth;

    int block;    /* recompute block being built, 0 for none */
    int n_blocks;

    bm_grad_slot *slots; /* cap_slots of them; made by the first call that needs them */
    int cap_slots;
    int gradients_done;
    int n_forward; /* nodes there were before the gradients */
    bm_value *one; /* the constant 1, once needed */
};

/* Memory that lives as long as the graph; NULL with the graph's error set. Zeroed. */
void *bm_graph_alloc(bm_graph *g, size_t bytes);
const char *bm_graph_text(bm_graph *g, const char *fmt, ...) BM_PRINTF(2, 3);
/* A value that belongs to nothing yet. */
bm_value *bm_graph_new_value(bm_graph *g, bm_place place, bm_dtype t, const bm_shape *shape, const char *name);
bm_value *bm_graph_find(const bm_graph *g, bm_place place, const char *name);
int bm_graph_append_node(bm_graph *g, bm_node *n);
/* The value whose memory `v` has by views and by updates that must be in place. */
bm_value *bm_graph_storage(bm_value *v);
/* Sets node->live and value->used: a node lives when it has effects or a live use of an output. */
void bm_graph_mark_live(bm_graph *g);
/* What a node costs; nothing when it is not live. */
bm_cost bm_node_cost(const bm_node *n);
/* The gradient slot of a value; NULL with the graph's error set. */
bm_grad_slot *bm_graph_slot(bm_graph *g, const bm_value *v);

#endif
