/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define EPS 1e-5

/* Rows around a work-group's lanes (4 x 64), vectors of 16 and 4, and 4096 elements a work-item; chunks of 32 rows. */
static const int64_t shapes[][2] = {{1, 1}, {0, 5}, {3, 0}, {2, 3}, {3, 16}, {33, 5}, {2, 257}, {33, 17}, {7, 97}, {32, 64}, {3, 255}, {65, 256},
                                    {2, 4099}, {34, 384}};
static int n_shapes(void) { return optest_small() ? 7 : (int)(sizeof shapes / sizeof *shapes); }

typedef struct kind {
    int rms, bias, residual;
} kind;

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const kind *k = t->with;
    bm_value *w = in[1 + k->residual], *b = k->bias ? in[2 + k->residual] : NULL;
    if (k->residual) out[0] = bm_add_norm(g, &out[1], in[0], in[1], w, b, (float)EPS, k->rms);
    else if (k->rms) out[0] = bm_rmsnorm(g, in[0], w, (float)EPS);
    else out[0] = bm_layernorm(g, in[0], w, b, (float)EPS);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const kind *k = t->with;
    const double *x = in[0], *r = k->residual ? in[1] : NULL, *w = in[1 + k->residual], *b = k->bias ? in[2 + k->residual] : NULL;
    const int64_t rows = bm_shape_rows(&t->in[0].shape), n = bm_shape_last(&t->in[0].shape);
    double *v = malloc((size_t)(n + 1) * sizeof *v);
    for (int64_t i = 0; i < rows; i++) {
        double mean = 0, var = 0;
        for (int64_t c = 0; c < n; c++) {
            v[c] = x[i * n + c] + (r ? r[i * n + c] : 0);
            if (!k->rms) mean += v[c] / (double)n;
        }
        for (int64_t c = 0; c < n; c++) var += (v[c] - mean) * (v[c] - mean) / (double)n;
        for (int64_t c = 0; c < n; c++) {
            out[0][i * n + c] = (v[c] - mean) / sqrt(var + (double)(float)EPS) * w[c] + (b ? b[c] : 0);
            if (r) out[1][i * n + c] = v[c];
        }
    }
    free(v);
}

static optest test_of(const char *name, const kind *k, int64_t rows, int64_t n)
{
    optest t = {.name = name, .n_in = 2 + k->residual + k->bias, .n_out = 1 + k->residual, .build = build,
                .reference = reference, .with = k, .c = 8, .length = 1, .grad_c = 16, .grad_length = (double)(rows < 1 ? 1 : rows),
                .floor = 1};
    for (int i = 0; i <= k->residual; i++) t.in[i] = (optest_input){.shape = BM_SHAPE(rows, n), .gradient = 1};
    for (int i = 1 + k->residual; i < t.n_in; i++)
        t.in[i] = (optest_input){.shape = BM_SHAPE(n), .fill = OPTEST_UNIFORM, .low = 0.5, .high = 1.5,
                                 .place = BM_PLACE_WEIGHT, .gradient = 1};
    return t;
}

static void check(const char *name, kind k)
{
    for (int i = 0; i < n_shapes(); i++) {
        if (shapes[i][1] == 1 && !k.rms) continue; /* its variance is 0: see below */
        optest t = test_of(name, &k, shapes[i][0], shapes[i][1]);
        optest_check(&t);
        if (shapes[i][0] && shapes[i][1]) optest_check_accumulate(&t);
    }
}

START_TEST(layernorm_with_a_bias) { check("layernorm", (kind){0, 1, 0}); }
END_TEST
START_TEST(layernorm_without_a_bias) { check("layernorm without bias", (kind){0, 0, 0}); }
END_TEST
START_TEST(rmsnorm_is_without_a_mean) { check("rmsnorm", (kind){1, 0, 0}); }
END_TEST
START_TEST(add_norm_adds_first) { check("add_norm", (kind){0, 1, 1}); }
END_TEST
START_TEST(add_norm_with_rms) { check("add_norm rms", (kind){1, 0, 1}); }
END_TEST

START_TEST(weights_may_be_f32_beside_16_bits)
{
    static const kind kinds[] = {{0, 1, 0}, {1, 0, 1}};
    for (int i = 0; i < 2; i++) {
        optest t = test_of("f32 weights", &kinds[i], 5, 37);
        for (int j = 1 + kinds[i].residual; j < t.n_in; j++) t.in[j].f32 = 1;
        optest_check(&t);
    }
}
END_TEST

/* x of mean 4096 and deviation 1: a variance by mean(x^2) - mean^2 would have lost all digits. */
static void build_shifted(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_layernorm(g, in[0], in[1], NULL, (float)EPS);
}

START_TEST(the_variance_survives_a_large_mean)
{
    static const kind k = {0, 0, 0};
    optest t = test_of("large mean", &k, 7, 97);
    t.build = build_shifted;
    t.f32_only = 1;
    t.c = 4 * 4096; /* the mean is held to a rounding of 4096 */
    t.in[0] = (optest_input){.shape = BM_SHAPE(7, 97), .fill = OPTEST_UNIFORM, .low = 4094, .high = 4098};
    t.in[1].gradient = 0;
    optest_check(&t);
}
END_TEST

/* Rows of one element, and rows of equal elements: y is b, and no gradient flows to x. */
START_TEST(a_row_without_variance_gives_the_bias)
{
    EACH_FORM(form) {
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_plan_opts plan_opts = {0};
        test_ok(bm_graph_create(&g, &opts));
        const float x[3] = {2, 2, 2}, w[3] = {1, 2, 3}, b[3] = {4, 5, 6};
        float y[3], dx[3];
        bm_value *xv = bm_graph_input(g, "x", BM_F32, BM_SHAPE(1, 3)), *wv = bm_graph_input(g, "w", BM_F32, BM_SHAPE(3));
        bm_value *bv = bm_graph_input(g, "b", BM_F32, BM_SHAPE(3)), *yv = bm_layernorm(g, xv, wv, bv, 1e-5f);
        bm_graph_want_gradient(g, xv);
        bm_graph_output(g, yv, "y");
        test_ok(bm_graph_gradients(g, bm_sum(g, bm_mul(g, yv, yv))));
        bm_value *dv = bm_graph_output(g, bm_graph_gradient(g, xv), "dx");
        test_ok(bm_plan_create(&p, optest_engine(form), g, &plan_opts));
        test_ok(bm_plan_write(p, xv, x));
        test_ok(bm_plan_write(p, wv, w));
        test_ok(bm_plan_write(p, bv, b));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, yv, y));
        test_ok(bm_plan_read(p, dv, dx));
        ck_assert_mem_eq(y, b, sizeof y);
        /* dx = rstd (g - mean(g)), g = 2 b w, rstd = 1 / sqrt(eps) */
        const double rstd = 1 / sqrt((double)1e-5f), g_mean = (8 + 20 + 36) / 3.0, want[3] = {8, 20, 36};
        for (int i = 0; i < 3; i++) ck_assert_double_eq_tol(dx[i], rstd * (want[i] - g_mean), 1e-6 * rstd * 36);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

/* Only the sum of add_norm is used, or only the norm. */
START_TEST(either_result_may_be_unused)
{
    for (int which = 0; which < 2; which++) {
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_plan_opts plan_opts = {0};
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(2, 3)), *r = bm_graph_input(g, "r", BM_F32, BM_SHAPE(2, 3));
        bm_value *w = bm_graph_input(g, "w", BM_F32, BM_SHAPE(3)), *sum, *y = bm_add_norm(g, &sum, x, r, w, NULL, 1e-5f, 0);
        bm_graph_want_gradient(g, x);
        bm_graph_want_gradient(g, r);
        test_ok(bm_graph_gradients(g, bm_sum(g, which ? y : sum)));
        bm_value *dx = bm_graph_output(g, bm_graph_gradient(g, x), "dx"), *dr = bm_graph_output(g, bm_graph_gradient(g, r), "dr");
        const float in[6] = {1, 2, 4, -1, 0, 5}, ones[3] = {1, 1, 1};
        float a[6], b[6];
        test_ok(bm_plan_create(&p, optest_engine(optest_next_form(BM_FORM_AUTO)), g, &plan_opts));
        test_ok(bm_plan_write(p, x, in));
        test_ok(bm_plan_write(p, r, in));
        test_ok(bm_plan_write(p, w, ones));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, dx, a));
        test_ok(bm_plan_read(p, dr, b));
        ck_assert_mem_eq(a, b, sizeof a);
        for (int i = 0; i < 6; i++) ck_assert_float_eq_tol(a[i], which ? 0.0f : 1.0f, 1e-6f);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(operands_that_do_not_fit_are_refused)
{
    for (int i = 0; i < 4; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(2, 3)), *w = bm_graph_input(g, "w", BM_F32, BM_SHAPE(3));
        bm_value *v = bm_graph_input(g, "v", BM_F32, BM_SHAPE(2)), *h = bm_graph_input(g, "h", BM_F16, BM_SHAPE(3));
        bm_value *sum, *y = i == 0   ? bm_layernorm(g, x, v, NULL, 1e-5f)
                            : i == 1 ? bm_layernorm(g, x, w, h, 1e-5f)
                            : i == 2 ? bm_rmsnorm(g, x, h, 1e-5f)
                                     : bm_add_norm(g, &sum, x, v, w, NULL, 1e-5f, 0);
        ck_assert(y == NULL);
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, i == 0 ? "v is [2], not [3]" : i == 3 ? "x is [2, 3] and v is [2]" : "h is f16");
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("norm");
    TCase *c = optest_tcase(s, "norm");
    tcase_add_test(c, layernorm_with_a_bias);
    tcase_add_test(c, layernorm_without_a_bias);
    tcase_add_test(c, rmsnorm_is_without_a_mean);
    tcase_add_test(c, add_norm_adds_first);
    tcase_add_test(c, add_norm_with_rms);
    tcase_add_test(c, weights_may_be_f32_beside_16_bits);
    tcase_add_test(c, the_variance_survives_a_large_mean);
    tcase_add_test(c, a_row_without_variance_gives_the_bias);
    tcase_add_test(c, either_result_may_be_unused);
    tcase_add_test(c, operands_that_do_not_fit_are_refused);
    return test_run(s);
}
