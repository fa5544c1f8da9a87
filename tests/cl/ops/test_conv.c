/* ctest: oclgrind unoptimized rusticl/plain */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/bank.h"
#include "tests/lib/device.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

typedef struct kind {
    int64_t B, H, W, C, O, kh, kw;
    bm_conv_opts o;
    int bias;
    bm_activation act;
} kind;

#define PLAIN {.stride = {1, 1}, .dilation = {1, 1}, .groups = 1}
#define SAME {.stride = {1, 1}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 1}

/* Channels and outputs around vectors of 4 and 16 and panels of 32, positions around tiles of 8, and everything that moves a
 * window: strides, padding on either axis, dilations, kernels as large as the padded image. 3 x 3 taps with channels in whole
 * vectors of 8 or 16 are made in tiles of 2 x 2 positions: even and odd numbers of these, several blocks of tiles. */
static const kind kinds[] = {
    {1, 1, 1, 1, 1, 1, 1, SAME, 0, BM_ACT_NONE},
    {2, 5, 4, 3, 2, 3, 3, SAME, 1, BM_ACT_RELU},
    {1, 6, 7, 1, 6, 5, 5, PLAIN, 1, BM_ACT_NONE},
    {1, 6, 3, 2, 3, 1, 1, {.stride = {2, 2}, .pad = {0, 0}, .dilation = {1, 1}, .groups = 1}, 1, BM_ACT_NONE},
    {2, 5, 5, 2, 3, 2, 3, {.stride = {2, 1}, .pad = {0, 2}, .dilation = {1, 2}, .groups = 1}, 1, BM_ACT_NONE},
    {2, 4, 4, 4, 6, 3, 3, {.stride = {1, 1}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 2}, 1, BM_ACT_RELU},
    {1, 3, 2, 16, 8, 3, 3, SAME, 1, BM_ACT_GELU},
    {1, 3, 5, 3, 3, 5, 1, {.stride = {1, 2}, .pad = {1, 0}, .dilation = {1, 1}, .groups = 1}, 0, BM_ACT_NONE},
    {2, 9, 9, 5, 33, 3, 3, {.stride = {2, 2}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 1}, 1, BM_ACT_NONE},
    {2, 8, 6, 16, 17, 3, 3, SAME, 1, BM_ACT_TANH},
    {1, 11, 10, 19, 8, 3, 2, {.stride = {3, 2}, .pad = {2, 1}, .dilation = {2, 1}, .groups = 1}, 1, BM_ACT_NONE},
    {3, 7, 7, 8, 8, 1, 1, {.stride = {2, 2}, .pad = {0, 0}, .dilation = {1, 1}, .groups = 1}, 1, BM_ACT_NONE},
    {2, 6, 6, 6, 6, 3, 3, {.stride = {2, 2}, .pad = {1, 1}, .dilation = {2, 2}, .groups = 6}, 0, BM_ACT_GELU},
    {1, 4, 4, 2, 4, 2, 2, {.stride = {2, 2}, .pad = {3, 3}, .dilation = {1, 1}, .groups = 1}, 1, BM_ACT_NONE},
    {2, 6, 5, 7, 9, 1, 1, PLAIN, 1, BM_ACT_RELU},
    {2, 12, 13, 32, 40, 3, 3, SAME, 1, BM_ACT_RELU},
    {1, 13, 12, 48, 64, 3, 3, {.stride = {2, 2}, .pad = {1, 1}, .dilation = {1, 1}, .groups = 1}, 0, BM_ACT_NONE},
    {3, 7, 10, 16, 48, 3, 3, SAME, 1, BM_ACT_GELU},
    {2, 6, 3, 32, 16, 3, 3, {.stride = {1, 1}, .pad = {0, 3}, .dilation = {1, 1}, .groups = 1}, 0, BM_ACT_NONE},
};
static int n_kinds(void) { return optest_small() ? 7 : (int)(sizeof kinds / sizeof *kinds); }

static int64_t places(int64_t size, int64_t kernel, const bm_conv_opts *o, int axis)
{
    return (size + 2 * o->pad[axis] - o->dilation[axis] * (kernel - 1) - 1) / o->stride[axis] + 1;
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const kind *k = t->with;
    out[0] = bm_conv2d(g, in[0], in[1], k->bias ? in[2] : NULL, k->act, &k->o);
}

static double activated(double v, bm_activation act)
{
    switch (act) {
    case BM_ACT_RELU: return v > 0 ? v : 0;
    case BM_ACT_TANH: return tanh(v);
    case BM_ACT_GELU: return v * erfc(-v / sqrt(2)) / 2;
    default: return v;
    }
}

/* One output: the sum over a window, zero outside the image. */
static double window(const kind *k, const double *x, const double *w, const int64_t at[3])
{
    const int64_t n = k->C / k->o.groups, o = at[2], first = o / (k->O / k->o.groups) * n;
    double sum = 0;
    for (int64_t r = 0; r < k->kh; r++)
        for (int64_t s = 0; s < k->kw; s++) {
            const int64_t h = at[0] * k->o.stride[0] - k->o.pad[0] + r * k->o.dilation[0];
            const int64_t v = at[1] * k->o.stride[1] - k->o.pad[1] + s * k->o.dilation[1];
            if (h < 0 || h >= k->H || v < 0 || v >= k->W) continue;
            for (int64_t c = 0; c < n; c++) sum += x[(h * k->W + v) * k->C + first + c] * w[((o * k->kh + r) * k->kw + s) * n + c];
        }
    return sum;
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const kind *k = t->with;
    const int64_t Ho = places(k->H, k->kh, &k->o, 0), Wo = places(k->W, k->kw, &k->o, 1);
    double *y = out[0];
    for (int64_t b = 0; b < k->B; b++)
        for (int64_t i = 0; i < Ho; i++)
            for (int64_t j = 0; j < Wo; j++)
                for (int64_t o = 0; o < k->O; o++) {
                    const double v = window(k, in[0] + b * k->H * k->W * k->C, in[1], (const int64_t[]){i, j, o});
                    *y++ = activated(v + (k->bias ? in[2][o] : 0), k->act);
                }
}

static optest test_of(const kind *k)
{
    static char name[64];
    snprintf(name, sizeof name, "conv2d %d", (int)(k - kinds));
    const double window = (double)(k->kh * k->kw * k->C), positions = (double)(k->B * k->H * k->W);
    optest t = {.name = name, .n_in = 2 + k->bias, .n_out = 1, .build = build, .reference = reference, .with = k, .c = 8, .length = window,
                .grad_c = 8, .grad_length = window + positions + (double)(k->kh * k->kw * k->O), .floor = 1};
    t.in[0] = (optest_input){.shape = BM_SHAPE(k->B, k->H, k->W, k->C), .gradient = 1};
    t.in[1] = (optest_input){.shape = BM_SHAPE(k->O, k->kh, k->kw, k->C / k->o.groups), .place = BM_PLACE_WEIGHT, .gradient = 1};
    t.in[2] = (optest_input){.shape = BM_SHAPE(k->O), .place = BM_PLACE_WEIGHT, .gradient = 1};
    return t;
}

START_TEST(a_convolution_and_its_gradients)
{
    if (_i >= n_kinds()) return;
    const optest t = test_of(&kinds[_i]);
    optest_check(&t);
    if (_i % 4 == 1) optest_check_accumulate(&t);
}
END_TEST

/* Weights in 16 bits beside activations in f32, as a model that only infers keeps them, come out as if they had been widened. */
START_TEST(weights_may_have_a_type_of_their_own)
{
    for (int64_t groups = 1; groups <= 2; groups++)
        EACH_FORM(form) {
            bm_graph *g = NULL;
            bm_plan *p = NULL;
            bm_graph_opts opts = bm_graph_opts_with_ops();
            bm_conv_opts o = bm_conv_opts_default();
            o.groups = groups;
            test_ok(bm_graph_create(&g, &opts));
            uint16_t half[3 * 3 * 4 * 4];
            float wide[3 * 3 * 4 * 4], x[5 * 5 * 4], y[2][3 * 3 * 4];
            for (int i = 0; i < 100; i++) x[i] = (float)(i * 7 % 19 - 9);
            for (int i = 0; i < 144; i++) {
                half[i] = bm_f32_to_bf16((float)(i * 5 % 17 - 8) / 8);
                wide[i] = bm_bf16_to_f32(half[i]);
            }
            const bm_shape shape = BM_SHAPE(4, 3, 3, 4 / groups);
            bm_value *xv = bm_graph_input(g, "x", BM_F32, BM_SHAPE(1, 5, 5, 4));
            bm_value *h = bm_graph_input(g, "h", BM_BF16, shape), *w = bm_graph_input(g, "w", BM_F32, shape);
            bm_value *a = bm_graph_output(g, bm_conv2d(g, xv, h, NULL, BM_ACT_NONE, &o), "a");
            bm_value *b = bm_graph_output(g, bm_conv2d(g, xv, w, NULL, BM_ACT_NONE, &o), "b");
            test_ok(bm_graph_status(g));
            test_ok(bm_plan_create(&p, optest_engine((bm_form)form), g, &(bm_plan_opts){0}));
            test_ok(bm_plan_write(p, xv, x));
            test_ok(bm_plan_write(p, h, half));
            test_ok(bm_plan_write(p, w, wide));
            test_ok(bm_plan_run(p));
            test_ok(bm_plan_read(p, a, y[0]));
            test_ok(bm_plan_read(p, b, y[1]));
            for (int i = 0; i < 36; i++) ck_assert_float_eq_tol(y[0][i], y[1][i], 1e-5f);
            bm_plan_destroy(p);
            bm_graph_destroy(g);
        }
}
END_TEST

/* dw and db of w [6, k, k, 5] and b, read as they are or as copies in type t; all numbers are sixteenths, exact in every type. */
static void gradients_by_copies(float *dw, float *db, bm_engine *e, bm_dtype t, int64_t k)
{
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_layout *layout = NULL;
    bm_bank *banks[3] = {NULL};
    static const bm_place places[] = {BM_PLACE_WEIGHT, BM_PLACE_GRAD, BM_PLACE_HALF};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *w = bm_graph_param(g, "w", BM_F32, BM_SHAPE(6, k, k, 5), 0), *b = bm_graph_param(g, "b", BM_F32, BM_SHAPE(6), 1);
    bm_value *x = bm_graph_input(g, "x", t, BM_SHAPE(2, 5, 5, 5)), *d = bm_graph_input(g, "d", t, BM_SHAPE(2, 6 - k, 6 - k, 6));
    bm_value *y = t == BM_F32 ? bm_conv2d(g, x, w, b, BM_ACT_NONE, NULL)
                              : bm_conv2d(g, x, bm_graph_half(g, w, t), bm_graph_half(g, b, t), BM_ACT_NONE, NULL);
    test_ok(bm_graph_gradients(g, bm_sum(g, bm_mul(g, y, d))));
    test_ok(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    for (int i = 0; i < 3; i++) test_ok(bm_bank_create(&banks[i], e, layout, places[i]));
    test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = banks, .n_banks = 3}));
    bm_value *const in[] = {x, d};
    for (int i = 0; i < 2; i++) {
        float wide[2 * 5 * 5 * 6], stored[2 * 5 * 5 * 6];
        const int64_t n = bm_shape_elements(bm_value_shape(in[i]));
        for (int64_t j = 0; j < n; j++) wide[j] = (float)((j * 29 + i * 11) % 63 - 31) / 16;
        test_ok(bm_convert_floats(stored, t, wide, BM_F32, (size_t)n));
        test_ok(bm_plan_write(p, in[i], stored));
    }
    test_ok(bm_plan_run(p));
    test_ok(bm_bank_read(banks[1], bm_layout_find(layout, "w"), 0, dw, 4 * 6 * k * k * 5));
    test_ok(bm_bank_read(banks[1], bm_layout_find(layout, "b"), 0, db, 4 * 6));
    bm_plan_destroy(p);
    for (int i = 0; i < 3; i++) bm_bank_destroy(banks[i]);
    bm_layout_destroy(layout);
    bm_graph_destroy(g);
}

START_TEST(gradients_of_copies_are_those_of_the_parameters)
{
    static const bm_dtype halves[] = {BM_F16, BM_BF16};
    EACH_FORM(form)
    for (int64_t k = optest_small() ? 3 : 1; k <= 3; k += 2) {
        float want[2][6 * 9 * 5] = {{0}}, got[2][6 * 9 * 5] = {{0}};
        gradients_by_copies(want[0], want[1], optest_engine((bm_form)form), BM_F32, k);
        ck_assert_float_ne(want[0][0], 0);
        for (int i = 0; i < 2; i++) {
            gradients_by_copies(got[0], got[1], optest_engine((bm_form)form), halves[i], k);
            ck_assert_mem_eq(got, want, sizeof want);
        }
    }
}
END_TEST

/* What x, w and dy make, in bf16: their numbers are -1, 0 and 1, so that sums in f32 are exact in any order. */
typedef struct products {
    kind k;
    int64_t n[6];
    float *of[6]; /* x, w, dy, y, dx, dw */
} products;

static products products_of(const kind *k)
{
    products p = {.k = *k};
    p.k.act = BM_ACT_NONE;
    const int64_t image = k->B * k->H * k->W * k->C, window = k->O * k->kh * k->kw * k->C;
    const int64_t made = k->B * places(k->H, k->kh, &k->o, 0) * places(k->W, k->kw, &k->o, 1) * k->O;
    const int64_t n[] = {image, window, made, made, image, window};
    for (int i = 0; i < 6; i++) {
        p.n[i] = n[i];
        p.of[i] = calloc((size_t)n[i], sizeof(float));
        ck_assert_ptr_nonnull(p.of[i]);
        for (int64_t j = 0; i < 3 && j < n[i]; j++) p.of[i][j] = (float)((int)((uint32_t)(3 * j + i) * 2654435761u >> 16) % 3 - 1);
    }
    return p;
}

static void multiply_by_host(const products *p)
{
    const kind *k = &p->k;
    const int64_t Ho = places(k->H, k->kh, &k->o, 0), Wo = places(k->W, k->kw, &k->o, 1);
    for (int64_t at = 0; at < p->n[2]; at++) {
        const int64_t o = at % k->O, j = at / k->O % Wo, i = at / k->O / Wo % Ho, b = at / k->O / Wo / Ho;
        for (int64_t t = 0; t < k->kh * k->kw; t++) {
            const int64_t h = i * k->o.stride[0] - k->o.pad[0] + t / k->kw * k->o.dilation[0];
            const int64_t v = j * k->o.stride[1] - k->o.pad[1] + t % k->kw * k->o.dilation[1];
            if (h < 0 || h >= k->H || v < 0 || v >= k->W) continue;
            for (int64_t c = 0; c < k->C; c++) {
                const int64_t at_x = ((b * k->H + h) * k->W + v) * k->C + c, at_w = (o * k->kh * k->kw + t) * k->C + c;
                p->of[3][at] += p->of[0][at_x] * p->of[1][at_w];
                p->of[4][at_x] += p->of[2][at] * p->of[1][at_w];
                p->of[5][at_w] += p->of[2][at] * p->of[0][at_x];
            }
        }
    }
}

static void check_on_device(const products *p, bm_engine *e)
{
    static const char *const names[] = {"x", "w", "dy", "y", "dx", "dw"};
    const kind *k = &p->k;
    bm_graph *g = NULL;
    bm_plan *plan = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *v[6] = {bm_graph_input(g, "x", BM_BF16, BM_SHAPE(k->B, k->H, k->W, k->C)),
                      bm_graph_input(g, "w", BM_BF16, BM_SHAPE(k->O, k->kh, k->kw, k->C))};
    for (int i = 0; i < 2; i++) bm_graph_want_gradient(g, v[i]);
    v[3] = bm_conv2d(g, v[0], v[1], NULL, BM_ACT_NONE, &k->o);
    ck_assert_ptr_nonnull(v[3]);
    v[2] = bm_graph_input(g, "dy", BM_BF16, *bm_value_shape(v[3]));
    test_ok(bm_graph_gradients(g, bm_sum(g, bm_mul(g, v[3], v[2]))));
    v[4] = bm_graph_gradient(g, v[0]);
    v[5] = bm_graph_gradient(g, v[1]);
    for (int i = 3; i < 6; i++) bm_graph_output(g, v[i], names[i]);
    test_ok(bm_plan_create(&plan, e, g, &(bm_plan_opts){0}));
    for (int i = 0; i < 6; i++) {
        uint16_t *const half = calloc((size_t)p->n[i], 2);
        ck_assert_int_eq(bm_value_dtype(v[i]), BM_BF16);
        if (i == 3) test_ok(bm_plan_run(plan));
        if (i >= 3) test_ok(bm_plan_read(plan, v[i], half));
        for (int64_t j = 0; j < p->n[i]; j++) {
            const uint16_t want = bm_f32_to_bf16(p->of[i][j] + 0.0f);
            if (i < 3) half[j] = want;
            else if (half[j] != want)
                ck_abort_msg("[%lld, %lld, %lld, %lld] on %s, bf16_dot %d: %s[%lld] is %g, not %g", (long long)k->B, (long long)k->H,
                             (long long)k->W, (long long)k->C, bm_engine_device_name(e),
                             bm_engine_limits(e)->bf16_dot, names[i], (long long)j, (double)bm_bf16_to_f32(half[j]),
                             (double)bm_bf16_to_f32(want));
        }
        if (i < 3) test_ok(bm_plan_write(plan, v[i], half));
        free(half);
    }
    bm_plan_destroy(plan);
    bm_graph_destroy(g);
}

static bm_engine *without_pairs(void)
{
    bm_engine_opts opts = test_engine_opts();
    opts.form = BM_FORM_CPU;
    opts.no_dots = 1;
    return test_engine_open_with(&opts);
}

/* In pairs where the device has them, and converted to f32. */
START_TEST(products_of_bf16_in_every_form)
{
    bm_engine *const converted = without_pairs();
    for (int i = 0; i < n_kinds(); i++) {
        if (kinds[i].o.groups > 1) continue;
        products p = products_of(&kinds[i]);
        multiply_by_host(&p);
        EACH_FORM(form) check_on_device(&p, optest_engine((bm_form)form));
        check_on_device(&p, converted);
        for (int j = 0; j < 6; j++) free(p.of[j]);
    }
    bm_engine_close(converted);
}
END_TEST

/* vdpbf16ps takes a subnormal operand for 0. */
START_TEST(pairs_are_used_where_the_device_has_them)
{
    if (!bm_engine_limits(optest_engine(BM_FORM_CPU))->bf16_dot) return;
    bm_engine *const engine[] = {optest_engine(BM_FORM_CPU), without_pairs()};
    for (int i = 0; i < 2; i++) {
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        uint16_t x[4], w[4 * 16], y[16];
        bm_graph_opts opts = bm_graph_opts_with_ops();
        for (int j = 0; j < 4; j++) x[j] = bm_f32_to_bf16(0x1p-130f);
        for (int j = 0; j < 64; j++) w[j] = bm_f32_to_bf16(0x1p100f);
        test_ok(bm_graph_create(&g, &opts));
        bm_value *xv = bm_graph_input(g, "x", BM_BF16, BM_SHAPE(1, 2, 2, 1)), *wv = bm_graph_input(g, "w", BM_BF16, BM_SHAPE(16, 2, 2, 1));
        bm_value *yv = bm_graph_output(g, bm_conv2d(g, xv, wv, NULL, BM_ACT_NONE, NULL), "y");
        test_ok(bm_plan_create(&p, engine[i], g, &(bm_plan_opts){0}));
        test_ok(bm_plan_write(p, xv, x));
        test_ok(bm_plan_write(p, wv, w));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, yv, y));
        for (int j = 0; j < 16; j++) ck_assert_float_eq(bm_bf16_to_f32(y[j]), i == 0 ? 0 : 0x1p-28f);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
    bm_engine_close(engine[1]);
}
END_TEST

typedef struct refusal {
    bm_shape x, w, b;
    bm_conv_opts o;
    const char *text;
} refusal;

START_TEST(operands_that_do_not_fit_are_refused)
{
    const bm_conv_opts plain = PLAIN;
    bm_conv_opts stride = plain, pad = plain, dilation = plain, groups = plain, three = plain, far = plain;
    stride.stride[0] = 0;
    pad.pad[1] = -1;
    dilation.dilation[1] = 0;
    groups.groups = 0;
    three.groups = 3;
    far.dilation[0] = INT64_MAX;
    const bm_shape x = BM_SHAPE(2, 5, 4, 6), w = BM_SHAPE(8, 3, 3, 6), b = BM_SHAPE(8);
    const refusal cases[] = {
        {BM_SHAPE(5, 4, 6), w, b, plain, "x is [5, 4, 6], not [B, H, W, C]"},
        {BM_SHAPE(0, 5, 4, 6), w, b, plain, "x is [0, 5, 4, 6], not [B, H, W, C]"},
        {x, BM_SHAPE(8, 54), b, plain, "w is [8, 54], not [O, kh, kw, C / groups]"},
        {x, BM_SHAPE(8, 3, 3, 5), b, plain, "6 channels of x and 8 outputs of 5 channels of w do not fit in 1 groups"},
        {x, BM_SHAPE(8, 3, 3, 2), b, three, "6 channels of x and 8 outputs of 2 channels of w do not fit in 3 groups"},
        {x, w, BM_SHAPE(7), plain, "b is [7], not [8]"},
        {x, BM_SHAPE(8, 6, 3, 6), b, plain, "the height of x, 5 with 0 of padding on both sides, is less than a kernel of 6, 1 apart"},
        {x, BM_SHAPE(8, 3, 5, 6), b, plain, "the width of x, 4 with 0 of padding on both sides, is less than a kernel of 5, 1 apart"},
        {x, w, b, far, "the height of x"},
        {x, w, b, stride, "the stride of the height is 0"},
        {x, w, b, pad, "the padding of the width is -1"},
        {x, w, b, dilation, "the dilation of the width is 0"},
        {x, w, b, groups, "0 groups"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        const refusal *c = &cases[i];
        test_ok(bm_graph_create(&g, &opts));
        bm_value *xv = bm_graph_input(g, "x", BM_F32, c->x), *wv = bm_graph_input(g, "w", BM_F32, c->w);
        ck_assert(bm_conv2d(g, xv, wv, bm_graph_input(g, "b", BM_F32, c->b), BM_ACT_NONE, &c->o) == NULL);
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, c->text);
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conv");
    TCase *c = optest_tcase(s, "conv");
    tcase_add_loop_test(c, a_convolution_and_its_gradients, 0, (int)(sizeof kinds / sizeof *kinds));
    tcase_add_test(c, gradients_of_copies_are_those_of_the_parameters);
    tcase_add_test(c, weights_may_have_a_type_of_their_own);
    tcase_add_test(c, products_of_bf16_in_every_form);
    tcase_add_test(c, pairs_are_used_where_the_device_has_them);
    tcase_add_test(c, operands_that_do_not_fit_are_refused);
    return test_run(s);
}
