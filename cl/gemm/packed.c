/* The backend for CPU devices: kernels and their blocking are described in cl/gemm/packed.cl. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cl/gemm/bound_priv.h"
#include "cl/gemm/gemm_priv.h"
#include "core/base/checked.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/memory.h"
#include "core/device/queue.h"

#define RUN 384                     /* units of a panel: 32 columns are 48 KiB, about a first-level cache */
#define RUN_WIDE 1024               /* with a 16-bit D, so that its sums rarely need a buffer of their own */
#define PACK_K 384                  /* k of the packed rows of A, or a multiple where all rows fit TILES_BYTES */
#define DIRECT_K 4096               /* k of one launch on A where it lies: its block stays in the last-level cache */
#define TILES_BYTES (4ll << 20)     /* packed rows of A: they are read again before they leave the caches */
#define PART_BYTES (32ll << 20)     /* sums of a 16-bit D */
#define BLOCKS_PER_UNIT 8           /* work-items for each core, so that the last ones end together */
#define LEAST_BLOCK_ROWS 64
#define STRIDED_ROWS 1024           /* of a block whose A lies transposed: more of them leave the caches between two panels */
#define PANELS 4                    /* for each work-item where there are rows enough to share out as well */
#define PANEL_ROWS 512

/* Rows that gemm_few takes. */
#define FEW 8

typedef struct blocking {
    int width, cols, rows;   /* lanes of a vector; of a tile in registers */
    int few;                 /* gemm_few */
    int unit_k;              /* k of a unit of 4 bytes: 2 for pairs of bf16, else 1 */
    int a_packed;            /* pack_rows first */
    int needs_part;          /* sums apart from D */
    int64_t run, group_k;    /* k of a panel, of a launch */
    int64_t group_m, group_batch;
    int64_t tiles_stride, tiles_bytes; /* units for each product; bytes for a launch */
    int64_t part_stride, part_offset;
    int64_t scratch;
} blocking;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* `total` in equal parts of at most `limit`, each a multiple of `step` (limit is one). */
static int64_t equal_parts(int64_t total, int64_t limit, int64_t step)
{
    return bm_round_up(bm_ceil_div(total, bm_ceil_div(total, limit)), step);
}

/* In k. */
static int64_t longest_run(const bm_limits *limits, const blocking *b, int64_t wanted)
{
    return least(wanted, limits->local_bytes / (4 * b->cols) / 8 * 8) * b->unit_k;
}

static int vector_width(const bm_limits *limits)
{
    return limits->float_width >= 16 ? 16 : 8;
}

static int64_t panel_bytes(const blocking *b)
{
    return 4 * bm_ceil_div(b->run, b->unit_k) * b->cols;
}

static int is_few(const bm_gemm_desc *d)
{
    return d->m <= FEW && !d->trans_a;
}

static blocking blocking_of(const bm_gemm_desc *d, const bm_limits *limits, int pairs)
{
    blocking b = {0};
    b.width = vector_width(limits);
    b.unit_k = pairs ? 2 : 1;
    b.cols = 2 * b.width;
    b.rows = b.width == 16 ? 8 : 6;
    b.few = is_few(d);
    b.group_m = d->m;
    b.group_batch = d->batch;
    if (b.few) return b;

    b.a_packed = pairs ? d->trans_a : d->type_a != BM_F32;
    const int64_t run = longest_run(limits, &b, RUN), run_wide = longest_run(limits, &b, RUN_WIDE);
    const int64_t tiles_k = TILES_BYTES / 4 * b.unit_k; /* k of all packed rows of A together */
    const int one_run = d->k <= (d->type_d == BM_F32 ? run : run_wide);
    const int64_t pack_k = most(tiles_k / d->m / PACK_K, 1) * PACK_K;
    b.group_k = one_run ? d->k : equal_parts(d->k, b.a_packed ? pack_k : DIRECT_K, 8);
    b.run = one_run ? d->k : equal_parts(b.group_k, run, 8);
    b.needs_part = d->type_d != BM_F32 && !one_run;

    int64_t rows = d->m;
    if (b.a_packed) rows = least(rows, tiles_k / b.group_k);
    if (b.needs_part) rows = least(rows, PART_BYTES / 4 / d->n);
    if (rows < d->m) rows = equal_parts(d->m, most(rows / b.rows, 1) * b.rows, b.rows);
    b.group_m = rows;
    b.tiles_stride = b.a_packed ? bm_round_up(rows, b.rows) * bm_ceil_div(b.group_k, b.unit_k) : 0;
    b.part_stride = b.needs_part ? rows * d->n : 0;
    if (b.a_packed) b.group_batch = least(b.group_batch, most(1, TILES_BYTES / 4 / b.tiles_stride));
    if (b.needs_part) b.group_batch = least(b.group_batch, most(1, PART_BYTES / 4 / b.part_stride));
    b.tiles_bytes = 4 * b.tiles_stride * b.group_batch;
    b.part_offset = bm_round_up(b.tiles_bytes, most(limits->align_bytes, 64));
    b.scratch = b.needs_part ? b.part_offset + 4 * b.part_stride * b.group_batch : b.tiles_bytes;
    return b;
}

static int takes(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits, const char **why)
{
    (void)d;
    (void)e;
    /* A panel of 64 k at least. */
    if (limits->local_bytes < 4 * 32 * 64) {
        *why = "the device has less than 8 KiB of local memory";
        return 0;
    }
    return 1;
}

/* One launch's part of the product. */
typedef struct part {
    const blocking *b;
    const bm_gemm_desc *d;
    const bm_gemm_args *args;
    const char *options;
    cl_mem tiles, sums;
    int64_t m0, m, k0, k1, batch0, batch;
} part;

static void launch_few(bm_gemm_emit *out, const part *p)
{
    const bm_gemm_desc *d = p->d;
    const bm_arg args[] = {
        bm_arg_mem(p->args->a), bm_arg_mem(p->args->b), bm_arg_mem(p->args->d), bm_arg_mem(p->args->bias), bm_arg_mem(p->args->pre),
        bm_arg_mem(p->args->scale), bm_arg_i64(d->n), bm_arg_i64(d->k), bm_arg_i64(d->lda), bm_arg_i64(d->ldb), bm_arg_i64(d->ldd),
        bm_arg_i64(d->offset_a), bm_arg_i64(d->offset_b), bm_arg_i64(d->offset_d),
        bm_arg_i64(d->stride_a), bm_arg_i64(d->stride_b), bm_arg_i64(d->stride_d), bm_arg_f32(d->alpha), bm_arg_f32(d->beta)};
    const bm_kernel_launch k = {"gemm/packed", "gemm_few", p->options, 3,
                                {(size_t)bm_ceil_div(d->n, p->b->cols), 1, (size_t)d->batch}, {1, 1, 1},
                                args, sizeof args / sizeof args[0]};
    out->kernel(out->target, &k);
}

static void launch_pack(bm_gemm_emit *out, const part *p)
{
    const bm_gemm_desc *d = p->d;
    /* PACK_RUN and PACK_ROWS of packed.cl. */
    const int64_t run = d->trans_a ? 16 : 256, rows = (d->trans_a ? 64 : 4) * p->b->rows;
    const int64_t at = d->offset_a + p->batch0 * d->stride_a + (d->trans_a ? p->m0 : p->m0 * d->lda);
    const bm_arg args[] = {bm_arg_mem(p->args->a), bm_arg_mem(p->tiles), bm_arg_i64(p->m), bm_arg_i64(p->k0),
                           bm_arg_i64(p->k1 - p->k0), bm_arg_i64(d->lda), bm_arg_i64(at), bm_arg_i64(d->stride_a),
                           bm_arg_i64(p->b->tiles_stride)};
    const bm_kernel_launch k = {"gemm/packed", "pack_rows", p->options, 3,
                                {(size_t)bm_ceil_div(p->k1 - p->k0, run), (size_t)bm_ceil_div(p->m, rows), (size_t)p->batch},
                                {1, 1, 1}, args, sizeof args / sizeof args[0]};
    out->kernel(out->target, &k);
}

/* How D is shared out: columns of panels, and rows where the columns alone do not keep every core busy. */
typedef struct sharing {
    int64_t panels, rows, columns;
} sharing;

static sharing share_out(const part *p, const bm_limits *limits)
{
    const int64_t wanted = (int64_t)BLOCKS_PER_UNIT * most(limits->compute_units, 1);
    const int64_t all = bm_ceil_div(p->d->n, p->b->cols);
    sharing s = {1, p->m, all};
    if (p->m >= PANEL_ROWS) s.panels = most(1, least(least(PANELS, all), limits->local_bytes / panel_bytes(p->b)));
    s.columns = bm_ceil_div(all, s.panels);
    s.panels = bm_ceil_div(all, s.columns);
    if (s.columns * p->batch < wanted) {
        const int64_t rows = bm_round_up(bm_ceil_div(p->m, bm_ceil_div(wanted, s.columns * p->batch)), p->b->rows);
        s.rows = most(rows, bm_round_up(LEAST_BLOCK_ROWS, p->b->rows));
    }
    if (p->d->trans_a && !p->b->a_packed) s.rows = least(s.rows, STRIDED_ROWS / p->b->rows * p->b->rows);
    return s;
}

static void launch_block(bm_gemm_emit *out, const part *p)
{
    const bm_gemm_desc *d = p->d;
    const blocking *b = p->b;
    const sharing s = share_out(p, bm_engine_limits(out->engine));
    const int64_t at_a = b->a_packed ? 0 : d->offset_a + p->batch0 * d->stride_a + (d->trans_a ? p->m0 : p->m0 * d->lda);
    const int64_t at_b = d->offset_b + p->batch0 * d->stride_b;
    const int64_t at_d = d->offset_d + p->batch0 * d->stride_d + p->m0 * d->ldd;
    const bm_arg args[] = {
        bm_arg_mem(b->a_packed ? p->tiles : p->args->a), bm_arg_mem(p->args->b), bm_arg_mem(p->args->d),
        bm_arg_mem(p->args->bias), bm_arg_mem(p->args->pre), bm_arg_mem(p->args->scale),
        /* A product in one run never touches the sums, whatever D's type. */
        bm_arg_mem(b->needs_part ? p->sums : p->args->d), bm_arg_local((size_t)(s.panels * panel_bytes(b))),
        bm_arg_i64(p->m), bm_arg_i64(d->n), bm_arg_i64(p->k0), bm_arg_i64(p->k1), bm_arg_i64(d->k), bm_arg_i64(b->run),
        bm_arg_i64(s.panels), bm_arg_i64(s.rows), bm_arg_i64(d->lda), bm_arg_i64(d->ldb), bm_arg_i64(d->ldd), bm_arg_i64(b->needs_part ? d->n : d->ldd),
        bm_arg_i64(at_a), bm_arg_i64(at_b), bm_arg_i64(at_d), bm_arg_i64(b->needs_part ? 0 : at_d),
        bm_arg_i64(b->a_packed ? b->tiles_stride : d->stride_a), bm_arg_i64(d->stride_b), bm_arg_i64(d->stride_d),
        bm_arg_i64(b->needs_part ? b->part_stride : d->stride_d), bm_arg_f32(d->alpha), bm_arg_f32(d->beta)};
    const bm_kernel_launch k = {"gemm/packed", "gemm_block", p->options, 3,
                                {(size_t)s.columns, (size_t)bm_ceil_div(p->m, s.rows), (size_t)p->batch},
                                {1, 1, 1}, args, sizeof args / sizeof args[0]};
    out->kernel(out->target, &k);
}

static void launch_form(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset, int pairs)
{
    const blocking b = blocking_of(d, bm_engine_limits(out->engine), pairs);
    char options[BM_GEMM_OPTIONS + 64];
    const size_t n = strlen(bm_gemm_options(d, options, sizeof options));
    snprintf(options + n, sizeof options - n, " -DWIDTH=%d -DA_PACKED=%d -DPAIRS=%d -DFEW=%d", b.width, b.a_packed, pairs,
             b.few ? (int)d->m : 1);
    part p = {&b, d, args, options, NULL, NULL, 0, d->m, 0, d->k, 0, d->batch};
    if (b.few) {
        launch_few(out, &p);
        return;
    }
    if (b.tiles_bytes) p.tiles = out->scratch(out->target, scratch_offset, b.tiles_bytes);
    if (b.needs_part) p.sums = out->scratch(out->target, scratch_offset + b.part_offset, b.scratch - b.part_offset);
    for (p.batch0 = 0; p.batch0 < d->batch; p.batch0 += b.group_batch)
        for (p.m0 = 0; p.m0 < d->m; p.m0 += b.group_m)
            for (p.k0 = 0; p.k0 < d->k; p.k0 += b.group_k) {
                p.batch = least(b.group_batch, d->batch - p.batch0);
                p.m = least(b.group_m, d->m - p.m0);
                p.k1 = least(p.k0 + b.group_k, d->k);
                if (b.a_packed) launch_pack(out, &p);
                launch_block(out, &p);
            }
}

/* ---- whether the form for pairs of bf16 is used: where a product by it came out right on this engine ---- */

typedef enum verdict { UNTRIED, RIGHT, WRONG } verdict;

/* By transposes and the type of D, each a program of its own. */
typedef struct verdicts {
    verdict of[2][2][3];
} verdicts;

static const char verdicts_key = 0;
static pthread_mutex_t verdicts_lock = PTHREAD_MUTEX_INITIALIZER; /* held during a trial: the queue sees one at a time */

static bm_status pairs_scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    (void)e;
    *bytes = blocking_of(d, limits, 1).scratch;
    return BM_OK;
}

static void pairs_launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    launch_form(out, d, args, scratch_offset, 1);
}

/* A product whose rows, columns and k leave something over after every block of the form. Its elements are -2 .. 2, so that
 * the sums, at most 4 K, are exact in D of any type: bf16 has every whole number up to 256. */
enum { TRIAL_M = 19, TRIAL_N = 37, TRIAL_K = 51 };

static int whole_number(int64_t i, int stream)
{
    return (int)((uint32_t)(i * 2 + stream) * 2654435761u >> 16) % 5 - 2;
}

static bm_status write_numbers(cl_mem to, bm_engine *e, int64_t n, int stream)
{
    float x[TRIAL_N * TRIAL_K];
    uint16_t stored[TRIAL_N * TRIAL_K];
    for (int64_t i = 0; i < n; i++) x[i] = (float)whole_number(i, stream);
    BM_TRY(bm_convert_floats(stored, BM_BF16, x, BM_F32, (size_t)n));
    BM_TRY(bm_queue_write(bm_engine_queue(e), to, 0, stored, 2 * n));
    return bm_queue_finish(bm_engine_queue(e));
}

static bm_status compare_numbers(const float *got, const bm_gemm_desc *d)
{
    for (int64_t i = 0; i < d->m; i++)
        for (int64_t j = 0; j < d->n; j++) {
            int want = 0;
            for (int64_t k = 0; k < d->k; k++)
                want += whole_number(d->trans_a ? k * d->m + i : i * d->k + k, 0) *
                        whole_number(d->trans_b ? j * d->k + k : k * d->n + j, 1);
            if (got[i * d->n + j] != (float)want)
                return bm_fail(BM_ERR_DIFFERS, "row %lld, column %lld is %g, not %d", (long long)i, (long long)j,
                               (double)got[i * d->n + j], want);
        }
    return BM_OK;
}

static bm_status try_pairs(bm_engine *e, const bm_gemm_desc *like)
{
    static const bm_gemm_backend backend = {"packed", takes, pairs_scratch, pairs_launch};
    bm_gemm_desc d = bm_gemm_desc_default(TRIAL_M, TRIAL_N, TRIAL_K);
    d.trans_a = like->trans_a;
    d.trans_b = like->trans_b;
    d.type_a = d.type_b = BM_BF16;
    d.type_d = like->type_d;
    d = bm_gemm_desc_full(&d);
    const int64_t elements[3] = {d.m * d.k, d.k * d.n, d.m * d.n};
    const int64_t bytes[3] = {2 * elements[0], 2 * elements[1], elements[2] * (int64_t)bm_dtype_size(d.type_d)};
    bm_status status = BM_OK;
    bm_region *region = NULL;
    bm_gemm_bound *bound = NULL;
    cl_mem mem[3] = {NULL};
    float raw[TRIAL_M * TRIAL_N], got[TRIAL_M * TRIAL_N];
    BM_GO(bm_region_create(&region, e, "trial of bf16 products", bytes, 3, 0));
    for (int i = 0; i < 3; i++) BM_GO(bm_region_piece(&mem[i], region, i, 0, bytes[i]));
    BM_GO(write_numbers(mem[0], e, elements[0], 0));
    BM_GO(write_numbers(mem[1], e, elements[1], 1));
    BM_GO(bm_gemm_bound_create(&bound, e, &backend, &d, &(bm_gemm_args){.a = mem[0], .b = mem[1], .d = mem[2]}));
    BM_GO(bm_gemm_bound_run(bound));
    BM_GO(bm_queue_read(bm_engine_queue(e), mem[2], 0, raw, bytes[2]));
    BM_GO(bm_convert_floats(got, BM_F32, raw, d.type_d, (size_t)elements[2]));
    BM_GO(compare_numbers(got, &d));
done:
    bm_gemm_bound_destroy(bound);
    bm_region_destroy(region);
    return status;
}

static void free_verdicts(void *object)
{
    bm_free(object);
}

/* The engine's verdicts, made when first asked for. */
static bm_status verdicts_of(verdicts **out, bm_engine *e)
{
    *out = bm_engine_attached(e, &verdicts_key);
    if (*out) return BM_OK;
    verdicts *made = bm_calloc(1, sizeof *made);
    bm_status s = made ? bm_engine_attach(e, &verdicts_key, made, free_verdicts) : BM_ERR_MEMORY;
    if (s) bm_free(made);
    else *out = made;
    return s;
}

/* Lack of memory is the caller's; any other failure leaves the engine without the form, said once. */
static bm_status judge(verdict *v, bm_engine *e, const bm_gemm_desc *d)
{
    const bm_status s = try_pairs(e, d);
    if (s == BM_ERR_MEMORY || s == BM_ERR_DEVICE_MEMORY) return s;
    *v = s ? WRONG : RIGHT;
    if (s)
        bm_log_once("gemm packed bf16", BM_LOG_WARN,
                    "%s: bf16 operands are multiplied as f32, since vdpbf16ps failed its trial: %s", bm_engine_device_name(e),
                    bm_error_text(s));
    return BM_OK;
}

/* `e` NULL: as it should be on a device of these limits. */
static bm_status takes_pairs(int *out, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    *out = limits->bf16_dot && vector_width(limits) == 16 && d->type_a == BM_BF16 && d->type_b == BM_BF16 && !is_few(d);
    if (!*out || !e) return BM_OK;
    verdicts *all = NULL;
    pthread_mutex_lock(&verdicts_lock);
    bm_status s = verdicts_of(&all, e);
    if (!s) {
        verdict *v = &all->of[!!d->trans_a][!!d->trans_b][d->type_d];
        if (*v == UNTRIED) s = judge(v, e, d);
        *out = *v == RIGHT;
    }
    pthread_mutex_unlock(&verdicts_lock);
    return s;
}

bm_status bm_gemm_in_pairs(int *out, bm_engine *e)
{
    bm_gemm_desc d = bm_gemm_desc_default(TRIAL_M, TRIAL_N, TRIAL_K);
    d.type_a = d.type_b = d.type_d = BM_BF16;
    return takes_pairs(out, &d, e, bm_engine_limits(e));
}

static bm_status scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    int pairs = 0;
    *bytes = 0;
    if (!d->k) return BM_OK;
    BM_TRY(takes_pairs(&pairs, d, e, limits));
    *bytes = blocking_of(d, limits, pairs).scratch;
    return BM_OK;
}

static void launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    int pairs = 0;
    const bm_status s = takes_pairs(&pairs, d, out->engine, bm_engine_limits(out->engine));
    if (s) out->fail(out->target, s);
    else launch_form(out, d, args, scratch_offset, pairs);
}

const bm_gemm_backend bm_gemm_packed = {"packed", takes, scratch, launch};
