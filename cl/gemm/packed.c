/* The backends for CPU devices, `packed` and `packed_ab`: kernels and their blocking are described in cl/gemm/packed.cl and few.cl. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cl/gemm/packed_priv.h"
#include "core/base/checked.h"

#define RUN 384                     /* units of a panel: 32 columns are 48 KiB, about a first-level cache */
#define RUN_ALONG 768               /* where rows of f32 are read where they lie: D is read and written again half as often */
#define RUN_WIDE 1024               /* with a 16-bit D, so that its sums rarely need a buffer of their own */
#define PACK_K 384                  /* k of the packed rows of A, or a multiple where all rows fit TILES_BYTES */
#define DIRECT_K 4096               /* k of one launch on A where it lies: its block stays in the last-level cache */
#define TILES_BYTES (4ll << 20)     /* packed rows of A: they are read again before they leave the caches */
#define PART_BYTES (32ll << 20)     /* sums of a 16-bit D */
#define BLOCKS_PER_UNIT 8           /* work-items for each core, so that the last ones end together */
#define LEAST_BLOCK_ROWS 64
#define STRIDED_ROWS 1024           /* of a block whose A lies transposed: more of them leave the caches between two panels */
#define PANELS 4                    /* of RUN, or as many units, for each work-item where there are rows enough to share out as well */
#define PANEL_ROWS 512
#define OWN_PANELS 24               /* of a work-item that copies A as well: 768 columns, for which A is copied once */
#define COPY_COST 16                /* copying a row of A or a column of B, in such of products: 10 to 18, by runs without copies */
#define CHUNK_TILES 8               /* CHUNK of packed.cl, in tiles */
#define PAST_BYTES (6ll << 20)      /* of a D that has left the caches when it is read: written past them, it is not fetched before */
#define FEW_PANELS 8                /* of a work-item of gemm_few that splits A first */

typedef struct blocking {
    int width, cols, rows;   /* lanes of a vector; of a tile in registers */
    int few;                 /* gemm_few */
    int unit_k;              /* k of a unit of 4 bytes: 2 for pairs of bf16, else 1 */
    int a_packed;            /* pack_rows first */
    int own_tiles;           /* gemm_block copies A */
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

/* Local memory, for each unit of k, of a panel and of the rows of A that gemm_block copies. */
static int64_t panel_unit_bytes(const blocking *b)
{
    return 4 * b->cols;
}
static int64_t chunk_unit_bytes(const blocking *b)
{
    return b->own_tiles ? 4 * CHUNK_TILES * b->rows : 0;
}

/* In k. */
static int64_t longest_run(const bm_limits *limits, const blocking *b, int64_t wanted)
{
    return least(wanted, limits->local_bytes / (panel_unit_bytes(b) + chunk_unit_bytes(b)) / 8 * 8) * b->unit_k;
}

/* Local memory of a work-item of so many panels, and how many there is room for. */
static int64_t local_bytes(const blocking *b, int64_t panels)
{
    return bm_ceil_div(b->run, b->unit_k) * (panels * panel_unit_bytes(b) + chunk_unit_bytes(b));
}
static int64_t panels_of(const blocking *b, const bm_limits *limits)
{
    return (limits->local_bytes - local_bytes(b, 0)) / (local_bytes(b, 1) - local_bytes(b, 0));
}

static blocking blocking_of(const bm_gemm_desc *d, const bm_limits *limits, bm_packed_form form)
{
    const int pairs = form == BM_PACKED_PAIRS;
    blocking b = {0};
    b.width = bm_packed_width(limits);
    b.unit_k = pairs ? 2 : 1;
    b.cols = 2 * b.width;
    b.rows = b.width == 16 ? 8 : 6;
    b.few = bm_packed_is_few(d);
    b.group_m = d->m;
    b.group_batch = d->batch;
    if (b.few) return b;

    b.own_tiles = form == BM_PACKED_TILES;
    b.a_packed = pairs ? d->trans_a : d->type_a != BM_F32;
    const int rows_along = form == BM_PACKED_FLOATS && !d->trans_a && !b.a_packed;
    const int64_t run = longest_run(limits, &b, rows_along ? RUN_ALONG : RUN), run_wide = longest_run(limits, &b, RUN_WIDE);
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
    bm_packed_form form;
    const bm_gemm_desc *d;
    const bm_gemm_args *args;
    const char *options;
    cl_mem tiles, sums;
    int64_t m0, m, k0, k1, batch0, batch;
} part;

/* Each work-item of BYTES splits the rows of A first, which costs as much as several columns: it makes more than one panel where that
 * leaves work-items enough. */
static int64_t few_panels(const part *p, const bm_limits *limits)
{
    if (p->form != BM_PACKED_BYTES) return 1;
    const int64_t wanted = (int64_t)BLOCKS_PER_UNIT * most(limits->compute_units, 1);
    return most(1, least(FEW_PANELS, p->d->n * p->d->batch / (p->b->cols * wanted)));
}

static void launch_few(bm_gemm_emit *out, const part *p)
{
    const bm_gemm_desc *d = p->d;
    const int64_t panels = few_panels(p, bm_engine_limits(out->engine));
    const bm_arg args[] = {
        bm_arg_mem(p->args->a), bm_arg_mem(p->args->b), bm_arg_mem(p->args->d), bm_arg_mem(p->args->bias), bm_arg_mem(p->args->pre),
        bm_arg_mem(p->args->scale), bm_arg_local((size_t)(p->form == BM_PACKED_BYTES ? bm_packed_bytes_local(d) : 1)),
        bm_arg_i64(d->n), bm_arg_i64(d->k), bm_arg_i64(panels), bm_arg_i64(d->lda), bm_arg_i64(d->ldb), bm_arg_i64(d->ldd),
        bm_arg_i64(d->offset_a), bm_arg_i64(d->offset_b), bm_arg_i64(d->offset_d),
        bm_arg_i64(d->stride_a), bm_arg_i64(d->stride_b), bm_arg_i64(d->stride_d), bm_arg_f32(d->alpha), bm_arg_f32(d->beta)};
    const bm_kernel_launch k = {"gemm/few", "gemm_few", p->options, 3,
                                {(size_t)bm_ceil_div(d->n, panels * p->b->cols), 1, (size_t)d->batch}, {1, 1, 1},
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

/* The blocks of which the core that makes most ends first. A work-item copies its rows of A and its columns of B, so large ones are
 * better; but all cores are to be busy. */
static sharing share_own(const part *p, const bm_limits *limits)
{
    const int64_t units = most(limits->compute_units, 1), cols = p->b->cols, all = bm_ceil_div(p->d->n, cols);
    const int64_t most_panels = least(OWN_PANELS, least(all, panels_of(p->b, limits)));
    sharing best = {0, 0, 0};
    double least_cost = INFINITY;
    for (int64_t panels = 1; panels <= most_panels; panels++)
        for (int64_t row_blocks = 1; row_blocks <= units; row_blocks++) {
            const sharing s = {panels, bm_round_up(bm_ceil_div(p->m, row_blocks), p->b->rows), bm_ceil_div(all, panels)};
            const int64_t rounds = bm_ceil_div(s.columns * bm_ceil_div(p->m, s.rows) * p->batch, units);
            const double rows = (double)s.rows, columns = (double)(panels * cols);
            const double cost = (double)rounds * (rows * columns + COPY_COST * (rows + columns));
            if (cost < least_cost) best = s, least_cost = cost;
        }
    return best;
}

static sharing share_out(const part *p, const bm_limits *limits)
{
    if (p->b->own_tiles) return share_own(p, limits);
    const int64_t wanted = (int64_t)BLOCKS_PER_UNIT * most(limits->compute_units, 1);
    const int64_t all = bm_ceil_div(p->d->n, p->b->cols);
    const int64_t panels = bm_ceil_div(PANELS * RUN, most(RUN, p->b->run / p->b->unit_k));
    sharing s = {1, p->m, all};
    if (p->m >= PANEL_ROWS) s.panels = most(1, least(least(panels, all), panels_of(p->b, limits)));
    s.columns = bm_ceil_div(all, s.panels);
    s.panels = bm_ceil_div(all, s.columns);
    if (s.columns * p->batch < wanted) {
        const int64_t rows = bm_round_up(bm_ceil_div(p->m, bm_ceil_div(wanted, s.columns * p->batch)), p->b->rows);
        s.rows = most(rows, bm_round_up(LEAST_BLOCK_ROWS, p->b->rows));
    }
    if (p->d->trans_a && !p->b->a_packed) s.rows = least(s.rows, STRIDED_ROWS / p->b->rows * p->b->rows);
    return s;
}

/* D of f32, large, and its vectors whole. */
static int writes_past(const part *p, int64_t at_d)
{
    const bm_gemm_desc *d = p->d;
    return d->type_d == BM_F32 && 4 * d->m * d->n * d->batch >= PAST_BYTES &&
           (at_d | d->ldd | (d->batch > 1 ? d->stride_d : 0)) % p->b->width == 0;
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
        bm_arg_mem(b->needs_part ? p->sums : p->args->d), bm_arg_local((size_t)local_bytes(b, s.panels)),
        bm_arg_i64(p->m), bm_arg_i64(d->n), bm_arg_i64(p->k0), bm_arg_i64(p->k1), bm_arg_i64(d->k), bm_arg_i64(b->run),
        bm_arg_i64(s.panels), bm_arg_i64(s.rows), bm_arg_i32(writes_past(p, at_d)), bm_arg_i64(d->lda), bm_arg_i64(d->ldb),
        bm_arg_i64(d->ldd), bm_arg_i64(b->needs_part ? d->n : d->ldd),
        bm_arg_i64(at_a), bm_arg_i64(at_b), bm_arg_i64(at_d), bm_arg_i64(b->needs_part ? 0 : at_d),
        bm_arg_i64(b->a_packed ? b->tiles_stride : d->stride_a), bm_arg_i64(d->stride_b), bm_arg_i64(d->stride_d),
        bm_arg_i64(b->needs_part ? b->part_stride : d->stride_d), bm_arg_f32(d->alpha), bm_arg_f32(d->beta)};
    const bm_kernel_launch k = {"gemm/packed", "gemm_block", p->options, 3,
                                {(size_t)s.columns, (size_t)bm_ceil_div(p->m, s.rows), (size_t)p->batch},
                                {1, 1, 1}, args, sizeof args / sizeof args[0]};
    out->kernel(out->target, &k);
}

void bm_packed_launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset, bm_packed_form form)
{
    const blocking b = blocking_of(d, bm_engine_limits(out->engine), form);
    char options[BM_GEMM_OPTIONS + 64];
    const size_t n = strlen(bm_gemm_options(d, options, sizeof options));
    if (b.few)
        snprintf(options + n, sizeof options - n, " -DWIDTH=%d -DFEW=%d -DBYTES=%d", b.width, (int)d->m, form == BM_PACKED_BYTES);
    else
        snprintf(options + n, sizeof options - n, " -DWIDTH=%d -DA_PACKED=%d -DOWN_TILES=%d -DPAIRS=%d", b.width,
                 b.a_packed || b.own_tiles, b.own_tiles, form == BM_PACKED_PAIRS);
    part p = {&b, form, d, args, options, NULL, NULL, 0, d->m, 0, d->k, 0, d->batch};
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

int64_t bm_packed_scratch(const bm_gemm_desc *d, const bm_limits *limits, bm_packed_form form)
{
    return blocking_of(d, limits, form).scratch;
}

static bm_status scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    bm_packed_form form;
    *bytes = 0;
    if (!d->k) return BM_OK;
    BM_TRY(bm_packed_form_of(&form, d, e, limits));
    *bytes = bm_packed_scratch(d, limits, form);
    return BM_OK;
}

static void launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    bm_packed_form form;
    const bm_status s = bm_packed_form_of(&form, d, out->engine, bm_engine_limits(out->engine));
    if (s) out->fail(out->target, s);
    else bm_packed_launch(out, d, args, scratch_offset, form);
}

const bm_gemm_backend bm_gemm_packed = {"packed", takes, scratch, launch};

/* ---- packed_ab ---- */

/* An f32 A that lies transposed can be read where it lies, but its k are far apart: a tile meets a page with each, and few sets of the
 * caches where the rows are a power of two apart. Whether that costs more than copying A differs among CPUs: the choice is measured. */
static int takes_ab(const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits, const char **why)
{
    (void)e;
    if (!d->trans_a || d->type_a != BM_F32) {
        *why = d->trans_a ? "A is not f32: packed copies it as well" : "A is not transposed: packed reads it in order";
        return 0;
    }
    /* A panel and a chunk of A of 32 k at least. */
    if (limits->local_bytes < 4 * (32 + CHUNK_TILES * 8) * 32) {
        *why = "the device has less than 12 KiB of local memory";
        return 0;
    }
    return 1;
}

static bm_status scratch_ab(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    (void)e;
    *bytes = d->k ? bm_packed_scratch(d, limits, BM_PACKED_TILES) : 0;
    return BM_OK;
}

static void launch_ab(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    bm_packed_launch(out, d, args, scratch_offset, BM_PACKED_TILES);
}

const bm_gemm_backend bm_gemm_packed_ab = {"packed_ab", takes_ab, scratch_ab, launch_ab};
