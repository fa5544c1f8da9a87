/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

/* 64 lanes, chunks of 4096 elements, at most 1024 partial sums; rows in chunks of 32, of 64 from 8193 rows on. */
static const int64_t sizes[] = {0, 1, 2, 63, 64, 65, 97, 4095, 4096, 4097, 3 * 4096 + 65, 100003};
static int n_sizes(void) { return optest_small() ? 7 : (int)(sizeof sizes / sizeof *sizes); }

static void build_sum(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_sum(g, in[0]);
}
static void ref_sum(double *const *out, const double *const *in, const optest *t)
{
    out[0][0] = 0;
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][0] += in[0][i];
}

START_TEST(sum_adds_all_elements)
{
    for (int i = 0; i < n_sizes(); i++) {
        optest t = {.name = "sum", .n_in = 1, .n_out = 1, .build = build_sum, .reference = ref_sum, .c = 1,
                    .length = 64, .floor = sqrt((double)sizes[i]), .grad_length = 1};
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

static void build_mean(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_mean(g, in[0]);
}
static void ref_mean(double *const *out, const double *const *in, const optest *t)
{
    ref_sum(out, in, t);
    out[0][0] /= (double)bm_shape_elements(&t->in[0].shape);
}

START_TEST(mean_divides_the_sum)
{
    for (int i = 1; i < n_sizes(); i++) {
        optest t = {.name = "mean", .n_in = 1, .n_out = 1, .build = build_mean, .reference = ref_mean, .c = 1,
                    .length = 64, .floor = 1 / sqrt((double)sizes[i]), .grad_c = 2, .grad_length = 1};
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

static const bm_shape *matrices(int *n)
{
    static bm_shape s[12];
    s[0] = BM_SHAPE(0, 5);
    s[1] = BM_SHAPE(5, 0);
    s[2] = BM_SHAPE(1, 1);
    s[3] = BM_SHAPE(2, 3, 17);
    s[4] = BM_SHAPE(32, 64);
    s[5] = BM_SHAPE(33, 65);
    s[6] = BM_SHAPE(131, 80);
    s[7] = BM_SHAPE(33, 4097);
    s[8] = BM_SHAPE(8192, 3);
    s[9] = BM_SHAPE(8193, 3);
    s[10] = BM_SHAPE(7, 130);
    s[11] = BM_SHAPE(4099);
    *n = optest_small() ? 6 : 12;
    return s;
}

static void build_sum_rows(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_sum_rows(g, in[0]);
}
static void ref_sum_rows(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = bm_shape_rows(&t->in[0].shape), n = bm_shape_last(&t->in[0].shape);
    memset(out[0], 0, (size_t)n * sizeof **out);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) out[0][i] += in[0][r * n + i];
}

START_TEST(sum_rows_adds_over_the_leading_dimensions)
{
    int n;
    const bm_shape *shapes = matrices(&n);
    for (int i = 0; i < n; i++) {
        const double rows = (double)bm_shape_rows(&shapes[i]);
        optest t = {.name = "sum_rows", .n_in = 1, .n_out = 1, .build = build_sum_rows, .reference = ref_sum_rows, .c = 1,
                    .length = 64, .floor = sqrt(rows), .grad_length = 1};
        t.in[0] = (optest_input){.shape = shapes[i], .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

static void build_sum_last(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_sum_last(g, in[0]);
}
static void ref_sum_last(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = bm_shape_rows(&t->in[0].shape), n = bm_shape_last(&t->in[0].shape);
    for (int64_t r = 0; r < rows; r++) {
        out[0][r] = 0;
        for (int64_t i = 0; i < n; i++) out[0][r] += in[0][r * n + i];
    }
}

START_TEST(sum_last_adds_over_the_last_dimension)
{
    int n;
    const bm_shape *shapes = matrices(&n);
    for (int i = 0; i < n; i++) {
        const double last = (double)bm_shape_last(&shapes[i]);
        optest t = {.name = "sum_last", .n_in = 1, .n_out = 1, .build = build_sum_last, .reference = ref_sum_last, .c = 1,
                    .length = 64, .floor = sqrt(last), .grad_length = 1};
        t.in[0] = (optest_input){.shape = shapes[i], .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

/* A graph of one op over one f32 input, run on given numbers; the result's only element. */
static float run_one(bm_form form, bm_value *(*op)(bm_graph *g, bm_value *x), const float *x, int64_t n)
{
    float y = 0;
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_plan_opts plan_opts = {0};
    test_ok(bm_graph_create(&g, &opts));
    bm_value *in = bm_graph_input(g, "x", BM_F32, BM_SHAPE(n)), *out = bm_graph_output(g, op(g, in), "y");
    test_ok(bm_plan_create(&p, optest_engine(form), g, &plan_opts));
    test_ok(bm_plan_write(p, in, x));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, out, &y));
    bm_plan_destroy(p);
    bm_graph_destroy(g);
    return y;
}

START_TEST(all_finite_sees_one_bad_element)
{
    static const int64_t lengths[] = {1, 64, 97, 4097};
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    EACH_FORM(form)
        for (int i = 0; i < 4; i++) {
            const int64_t n = lengths[i];
            float *x = calloc((size_t)n, sizeof *x);
            for (int64_t k = 0; k < n; k++) x[k] = k % 2 ? 3.4e38f : -1e-45f;
            ck_assert_float_eq(run_one(form, bm_all_finite, x, n), 1.0f);
            for (int64_t k = 0; k < n; k += n > 3 ? n / 3 : 1) {
                const float kept = x[k];
                x[k] = bad[k % 3];
                ck_assert_float_eq(run_one(form, bm_all_finite, x, n), 0.0f);
                x[k] = kept;
            }
            free(x);
        }
}
END_TEST

/* A running sum in f32 would be off by 1e-3 of the sum at the end; lanes alone, without compensation, by 1e-5 in a row
 * that one work-group adds. */
START_TEST(long_sums_keep_their_small_terms)
{
    const int64_t n = optest_small() ? 20000 : 5000000;
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t k = 0; k < n; k++) x[k] = 1.0f / 3.0f;
    const double want = (double)n * (double)(1.0f / 3.0f);
    EACH_FORM(form)
    {
        ck_assert_double_le(fabs(run_one(form, bm_sum, x, n) - want), 2e-7 * want);
        ck_assert_double_le(fabs(run_one(form, bm_sum_last, x, n) - want), 2e-7 * want);
    }
    free(x);
}
END_TEST

START_TEST(both_forms_give_the_same_bits)
{
    const int64_t n = 30011;
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t k = 0; k < n; k++) x[k] = sinf((float)k);
    float first = 0;
    int forms = 0;
    EACH_FORM(form) {
        const float y = run_one(form, bm_sum, x, n);
        if (forms++) ck_assert_msg(!memcmp(&first, &y, sizeof y), "%.9g and %.9g", (double)first, (double)y);
        first = y;
    }
    free(x);
}
END_TEST

/* The gradient that starts from 1 is filled in, not spread from memory. */
START_TEST(a_sum_or_mean_may_be_the_loss_itself)
{
    enum { N = 97 };
    EACH_FORM(form)
        for (int mean = 0; mean < 2; mean++) {
            bm_graph *g = NULL;
            bm_plan *p = NULL;
            bm_graph_opts opts = bm_graph_opts_with_ops();
            const bm_plan_opts plan_opts = {0};
            float d[N];
            test_ok(bm_graph_create(&g, &opts));
            bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(N));
            bm_graph_want_gradient(g, x);
            test_ok(bm_graph_gradients(g, mean ? bm_mean(g, x) : bm_sum(g, x)));
            bm_value *dx = bm_graph_output(g, bm_graph_gradient(g, x), "dx");
            test_ok(bm_plan_create(&p, optest_engine(form), g, &plan_opts));
            test_ok(bm_plan_run(p));
            test_ok(bm_plan_read(p, dx, d));
            for (int i = 0; i < N; i++) ck_assert_float_eq(d[i], mean ? 1.0f / N : 1.0f);
            bm_plan_destroy(p);
            bm_graph_destroy(g);
        }
}
END_TEST

START_TEST(the_mean_of_nothing_is_refused)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    ck_assert(bm_mean(g, bm_graph_input(g, "x", BM_F32, BM_SHAPE(3, 0))) == NULL);
    test_fails(bm_graph_status(g), BM_ERR_SHAPE, "the mean of no elements");
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reduce");
    TCase *c = optest_tcase(s, "reduce");
    tcase_add_test(c, sum_adds_all_elements);
    tcase_add_test(c, mean_divides_the_sum);
    tcase_add_test(c, sum_rows_adds_over_the_leading_dimensions);
    tcase_add_test(c, sum_last_adds_over_the_last_dimension);
    tcase_add_test(c, all_finite_sees_one_bad_element);
    tcase_add_test(c, long_sums_keep_their_small_terms);
    tcase_add_test(c, both_forms_give_the_same_bits);
    tcase_add_test(c, a_sum_or_mean_may_be_the_loss_itself);
    tcase_add_test(c, the_mean_of_nothing_is_refused);
    return test_run(s);
}
