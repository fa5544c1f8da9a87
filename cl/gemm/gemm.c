#include "cl/gemm/gemm.h"

#include <stdio.h>
#include <string.h>

#include "cl/gemm/gemm_priv.h"
#include "core/base/checked.h"

static const bm_gemm_backend *const backends[] = {&bm_gemm_clblast, &bm_gemm_packed, &bm_gemm_packed_ab, &bm_gemm_tiled};
#define BACKENDS ((int)(sizeof backends / sizeof backends[0]))

bm_gemm_desc bm_gemm_desc_default(int64_t m, int64_t n, int64_t k)
{
    bm_gemm_desc d;
    memset(&d, 0, sizeof d);
    d.m = m;
    d.n = n;
    d.k = k;
    d.batch = 1;
    d.type_a = d.type_b = d.type_d = BM_F32;
    d.alpha = 1.0f;
    d.act = BM_ACT_NONE;
    return d;
}

bm_gemm_desc bm_gemm_desc_full(const bm_gemm_desc *d)
{
    bm_gemm_desc f = *d;
    if (!f.lda) f.lda = f.trans_a ? f.m : f.k;
    if (!f.ldb) f.ldb = f.trans_b ? f.k : f.n;
    if (!f.ldd) f.ldd = f.n;
    return f;
}

int64_t bm_gemm_extent(int64_t rows, int64_t cols, int64_t ld, int64_t batch, int64_t stride)
{
    return rows && cols && batch ? (batch - 1) * stride + (rows - 1) * ld + cols : 0;
}

/* One operand: leading dimension wide enough, and offset + extent, in bytes, within 64 bits. */
static bm_status check_operand(const char *name, const int64_t sizes[2], int64_t ld, int64_t batch, const int64_t place[2],
                               bm_dtype t)
{
    const int64_t rows = sizes[0], cols = sizes[1], offset = place[0], stride = place[1];
    if (!BM_GEMM_IS_STORAGE(t) && !(t == BM_I8 && *name == 'B'))
        return bm_fail(BM_ERR_SHAPE, "gemm: %s has type %s; f32, f16 and bf16 can be multiplied, and i8 as B", name, bm_dtype_name(t));
    if (offset < 0 || stride < 0) return bm_fail(BM_ERR_SHAPE, "gemm: %s has a negative offset or stride", name);
    if (ld < cols)
        return bm_fail(BM_ERR_SHAPE, "gemm: rows of %s are %lld apart, less than their %lld elements", name, (long long)ld,
                       (long long)cols);
    int64_t a, b, last;
    if (!rows || !cols || !batch) return BM_OK;
    if (bm_mul_i64(&a, rows - 1, ld) || bm_mul_i64(&b, batch - 1, stride) || bm_add_i64(&last, a, b) ||
        bm_add_i64(&last, last, cols) || bm_add_i64(&last, last, offset) || bm_mul_i64(&last, last, 8))
        return bm_fail(BM_ERR_SHAPE, "gemm: %s does not fit a 64-bit address", name);
    return BM_OK;
}

bm_status bm_gemm_desc_check(const bm_gemm_desc *given)
{
    if (given->m < 0 || given->n < 0 || given->k < 0 || given->batch < 0)
        return bm_fail(BM_ERR_SHAPE, "gemm: %lld x %lld x %lld times %lld: a size is negative", (long long)given->m,
                       (long long)given->n, (long long)given->k, (long long)given->batch);
    const bm_gemm_desc f = bm_gemm_desc_full(given), *d = &f;
    const int64_t a[2] = {d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k};
    const int64_t b[2] = {d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n};
    const int64_t out[2] = {d->m, d->n};
    BM_TRY(check_operand("A", a, d->lda, d->batch, (const int64_t[]){d->offset_a, d->stride_a}, d->type_a));
    BM_TRY(check_operand("B", b, d->ldb, d->batch, (const int64_t[]){d->offset_b, d->stride_b}, d->type_b));
    BM_TRY(check_operand("D", out, d->ldd, d->batch, (const int64_t[]){d->offset_d, d->stride_d}, d->type_d));
    if (d->batch > 1 && d->stride_d < bm_gemm_extent(d->m, d->n, d->ldd, 1, 0) && d->m && d->n)
        return bm_fail(BM_ERR_SHAPE, "gemm: the products of a batch lie %lld apart and overlap in D", (long long)d->stride_d);
    if (d->act < BM_ACT_NONE || d->act > BM_ACT_SIGMOID) return bm_fail(BM_ERR_USAGE, "gemm: no activation %d", (int)d->act);
    return BM_OK;
}

double bm_gemm_flops(const bm_gemm_desc *d)
{
    return 2.0 * (double)d->m * (double)d->n * (double)d->k * (double)d->batch;
}

char *bm_gemm_text(const bm_gemm_desc *d, char *buf, size_t bytes)
{
    char batch[32] = "", types[48];
    if (d->batch != 1) snprintf(batch, sizeof batch, " x%lld", (long long)d->batch);
    if (d->type_a == d->type_b && d->type_b == d->type_d) snprintf(types, sizeof types, "%s", bm_dtype_name(d->type_a));
    else snprintf(types, sizeof types, "%s*%s->%s", bm_dtype_name(d->type_a), bm_dtype_name(d->type_b), bm_dtype_name(d->type_d));
    snprintf(buf, bytes, "%c%c %lldx%lldx%lld%s %s", d->trans_a ? 'T' : 'N', d->trans_b ? 'T' : 'N', (long long)d->m,
             (long long)d->n, (long long)d->k, batch, types);
    return buf;
}

char *bm_gemm_options(const bm_gemm_desc *d, char *buf, size_t bytes)
{
    snprintf(buf, bytes, "-DTYPE_A=%d -DTYPE_B=%d -DTYPE_D=%d -DTRANS_A=%d -DTRANS_B=%d -DHAS_SCALE=%d -DHAS_BIAS=%d "
                         "-DHAS_PRE=%d -DACT=%d", (int)d->type_a, (int)d->type_b, (int)d->type_d, !!d->trans_a, !!d->trans_b,
             !!d->has_scale, !!d->has_bias, !!d->has_pre, (int)d->act);
    return buf;
}

const char *const *bm_gemm_backends(void)
{
    static const char *const names[] = {"clblast", "packed", "packed_ab", "tiled", NULL};
    return names;
}

const bm_gemm_backend *bm_gemm_backend_find(const char *name)
{
    for (int i = 0; i < BACKENDS; i++)
        if (!strcmp(backends[i]->name, name)) return backends[i];
    return NULL;
}

int bm_gemm_backend_takes(const char *backend, bm_engine *e, const bm_gemm_desc *d, const char **why)
{
    const bm_gemm_backend *b = bm_gemm_backend_find(backend);
    const char *reason = NULL;
    const bm_gemm_desc full = bm_gemm_desc_full(d);
    int takes = b && !bm_gemm_desc_check(d) && b->takes(&full, e, bm_engine_limits(e), &reason);
    if (!takes && !reason) reason = b ? "the product is not valid" : "there is no backend of that name";
    if (why) *why = takes ? NULL : reason;
    return takes;
}

const bm_gemm_backend *bm_gemm_default(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    const bm_gemm_backend *first = &bm_gemm_tiled;
    const char *why;
    if (!d->k) return first; /* only the epilogue is left */
    if ((e ? bm_engine_form(e) : bm_limits_form(limits)) == BM_FORM_CPU) first = &bm_gemm_packed;
    if (limits->type == BM_DEVICE_GPU) first = &bm_gemm_clblast;
    return first->takes(d, e, limits, &why) ? first : &bm_gemm_tiled;
}

/* ---- into a plan ---- */

static void plan_fail(void *l, bm_status s)
{
    bm_launcher_fail(l, s);
}
static void plan_kernel(void *l, const bm_kernel_launch *k)
{
    bm_launcher_kernel(l, k);
}
static void plan_call(void *l, bm_call_fn run, void *ctx, void (*destroy)(void *ctx))
{
    bm_launcher_call(l, run, ctx, destroy);
}
static cl_mem plan_scratch(void *l, int64_t offset, int64_t bytes)
{
    return bm_launcher_scratch(l, offset, bytes);
}

bm_status bm_gemm_scratch(int64_t *bytes, bm_launcher *l, const bm_gemm_desc *d, const bm_limits *limits)
{
    *bytes = 0;
    BM_TRY(bm_gemm_desc_check(d));
    const bm_gemm_desc full = bm_gemm_desc_full(d);
    if (!full.m || !full.n || !full.batch) return BM_OK;
    bm_engine *e = l ? bm_launcher_engine(l) : NULL;
    const char *forced = l ? bm_launcher_gemm(l) : NULL;
    const bm_gemm_backend *b = NULL;
    if (e) BM_TRY(bm_gemm_choose(&b, e, &full, forced));
    else BM_TRY(bm_gemm_foresee(&b, limits, &full, forced));
    return b->scratch(bytes, &full, e, limits);
}

void bm_gemm_launch(bm_launcher *l, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    if (bm_launcher_status(l)) return;
    bm_engine *e = bm_launcher_engine(l);
    const bm_gemm_desc full = bm_gemm_desc_full(d);
    const bm_gemm_backend *b = NULL;
    bm_status s = bm_gemm_desc_check(d);
    if (!s && (!full.m || !full.n || !full.batch)) return;
    if (!s) s = bm_gemm_choose(&b, e, &full, bm_launcher_gemm(l));
    if (s) {
        bm_launcher_fail(l, s);
        return;
    }
    bm_gemm_emit out = {e, l, plan_fail, plan_kernel, plan_call, plan_scratch};
    b->launch(&out, &full, args, scratch_offset);
}
