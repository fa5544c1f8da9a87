#include "core/graph/graph_priv.h"

static const bm_value *base_of(const bm_value *v)
{
    while (v->view_of) v = v->view_of;
    return v;
}

static void add_value(bm_str *out, const bm_value *v)
{
    char shape[BM_SHAPE_TEXT];
    bm_str_addf(out, "%%%d %s %s", v->id, bm_dtype_name(v->dtype), bm_shape_text(&v->shape, shape, sizeof shape));
}

static const char *const places[BM_PLACE_COUNT] = {"temp", "input", "weight", "grad", "state0", "state1", "state2", "half", "cache"};

void bm_graph_dump_text(const bm_graph *g, bm_str *out)
{
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        if (v->node || v->view_of) continue;
        add_value(out, v);
        bm_str_addf(out, " = %s %s\n", places[v->place], v->name);
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const bm_node *n = g->nodes[i];
        for (int j = 0; j < n->n_outputs; j++) {
            if (j) bm_str_add(out, ", ");
            add_value(out, n->outputs[j]);
            if (n->outputs[j]->bound) bm_str_addf(out, " -> grad %s", n->outputs[j]->bound->name);
        }
        bm_str_addf(out, " = %s(", n->op->name);
        for (int j = 0; j < n->n_inputs; j++) {
            if (j) bm_str_add(out, ", ");
            if (n->inputs[j]) bm_str_addf(out, "%%%d", base_of(n->inputs[j])->id);
            else bm_str_add(out, "-");
        }
        bm_str_addf(out, ")  # %s%s\n", n->name, n->block ? ", computed again for the gradient" : "");
    }
}

/* A text within DOT's double quotes. */
static void add_quoted(bm_str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') bm_str_add(out, "\\");
        bm_str_add_bytes(out, text, 1);
    }
}

void bm_graph_dump_dot(const bm_graph *g, bm_str *out)
{
    char shape[BM_SHAPE_TEXT];
    bm_str_add(out, "digraph bm {\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        if (v->node || v->view_of) continue;
        bm_str_addf(out, "  v%d [label=\"", v->id);
        add_quoted(out, v->name);
        bm_str_addf(out, "\\n%s %s\", style=filled, fillcolor=lightgrey];\n", bm_dtype_name(v->dtype),
                    bm_shape_text(&v->shape, shape, sizeof shape));
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const bm_node *n = g->nodes[i];
        bm_str_addf(out, "  n%d [label=\"", n->index);
        add_quoted(out, n->name);
        bm_str_add(out, "\"];\n");
        for (int j = 0; j < n->n_inputs; j++) {
            if (!n->inputs[j]) continue;
            const bm_value *v = base_of(n->inputs[j]);
            if (v->node) bm_str_addf(out, "  n%d -> n%d", v->node->index, n->index);
            else bm_str_addf(out, "  v%d -> n%d", v->id, n->index);
            bm_str_addf(out, " [label=\"%s\"];\n", bm_shape_text(&n->inputs[j]->shape, shape, sizeof shape));
        }
    }
    bm_str_add(out, "}\n");
}
