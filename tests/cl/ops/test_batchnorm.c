/* ctest: oclgrind rusticl/plain */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/bank.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define EPS 1e-5

/* Rows around chunks of 32 and more than 256 of them (there, among so many, some come too near to the kink of ReLU for differences),
 * channels around vectors of 16 and strips of 64. */
static const int64_t shapes[][2] = {{2, 1}, {3, 5}, {7, 16}, {33, 4}, {32, 20}, {65, 64}, {9, 81}, {150, 160}, {8300, 3}};
enum { SHAPES = sizeof shapes / sizeof *shapes };
static int n_shapes(void) { return optest_small() ? 5 : SHAPES; }

typedef struct kind {
    int training, relu;
} kind;

static bm_batchnorm_opts opts_of(bm_value *mean, bm_value *var, const kind *k)
{
    bm_batchnorm_opts o = bm_batchnorm_opts_default(mean, var);
    o.training = k->training;
    o.relu = k->relu;
    return o;
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const bm_batchnorm_opts o = opts_of(in[3], in[4], t->with);
    out[0] = bm_batchnorm(g, in[0], in[1], in[2], &o);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const kind *k = t->with;
    const double *x = in[0];
    const int64_t rows = bm_shape_rows(&t->in[0].shape), n = bm_shape_last(&t->in[0].shape);
    for (int64_t c = 0; c < n; c++) {
        double mean = 0, var = 0;
        for (int64_t r = 0; r < rows; r++) mean += x[r * n + c] / (double)rows;
        for (int64_t r = 0; r < rows; r++) var += (x[r * n + c] - mean) * (x[r * n + c] - mean) / (double)rows;
        if (!k->training) mean = in[3][c], var = in[4][c];
        for (int64_t r = 0; r < rows; r++) {
            const double v = (x[r * n + c] - mean) / sqrt(var + (double)(float)EPS) * in[1][c] + in[2][c];
            out[0][r * n + c] = k->relu && v < 0 ? 0 : v;
        }
    }
}

static optest test_of(const char *name, const kind *k, int64_t rows, int64_t n)
{
    optest t = {.name = name, .n_in = 5, .n_out = 1, .build = build, .reference = reference, .with = k, .c = 16, .length = 1,
                .grad_c = 32, .grad_length = (double)rows, .floor = 1};
    t.in[0] = (optest_input){.shape = BM_SHAPE(rows, n), .gradient = 1};
    for (int i = 1; i < 5; i++)
        t.in[i] = (optest_input){.shape = BM_SHAPE(n), .fill = OPTEST_UNIFORM, .low = 0.5, .high = 1.5, .place = BM_PLACE_WEIGHT,
                                 .gradient = i < 3, .f32 = i >= 3};
    return t;
}

static void check(const char *name, kind k, int i)
{
    char text[64];
    if (i >= n_shapes()) return;
    snprintf(text, sizeof text, "%s %d", name, i);
    optest t = test_of(text, &k, shapes[i][0], shapes[i][1]);
    optest_check(&t);
    optest_check_accumulate(&t);
    for (int j = 1; j < 3; j++) t.in[j].f32 = 1;
    if (i == 3) optest_check(&t);
}

START_TEST(of_the_batch) { check("batchnorm", (kind){1, 0}, _i); }
END_TEST
START_TEST(of_the_batch_with_relu) { if (shapes[_i][0] < 1000) check("batchnorm relu", (kind){1, 1}, _i); }
END_TEST
START_TEST(by_the_running_statistics) { check("batchnorm, evaluated", (kind){0, 0}, _i); }
END_TEST
START_TEST(by_the_running_statistics_with_relu) { if (shapes[_i][0] < 1000) check("batchnorm relu, evaluated", (kind){0, 1}, _i); }
END_TEST

/* Images are rows too. */
START_TEST(an_image_has_a_row_for_each_pixel)
{
    const kind k = {1, 0};
    optest t = test_of("batchnorm of images", &k, 18, 6);
    t.in[0].shape = BM_SHAPE(2, 3, 3, 6);
    optest_check(&t);
}
END_TEST

/* x of mean 4096 and deviation 1: a variance by mean(x^2) - mean^2 would have lost all digits. */
START_TEST(the_variance_survives_a_large_mean)
{
    const kind k = {1, 0};
    optest t = test_of("large mean", &k, 97, 7);
    t.f32_only = 1;
    t.c = 4 * 4096; /* the mean is held to a rounding of 4096 */
    t.in[0] = (optest_input){.shape = BM_SHAPE(97, 7), .fill = OPTEST_UNIFORM, .low = 4094, .high = 4098};
    t.in[1].gradient = t.in[2].gradient = 0;
    optest_check(&t);
}
END_TEST

/* Two runs over the same batch: s <- s + 0.1 (of the batch - s), the variance with 1 / (N - 1); in a block that is computed again
 * they still move once for each run. */
START_TEST(running_statistics_move_once_a_run)
{
    enum { ROWS = 40, C = 3 };
    EACH_FORM(form)
    for (int again = 0; again < 2; again++) {
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        bm_layout *layout = NULL;
        bm_bank *banks[2] = {NULL};
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_engine *e = optest_engine((bm_form)form);
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(ROWS, C)), *v[4];
        static const char *const names[] = {"w", "b", "mean", "var"};
        for (int i = 0; i < 4; i++) v[i] = bm_graph_param(g, names[i], BM_F32, BM_SHAPE(C), i < 2 ? 1 : 2);
        bm_batchnorm_opts o = opts_of(v[2], v[3], &(kind){1, 0});
        if (again) bm_graph_recompute_begin(g);
        bm_value *y = bm_batchnorm(g, x, v[0], v[1], &o);
        if (again) bm_graph_recompute_end(g);
        test_ok(bm_graph_gradients(g, bm_sum(g, y)));
        test_ok(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
        test_ok(bm_bank_create(&banks[0], e, layout, BM_PLACE_WEIGHT));
        test_ok(bm_bank_create(&banks[1], e, layout, BM_PLACE_GRAD));
        test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = banks, .n_banks = 2}));
        float in[ROWS * C], start[2][C] = {{1, -2, 0.5f}, {1, 4, 0.25f}}, got[C];
        double want[2][C];
        for (int i = 0; i < ROWS * C; i++) in[i] = (float)(i * 37 % 101) / 20;
        test_ok(bm_plan_write(p, x, in));
        for (int s = 0; s < 2; s++)
            test_ok(bm_bank_write(banks[0], bm_layout_find(layout, names[2 + s]), 0, start[s], sizeof start[s]));
        for (int c = 0; c < C; c++) {
            double mean = 0, var = 0;
            for (int r = 0; r < ROWS; r++) mean += (double)in[r * C + c] / ROWS;
            for (int r = 0; r < ROWS; r++) var += pow((double)in[r * C + c] - mean, 2) / (ROWS - 1);
            want[0][c] = 0.81 * (double)start[0][c] + 0.19 * mean;
            want[1][c] = 0.81 * (double)start[1][c] + 0.19 * var;
        }
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_run(p));
        for (int s = 0; s < 2; s++) {
            test_ok(bm_bank_read(banks[0], bm_layout_find(layout, names[2 + s]), 0, got, sizeof got));
            for (int c = 0; c < C; c++) ck_assert_double_eq_tol((double)got[c], want[s][c], 1e-6);
        }
        bm_plan_destroy(p);
        for (int i = 0; i < 2; i++) bm_bank_destroy(banks[i]);
        bm_layout_destroy(layout);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(operands_that_do_not_fit_are_refused)
{
    const struct {
        bm_shape x, w, mean;
        bm_dtype stats;
        int training;
        const char *text;
    } cases[] = {
        {BM_SHAPE(3), BM_SHAPE(3), BM_SHAPE(3), BM_F32, 1, "x is [3], not [.., C] of rows"},
        {BM_SHAPE(0, 3), BM_SHAPE(3), BM_SHAPE(3), BM_F32, 0, "x is [0, 3], not [.., C] of rows"},
        {BM_SHAPE(1, 3), BM_SHAPE(3), BM_SHAPE(3), BM_F32, 1, "x has one row"},
        {BM_SHAPE(2, 3), BM_SHAPE(2), BM_SHAPE(3), BM_F32, 1, "w is [2], not [3]"},
        {BM_SHAPE(2, 3), BM_SHAPE(3), BM_SHAPE(2), BM_F32, 1, "mean is [2], not [3]"},
        {BM_SHAPE(2, 3), BM_SHAPE(3), BM_SHAPE(2), BM_F32, 0, "mean is [2], not [3]"},
        {BM_SHAPE(2, 3), BM_SHAPE(3), BM_SHAPE(3), BM_F16, 0, "mean is f16, not f32"},
        {BM_SHAPE(2, 3), BM_SHAPE(3), BM_SHAPE(3), BM_F16, 1, "mean is f16, not f32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, cases[i].x), *w = bm_graph_param(g, "w", BM_F32, cases[i].w, 1);
        bm_value *mean = bm_graph_param(g, "mean", cases[i].stats, cases[i].mean, 2);
        const bm_batchnorm_opts o = opts_of(mean, mean, &(kind){cases[i].training, 0});
        ck_assert(bm_batchnorm(g, x, w, w, &o) == NULL);
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, cases[i].text);
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("batchnorm");
    TCase *c = optest_tcase(s, "batchnorm");
    tcase_add_loop_test(c, of_the_batch, 0, SHAPES);
    tcase_add_loop_test(c, of_the_batch_with_relu, 0, SHAPES);
    tcase_add_loop_test(c, by_the_running_statistics, 0, SHAPES);
    tcase_add_loop_test(c, by_the_running_statistics_with_relu, 0, SHAPES);
    tcase_add_test(c, an_image_has_a_row_for_each_pixel);
    tcase_add_test(c, the_variance_survives_a_large_mean);
    tcase_add_test(c, running_statistics_move_once_a_run);
    tcase_add_test(c, operands_that_do_not_fit_are_refused);
    return test_run(s);
}
