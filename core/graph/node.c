#include <string.h>

#include "core/graph/graph_priv.h"

bm_node *bm_node_create(bm_graph *g, const bm_op *op, const void *attrs, bm_value *const *inputs, int n_inputs,
                        unsigned optional)
{
    if (g->error.status) return NULL;
    if (n_inputs > BM_MAX_INPUTS) {
        bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s%s has more than %d inputs", g->scope, op->name, BM_MAX_INPUTS));
        return NULL;
    }
    for (int i = 0; i < n_inputs; i++) {
        if (inputs[i] || (optional >> i & 1u)) continue;
        bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s%s: operand %d is missing", g->scope, op->name, i));
        return NULL;
    }
    bm_node *n = bm_graph_alloc(g, sizeof *n);
    if (!n) return NULL;
    n->op = op;
    n->n_inputs = n_inputs;
    n->block = g->block;
    if (n_inputs) memcpy(n->inputs, inputs, (size_t)n_inputs * sizeof *inputs);
    n->name = bm_graph_text(g, "%s%s", g->scope, op->name);
    if (!n->name) return NULL;
    if (op->attrs_bytes) {
        void *copy = bm_graph_alloc(g, op->attrs_bytes);
        if (!copy) return NULL;
        memcpy(copy, attrs, op->attrs_bytes);
        n->attrs = copy;
    }
    if (bm_graph_append_node(g, n)) return NULL;
    bm_status s = op->infer(g, n);
    if (s) bm_graph_fail(g, bm_fail_prefix(s, "%s", n->name));
    return g->error.status ? NULL : n;
}

bm_value *bm_node_first(bm_node *n)
{
    return n ? n->outputs[0] : NULL;
}

bm_value *bm_node_output(bm_graph *g, bm_node *n, bm_dtype t, bm_shape shape)
{
    if (n->n_outputs == BM_MAX_OUTPUTS)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s has more than %d outputs", n->name, BM_MAX_OUTPUTS));
    const char *name = n->n_outputs ? bm_graph_text(g, "%s:%d", n->name, n->n_outputs) : n->name;
    bm_value *v = name ? bm_graph_new_value(g, BM_PLACE_TEMP, t, &shape, name) : NULL;
    if (!v) return NULL;
    v->node = n;
    v->output = n->n_outputs;
    n->outputs[n->n_outputs++] = v;
    return v;
}

bm_value *bm_node_output_optional(bm_graph *g, bm_node *n, bm_dtype t, bm_shape shape)
{
    bm_value *v = bm_node_output(g, n, t, shape);
    if (v) v->optional = 1;
    return v;
}

void bm_node_inplace(bm_node *n, int output, int input, bm_inplace mode)
{
    n->inplace[output].mode = mode;
    n->inplace[output].input = input;
}
