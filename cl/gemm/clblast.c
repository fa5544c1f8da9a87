/* CLBlast, opened at run time, for f32. Everything that the library keeps per process (its caches and parameters) is touched
 * here and nowhere else, under one lock.
 *
 * A row-major D = op(A) op(B) is handed over as the column-major D^T = op(B)^T op(A)^T, the layout that CLBlast's own kernel
 * works in: dW = dy^T x is then multiplied where it lies, dx = dy W copies dy only. Copies go to the node's scratch
 * (CLBlastSgemmWithTempBuffer), so that nothing is allocated while a plan runs. A batch is a loop over single products: the
 * library's batched calls allocate or upload each time. Epilogues are kernels of ours (epilogue.cl). */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cl/gemm/gemm_priv.h"
#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/queue.h"

#include <clblast_c.h> /* after bm's choice of the OpenCL version */

#define LIBRARY "libclblast.so.1"

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

/* Whether the library is there. */
static int load(void)
{
    lock_library();
    if (!lib.tried) {
        lib.tried = 1;
        lib.handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
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

/* ---- parameters for CPUs: the library's own are those of an unknown device, a seventh of what these reach ---- */

typedef struct setting {
    const char *name;
    size_t value;
} setting;

static const setting routine[] = {{"XGEMM_MIN_INDIRECT_SIZE", 64}};
static const setting xgemm[] = {{"GEMMK", 0}, {"KREG", 1}, {"KWG", 32}, {"KWI", 1}, {"MDIMA", 4}, {"MDIMC", 4},
                                {"MWG", 64}, {"NDIMB", 1}, {"NDIMC", 1}, {"NWG", 16}, {"SA", 0}, {"SB", 0},
                                {"STRM", 0}, {"STRN", 0}, {"VWM", 16}, {"VWN", 4}};

#define MOST_SETTINGS 20

static CLBlastStatusCode set(cl_device_id device, const char *kernel, const setting *s, size_t n)
{
    const char *names[MOST_SETTINGS];
    size_t values[MOST_SETTINGS];
    for (size_t i = 0; i < n; i++) {
        names[i] = s[i].name;
        values[i] = s[i].value;
    }
    return lib.override(device, kernel, CLBlastPrecisionSingle, n, names, values);
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
    if (bm_engine_limits(e)->type == BM_DEVICE_CPU) {
        cl_device_id device = bm_engine_cl_device(e);
        CLBlastStatusCode s = set(device, "GemmRoutine", routine, sizeof routine / sizeof *routine);
        if (!s) s = set(device, "Xgemm", xgemm, sizeof xgemm / sizeof *xgemm);
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

/* ---- the backend ---- */

/* Sizes that the library narrows to 32 bits: every element's index, padding of sizes to a tile included. */
static int fits(const bm_gemm_desc *d)
{
    const int64_t tile = 256, most = INT32_MAX;
    const int64_t m = d->m, n = d->n, k = d->k;
    if (m > most - tile || n > most - tile || k > most - tile) return 0;
    const int64_t pm = bm_round_up(m, tile), pn = bm_round_up(n, tile), pk = bm_round_up(k, tile);
    if (pm > most / pk || pk > most / pn || pm > most / pn) return 0;
    const int64_t a = d->offset_a + (d->batch - 1) * d->stride_a + bm_gemm_extent(d->trans_a ? k : m, d->trans_a ? m : k, d->lda, 1, 0);
    const int64_t b = d->offset_b + (d->batch - 1) * d->stride_b + bm_gemm_extent(d->trans_b ? n : k, d->trans_b ? k : n, d->ldb, 1, 0);
    const int64_t out = d->offset_d + (d->batch - 1) * d->stride_d + bm_gemm_extent(m, n, d->ldd, 1, 0);
    /* Copies are placed one behind the other in one buffer, counted in 32 bits too. */
    return a <= most && b <= most && out <= most && pm * pk <= most - pk * pn && pm * pk + pk * pn <= most - pm * pn;
}

static int takes(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits, const char **why)
{
    *why = NULL;
    if (d->type_a != BM_F32 || d->type_b != BM_F32 || d->type_d != BM_F32) *why = "CLBlast multiplies f32 only here";
    else if (!fits(d)) *why = "CLBlast counts in 32 bits, and this is larger";
    else if (!limits->compiler) *why = "CLBlast needs a device with a compiler";
    else if (e && !load()) *why = LIBRARY " is not there, or too old (package libclblast1)";
    return *why == NULL;
}

/* Column-major: op(B)^T [N, K] times op(A)^T [K, M]; no transpose where the row-major operand has none. */
#define LEFT(d) ((d)->trans_b ? CLBlastTransposeYes : CLBlastTransposeNo)
#define RIGHT(d) ((d)->trans_a ? CLBlastTransposeYes : CLBlastTransposeNo)

/* Where nothing was opened: as the library does with tiles of 64 x 64 x 32 (its sizes differ from device to device). */
static int64_t typical_scratch(const bm_gemm_desc *d)
{
    const int64_t m = bm_round_up(d->m, 64), n = bm_round_up(d->n, 64), k = bm_round_up(d->k, 32);
    const int ready_a = d->trans_a && m == d->m && k == d->k && d->lda == m && !d->offset_a;
    const int ready_b = !d->trans_b && n == d->n && k == d->k && d->ldb == n && !d->offset_b;
    const int ready_d = m == d->m && n == d->n && d->ldd == n && !d->offset_d;
    if ((double)d->m * (double)d->n * (double)d->k < 448.0 * 448.0 * 448.0) return 0; /* its direct kernel */
    return 4 * ((ready_a ? 0 : m * k) + (ready_b ? 0 : k * n) + (ready_d ? 0 : m * n));
}

static int aligned(const bm_limits *l, int64_t elements)
{
    return elements * 4 % l->align_bytes == 0;
}

/* The offsets that the library will see: 0 wherever a sub-buffer can begin there. */
static void offsets_seen(int64_t seen[3], const bm_gemm_desc *d, const bm_limits *l)
{
    const int64_t offset[3] = {d->offset_a, d->offset_b, d->offset_d}, stride[3] = {d->stride_a, d->stride_b, d->stride_d};
    for (int i = 0; i < 3; i++)
        seen[i] = aligned(l, offset[i]) && (d->batch == 1 || aligned(l, stride[i])) ? 0 : offset[i] + (d->batch - 1) * stride[i];
}

static bm_status scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    *bytes = 0;
    if (!e) {
        *bytes = typical_scratch(d);
        return BM_OK;
    }
    BM_TRY(prepare(e));
    int64_t at[3];
    offsets_seen(at, d, limits);
    cl_command_queue q = bm_queue_cl(bm_engine_queue(e));
    size_t need = 0;
    lock_library();
    CLBlastStatusCode s = lib.temp_size(CLBlastLayoutColMajor, LEFT(d), RIGHT(d), (size_t)d->n, (size_t)d->m, (size_t)d->k,
                                        (size_t)at[1], (size_t)d->ldb, (size_t)at[0], (size_t)d->lda, (size_t)at[2], (size_t)d->ldd,
                                        &q, &need);
    unlock_library();
    if (s) return bm_fail(BM_ERR_DEVICE, "CLBlast does not say what scratch it needs: status %d", (int)s);
    *bytes = (int64_t)need;
    return BM_OK;
}

/* One product of a batch. */
typedef struct single {
    cl_mem mem[3];     /* A, B, D */
    int owned[3];      /* a sub-buffer of ours */
    int64_t offset[3]; /* elements */
} single;

typedef struct call {
    bm_gemm_desc d;
    cl_mem temp;
    single *products;
} call;

static void call_destroy(void *ctx)
{
    call *c = ctx;
    for (int64_t i = 0; c->products && i < c->d.batch; i++)
        for (int j = 0; j < 3; j++)
            if (c->products[i].owned[j]) bm_cl.ReleaseMemObject(c->products[i].mem[j]);
    bm_free(c->products);
    bm_free(c);
}

static bm_status call_run(void *ctx, cl_command_queue queue)
{
    const call *c = ctx;
    const bm_gemm_desc *d = &c->d;
    CLBlastStatusCode s = CLBlastSuccess;
    lock_library();
    for (int64_t i = 0; i < d->batch && !s; i++) {
        const single *p = &c->products[i];
        s = lib.sgemm(CLBlastLayoutColMajor, LEFT(d), RIGHT(d), (size_t)d->n, (size_t)d->m, (size_t)d->k, d->alpha, p->mem[1],
                      (size_t)p->offset[1], (size_t)d->ldb, p->mem[0], (size_t)p->offset[0], (size_t)d->lda, d->beta, p->mem[2],
                      (size_t)p->offset[2], (size_t)d->ldd, &queue, NULL, c->temp);
    }
    unlock_library();
    if (!s) return BM_OK;
    char text[BM_GEMM_TEXT];
    return bm_fail(BM_ERR_DEVICE, "CLBlast: %s: status %d", bm_gemm_text(d, text, sizeof text), (int)s);
}

/* The memory from element `at` on as a buffer that begins there, or the whole with its offset. OpenCL makes sub-buffers only of
 * whole buffers, so one within a sub-buffer is made of its parent. */
static bm_status place(single *p, int i, cl_mem m, int64_t at, int64_t elements, const bm_limits *l)
{
    p->mem[i] = m;
    p->offset[i] = at;
    if (!at || !aligned(l, at)) return BM_OK;
    cl_mem parent = NULL;
    size_t base = 0;
    cl_int err = bm_cl.GetMemObjectInfo(m, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL);
    if (!err && parent) err = bm_cl.GetMemObjectInfo(m, CL_MEM_OFFSET, sizeof base, &base, NULL);
    const cl_buffer_region r = {base + (size_t)at * 4, (size_t)elements * 4};
    cl_mem sub = NULL;
    if (!err) sub = bm_cl.CreateSubBuffer(parent ? parent : m, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &r, &err);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "gemm: a sub-buffer at %lld: %s", (long long)at, bm_cl_error_name(err));
    p->mem[i] = sub;
    p->owned[i] = 1;
    p->offset[i] = 0;
    return BM_OK;
}

static bm_status call_create(call **out, const bm_gemm_desc *d, const bm_gemm_args *args, const bm_limits *l)
{
    call *c = bm_calloc(1, sizeof *c);
    if (!c) return BM_ERR_MEMORY;
    bm_status status = BM_OK;
    c->d = *d;
    c->products = bm_calloc((size_t)d->batch, sizeof *c->products);
    BM_GO(c->products ? BM_OK : BM_ERR_MEMORY);
    const int64_t a = bm_gemm_extent(d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k, d->lda, 1, 0);
    const int64_t b = bm_gemm_extent(d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n, d->ldb, 1, 0);
    for (int64_t i = 0; i < d->batch; i++) {
        BM_GO(place(&c->products[i], 0, args->a, d->offset_a + i * d->stride_a, a, l));
        BM_GO(place(&c->products[i], 1, args->b, d->offset_b + i * d->stride_b, b, l));
        BM_GO(place(&c->products[i], 2, args->d, d->offset_d + i * d->stride_d, bm_gemm_extent(d->m, d->n, d->ldd, 1, 0), l));
    }
    *out = c;
    return BM_OK;
done:
    call_destroy(c);
    return status;
}

static void launch_epilogue(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args)
{
    char options[BM_GEMM_OPTIONS];
    bm_gemm_options(d, options, sizeof options);
    const bm_arg a[] = {bm_arg_mem(args->d), bm_arg_mem(args->bias), bm_arg_mem(args->pre), bm_arg_i64(d->n), bm_arg_i64(d->ldd),
                        bm_arg_i64(d->offset_d), bm_arg_i64(d->stride_d)};
    const bm_kernel_launch k = {"gemm/epilogue", "gemm_epilogue", options, 3,
                                {(size_t)bm_ceil_div(d->n, 16), (size_t)d->m, (size_t)d->batch}, {0, 0, 0}, a, sizeof a / sizeof a[0]};
    out->kernel(out->target, &k);
}

static void launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    int64_t bytes = 0;
    call *c = NULL;
    bm_status s = scratch(&bytes, d, out->engine, bm_engine_limits(out->engine));
    if (!s) s = call_create(&c, d, args, bm_engine_limits(out->engine));
    if (s) {
        out->fail(out->target, s);
        return;
    }
    if (bytes) c->temp = out->scratch(out->target, scratch_offset, bytes);
    out->call(out->target, call_run, c, call_destroy);
    if (d->has_bias || d->has_pre || d->act != BM_ACT_NONE) launch_epilogue(out, d, args);
}

const bm_gemm_backend bm_gemm_clblast = {"clblast", takes, scratch, launch};
