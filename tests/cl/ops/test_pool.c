/* ctest: oclgrind unoptimized rusticl/plain */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

typedef enum pooling { MAXIMUM, AVERAGE, GLOBAL } pooling;

typedef struct kind {
    int64_t B, H, W, C;
    bm_pool_opts o;
} kind;

/* Windows beside, over and apart from each other, some that end before the image does; channels around vectors of 4 and 16. */
static const kind kinds[] = {
    {1, 1, 1, 1, {{1, 1}, {1, 1}, {0, 0}}},
    {2, 4, 6, 3, {{2, 2}, {2, 2}, {0, 0}}},
    {1, 5, 5, 4, {{3, 3}, {2, 2}, {1, 1}}},
    {2, 5, 7, 16, {{2, 2}, {2, 2}, {0, 0}}},
    {1, 6, 4, 5, {{3, 2}, {1, 3}, {0, 1}}},
    {1, 7, 6, 32, {{3, 3}, {1, 1}, {1, 1}}},
    {0, 4, 4, 8, {{2, 2}, {2, 2}, {0, 0}}},
    {2, 9, 8, 17, {{2, 3}, {3, 4}, {1, 0}}},
    {3, 20, 20, 16, {{3, 3}, {2, 2}, {1, 1}}},
    {2, 12, 13, 48, {{12, 13}, {1, 1}, {6, 5}}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static int n_kinds(void) { return optest_small() ? 6 : KINDS; }

typedef struct task {
    kind k;
    pooling how;
} task;

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const task *a = t->with;
    out[0] = a->how == GLOBAL    ? bm_global_avg_pool(g, in[0])
             : a->how == AVERAGE ? bm_avg_pool2d(g, in[0], &a->k.o)
                                 : bm_max_pool2d(g, in[0], &a->k.o);
}

static int64_t places(const kind *k, int axis)
{
    return ((axis ? k->W : k->H) + 2 * k->o.pad[axis] - k->o.kernel[axis]) / k->o.stride[axis] + 1;
}

/* One output of the image x. */
static double pooled(const task *a, const double *x, int64_t i, int64_t j, int64_t c)
{
    const kind *k = &a->k;
    double most = -INFINITY, sum = 0;
    for (int64_t r = 0; r < k->o.kernel[0]; r++)
        for (int64_t s = 0; s < k->o.kernel[1]; s++) {
            const int64_t h = i * k->o.stride[0] - k->o.pad[0] + r, v = j * k->o.stride[1] - k->o.pad[1] + s;
            if (h < 0 || h >= k->H || v < 0 || v >= k->W) continue;
            most = fmax(most, x[(h * k->W + v) * k->C + c]);
            sum += x[(h * k->W + v) * k->C + c];
        }
    return a->how == MAXIMUM ? most : sum / (double)(k->o.kernel[0] * k->o.kernel[1]);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const task *a = t->with;
    const kind *k = &a->k;
    double *y = out[0];
    for (int64_t b = 0; b < k->B; b++)
        for (int64_t i = 0; i < places(k, 0); i++)
            for (int64_t j = 0; j < places(k, 1); j++)
                for (int64_t c = 0; c < k->C; c++) *y++ = pooled(a, in[0] + b * k->H * k->W * k->C, i, j, c);
}

static void check(pooling how, const char *name, int i)
{
    task a = {kinds[i], how};
    char text[64];
    if (i >= n_kinds()) return;
    if (how == GLOBAL) a.k.o = (bm_pool_opts){{a.k.H, a.k.W}, {1, 1}, {0, 0}};
    snprintf(text, sizeof text, "%s %d", name, i);
    optest t = {.name = text, .n_in = 1, .n_out = 1, .build = build, .reference = reference, .with = &a, .c = 4,
                .length = (double)(a.k.o.kernel[0] * a.k.o.kernel[1]), .floor = 1};
    t.in[0] = (optest_input){.shape = BM_SHAPE(a.k.B, a.k.H, a.k.W, a.k.C), .gradient = 1};
    optest_check(&t);
}

START_TEST(the_maximum_and_its_gradient) { check(MAXIMUM, "max_pool2d", _i); }
END_TEST
START_TEST(the_average_and_its_gradient) { check(AVERAGE, "avg_pool2d", _i); }
END_TEST
START_TEST(the_average_of_an_image_and_its_gradient) { check(GLOBAL, "global_avg_pool", _i); }
END_TEST

/* Of equal maxima the first, row by row, has the gradient; NaN is the maximum; C a vector wide, and not. */
START_TEST(of_equal_maxima_the_first_counts)
{
    const int64_t C = _i ? 16 : 3;
    EACH_FORM(form) {
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        const bm_pool_opts o = {{2, 2}, {1, 1}, {0, 0}};
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(1, 3, 3, C)), *y = bm_max_pool2d(g, x, &o);
        bm_graph_want_gradient(g, x);
        bm_graph_output(g, y, "y");
        test_ok(bm_graph_gradients(g, bm_sum(g, y)));
        bm_value *dx = bm_graph_output(g, bm_graph_gradient(g, x), "dx");
        test_ok(bm_plan_create(&p, optest_engine((bm_form)form), g, &(bm_plan_opts){0}));
        /* Channel 0: all equal. Channel 1: 2 at the middle and beside it. Channel 2: NaN at the end. */
        float in[9 * 16] = {0}, out[4 * 16], d[9 * 16];
        in[4 * C + 1] = in[5 * C + 1] = 2;
        in[8 * C + 2] = NAN;
        static const float want[2][9] = {{1, 1, 0, 1, 1, 0, 0, 0, 0}, {0, 0, 0, 0, 4, 0, 0, 0, 0}};
        test_ok(bm_plan_write(p, x, in));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, y, out));
        test_ok(bm_plan_read(p, dx, d));
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < 9; i++) ck_assert_float_eq(d[i * C + c], want[c][i]);
        for (int i = 0; i < 4; i++) ck_assert_int_eq(isnan(out[i * C + 2]) != 0, i == 3);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(windows_that_do_not_fit_are_refused)
{
    const struct {
        bm_shape x;
        bm_pool_opts o;
        const char *text;
    } cases[] = {
        {BM_SHAPE(4, 4, 3), {{2, 2}, {2, 2}, {0, 0}}, "x is [4, 4, 3], not [B, H, W, C]"},
        {BM_SHAPE(1, 4, 0, 3), {{2, 2}, {2, 2}, {0, 0}}, "x is [1, 4, 0, 3], not [B, H, W, C]"},
        {BM_SHAPE(1, 4, 4, 3), {{5, 2}, {2, 2}, {0, 0}}, "the height of x, 4 with 0 of padding on both sides, is less than a kernel of 5"},
        {BM_SHAPE(1, 4, 4, 3), {{2, 9}, {2, 2}, {0, 2}}, "the width of x, 4 with 2 of padding on both sides, is less than a kernel of 9"},
        {BM_SHAPE(1, 4, 4, 3), {{2, 3}, {2, 2}, {0, 2}}, "along the width 2 of padding; a kernel of 3 takes 0 to 1"},
        {BM_SHAPE(1, 4, 4, 3), {{2, 2}, {0, 2}, {0, 0}}, "along the height a kernel of 2, 0 apart"},
        {BM_SHAPE(1, 4, 4, 3), {{2, 0}, {2, 2}, {0, 0}}, "along the width a kernel of 0, 2 apart"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        ck_assert(bm_max_pool2d(g, bm_graph_input(g, "x", BM_F32, cases[i].x), &cases[i].o) == NULL);
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, cases[i].text);
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *c = optest_tcase(s, "pool");
    tcase_add_loop_test(c, the_maximum_and_its_gradient, 0, KINDS);
    tcase_add_loop_test(c, the_average_and_its_gradient, 0, KINDS);
    tcase_add_loop_test(c, the_average_of_an_image_and_its_gradient, 0, KINDS);
    tcase_add_loop_test(c, of_equal_maxima_the_first_counts, 0, 2);
    tcase_add_test(c, windows_that_do_not_fit_are_refused);
    return test_run(s);
}
