#include "core/graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_priv.h"

#define ARENA_BLOCK_BYTES 32768
#define ARENA_ALIGN 16

struct bm_arena_block {
    bm_arena_block *next;
    size_t used, capacity; /* of the bytes that follow */
};

static size_t arena_header(void)
{
    return (sizeof(bm_arena_block) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

void *bm_graph_alloc(bm_graph *g, size_t bytes)
{
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    bm_arena_block *b = g->blocks;
    if (!b || b->capacity - b->used < bytes) {
        size_t capacity = bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES;
        b = bm_calloc(1, arena_header() + capacity);
        if (!b) {
            bm_graph_fail(g, BM_ERR_MEMORY);
            return NULL;
        }
        b->capacity = capacity;
        b->next = g->blocks;
        g->blocks = b;
    }
    void *p = (char *)b + arena_header() + b->used;
    b->used += bytes;
    return p;
}

const char *bm_graph_text(bm_graph *g, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t n = strlen(text) + 1;
    char *copy = bm_graph_alloc(g, n);
    if (copy) memcpy(copy, text, n);
    return copy;
}

bm_status bm_graph_create(bm_graph **out, const bm_graph_opts *opts)
{
    *out = NULL;
    bm_graph *g = bm_calloc(1, sizeof *g);
    if (!g) return BM_ERR_MEMORY;
    if (opts) g->opts = *opts;
    *out = g;
    return BM_OK;
}

void bm_graph_destroy(bm_graph *g)
{
    if (!g) return;
    while (g->blocks) {
        bm_arena_block *next = g->blocks->next;
        bm_free(g->blocks);
        g->blocks = next;
    }
    bm_free(g->values);
    bm_free(g->nodes);
    bm_free(g->slots);
    bm_free(g);
}

bm_status bm_graph_status(bm_graph *g)
{
    return g->error.status ? bm_error_restore(&g->error) : BM_OK;
}

bm_value *bm_graph_fail(bm_graph *g, bm_status s)
{
    if (!g->error.status && s) {
        if (bm_last_error()->status != s) bm_fail(s, "%s", bm_status_sentence(s));
        g->error = *bm_last_error();
    }
    return NULL;
}

/* Room for one more pointer in a growing array; 0 on success. */
static int grow(bm_graph *g, void **array, int n, int *cap)
{
    if (n < *cap) return 0;
    int more = *cap ? *cap * 2 : 64;
    void *p = bm_realloc(*array, (size_t)more, sizeof(void *));
    if (!p) {
        bm_graph_fail(g, BM_ERR_MEMORY);
        return -1;
    }
    *array = p;
    *cap = more;
    return 0;
}

bm_value *bm_graph_new_value(bm_graph *g, bm_place place, bm_dtype t, const bm_shape *shape, const char *name)
{
    bm_status s = bm_shape_check(shape, t);
    if (s) return bm_graph_fail(g, bm_fail_prefix(s, "%s", name ? name : "value"));
    void *array = g->values;
    if (grow(g, &array, g->n_values, &g->cap_values)) return NULL;
    g->values = array;
    bm_value *v = bm_graph_alloc(g, sizeof *v);
    if (!v) return NULL;
    v->place = place;
    v->dtype = t;
    v->shape = *shape;
    v->name = name;
    v->id = g->n_values;
    v->origin = v;
    g->values[g->n_values++] = v;
    return v;
}

int bm_graph_append_node(bm_graph *g, bm_node *n)
{
    void *array = g->nodes;
    if (grow(g, &array, g->n_nodes, &g->cap_nodes)) return -1;
    g->nodes = array;
    n->index = g->n_nodes;
    g->nodes[g->n_nodes++] = n;
    return 0;
}

/* The input that a value is an update of, or NULL. */
static bm_value *updated_input(const bm_value *v)
{
    if (!v->node || v->node->inplace[v->output].mode != BM_INPLACE_MUST) return NULL;
    return v->node->inputs[v->node->inplace[v->output].input];
}

bm_value *bm_graph_storage(bm_value *v)
{
    for (;;) {
        if (v->view_of) v = v->view_of;
        else if (updated_input(v)) v = updated_input(v);
        else return v;
    }
}

bm_value *bm_graph_find(const bm_graph *g, bm_place place, const char *name)
{
    for (int i = 0; i < g->n_values; i++) {
        bm_value *v = g->values[i];
        if (v->place == place && !v->node && !v->view_of && !strcmp(v->name, name)) return v;
    }
    return NULL;
}

/* A value that no op makes: the one there is, if it has this type and shape, else a new one. */
static bm_value *external(bm_graph *g, bm_place place, const char *name, bm_dtype t, const bm_shape *shape)
{
    if (g->error.status) return NULL;
    if (!*name || strlen(name) > BM_NAME_MOST)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "\"%.40s\": a name has 1 to %d characters", name, BM_NAME_MOST));
    bm_value *v = bm_graph_find(g, place, name);
    if (v) {
        if (v->dtype == t && bm_shape_equal(&v->shape, shape)) return v;
        char have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
        return bm_graph_fail(g, bm_fail(BM_ERR_SHAPE, "%s is declared twice, as %s %s and as %s %s", name,
                                        bm_dtype_name(v->dtype), bm_shape_text(&v->shape, have, sizeof have),
                                        bm_dtype_name(t), bm_shape_text(shape, want, sizeof want)));
    }
    const char *copy = bm_graph_text(g, "%s", name);
    return copy ? bm_graph_new_value(g, place, t, shape, copy) : NULL;
}

bm_value *bm_graph_input(bm_graph *g, const char *name, bm_dtype t, bm_shape shape)
{
    bm_value *v = external(g, BM_PLACE_INPUT, name, t, &shape);
    if (v && v->data)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s is declared as a constant and as an input", name));
    return v;
}

bm_value *bm_graph_constant(bm_graph *g, const char *name, bm_dtype t, bm_shape shape, const void *data)
{
    int before = g->n_values;
    bm_value *v = external(g, BM_PLACE_INPUT, name, t, &shape);
    if (!v) return NULL;
    size_t bytes = bm_shape_bytes(&shape, t);
    if (g->n_values == before) {
        if (v->data && !memcmp(v->data, data, bytes)) return v;
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s is declared twice, with %s", name,
                                        v->data ? "other data" : "and without data"));
    }
    void *copy = bm_graph_alloc(g, bytes ? bytes : 1);
    if (!copy) return NULL;
    if (bytes) memcpy(copy, data, bytes);
    v->data = copy;
    return v;
}

bm_value *bm_graph_param(bm_graph *g, const char *name, bm_dtype t, bm_shape shape, int group)
{
    int before = g->n_values;
    if (group < 0 || group >= BM_MAX_GROUPS)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s: there is no group %d of parameters", name, group));
    bm_value *v = external(g, BM_PLACE_WEIGHT, name, t, &shape);
    if (v && g->n_values > before) v->group = group;
    if (v && v->group != group)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s is declared in group %d and in group %d", name, v->group, group));
    return v;
}

bm_value *bm_graph_param_scaled(bm_graph *g, const char *name, bm_shape shape, int group)
{
    if (g->error.status) return NULL;
    if (shape.rank != 2)
        return bm_graph_fail(g, bm_fail(BM_ERR_SHAPE, "%s has %d dimensions; rows of a matrix can be scaled", name, shape.rank));
    bm_value *q = bm_graph_param(g, name, BM_I8, shape, group);
    const char *scale = q ? bm_graph_text(g, "%s/scale", name) : NULL;
    if (!scale) return NULL;
    q->scale = bm_graph_param(g, scale, BM_F32, BM_SHAPE(shape.dim[0]), group);
    return q->scale ? q : NULL;
}

bm_value *bm_graph_half(bm_graph *g, bm_value *param, bm_dtype t)
{
    if (!param || g->error.status) return NULL;
    if (param->place != BM_PLACE_WEIGHT || param->dtype != BM_F32 || !bm_dtype_is_float(t) || bm_dtype_size(t) != 2)
        return bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "%s, %s: a copy in %s is of an f32 parameter in f16 or bf16", param->name,
                                        bm_dtype_name(param->dtype), bm_dtype_name(t)));
    bm_value *v = external(g, BM_PLACE_HALF, param->name, t, &param->shape);
    if (!v) return NULL;
    v->group = param->group;
    v->origin = param;
    return v;
}

bm_value *bm_graph_half_find(const bm_graph *g, const char *name)
{
    return bm_graph_find(g, BM_PLACE_HALF, name);
}

int bm_graph_params(const bm_graph *g)
{
    int n = 0;
    for (int i = 0; i < g->n_values; i++) n += g->values[i]->place == BM_PLACE_WEIGHT;
    return n;
}

bm_value *bm_graph_param_at(const bm_graph *g, int i)
{
    for (int k = 0; k < g->n_values; k++)
        if (g->values[k]->place == BM_PLACE_WEIGHT && !i--) return g->values[k];
    return NULL;
}

bm_value *bm_graph_param_find(const bm_graph *g, const char *name)
{
    return bm_graph_find(g, BM_PLACE_WEIGHT, name);
}

bm_value *bm_graph_cache(bm_graph *g, const char *name, bm_dtype t, bm_shape shape)
{
    return external(g, BM_PLACE_CACHE, name, t, &shape);
}

bm_value *bm_graph_output(bm_graph *g, bm_value *v, const char *name)
{
    if (!v || g->error.status) return NULL;
    v->is_output = 1;
    if (name) {
        const char *copy = bm_graph_text(g, "%s", name);
        if (!copy) return NULL;
        if (v->place == BM_PLACE_TEMP) v->name = copy;
    }
    return v;
}

bm_value *bm_reshape(bm_graph *g, bm_value *v, bm_shape shape)
{
    if (!v || g->error.status) return NULL;
    if (bm_shape_check(&shape, v->dtype) || bm_shape_elements(&shape) != bm_shape_elements(&v->shape)) {
        char have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
        return bm_graph_fail(g, bm_fail(BM_ERR_SHAPE, "%s %s cannot be seen as %s", v->name,
                                        bm_shape_text(&v->shape, have, sizeof have),
                                        bm_shape_text(&shape, want, sizeof want)));
    }
    if (bm_shape_equal(&shape, &v->shape)) return v;
    if (v->scale)
        return bm_graph_fail(g, bm_fail(BM_ERR_UNSUPPORTED, "%s has scaled rows, which another shape does not have", v->name));
    bm_value *view = bm_graph_new_value(g, v->place, v->dtype, &shape, v->name);
    if (view) view->view_of = v;
    return view;
}

void bm_graph_recompute_begin(bm_graph *g)
{
    if (g->error.status) return;
    if (g->block) bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "recompute blocks do not nest"));
    else g->block = ++g->n_blocks;
}

void bm_graph_recompute_end(bm_graph *g)
{
    if (g->error.status) return;
    if (!g->block) bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "a recompute block ends that was not begun"));
    g->block = 0;
}

void bm_graph_scope_push(bm_graph *g, const char *fmt, ...)
{
    if (g->scope_depth >= BM_SCOPE_DEPTH) {
        bm_graph_fail(g, bm_fail(BM_ERR_USAGE, "more than %d scopes inside each other", BM_SCOPE_DEPTH));
        return;
    }
    size_t at = strlen(g->scope);
    g->scope_length[g->scope_depth++] = at;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(g->scope + at, sizeof g->scope - at, fmt, ap);
    va_end(ap);
    if (n < 0 || at + (size_t)n + 2 > sizeof g->scope) {
        g->scope[at] = 0; /* a scope that does not fit goes unnamed: names are for people */
        return;
    }
    strcat(g->scope, "/");
}

void bm_graph_scope_pop(bm_graph *g)
{
    if (g->scope_depth > 0) g->scope[g->scope_length[--g->scope_depth]] = 0;
}

const bm_shape *bm_value_shape(const bm_value *v)
{
    return &v->shape;
}

bm_dtype bm_value_dtype(const bm_value *v)
{
    return v->dtype;
}

const char *bm_value_name(const bm_value *v)
{
    return v->name;
}

int bm_value_group(const bm_value *v)
{
    return v->group;
}

bm_value *bm_value_scale(const bm_value *v)
{
    return v->scale;
}

static bm_cost operand_bytes(const bm_node *n)
{
    bm_cost c = {0, 0};
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i]) c.bytes += (double)bm_shape_bytes(&n->inputs[i]->shape, n->inputs[i]->dtype);
    for (int i = 0; i < n->n_outputs; i++)
        if (!n->outputs[i]->optional || n->outputs[i]->used) c.bytes += (double)bm_shape_bytes(&n->outputs[i]->shape, n->outputs[i]->dtype);
    return c;
}

bm_cost bm_node_cost(const bm_node *n)
{
    const bm_cost none = {0, 0};
    if (!n->live) return none;
    return n->op->cost ? n->op->cost(n) : operand_bytes(n);
}

void bm_graph_each_cost(bm_graph *g, void (*see)(void *user, const char *node, bm_cost c), void *user)
{
    bm_graph_mark_live(g);
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->live) see(user, g->nodes[i]->name, bm_node_cost(g->nodes[i]));
}

static void add_cost(void *user, const char *node, bm_cost c)
{
    bm_cost *sum = user;
    (void)node;
    sum->flops += c.flops;
    sum->bytes += c.bytes;
}

bm_cost bm_graph_cost(bm_graph *g)
{
    bm_cost sum = {0, 0};
    bm_graph_each_cost(g, add_cost, &sum);
    return sum;
}

double bm_cost_least_s(bm_cost c, double flops_per_s, double bytes_per_s)
{
    const double compute = c.flops / flops_per_s, move = c.bytes / bytes_per_s;
    return compute > move ? compute : move;
}
