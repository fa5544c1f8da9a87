#include "tools/bench_device.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/device/queue.h"
#include "core/graph/plan.h"

#define RUNS 7

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bm_bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Ones where x is: the gradient of a sum, which itself is not computed, as nothing reads it. */
static bm_value *fill(bm_graph *g, bm_value *x)
{
    bm_graph_want_gradient(g, x);
    bm_graph_gradients(g, bm_sum(g, x));
    return bm_graph_gradient(g, x);
}

/* Median seconds of a graph of one op over an input of n floats. The input is written first: until then all its pages may be one
 * page of zeros, which a cache holds. */
static bm_status time_op(double *seconds, bm_engine *e, int64_t n, bm_value *(*op)(bm_graph *, bm_value *))
{
    bm_status status;
    float *zeros = NULL;
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    double t[RUNS];
    bm_graph_opts o = bm_graph_opts_with_ops();
    bm_plan_opts po = {0};
    BM_GO(bm_graph_create(&g, &o));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(n));
    bm_graph_output(g, op(g, x), "y");
    BM_GO(bm_plan_create(&p, e, g, &po));
    zeros = bm_calloc((size_t)n, sizeof *zeros);
    BM_GO(zeros ? bm_plan_write(p, x, zeros) : BM_ERR_MEMORY);
    for (int i = -1; i < RUNS; i++) {
        double start = bm_now_s();
        BM_GO(bm_plan_run(p));
        BM_GO(bm_queue_finish(bm_engine_queue(e)));
        if (i >= 0) t[i] = bm_now_s() - start;
    }
    *seconds = bm_bench_median(t, RUNS);
done:
    bm_free(zeros);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
    return status;
}

int64_t bm_bench_bytes(const bm_engine *e)
{
    const int64_t bytes = (int64_t)256 << 20, most = bm_engine_limits(e)->max_alloc_bytes;
    return bytes < most ? bytes : most;
}

/* Bytes/s of an op that moves each byte of its input so many times. */
static bm_status rate(double *out, bm_engine *e, int64_t bytes, bm_value *(*op)(bm_graph *, bm_value *), double times)
{
    double seconds;
    BM_TRY(time_op(&seconds, e, bytes / 4, op));
    *out = times * (double)bytes / seconds;
    return BM_OK;
}

bm_status bm_bench_read(double *out, bm_engine *e, int64_t bytes)
{
    return rate(out, e, bytes, bm_sum, 1);
}

bm_status bm_bench_bandwidth(bm_bandwidth *out, bm_engine *e, int64_t bytes)
{
    BM_TRY(bm_bench_read(&out->read, e, bytes));
    BM_TRY(rate(&out->write, e, bytes, fill, 1));
    return rate(&out->copy, e, bytes, bm_copy, 2);
}

/* ---- the yardstick ---- */

typedef void (*sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);

static const char *const libraries[] = {"libopenblas.so.0", "libopenblas.so", "libopenblas.dylib", NULL};
static const char *found, *kernels;

static sgemm_fn load_sgemm(void)
{
    static sgemm_fn fn;
    static int tried;
    for (int i = 0; !tried && !fn && libraries[i]; i++) {
        void *lib = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
        if (!lib) continue;
        *(void **)&fn = dlsym(lib, "cblas_sgemm");
        if (!fn) continue;
        char *(*core)(void);
        *(void **)&core = dlsym(lib, "openblas_get_corename");
        found = libraries[i];
        kernels = core ? core() : NULL;
    }
    tried = 1;
    return fn;
}

const char *bm_bench_cblas_name(void)
{
    return load_sgemm() ? found : NULL;
}

const char *bm_bench_cblas_kernels(void)
{
    return load_sgemm() ? kernels : NULL;
}

double bm_bench_cblas(int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, int runs)
{
    enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
    sgemm_fn sgemm = load_sgemm();
    if (!sgemm || m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) return 0;
    float *a = bm_calloc((size_t)(m * k), sizeof *a), *b = bm_calloc((size_t)(k * n), sizeof *b), *c = bm_calloc((size_t)(m * n), sizeof *c);
    double *t = bm_calloc((size_t)runs, sizeof *t), seconds = 0;
    if (a && b && c && t) {
        for (int64_t i = 0; i < m * k; i++) a[i] = (float)(i % 17) * 0.1f - 0.8f;
        for (int64_t i = 0; i < k * n; i++) b[i] = (float)(i % 13) * 0.1f - 0.6f;
        for (int i = -1; i < runs; i++) {
            double start = bm_now_s();
            sgemm(ROW_MAJOR, trans_a ? TRANS : NO_TRANS, trans_b ? TRANS : NO_TRANS, (int)m, (int)n, (int)k, 1.0f, a,
                  (int)(trans_a ? m : k), b, (int)(trans_b ? k : n), 0.0f, c, (int)n);
            if (i >= 0) t[i] = bm_now_s() - start;
        }
        seconds = bm_bench_median(t, runs);
    }
    bm_free(a);
    bm_free(b);
    bm_free(c);
    bm_free(t);
    return seconds;
}
