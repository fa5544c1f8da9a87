#include "cl/gemm/bound_priv.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/memory.h"
#include "core/device/program.h"
#include "core/device/queue.h"

typedef struct step {
    cl_kernel kernel;
    int dims;
    size_t global[3], local[3];
    int has_local;
    bm_call_fn run;
    void *ctx;
    void (*destroy)(void *ctx);
} step;

struct bm_gemm_bound {
    bm_engine *engine;
    bm_region *scratch;
    step *steps;
    size_t n, capacity;
    bm_status status;
};

/* Keeps the first failure. */
static void fail(bm_gemm_bound *b, bm_status s)
{
    if (!b->status) b->status = s;
}

static void bound_fail(void *target, bm_status s)
{
    fail(target, s);
}

/* A new step, zeroed, or NULL. */
static step *append(bm_gemm_bound *b)
{
    if (b->status) return NULL;
    if (b->n == b->capacity) {
        const size_t more = b->capacity ? 2 * b->capacity : 4;
        step *s = bm_realloc(b->steps, more, sizeof *s);
        if (!s) {
            fail(b, BM_ERR_MEMORY);
            return NULL;
        }
        b->steps = s;
        b->capacity = more;
    }
    memset(&b->steps[b->n], 0, sizeof b->steps[b->n]);
    return &b->steps[b->n++];
}

static cl_int set_arg(cl_kernel k, cl_uint i, const bm_arg *a)
{
    switch (a->kind) {
    case BM_ARG_KIND_MEM: return bm_cl.SetKernelArg(k, i, sizeof a->as.mem, a->as.mem ? &a->as.mem : NULL);
    case BM_ARG_KIND_I32: return bm_cl.SetKernelArg(k, i, sizeof a->as.i32, &a->as.i32);
    case BM_ARG_KIND_I64: return bm_cl.SetKernelArg(k, i, sizeof a->as.i64, &a->as.i64);
    case BM_ARG_KIND_F32: return bm_cl.SetKernelArg(k, i, sizeof a->as.f32, &a->as.f32);
    case BM_ARG_KIND_LOCAL: return bm_cl.SetKernelArg(k, i, a->as.local_bytes, NULL);
    }
    return CL_INVALID_ARG_VALUE;
}

static void bound_kernel(void *target, const bm_kernel_launch *k)
{
    bm_gemm_bound *b = target;
    for (int i = 0; i < k->dims; i++)
        if (!k->global[i]) return;
    step *s = append(b);
    if (!s) return;
    fail(b, bm_kernel_create(&s->kernel, b->engine, k->source, k->options, k->kernel));
    s->dims = k->dims;
    for (int i = 0; i < k->dims; i++) {
        s->global[i] = k->global[i];
        s->local[i] = k->local[i];
        s->has_local |= k->local[i] != 0;
    }
    for (int i = 0; i < k->n_args && !b->status; i++) {
        cl_int err = set_arg(s->kernel, (cl_uint)i, &k->args[i]);
        if (err) fail(b, bm_fail_cl(bm_cl_status(err), err, "%s: %s: argument %d: %s", k->source, k->kernel, i, bm_cl_error_name(err)));
    }
}

static void bound_call(void *target, bm_call_fn run, void *ctx, void (*destroy)(void *ctx))
{
    step *s = append(target);
    if (!s) {
        if (destroy) destroy(ctx);
        return;
    }
    s->run = run;
    s->ctx = ctx;
    s->destroy = destroy;
}

static cl_mem bound_scratch(void *target, int64_t offset, int64_t bytes)
{
    bm_gemm_bound *b = target;
    cl_mem m = NULL;
    if (!b->status) fail(b, bm_region_piece(&m, b->scratch, 0, offset, bytes));
    return m;
}

bm_status bm_gemm_bound_create(bm_gemm_bound **out, bm_engine *e, const bm_gemm_backend *backend, const bm_gemm_desc *d,
                               const bm_gemm_args *args)
{
    *out = NULL;
    bm_gemm_bound *b = bm_calloc(1, sizeof *b);
    if (!b) return BM_ERR_MEMORY;
    b->engine = e;
    int64_t bytes = 0;
    fail(b, backend->scratch(&bytes, d, e, bm_engine_limits(e)));
    if (!b->status && bytes) fail(b, bm_region_create(&b->scratch, e, "gemm scratch", &bytes, 1, 0));
    bm_gemm_emit to = {e, b, bound_fail, bound_kernel, bound_call, bound_scratch};
    if (!b->status) backend->launch(&to, d, args, 0);
    if (b->status) {
        bm_status s = b->status;
        bm_gemm_bound_destroy(b);
        return s;
    }
    *out = b;
    return BM_OK;
}

void bm_gemm_bound_destroy(bm_gemm_bound *b)
{
    if (!b) return;
    for (size_t i = 0; i < b->n; i++) {
        if (b->steps[i].kernel) bm_cl.ReleaseKernel(b->steps[i].kernel);
        if (b->steps[i].destroy) b->steps[i].destroy(b->steps[i].ctx);
    }
    bm_free(b->steps);
    bm_region_destroy(b->scratch);
    bm_free(b);
}

bm_status bm_gemm_bound_run(bm_gemm_bound *b)
{
    bm_queue *q = bm_engine_queue(b->engine);
    for (size_t i = 0; i < b->n; i++) {
        const step *s = &b->steps[i];
        BM_TRY(s->run ? s->run(s->ctx, bm_queue_cl(q))
                      : bm_queue_launch(q, s->kernel, s->dims, s->global, s->has_local ? s->local : NULL, "gemm"));
    }
    return BM_OK;
}
