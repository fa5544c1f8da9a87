/* ctest: oclgrind rusticl */
#include <math.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static const int64_t sizes[] = {0, 1, 3, 4, 16, 17, 97, 257, 4097};
static const bm_activation acts[] = {BM_ACT_GELU_TANH, BM_ACT_GELU, BM_ACT_RELU, BM_ACT_SILU, BM_ACT_TANH, BM_ACT_SIGMOID};

static double f(double x, bm_activation act)
{
    switch (act) {
    case BM_ACT_NONE: break;
    case BM_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case BM_ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2.0));
    case BM_ACT_RELU: return x > 0 ? x : 0;
    case BM_ACT_SILU: return x / (1 + exp(-x));
    case BM_ACT_TANH: return tanh(x);
    case BM_ACT_SIGMOID: return 1 / (1 + exp(-x));
    }
    return x;
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_activate(g, in[0], *(const bm_activation *)t->with);
}
static void reference(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = f(in[0][i], *(const bm_activation *)t->with);
}

START_TEST(each_activation_follows_its_formula)
{
    const bm_activation act = acts[_i];
    const int n = optest_small() ? 7 : 9;
    for (int i = 0; i < n; i++) {
        optest t = {.name = "activation", .n_in = 1, .n_out = 1, .build = build, .reference = reference, .with = &act,
                    .c = 4, .grad_c = 24, .floor = 1}; /* 1 - sigmoid(x) cancels, times up to 6 x */
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .fill = OPTEST_APART, .low = 0.01, .high = 6, .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

/* y and dy/dx of the given numbers. */
static void run_on(bm_form form, bm_activation act, const float *x, float *y, float *d, int64_t n)
{
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    const bm_plan_opts plan_opts = {0};
    test_ok(bm_graph_create(&g, &opts));
    bm_value *in = bm_graph_input(g, "x", BM_F32, BM_SHAPE(n)), *out = bm_graph_output(g, bm_activate(g, in, act), "y");
    bm_graph_want_gradient(g, in);
    test_ok(bm_graph_gradients(g, bm_sum(g, out)));
    bm_value *grad = bm_graph_output(g, bm_graph_gradient(g, in), "dx");
    test_ok(bm_plan_create(&p, optest_engine(form), g, &plan_opts));
    test_ok(bm_plan_write(p, in, x));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, out, y));
    test_ok(bm_plan_read(p, grad, d));
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}

/* Far from 0 an activation is x, 0, 1 or -1, and its derivative 0 or 1. 37 elements: vectors and a tail. */
START_TEST(far_from_zero_each_activation_is_its_limit)
{
    enum { N = 37 };
    const bm_activation act = acts[_i];
    const int bounded = act == BM_ACT_TANH || act == BM_ACT_SIGMOID;
    EACH_FORM(form)
    {
        float x[N], y[N], d[N];
        for (int i = 0; i < N; i++) x[i] = (i % 2 ? -1.0f : 1.0f) * (i % 3 ? 1e3f : 1e12f);
        run_on(form, act, x, y, d, N);
        for (int i = 0; i < N; i++) {
            const float low = act == BM_ACT_TANH ? -1 : 0, high = bounded ? 1 : x[i];
            ck_assert_float_eq(y[i], x[i] < 0 ? low : high);
            ck_assert_float_eq(d[i], x[i] > 0 && !bounded ? 1 : 0);
        }
    }
}
END_TEST

/* Where 1 + erf(x) or 1 + tanh(x) would cancel to nothing, y has an error of its own size: of the exponent, up to 12,
 * as many units; of erfc what math.clh says. */
START_TEST(the_tails_of_gelu_keep_their_digits)
{
    enum { N = 37 };
    EACH_FORM(form)
    for (int k = 0; k < 2; k++) {
        float x[N], y[N], d[N];
        for (int i = 0; i < N; i++) x[i] = -1 - 3.8f * (float)i / N;
        run_on(form, acts[k], x, y, d, N);
        for (int i = 0; i < N; i++) {
            const double want =
                k ? f((double)x[i], acts[k])
                  : (double)x[i] /
                        (1 + exp(-2 * sqrt(2 / acos(-1.0)) * ((double)x[i] + 0.044715 * pow((double)x[i], 3))));
            ck_assert_double_eq_tol((double)y[i], want, (k ? 7e-5 : 32 * 0x1p-24) * fabs(want));
        }
    }
}
END_TEST

START_TEST(each_activation_hands_nan_on)
{
    EACH_FORM(form)
    {
        float x[37] = {0}, y[37], d[37];
        for (int i = 0; i < 37; i += 6) x[i] = NAN;
        run_on(form, acts[_i], x, y, d, 37);
        for (int i = 0; i < 37; i++) ck_assert_msg(!isnan(y[i]) == (i % 6 != 0), "element %d is %g", i, (double)y[i]);
    }
}
END_TEST

/* PyTorch's convention. */
START_TEST(the_derivative_of_relu_at_zero_is_zero)
{
    EACH_FORM(form)
    {
        const float x[37] = {0};
        float y[37], d[37];
        run_on(form, BM_ACT_RELU, x, y, d, 37);
        for (int i = 0; i < 37; i++) ck_assert(y[i] == 0 && d[i] == 0);
    }
}
END_TEST

START_TEST(no_activation_is_the_value_itself)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(3));
    ck_assert(bm_activate(g, x, BM_ACT_NONE) == x);
    ck_assert(bm_activate(g, x, (bm_activation)99) == NULL);
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "99 is no activation");
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("activation");
    TCase *c = optest_tcase(s, "activation");
    tcase_add_loop_test(c, each_activation_follows_its_formula, 0, sizeof acts / sizeof *acts);
    tcase_add_loop_test(c, far_from_zero_each_activation_is_its_limit, 0, sizeof acts / sizeof *acts);
    tcase_add_test(c, the_tails_of_gelu_keep_their_digits);
    tcase_add_loop_test(c, each_activation_hands_nan_on, 0, sizeof acts / sizeof *acts);
    tcase_add_test(c, the_derivative_of_relu_at_zero_is_zero);
    tcase_add_test(c, no_activation_is_the_value_itself);
    return test_run(s);
}
