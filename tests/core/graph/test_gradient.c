#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_priv.h"
#include "tests/lib/fake_check.h"
#include "tests/lib/test.h"

enum { ROWS = 3, WIDTH = 4, SIZE = ROWS * WIDTH };

static bm_value *matrix(bm_graph *g, const char *name) { return bm_graph_param(g, name, BM_F64, BM_SHAPE(ROWS, WIDTH), 0); }

static void finish_and_check(bm_graph *g, bm_value *loss, const char *what)
{
    int n_forward = g->n_nodes;
    bm_graph_output(g, loss, "loss");
    test_ok(bm_graph_gradients(g, loss));
    fake_check_graph(g, loss, n_forward, 5, what);
    bm_graph_destroy(g);
}

START_TEST(a_value_used_twice_gathers_both_gradients)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = matrix(g, "x"), *a = fake_sin(g, x);
    finish_and_check(g, fake_sum(g, fake_mul(g, fake_tanh(g, a), fake_sin(g, a))), "two uses");

    g = fake_graph(0);
    x = matrix(g, "x");
    finish_and_check(g, fake_sum(g, fake_add(g, x, x)), "x + x");

    g = fake_graph(0);
    a = fake_sin(g, matrix(g, "x"));
    finish_and_check(g, fake_sum(g, fake_mul(g, a, a)), "a a");

    g = fake_graph(0);
    a = fake_add(g, matrix(g, "x"), matrix(g, "y"));
    a = fake_add(g, a, a);
    finish_and_check(g, fake_sum(g, fake_sin(g, fake_add(g, a, a))), "sums of sums");
}
END_TEST

/* h = h + f(h) hands one gradient to two values; f then accumulates into it by itself. */
START_TEST(a_residual_stream_shares_gradients_unharmed)
{
    bm_graph *g = fake_graph(0);
    bm_value *h = matrix(g, "x");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        bm_value *w = bm_graph_param(g, name, BM_F64, BM_SHAPE(WIDTH, WIDTH), 0);
        snprintf(name, sizeof name, "b%d", i);
        bm_value *b = bm_graph_param(g, name, BM_F64, BM_SHAPE(WIDTH), 1);
        h = fake_add(g, h, fake_linear(g, fake_tanh(g, fake_linear(g, fake_norm(g, h), w, b)), w, NULL));
        h = fake_add(g, fake_linear(g, h, w, b), h);
    }
    finish_and_check(g, fake_log_cosh(g, fake_scale(g, h, 0.5)), "residual");
}
END_TEST

START_TEST(a_parameter_that_is_added_directly_has_a_gradient_of_its_own)
{
    bm_graph *g = fake_graph(0);
    bm_value *p = matrix(g, "p"), *q = matrix(g, "q");
    finish_and_check(g, fake_sum(g, fake_sin(g, fake_add(g, p, q))), "two parameters, one gradient");

    g = fake_graph(0);
    p = matrix(g, "p"), q = matrix(g, "q");
    bm_value *h = fake_add(g, p, q);
    h = fake_add(g, h, fake_linear(g, p, bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0), NULL));
    finish_and_check(g, fake_log_cosh(g, h), "one of them used again");
}
END_TEST

/* Rules that hand on a forward value, a parameter or the constant 1 as a gradient. */
START_TEST(a_gradient_that_is_another_value_leaves_that_value_alone)
{
    bm_graph *g = fake_graph(0);
    const bm_shape one = BM_SHAPE(1), square = BM_SHAPE(1, 1);
    bm_value *a = bm_graph_param(g, "a", BM_F64, one, 0), *b = bm_graph_param(g, "b", BM_F64, one, 0);
    finish_and_check(g, fake_mul(g, a, b), "a b of parameters");

    g = fake_graph(0);
    a = bm_graph_param(g, "a", BM_F64, one, 0), b = bm_graph_param(g, "b", BM_F64, one, 0);
    finish_and_check(g, fake_add(g, a, b), "a + b of parameters");

    /* The gradient of s is t; then the linear op adds to it by itself. */
    g = fake_graph(0);
    a = bm_graph_param(g, "a", BM_F64, square, 0), b = bm_graph_param(g, "b", BM_F64, square, 0);
    bm_value *s = fake_sin(g, a), *t = bm_graph_output(g, fake_tanh(g, fake_linear(g, s, b, NULL)), "t");
    finish_and_check(g, fake_mul(g, s, t), "a forward value as the gradient");

    /* The gradient of s is the constant 1; the linear op would add to the constant. Run twice it would show. */
    g = fake_graph(0);
    a = bm_graph_param(g, "a", BM_F64, square, 0), b = bm_graph_param(g, "b", BM_F64, square, 0);
    s = fake_sin(g, a);
    bm_value *loss = fake_add(g, s, fake_linear(g, s, b, NULL));
    bm_graph_output(g, loss, "loss");
    test_ok(bm_graph_gradients(g, loss));
    bm_memplan *plan = fake_plan(g);
    fake_store *store = fake_store_create();
    fake_run *r = fake_run_create(g, plan);
    fake_fill_store(g, store, 3);
    fake_run_nodes(r, store, -1);
    double first = fake_grad(store, a)[0];
    double x = fake_data(store, a)[0], w = fake_data(store, b)[0];
    ck_assert_double_eq_tol(first, cos(x) * (1 + w), 1e-14);
    fake_run_nodes(r, store, -1);
    ck_assert_double_eq(fake_grad(store, a)[0], first);
    fake_run_destroy(r);
    fake_store_destroy(store);
    bm_memplan_destroy(plan);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(views_of_views_carry_gradients)
{
    bm_graph *g = fake_graph(0);
    bm_value *w = bm_graph_param(g, "w", BM_F64, BM_SHAPE(SIZE), 0);
    bm_value *x = bm_reshape(g, bm_reshape(g, w, BM_SHAPE(2, 6)), BM_SHAPE(ROWS, WIDTH));
    bm_value *h = fake_linear(g, x, bm_graph_param(g, "m", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0), NULL);
    bm_value *v = bm_reshape(g, bm_reshape(g, bm_reshape(g, h, BM_SHAPE(SIZE)), BM_SHAPE(6, 2)), BM_SHAPE(WIDTH, ROWS));
    bm_value *back = bm_reshape(g, fake_sin(g, v), BM_SHAPE(ROWS, WIDTH));
    bm_value *sum = fake_sum(g, fake_mul(g, fake_add(g, back, h), x));
    finish_and_check(g, bm_reshape(g, sum, BM_SHAPE(1, 1, 1)), "views");
}
END_TEST

START_TEST(either_result_of_a_node_may_have_no_gradient)
{
    bm_graph *g = fake_graph(0);
    bm_value *c, *s = fake_sincos(g, &c, matrix(g, "x"));
    finish_and_check(g, fake_sum(g, fake_mul(g, s, s)), "sine");
    g = fake_graph(0);
    fake_sincos(g, &c, matrix(g, "x"));
    finish_and_check(g, fake_sum(g, fake_mul(g, c, c)), "cosine");
    g = fake_graph(0);
    s = fake_sincos(g, &c, fake_tanh(g, matrix(g, "x")));
    finish_and_check(g, fake_sum(g, fake_mul(g, s, fake_tanh(g, c))), "both");
}
END_TEST

START_TEST(tied_parameters_are_one_value_with_one_gradient)
{
    bm_graph *g = fake_graph(0);
    bm_value *w = bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0);
    bm_value *h = fake_linear(g, matrix(g, "x"), w, NULL);
    ck_assert_ptr_eq(bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0), w);
    h = fake_linear(g, fake_tanh(g, h), bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0), NULL);
    bm_value *loss = fake_log_cosh(g, h);
    int n_gradients = 0;
    test_ok(bm_graph_gradients(g, loss));
    for (int i = 0; i < g->n_values; i++) n_gradients += g->values[i]->place == BM_PLACE_GRAD;
    ck_assert_int_eq(n_gradients, 2);
    fake_check_graph(g, loss, 4, 9, "tied");
    bm_graph_destroy(g);
}
END_TEST

enum { RUNS = 3, LEAVES = 3 };

/* Gradients of three parameters after RUNS runs on other inputs: added by the graph itself, or here. */
static void sum_over_runs(double sums[LEAVES][WIDTH * WIDTH], int accumulate)
{
    bm_graph *g = fake_graph(accumulate);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(ROWS, WIDTH));
    bm_value *w = bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0), *p = matrix(g, "p"), *q = matrix(g, "q");
    bm_value *leaves[LEAVES] = {w, p, q}, *unused = matrix(g, "unused");
    bm_value *h = fake_linear(g, x, w, NULL);
    h = fake_linear(g, fake_tanh(g, fake_add(g, h, p)), w, NULL);
    test_ok(bm_graph_gradients(g, fake_log_cosh(g, fake_add(g, fake_mul(g, h, q), q))));
    bm_memplan *plan = fake_plan(g);
    fake_store *s = fake_store_create();
    fake_run *r = fake_run_create(g, plan);
    bm_rng rng = bm_rng_start(8, 8, 8);
    fake_fill_store(g, s, 1);
    for (int run = 0; run < RUNS; run++) {
        fake_fill(&rng, fake_data(s, x), SIZE, 1);
        fake_run_nodes(r, s, -1);
        for (int k = 0; k < LEAVES; k++)
            for (int64_t i = 0; i < bm_shape_elements(&leaves[k]->shape); i++)
                sums[k][i] = (accumulate ? 0 : sums[k][i]) + fake_grad(s, leaves[k])[i];
    }
    for (int i = 0; i < SIZE; i++) ck_assert_double_eq(fake_grad(s, unused)[i], 0);
    fake_run_destroy(r);
    fake_store_destroy(s);
    bm_memplan_destroy(plan);
    bm_graph_destroy(g);
}

START_TEST(accumulated_gradients_are_the_sum_over_runs)
{
    double here[LEAVES][WIDTH * WIDTH] = {{0}}, there[LEAVES][WIDTH * WIDTH] = {{0}};
    sum_over_runs(here, 0);
    sum_over_runs(there, 1);
    for (int k = 0; k < LEAVES; k++) {
        double size = 0;
        for (int i = 0; i < WIDTH * WIDTH; i++) {
            ck_assert_double_eq_tol(there[k][i], here[k][i], 1e-13);
            size += fabs(here[k][i]);
        }
        ck_assert(size > 0.1);
    }
}
END_TEST

START_TEST(the_gradient_of_an_input_is_kept_when_asked_for)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(ROWS, WIDTH)), *other = bm_graph_input(g, "y", BM_F64, BM_SHAPE(ROWS, WIDTH));
    bm_value *w = bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0);
    bm_value *h = fake_add(g, x, fake_linear(g, x, w, NULL)), *mid = fake_add(g, h, other);
    bm_value *loss = fake_sum(g, fake_mul(g, fake_sin(g, mid), fake_linear(g, mid, w, NULL)));
    int n_forward = g->n_nodes;
    bm_graph_want_gradient(g, x);
    bm_graph_want_gradient(g, mid);
    test_ok(bm_graph_gradients(g, loss));
    ck_assert_ptr_null(bm_graph_gradient(g, other));
    bm_value *dx = bm_graph_output(g, bm_graph_gradient(g, x), "dx"), *dmid = bm_graph_output(g, bm_graph_gradient(g, mid), "dmid");
    ck_assert(dx && dmid);
    fake_check_graph(g, loss, n_forward, 2, "kept gradients");

    bm_memplan *plan = fake_plan(g);
    fake_store *s = fake_store_create();
    fake_run *planned = fake_run_create(g, plan), *naive = fake_run_create(g, NULL);
    double read[SIZE], through[SIZE];
    fake_fill_store(g, s, 2);
    fake_run_nodes(planned, s, -1);
    memcpy(read, fake_read(planned, dx), sizeof read);
    memcpy(through, fake_read(planned, dmid), sizeof through);
    fake_check_leaf(naive, s, loss, n_forward, x, read, "input");
    fake_check_leaf(naive, s, loss, n_forward, other, through, "a value in the middle, moved by what is added to it");
    fake_run_destroy(planned);
    fake_run_destroy(naive);
    fake_store_destroy(s);
    bm_memplan_destroy(plan);
    bm_graph_destroy(g);
}
END_TEST

/* ---- random graphs ---- */

typedef struct maker {
    bm_graph *g;
    bm_rng rng;
    bm_value *pool[64]; /* [ROWS, WIDTH] each */
    int n;
} maker;

static int pick(maker *m, int n) { return (int)(bm_rng_u32(&m->rng) % (uint32_t)n); }

/* Recent values are taken more often, so that graphs get deep as well as wide. */
static bm_value *any_value(maker *m)
{
    int back = pick(m, 2) ? 3 : m->n;
    return m->pool[m->n - 1 - pick(m, back < m->n ? back : m->n)];
}

static bm_value *any_weight(maker *m)
{
    char name[16];
    snprintf(name, sizeof name, "w%d", pick(m, 3));
    return bm_graph_param(m->g, name, BM_F64, BM_SHAPE(WIDTH, WIDTH), 0);
}

static bm_value *any_bias(maker *m)
{
    char name[16];
    snprintf(name, sizeof name, "b%d", pick(m, 2));
    return pick(m, 2) ? bm_graph_param(m->g, name, BM_F64, BM_SHAPE(WIDTH), 1) : NULL;
}

static bm_value *reshaped_tanh(maker *m, bm_value *x)
{
    const bm_shape shapes[] = {BM_SHAPE(SIZE), BM_SHAPE(2, 6), BM_SHAPE(WIDTH, ROWS), BM_SHAPE(ROWS, 2, 2)};
    bm_value *v = bm_reshape(m->g, bm_reshape(m->g, x, shapes[pick(m, 4)]), shapes[pick(m, 4)]);
    return bm_reshape(m->g, fake_tanh(m->g, v), BM_SHAPE(ROWS, WIDTH));
}

static bm_value *any_op(maker *m)
{
    bm_graph *g = m->g;
    bm_value *a = any_value(m), *b = any_value(m), *c = NULL, *s = NULL;
    switch (pick(m, 9)) {
    case 0: return fake_add(g, a, b);
    case 1: return fake_add(g, a, pick(m, 3) ? fake_linear(g, a, any_weight(m), any_bias(m)) : a);
    case 2: return fake_tanh(g, fake_mul(g, a, b));
    case 3: return fake_scale(g, a, 0.7);
    case 4: return reshaped_tanh(m, a);
    case 5: return fake_sin(g, a);
    case 6: return fake_linear(g, fake_tanh(g, a), any_weight(m), any_bias(m));
    case 7: return fake_norm(g, a);
    default:
        s = fake_sincos(g, &c, a);
        m->pool[m->n++] = s;
        return c;
    }
}

static void any_graph(bm_graph *g, uint64_t seed, bm_value **loss)
{
    maker m = {.g = g, .rng = bm_rng_start(seed, 1, 1)};
    m.pool[m.n++] = matrix(g, "p");
    m.pool[m.n++] = matrix(g, "q");
    m.pool[m.n++] = bm_graph_input(g, "x", BM_F64, BM_SHAPE(ROWS, WIDTH));
    int steps = 1 + pick(&m, 22), in_block = 0;
    for (int i = 0; i < steps; i++) {
        if (pick(&m, 4) == 0) {
            if (in_block) bm_graph_recompute_end(g);
            else bm_graph_recompute_begin(g);
            in_block = !in_block;
        }
        bm_value *v = any_op(&m);
        m.pool[m.n++] = v;
        if (pick(&m, 8) == 0) bm_graph_output(g, v, "some output");
    }
    if (in_block) bm_graph_recompute_end(g);
    bm_value *last = fake_add(g, m.pool[m.n - 1], any_value(&m));
    *loss = pick(&m, 2) ? fake_log_cosh(g, last) : fake_sum(g, last);
    if (pick(&m, 3) == 0) *loss = fake_mul(g, *loss, fake_scale(g, fake_sum(g, any_value(&m)), 0.1));
    if (pick(&m, 3) == 0) *loss = fake_add(g, *loss, fake_tanh(g, *loss));
    bm_graph_output(g, *loss, "loss");
}

START_TEST(random_graphs_agree_with_central_differences)
{
    enum { GRAPHS = 100 };
    for (int i = 0; i < GRAPHS; i++) {
        uint64_t seed = (uint64_t)(_i * GRAPHS + i);
        char what[32];
        snprintf(what, sizeof what, "random graph %d", (int)seed);
        bm_graph *g = fake_graph(seed % 3 == 2);
        bm_value *loss = NULL;
        any_graph(g, seed, &loss);
        int n_forward = g->n_nodes;
        ck_assert_msg(!bm_graph_gradients(g, loss), "%s: %s", what, bm_last_error()->text);
        fake_check_graph(g, loss, n_forward, seed, what);
        bm_graph_destroy(g);
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(losses_that_cannot_be_one_are_refused)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = matrix(g, "x"), *s = bm_graph_param(g, "s", BM_F64, BM_SHAPE(1), 0);
    test_fails(bm_graph_gradients(g, NULL), BM_ERR_USAGE, "missing");
    test_fails(bm_graph_gradients(g, fake_sin(g, x)), BM_ERR_SHAPE, "one floating-point element");
    test_fails(bm_graph_gradients(g, bm_graph_input(g, "i", BM_I32, BM_SHAPE(1))), BM_ERR_SHAPE, "i: a loss");
    test_fails(bm_graph_gradients(g, s), BM_ERR_USAGE, "s: a loss is computed");
    bm_graph_recompute_begin(g);
    test_fails(bm_graph_gradients(g, fake_sum(g, x)), BM_ERR_USAGE, "recompute block");
    bm_graph_recompute_end(g);
    test_ok(bm_graph_gradients(g, fake_sum(g, x)));
    test_fails(bm_graph_gradients(g, fake_sum(g, x)), BM_ERR_USAGE, "once");
    bm_graph_destroy(g);
}
END_TEST

START_TEST(gradients_without_an_add_or_copy_say_so)
{
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, NULL));
    bm_value *x = matrix(g, "x");
    test_fails(bm_graph_gradients(g, fake_sum(g, fake_mul(g, x, x))), BM_ERR_USAGE, "x: gradients add up");
    bm_graph_destroy(g);
    test_ok(bm_graph_create(&g, NULL));
    test_fails(bm_graph_gradients(g, fake_sum(g, fake_add(g, matrix(g, "x"), matrix(g, "y")))), BM_ERR_USAGE,
               "must be copied");
    bm_graph_destroy(g);
}
END_TEST

static void gradient_of_wrong_shape(bm_graph *g, bm_node *n) { bm_grad_add(g, n->inputs[0], bm_grad_of(g, n->outputs[0])); }

static void gradient_of_wrong_type(bm_graph *g, bm_node *n)
{
    static const float zeros[SIZE];
    bm_grad_add(g, n->inputs[0], bm_graph_constant(g, "zeros", BM_F32, BM_SHAPE(SIZE), zeros));
}

static bm_status infer_one(bm_graph *g, bm_node *n)
{
    bm_node_output(g, n, BM_F64, BM_SHAPE(1));
    return BM_OK;
}

START_TEST(a_rule_that_gives_the_wrong_gradient_is_named)
{
    static const bm_op shape = {.name = "bad_shape", .infer = infer_one, .gradient = gradient_of_wrong_shape};
    static const bm_op type = {.name = "bad_type", .infer = infer_one, .gradient = gradient_of_wrong_type};
    bm_graph *g = fake_graph(0);
    bm_value *x = matrix(g, "x");
    test_fails(bm_graph_gradients(g, bm_node_first(bm_node_create(g, &shape, NULL, &x, 1, 0))), BM_ERR_SHAPE,
               "f64 [1] of x f64 [3, 4]");
    bm_graph_destroy(g);
    g = fake_graph(0);
    x = matrix(g, "x");
    test_fails(bm_graph_gradients(g, bm_node_first(bm_node_create(g, &type, NULL, &x, 1, 0))), BM_ERR_SHAPE,
               "zeros f32 [12] of x f64 [3, 4]");
    bm_graph_destroy(g);
}
END_TEST

static bm_status build_and_differentiate(void *arg)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = fake_opts(1);
    bm_value *loss = NULL;
    bm_status s = bm_graph_create(&g, &opts);
    if (s) {
        ck_assert_ptr_null(g);
        return s;
    }
    any_graph(g, *(const uint64_t *)arg, &loss);
    s = loss ? bm_graph_gradients(g, loss) : bm_graph_status(g);
    ck_assert_int_eq(bm_graph_status(g), s);
    bm_graph_destroy(g);
    return s;
}

START_TEST(every_failing_allocation_is_told)
{
    for (uint64_t seed = 0; seed < 3; seed++) test_fail_allocations(build_and_differentiate, &seed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/graph/gradient");
    TCase *t = tcase_create("gradients");
    tcase_add_test(t, a_value_used_twice_gathers_both_gradients);
    tcase_add_test(t, a_residual_stream_shares_gradients_unharmed);
    tcase_add_test(t, a_parameter_that_is_added_directly_has_a_gradient_of_its_own);
    tcase_add_test(t, a_gradient_that_is_another_value_leaves_that_value_alone);
    tcase_add_test(t, views_of_views_carry_gradients);
    tcase_add_test(t, either_result_of_a_node_may_have_no_gradient);
    tcase_add_test(t, tied_parameters_are_one_value_with_one_gradient);
    tcase_add_test(t, accumulated_gradients_are_the_sum_over_runs);
    tcase_add_test(t, the_gradient_of_an_input_is_kept_when_asked_for);
    suite_add_tcase(s, t);
    t = tcase_create("random");
    tcase_add_loop_test(t, random_graphs_agree_with_central_differences, 0, 6);
    suite_add_tcase(s, t);
    t = tcase_create("refused");
    tcase_add_test(t, losses_that_cannot_be_one_are_refused);
    tcase_add_test(t, gradients_without_an_add_or_copy_say_so);
    tcase_add_test(t, a_rule_that_gives_the_wrong_gradient_is_named);
    tcase_add_test(t, every_failing_allocation_is_told);
    suite_add_tcase(s, t);
    return test_run(s);
}
