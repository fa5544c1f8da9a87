/* The form for CPU devices: kernels are described in conv_direct.cl. */
#include "cl/ops/conv_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/conv_direct"
#define STRIP_BYTES (192ll << 10) /* of an image at a time: a share of a second-level cache, beside a panel of weights */
#define ITEMS_PER_UNIT 8          /* for each core, so that the last ones end together */
#define PARTS_PER_UNIT 4          /* sums of dw for each core */
#define PARTS_BYTES (32ll << 20)  /* of all of them, at most */

/* WALK of conv_direct.cl: windows over an image, and where what they make goes. */
typedef struct walk {
    int64_t B, H, W, C, N;
    int64_t taps[2], pad[2], stride[2], dilation[2], places[2];
    int lanes;                              /* of a vector */
    int unit_k;                             /* k of a unit of 4 bytes: 2 for pairs of bf16, else 1 */
    int64_t element_bytes, row_bytes;       /* of a strip's elements; of what lies behind it for each row of places */
    int64_t rows, width, strip_bytes;       /* of a strip: rows of places, pixels of an image row */
    int64_t out[2], out_at[2], out_step[2]; /* the image that is made; its pixel of the first place, and between places */
} walk;

/* For vectors along `elements`: half of a wide one would be idle where these are few. */
static int lanes_for(int64_t elements, const bm_limits *limits) { return limits->float_width >= 16 && elements > 8 ? 16 : 8; }

static int64_t reach(const walk *w, int axis) { return w->taps[axis] > 0 ? (w->taps[axis] - 1) * w->dilation[axis] : 0; }

static int64_t strip_bytes(const walk *w, int64_t rows)
{
    const int64_t lines = (rows - 1) * w->stride[0] + reach(w, 0) + 1;
    return w->element_bytes * (lines * w->width * w->C + 2 * w->lanes) + rows * w->row_bytes;
}

/* Strips as high as they may be; whether one fits the device at all. */
static int choose_strips(walk *w, const bm_limits *limits)
{
    const int64_t wanted = bm_ceil_div(ITEMS_PER_UNIT * (int64_t)bm_conv_most(limits->compute_units, 1), w->B);
    w->width = (w->places[1] - 1) * w->stride[1] + reach(w, 1) + 1;
    w->rows = bm_ceil_div(w->places[0], bm_conv_least(wanted, w->places[0]));
    while (w->rows > 1 && strip_bytes(w, w->rows) > bm_conv_least(STRIP_BYTES, limits->local_bytes)) w->rows--;
    w->rows = bm_ceil_div(w->places[0], bm_ceil_div(w->places[0], w->rows));
    w->strip_bytes = strip_bytes(w, w->rows);
    return w->strip_bytes <= limits->local_bytes;
}

/* Of dw vectors lie along runs of a window, else along outputs. */
static walk forward_walk(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs)
{
    const int64_t run = c->C * (c->o.dilation[1] == 1 ? c->kw : 1);
    const int of_dw = what == BM_CONV_DW;
    return (walk){.lanes = lanes_for(of_dw ? run : c->O, limits), .unit_k = pairs ? 2 : 1, .element_bytes = pairs && !of_dw ? 2 : 4,
                  .row_bytes = pairs && of_dw ? 4 * c->O * bm_ceil_div(c->Wo, 2) : 0,
                  .B = c->B, .H = c->H, .W = c->W, .C = c->C, .N = c->O, .taps = {c->kh, c->kw}, .pad = {c->o.pad[0], c->o.pad[1]},
                  .stride = {c->o.stride[0], c->o.stride[1]}, .dilation = {c->o.dilation[0], c->o.dilation[1]},
                  .places = {c->Ho, c->Wo}, .out = {c->Ho, c->Wo}, .out_step = {1, 1}};
}

/* The pixels whose number along an axis leaves `at` when divided by the stride: pixel at + stride i meets y's ho = i + base - q
 * through tap first + stride q, for q in [0, taps). Taken from the last q to the first, that is a walk over dy. */
static void set_dx_axis(walk *w, const bm_conv *c, int axis, int64_t at, int64_t *first)
{
    const int64_t stride = c->o.stride[axis], kernel = axis ? c->kw : c->kh, size = axis ? c->W : c->H, shifted = at + c->o.pad[axis];
    *first = stride == 1 ? 0 : shifted % stride;
    w->taps[axis] = *first < kernel ? (kernel - 1 - *first) / stride + 1 : 0;
    w->dilation[axis] = stride == 1 ? c->o.dilation[axis] : 1;
    w->stride[axis] = 1;
    w->pad[axis] = (w->taps[axis] - 1) * w->dilation[axis] - shifted / stride;
    w->places[axis] = at < size ? (size - 1 - at) / stride + 1 : 0;
    w->out[axis] = size;
    w->out_at[axis] = at;
    w->out_step[axis] = stride;
    *first += (w->taps[axis] - 1) * stride;
}

static walk dx_walk(const bm_conv *c, const bm_limits *limits, int pairs, const int64_t at[2], int64_t first[2])
{
    walk w = {.lanes = lanes_for(c->C, limits), .unit_k = pairs ? 2 : 1, .element_bytes = pairs ? 2 : 4,
              .B = c->B, .H = c->Ho, .W = c->Wo, .C = c->O, .N = c->C};
    for (int axis = 0; axis < 2; axis++) set_dx_axis(&w, c, axis, at[axis], &first[axis]);
    return w;
}

static int takes(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs)
{
    if (c->o.groups > 1) return 0;
    walk w = forward_walk(c, what, limits, pairs);
    if (what != BM_CONV_DX) return (!pairs || w.lanes == 16) && choose_strips(&w, limits);
    for (int axis = 0; axis < 2; axis++)
        if (c->o.stride[axis] > 1 && c->o.dilation[axis] > 1) return 0;
    /* All remainders by a stride have taps and places of about this number. */
    w = dx_walk(c, limits, pairs, (const int64_t[]){0, 0}, (int64_t[2]){0});
    w.taps[0] = bm_ceil_div(c->kh, c->o.stride[0]);
    w.taps[1] = bm_ceil_div(c->kw, c->o.stride[1]);
    return (!pairs || w.lanes == 16) && choose_strips(&w, limits);
}

/* Runs of a window along a row, and the elements of each. */
static int64_t runs_of(const walk *w) { return w->dilation[1] == 1 ? 1 : w->taps[1]; }
static int64_t run_length(const walk *w) { return w->C * (w->dilation[1] == 1 ? w->taps[1] : 1); }

static int64_t panels(const walk *w) { return bm_ceil_div(w->N, 2 * w->lanes); }

/* Sums of dw side by side. */
static int64_t parts_of(const walk *w, const bm_limits *limits)
{
    const int64_t units = w->B * bm_ceil_div(w->places[0], w->rows), bytes = 4 * w->N * w->taps[0] * w->taps[1] * w->C;
    const int64_t fit = bm_conv_most(1, bm_conv_least(PARTS_BYTES, limits->max_alloc_bytes / 4) / bytes);
    return bm_conv_least(bm_conv_least(units, PARTS_PER_UNIT * (int64_t)bm_conv_most(limits->compute_units, 1)), fit);
}

static int64_t scratch(const bm_conv *c, enum bm_conv_product what, const bm_limits *limits, int pairs)
{
    walk w = forward_walk(c, what, limits, pairs);
    choose_strips(&w, limits);
    if (what == BM_CONV_DW) return 4 * parts_of(&w, limits) * c->O * bm_conv_window(c);
    if (what == BM_CONV_DX) w = dx_walk(c, limits, pairs, (const int64_t[]){0, 0}, (int64_t[2]){0});
    w.taps[0] = c->kh; /* of dx with a stride no remainder has more */
    w.taps[1] = c->kw;
    return 4 * panels(&w) * 2 * w.lanes * w.taps[0] * runs_of(&w) * bm_ceil_div(run_length(&w), w.unit_k);
}

/* ---- launches ---- */

enum { N_WALK = 16 };
static int add_walk(bm_arg *args, const walk *w)
{
    const int64_t sizes[N_WALK] = {w->H,         w->W,         w->C,           w->N,           w->taps[0],   w->taps[1],
                                   w->pad[0],    w->pad[1],    w->stride[0],   w->stride[1],   w->dilation[0], w->dilation[1],
                                   w->places[0], w->places[1], w->rows,        w->width};
    for (int i = 0; i < N_WALK; i++) args[i] = bm_arg_i64(sizes[i]);
    return N_WALK;
}

/* k has its kernel, its global size and its arguments. */
static void launch(bm_launcher *l, const bm_conv_args *a, int lanes, bm_kernel_launch *k)
{
    char buf[BM_OPS_OPTIONS];
    k->source = SOURCE;
    k->options = bm_ops_options_with(buf, l, a->x_type, " -DWSTORAGE=%d -DACT=%d -DHAS_PRE=%d -DWIDTH=%d -DPAIRS=%d",
                                     (int)(a->pairs ? a->x_type : a->w_type), (int)a->c->act, a->pre != NULL, lanes, a->pairs);
    k->dims = 2;
    k->local[0] = k->local[1] = 1;
    bm_launcher_kernel(l, k);
}

/* `first` is w's tap for the first of the walk, step that between taps; n and c are the strides of outputs and channels. */
static void launch_pack(bm_launcher *l, const bm_conv_args *a, const walk *w, cl_mem to, const int64_t first[2], const int64_t step[2],
                        const int64_t ld[2])
{
    const bm_conv *c = a->c;
    const int64_t r = c->kw * c->C, s = c->C;
    if (!w->taps[0] || !w->taps[1]) return;
    const bm_arg args[] = {bm_arg_mem(a->w), bm_arg_mem(to), bm_arg_i64(w->N), bm_arg_i64(runs_of(w)),
                           bm_arg_i64(run_length(w)), bm_arg_i64(w->C),
                           bm_arg_i64(first[0] * r + first[1] * s), bm_arg_i64(ld[0]), bm_arg_i64(step[0] * r),
                           bm_arg_i64(step[1] * s), bm_arg_i64(ld[1])};
    bm_kernel_launch k = {.kernel = "pack_weights", .args = args, .n_args = 11,
                          .global = {(size_t)panels(w), (size_t)(w->taps[0] * runs_of(w))}};
    launch(l, a, w->lanes, &k);
}

static void launch_walk(bm_launcher *l, const bm_conv_args *a, walk *w, cl_mem panels_at)
{
    if (!w->places[0] || !w->places[1]) return;
    choose_strips(w, bm_launcher_limits(l));
    bm_arg args[6 + N_WALK + 6] = {bm_arg_mem(a->x), bm_arg_mem(panels_at), bm_arg_mem(a->bias), bm_arg_mem(a->y), bm_arg_mem(a->pre),
                                   bm_arg_local((size_t)w->strip_bytes)};
    int k = 6 + add_walk(args + 6, w);
    const int64_t out[] = {w->out[0], w->out[1], w->out_at[0], w->out_at[1], w->out_step[0], w->out_step[1]};
    for (int i = 0; i < 6; i++) args[k++] = bm_arg_i64(out[i]);
    bm_kernel_launch all = {.kernel = "convolve", .args = args, .n_args = k};
    all.global[0] = (size_t)bm_ceil_div(w->places[0], w->rows);
    all.global[1] = (size_t)w->B;
    launch(l, a, w->lanes, &all);
}

static void forward(bm_launcher *l, const bm_conv_args *a)
{
    const bm_limits *limits = bm_launcher_limits(l);
    const cl_mem panels_at = bm_launcher_scratch(l, 0, scratch(a->c, BM_CONV_FORWARD, limits, a->pairs));
    walk w = forward_walk(a->c, BM_CONV_FORWARD, limits, a->pairs);
    launch_pack(l, a, &w, panels_at, (const int64_t[]){0, 0}, (const int64_t[]){1, 1}, (const int64_t[]){bm_conv_window(a->c), 1});
    launch_walk(l, a, &w, panels_at);
}

static void dx(bm_launcher *l, const bm_conv_args *a)
{
    const bm_conv *c = a->c;
    const bm_limits *limits = bm_launcher_limits(l);
    const cl_mem panels_at = bm_launcher_scratch(l, 0, scratch(c, BM_CONV_DX, limits, a->pairs));
    const int64_t back[] = {-c->o.stride[0], -c->o.stride[1]};
    int64_t at[2], first[2];
    for (at[0] = 0; at[0] < c->o.stride[0]; at[0]++)
        for (at[1] = 0; at[1] < c->o.stride[1]; at[1]++) {
            walk w = dx_walk(c, limits, a->pairs, at, first);
            launch_pack(l, a, &w, panels_at, first, back, (const int64_t[]){1, bm_conv_window(c)});
            launch_walk(l, a, &w, panels_at);
        }
}

static void dw(bm_launcher *l, const bm_conv_args *a, int add)
{
    const bm_conv *c = a->c;
    const bm_limits *limits = bm_launcher_limits(l);
    walk w = forward_walk(c, BM_CONV_DW, limits, a->pairs);
    choose_strips(&w, limits);
    const int64_t parts = parts_of(&w, limits), elements = c->O * bm_conv_window(c);
    const cl_mem sums = bm_launcher_scratch(l, 0, 4 * parts * elements);
    bm_arg args[4 + N_WALK + 1] = {bm_arg_mem(a->y), bm_arg_mem(a->x), bm_arg_mem(sums), bm_arg_local((size_t)w.strip_bytes)};
    int k = 4 + add_walk(args + 4, &w);
    args[k++] = bm_arg_i64(c->B);
    bm_kernel_launch sum = {.kernel = "convolve_weights", .args = args, .n_args = k, .global = {(size_t)parts, 1}};
    launch(l, a, w.lanes, &sum);
    bm_ops_launch_rows_last(l, sums, a->w, a->w_type, parts, elements, add);
}

const bm_conv_form bm_conv_direct = {takes, scratch, forward, dx, dw};
