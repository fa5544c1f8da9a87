/* The form of 3 x 3 convolutions for CPU devices: kernels are described in conv_winograd.cl. */
#include "cl/ops/conv_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/conv_winograd"
#define BLOCK_BYTES (320ll << 10) /* of what a block of tiles is made to: a share of a second-level cache */
#define MOST_TILES 64             /* of a block */
#define ITEMS_PER_UNIT 8          /* for each core, so that the last ones end together */
#define PARTS_BYTES (64ll << 20)  /* of the sums of dw, at most: one for each core, of four work-items */

/* SIZES of conv_winograd.cl: tiles of the places of images [H, W, C], and N outputs of each. */
typedef struct tiling {
    int64_t H, W, C, N, pad[2], places[2], tiles, block;
    int lanes;                        /* of a vector */
    int64_t images_bytes, sums_bytes; /* of a block, and of its sums or, for dw, its gradients */
} tiling;

static int64_t columns(const tiling *t) { return 2 * t->lanes; }

/* A work-item has all 16 elements of its tiles or, of dw, a row of them. */
static void choose_block(tiling *t, enum bm_conv_product what, const bm_limits *limits)
{
    const int rows = t->lanes == 16 ? 8 : 6;
    const int64_t bytes = 4 * (what == BM_CONV_DW ? 4 : 16), width = what == BM_CONV_DW ? t->N : columns(t);
    const int64_t items = ITEMS_PER_UNIT * (int64_t)bm_conv_most(limits->compute_units, 1);
    const int64_t fit = bm_conv_least(MOST_TILES, BLOCK_BYTES / (bytes * (t->C + width)));
    const int64_t block = bm_conv_least(fit, bm_ceil_div(t->tiles, items));
    t->block = bm_conv_most(block / rows, 1) * rows;
    t->images_bytes = bytes * (t->block * t->C + t->lanes);
    t->sums_bytes = bytes * (t->block * width + t->lanes);
}

static tiling tiling_of(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits)
{
    const int64_t h = c->o.pad[0], w = c->o.pad[1];
    tiling t = {.H = c->H, .W = c->W, .C = c->C, .N = c->O, .pad = {h, w}, .places = {c->Ho, c->Wo}};
    if (what == BM_CONV_DX)
        t = (tiling){.H = c->Ho, .W = c->Wo, .C = c->O, .N = c->C, .pad = {2 - h, 2 - w}, .places = {c->H, c->W}};
    t.lanes = limits->float_width >= 16 ? 16 : 8;
    t.tiles = c->B * bm_ceil_div(t.places[0], 2) * bm_ceil_div(t.places[1], 2);
    choose_block(&t, what, limits);
    return t;
}

static int64_t part_bytes(const tiling *t) { return 4 * 16 * t->N * t->C; }

/* Sums of dw side by side. */
static int64_t parts_of(const tiling *t, const bm_limits *limits)
{
    const int64_t fit = bm_conv_least(PARTS_BYTES, limits->max_alloc_bytes) / part_bytes(t);
    return bm_conv_least(bm_ceil_div(t->tiles, t->block), bm_conv_most(1, bm_conv_least(limits->compute_units, fit)));
}

static int64_t scratch(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs)
{
    (void)pairs;
    const tiling t = tiling_of(c, what, limits);
    if (what == BM_CONV_DW) return parts_of(&t, limits) * part_bytes(&t);
    return 4 * 16 * bm_ceil_div(t.N, columns(&t)) * (columns(&t) * t.C + t.lanes);
}

static int takes(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs)
{
    if (c->kh != 3 || c->kw != 3 || c->o.groups > 1) return 0;
    for (int axis = 0; axis < 2; axis++)
        if (c->o.stride[axis] > 1 || c->o.dilation[axis] > 1) return 0;
    const tiling t = tiling_of(c, what, limits);
    return t.C % t.lanes == 0 && t.N % t.lanes == 0 && t.images_bytes + t.sums_bytes <= limits->local_bytes &&
           scratch(c, what, limits, pairs) <= limits->max_alloc_bytes;
}

enum { N_SIZES = 10 };
static int add_sizes(bm_arg *args, const tiling *t)
{
    const int64_t sizes[N_SIZES] = {t->H, t->W, t->C, t->N, t->pad[0], t->pad[1], t->places[0], t->places[1], t->tiles, t->block};
    for (int i = 0; i < N_SIZES; i++) args[i] = bm_arg_i64(sizes[i]);
    return N_SIZES;
}

/* k has its kernel, its global size and its arguments. */
static void launch(bm_launcher *l, const bm_conv_args *a, const tiling *t, bm_kernel_launch *k)
{
    char buf[BM_OPS_OPTIONS];
    k->source = SOURCE;
    k->options = bm_ops_options_with(buf, l, a->x_type, " -DWSTORAGE=%d -DACT=%d -DHAS_PRE=%d -DWIDTH=%d", (int)a->w_type,
                                     (int)a->c->act, a->pre != NULL, t->lanes);
    k->dims = 2;
    k->local[0] = k->local[1] = 1;
    bm_launcher_kernel(l, k);
}

/* dx meets the taps from last to first. */
static void launch_transform(bm_launcher *l, const bm_conv_args *a, const tiling *t, enum bm_conv_product what, cl_mem to)
{
    const int64_t r = 3 * a->c->C, s = a->c->C, window = bm_conv_window(a->c);
    const int back = what == BM_CONV_DX;
    const bm_arg args[] = {bm_arg_mem(a->w), bm_arg_mem(to), bm_arg_i64(t->N), bm_arg_i64(t->C), bm_arg_i64(back ? 2 * (r + s) : 0),
                           bm_arg_i64(back ? 1 : window), bm_arg_i64(back ? -r : r), bm_arg_i64(back ? -s : s),
                           bm_arg_i64(back ? window : 1)};
    bm_kernel_launch k = {.kernel = "transform_weights", .args = args, .n_args = 9,
                          .global = {(size_t)bm_ceil_div(t->N, columns(t)), (size_t)(t->C / t->lanes)}};
    launch(l, a, t, &k);
}

static void launch_tiles(bm_launcher *l, const bm_conv_args *a, enum bm_conv_product what)
{
    const bm_limits *limits = bm_launcher_limits(l);
    const tiling t = tiling_of(a->c, what, limits);
    const cl_mem panels = bm_launcher_scratch(l, 0, scratch(a->c, what, limits, a->pairs));
    bm_arg args[7 + N_SIZES] = {bm_arg_mem(a->x), bm_arg_mem(panels), bm_arg_mem(a->bias), bm_arg_mem(a->y), bm_arg_mem(a->pre),
                                bm_arg_local((size_t)t.images_bytes), bm_arg_local((size_t)t.sums_bytes)};
    bm_kernel_launch k = {.kernel = "convolve_tiles", .args = args, .n_args = 7 + add_sizes(args + 7, &t),
                          .global = {(size_t)bm_ceil_div(t.tiles, t.block), 1}};
    launch_transform(l, a, &t, what, panels);
    launch(l, a, &t, &k);
}

static void forward(bm_launcher *l, const bm_conv_args *a) { launch_tiles(l, a, BM_CONV_FORWARD); }
static void dx(bm_launcher *l, const bm_conv_args *a) { launch_tiles(l, a, BM_CONV_DX); }

static void dw(bm_launcher *l, const bm_conv_args *a, int add)
{
    const bm_limits *limits = bm_launcher_limits(l);
    const tiling t = tiling_of(a->c, BM_CONV_DW, limits);
    const int64_t parts = parts_of(&t, limits);
    const cl_mem sums = bm_launcher_scratch(l, 0, scratch(a->c, BM_CONV_DW, limits, a->pairs));
    bm_arg args[5 + N_SIZES] = {bm_arg_mem(a->y), bm_arg_mem(a->x), bm_arg_mem(sums), bm_arg_local((size_t)t.images_bytes),
                                bm_arg_local((size_t)t.sums_bytes)};
    bm_kernel_launch k = {.kernel = "gather_weights", .args = args, .n_args = 5 + add_sizes(args + 5, &t),
                          .global = {(size_t)parts, 4}};
    launch(l, a, &t, &k);
    const bm_arg last[] = {bm_arg_mem(sums), bm_arg_mem(a->w), bm_arg_i64(t.N), bm_arg_i64(t.C), bm_arg_i64(parts), bm_arg_i32(add)};
    bm_kernel_launch finish = {.kernel = "finish_weights", .args = last, .n_args = 6, .global = {(size_t)t.N, 1}};
    launch(l, a, &t, &finish);
}

const bm_conv_form bm_conv_winograd = {takes, scratch, forward, dx, dw};
