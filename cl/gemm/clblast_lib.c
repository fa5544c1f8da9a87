/* CLBlast, opened at run time. Everything that the library keeps per process (its caches and parameters) is touched here and
 * nowhere else, under one lock.
 *
 * A row-major D = op(A) op(B) is handed over as the column-major D^T = op(B)^T op(A)^T, the layout that CLBlast's own kernel
 * works in. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "cl/gemm/clblast_priv.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/queue.h"

#include <clblast_c.h> /* after bm's choice of the OpenCL version */

static struct {
    pthread_mutex_t lock;
    int tried;
    void *handle;
    __typeof__(CLBlastSgemmWithTempBuffer) *sgemm;
    __typeof__(CLBlastSGemmTempBufferSize) *temp_size;
    __typeof__(CLBlastOverrideParameters) *override;
    __typeof__(CLBlastClearCache) *clear;
} lib = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock_library(void)
{
    pthread_mutex_lock(&lib.lock);
}
static void unlock_library(void)
{
    pthread_mutex_unlock(&lib.lock);
}

static void load_symbol(void *out, const char *name)
{
    void *p = dlsym(lib.handle, name);
    memcpy(out, &p, sizeof p);
}

int bm_clblast_load(void)
{
    lock_library();
    if (!lib.tried) {
        lib.tried = 1;
        lib.handle = dlopen(BM_CLBLAST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
        if (lib.handle) {
            load_symbol(&lib.sgemm, "CLBlastSgemmWithTempBuffer");
            load_symbol(&lib.temp_size, "CLBlastSGemmTempBufferSize");
            load_symbol(&lib.override, "CLBlastOverrideParameters");
            load_symbol(&lib.clear, "CLBlastClearCache");
        }
    }
    const int there = lib.sgemm && lib.temp_size && lib.override && lib.clear;
    unlock_library();
    return there;
}

/* ---- parameters for CPUs: the library's own are those of an unknown device, a tenth of what these reach ---- */

/* Of the library's two ways only the kernel for large products. */
static const char *const routine_names[] = {"XGEMM_MIN_INDIRECT_SIZE"};
static const size_t routine_values[] = {1};

static const char *const xgemm_names[] = {"GEMMK", "KREG", "KWG", "KWI", "MDIMA", "NDIMB", "SA", "SB", "STRM", "STRN",
                                          "MWG", "NWG", "MDIMC", "NDIMC", "VWM", "VWN"};
#define XGEMMS (sizeof xgemm_names / sizeof xgemm_names[0])

static int64_t lanes(const bm_limits *limits)
{
    return limits->float_width >= 16 ? 16 : 8;
}

bm_clblast_tile bm_clblast_cpu_tile(const bm_limits *limits)
{
    return (bm_clblast_tile){64, 2 * lanes(limits)};
}

/* A work-item is a tile in registers, two vectors of columns by 8 rows, by 4 where vectors are of 256 bits and half as many. Those
 * of a work-group go through the same columns of B one after the other, while they are in a near cache. K is whatever it is: KWG
 * is 1. A compiler that makes vectors of neighbouring work-items says so by preferring scalars: it gets one for each lane. */
static CLBlastStatusCode set_parameters(cl_device_id device, const bm_limits *limits)
{
    const bm_clblast_tile tile = bm_clblast_cpu_tile(limits);
    const size_t width = (size_t)lanes(limits), rows = width == 16 ? 8 : 4;
    cl_uint preferred = 0;
    bm_cl.GetDeviceInfo(device, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, sizeof preferred, &preferred, NULL);
    const int joins_items = preferred == 1 && limits->float_width > 1;
    const size_t xgemm[XGEMMS] = {0, 1, 1, 1, 1, 1, 0, 0, 0, 0,
                                  (size_t)tile.n, (size_t)tile.m, joins_items ? width : 1, (size_t)tile.m / rows,
                                  joins_items ? 2 : width, rows};
    CLBlastStatusCode s = lib.override(device, "GemmRoutine", CLBlastPrecisionSingle, 1, (const char **)routine_names, routine_values);
    return s ? s : lib.override(device, "Xgemm", CLBlastPrecisionSingle, XGEMMS, (const char **)xgemm_names, xgemm);
}

/* ---- state of an engine: attached to it so that the library forgets its programs before the context goes ---- */

static const char engine_key = 0;

static void forget(void *unused)
{
    (void)unused;
    lock_library();
    lib.clear();
    unlock_library();
}

static bm_status prepare_locked(bm_engine *e)
{
    if (bm_engine_attached(e, &engine_key)) return BM_OK;
    const bm_limits *limits = bm_engine_limits(e);
    if (limits->type == BM_DEVICE_CPU) {
        CLBlastStatusCode s = set_parameters(bm_engine_cl_device(e), limits);
        if (s) return bm_fail(BM_ERR_DEVICE, "CLBlast refuses its parameters for %s: status %d", bm_engine_device_name(e), (int)s);
    }
    return bm_engine_attach(e, &engine_key, &lib, forget);
}

static bm_status prepare(bm_engine *e)
{
    lock_library();
    bm_status s = prepare_locked(e);
    unlock_library();
    return s;
}

/* op(B)^T [N, K] times op(A)^T [K, M]; no transpose where the row-major operand has none. */
#define LEFT(d) ((d)->trans_b ? CLBlastTransposeYes : CLBlastTransposeNo)
#define RIGHT(d) ((d)->trans_a ? CLBlastTransposeYes : CLBlastTransposeNo)

bm_status bm_clblast_temp(int64_t *bytes, bm_engine *e, const bm_gemm_desc *d)
{
    *bytes = 0;
    BM_TRY(prepare(e));
    cl_command_queue q = bm_queue_cl(bm_engine_queue(e));
    size_t need = 0;
    lock_library();
    CLBlastStatusCode s = lib.temp_size(CLBlastLayoutColMajor, LEFT(d), RIGHT(d), (size_t)d->n, (size_t)d->m, (size_t)d->k,
                                        (size_t)d->offset_b, (size_t)d->ldb, (size_t)d->offset_a, (size_t)d->lda,
                                        (size_t)d->offset_d, (size_t)d->ldd, &q, &need);
    unlock_library();
    if (s) return bm_fail(BM_ERR_DEVICE, "CLBlast does not say what scratch it needs: status %d", (int)s);
    *bytes = (int64_t)need;
    return BM_OK;
}

/* ---- calls ---- */

typedef struct product {
    bm_gemm_desc d;    /* its offsets are those within mem */
    cl_mem mem[3];     /* A, B, D */
    int owned[3];      /* a sub-buffer of ours */
} product;

struct bm_clblast_call {
    const bm_limits *limits;
    cl_mem temp;
    product *products;
    int64_t n;
};

bm_status bm_clblast_call_create(bm_clblast_call **out, bm_engine *e, int64_t most, cl_mem temp)
{
    *out = NULL;
    BM_TRY(prepare(e));
    bm_clblast_call *c = bm_calloc(1, sizeof *c);
    if (!c) return BM_ERR_MEMORY;
    c->limits = bm_engine_limits(e);
    c->temp = temp;
    c->products = bm_calloc((size_t)most, sizeof *c->products);
    if (!c->products) {
        bm_free(c);
        return BM_ERR_MEMORY;
    }
    *out = c;
    return BM_OK;
}

void bm_clblast_call_destroy(void *call)
{
    bm_clblast_call *c = call;
    if (!c) return;
    for (int64_t i = 0; i < c->n; i++)
        for (int j = 0; j < 3; j++)
            if (c->products[i].owned[j]) bm_cl.ReleaseMemObject(c->products[i].mem[j]);
    bm_free(c->products);
    bm_free(c);
}

int bm_clblast_aligned(const bm_limits *limits, int64_t elements)
{
    return elements * 4 % limits->align_bytes == 0;
}

/* The memory from element *at on as a buffer that begins there (then *at becomes 0), or the whole. OpenCL makes sub-buffers only
 * of whole buffers, so one within a sub-buffer is made of its parent. */
static bm_status place(product *p, int i, cl_mem m, int64_t *at, int64_t elements, const bm_limits *l)
{
    p->mem[i] = m;
    if (!*at || !bm_clblast_aligned(l, *at)) return BM_OK;
    cl_mem parent = NULL;
    size_t base = 0;
    cl_int err = bm_cl.GetMemObjectInfo(m, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL);
    if (!err && parent) err = bm_cl.GetMemObjectInfo(m, CL_MEM_OFFSET, sizeof base, &base, NULL);
    const cl_buffer_region r = {base + (size_t)*at * 4, (size_t)elements * 4};
    cl_mem sub = NULL;
    if (!err) sub = bm_cl.CreateSubBuffer(parent ? parent : m, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &r, &err);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "gemm: a sub-buffer at %lld: %s", (long long)*at, bm_cl_error_name(err));
    p->mem[i] = sub;
    p->owned[i] = 1;
    *at = 0;
    return BM_OK;
}

bm_status bm_clblast_call_add(bm_clblast_call *c, const bm_gemm_desc *d, const bm_gemm_args *args)
{
    product *p = &c->products[c->n++];
    p->d = *d;
    const int64_t a = bm_gemm_extent(d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k, d->lda, 1, 0);
    const int64_t b = bm_gemm_extent(d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n, d->ldb, 1, 0);
    BM_TRY(place(p, 0, args->a, &p->d.offset_a, a, c->limits));
    BM_TRY(place(p, 1, args->b, &p->d.offset_b, b, c->limits));
    return place(p, 2, args->d, &p->d.offset_d, bm_gemm_extent(d->m, d->n, d->ldd, 1, 0), c->limits);
}

bm_status bm_clblast_call_run(void *call, cl_command_queue queue)
{
    const bm_clblast_call *c = call;
    CLBlastStatusCode s = CLBlastSuccess;
    int64_t i = 0;
    lock_library();
    for (; i < c->n && !s; i++) {
        const product *p = &c->products[i];
        const bm_gemm_desc *d = &p->d;
        s = lib.sgemm(CLBlastLayoutColMajor, LEFT(d), RIGHT(d), (size_t)d->n, (size_t)d->m, (size_t)d->k, d->alpha, p->mem[1],
                      (size_t)d->offset_b, (size_t)d->ldb, p->mem[0], (size_t)d->offset_a, (size_t)d->lda, d->beta, p->mem[2],
                      (size_t)d->offset_d, (size_t)d->ldd, &queue, NULL, c->temp);
    }
    unlock_library();
    if (!s) return BM_OK;
    char text[BM_GEMM_TEXT];
    return bm_fail(BM_ERR_DEVICE, "CLBlast: %s: status %d", bm_gemm_text(&c->products[i - 1].d, text, sizeof text), (int)s);
}
