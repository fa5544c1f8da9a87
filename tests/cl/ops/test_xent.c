/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define SCALE 0.125f

static double row_loss(const double *x, int64_t n, double target, double *lse)
{
    double m = -INFINITY, s = 0;
    for (int64_t i = 0; i < n; i++) m = fmax(m, x[i]);
    for (int64_t i = 0; i < n; i++) s += exp(x[i] - m);
    *lse = m + log(s);
    return target < 0 ? 0 : *lse - x[(int64_t)target];
}

static void prepare(bm_plan *p, const optest *t)
{
    (void)t;
    bm_plan_set_f32(p, BM_RT_LOSS_SCALE, SCALE);
}

static void build_loss(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_softmax_xent(g, NULL, in[0], in[1], NULL, NULL);
}

static void reference_loss(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = t->in[0].shape.dim[0], n = t->in[0].shape.dim[1];
    double lse;
    out[0][0] = 0;
    for (int64_t r = 0; r < rows; r++) out[0][0] += (double)SCALE * row_loss(in[0] + r * n, n, in[1][r], &lse);
}

static void build_rows(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    out[0] = bm_softmax_xent(g, &out[1], in[0], in[1], NULL, NULL);
    (void)t;
}

static void reference_rows(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = t->in[0].shape.dim[0], n = t->in[0].shape.dim[1];
    double lse;
    reference_loss(out, in, t);
    for (int64_t r = 0; r < rows; r++) out[1][r] = row_loss(in[0] + r * n, n, in[1][r], &lse);
}

/* A row's loss is the difference of numbers up to 10 + log n and a sum over n; the loss sums the rows. About one target in n + 1
 * is negative. */
static void check(const char *name, int64_t rows, int64_t n)
{
    optest t = {.name = name, .n_in = 2, .n_out = 1, .build = build_loss, .reference = reference_loss,
                .prepare = prepare};
    t.in[0] = (optest_input){.shape = BM_SHAPE(rows, n), .fill = OPTEST_UNIFORM, .low = -5, .high = 5, .gradient = rows > 0};
    t.in[1] = (optest_input){.shape = BM_SHAPE(rows), .fill = OPTEST_INDEX, .low = -1, .high = (double)n};
    t.c = 8;
    t.floor = (double)SCALE;
    t.length = sqrt((double)n * (double)(rows ? rows : 1));
    optest_check(&t);
    t.n_out = 2;
    t.build = build_rows;
    t.reference = reference_rows;
    t.in[0].gradient = 0;
    optest_check(&t);
}

START_TEST(xent_is_the_formula)
{
    check("no rows", 0, 5);
    check("one of one", 1, 1);
    check("less than a vector", 3, 13);
    check("a vector and one", 2, 17);
    check("many short rows", optest_small() ? 67 : 431, 10);
    if (optest_small()) return;
    check("a block less one", 2, 255);
    check("a block", 5, 256);
    check("a block and one", 3, 257);
    check("a prime", 7, 1009);
}
END_TEST

START_TEST(xent_takes_gpt2s_vocabulary)
{
    if (!optest_small()) check("GPT-2", 3, 50257);
}
END_TEST

/* ---- weights of classes, label smoothing ---- */

static void build_weighted(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    bm_value **rows = t->n_out > 1 ? &out[1] : NULL;
    out[0] = bm_softmax_xent(g, rows, in[0], in[1], t->n_in > 2 ? in[2] : NULL, t->with);
}

/* (1 - e) w[target] (-log p[target]) + e / n times the sum over k of w[k] (-log p[k]). */
static void reference_weighted(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = t->in[0].shape.dim[0], n = t->in[0].shape.dim[1];
    const double e = (double)((const bm_xent_opts *)t->with)->label_smoothing;
    out[0][0] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n;
        double lse, sum = 0;
        for (int64_t k = 0; k < n; k++) sum += (t->n_in > 2 ? in[2][k] : 1) * row_loss(x, n, (double)k, &lse);
        const double weight = t->n_in > 2 && in[1][r] >= 0 ? in[2][(int64_t)in[1][r]] : 1;
        const double loss = in[1][r] < 0 ? 0 : (1 - e) * weight * row_loss(x, n, in[1][r], &lse) + e / (double)n * sum;
        out[0][0] += (double)SCALE * loss;
        if (t->n_out > 1) out[1][r] = loss;
    }
}

static void check_weighted(const char *name, int64_t rows, int64_t n, float smoothing, int weighted)
{
    const bm_xent_opts opts = {smoothing};
    optest t = {.name = name, .n_in = weighted ? 3 : 2, .n_out = 1, .build = build_weighted, .reference = reference_weighted,
                .prepare = prepare, .with = &opts};
    t.in[0] = (optest_input){.shape = BM_SHAPE(rows, n), .fill = OPTEST_UNIFORM, .low = -5, .high = 5, .gradient = rows > 0};
    t.in[1] = (optest_input){.shape = BM_SHAPE(rows), .fill = OPTEST_INDEX, .low = -1, .high = (double)n};
    t.in[2] = (optest_input){.shape = BM_SHAPE(n), .fill = OPTEST_UNIFORM, .low = 0, .high = 2, .f32 = 1};
    t.c = 8;
    t.floor = (double)SCALE;
    t.length = sqrt((double)n * (double)(rows ? rows : 1));
    optest_check(&t);
    t.n_out = 2;
    t.in[0].gradient = 0;
    optest_check(&t);
}

START_TEST(weights_and_smoothing_are_the_formula)
{
    check_weighted("weights", optest_small() ? 5 : 67, 13, 0, 1);
    check_weighted("smoothing", optest_small() ? 5 : 67, 17, 0.1f, 0);
    check_weighted("both", 3, optest_small() ? 33 : 1009, 0.25f, 1);
    check_weighted("nothing but smoothing", 2, 20, 1, 1);
    check_weighted("no rows", 0, 5, 0.1f, 1);
}
END_TEST

START_TEST(options_that_do_not_fit_are_refused)
{
    static const float smoothing[] = {-0.1f, 1.1f, NAN, 0, 0};
    static const bm_dtype types[] = {BM_F32, BM_F32, BM_F32, BM_F32, BM_BF16};
    static const int64_t classes[] = {5, 5, 5, 4, 5};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(4, 5)), *y = bm_graph_input(g, "y", BM_I32, BM_SHAPE(4)), *rows = x;
    bm_value *w = bm_graph_input(g, "w", types[_i], BM_SHAPE(classes[_i]));
    ck_assert_ptr_null(bm_softmax_xent(g, &rows, x, y, w, &(bm_xent_opts){smoothing[_i]}));
    ck_assert_ptr_null(rows);
    ck_assert_int_eq(bm_graph_status(g), _i < 3 ? BM_ERR_USAGE : BM_ERR_SHAPE);
    bm_graph_destroy(g);
}
END_TEST

/* A graph whose logits are a temporary: x [rows, n] + b [n], with the gradient of both. */
typedef struct chain {
    bm_graph *g;
    bm_value *x, *b, *targets, *loss, *rows, *dx, *db;
    bm_plan *plan;
} chain;

static chain chain_build(int64_t rows, int64_t n, int keep_dx)
{
    chain c = {0};
    bm_graph_opts opts = bm_graph_opts_with_ops();
    test_ok(bm_graph_create(&c.g, &opts));
    c.x = bm_graph_input(c.g, "x", BM_F32, BM_SHAPE(rows, n));
    c.b = bm_graph_input(c.g, "b", BM_F32, BM_SHAPE(n));
    c.targets = bm_graph_input(c.g, "targets", BM_I32, BM_SHAPE(rows));
    bm_graph_want_gradient(c.g, c.b);
    if (keep_dx) bm_graph_want_gradient(c.g, c.x);
    c.loss = bm_softmax_xent(c.g, &c.rows, bm_add_bias(c.g, c.x, c.b), c.targets, NULL, NULL);
    bm_graph_output(c.g, c.loss, "loss");
    bm_graph_output(c.g, c.rows, "rows");
    test_ok(bm_graph_gradients(c.g, c.loss));
    c.db = bm_graph_output(c.g, bm_graph_gradient(c.g, c.b), "db");
    if (keep_dx) c.dx = bm_graph_output(c.g, bm_graph_gradient(c.g, c.x), "dx");
    test_ok(bm_graph_status(c.g));
    return c;
}

static void chain_run(chain *c, bm_form form, const float *x, const float *b, const int32_t *targets)
{
    bm_plan_opts none = {0};
    test_ok(bm_plan_create(&c->plan, optest_engine(form), c->g, &none));
    bm_plan_set_f32(c->plan, BM_RT_LOSS_SCALE, SCALE);
    test_ok(bm_plan_write(c->plan, c->x, x));
    test_ok(bm_plan_write(c->plan, c->b, b));
    test_ok(bm_plan_write(c->plan, c->targets, targets));
    test_ok(bm_plan_run(c->plan));
}

static void chain_finish(chain *c)
{
    bm_plan_destroy(c->plan);
    bm_graph_destroy(c->g);
}

START_TEST(the_gradient_lies_where_the_logits_lay)
{
    const int64_t rows = 64, n = 1009;
    chain c = chain_build(rows, n, 0);
    bm_plan_memory m;
    bm_limits limits = bm_limits_default(BM_DEVICE_CPU, (int64_t)1 << 32);
    test_ok(bm_plan_memory_of(&m, c.g, &limits));
    ck_assert_int_ge(m.temp_need, rows * n * 4);
    ck_assert_int_lt(m.temp_need, rows * n * 4 * 3 / 2);
    chain_finish(&c);
}
END_TEST

/* Every element of the gradient against softmax - onehot in double, the loss' own gradient being 1. Absolute error: an exp of
 * a difference up to 10 (10 units), a sum over n, times scale. */
static void gradient_is_softmax_less_onehot(bm_form form)
{
    enum { R = 6, N = 301 };
    float x[R * N], b[N], dx[R * N], rows[R];
    int32_t targets[R] = {0, N - 1, -1, 17, -2147483647, 150};
    bm_rng r = bm_rng_start(5, 1, 0);
    for (int i = 0; i < R * N; i++) x[i] = 2 * bm_rng_normal(&r);
    for (int i = 0; i < N; i++) b[i] = 0;
    chain c = chain_build(R, N, 1);
    chain_run(&c, form, x, b, targets);
    test_ok(bm_plan_read(c.plan, c.dx, dx));
    test_ok(bm_plan_read(c.plan, c.rows, rows));
    for (int i = 0; i < R; i++) {
        double row[N], lse;
        for (int k = 0; k < N; k++) row[k] = x[i * N + k];
        ck_assert_double_eq_tol(rows[i], row_loss(row, N, targets[i], &lse), 16 * 0x1p-24 * sqrt(N));
        for (int k = 0; k < N; k++) {
            const double want = targets[i] < 0 ? 0 : (double)SCALE * (exp(row[k] - lse) - (k == targets[i]));
            ck_assert_double_le(fabs(dx[i * N + k] - want), targets[i] < 0 ? 0 : 16 * 0x1p-24 * (double)SCALE);
        }
    }
    chain_finish(&c);
}

START_TEST(the_gradient_is_softmax_less_onehot)
{
    EACH_FORM(form) gradient_is_softmax_less_onehot(form);
}
END_TEST

START_TEST(a_target_outside_the_classes_is_seen_in_the_loss)
{
    EACH_FORM(form) {
        enum { R = 3, N = 40 };
        float x[R * N] = {0}, b[N] = {0}, dx[R * N], rows[R], loss;
        const int32_t targets[R] = {1, N, 2};
        chain c = chain_build(R, N, 1);
        chain_run(&c, form, x, b, targets);
        test_ok(bm_plan_read(c.plan, c.loss, &loss));
        test_ok(bm_plan_read(c.plan, c.rows, rows));
        test_ok(bm_plan_read(c.plan, c.dx, dx));
        ck_assert(isnan(loss) && isnan(rows[1]) && isnan(dx[N]) && isnan(dx[2 * N - 1]));
        ck_assert_float_eq_tol(rows[0], logf(N), 1e-6f);
        ck_assert_float_eq_tol(dx[2 * N], SCALE / N, 1e-7f);
        ck_assert_float_eq_tol(dx[N - 1], SCALE / N, 1e-7f);
        chain_finish(&c);
    }
}
END_TEST

START_TEST(shapes_that_do_not_fit_are_refused)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    const bm_shape logits[] = {BM_SHAPE(4, 5), BM_SHAPE(2, 2, 5), BM_SHAPE(4, 0)};
    const bm_shape targets[] = {BM_SHAPE(5), BM_SHAPE(4), BM_SHAPE(4)};
    for (int i = 0; i < 3; i++) {
        bm_graph *g = NULL;
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, logits[i]), *y = bm_graph_input(g, "y", BM_I32, targets[i]);
        bm_value *rows = x;
        ck_assert_ptr_null(bm_softmax_xent(g, &rows, x, y, NULL, NULL));
        ck_assert_ptr_null(rows);
        ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xent");
    TCase *c = optest_tcase(s, "xent");
    tcase_add_test(c, xent_is_the_formula);
    tcase_add_test(c, xent_takes_gpt2s_vocabulary);
    tcase_add_test(c, weights_and_smoothing_are_the_formula);
    tcase_add_loop_test(c, options_that_do_not_fit_are_refused, 0, 5);
    tcase_add_test(c, the_gradient_lies_where_the_logits_lay);
    tcase_add_test(c, the_gradient_is_softmax_less_onehot);
    tcase_add_test(c, a_target_outside_the_classes_is_seen_in_the_loss);
    tcase_add_test(c, shapes_that_do_not_fit_are_refused);
    return test_run(s);
}
