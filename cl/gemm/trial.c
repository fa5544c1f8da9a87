#include "cl/gemm/trial_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/gemm/measure.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/device/memory.h"
#include "core/device/queue.h"

#define PERIOD 1000003        /* elements of the random data that repeats: a prime, so that no two rows are equal */
#define WHOLE_FLOPS 1e9       /* up to here every element is compared */
#define SAMPLE_ROWS 32
#define TYPES (BM_I8 + 1)
#define MOST_I8 127           /* i8 is random in [-MOST_I8, MOST_I8], every other type in [-1, 1] */

enum { A, B, D, BIAS, PRE, SCALE, REFERENCE, OPERANDS };

struct bm_gemm_trial {
    bm_engine *engine;
    bm_gemm_desc d;
    bm_region *region[OPERANDS];
    cl_mem mem[OPERANDS];
    void *random[TYPES]; /* by type: PERIOD elements */
};

static bm_status narrow(void *out, bm_dtype t, const float *x, int n)
{
    if (t != BM_I8) return bm_convert_floats(out, t, x, BM_F32, (size_t)n);
    for (int i = 0; i < n; i++) ((int8_t *)out)[i] = (int8_t)lrintf(MOST_I8 * x[i]);
    return BM_OK;
}

static bm_status random_data(void **out, bm_dtype t)
{
    if (*out) return BM_OK;
    bm_status status = BM_OK;
    float *x = bm_calloc(PERIOD, sizeof *x);
    void *stored = bm_calloc(PERIOD, bm_dtype_size(t));
    BM_GO(x && stored ? BM_OK : BM_ERR_MEMORY);
    bm_rng r = bm_rng_start(1, bm_rng_stream("gemm trial"), 0);
    for (int i = 0; i < PERIOD; i++) x[i] = 2 * bm_rng_uniform(&r) - 1;
    BM_GO(narrow(stored, t, x, PERIOD));
    *out = stored;
    stored = NULL;
done:
    bm_free(x);
    bm_free(stored);
    return status;
}

/* Random values into the whole of operand i; returns once they are there. */
static bm_status fill(bm_gemm_trial *t, int i, bm_dtype type)
{
    BM_TRY(random_data(&t->random[type], type));
    const int64_t bytes = bm_region_slab_bytes(t->region[i], 0), piece = PERIOD * (int64_t)bm_dtype_size(type);
    bm_queue *q = bm_engine_queue(t->engine);
    for (int64_t at = 0; at < bytes; at += piece)
        BM_TRY(bm_queue_write(q, t->mem[i], at, t->random[type], at + piece < bytes ? piece : bytes - at));
    return bm_queue_finish(q);
}

static bm_status operand(bm_gemm_trial *t, int i, int64_t elements, bm_dtype type)
{
    const int64_t bytes = elements * (int64_t)bm_dtype_size(type);
    BM_TRY(bm_region_create(&t->region[i], t->engine, "operands of a gemm trial", &bytes, 1, 0));
    BM_TRY(bm_region_piece(&t->mem[i], t->region[i], 0, 0, bytes));
    return fill(t, i, type);
}

bm_status bm_gemm_trial_create(bm_gemm_trial **out, bm_engine *e, const bm_gemm_desc *given)
{
    *out = NULL;
    bm_status status = BM_OK;
    bm_gemm_trial *t = bm_calloc(1, sizeof *t);
    if (!t) return BM_ERR_MEMORY;
    t->engine = e;
    t->d = *given;
    const bm_gemm_desc *d = &t->d;
    const int64_t a = bm_gemm_extent(d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k, d->lda, d->batch, d->stride_a);
    const int64_t b = bm_gemm_extent(d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n, d->ldb, d->batch, d->stride_b);
    const int64_t out_elements = d->offset_d + bm_gemm_extent(d->m, d->n, d->ldd, d->batch, d->stride_d);
    BM_GO(operand(t, A, d->offset_a + a, d->type_a));
    BM_GO(operand(t, B, d->offset_b + b, d->type_b));
    BM_GO(operand(t, D, out_elements, d->type_d));
    BM_GO(operand(t, REFERENCE, out_elements, d->type_d));
    if (d->has_bias) BM_GO(operand(t, BIAS, d->n, d->type_d));
    if (d->has_scale) BM_GO(operand(t, SCALE, d->n, BM_F32));
    if (d->has_pre) BM_GO(operand(t, PRE, out_elements, d->type_d));
    *out = t;
    return BM_OK;
done:
    bm_gemm_trial_destroy(t);
    return status;
}

void bm_gemm_trial_destroy(bm_gemm_trial *t)
{
    if (!t) return;
    for (int i = 0; i < OPERANDS; i++) bm_region_destroy(t->region[i]);
    for (int i = 0; i < TYPES; i++) bm_free(t->random[i]);
    bm_free(t);
}

bm_status bm_gemm_trial_bind(bm_gemm_bound **out, bm_gemm_trial *t, const bm_gemm_backend *b)
{
    const bm_gemm_args args = {t->mem[A], t->mem[B], t->mem[D], t->mem[BIAS], t->mem[PRE], t->mem[SCALE]};
    return bm_gemm_bound_create(out, t->engine, b, &t->d, &args);
}

/* `rows` rows of product `batch`, from `first` on. */
static bm_gemm_desc rows_of(const bm_gemm_desc *d, int64_t batch, int64_t first, int64_t rows)
{
    bm_gemm_desc s = *d;
    s.m = rows;
    s.batch = 1;
    s.offset_a += batch * d->stride_a + (d->trans_a ? first : first * d->lda);
    s.offset_b += batch * d->stride_b;
    s.offset_d += batch * d->stride_d + first * d->ldd;
    return s;
}

/* The reference's rows into `want`, D's into `got`, as f32. */
static bm_status read_rows(float *got, float *want, void *raw, bm_gemm_trial *t, const bm_gemm_desc *s)
{
    const int64_t n = bm_gemm_extent(s->m, s->n, s->ldd, s->batch, s->stride_d), size = (int64_t)bm_dtype_size(s->type_d);
    bm_queue *q = bm_engine_queue(t->engine);
    BM_TRY(bm_queue_read(q, t->mem[D], s->offset_d * size, raw, n * size));
    BM_TRY(bm_convert_floats(got, BM_F32, raw, s->type_d, (size_t)n));
    BM_TRY(bm_queue_read(q, t->mem[REFERENCE], s->offset_d * size, raw, n * size));
    return bm_convert_floats(want, BM_F32, raw, s->type_d, (size_t)n);
}

static bm_status compare(const float *got, const float *want, const bm_gemm_desc *s)
{
    const double unit = s->type_d == BM_F16 ? ldexp(1, -10) : s->type_d == BM_BF16 ? ldexp(1, -7) : 0;
    const double largest = s->type_b == BM_I8 ? MOST_I8 : 1;
    const double rms = fabs((double)s->alpha) * largest * sqrt((double)s->k) / 3 + fabs((double)s->beta) + s->has_bias;
    const double slack = 16 * ldexp(1, -24) * sqrt((double)s->k);
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t i = 0; i < s->m; i++)
            for (int64_t j = 0; j < s->n; j++) {
                const int64_t at = b * s->stride_d + i * s->ldd + j;
                const double w = want[at], g = got[at];
                if (!(fabs(g - w) <= slack * fmax(fabs(w), rms) + unit * fabs(w) + (unit > 0 ? 1e-7 : 0)))
                    return bm_fail(BM_ERR_DIFFERS, "row %lld, column %lld is %g, not %g", (long long)i, (long long)j, g, w);
            }
    return BM_OK;
}

static bm_status check_rows(bm_gemm_trial *t, const bm_gemm_desc *s)
{
    bm_status status = BM_OK;
    bm_gemm_bound *reference = NULL;
    const size_t n = (size_t)bm_gemm_extent(s->m, s->n, s->ldd, s->batch, s->stride_d);
    float *got = bm_calloc(n, sizeof *got), *want = bm_calloc(n, sizeof *want);
    void *raw = bm_calloc(n, sizeof *want);
    BM_GO(got && want && raw ? BM_OK : BM_ERR_MEMORY);
    const bm_gemm_args args = {t->mem[A], t->mem[B], t->mem[REFERENCE], t->mem[BIAS], t->mem[PRE], t->mem[SCALE]};
    BM_GO(bm_gemm_bound_create(&reference, t->engine, &bm_gemm_tiled, s, &args));
    BM_GO(bm_gemm_bound_run(reference));
    BM_GO(read_rows(got, want, raw, t, s));
    BM_GO(compare(got, want, s));
done:
    bm_gemm_bound_destroy(reference);
    bm_free(got);
    bm_free(want);
    bm_free(raw);
    return status;
}

bm_status bm_gemm_trial_check(bm_gemm_trial *t, bm_gemm_bound *b)
{
    const bm_gemm_desc *d = &t->d;
    BM_TRY(fill(t, D, d->type_d));
    BM_TRY(fill(t, REFERENCE, d->type_d));
    BM_TRY(bm_gemm_bound_run(b));
    BM_TRY(bm_queue_finish(bm_engine_queue(t->engine)));
    if (bm_gemm_flops(d) <= WHOLE_FLOPS) return check_rows(t, d);
    const int64_t rows = d->m < SAMPLE_ROWS ? d->m : SAMPLE_ROWS;
    const bm_gemm_desc first = rows_of(d, 0, 0, rows), last = rows_of(d, d->batch - 1, d->m - rows, rows);
    BM_TRY(check_rows(t, &first));
    return d->batch == 1 && rows == d->m ? BM_OK : check_rows(t, &last);
}

bm_status bm_gemm_trial_time(double *seconds, bm_gemm_trial *t, bm_gemm_bound *b)
{
    const double start = bm_now_s();
    BM_TRY(bm_gemm_bound_run(b));
    BM_TRY(bm_queue_finish(bm_engine_queue(t->engine)));
    *seconds = bm_now_s() - start;
    return BM_OK;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bm_status median_of(double *seconds, bm_gemm_trial *t, bm_gemm_bound *b, int runs)
{
    double *s = bm_calloc((size_t)runs, sizeof *s);
    if (!s) return BM_ERR_MEMORY;
    bm_status status = bm_gemm_trial_time(&s[0], t, b);
    for (int i = 0; i < runs && !status; i++) status = bm_gemm_trial_time(&s[i], t, b);
    qsort(s, (size_t)runs, sizeof *s, by_size);
    *seconds = s[runs / 2];
    bm_free(s);
    return status;
}

bm_status bm_gemm_measure(double *seconds, bm_engine *e, const char *backend, const bm_gemm_desc *d, int runs)
{
    *seconds = 0;
    BM_TRY(bm_gemm_desc_check(d));
    const char *why = NULL;
    char text[BM_GEMM_TEXT];
    if (!bm_gemm_backend_takes(backend, e, d, &why))
        return bm_fail(BM_ERR_UNSUPPORTED, "gemm backend %s does not take %s: %s", backend, bm_gemm_text(d, text, sizeof text), why);
    if (bm_gemm_flops(d) <= 0 || runs < 1) return bm_fail(BM_ERR_USAGE, "gemm: nothing to measure");
    const bm_gemm_desc full = bm_gemm_desc_full(d);
    bm_status status = BM_OK;
    bm_gemm_trial *t = NULL;
    bm_gemm_bound *b = NULL;
    BM_GO(bm_gemm_trial_create(&t, e, &full));
    BM_GO(bm_gemm_trial_bind(&b, t, bm_gemm_backend_find(backend)));
    BM_GO(median_of(seconds, t, b, runs));
done:
    bm_gemm_bound_destroy(b);
    bm_gemm_trial_destroy(t);
    return status;
}
