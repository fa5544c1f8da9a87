/* The backend that every device runs; see cl/gemm/tiled.cl. */
#include <stdio.h>
#include <string.h>

#include "cl/gemm/gemm_priv.h"
#include "core/base/checked.h"

/* Work-items along one side of a group: 16 where the device takes 256 of them and is no CPU. */
static int side_of(const bm_limits *l)
{
    return l->type != BM_DEVICE_CPU && l->max_work_group >= 256 && l->max_work_item[0] >= 16 && l->max_work_item[1] >= 16 ? 16 : 8;
}

static int takes(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits, const char **why)
{
    (void)d;
    (void)e;
    (void)limits;
    (void)why;
    return 1;
}

static bm_status scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    (void)d;
    (void)e;
    (void)limits;
    *bytes = 0;
    return BM_OK;
}

static void launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *a, int64_t scratch_offset)
{
    (void)scratch_offset;
    const size_t side = (size_t)side_of(bm_engine_limits(out->engine));
    char options[BM_GEMM_OPTIONS + 32];
    const size_t n = strlen(bm_gemm_options(d, options, sizeof options));
    snprintf(options + n, sizeof options - n, " -DSIDE=%d", (int)side);
    const bm_arg args[] = {
        bm_arg_mem(a->a), bm_arg_mem(a->b), bm_arg_mem(a->d), bm_arg_mem(a->bias), bm_arg_mem(a->pre),
        bm_arg_mem(a->scale), bm_arg_i64(d->m), bm_arg_i64(d->n), bm_arg_i64(d->k), bm_arg_i64(d->lda), bm_arg_i64(d->ldb),
        bm_arg_i64(d->ldd), bm_arg_i64(d->offset_a),
        bm_arg_i64(d->offset_b), bm_arg_i64(d->offset_d), bm_arg_i64(d->stride_a), bm_arg_i64(d->stride_b),
        bm_arg_i64(d->stride_d), bm_arg_f32(d->alpha), bm_arg_f32(d->beta)};
    const size_t across = (size_t)bm_ceil_div(d->n, 4 * (int64_t)side), down = (size_t)bm_ceil_div(d->m, 4 * (int64_t)side);
    const bm_kernel_launch k = {"gemm/tiled", "gemm_tile", options, 3,
                                {across * side, down * side, (size_t)d->batch}, {side, side, 1},
                                args, sizeof args / sizeof args[0]};
    out->kernel(out->target, &k);
}

const bm_gemm_backend bm_gemm_tiled = {"tiled", takes, scratch, launch};
