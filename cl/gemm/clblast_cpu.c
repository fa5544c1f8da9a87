/* CLBlast on CPUs. Its kernel is a good one there (0.9 of a tuned CBLAS), but runs through all of K with operands that have left
 * the caches, and its own copies into the layout that it wants are slow. So the product is cut up here:
 *
 *     for each slice of columns
 *       for each slab of K         B [slab, columns] is arranged in scratch, unless it lies as it should; a slab is all of K, but
 *                                  where there is one slice of rows a run of K: so fewer and wider products do
 *         for each slice of rows   A [K, rows] likewise; then the runs of the slab are products of the library one after the
 *                                  other (beta 1 from the second on), into D where the tiles fit and else into sums in scratch
 *
 * after which the epilogue (epilogue.cl) makes D of the sums while they are in a cache. */
#include "cl/gemm/clblast_priv.h"
#include "core/base/checked.h"

#define RUN 384                   /* k of a product: the columns of B for one work-group are 48 KiB, a first-level cache */
#define RUN_STEP 64               /* rows of 64 k or more begin at multiples of 4 KiB, where sub-buffers may begin */
#define ROWS 384                  /* of a slice, where A is arranged: a run of it stays in a second-level cache */
#define B_BYTES (4ll << 20)       /* of a slab of a slice, where B is arranged: read before it has left the caches */
#define LEAST_COLS 256

typedef struct slicing {
    bm_clblast_tile tile;
    int a_ready, b_ready, d_ready; /* lies as the kernel wants it; D: in whole rows of tiles */
    int64_t rows, cols, run, slab;
    int64_t a_bytes, a_kept;       /* of a slice of A in scratch; slices there */
    int64_t b_at, sums_at, bytes;  /* in scratch, where A comes first */
} slicing;

/* `total` in equal parts of at most `limit`, each a multiple of `step`. */
static int64_t equal_parts(int64_t total, int64_t limit, int64_t step)
{
    return bm_round_up(bm_ceil_div(total, bm_ceil_div(total, limit)), step);
}

static int begins_aligned(const bm_limits *l, const bm_gemm_desc *d, int64_t offset, int64_t stride)
{
    return bm_clblast_aligned(l, offset) && (d->batch == 1 || bm_clblast_aligned(l, stride));
}

/* Rows so many floats apart, a multiple of 4 KiB, fall into the same sets of a cache (a product takes up to 1.4 times as long). */
static int collides(int64_t ld)
{
    return ld % 1024 == 0;
}

static slicing slicing_of(const bm_gemm_desc *d, const bm_limits *l)
{
    slicing s = {.tile = bm_clblast_cpu_tile(l)};
    const int tiles_m = d->m % s.tile.m == 0, tiles_n = d->n % s.tile.n == 0;
    s.a_ready = d->trans_a && tiles_m && d->lda == d->m && !collides(d->m) && begins_aligned(l, d, d->offset_a, d->stride_a);
    s.b_ready = !d->trans_b && tiles_n && d->ldb == d->n && !collides(d->n) && begins_aligned(l, d, d->offset_b, d->stride_b);
    s.run = equal_parts(d->k, RUN, RUN_STEP);
    s.rows = s.a_ready ? d->m : equal_parts(d->m, ROWS, s.tile.m);
    s.cols = d->n;
    s.slab = d->m > s.rows || s.b_ready ? d->k : s.run;
    if (!s.b_ready) {
        int64_t most = B_BYTES / 4 / s.slab / s.tile.n * s.tile.n;
        if (most < LEAST_COLS) most = LEAST_COLS;
        s.cols = equal_parts(d->n, most, s.tile.n);
        if (s.cols < d->n && collides(s.cols)) s.cols += s.tile.n;
    }
    s.d_ready = tiles_n && s.cols == d->n && d->ldd == d->n && begins_aligned(l, d, d->offset_d, d->stride_d);

    const int64_t align = l->align_bytes > 64 ? l->align_bytes : 64;
    s.a_bytes = s.a_ready ? 0 : bm_round_up(4 * s.rows * d->k, align);
    s.a_kept = s.cols < d->n ? bm_ceil_div(d->m, s.rows) : 1;
    s.b_at = s.a_bytes * s.a_kept;
    s.sums_at = s.b_at + (s.b_ready ? 0 : bm_round_up(4 * s.cols * s.slab, align));
    s.bytes = s.sums_at + (s.d_ready && tiles_m ? 0 : 4 * s.rows * s.cols);
    return s;
}

int64_t bm_clblast_cpu_scratch(const bm_gemm_desc *d, const bm_limits *limits)
{
    return slicing_of(d, limits).bytes;
}

/* One product of a batch, while its slices are gone through. */
typedef struct work {
    bm_gemm_emit *out;
    const slicing *s;
    bm_gemm_desc d;
    const bm_gemm_args *args;
    int64_t scratch;      /* where ours begins */
    int64_t m0, m, n0, n, k0, k; /* the slice and the slab */
} work;

static cl_mem piece(const work *w, int64_t at, int64_t elements)
{
    return w->out->scratch(w->out->target, w->scratch + at, 4 * elements);
}

/* An operand as [K, width] in scratch; it is stored [K, cols], or [cols, K] with `trans`. */
typedef struct source {
    cl_mem mem;
    int trans;
    int64_t offset, ld, cols;
} source;

static void arrange(const work *w, cl_mem to, int64_t k, int64_t width, const source *x)
{
    const bm_arg args[] = {bm_arg_mem(x->mem), bm_arg_mem(to), bm_arg_i64(x->offset), bm_arg_i64(x->ld),
                           bm_arg_i64(k), bm_arg_i64(x->cols), bm_arg_i64(width)};
    bm_kernel_launch l = {.source = "gemm/arrange", .kernel = "arrange", .options = x->trans ? "-DTRANS=1" : "-DTRANS=0",
                          .dims = 2, .local = {1, 1, 1}, .args = args, .n_args = sizeof args / sizeof args[0]};
    l.global[0] = (size_t)(x->trans ? bm_ceil_div(k, 64) : bm_ceil_div(width, 256));
    l.global[1] = (size_t)(x->trans ? bm_ceil_div(width, 16) : bm_ceil_div(k, 16));
    w->out->kernel(w->out->target, &l);
}

static int64_t width_m(const work *w)
{
    return bm_round_up(w->m, w->s->tile.m);
}
static int64_t width_n(const work *w)
{
    return bm_round_up(w->n, w->s->tile.n);
}

/* The operands of the slice in the kernel's layout. */
static cl_mem slice_of_a(const work *w)
{
    const int64_t slice = w->s->a_kept > 1 ? w->m0 / w->s->rows : 0;
    return piece(w, slice * w->s->a_bytes, width_m(w) * w->d.k);
}
static cl_mem slice_of_b(const work *w)
{
    return piece(w, w->s->b_at, width_n(w) * w->s->slab);
}

static void arrange_a(const work *w)
{
    const bm_gemm_desc *d = &w->d;
    const source x = {w->args->a, !d->trans_a, d->offset_a + w->m0 * (d->trans_a ? 1 : d->lda), d->lda, w->m};
    arrange(w, slice_of_a(w), d->k, width_m(w), &x);
}

static void arrange_b(const work *w)
{
    const bm_gemm_desc *d = &w->d;
    const int64_t at = d->offset_b + (d->trans_b ? w->n0 * d->ldb + w->k0 : w->k0 * d->ldb + w->n0);
    const source x = {w->args->b, d->trans_b, at, d->ldb, w->n};
    arrange(w, slice_of_b(w), w->k, width_n(w), &x);
}

static bm_status add_runs(bm_clblast_call *c, const bm_gemm_desc *slice, int64_t run, const bm_gemm_args *args)
{
    bm_gemm_desc d = *slice;
    for (int64_t k = 0; k < slice->k; k += run) {
        d.k = slice->k - k < run ? slice->k - k : run;
        BM_TRY(bm_clblast_call_add(c, &d, args));
        d.offset_a += run * d.lda;
        d.offset_b += run * d.ldb;
        d.beta = 1;
    }
    return BM_OK;
}

static int in_place(const work *w)
{
    return w->s->d_ready && w->m % w->s->tile.m == 0;
}

/* What a slab adds to a slice of D. */
static void multiply(const work *w)
{
    const slicing *s = w->s;
    bm_gemm_desc d = w->d; /* what the library sees */
    bm_gemm_args args = {.a = w->args->a, .b = w->args->b, .d = w->args->d};
    d.trans_a = 1;
    d.trans_b = 0;
    d.batch = 1;
    d.m = d.lda = width_m(w);
    d.n = d.ldb = d.ldd = width_n(w);
    d.k = w->k;
    if (!s->a_ready) args.a = slice_of_a(w), d.offset_a = 0;
    if (!s->b_ready) args.b = slice_of_b(w), d.offset_b = 0;
    if (in_place(w)) d.offset_d += w->m0 * d.ldd;
    else args.d = piece(w, s->sums_at, d.m * d.n), d.offset_d = 0, d.beta = 0;
    d.offset_a += w->k0 * d.lda;
    if (w->k0) d.beta = 1;

    bm_clblast_call *c = NULL;
    bm_status status = bm_clblast_call_create(&c, w->out->engine, bm_ceil_div(d.k, s->run), NULL);
    if (!status) status = add_runs(c, &d, s->run, &args);
    if (status) {
        bm_clblast_call_destroy(c);
        w->out->fail(w->out->target, status);
        return;
    }
    w->out->call(w->out->target, bm_clblast_call_run, c, bm_clblast_call_destroy);
}

static void finish(const work *w)
{
    bm_gemm_desc part = w->d;
    part.batch = 1;
    part.m = w->m;
    part.n = w->n;
    part.offset_d += w->m0 * part.ldd + w->n0;
    bm_clblast_sum sum = {.mem = w->args->d, .offset = part.offset_d, .ld = width_n(w), .bias_at = w->n0};
    if (!in_place(w)) sum.mem = piece(w, w->s->sums_at, width_m(w) * width_n(w)), sum.offset = 0, sum.beta = part.beta;
    bm_clblast_epilogue(w->out, &part, w->args, &sum);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void multiply_slab(work *w)
{
    const slicing *s = w->s;
    w->k = least(s->slab, w->d.k - w->k0);
    if (!s->b_ready) arrange_b(w);
    for (w->m0 = 0; w->m0 < w->d.m; w->m0 += s->rows) {
        w->m = least(s->rows, w->d.m - w->m0);
        if (!s->a_ready && !w->n0 && !w->k0) arrange_a(w);
        multiply(w);
        if (w->k0 + w->k == w->d.k) finish(w);
    }
}

static void multiply_one(work *w)
{
    for (w->n0 = 0; w->n0 < w->d.n; w->n0 += w->s->cols) {
        w->n = least(w->s->cols, w->d.n - w->n0);
        for (w->k0 = 0; w->k0 < w->d.k; w->k0 += w->s->slab) multiply_slab(w);
    }
}

void bm_clblast_cpu_launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t scratch_offset)
{
    const slicing s = slicing_of(d, bm_engine_limits(out->engine));
    work w = {.out = out, .s = &s, .d = *d, .args = args, .scratch = scratch_offset};
    for (int64_t i = 0; i < d->batch; i++) {
        multiply_one(&w);
        w.d.offset_a += d->stride_a;
        w.d.offset_b += d->stride_b;
        w.d.offset_d += d->stride_d;
    }
}
