#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/graph/graph_priv.h"
#include "core/graph/plan_priv.h"

/* A tensor of a bank: found by place and name, and it must be what the graph declares. */
static bm_status bank_mem(cl_mem *m, bm_plan *p, const bm_value *v)
{
    for (int i = 0; i < p->n_banks; i++) {
        if (bm_bank_place(p->banks[i]) != v->place) continue;
        const bm_tensor *t = bm_layout_find(bm_bank_layout(p->banks[i]), v->name);
        if (!t) continue;
        if (t->dtype != v->origin->dtype || !bm_shape_equal(&t->shape, &v->shape)) {
            char have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
            return bm_fail(BM_ERR_SHAPE, "%s is %s %s, the graph wants %s %s", v->name, bm_dtype_name(t->dtype),
                           bm_shape_text(&t->shape, have, sizeof have), bm_dtype_name(v->dtype),
                           bm_shape_text(&v->shape, want, sizeof want));
        }
        return bm_bank_piece(m, p->banks[i], t);
    }
    return bm_fail(BM_ERR_USAGE, "no bank holds %s", v->name);
}

bm_status bm_plan_mem(cl_mem *m, bm_plan *p, const bm_value *v)
{
    *m = NULL;
    const bm_value *root = p->memory->root[v->id];
    if (!root) return BM_OK;
    int64_t bytes = (int64_t)bm_shape_bytes(&v->shape, v->dtype);
    if (root->place == BM_PLACE_INPUT)
        return bm_region_piece(m, p->inputs, 0, p->input_offset[root->id], bytes > 0 ? bytes : 1);
    if (root->place != BM_PLACE_TEMP) return bank_mem(m, p, root);
    int i = p->memory->of_value[root->id];
    if (i < 0) return BM_OK;
    const bm_storage *s = &p->memory->storages[i];
    return bm_region_piece(m, p->temps, s->slab, s->offset, bytes > 0 ? bytes : 1);
}

static bm_status make_temps(bm_plan *p, bm_plan *share)
{
    const bm_memplan *mp = p->memory;
    int fits = share && bm_region_slabs(share->temps) >= mp->n_slabs;
    for (int i = 0; fits && i < mp->n_slabs; i++) fits = bm_region_slab_bytes(share->temps, i) >= mp->slab_bytes[i];
    if (fits) {
        p->temps = share->temps;
        p->temps_shared = 1;
        return BM_OK;
    }
    return bm_region_create(&p->temps, p->engine, "temporaries", mp->slab_bytes, mp->n_slabs, 0);
}

static bm_status make_inputs(bm_plan *p)
{
    const bm_graph *g = p->graph;
    int64_t align = bm_engine_limits(p->engine)->align_bytes;
    int64_t at = bm_round_up(BM_RT_SLOTS * 4, align);
    p->input_offset = bm_calloc((size_t)g->n_values + 1, sizeof *p->input_offset);
    if (!p->input_offset) return BM_ERR_MEMORY;
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        p->input_offset[i] = -1;
        if (v->place != BM_PLACE_INPUT || v->view_of) continue;
        int64_t bytes = (int64_t)bm_shape_bytes(&v->shape, v->dtype);
        p->input_offset[i] = at;
        at += bm_round_up(bytes > 0 ? bytes : 1, align);
    }
    BM_TRY(bm_region_create(&p->inputs, p->engine, "inputs", &at, 1, 1));
    for (int i = 0; i < BM_PLAN_AHEAD; i++) {
        p->slots[i].inputs = bm_calloc((size_t)at, 1);
        if (!p->slots[i].inputs) return BM_ERR_MEMORY;
        BM_TRY(bm_ticket_create(&p->slots[i].ticket));
    }
    for (int i = 0; i < g->n_values; i++)
        if (g->values[i]->data) BM_TRY(bm_plan_write(p, g->values[i], g->values[i]->data));
    return BM_OK;
}

static bm_status make_launches(bm_plan *p, bm_launcher *l)
{
    for (int i = 0; i < p->graph->n_nodes; i++) {
        bm_node *n = p->graph->nodes[i];
        if (!n->live) continue;
        l->node = n;
        bm_status s = n->op->launch(l, n);
        if (!s) s = l->status;
        if (s) return bm_fail_prefix(s, "%s", n->name);
    }
    return BM_OK;
}

bm_status bm_plan_create(bm_plan **out, bm_engine *e, bm_graph *g, const bm_plan_opts *opts)
{
    *out = NULL;
    BM_TRY(bm_graph_status(g));
    bm_status status = BM_ERR_MEMORY;
    bm_plan *p = bm_calloc(1, sizeof *p);
    if (!p) return BM_ERR_MEMORY;
    p->engine = e;
    p->queue = bm_engine_queue(e);
    p->graph = g;
    p->n_banks = opts ? opts->n_banks : 0;
    p->banks = bm_calloc((size_t)p->n_banks + 1, sizeof *p->banks);
    if (!p->banks) goto done;
    if (p->n_banks) memcpy(p->banks, opts->banks, (size_t)p->n_banks * sizeof *p->banks);
    bm_launcher l = {.plan = p, .engine = e, .gemm = opts ? opts->gemm : NULL};
    BM_GO(bm_memplan_create(&p->memory, g, bm_engine_limits(e), &l));
    BM_GO(make_temps(p, opts ? opts->share_temps : NULL));
    BM_GO(make_inputs(p));
    BM_GO(make_launches(p, &l));
done:
    if (status) bm_plan_destroy(p);
    else *out = p;
    return status;
}

void bm_plan_destroy(bm_plan *p)
{
    if (!p) return;
    bm_queue_finish(p->queue); /* writes from the staging memory may be under way */
    for (int i = 0; i < BM_PLAN_AHEAD; i++) {
        bm_ticket_destroy(p->slots[i].ticket);
        bm_free(p->slots[i].inputs);
    }
    for (int i = 0; i < p->n_launches; i++) {
        bm_launch *n = &p->launches[i];
        if (n->kernel) bm_cl.ReleaseKernel(n->kernel);
        if (n->destroy) n->destroy(n->ctx);
    }
    bm_free(p->launches);
    if (!p->temps_shared) bm_region_destroy(p->temps);
    bm_region_destroy(p->inputs);
    bm_free(p->input_offset);
    bm_memplan_destroy(p->memory);
    bm_free(p->banks);
    bm_free(p);
}

const bm_plan_memory *bm_plan_get_memory(const bm_plan *p)
{
    return &p->memory->sizes;
}

int bm_plan_launches(const bm_plan *p)
{
    return p->n_launches;
}
