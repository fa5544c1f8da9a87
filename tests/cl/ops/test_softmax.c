/* ctest: oclgrind rusticl */
#include <math.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_softmax(g, in[0]);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = bm_shape_rows(&t->in[0].shape), n = bm_shape_last(&t->in[0].shape);
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n;
        double m = -INFINITY, s = 0;
        for (int64_t i = 0; i < n; i++) m = fmax(m, x[i]);
        for (int64_t i = 0; i < n; i++) s += exp(x[i] - m);
        for (int64_t i = 0; i < n; i++) out[0][r * n + i] = exp(x[i] - m) / s;
    }
}

/* An element costs an exp of a difference (2 roundings of numbers up to `span`, so an error of span / 2 units), and the sum of
 * the row grows by the square root of its length. */
static void check(const char *name, int64_t rows, int64_t n, double span)
{
    optest t = {.name = name, .n_in = 1, .n_out = 1, .build = build, .reference = reference};
    t.in[0] = (optest_input){.shape = BM_SHAPE(rows, n), .fill = OPTEST_UNIFORM, .low = -span / 2, .high = span / 2,
                             .gradient = rows * n > 0};
    t.c = 6 + span;
    t.length = 1;
    t.grad_c = 6 + span;
    t.grad_length = sqrt((double)n);
    optest_check(&t);
}

START_TEST(softmax_is_the_formula)
{
    check("no rows", 0, 5, 4);
    check("one element", 1, 1, 4);
    check("less than a vector", 3, 13, 4);
    check("a vector and one", 2, 17, 4);
    check("many short rows", optest_small() ? 67 : 431, 10, 4);
    if (optest_small()) return;
    check("a block less one", 2, 255, 4);
    check("a block", 2, 256, 4);
    check("a block and one", 3, 257, 4);
    check("long rows", 5, 1009, 4);
    check("numbers far apart", 7, 300, 160);
}
END_TEST

START_TEST(softmax_of_equal_numbers_is_uniform_wherever_they_lie)
{
    EACH_FORM(form) {
        bm_engine *e = optest_engine(form);
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_graph *g = NULL;
        bm_plan *p = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(2, 37)), *y = bm_graph_output(g, bm_softmax(g, x), "y");
        bm_plan_opts none = {0};
        test_ok(bm_plan_create(&p, e, g, &none));
        float data[74], got[74];
        for (int i = 0; i < 74; i++) data[i] = i < 37 ? 3e38f : -3e38f;
        data[40] = -INFINITY;
        test_ok(bm_plan_write(p, x, data));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, y, got));
        for (int i = 0; i < 74; i++)
            ck_assert_float_eq_tol(got[i], i < 37 ? 1.0f / 37 : i == 40 ? 0.0f : 1.0f / 36, 1e-8f);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(softmax_hands_nan_on)
{
    EACH_FORM(form) {
        bm_engine *e = optest_engine(form);
        bm_graph_opts opts = bm_graph_opts_with_ops();
        for (int at = 0; at < 70; at += 23) {
            bm_graph *g = NULL;
            bm_plan *p = NULL;
            test_ok(bm_graph_create(&g, &opts));
            bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(1, 70)), *y = bm_graph_output(g, bm_softmax(g, x), "y");
            bm_plan_opts none = {0};
            test_ok(bm_plan_create(&p, e, g, &none));
            float data[70] = {0}, got[70];
            data[at] = NAN;
            test_ok(bm_plan_write(p, x, data));
            test_ok(bm_plan_run(p));
            test_ok(bm_plan_read(p, y, got));
            for (int i = 0; i < 70; i++) ck_assert_msg(isnan(got[i]), "NaN at %d: element %d is %g", at, i, (double)got[i]);
            bm_plan_destroy(p);
            bm_graph_destroy(g);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("softmax");
    TCase *c = optest_tcase(s, "softmax");
    tcase_add_test(c, softmax_is_the_formula);
    tcase_add_test(c, softmax_of_equal_numbers_is_uniform_wherever_they_lie);
    tcase_add_test(c, softmax_hands_nan_on);
    return test_run(s);
}
