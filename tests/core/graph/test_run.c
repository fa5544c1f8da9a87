/* ctest: rusticl */
/* ctest: oclgrind */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/graph/scalars.h"
#include "tests/lib/dev_ops.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static bm_engine *engine;

static void open_engine(void) { engine = dev_open(0); }
static void close_engine(void)
{
    bm_engine_close(engine);
    engine = NULL;
}

START_TEST(a_plan_computes_and_constants_are_there)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *c = bm_graph_constant(g, "c", BM_F32, BM_SHAPE(DEV_N), dev_ramp(0.5f));
    bm_value *y = bm_reshape(g, dev_affine(g, dev_affine(g, dev_add(g, x, c), 2, 1), 3, 0), BM_SHAPE(10, 100));
    bm_graph_output(g, y, "y");
    bm_value *z = bm_graph_output(g, dev_reverse(g, bm_reshape(g, y, BM_SHAPE(DEV_N))), "z");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    float out[DEV_N];
    ck_assert_int_eq(bm_plan_launches(p), 5);
    for (int run = 0; run < 3; run++) {
        test_ok(bm_plan_write(p, x, dev_ramp((float)run)));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read(p, y, out));
        for (int i = 0; i < DEV_N; i++) ck_assert_float_eq(out[i], 3 * (2 * ((float)(run + i) + (float)i + 0.5f) + 1));
        test_ok(bm_plan_read(p, z, out));
        for (int i = 0; i < DEV_N; i++)
            ck_assert_float_eq(out[DEV_N - 1 - i], 3 * (2 * ((float)(run + i) + (float)i + 0.5f) + 1));
        test_ok(bm_plan_peek(p, z, 8, out, 4));
        ck_assert_float_eq(out[0], 3 * (2 * ((float)(run + DEV_N - 3) + (float)(DEV_N - 3) + 0.5f) + 1));
    }
    test_ok(bm_plan_run(p)); /* an input is kept between runs */
    test_ok(bm_plan_read(p, x, out));
    ck_assert_mem_eq(out, dev_ramp(2), DEV_BYTES);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(what_is_not_kept_cannot_be_read_or_written)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *mid = dev_affine(g, x, 2, 0), *dead = dev_affine(g, x, 3, 0);
    bm_value *y = bm_graph_output(g, dev_affine(g, bm_reshape(g, mid, BM_SHAPE(10, 100)), 2, 0), "y");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    float out[DEV_N];
    bm_ticket *t = NULL;
    test_ok(bm_ticket_create(&t));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, y, out));
    test_fails(bm_plan_read(p, dead, out), BM_ERR_USAGE, "affine is not computed by this plan");
    test_fails(bm_plan_write(p, y, out), BM_ERR_USAGE, "y is not an input of this plan");
    test_fails(bm_plan_write(p, NULL, out), BM_ERR_USAGE, "not an input");
    bm_plan_destroy(p);
    bm_graph_destroy(g);

    g = dev_graph(0);
    x = dev_input(g, "x");
    mid = dev_slow(g, x, 1);
    y = bm_graph_output(g, dev_slow(g, mid, 1), "y");
    p = dev_plan(engine, g, NULL, 0);
    test_fails(bm_plan_read(p, mid, out), BM_ERR_USAGE, "slow cannot be read: it is not an output");
    test_fails(bm_plan_read_ticket(p, mid, out, t), BM_ERR_USAGE, "slow cannot be read: it is not an output");
    ck_assert(bm_ticket_done(t));
    bm_ticket_destroy(t);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(run_time_scalars_take_effect_with_the_next_run)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *y = bm_graph_output(g, dev_times_step(g, x), "y");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    float out[DEV_N];
    test_ok(bm_plan_write(p, x, dev_ramp(1)));
    for (uint32_t step = 1; step < 6; step++) {
        bm_plan_set_u32(p, BM_RT_STEP, step);
        bm_plan_set_f32(p, BM_RT_LR, 0.25f * (float)step);
        test_ok(bm_plan_run(p));
        bm_plan_set_u32(p, BM_RT_STEP, 1000); /* too late for this run */
        test_ok(bm_plan_read(p, y, out));
        for (int i = 0; i < DEV_N; i++) ck_assert_float_eq(out[i], (float)(1 + i) * (float)step + 0.25f * (float)step);
    }
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

/* The host is always ahead: each run's input is written, and its memory used again, while earlier runs are under way.
 */
START_TEST(inputs_are_staged_so_that_the_host_may_run_ahead)
{
    enum { RUNS = 9 };
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *y = bm_graph_output(g, dev_affine(g, dev_slow(g, x, 3000), 1, 0), "y");
    bm_value *z = bm_graph_output(g, dev_times_step(g, y), "z");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    bm_ticket *tickets[RUNS];
    static float data[DEV_N], out[RUNS][DEV_N];
    for (int run = 0; run < RUNS; run++) {
        test_ok(bm_ticket_create(&tickets[run]));
        for (int i = 0; i < DEV_N; i++) data[i] = (float)(run * 10000 + i);
        test_ok(bm_plan_write(p, x, data));
        bm_plan_set_u32(p, BM_RT_STEP, (uint32_t)run + 1);
        test_ok(bm_plan_run(p));
        memset(data, 0xff, sizeof data);
        test_ok(bm_plan_read_ticket(p, z, out[run], tickets[run]));
    }
    for (int run = RUNS - 1; run >= 0; run--) {
        test_ok(bm_ticket_wait(tickets[run]));
        ck_assert(bm_ticket_done(tickets[run]));
        for (int i = 0; i < DEV_N; i++) ck_assert_float_eq(out[run][i], (float)(run * 10000 + i) * (float)(run + 1));
        bm_ticket_destroy(tickets[run]);
    }
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(the_second_run_is_enqueued_while_the_first_is_under_way)
{
    for (int rounds = 10000, slow_enough = 0; !slow_enough; rounds *= 2) {
        bm_graph *g = dev_graph(0);
        bm_value *x = dev_input(g, "x"), *y = bm_graph_output(g, dev_slow(g, x, rounds), "y");
        bm_plan *p = dev_plan(engine, g, NULL, 0);
        float out[DEV_N];
        double one = 0, enqueued = 0;
        for (int run = 0; run < 2; run++) { /* the first one builds what the driver left for later */
            double began = now();
            test_ok(bm_plan_run(p));
            test_ok(bm_plan_read(p, y, out));
            one = now() - began;
        }
        slow_enough = one > 0.2;
        double began = now();
        for (int run = 0; run < BM_PLAN_AHEAD; run++) {
            test_ok(bm_plan_write(p, x, dev_ramp(0)));
            test_ok(bm_plan_run(p));
        }
        enqueued = now() - began;
        test_ok(bm_plan_read(p, y, out));
        ck_assert_msg(!slow_enough || enqueued < 0.5 * one, "a run takes %.3f s, enqueuing two %.3f s", one, enqueued);
        bm_plan_destroy(p);
        bm_graph_destroy(g);
    }
}
END_TEST

/* What a plan has written may still be under way, from memory that goes with the plan: it waits for that. Another plan keeps the
 * device busy meanwhile, for as long as it took the time before. */
START_TEST(a_plan_goes_only_when_what_it_wrote_has_arrived)
{
    bm_graph *busy = dev_graph(0), *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *y = dev_input(busy, "x");
    for (int i = 0; i < 8; i++) y = dev_slow(busy, y, 60000);
    bm_graph_output(busy, y, "y");
    bm_graph_output(g, dev_copy(g, x), "y");
    bm_plan *before = dev_plan(engine, busy, NULL, 0), *p = dev_plan(engine, g, NULL, 0);
    double one = 0;
    for (int run = 0; run < 2; run++) { /* the first one builds what the driver left for later */
        double began = now();
        test_ok(bm_plan_run(before));
        test_ok(bm_queue_finish(bm_engine_queue(engine)));
        one = now() - began;
    }
    double began = now();
    test_ok(bm_plan_run(before));
    test_ok(bm_plan_write(p, x, dev_ramp(1)));
    bm_plan_destroy(p);
    double waited = now() - began;
    ck_assert_msg(waited > 0.25 * one, "it went after %.4f s, the device was busy for %.4f s", waited, one);
    bm_plan_destroy(before);
    bm_graph_destroy(busy);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_plan_goes_while_its_work_is_under_way)
{
    for (int run = 0; run < 2; run++) {
        bm_graph *g = dev_graph(0);
        bm_value *x = dev_input(g, "x");
        bm_graph_output(g, dev_slow(g, x, 20000), "y");
        bm_plan *p = dev_plan(engine, g, NULL, 0);
        if (run) test_ok(bm_plan_run(p));
        test_ok(bm_plan_write(p, x, dev_ramp(1)));
        bm_plan_destroy(p);
        bm_graph_destroy(g);
        ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    }
    bm_plan_destroy(NULL);
}
END_TEST

typedef struct checked {
    char visited[200];
    const char *stop_at;
} checked;

static bm_status check_finite(void *user, bm_plan *p, const char *node, const bm_value *output)
{
    checked *c = user;
    float data[DEV_N];
    test_ok(bm_plan_peek(p, output, 0, data, DEV_BYTES));
    snprintf(c->visited + strlen(c->visited), sizeof c->visited - strlen(c->visited), "%s ", node);
    for (int i = 0; i < DEV_N; i++)
        if (!isfinite(data[i])) return bm_fail(BM_ERR_NOT_FINITE, "%s", node);
    return BM_OK;
}

START_TEST(a_checked_run_finds_the_first_bad_node)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x");
    bm_graph_scope_push(g, "a");
    bm_value *y = dev_affine(g, x, 2, 0);
    bm_graph_scope_pop(g);
    bm_graph_scope_push(g, "b");
    y = dev_affine(g, y, 3e38f, 0);
    bm_graph_scope_pop(g);
    y = bm_graph_output(g, dev_reverse(g, y), "y");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    checked c = {.visited = ""};
    float zeros[DEV_N] = {0}, out[DEV_N];
    test_ok(bm_plan_write(p, x, zeros));
    test_ok(bm_plan_run_checked(p, check_finite, &c));
    ck_assert_str_eq(c.visited, "a/affine b/affine reverse ");
    c.visited[0] = 0;
    test_ok(bm_plan_write(p, x, dev_ramp(1)));
    test_fails(bm_plan_run_checked(p, check_finite, &c), BM_ERR_NOT_FINITE, "b/affine");
    ck_assert_str_eq(c.visited, "a/affine b/affine ");
    test_ok(bm_plan_write(p, x, zeros)); /* the plan is usable as before */
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, y, out));
    ck_assert_mem_eq(out, zeros, DEV_BYTES);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

/* A failure that shows only when the device has come to it belongs to the node that was launched last: the run finishes
 * after each node, and does not hand the results of one that failed to the check. */
START_TEST(a_checked_run_names_the_node_whose_work_failed)
{
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"), *y = dev_affine(g, x, 2, 0);
    bm_graph_scope_push(g, "b");
    y = dev_affine(g, y, 3, 0);
    bm_graph_scope_pop(g);
    bm_graph_output(g, dev_reverse(g, y), "y");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    checked c = {.visited = ""};
    test_ok(bm_plan_write(p, x, dev_ramp(1)));
    ck_assert(test_layer()->fail_nth("Finish", 2 + bm_queue_host_works(bm_engine_queue(engine)), CL_OUT_OF_RESOURCES, 0));
    test_fails(bm_plan_run_checked(p, check_finite, &c), BM_ERR_DEVICE, "b/affine: ");
    test_layer()->fail_nth(NULL, 0, 0, 0);
    ck_assert_str_eq(c.visited, "affine ");
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(a_run_makes_nothing_and_blocks_nowhere)
{
    const layer_api *layer = test_layer();
    bm_graph *g = dev_graph(0);
    bm_value *x = dev_input(g, "x"),
             *y = bm_graph_output(g, dev_reverse(g, dev_times_step(g, dev_affine(g, x, 2, 0))), "y");
    bm_plan *p = dev_plan(engine, g, NULL, 0);
    bm_ticket *t = NULL;
    float out[DEV_N];
    test_ok(bm_ticket_create(&t));
    for (int run = 0; run < 50; run++) {
        if (run == 1) layer->reset();
        int64_t calls = bm_mem_get_stats().calls;
        bm_plan_set_u32(p, BM_RT_STEP, (uint32_t)run);
        test_ok(bm_plan_write(p, x, dev_ramp(0)));
        test_ok(bm_plan_run(p));
        test_ok(bm_plan_read_ticket(p, y, out, t));
        test_ok(bm_ticket_wait(t));
        if (run) ck_assert_int_eq(bm_mem_get_stats().calls, calls);
        ck_assert_float_eq(out[DEV_N - 2], (float)(2 * run));
    }
    layer_stats s = layer->stats();
    const bm_queue *q = bm_engine_queue(engine);
    if (!bm_queue_flush_waits(q) && !bm_queue_host_works(q)) ck_assert_int_eq(s.blocking, 0);
    ck_assert_int_eq(s.buffers_made, 0);
    ck_assert_int_eq(s.programs_made, 0);
    ck_assert_int_eq(s.kernels_made, 0);
    ck_assert_int_eq(layer->calls("EnqueueNDRangeKernel"), 4 * 49);
    bm_ticket_destroy(t);
    bm_plan_destroy(p);
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/graph/run");
    TCase *t = tcase_create("run");
    tcase_add_checked_fixture(t, open_engine, close_engine);
    tcase_add_test(t, a_plan_computes_and_constants_are_there);
    tcase_add_test(t, what_is_not_kept_cannot_be_read_or_written);
    tcase_add_test(t, run_time_scalars_take_effect_with_the_next_run);
    tcase_add_test(t, inputs_are_staged_so_that_the_host_may_run_ahead);
    if (!getenv("BM_TEST_OCLGRIND") && !getenv("BM_TEST_SMALL")) /* nothing is under way there, or not for long */
        tcase_add_test(t, the_second_run_is_enqueued_while_the_first_is_under_way);
    if (!getenv("BM_TEST_OCLGRIND")) /* which works when it is asked to, not meanwhile */
        tcase_add_test(t, a_plan_goes_only_when_what_it_wrote_has_arrived);
    tcase_add_test(t, a_plan_goes_while_its_work_is_under_way);
    tcase_add_test(t, a_checked_run_finds_the_first_bad_node);
    tcase_add_test(t, a_checked_run_names_the_node_whose_work_failed);
    tcase_add_test(t, a_run_makes_nothing_and_blocks_nowhere);
    suite_add_tcase(s, t);
    return test_run(s);
}
