#include <string.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/program.h"
#include "core/graph/plan_priv.h"

static cl_mem fail(bm_launcher *l, bm_status s)
{
    if (!l->status) l->status = s;
    return NULL;
}

bm_engine *bm_launcher_engine(bm_launcher *l)
{
    return l->engine;
}

bm_form bm_launcher_form(const bm_launcher *l)
{
    return bm_engine_form(l->engine);
}

const bm_limits *bm_launcher_limits(const bm_launcher *l)
{
    return bm_engine_limits(l->engine);
}

bm_status bm_launcher_status(const bm_launcher *l)
{
    return l->status;
}

void bm_launcher_fail(bm_launcher *l, bm_status s)
{
    fail(l, s);
}

const char *bm_launcher_gemm(const bm_launcher *l)
{
    return l->gemm;
}

cl_mem bm_launcher_mem(bm_launcher *l, const bm_value *v)
{
    cl_mem m = NULL;
    if (!v || l->status) return NULL;
    bm_status s = bm_plan_mem(&m, l->plan, v);
    return s ? fail(l, s) : m;
}

cl_mem bm_launcher_scratch(bm_launcher *l, int64_t offset, int64_t bytes)
{
    if (l->status) return NULL;
    const bm_memplan *mp = l->plan->memory;
    int i = mp->of_scratch[l->node->index];
    if (i < 0 || offset < 0 || bytes < 0 || offset > mp->storages[i].bytes - bytes)
        return fail(l, bm_fail(BM_ERR_USAGE, "scratch bytes %lld to %lld were not asked for", (long long)offset,
                               (long long)(offset + bytes)));
    cl_mem m = NULL;
    const bm_storage *s = &mp->storages[i];
    bm_status status = bm_region_piece(&m, l->plan->temps, s->slab, s->offset + offset, bytes > 0 ? bytes : 1);
    return status ? fail(l, status) : m;
}

cl_mem bm_launcher_scalars(bm_launcher *l)
{
    cl_mem m = NULL;
    if (l->status) return NULL;
    bm_status s = bm_region_piece(&m, l->plan->inputs, 0, 0, BM_RT_SLOTS * 4);
    return s ? fail(l, s) : m;
}

static bm_bank *find_bank(bm_plan *p, bm_place place)
{
    for (int i = 0; i < p->n_banks; i++)
        if (bm_bank_place(p->banks[i]) == place) return p->banks[i];
    return NULL;
}

/* The n-th slab of a group in the layout of the weights, or -1. */
static int slab_of_group(const bm_layout *l, int group, int n)
{
    for (int i = 0; i < bm_layout_slabs(l); i++)
        if (bm_layout_slab_group(l, i) == group && n-- == 0) return i;
    return -1;
}

int bm_launcher_bank_slabs(bm_launcher *l, int group)
{
    bm_bank *b = find_bank(l->plan, BM_PLACE_WEIGHT);
    int n = 0;
    while (b && slab_of_group(bm_bank_layout(b), group, n) >= 0) n++;
    return n;
}

int64_t bm_launcher_bank_bytes(bm_launcher *l, int group, int slab)
{
    bm_bank *b = find_bank(l->plan, BM_PLACE_WEIGHT);
    int i = b ? slab_of_group(bm_bank_layout(b), group, slab) : -1;
    return i < 0 ? 0 : bm_layout_slab_bytes(bm_bank_layout(b), i);
}

cl_mem bm_launcher_bank_mem(bm_launcher *l, bm_place place, int group, int slab)
{
    if (l->status) return NULL;
    bm_bank *b = find_bank(l->plan, place);
    if (!b) return fail(l, bm_fail(BM_ERR_USAGE, "%s needs a bank that the plan was not given", l->node->name));
    int i = slab_of_group(bm_bank_layout(b), group, slab);
    cl_mem m = NULL;
    bm_status s = i < 0 ? bm_fail(BM_ERR_USAGE, "%s: group %d has no slab %d", l->node->name, group, slab)
                        : bm_region_piece(&m, bm_bank_region(b), i, 0, bm_region_slab_bytes(bm_bank_region(b), i));
    return s ? fail(l, s) : m;
}

/* A new entry in the plan's list, zeroed; NULL with the launcher's status set. */
static bm_launch *append(bm_launcher *l)
{
    bm_plan *p = l->plan;
    if (p->n_launches == p->cap_launches) {
        int more = p->cap_launches ? 2 * p->cap_launches : 64;
        bm_launch *a = bm_realloc(p->launches, (size_t)more, sizeof *a);
        if (!a) {
            fail(l, BM_ERR_MEMORY);
            return NULL;
        }
        p->launches = a;
        p->cap_launches = more;
    }
    bm_launch *n = &p->launches[p->n_launches++];
    memset(n, 0, sizeof *n);
    n->node = l->node;
    return n;
}

static bm_status set_arg(cl_kernel k, int i, const bm_arg *a, const bm_kernel_launch *d)
{
    cl_int err = CL_SUCCESS;
    cl_uint at = (cl_uint)i;
    switch (a->kind) {
    case BM_ARG_KIND_MEM: err = bm_cl.SetKernelArg(k, at, sizeof a->as.mem, a->as.mem ? &a->as.mem : NULL); break;
    case BM_ARG_KIND_I32: err = bm_cl.SetKernelArg(k, at, sizeof a->as.i32, &a->as.i32); break;
    case BM_ARG_KIND_I64: err = bm_cl.SetKernelArg(k, at, sizeof a->as.i64, &a->as.i64); break;
    case BM_ARG_KIND_F32: err = bm_cl.SetKernelArg(k, at, sizeof a->as.f32, &a->as.f32); break;
    case BM_ARG_KIND_LOCAL: err = bm_cl.SetKernelArg(k, at, a->as.local_bytes, NULL); break;
    }
    if (err == CL_SUCCESS) return BM_OK;
    return bm_fail_cl(bm_cl_status(err), err, "%s: %s: argument %d: %s", d->source, d->kernel, i, bm_cl_error_name(err));
}

void bm_launcher_kernel(bm_launcher *l, const bm_kernel_launch *d)
{
    if (l->status) return;
    for (int i = 0; i < d->dims; i++)
        if (!d->global[i]) return;
    cl_kernel k = NULL;
    bm_status s = bm_kernel_create(&k, l->engine, d->source, d->options ? d->options : "", d->kernel);
    bm_launch *n = s ? NULL : append(l);
    if (!n) {
        if (k) bm_cl.ReleaseKernel(k);
        fail(l, s);
        return;
    }
    n->kernel = k;
    n->dims = d->dims;
    for (int i = 0; i < d->dims; i++) {
        n->global[i] = d->global[i];
        n->local[i] = d->local[i];
        n->has_local |= d->local[i] != 0;
    }
    for (int i = 0; i < d->n_args && !l->status; i++) l->status = set_arg(k, i, &d->args[i], d);
}

void bm_launcher_call(bm_launcher *l, bm_call_fn run, void *ctx, void (*destroy)(void *ctx))
{
    bm_launch *n = l->status ? NULL : append(l);
    if (!n) {
        if (destroy) destroy(ctx);
        return;
    }
    n->run = run;
    n->ctx = ctx;
    n->destroy = destroy;
}
