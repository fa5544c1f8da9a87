/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define SCALE 0.125f
#define DELTA 1.25f

typedef struct loss {
    const char *name;
    bm_value *(*build)(bm_graph *g, bm_value **rows, bm_value *x, bm_value *targets);
    double (*value)(double x, double y);
} loss;

static bm_value *huber(bm_graph *g, bm_value **rows, bm_value *x, bm_value *y) { return bm_huber(g, rows, x, y, DELTA); }

static double of_mse(double x, double y) { return (x - y) * (x - y); }
static double of_mae(double x, double y) { return fabs(x - y); }
static double of_huber(double x, double y)
{
    const double e = fabs(x - y), delta = (double)DELTA;
    return e <= delta ? e * e / 2 : delta * (e - delta / 2);
}
static double of_bce(double x, double y) { return y < 0 ? 0 : -log(1 / (1 + exp(y > 0 ? -x : x))); }

static const loss losses[] = {{"mse", bm_mse, of_mse}, {"mae", bm_mae, of_mae}, {"huber", huber, of_huber}};
#define LOSSES ((int)(sizeof losses / sizeof *losses))
static const loss bce = {"bce", bm_bce_logits, of_bce};

static void prepare(bm_plan *p, const optest *t)
{
    (void)t;
    bm_plan_set_f32(p, BM_RT_LOSS_SCALE, SCALE);
}

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = ((const loss *)t->with)->build(g, t->n_out > 1 ? &out[1] : NULL, in[0], in[1]);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = t->in[0].shape.dim[0], n = bm_shape_elements(&t->in[0].shape) / (rows ? rows : 1);
    out[0][0] = 0;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += ((const loss *)t->with)->value(in[0][r * n + i], in[1][r * n + i]);
        if (t->n_out > 1) out[1][r] = sum;
        out[0][0] += (double)SCALE * sum;
    }
}

/* A row's loss is a sum of numbers up to 100, the loss the sum of the rows. */
static void check(const loss *l, const char *name, bm_shape shape)
{
    const int64_t rows = shape.dim[0];
    optest t = {.name = name, .n_in = 2, .n_out = 1, .build = build, .reference = reference, .prepare = prepare, .with = l};
    t.in[0] = (optest_input){.shape = shape, .fill = OPTEST_UNIFORM, .low = -5, .high = 5, .gradient = rows > 0};
    t.in[1] = (optest_input){.shape = shape, .fill = OPTEST_UNIFORM, .low = -5, .high = 5, .f32 = 1};
    if (l == &bce) t.in[1] = (optest_input){.shape = BM_SHAPE(rows), .fill = OPTEST_INDEX, .low = -1, .high = 2};
    t.c = 8;
    t.floor = (double)SCALE;
    t.length = sqrt((double)bm_shape_elements(&shape) + 1);
    optest_check(&t);
    t.n_out = 2;
    t.in[0].gradient = 0;
    optest_check(&t);
}

START_TEST(losses_of_numbers_are_their_formulas)
{
    const loss *l = &losses[_i];
    check(l, "no rows", BM_SHAPE(0, 5));
    check(l, "no numbers", BM_SHAPE(3, 0));
    check(l, "one of one", BM_SHAPE(1, 1));
    check(l, "less than a vector", BM_SHAPE(3, 13));
    check(l, "a vector and one", BM_SHAPE(2, 17));
    check(l, "many short rows", BM_SHAPE(optest_small() ? 67 : 4231, 1));
    if (optest_small()) return;
    check(l, "a block and one", BM_SHAPE(3, 257));
    check(l, "a prime", BM_SHAPE(7, 1009));
}
END_TEST

START_TEST(bce_is_the_formula)
{
    check(&bce, "no rows", BM_SHAPE(0));
    check(&bce, "one", BM_SHAPE(1));
    check(&bce, "a vector and one", BM_SHAPE(17, 1));
    check(&bce, "a prime", BM_SHAPE(optest_small() ? 67 : 4231));
}
END_TEST

/* x [64, 1009], a temporary: the gradient with respect to b [1009] passes through its place. */
START_TEST(the_gradient_lies_where_the_prediction_lay)
{
    const int64_t rows = 64, n = 1009;
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_plan_memory m;
    const bm_limits limits = bm_limits_default(BM_DEVICE_CPU, (int64_t)1 << 32);
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(rows, n)), *b = bm_graph_input(g, "b", BM_F32, BM_SHAPE(n));
    bm_graph_want_gradient(g, b);
    bm_value *y = bm_graph_input(g, "y", BM_F32, BM_SHAPE(rows, n));
    test_ok(bm_graph_gradients(g, bm_graph_output(g, losses[_i].build(g, NULL, bm_add_bias(g, x, b), y), "loss")));
    bm_graph_output(g, bm_graph_gradient(g, b), "db");
    test_ok(bm_plan_memory_of(&m, g, &limits));
    ck_assert_int_ge(m.temp_need, rows * n * 4);
    ck_assert_int_lt(m.temp_need, rows * n * 4 * 3 / 2);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_target_that_is_neither_is_seen_in_the_loss)
{
    EACH_FORM(form) {
        const float x[] = {1, 2, 3};
        const int32_t y[] = {1, 2, -5};
        float rows[3], dx[3];
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        bm_plan *plan = NULL;
        bm_value *each = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *in = bm_graph_input(g, "x", BM_F32, BM_SHAPE(3)), *targets = bm_graph_input(g, "y", BM_I32, BM_SHAPE(3));
        bm_graph_want_gradient(g, in);
        bm_value *l = bm_graph_output(g, bm_bce_logits(g, &each, in, targets), "loss");
        bm_graph_output(g, each, "rows");
        test_ok(bm_graph_gradients(g, l));
        bm_graph_output(g, bm_graph_gradient(g, in), "dx");
        test_ok(bm_plan_create(&plan, optest_engine((bm_form)form), g, NULL));
        bm_plan_set_f32(plan, BM_RT_LOSS_SCALE, 1);
        test_ok(bm_plan_write(plan, in, x));
        test_ok(bm_plan_write(plan, targets, y));
        test_ok(bm_plan_run(plan));
        test_ok(bm_plan_read(plan, each, rows));
        test_ok(bm_plan_read(plan, bm_graph_gradient(g, in), dx));
        ck_assert(isnan(rows[1]) && isnan(dx[1]) && rows[2] == 0 && dx[2] == 0);
        ck_assert_float_eq_tol(rows[0], log1pf(expf(-1)), 1e-6f);
        bm_plan_destroy(plan);
        bm_graph_destroy(g);
    }
}
END_TEST

static void refused(bm_dtype type, bm_shape x, bm_dtype target_type, bm_shape targets, const loss *l)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *in = bm_graph_input(g, "x", type, x), *y = bm_graph_input(g, "y", target_type, targets), *rows = in;
    ck_assert_ptr_null(l->build(g, &rows, in, y));
    ck_assert_ptr_null(rows);
    ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
    bm_graph_destroy(g);
}

START_TEST(shapes_that_do_not_fit_are_refused)
{
    for (int i = 0; i < LOSSES; i++) {
        refused(BM_F32, BM_SHAPE(4, 5), BM_F32, BM_SHAPE(4, 6), &losses[i]);
        refused(BM_F32, BM_SHAPE(4), BM_F32, BM_SHAPE(4), &losses[i]);
        refused(BM_F32, BM_SHAPE(4, 5), BM_I32, BM_SHAPE(4, 5), &losses[i]);
        refused(BM_I32, BM_SHAPE(4, 5), BM_F32, BM_SHAPE(4, 5), &losses[i]);
        refused(BM_BF16, BM_SHAPE(4, 5), BM_BF16, BM_SHAPE(4, 5), &losses[i]);
    }
    refused(BM_F32, BM_SHAPE(4, 2), BM_I32, BM_SHAPE(4), &bce);
    refused(BM_F32, BM_SHAPE(4), BM_I32, BM_SHAPE(5), &bce);
    refused(BM_F32, BM_SHAPE(4), BM_I32, BM_SHAPE(4, 1), &bce);
    refused(BM_F32, BM_SHAPE(4), BM_F32, BM_SHAPE(4), &bce);
}
END_TEST

START_TEST(a_delta_that_is_none_is_refused)
{
    static const float deltas[] = {0, -1, NAN, INFINITY};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(2, 3)), *rows = x;
    ck_assert_ptr_null(bm_huber(g, &rows, x, x, deltas[_i]));
    ck_assert_ptr_null(rows);
    test_fails(bm_graph_status(g), BM_ERR_USAGE, "delta");
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loss");
    TCase *c = optest_tcase(s, "loss");
    tcase_add_loop_test(c, losses_of_numbers_are_their_formulas, 0, LOSSES);
    tcase_add_test(c, bce_is_the_formula);
    tcase_add_loop_test(c, the_gradient_lies_where_the_prediction_lay, 0, LOSSES);
    tcase_add_test(c, a_target_that_is_neither_is_seen_in_the_loss);
    tcase_add_test(c, shapes_that_do_not_fit_are_refused);
    tcase_add_loop_test(c, a_delta_that_is_none_is_refused, 0, 4);
    return test_run(s);
}
