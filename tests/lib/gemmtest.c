#include "tests/lib/gemmtest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cl/gemm/bound_priv.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/device/memory.h"
#include "core/device/queue.h"
#include "tests/lib/test.h"

typedef struct matrix {
    int64_t elements;
    bm_dtype type;
    double *host; /* as the device sees it: rounded to `type` */
    void *stored;
    bm_region *region;
    cl_mem mem;
} matrix;

/* host -> stored, and host as it is then. i8 has no NaN: 127 stands for it. */
static void store(matrix *x)
{
    if (x->type != BM_I8) {
        test_ok(bm_convert_floats(x->stored, x->type, x->host, BM_F64, (size_t)x->elements));
        test_ok(bm_convert_floats(x->host, BM_F64, x->stored, x->type, (size_t)x->elements));
        return;
    }
    for (int64_t i = 0; i < x->elements; i++) {
        x->host[i] = isnan(x->host[i]) ? 127 : rint(x->host[i]);
        ((int8_t *)x->stored)[i] = (int8_t)x->host[i];
    }
}

static void upload(matrix *x, bm_engine *e)
{
    store(x);
    test_ok(bm_queue_write(bm_engine_queue(e), x->mem, 0, x->stored, x->elements * (int64_t)bm_dtype_size(x->type)));
}

static double largest(bm_dtype t)
{
    return t == BM_I8 ? 127 : 1;
}

static void matrix_make(matrix *x, bm_engine *e, int64_t elements, bm_dtype t, uint32_t stream)
{
    x->elements = elements > 0 ? elements : 1;
    x->type = t;
    const size_t n = (size_t)x->elements;
    const int64_t bytes = (int64_t)(n * bm_dtype_size(t));
    x->host = bm_calloc(n, sizeof *x->host);
    x->stored = bm_calloc(n, 8);
    ck_assert(x->host && x->stored);
    bm_rng r = bm_rng_start(7, stream, 0);
    for (size_t i = 0; i < n; i++) {
        const double u = bm_rng_u32(&r) / 4294967296.0;
        x->host[i] = largest(t) * (2 * u - 1);
    }
    test_ok(bm_region_create(&x->region, e, "matrix", &bytes, 1, 0));
    test_ok(bm_region_piece(&x->mem, x->region, 0, 0, bytes));
    upload(x, e);
}

static void matrix_free(matrix *x)
{
    bm_free(x->host);
    bm_free(x->stored);
    bm_region_destroy(x->region);
}

/* Sets every element that D covers to NaN (where beta is 0), or leaves it. */
static void poison(matrix *x, const bm_gemm_desc *d, bm_engine *e)
{
    for (int64_t b = 0; b < d->batch; b++)
        for (int64_t i = 0; i < d->m; i++)
            for (int64_t j = 0; j < d->n; j++) x->host[d->offset_d + b * d->stride_d + i * d->ldd + j] = NAN;
    upload(x, e);
}

/* NaN into what does not belong to the operand: nobody may use it, not even times 0. */
static void poison_gaps(matrix *x, bm_engine *e, int64_t rows, int64_t cols, const int64_t ld_batch_stride_offset[4])
{
    const int64_t ld = ld_batch_stride_offset[0], batch = ld_batch_stride_offset[1];
    const int64_t stride = ld_batch_stride_offset[2], offset = ld_batch_stride_offset[3];
    double *kept = bm_calloc((size_t)x->elements, sizeof *kept);
    ck_assert(kept);
    for (int64_t i = 0; i < x->elements; i++) kept[i] = NAN;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t i = 0; i < rows; i++)
            memcpy(kept + offset + b * stride + i * ld, x->host + offset + b * stride + i * ld, (size_t)cols * sizeof *kept);
    bm_free(x->host);
    x->host = kept;
    upload(x, e);
}

static double activate(double x, bm_activation act)
{
    switch (act) {
    case BM_ACT_NONE: return x;
    case BM_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case BM_ACT_GELU: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case BM_ACT_RELU: return x > 0 ? x : 0;
    case BM_ACT_SILU: return x / (1 + exp(-x));
    case BM_ACT_TANH: return tanh(x);
    case BM_ACT_SIGMOID: return 1 / (1 + exp(-x));
    }
    return NAN;
}

typedef struct operands {
    matrix a, b, d, bias, pre, scale;
} operands;

/* The sum of one element, in double. */
static double product(const operands *o, const bm_gemm_desc *d, int64_t batch, int64_t i, int64_t j)
{
    const double *a = o->a.host + d->offset_a + batch * d->stride_a, *b = o->b.host + d->offset_b + batch * d->stride_b;
    double sum = 0;
    for (int64_t k = 0; k < d->k; k++)
        sum += a[d->trans_a ? k * d->lda + i : i * d->lda + k] * b[d->trans_b ? j * d->ldb + k : k * d->ldb + j];
    return sum;
}

static int near(double got, double want, double scale, bm_dtype t, int64_t k)
{
    const double unit = t == BM_F16 ? ldexp(1, -11) : t == BM_BF16 ? ldexp(1, -8) : ldexp(1, -24);
    const double size = fmax(fabs(want), scale);
    return fabs(got - want) <= 8 * ldexp(1, -24) * sqrt((double)k + 1) * size + unit * fabs(want) + (t == BM_F16 ? 6e-8 : 0);
}

/* Compares what is on the device with the reference; `before` is D as it was. */
static int compare(const operands *o, const bm_gemm_desc *d, const double *before, const double *got, const double *pre, char *text,
                   size_t bytes)
{
    const double rms = largest(d->type_b) * sqrt((double)d->k) / 3, added = fabs((double)d->beta) + (d->has_bias ? 1 : 0);
    int64_t covered = 0;
    for (int64_t b = 0; b < d->batch; b++)
        for (int64_t i = 0; i < d->m; i++)
            for (int64_t j = 0; j < d->n; j++, covered++) {
                const int64_t at = d->offset_d + b * d->stride_d + i * d->ldd + j;
                const double factor = (double)d->alpha * (d->has_scale ? o->scale.host[j] : 1);
                const double scale = fabs(factor) * rms + added;
                double want = factor * product(o, d, b, i, j);
                if (d->beta != 0.0f) want += (double)d->beta * before[at];
                if (d->has_bias) want += o->bias.host[j];
                if (d->has_pre && !near(pre[at], want, scale, d->type_d, d->k)) {
                    snprintf(text, bytes, "pre[%lld][%lld][%lld] is %g, not %g", (long long)b, (long long)i, (long long)j, pre[at], want);
                    return 0;
                }
                want = activate(want, d->act);
                if (!near(got[at], want, scale, d->type_d, d->k)) {
                    snprintf(text, bytes, "D[%lld][%lld][%lld] is %g, not %g", (long long)b, (long long)i, (long long)j, got[at], want);
                    return 0;
                }
            }
    /* What lies between the rows was not touched. */
    int64_t changed = 0;
    for (int64_t i = 0; i < o->d.elements; i++) changed += !(got[i] == before[i] || (isnan(got[i]) && isnan(before[i])));
    if (changed > covered) {
        snprintf(text, bytes, "%lld elements of D's memory changed, of %lld in D", (long long)changed, (long long)covered);
        return 0;
    }
    return 1;
}

static void read_back(double *out, void *raw, const matrix *x, bm_engine *e)
{
    test_ok(bm_queue_read(bm_engine_queue(e), x->mem, 0, raw, x->elements * (int64_t)bm_dtype_size(x->type)));
    test_ok(bm_convert_floats(out, BM_F64, raw, x->type, (size_t)x->elements));
}

static int check(bm_engine *e, const char *backend, const bm_gemm_desc *given, char *text, size_t bytes)
{
    test_ok(bm_gemm_desc_check(given));
    const bm_gemm_desc full = bm_gemm_desc_full(given), *d = &full;
    operands o;
    memset(&o, 0, sizeof o);
    const int64_t a[2] = {d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k}, b[2] = {d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n};
    matrix_make(&o.a, e, d->offset_a + bm_gemm_extent(a[0], a[1], d->lda, d->batch, d->stride_a), d->type_a, 1);
    matrix_make(&o.b, e, d->offset_b + bm_gemm_extent(b[0], b[1], d->ldb, d->batch, d->stride_b), d->type_b, 2);
    matrix_make(&o.d, e, d->offset_d + bm_gemm_extent(d->m, d->n, d->ldd, d->batch, d->stride_d) + 5, d->type_d, 3);
    matrix_make(&o.bias, e, d->n, d->type_d, 4);
    matrix_make(&o.pre, e, o.d.elements, d->type_d, 5);
    matrix_make(&o.scale, e, d->n, BM_F32, 6);
    poison_gaps(&o.a, e, a[0], a[1], (const int64_t[]){d->lda, d->batch, d->stride_a, d->offset_a});
    poison_gaps(&o.b, e, b[0], b[1], (const int64_t[]){d->ldb, d->batch, d->stride_b, d->offset_b});
    if (d->beta == 0.0f) poison(&o.d, d, e);
    const bm_gemm_args args = {.a = o.a.mem, .b = o.b.mem, .d = o.d.mem, .bias = d->has_bias ? o.bias.mem : NULL,
                               .pre = d->has_pre ? o.pre.mem : NULL, .scale = d->has_scale ? o.scale.mem : NULL};
    const bm_gemm_backend *with = bm_gemm_backend_find(backend);
    ck_assert_msg(with != NULL, "no backend %s", backend);
    bm_gemm_bound *bound = NULL;
    test_ok(bm_gemm_bound_create(&bound, e, with, d, &args));
    test_ok(bm_gemm_bound_run(bound));
    double *got = bm_calloc((size_t)o.d.elements, sizeof *got), *pre = bm_calloc((size_t)o.d.elements, sizeof *pre);
    void *raw = bm_calloc((size_t)o.d.elements, 8);
    ck_assert(got && pre && raw);
    read_back(got, raw, &o.d, e);
    read_back(pre, raw, &o.pre, e);
    int agrees = compare(&o, d, o.d.host, got, pre, text, bytes);
    bm_gemm_bound_destroy(bound);
    bm_free(got);
    bm_free(pre);
    bm_free(raw);
    matrix_free(&o.a);
    matrix_free(&o.b);
    matrix_free(&o.d);
    matrix_free(&o.bias);
    matrix_free(&o.pre);
    matrix_free(&o.scale);
    return agrees;
}

bm_gemm_desc gemmtest_desc(int64_t m, int64_t n, int64_t k, int trans)
{
    bm_gemm_desc d = bm_gemm_desc_default(m, n, k);
    d.trans_a = trans & 1;
    d.trans_b = trans >> 1;
    return d;
}

void gemmtest_check(bm_engine *e, const char *backend, const bm_gemm_desc *d)
{
    char text[200] = "", name[BM_GEMM_TEXT];
    int agrees = check(e, backend, d, text, sizeof text);
    ck_assert_msg(agrees, "%s: %s (ld %lld %lld %lld, offsets %lld %lld %lld, alpha %g beta %g, act %d): %s", backend,
                  bm_gemm_text(d, name, sizeof name), (long long)d->lda, (long long)d->ldb, (long long)d->ldd,
                  (long long)d->offset_a, (long long)d->offset_b, (long long)d->offset_d, (double)d->alpha, (double)d->beta,
                  (int)d->act, text);
}

/* y = op(X) x for a stored matrix of `rows` by `cols`. */
static void times_vector(double *y, const double *a, int64_t rows, int64_t cols, int trans, const double *x)
{
    const int64_t out = trans ? cols : rows;
    for (int64_t i = 0; i < out; i++) y[i] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) y[trans ? c : r] += a[r * cols + c] * x[trans ? r : c];
}

void gemmtest_check_by_vector(bm_engine *e, const char *backend, const bm_gemm_desc *given)
{
    const bm_gemm_desc full = bm_gemm_desc_full(given), *d = &full;
    matrix a, b, out;
    matrix_make(&a, e, d->m * d->k, BM_F32, 1);
    matrix_make(&b, e, d->k * d->n, BM_F32, 2);
    matrix_make(&out, e, d->m * d->n, BM_F32, 3);
    const bm_gemm_args args = {.a = a.mem, .b = b.mem, .d = out.mem};
    bm_gemm_bound *bound = NULL;
    test_ok(bm_gemm_bound_create(&bound, e, bm_gemm_backend_find(backend), d, &args));
    test_ok(bm_gemm_bound_run(bound));
    read_back(out.host, out.stored, &out, e);
    double *x = bm_calloc((size_t)d->n, sizeof *x), *bx = bm_calloc((size_t)d->k, sizeof *bx);
    double *want = bm_calloc((size_t)d->m, sizeof *want), *got = bm_calloc((size_t)d->m, sizeof *got);
    ck_assert(x && bx && want && got);
    for (int64_t i = 0; i < d->n; i++) x[i] = bm_rng_at(9, 1, 0, (uint64_t)i) & 1 ? 1 : -1;
    times_vector(bx, b.host, d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n, d->trans_b, x);
    times_vector(want, a.host, d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k, d->trans_a, bx);
    times_vector(got, out.host, d->m, d->n, 0, x);
    const double slack = 8 * ldexp(1, -24) * sqrt((double)d->k) * sqrt((double)d->n) * sqrt((double)d->k) / 3;
    char text[BM_GEMM_TEXT];
    for (int64_t i = 0; i < d->m; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= slack, "%s: %s: row %lld times x is %g, not %g", backend,
                      bm_gemm_text(d, text, sizeof text), (long long)i, got[i], want[i]);
    bm_gemm_bound_destroy(bound);
    bm_free(x);
    bm_free(bx);
    bm_free(want);
    bm_free(got);
    matrix_free(&a);
    matrix_free(&b);
    matrix_free(&out);
}
