#include "core/graph/memplan.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/graph/graph_priv.h"
#include "core/graph/plan_priv.h"

static bm_value *base_of(bm_value *v)
{
    while (v->view_of) v = v->view_of;
    return v;
}

void bm_graph_mark_live(bm_graph *g)
{
    for (int i = 0; i < g->n_values; i++) g->values[i]->used = 0;
    for (int i = 0; i < g->n_values; i++) {
        bm_value *v = g->values[i];
        if (v->is_output || v->is_gradient) base_of(v)->used++;
    }
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        bm_node *n = g->nodes[i];
        n->live = n->op->effects;
        for (int j = 0; j < n->n_outputs; j++) {
            /* An update of a cache is seen through its bank. */
            bm_value *in = n->inputs[n->inplace[j].input];
            int updates = n->inplace[j].mode == BM_INPLACE_MUST && in && bm_graph_storage(in)->place == BM_PLACE_CACHE;
            n->live |= n->outputs[j]->used || updates;
        }
        for (int j = 0; n->live && j < n->n_inputs; j++)
            if (n->inputs[j]) base_of(n->inputs[j])->used++;
    }
}

/* The work in hand. */
typedef struct planner {
    bm_memplan *p;
    bm_graph *g;
    const bm_limits *limits;
    bm_launcher *launcher;
    int *last_read; /* value id -> last live node that reads it or a view of it; n_nodes for outputs and gradients of
                       parameters; -1 for none */
    int *alive_to;  /* root's value id -> last node that needs its memory */
} planner;

static void find_last_reads(planner *w)
{
    bm_graph *g = w->g;
    for (int i = 0; i < g->n_values; i++) w->last_read[i] = -1;
    for (int i = 0; i < g->n_nodes; i++)
        for (int j = 0; g->nodes[i]->live && j < g->nodes[i]->n_inputs; j++)
            if (g->nodes[i]->inputs[j]) w->last_read[base_of(g->nodes[i]->inputs[j])->id] = i;
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i]->is_output || g->values[i]->is_gradient) w->last_read[base_of(g->values[i])->id] = g->n_nodes;
}

/* Whether an operand other than `input` has this memory: an op knows of its in-place operand only. */
static int is_read_twice(const planner *w, const bm_node *n, int input, const bm_value *root)
{
    for (int i = 0; i < n->n_inputs; i++)
        if (i != input && n->inputs[i] && w->p->root[n->inputs[i]->id] == root) return 1;
    return 0;
}

/* Whether output j of n may take the memory of its in-place input. */
static int may_share(const planner *w, const bm_node *n, int j)
{
    int input = n->inplace[j].input;
    const bm_value *out = n->outputs[j], *in = n->inputs[input];
    if (n->inplace[j].mode != BM_INPLACE_MAY || !in || out->bound) return 0;
    const bm_value *root = w->p->root[in->id];
    return root->place == BM_PLACE_TEMP && !root->bound && w->alive_to[root->id] <= n->index &&
           !is_read_twice(w, n, input, root) &&
           bm_shape_bytes(&out->shape, out->dtype) <= bm_shape_bytes(&root->shape, root->dtype);
}

/* Whether output j of n, one of `takers` that update its input, may do so without harm to what others read. */
static bm_status check_update(const planner *w, const bm_node *n, int j, int takers)
{
    int input = n->inplace[j].input;
    const bm_value *out = n->outputs[j], *in = n->inputs[input], *root = w->p->root[in->id];
    const char *why = NULL;
    if (w->last_read[base_of(n->inputs[input])->id] > n->index) why = "which is read later";
    else if (is_read_twice(w, n, input, root)) why = "which is another operand as well";
    else if (takers > 1) why = "which another of its results updates too";
    else if (root->place == BM_PLACE_WEIGHT || root->place == BM_PLACE_HALF || root->place == BM_PLACE_INPUT) why = "which is no temporary";
    else if (bm_shape_bytes(&out->shape, out->dtype) != bm_shape_bytes(&in->shape, in->dtype)) why = "which has another size";
    return why ? bm_fail(BM_ERR_USAGE, "%s updates %s in place, %s", n->name, in->name, why) : BM_OK;
}

/* Gives every value the root whose memory it has; refuses an update in place of something that is read later. */
static bm_status find_roots(planner *w)
{
    bm_graph *g = w->g;
    bm_value **root = w->p->root;
    for (int i = 0; i < g->n_values; i++) {
        bm_value *v = g->values[i];
        if (!v->node && !v->view_of) root[i] = v;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        bm_node *n = g->nodes[i];
        for (int j = 0; j < n->n_inputs; j++)
            if (n->inputs[j]) root[n->inputs[j]->id] = root[base_of(n->inputs[j])->id];
        int taken[BM_MAX_INPUTS] = {0}; /* an input's memory goes to one output */
        for (int j = 0; j < n->n_outputs; j++)
            if (n->inplace[j].mode == BM_INPLACE_MUST) taken[n->inplace[j].input]++;
        for (int j = 0; j < n->n_outputs; j++) {
            bm_value *v = n->outputs[j];
            int input = n->inplace[j].input;
            root[v->id] = v->bound ? v->bound : v;
            if (!n->live || (v->optional && !v->used)) continue;
            if (n->inplace[j].mode == BM_INPLACE_MUST && n->inputs[input]) {
                root[v->id] = root[n->inputs[input]->id];
                BM_TRY(check_update(w, n, j, taken[input]));
            } else if (!taken[input] && may_share(w, n, j)) {
                root[v->id] = root[n->inputs[input]->id];
                taken[input] = 1;
            }
            /* Who takes memory is the last to need it: those who had it before are not read after this node. */
            w->alive_to[root[v->id]->id] = w->last_read[v->id] > i ? w->last_read[v->id] : i;
        }
    }
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i]->view_of) root[i] = root[base_of(g->values[i])->id];
    return BM_OK;
}

static bm_status add_storage(planner *w, bm_value *root, int first, int last, int64_t bytes)
{
    bm_memplan *p = w->p;
    int64_t align = w->limits->align_bytes > 0 ? w->limits->align_bytes : 1;
    int64_t most = w->limits->max_alloc_bytes / align * align;
    if (bytes > most || most == 0) {
        const bm_node *n = w->g->nodes[first];
        return bm_fail(BM_ERR_DEVICE_MEMORY,
                       "%s needs %.1f MiB of memory in one piece; the device gives at most %.1f MiB: "
                       "use a smaller train.micro_batch or data.window",
                       root ? root->name : n->name, (double)bytes / 1048576.0, (double)most / 1048576.0);
    }
    p->storages[p->n_storages++] = (bm_storage){root, first, last, bm_round_up(bytes > 0 ? bytes : 1, align), 0, 0};
    return BM_OK;
}

static bm_status gather_storages(planner *w)
{
    bm_graph *g = w->g;
    bm_memplan *p = w->p;
    for (int i = 0; i < g->n_nodes; i++) {
        bm_node *n = g->nodes[i];
        if (!n->live) continue;
        for (int j = 0; j < n->n_outputs; j++) {
            bm_value *v = n->outputs[j];
            if (p->root[v->id] != v || (v->optional && !v->used)) continue;
            p->of_value[v->id] = p->n_storages;
            BM_TRY(add_storage(w, v, i, w->alive_to[v->id], (int64_t)bm_shape_bytes(&v->shape, v->dtype)));
        }
        int64_t scratch = 0;
        if (n->op->scratch) {
            bm_status s = n->op->scratch(&scratch, w->launcher, n, w->limits);
            if (s) return bm_fail_prefix(s, "%s", n->name);
        }
        if (scratch > 0) {
            p->of_scratch[i] = p->n_storages;
            BM_TRY(add_storage(w, NULL, i, i, scratch));
        }
    }
    return BM_OK;
}

static int by_size(const void *a, const void *b)
{
    const bm_storage *x = *(bm_storage *const *)a, *y = *(bm_storage *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x < y ? -1 : x > y;
}

static int by_place(const void *a, const void *b)
{
    const bm_storage *x = *(bm_storage *const *)a, *y = *(bm_storage *const *)b;
    if (x->slab != y->slab) return x->slab < y->slab ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The lowest place that is free for the whole life of s. placed[0..n) holds what conflicts in time, sorted by place. */
static void place_one(bm_storage *s, bm_storage *const *placed, int n, int64_t slab_most)
{
    int slab = 0;
    int64_t offset = 0;
    for (int i = 0; i < n; i++) {
        const bm_storage *o = placed[i];
        if (o->slab < slab) continue;
        if (o->slab > slab && offset + s->bytes > slab_most) {
            slab++;
            offset = 0;
        }
        if (o->slab > slab || offset + s->bytes <= o->offset) break;
        if (o->offset + o->bytes > offset) offset = o->offset + o->bytes;
        if (offset + s->bytes > slab_most) {
            slab++;
            offset = 0;
        }
    }
    s->slab = slab;
    s->offset = offset;
}

/* Greedy by size (Pisarchyk & Lee 2020, "Efficient Memory Management for Deep Neural Net Inference", section 5). */
static bm_status place_all(planner *w)
{
    bm_memplan *p = w->p;
    size_t n = (size_t)p->n_storages;
    int64_t align = w->limits->align_bytes > 0 ? w->limits->align_bytes : 1;
    int64_t slab_most = w->limits->max_alloc_bytes / align * align;
    bm_storage **order = bm_calloc(2 * n + 1, sizeof *order);
    if (!order) return BM_ERR_MEMORY;
    bm_storage **near = order + n;
    for (size_t i = 0; i < n; i++) order[i] = &p->storages[i];
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        bm_storage *s = order[i];
        size_t k = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->first <= s->last && s->first <= order[j]->last) near[k++] = order[j];
        qsort(near, k, sizeof *near, by_place);
        place_one(s, near, (int)k, slab_most);
        if (s->slab + 1 > p->n_slabs) p->n_slabs = s->slab + 1;
    }
    bm_free(order);
    p->slab_bytes = bm_calloc((size_t)p->n_slabs + 1, sizeof *p->slab_bytes);
    if (!p->slab_bytes) return BM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const bm_storage *s = &p->storages[i];
        if (s->offset + s->bytes > p->slab_bytes[s->slab]) p->slab_bytes[s->slab] = s->offset + s->bytes;
    }
    return BM_OK;
}

static void sum_up(planner *w)
{
    bm_memplan *p = w->p;
    bm_graph *g = w->g;
    int64_t align = w->limits->align_bytes > 0 ? w->limits->align_bytes : 1;
    for (int i = 0; i < p->n_slabs; i++) p->sizes.temp_bytes += p->slab_bytes[i];
    p->sizes.peak_node = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        int64_t need = 0;
        for (int j = 0; j < p->n_storages; j++)
            if (p->storages[j].first <= i && i <= p->storages[j].last) need += p->storages[j].bytes;
        if (need > p->sizes.temp_need) {
            p->sizes.temp_need = need;
            p->sizes.peak_node = i;
        }
    }
    p->sizes.input_bytes = bm_round_up(BM_RT_SLOTS * 4, align);
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        if (v->place != BM_PLACE_INPUT || v->view_of) continue;
        int64_t bytes = (int64_t)bm_shape_bytes(&v->shape, v->dtype);
        p->sizes.input_bytes += bm_round_up(bytes > 0 ? bytes : 1, align);
    }
}

bm_status bm_memplan_create(bm_memplan **out, bm_graph *g, const bm_limits *limits, bm_launcher *l)
{
    *out = NULL;
    BM_TRY(bm_graph_status(g));
    bm_status status = BM_ERR_MEMORY;
    planner w = {.g = g, .limits = limits, .launcher = l};
    size_t n_values = (size_t)g->n_values, n_nodes = (size_t)g->n_nodes;
    bm_memplan *p = w.p = bm_calloc(1, sizeof *p);
    if (!p) return BM_ERR_MEMORY;
    p->of_value = bm_calloc(n_values + 1, sizeof *p->of_value);
    p->of_scratch = bm_calloc(n_nodes + 1, sizeof *p->of_scratch);
    p->root = bm_calloc(n_values + 1, sizeof *p->root);
    p->storages = bm_calloc(n_values + n_nodes + 1, sizeof *p->storages);
    w.last_read = bm_calloc(n_values + 1, sizeof *w.last_read);
    w.alive_to = bm_calloc(n_values + 1, sizeof *w.alive_to);
    if (!p->of_value || !p->of_scratch || !p->root || !p->storages || !w.last_read || !w.alive_to) goto done;
    for (size_t i = 0; i < n_values; i++) p->of_value[i] = -1;
    for (size_t i = 0; i < n_nodes; i++) p->of_scratch[i] = -1;
    bm_graph_mark_live(g);
    find_last_reads(&w);
    BM_GO(find_roots(&w));
    BM_GO(gather_storages(&w));
    BM_GO(place_all(&w));
    sum_up(&w);
done:
    bm_free(w.last_read);
    bm_free(w.alive_to);
    if (status) bm_memplan_destroy(p);
    else *out = p;
    return status;
}

void bm_memplan_destroy(bm_memplan *p)
{
    if (!p) return;
    bm_free(p->slab_bytes);
    bm_free(p->storages);
    bm_free(p->of_value);
    bm_free(p->of_scratch);
    bm_free(p->root);
    bm_free(p);
}

bm_status bm_memplan_foresee(bm_memplan **out, bm_graph *g, const bm_limits *limits, const char *gemm)
{
    bm_launcher l = {.gemm = gemm};
    return bm_memplan_create(out, g, limits, &l);
}

bm_status bm_plan_memory_of(bm_plan_memory *out, bm_graph *g, const bm_limits *limits)
{
    bm_memplan *p;
    BM_TRY(bm_memplan_foresee(&p, g, limits, NULL));
    *out = p->sizes;
    bm_memplan_destroy(p);
    return BM_OK;
}
