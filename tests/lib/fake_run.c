#include "tests/lib/fake_run.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "tests/lib/fake.h"
#include "tests/lib/test.h"

static int64_t count(const bm_value *v) { return bm_shape_elements(&v->shape); }

/* ---- what outlives a run ---- */

typedef struct entry {
    bm_place place;
    char *name;
    double *data;
} entry;

struct fake_store {
    entry entries[256];
    int n;
};

fake_store *fake_store_create(void) { return calloc(1, sizeof(fake_store)); }

void fake_store_destroy(fake_store *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->entries[i].name);
        free(s->entries[i].data);
    }
    free(s);
}

static double *find_data(fake_store *s, bm_place place, const bm_value *v)
{
    for (int i = 0; i < s->n; i++)
        if (s->entries[i].place == place && !strcmp(s->entries[i].name, v->name)) return s->entries[i].data;
    test_that(s->n < (int)(sizeof s->entries / sizeof s->entries[0]), "too many values");
    ck_assert_int_eq(v->dtype, BM_F64);
    entry *e = &s->entries[s->n++];
    e->place = place;
    e->name = strdup(v->name);
    e->data = calloc((size_t)count(v) + 1, sizeof(double));
    if (v->data) memcpy(e->data, v->data, (size_t)count(v) * sizeof(double));
    return e->data;
}

double *fake_data(fake_store *s, const bm_value *v)
{
    while (v->view_of) v = v->view_of;
    ck_assert_ptr_null(v->node);
    return find_data(s, v->place, v);
}

double *fake_grad(fake_store *s, const bm_value *param)
{
    while (param->view_of) param = param->view_of;
    return find_data(s, BM_PLACE_GRAD, param);
}

/* ---- the interpreters ---- */

struct fake_run {
    bm_graph *graph;
    const bm_memplan *plan;
    double **own;   /* value id -> its memory, without a plan */
    char **slabs;   /* with a plan */
    double **where; /* value id -> where it was found in the last run */
};

fake_run *fake_run_create(bm_graph *g, const bm_memplan *plan)
{
    fake_run *r = calloc(1, sizeof *r);
    r->graph = g;
    r->plan = plan;
    r->where = calloc((size_t)g->n_values + 1, sizeof *r->where);
    r->own = calloc((size_t)g->n_values + 1, sizeof *r->own);
    for (int i = 0; !plan && i < g->n_values; i++)
        if (g->values[i]->node) r->own[i] = calloc((size_t)count(g->values[i]) + 1, sizeof(double));
    if (plan) {
        r->slabs = calloc((size_t)plan->n_slabs + 1, sizeof *r->slabs);
        for (int i = 0; i < plan->n_slabs; i++) r->slabs[i] = malloc((size_t)plan->slab_bytes[i]);
    }
    return r;
}

void fake_run_destroy(fake_run *r)
{
    for (int i = 0; i < r->graph->n_values; i++) free(r->own[i]);
    for (int i = 0; r->plan && i < r->plan->n_slabs; i++) free(r->slabs[i]);
    free(r->slabs);
    free(r->own);
    free(r->where);
    free(r);
}

static double *storage_data(const fake_run *r, int i)
{
    const bm_storage *s = &r->plan->storages[i];
    test_that(s->offset >= 0, "a storage begins at %lld", (long long)s->offset);
    test_that(s->offset + s->bytes <= r->plan->slab_bytes[s->slab], "a storage ends beyond its slab");
    return (double *)(void *)(r->slabs[s->slab] + s->offset);
}

/* The memory of v by the plan, or NULL. */
static double *planned_data(const fake_run *r, fake_store *s, const bm_value *v)
{
    const bm_value *root = r->plan->root[v->id];
    if (!root) return NULL;
    if (root->place != BM_PLACE_TEMP) return find_data(s, root->place, root);
    int i = r->plan->of_value[root->id];
    if (i < 0) return NULL;
    test_that(count(v) * (int64_t)sizeof(double) <= r->plan->storages[i].bytes, "%s is larger than its storage", v->name);
    return storage_data(r, i);
}

static double *data_of(const fake_run *r, fake_store *s, const bm_value *v)
{
    if (!v) return NULL;
    if (r->plan) return planned_data(r, s, v);
    while (v->view_of) v = v->view_of;
    return v->node ? r->own[v->id] : find_data(s, v->place, v);
}

static void spoil_storage(const fake_run *r, int i)
{
    double *d = storage_data(r, i);
    for (int64_t j = 0; j < r->plan->storages[i].bytes / (int64_t)sizeof *d; j++) d[j] = NAN;
}

/* Without a plan a value has memory of its own even where it updates another: it starts as its copy. What is updated
 * outlives the run when it is a cache. */
static void update_own(const fake_run *r, fake_store *s, const bm_node *n, double **in, double **out, int before)
{
    for (int j = 0; !r->plan && j < n->n_outputs; j++) {
        int k = n->inplace[j].input;
        if (n->inplace[j].mode != BM_INPLACE_MUST || !n->inputs[k]) continue;
        size_t bytes = (size_t)count(n->outputs[j]) * sizeof(double);
        const bm_value *base = n->inputs[k];
        while (base->view_of) base = base->view_of;
        if (before) {
            memcpy(out[j], in[k], bytes);
            in[k] = out[j];
        } else if (base->place == BM_PLACE_CACHE) {
            memcpy(find_data(s, BM_PLACE_CACHE, base), out[j], bytes);
        }
    }
}

static void run_node(fake_run *r, fake_store *s, const bm_node *n)
{
    double *in[BM_MAX_INPUTS] = {0}, *out[BM_MAX_OUTPUTS] = {0}, own_scratch[9], *scratch = own_scratch;
    for (int j = 0; j < n->n_inputs; j++) in[j] = data_of(r, s, n->inputs[j]);
    for (int j = 0; j < n->n_outputs; j++) out[j] = data_of(r, s, n->outputs[j]);
    if (r->plan && r->plan->of_scratch[n->index] >= 0) scratch = storage_data(r, r->plan->of_scratch[n->index]);
    for (int j = 0; j < n->n_inputs; j++)
        test_that(!n->inputs[j] || in[j], "%s: operand %d has no memory", n->name, j);
    update_own(r, s, n, in, out, 1);
    ((const fake_op *)(const void *)n->op)->compute(n, in, out, scratch);
    update_own(r, s, n, in, out, 0);
    for (int j = 0; j < n->n_outputs; j++) r->where[n->outputs[j]->id] = out[j];
}

void fake_run_nodes(fake_run *r, fake_store *s, int n_nodes)
{
    bm_graph *g = r->graph;
    if (n_nodes < 0) n_nodes = g->n_nodes;
    for (int i = 0; r->plan && i < r->plan->n_storages; i++) spoil_storage(r, i);
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        r->where[i] = v->node || v->view_of ? NULL : find_data(s, v->place, v);
    }
    for (int i = 0; i < n_nodes; i++) {
        const bm_node *n = g->nodes[i];
        if (r->plan && !n->live) continue;
        run_node(r, s, n);
        for (int j = 0; r->plan && j < r->plan->n_storages; j++)
            if (r->plan->storages[j].last == i) spoil_storage(r, j);
    }
    for (int i = 0; !r->plan && n_nodes == g->n_nodes && i < g->n_values && i < g->cap_slots; i++) {
        const bm_value *p = g->values[i], *d = g->slots[i].d;
        if (p->place != BM_PLACE_WEIGHT || p->view_of || !d) continue;
        while (d->view_of) d = d->view_of;
        if (d->node) memcpy(fake_grad(s, p), r->own[d->id], (size_t)count(p) * sizeof(double));
    }
}

const double *fake_read(const fake_run *r, const bm_value *v)
{
    while (v->view_of) v = v->view_of;
    return r->where[v->id];
}
