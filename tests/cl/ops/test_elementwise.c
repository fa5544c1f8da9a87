/* ctest: oclgrind rusticl */
#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

/* One element, a prime, and sizes around the blocks of both forms: 4 and 16 in a vector, 256 in a work-group, 4096 a work-item. */
static const int64_t sizes[] = {0, 1, 3, 4, 5, 15, 16, 17, 97, 255, 256, 257, 4095, 4096, 4097, 3 * 4096 + 13};
static const bm_shape *rows_of(int *n)
{
    static bm_shape s[10];
    s[0] = BM_SHAPE(1, 1);
    s[1] = BM_SHAPE(0, 5);
    s[2] = BM_SHAPE(5, 0);
    s[3] = BM_SHAPE(2, 3, 17);
    s[4] = BM_SHAPE(7, 64);
    s[5] = BM_SHAPE(97, 61);
    s[6] = BM_SHAPE(3, 256);
    s[7] = BM_SHAPE(2, 4099);
    s[8] = BM_SHAPE(5, 257);
    s[9] = BM_SHAPE(4097, 1);
    *n = optest_small() ? 6 : 10;
    return s;
}

static int n_sizes(void) { return optest_small() ? 12 : (int)(sizeof sizes / sizeof *sizes); }

static void build_add(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_add(g, in[0], in[1]);
}
static void build_sub(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_sub(g, in[0], in[1]);
}
static void build_mul(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_mul(g, in[0], in[1]);
}
static void ref_add(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = in[0][i] + in[1][i];
}
static void ref_sub(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = in[0][i] - in[1][i];
}
static void ref_mul(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = in[0][i] * in[1][i];
}

static void two(const char *name, void (*build)(bm_graph *, bm_value **, bm_value *const *, const optest *),
                void (*reference)(double *const *, const double *const *, const optest *))
{
    for (int i = 0; i < n_sizes(); i++) {
        bm_shape s = BM_SHAPE(sizes[i]);
        optest t = {.name = name, .n_in = 2, .n_out = 1, .build = build, .reference = reference, .c = 1, .grad_c = 1};
        t.in[0] = (optest_input){.shape = s, .gradient = 1};
        t.in[1] = (optest_input){.shape = s, .gradient = 1};
        optest_check(&t);
    }
}

START_TEST(add_is_the_sum_of_each_pair) { two("add", build_add, ref_add); }
END_TEST
START_TEST(sub_is_the_difference_of_each_pair) { two("sub", build_sub, ref_sub); }
END_TEST
START_TEST(mul_is_the_product_of_each_pair) { two("mul", build_mul, ref_mul); }
END_TEST

static void build_square(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_mul(g, in[0], in[0]);
    out[1] = bm_add(g, bm_sub(g, in[0], in[0]), out[0]);
}
static void ref_square(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = out[1][i] = in[0][i] * in[0][i];
}

START_TEST(a_value_may_be_both_operands)
{
    optest t = {.name = "square", .n_in = 1, .n_out = 2, .build = build_square, .reference = ref_square, .c = 1,
                .grad_c = 4, .floor = 1, .f32_only = 1};
    t.in[0] = (optest_input){.shape = BM_SHAPE(5, 7), .gradient = 1};
    optest_check(&t);
}
END_TEST

static void build_scale(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_scale(g, in[0], *(const float *)t->with);
}
static void ref_scale(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = (double)*(const float *)t->with * in[0][i];
}

START_TEST(scale_multiplies_by_a_number)
{
    const float s = -1.7f;
    for (int i = 0; i < n_sizes(); i++) {
        optest t = {.name = "scale", .n_in = 1, .n_out = 1, .build = build_scale, .reference = ref_scale, .with = &s,
                    .c = 1, .grad_c = 1};
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

static void build_mul_scalar(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_mul_scalar(g, in[0], in[1]);
}
static void ref_mul_scalar(double *const *out, const double *const *in, const optest *t)
{
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = in[0][i] * in[1][0];
}

START_TEST(mul_scalar_multiplies_by_an_element)
{
    for (int i = 0; i < n_sizes(); i++) {
        optest t = {.name = "mul_scalar", .n_in = 2, .n_out = 1, .build = build_mul_scalar, .reference = ref_mul_scalar,
                    .c = 1, .grad_c = 2, .grad_length = 1 + (double)sizes[i], .floor = 1};
        t.in[0] = (optest_input){.shape = BM_SHAPE(sizes[i]), .gradient = 1};
        t.in[1] = (optest_input){.shape = BM_SHAPE(1), .f32 = 1, .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

static void build_add_bias(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_add_bias(g, in[0], in[1]);
}
static void ref_add_bias(double *const *out, const double *const *in, const optest *t)
{
    const int64_t n = bm_shape_last(&t->in[0].shape);
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) out[0][i] = in[0][i] + in[1][i % n];
}

START_TEST(add_bias_adds_a_row_to_every_row)
{
    int n;
    const bm_shape *shapes = rows_of(&n);
    for (int i = 0; i < n; i++) {
        optest t = {.name = "add_bias", .n_in = 2, .n_out = 1, .build = build_add_bias, .reference = ref_add_bias, .c = 1,
                    .grad_c = 2, .grad_length = 1 + (double)bm_shape_rows(&shapes[i]), .floor = 1};
        t.in[0] = (optest_input){.shape = shapes[i], .gradient = 1};
        t.in[1] = (optest_input){.shape = BM_SHAPE(bm_shape_last(&shapes[i])), .place = BM_PLACE_WEIGHT, .gradient = 1};
        optest_check(&t);
        if (bm_shape_elements(&shapes[i])) optest_check_accumulate(&t);
    }
}
END_TEST

START_TEST(operands_that_do_not_fit_are_refused)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    for (int i = 0; i < 4; i++) {
        bm_graph *g = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *a = bm_graph_input(g, "a", BM_F32, BM_SHAPE(2, 3)), *b = bm_graph_input(g, "b", BM_F32, BM_SHAPE(3, 2));
        bm_value *h = bm_graph_input(g, "h", BM_F16, BM_SHAPE(2, 3)), *k = bm_graph_input(g, "k", BM_I32, BM_SHAPE(2, 3));
        bm_value *y = i == 0 ? bm_add(g, a, b) : i == 1 ? bm_mul(g, a, h) : i == 2 ? bm_scale(g, k, 2) : bm_add_bias(g, a, b);
        ck_assert(y == NULL);
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, i == 0 ? "a is [2, 3] and b is [3, 2]" : i == 1 ? "h is f16, not f32"
                                                     : i == 2 ? "k is i32" : "b is [3, 2], not [3]");
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("elementwise");
    TCase *c = optest_tcase(s, "elementwise");
    tcase_add_test(c, add_is_the_sum_of_each_pair);
    tcase_add_test(c, sub_is_the_difference_of_each_pair);
    tcase_add_test(c, mul_is_the_product_of_each_pair);
    tcase_add_test(c, a_value_may_be_both_operands);
    tcase_add_test(c, scale_multiplies_by_a_number);
    tcase_add_test(c, mul_scalar_multiplies_by_an_element);
    tcase_add_test(c, add_bias_adds_a_row_to_every_row);
    tcase_add_test(c, operands_that_do_not_fit_are_refused);
    return test_run(s);
}
