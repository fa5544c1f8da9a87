#include "core/device/memory.h"

#include <pthread.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/engine_priv.h"

#define OWN_PAGES ((int64_t)1 << 20) /* bytes of a slab from which on it is worth it */

typedef struct piece {
    int slab;
    int64_t offset, bytes;
    cl_mem mem;
} piece;

typedef struct slab {
    cl_mem mem;
    int64_t bytes;
    void *pages; /* the host's, which the device uses; NULL: memory is the driver's */
} slab;

struct bm_region {
    bm_engine *engine;
    char *name;
    slab *slabs;
    int n_slabs;

    pthread_mutex_t lock; /* of pieces */
    piece *pieces;        /* sorted by slab, offset, bytes */
    size_t n_pieces, capacity;
};

static bm_status fail_memory(const bm_region *r, int64_t bytes, cl_int err, const char *why)
{
    const bm_engine *e = r->engine;
    const double mib = 1 << 20;
    return bm_fail_cl(
        BM_ERR_DEVICE_MEMORY, err,
        "device memory: region \"%s\" needs %.1f MiB, %s: %s has %.1f MiB (%.1f MiB of it taken by bm) and gives at "
        "most %.1f MiB at once",
        r->name, (double)bytes / mib, why, e->name, (double)e->limits.global_bytes / mib,
        (double)bm_engine_live_bytes(e) / mib, (double)e->limits.max_alloc_bytes / mib);
}

static int is_memory_error(cl_int err) { return err == CL_OUT_OF_RESOURCES || bm_cl_status(err) == BM_ERR_DEVICE_MEMORY; }

static bm_status fail_region(const bm_region *r, int64_t bytes, cl_int err, const char *what)
{
    if (is_memory_error(err)) return fail_memory(r, bytes, err, bm_cl_error_name(err));
    return bm_fail_cl(bm_cl_status(err), err, "region \"%s\": %s: %s", r->name, what, bm_cl_error_name(err));
}

/* Sum of the slabs, each of which must be within the device's limit. */
static bm_status check_sizes(int64_t *total, const bm_region *r, const int64_t *slab_bytes, int n_slabs)
{
    *total = 0;
    for (int i = 0; i < n_slabs; i++) {
        if (slab_bytes[i] <= 0)
            return bm_fail(BM_ERR_USAGE, "region \"%s\": slab %d of %lld bytes", r->name, i, (long long)slab_bytes[i]);
        if (bm_add_i64(total, *total, slab_bytes[i])) return fail_memory(r, INT64_MAX, 0, "more than can be counted");
    }
    for (int i = 0; i < n_slabs; i++)
        if (slab_bytes[i] > r->engine->limits.max_alloc_bytes) return fail_memory(r, *total, 0, "one slab is too large");
    /* Drivers that take memory when it is first touched would let this pass and have the process killed later. */
    if (*total > r->engine->limits.global_bytes - bm_engine_live_bytes(r->engine))
        return fail_memory(r, *total, 0, "more than is left");
    return BM_OK;
}

/* Makes the driver take a slab's memory now, for some wait until a command first touches it: all of it is zeroed or else
 * its first bytes are. */
static cl_int touch(const bm_region *r, const slab *s, int zero)
{
    static const unsigned char nothing[16] = {0};
    int64_t bytes = zero || s->bytes < 16 ? s->bytes : 16;
    size_t unit = sizeof nothing;
    while (bytes % (int64_t)unit) unit /= 2;
    return bm_cl.EnqueueFillBuffer(bm_queue_cl(r->engine->queue), s->mem, nothing, unit, 0, (size_t)bytes, 0, NULL, NULL);
}

/* On a CPU the device's memory is the host's: pages of our own are zero, and are first touched by the kernels, on every core. A
 * driver takes small pages, and zeroes them on one. */
static bm_status make_slab(slab *s, const bm_region *r, int64_t bytes, int64_t total)
{
    const bm_engine *e = r->engine;
    cl_int err;
    if (e->form == BM_FORM_CPU && e->limits.unified_memory && bytes >= OWN_PAGES) {
        s->pages = bm_pages_alloc((size_t)bytes);
        if (!s->pages) return BM_ERR_MEMORY;
    }
    const cl_mem_flags flags = CL_MEM_READ_WRITE | (s->pages ? CL_MEM_USE_HOST_PTR : 0);
    s->mem = bm_cl.CreateBuffer(e->context, flags, (size_t)bytes, s->pages, &err);
    if (!err) return BM_OK;
    bm_pages_free(s->pages, (size_t)bytes);
    return fail_region(r, total, err, "clCreateBuffer");
}

bm_status bm_region_create(bm_region **out, bm_engine *e, const char *name, const int64_t *slab_bytes, int n_slabs, int zero)
{
    *out = NULL;
    bm_region *r = bm_calloc(1, sizeof *r);
    if (!r) return BM_ERR_MEMORY;
    r->engine = e;
    pthread_mutex_init(&r->lock, NULL);

    bm_status status = BM_OK;
    int64_t total = 0;
    cl_int err = CL_SUCCESS;
    r->name = bm_strdup(name);
    r->slabs = bm_calloc((size_t)n_slabs, sizeof *r->slabs);
    BM_GO(r->name && r->slabs ? BM_OK : BM_ERR_MEMORY);
    BM_GO(check_sizes(&total, r, slab_bytes, n_slabs));
    for (int i = 0; i < n_slabs; i++) {
        slab *s = &r->slabs[i];
        BM_GO(make_slab(s, r, slab_bytes[i], total));
        s->bytes = slab_bytes[i];
        r->n_slabs = i + 1;
        bm_engine_count_bytes(e, s->bytes);
        if (!s->pages) err = touch(r, s, zero);
        BM_GO(err ? fail_region(r, total, err, "clEnqueueFillBuffer") : BM_OK);
    }
    err = bm_cl.Finish(bm_queue_cl(e->queue));
    BM_GO(err ? fail_region(r, total, err, "clFinish") : BM_OK);
    *out = r;
    r = NULL;
done:
    bm_region_destroy(r);
    return status;
}

void bm_region_destroy(bm_region *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->n_pieces; i++) bm_cl.ReleaseMemObject(r->pieces[i].mem);
    for (int i = 0; i < r->n_slabs; i++) {
        if (r->slabs[i].pages) bm_cl.Finish(bm_queue_cl(r->engine->queue)); /* nothing may use them any more */
        bm_cl.ReleaseMemObject(r->slabs[i].mem);
        bm_pages_free(r->slabs[i].pages, (size_t)r->slabs[i].bytes);
        bm_engine_count_bytes(r->engine, -r->slabs[i].bytes);
    }
    pthread_mutex_destroy(&r->lock);
    bm_free(r->pieces);
    bm_free(r->slabs);
    bm_free(r->name);
    bm_free(r);
}

const char *bm_region_name(const bm_region *r) { return r->name; }
int bm_region_slabs(const bm_region *r) { return r->n_slabs; }
int64_t bm_region_slab_bytes(const bm_region *r, int i) { return r->slabs[i].bytes; }

static int before(const piece *a, int s, int64_t offset, int64_t bytes)
{
    if (a->slab != s) return a->slab < s;
    if (a->offset != offset) return a->offset < offset;
    return a->bytes < bytes;
}

/* The first piece that is not before the one asked for. */
static size_t lower_bound(const bm_region *r, int s, int64_t offset, int64_t bytes)
{
    size_t low = 0, high = r->n_pieces;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (before(&r->pieces[mid], s, offset, bytes)) low = mid + 1;
        else high = mid;
    }
    return low;
}

static bm_status grow_pieces(bm_region *r)
{
    if (r->n_pieces < r->capacity) return BM_OK;
    size_t capacity = r->capacity ? 2 * r->capacity : 16;
    piece *grown = bm_realloc(r->pieces, capacity, sizeof *grown);
    if (!grown) return BM_ERR_MEMORY;
    r->pieces = grown;
    r->capacity = capacity;
    return BM_OK;
}

static bm_status get_piece(cl_mem *out, bm_region *r, int s, int64_t offset, int64_t bytes)
{
    size_t at = lower_bound(r, s, offset, bytes);
    if (at < r->n_pieces && !before(&(piece){s, offset, bytes, NULL}, r->pieces[at].slab, r->pieces[at].offset,
                                    r->pieces[at].bytes)) {
        *out = r->pieces[at].mem;
        return BM_OK;
    }
    BM_TRY(grow_pieces(r));
    cl_int err = CL_SUCCESS;
    cl_buffer_region range = {(size_t)offset, (size_t)bytes};
    cl_mem mem = bm_cl.CreateSubBuffer(r->slabs[s].mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &range, &err);
    if (err) return fail_region(r, bytes, err, "clCreateSubBuffer");
    memmove(&r->pieces[at + 1], &r->pieces[at], (r->n_pieces - at) * sizeof *r->pieces);
    r->pieces[at] = (piece){s, offset, bytes, mem};
    r->n_pieces++;
    *out = mem;
    return BM_OK;
}

bm_status bm_region_piece(cl_mem *out, bm_region *r, int s, int64_t offset, int64_t bytes)
{
    *out = NULL;
    int64_t align = r->engine->limits.align_bytes;
    if (s < 0 || s >= r->n_slabs || offset < 0 || bytes <= 0 || bytes > r->slabs[s].bytes || offset > r->slabs[s].bytes - bytes)
        return bm_fail(BM_ERR_USAGE, "region \"%s\": %lld bytes at %lld of slab %d are outside it", r->name, (long long)bytes,
                       (long long)offset, s);
    if (offset % align)
        return bm_fail(BM_ERR_USAGE, "region \"%s\": offset %lld is not a multiple of %lld", r->name, (long long)offset,
                       (long long)align);
    if (bytes == r->slabs[s].bytes) {
        *out = r->slabs[s].mem; /* all of it */
        return BM_OK;
    }
    pthread_mutex_lock(&r->lock);
    bm_status status = get_piece(out, r, s, offset, bytes);
    pthread_mutex_unlock(&r->lock);
    return status;
}
