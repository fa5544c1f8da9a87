/* Reverse-mode differentiation: walks the nodes from last to first and lets each op's rule append the gradients of its inputs.
 *
 * A value's slot holds the gradient gathered so far. One value may sit in several slots (the gradient of a + b is the same for
 * both); grad_refs counts them, so that nothing is accumulated in place where another slot still needs the old contents. */
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_priv.h"

bm_grad_slot *bm_graph_slot(bm_graph *g, const bm_value *v)
{
    while (v->view_of) v = v->view_of;
    int id = v->origin->id;
    if (id >= g->cap_slots) {
        int cap = g->n_values + g->n_values / 2 + 64;
        bm_grad_slot *p = bm_realloc(g->slots, (size_t)cap, sizeof *p);
        if (!p) {
            bm_graph_fail(g, BM_ERR_MEMORY);
            return NULL;
        }
        memset(p + g->cap_slots, 0, (size_t)(cap - g->cap_slots) * sizeof *p);
        g->slots = p;
        g->cap_slots = cap;
    }
    return &g->slots[id];
}

/* Gradients are kept in the shape of the value itself, seen through a reshape where a view is asked about. */
static bm_value *as_shape(bm_graph *g, bm_value *d, const bm_value *v)
{
    return bm_reshape(g, d, v->shape);
}

static const bm_value *base_of(const bm_value *v)
{
    while (v->view_of) v = v->view_of;
    return v->origin;
}

static void hold(bm_grad_slot *s, bm_value *d)
{
    s->d = d;
    bm_graph_storage(d)->grad_refs++;
}

static void release(bm_grad_slot *s)
{
    if (s->d) bm_graph_storage(s->d)->grad_refs--;
    s->d = NULL;
}

static bm_value *constant_one(bm_graph *g, bm_dtype t)
{
    const float one = 1.0f;
    char data[sizeof(double)];
    bm_status s = bm_convert_floats(data, t, &one, BM_F32, 1);
    return s ? bm_graph_fail(g, s) : bm_graph_constant(g, "gradient/one", t, BM_SHAPE(1), data);
}

/* Whether the memory of a gradient may be changed: it was made for being one, and no other slot needs its contents. A rule may
 * also hand on a forward value (d(ab)/da = b) or the constant 1, which others read. */
static int owned(const bm_graph *g, bm_value *d)
{
    const bm_value *root = bm_graph_storage(d);
    while (d->view_of) d = d->view_of;
    int made = d->node ? d->node->index >= g->n_forward && d->origin == d : d->place == BM_PLACE_GRAD;
    return made && (root->place == BM_PLACE_TEMP || root->place == BM_PLACE_GRAD) && root->grad_refs <= 1;
}

bm_value *bm_grad_of(bm_graph *g, const bm_value *output)
{
    bm_grad_slot *s = output && !g->error.status ? bm_graph_slot(g, output) : NULL;
    if (!s) return NULL;
    if (s->is_one) {
        if (!g->one) g->one = constant_one(g, output->dtype);
        return g->one ? as_shape(g, g->one, output) : NULL;
    }
    return s->d ? as_shape(g, s->d, output) : NULL;
}

int bm_grad_is_one(bm_graph *g, const bm_value *output)
{
    bm_grad_slot *s = output ? bm_graph_slot(g, output) : NULL;
    return s && s->is_one;
}

bm_dtype bm_grad_dtype(const bm_value *input)
{
    return base_of(input)->dtype;
}

int bm_grad_wanted(bm_graph *g, const bm_value *input)
{
    bm_grad_slot *s = input ? bm_graph_slot(g, input) : NULL;
    return s && s->wanted;
}

void bm_grad_add(bm_graph *g, bm_value *input, bm_value *d)
{
    if (!input || !d || g->error.status) return;
    if (bm_shape_elements(&d->shape) != bm_shape_elements(&input->shape) || d->dtype != bm_grad_dtype(input)) {
        char have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
        bm_graph_fail(g, bm_fail(BM_ERR_SHAPE, "the gradient %s %s %s of %s %s %s has another shape or type", d->name,
                                 bm_dtype_name(d->dtype), bm_shape_text(&d->shape, have, sizeof have), input->name,
                                 bm_dtype_name(bm_grad_dtype(input)), bm_shape_text(&input->shape, want, sizeof want)));
        return;
    }
    bm_grad_slot *s = bm_graph_slot(g, input);
    if (!s || !s->wanted) return;
    d = as_shape(g, d, base_of(input));
    if (!s->d) {
        if (d) hold(s, d);
        return;
    }
    if (!g->opts.add) {
        bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s: gradients add up, but the graph was given no add", input->name));
        return;
    }
    bm_value *before = s->d;
    release(s);
    bm_value *sum = g->opts.add(g, before, d);
    if (sum) hold(s, sum);
}

bm_value *bm_grad_take(bm_graph *g, bm_value *input)
{
    bm_grad_slot *s = input && !g->error.status ? bm_graph_slot(g, input) : NULL;
    if (!s || !s->d) return NULL;
    bm_value *d = s->d;
    int copy = !owned(g, d);
    release(s);
    if (copy) d = g->opts.copy ? g->opts.copy(g, d) : NULL;
    if (!d) {
        bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s: its gradient must be copied, but the graph was given no copy",
                                 input->name));
        return NULL;
    }
    return as_shape(g, d, input);
}

void bm_graph_want_gradient(bm_graph *g, bm_value *v)
{
    bm_grad_slot *s = v && !g->error.status ? bm_graph_slot(g, v) : NULL;
    if (s) s->keep = 1;
}

bm_value *bm_graph_gradient(bm_graph *g, bm_value *v)
{
    return v ? bm_grad_of(g, v) : NULL;
}

/* Marks every value whose gradient something needs: parameters, values asked for, and what depends on them. */
static void mark_wanted(bm_graph *g, int n_nodes)
{
    for (int i = 0; i < g->n_values && !g->error.status; i++) {
        bm_value *v = g->values[i];
        bm_grad_slot *s = bm_graph_slot(g, v);
        if (s && (v->place == BM_PLACE_WEIGHT || s->keep)) s->wanted = bm_dtype_is_float(v->dtype);
    }
    for (int i = 0; i < n_nodes && !g->error.status; i++) {
        bm_node *n = g->nodes[i];
        int any = 0;
        for (int j = 0; j < n->n_inputs; j++) any |= bm_grad_wanted(g, n->inputs[j]);
        if (!any || !n->op->gradient) continue;
        for (int j = 0; j < n->n_outputs; j++) {
            bm_grad_slot *s = bm_graph_slot(g, n->outputs[j]);
            if (s) s->wanted = bm_dtype_is_float(n->outputs[j]->dtype);
        }
    }
}

/* Whether a node changes memory that others see, so that running it again would change it again. */
static int is_update(const bm_node *n)
{
    int updates = n->op->effects;
    for (int j = 0; j < n->n_outputs; j++)
        updates |= n->inplace[j].mode == BM_INPLACE_MUST && n->inputs[n->inplace[j].input];
    return updates;
}

/* Builds the nodes [first, last) of one block again; twin[i - first] is the node that repeats node i, or node i itself
 * where that must not run twice. */
static void repeat_block(bm_graph *g, bm_node **twin, int first, int last, int block)
{
    for (int i = first; i < last && !g->error.status; i++) {
        bm_node *n = g->nodes[i];
        twin[i - first] = n;
        if (is_update(n)) continue;
        bm_node *t = bm_graph_alloc(g, sizeof *t);
        if (!t) return;
        *t = *n;
        t->block = 0;
        t->n_outputs = 0;
        for (int j = 0; j < n->n_inputs; j++) {
            bm_value *v = n->inputs[j], *base = v;
            while (base && base->view_of) base = base->view_of;
            if (!base || !base->node || base->node->block != block) continue;
            bm_value *again = twin[base->node->index - first]->outputs[base->output];
            t->inputs[j] = v == base ? again : bm_reshape(g, again, v->shape);
        }
        for (int j = 0; j < n->n_outputs; j++) {
            bm_value *v = bm_node_output(g, t, n->outputs[j]->dtype, n->outputs[j]->shape);
            if (!v) return;
            v->optional = n->outputs[j]->optional;
            v->origin = n->outputs[j];
        }
        if (bm_graph_append_node(g, t)) return;
        twin[i - first] = t;
    }
}

static void differentiate_node(bm_graph *g, bm_node *n)
{
    int flows = 0, wanted = 0;
    for (int j = 0; j < n->n_outputs; j++) {
        bm_grad_slot *s = bm_graph_slot(g, n->outputs[j]);
        if (!s) return;
        flows |= s->d || s->is_one;
    }
    for (int j = 0; j < n->n_inputs; j++) wanted |= bm_grad_wanted(g, n->inputs[j]);
    if (flows && wanted && n->op->gradient) {
        char scope[sizeof g->scope];
        memcpy(scope, g->scope, sizeof scope);
        const char *slash = strrchr(n->name, '/');
        size_t length = slash ? (size_t)(slash - n->name) + 1 : 0;
        if (length < sizeof g->scope) {
            memcpy(g->scope, n->name, length);
            g->scope[length] = 0;
        }
        n->op->gradient(g, n);
        memcpy(g->scope, scope, sizeof scope);
    }
    for (int j = 0; j < n->n_outputs && !g->error.status; j++) {
        bm_grad_slot *s = bm_graph_slot(g, n->outputs[j]);
        if (s && !s->keep) release(s);
    }
}

/* From the last node to the first; a block that is computed again is repeated just before its gradient. */
static void differentiate(bm_graph *g, int n_nodes)
{
    bm_node **twin = bm_calloc((size_t)n_nodes + 1, sizeof *twin);
    if (!twin) {
        bm_graph_fail(g, BM_ERR_MEMORY);
        return;
    }
    int last = n_nodes;
    while (last > 0 && !g->error.status) {
        int first = last - 1, block = g->nodes[first]->block;
        if (block) {
            while (first > 0 && g->nodes[first - 1]->block == block) first--;
            repeat_block(g, twin, first, last, block);
        } else {
            twin[0] = g->nodes[first];
        }
        for (int i = last - 1; i >= first && !g->error.status; i--) differentiate_node(g, twin[i - first]);
        last = first;
    }
    bm_free(twin);
}

/* Gives the gradient of every parameter its place in the GRAD bank. */
static void bind_parameters(bm_graph *g, int n_values)
{
    for (int i = 0; i < n_values && !g->error.status; i++) {
        bm_value *p = g->values[i];
        if (p->place != BM_PLACE_WEIGHT || p->view_of) continue;
        bm_grad_slot *s = bm_graph_slot(g, p);
        bm_value *grad = bm_graph_find(g, BM_PLACE_GRAD, p->name);
        if (!s || !s->d || !grad) continue;
        bm_value *root = bm_graph_storage(s->d);
        if (root == grad) {
            s->d->is_gradient = 1;
            continue;
        }
        if (!owned(g, s->d)) {
            if (!g->opts.copy) {
                bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s: its gradient must be copied, but the graph was given no copy",
                                         p->name));
                return;
            }
            bm_value *copy = g->opts.copy(g, s->d);
            release(s);
            if (!copy) return;
            hold(s, copy);
            root = bm_graph_storage(copy);
        }
        root->bound = grad;
        s->d->is_gradient = 1;
    }
}

bm_status bm_graph_gradients(bm_graph *g, bm_value *loss)
{
    if (g->error.status) return bm_graph_status(g);
    if (!loss) return bm_fail(BM_ERR_USAGE, "gradients of a loss that is missing");
    if (g->gradients_done) return bm_fail(BM_ERR_USAGE, "a graph takes its gradients once");
    if (bm_shape_elements(&loss->shape) != 1 || !bm_dtype_is_float(loss->dtype))
        return bm_fail(BM_ERR_SHAPE, "%s: a loss has one floating-point element", loss->name);
    if (!base_of(loss)->node) return bm_fail(BM_ERR_USAGE, "%s: a loss is computed by the graph", loss->name);
    if (g->block) return bm_fail(BM_ERR_USAGE, "a recompute block was not ended before the gradients");
    g->gradients_done = 1;
    int n_nodes = g->n_forward = g->n_nodes, n_values = g->n_values;
    mark_wanted(g, n_nodes);
    for (int i = 0; i < n_values && !g->error.status; i++) {
        bm_value *p = g->values[i];
        if (p->place != BM_PLACE_WEIGHT || p->view_of || !bm_grad_wanted(g, p)) continue;
        bm_value *grad = bm_graph_new_value(g, BM_PLACE_GRAD, p->dtype, &p->shape, p->name);
        bm_grad_slot *s = grad ? bm_graph_slot(g, p) : NULL;
        if (s && g->opts.accumulate) hold(s, grad);
    }
    bm_grad_slot *s = g->error.status ? NULL : bm_graph_slot(g, loss);
    if (s) {
        s->is_one = 1;
        differentiate(g, n_nodes);
        bind_parameters(g, n_values);
    }
    return bm_graph_status(g);
}
