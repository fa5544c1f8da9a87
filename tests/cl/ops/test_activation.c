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
    tcase_add_test(c, no_activation_is_the_value_itself);
    return test_run(s);
}
