/* Blocks that are computed again for the gradient instead of being kept. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "tests/lib/fake_check.h"
#include "tests/lib/test.h"

enum { ROWS = 3, WIDTH = 4, SIZE = ROWS * WIDTH };

static bm_value *matrix(bm_graph *g, const char *name)
{
    return bm_graph_param(g, name, BM_F64, BM_SHAPE(ROWS, WIDTH), 0);
}

static bm_value *deep(bm_graph *g, int layers, int blocks)
{
    bm_value *h = matrix(g, "x");
    for (int i = 0; i < layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        bm_value *w = bm_graph_param(g, name, BM_F64, BM_SHAPE(WIDTH, WIDTH), 0);
        if (blocks) bm_graph_recompute_begin(g);
        bm_value *t = fake_sin(g, fake_linear(g, fake_norm(g, h), w, NULL));
        t = bm_reshape(g, fake_tanh(g, bm_reshape(g, t, BM_SHAPE(SIZE))), BM_SHAPE(ROWS, WIDTH));
        h = fake_add(g, h, fake_linear(g, fake_sin(g, fake_linear(g, t, w, NULL)), w, NULL));
        if (blocks) bm_graph_recompute_end(g);
    }
    return fake_log_cosh(g, h);
}

START_TEST(recomputed_blocks_give_the_same_numbers_in_less_memory)
{
    enum { LAYERS = 12 };
    double gradient[2][LAYERS + 1][WIDTH * WIDTH];
    int64_t need[2];
    for (int blocks = 0; blocks < 2; blocks++) {
        bm_graph *g = fake_graph(0);
        bm_value *loss = bm_graph_output(g, deep(g, LAYERS, blocks), "loss");
        int n_forward = g->n_nodes;
        test_ok(bm_graph_gradients(g, loss));
        fake_check_graph(g, loss, n_forward, 4, blocks ? "recomputed" : "kept");
        bm_memplan *plan = fake_plan(g);
        need[blocks] = plan->sizes.temp_bytes;
        ck_assert_int_le(100 * plan->sizes.temp_bytes, 102 * plan->sizes.temp_need);
        fake_store *s = fake_store_create();
        fake_run *r = fake_run_create(g, plan);
        fake_fill_store(g, s, 4);
        fake_run_nodes(r, s, -1);
        int k = 0;
        for (int i = 0; i < g->n_values; i++) {
            const bm_value *v = g->values[i];
            if (v->place == BM_PLACE_WEIGHT && !v->view_of)
                memcpy(gradient[blocks][k++], fake_grad(s, v), (size_t)bm_shape_elements(&v->shape) * sizeof(double));
        }
        ck_assert_int_eq(k, LAYERS + 1);
        fake_run_destroy(r);
        fake_store_destroy(s);
        bm_memplan_destroy(plan);
        bm_graph_destroy(g);
    }
    ck_assert_mem_eq(gradient[0][0], gradient[1][0], SIZE * sizeof(double));
    for (int k = 1; k <= LAYERS; k++) ck_assert_mem_eq(gradient[0][k], gradient[1][k], sizeof gradient[0][k]);
    /* A layer keeps 6 values; recomputed, the stream between layers alone, 1, and the 6 of one layer at a time. */
    ck_assert_msg(need[1] < need[0] / 2, "%lld bytes recomputed, %lld kept", (long long)need[1], (long long)need[0]);
}
END_TEST

START_TEST(a_block_is_not_computed_again_when_nothing_needs_it)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = matrix(g, "x");
    bm_graph_recompute_begin(g);
    bm_value *h = fake_scale(g, fake_scale(g, x, 2), 3); /* its gradient reads nothing of it */
    bm_graph_recompute_end(g);
    bm_value *loss = fake_sum(g, h);
    test_ok(bm_graph_gradients(g, loss));
    bm_memplan *plan = fake_plan(g);
    int live = 0;
    for (int i = 0; i < g->n_nodes; i++) live += g->nodes[i]->live;
    ck_assert_int_eq(live, 3); /* fill, and two scales backwards: the loss itself is not read */
    bm_memplan_destroy(plan);
    fake_check_graph(g, loss, 3, 3, "linear block");
    bm_graph_destroy(g);
}
END_TEST

/* t is the gradient of x, and so of s. The linear op adds to that of s by itself, before the gradient of tanh reads t
 * again: what was computed again must be copied first, like any other value of the forward part. */
START_TEST(a_value_computed_again_is_left_alone_when_it_is_a_gradient)
{
    const bm_shape one = BM_SHAPE(1, 1);
    bm_graph *g = fake_graph(0);
    bm_value *a = bm_graph_param(g, "a", BM_F64, one, 0), *q = bm_graph_param(g, "q", BM_F64, one, 0);
    bm_value *w = bm_graph_param(g, "w", BM_F64, one, 0);
    bm_graph_recompute_begin(g);
    bm_value *t = fake_tanh(g, q), *s = fake_sin(g, a);
    bm_value *x = fake_add(g, s, fake_scale(g, fake_linear(g, s, w, NULL), 0.7));
    bm_value *loss = fake_mul(g, x, t);
    bm_graph_recompute_end(g);
    int n_forward = g->n_nodes;
    bm_graph_output(g, loss, "loss");
    test_ok(bm_graph_gradients(g, loss));
    fake_check_graph(g, loss, n_forward, 6, "a value computed again as a gradient");
    bm_graph_destroy(g);
}
END_TEST

/* Of the norm's two results only the first is needed again: the other must not take memory. */
START_TEST(a_result_that_was_optional_is_so_again)
{
    bm_graph *g = fake_graph(0);
    bm_value *x = bm_graph_input(g, "x", BM_F64, BM_SHAPE(ROWS, WIDTH)),
             *w = bm_graph_param(g, "w", BM_F64, BM_SHAPE(WIDTH, WIDTH), 0);
    bm_graph_recompute_begin(g);
    bm_value *y = fake_linear(g, fake_norm(g, x), w, NULL);
    bm_graph_recompute_end(g);
    test_ok(bm_graph_gradients(g, fake_sum(g, y)));
    bm_memplan *plan = fake_plan(g);
    int optional = 0, again = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const bm_node *n = g->nodes[i];
        if (n->n_outputs < 2) continue;
        again += n->live;
        optional += plan->of_value[n->outputs[1]->id] >= 0;
    }
    ck_assert_int_eq(again, 1); /* the first time nothing but the linear op, dead like the loss, reads it */
    ck_assert_int_eq(optional, 0);
    bm_memplan_destroy(plan);
    bm_graph_destroy(g);
}
END_TEST

/* What changes memory that outlives the block must not happen twice. */
START_TEST(updates_and_effects_in_a_block_happen_once_a_run)
{
    int runs = 0;
    bm_graph *g = fake_graph(0);
    bm_value *x = matrix(g, "x"), *cache = bm_graph_cache(g, "sum", BM_F64, BM_SHAPE(ROWS, WIDTH));
    bm_graph_recompute_begin(g);
    bm_value *h = fake_sin(g, x), *sum = fake_update(g, cache, h);
    fake_effect(g, h, &runs);
    bm_value *y = fake_mul(g, fake_tanh(g, fake_sin(g, h)), sum);
    bm_graph_recompute_end(g);
    bm_value *loss = bm_graph_output(g, fake_sum(g, y), "loss");
    test_ok(bm_graph_gradients(g, loss));
    bm_memplan *plan = fake_plan(g);
    fake_store *s = fake_store_create();
    fake_run *r = fake_run_create(g, plan);
    fake_fill_store(g, s, 5);
    for (int run = 1; run <= 3; run++) {
        double want = 0;
        fake_run_nodes(r, s, -1);
        ck_assert_int_eq(runs, run);
        for (int i = 0; i < SIZE; i++) {
            const double one = sin(fake_data(s, x)[i]);
            ck_assert_double_eq_tol(fake_data(s, cache)[i], run * one, 1e-15);
            want += tanh(sin(one)) * run * one;
        }
        ck_assert_double_eq_tol(fake_read(r, loss)[0], want, 1e-14);
    }
    fake_run_destroy(r);
    fake_store_destroy(s);
    bm_memplan_destroy(plan);
    bm_graph_destroy(g);
}
END_TEST

static bm_status build_and_differentiate(void *arg)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = fake_opts(1);
    (void)arg;
    BM_TRY(bm_graph_create(&g, &opts));
    bm_status s = bm_graph_gradients(g, deep(g, 6, 1));
    ck_assert_int_eq(bm_graph_status(g), s);
    bm_graph_destroy(g);
    return s;
}

START_TEST(every_failing_allocation_is_told)
{
    test_fail_allocations(build_and_differentiate, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/graph/recompute");
    TCase *t = tcase_create("recompute");
    tcase_add_test(t, recomputed_blocks_give_the_same_numbers_in_less_memory);
    tcase_add_test(t, a_block_is_not_computed_again_when_nothing_needs_it);
    tcase_add_test(t, a_value_computed_again_is_left_alone_when_it_is_a_gradient);
    tcase_add_test(t, a_result_that_was_optional_is_so_again);
    tcase_add_test(t, updates_and_effects_in_a_block_happen_once_a_run);
    tcase_add_test(t, every_failing_allocation_is_told);
    suite_add_tcase(s, t);
    return test_run(s);
}
