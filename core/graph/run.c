/* Running a plan. Inputs and run-time scalars go through staging memory, one copy for each run that may be under way, so that
 * a run is enqueued without waiting for the one before. */
#include <string.h>

#include "core/graph/graph_priv.h"
#include "core/graph/plan_priv.h"

void bm_plan_set_u32(bm_plan *p, int slot, uint32_t x)
{
    p->scalars[slot] = x;
}

void bm_plan_set_f32(bm_plan *p, int slot, float x)
{
    memcpy(&p->scalars[slot], &x, sizeof x);
}

bm_status bm_plan_slot_open(bm_plan *p)
{
    if (p->slot_open) return BM_OK;
    BM_TRY(bm_ticket_wait(p->slots[p->slot].ticket));
    p->slot_open = 1;
    return BM_OK;
}

/* Enqueues `bytes` at `offset` of the input region, through the open slot's staging memory. */
static bm_status stage(bm_plan *p, int64_t offset, const void *data, int64_t bytes)
{
    cl_mem m;
    BM_TRY(bm_plan_slot_open(p));
    char *staging = p->slots[p->slot].inputs + offset;
    memcpy(staging, data, (size_t)bytes);
    BM_TRY(bm_region_piece(&m, p->inputs, 0, 0, bm_region_slab_bytes(p->inputs, 0)));
    return bm_queue_write(p->queue, m, offset, staging, bytes);
}

bm_status bm_plan_write(bm_plan *p, const bm_value *input, const void *data)
{
    int64_t offset = input ? p->input_offset[input->id] : -1;
    if (offset < 0) return bm_fail(BM_ERR_USAGE, "%s is not an input of this plan", input ? input->name : "(none)");
    int64_t bytes = (int64_t)bm_shape_bytes(&input->shape, input->dtype);
    return bytes ? stage(p, offset, data, bytes) : BM_OK;
}

static bm_status launch(bm_plan *p, const bm_launch *n)
{
    bm_status s = n->run ? n->run(n->ctx, bm_queue_cl(p->queue))
                         : bm_queue_launch(p->queue, n->kernel, n->dims, n->global, n->has_local ? n->local : NULL,
                                           n->node->op->name);
    return s ? bm_fail_prefix(s, "%s", n->node->name) : BM_OK;
}

bm_status bm_plan_run(bm_plan *p)
{
    BM_TRY(stage(p, 0, p->scalars, sizeof p->scalars));
    for (int i = 0; i < p->n_launches; i++) BM_TRY(launch(p, &p->launches[i]));
    BM_TRY(bm_queue_mark(p->queue, p->slots[p->slot].ticket)); /* and all is submitted */
    p->slot = (p->slot + 1) % BM_PLAN_AHEAD;
    p->slot_open = 0;
    return BM_OK;
}

bm_status bm_plan_peek(bm_plan *p, const bm_value *v, int64_t offset, void *data, int64_t bytes)
{
    cl_mem m;
    BM_TRY(bm_plan_mem(&m, p, v));
    if (!m) return bm_fail(BM_ERR_USAGE, "%s is not computed by this plan", v->name);
    return bytes ? bm_queue_read(p->queue, m, offset, data, bytes) : BM_OK;
}

/* A temporary keeps its memory to the end of a run only when it is an output. */
static bm_status check_kept(const bm_plan *p, const bm_value *v)
{
    const bm_value *root = p->memory->root[v->id];
    int i = root && root->place == BM_PLACE_TEMP ? p->memory->of_value[root->id] : -1;
    if (i < 0 || p->memory->storages[i].last >= p->graph->n_nodes) return BM_OK;
    return bm_fail(BM_ERR_USAGE, "%s cannot be read: it is not an output of the graph", v->name);
}

bm_status bm_plan_read(bm_plan *p, const bm_value *v, void *data)
{
    BM_TRY(check_kept(p, v));
    return bm_plan_peek(p, v, 0, data, (int64_t)bm_shape_bytes(&v->shape, v->dtype));
}

bm_status bm_plan_read_ticket(bm_plan *p, const bm_value *v, void *data, bm_ticket *t)
{
    cl_mem m;
    BM_TRY(check_kept(p, v));
    BM_TRY(bm_plan_mem(&m, p, v));
    if (!m) return bm_fail(BM_ERR_USAGE, "%s is not computed by this plan", v->name);
    return bm_queue_read_ticket(p->queue, m, 0, data, (int64_t)bm_shape_bytes(&v->shape, v->dtype), t);
}

bm_status bm_plan_run_checked(bm_plan *p, bm_plan_check_fn check, void *user)
{
    BM_TRY(stage(p, 0, p->scalars, sizeof p->scalars));
    for (int i = 0; i < p->n_launches;) {
        const bm_node *n = p->launches[i].node;
        for (; i < p->n_launches && p->launches[i].node == n; i++) BM_TRY(launch(p, &p->launches[i]));
        bm_status s = bm_queue_finish(p->queue); /* a failure that shows late is this node's */
        if (s) return bm_fail_prefix(s, "%s", n->name);
        for (int j = 0; j < n->n_outputs; j++) {
            const bm_value *v = n->outputs[j];
            if (v->optional && !v->used) continue;
            BM_TRY(check(user, p, n->name, v));
        }
    }
    return BM_OK;
}
