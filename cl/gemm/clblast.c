/* The backend `clblast`, for f32: the default on GPUs, with the library's own parameters and its own way of bringing operands into
 * the layout that its kernel wants. dW = dy^T x is multiplied where it lies, dx = dy W copies dy only. Copies go to the node's
 * scratch (CLBlastSgemmWithTempBuffer), so that nothing is allocated while a plan runs. A batch is a loop over single products:
 * the library's batched calls allocate or upload each time. Epilogues are kernels of ours (epilogue.cl). CPUs go their own way:
 * clblast_cpu.c. */
#include <limits.h>

#include "cl/gemm/clblast_priv.h"
#include "core/base/checked.h"

#define EPILOGUE_SIDE 8 /* of a work-group of the epilogue */

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
    else if (d->has_scale) *why = "CLBlast scales no columns";
    else if (!fits(d)) *why = "CLBlast counts in 32 bits, and this is larger";
    else if (!limits->compiler) *why = "CLBlast needs a device with a compiler";
    else if (e && !bm_clblast_load()) *why = BM_CLBLAST_LIBRARY " is not there, or too old (package libclblast1)";
    return *why == NULL;
}

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

/* The offset that the library will see: 0 wherever a sub-buffer can begin there. */
static int64_t offset_seen(const bm_limits *l, int64_t offset, int64_t stride, int64_t batch)
{
    return bm_clblast_aligned(l, offset) && (batch == 1 || bm_clblast_aligned(l, stride)) ? 0 : offset + (batch - 1) * stride;
}

static bm_status scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    *bytes = 0;
    if (limits->type == BM_DEVICE_CPU) *bytes = bm_clblast_cpu_scratch(d, limits);
    else if (!e) *bytes = typical_scratch(d);
    else {
        bm_gemm_desc seen = *d;
        seen.offset_a = offset_seen(limits, d->offset_a, d->stride_a, d->batch);
        seen.offset_b = offset_seen(limits, d->offset_b, d->stride_b, d->batch);
        seen.offset_d = offset_seen(limits, d->offset_d, d->stride_d, d->batch);
        return bm_clblast_temp(bytes, e, &seen);
    }
    return BM_OK;
}

void bm_clblast_epilogue(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, const bm_clblast_sum *sum)
{
    if (sum->mem == args->d && !d->has_bias && !d->has_pre && d->act == BM_ACT_NONE) return;
    char options[BM_GEMM_OPTIONS];
    bm_gemm_desc sums = *d; /* one program for all products that end alike */
    sums.trans_a = sums.trans_b = 0;
    bm_gemm_options(&sums, options, sizeof options);
    const bm_arg a[] = {bm_arg_mem(sum->mem), bm_arg_mem(args->d), bm_arg_mem(args->bias), bm_arg_mem(args->pre), bm_arg_i64(d->m),
                        bm_arg_i64(d->n), bm_arg_i64(sum->ld), bm_arg_i64(d->ldd), bm_arg_i64(sum->offset), bm_arg_i64(d->offset_d),
                        bm_arg_i64(sum->bias_at), bm_arg_i64(d->stride_d), bm_arg_f32(sum->beta)};
    /* One local size for all: a driver that chooses may compile the kernel anew for each that it takes. */
    const bm_kernel_launch k = {"gemm/epilogue", "gemm_epilogue", options, 3,
                                {(size_t)bm_round_up(bm_ceil_div(d->n, 16), EPILOGUE_SIDE), (size_t)bm_round_up(d->m, EPILOGUE_SIDE),
                                 (size_t)d->batch}, {EPILOGUE_SIDE, EPILOGUE_SIDE, 1}, a, sizeof a / sizeof a[0]};
    out->kernel(out->target, &k);
}

static bm_status call_of(bm_clblast_call **out, bm_engine *e, const bm_gemm_desc *d, const bm_gemm_args *args, cl_mem temp)
{
    bm_gemm_desc one = *d;
    one.batch = 1;
    BM_TRY(bm_clblast_call_create(out, e, d->batch, temp));
    for (int64_t i = 0; i < d->batch; i++) {
        bm_status s = bm_clblast_call_add(*out, &one, args);
        if (s) {
            bm_clblast_call_destroy(*out);
            return s;
        }
        one.offset_a += d->stride_a;
        one.offset_b += d->stride_b;
        one.offset_d += d->stride_d;
    }
    return BM_OK;
}

static void launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    const bm_limits *limits = bm_engine_limits(out->engine);
    if (limits->type == BM_DEVICE_CPU) {
        bm_clblast_cpu_launch(out, d, args, scratch_offset);
        return;
    }
    int64_t bytes = 0;
    cl_mem temp = NULL;
    bm_clblast_call *c = NULL;
    bm_status s = scratch(&bytes, d, out->engine, limits);
    if (!s && bytes) temp = out->scratch(out->target, scratch_offset, bytes);
    if (!s) s = call_of(&c, out->engine, d, args, temp);
    if (s) {
        out->fail(out->target, s);
        return;
    }
    out->call(out->target, bm_clblast_call_run, c, bm_clblast_call_destroy);
    bm_clblast_epilogue(out, d, args, &(bm_clblast_sum){.mem = args->d, .offset = d->offset_d, .ld = d->ldd});
}

const bm_gemm_backend bm_gemm_clblast = {"clblast", takes, scratch, launch};
