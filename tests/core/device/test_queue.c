/* ctest: rusticl */
/* ctest: oclgrind */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/memory.h"
#include "core/device/program.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static const bm_source sources[] = {
    {"order", "__kernel void order(__global uint *x, uint a)\n"
              "{\n"
              "    size_t i = get_global_id(0);\n"
              "    x[i] = x[i] * 3u + a;\n"
              "}\n"
              "__kernel void busy(__global uint *x, uint rounds)\n"
              "{\n"
              "    size_t i = get_global_id(0);\n"
              "    uint v = x[i];\n"
              "    for (uint r = 0; r < rounds; r++) v = v * 1664525u + 1013904223u;\n"
              "    x[i] = v;\n"
              "}\n"},
};

enum { N = 64 };

static uint32_t rounds; /* of the busy kernel: fewer where the device is simulated */

static bm_engine *engine;
static bm_queue *queue;
static bm_region *region;
static cl_mem mem;
static cl_kernel order, busy;
static bm_ticket *ticket;

static void open_engine(int profile)
{
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){sources, 1};
    opts.profile = profile;
    engine = test_engine_open_with(&opts);
    queue = bm_engine_queue(engine);
    test_ok(bm_region_create(&region, engine, "x", (int64_t[]){N * 4}, 1, 1));
    test_ok(bm_region_piece(&mem, region, 0, 0, N * 4));
    test_ok(bm_kernel_create(&order, engine, "order", "", "order"));
    test_ok(bm_kernel_create(&busy, engine, "order", "", "busy"));
    test_ok(bm_ticket_create(&ticket));
}

static void setup(void) { open_engine(0); }
static void setup_profiled(void) { open_engine(1); }

static void teardown(void)
{
    bm_ticket_destroy(ticket);
    bm_cl.ReleaseKernel(order);
    bm_cl.ReleaseKernel(busy);
    bm_region_destroy(region);
    bm_engine_close(engine);
    ck_assert_int_eq(bm_mem_get_stats().live, 0);
    layer_stats s = test_layer()->stats();
    ck_assert_int_eq(s.contexts + s.queues + s.buffers + s.programs + s.kernels + s.events, 0);
}

static bm_status launch(cl_kernel k, uint32_t argument, const char *what)
{
    const size_t global = N;
    cl_int err = bm_cl.SetKernelArg(k, 0, sizeof mem, &mem);
    if (!err) err = bm_cl.SetKernelArg(k, 1, sizeof argument, &argument);
    if (err) return bm_fail_cl(BM_ERR_DEVICE, err, "argument");
    return bm_queue_launch(queue, k, 1, &global, NULL, what);
}

START_TEST(commands_run_in_order)
{
    uint32_t first[N], want[N], seen[N];
    for (uint32_t i = 0; i < N; i++) want[i] = first[i] = i;
    test_ok(bm_queue_write(queue, mem, 0, first, sizeof first));
    for (uint32_t r = 0; r < 50; r++) {
        test_ok(launch(order, r, "order"));
        for (int i = 0; i < N; i++) want[i] = want[i] * 3 + r;
    }
    test_ok(bm_queue_fill(queue, mem, 40, 80, 0xFEDCBA98u));
    for (int i = 10; i < 30; i++) want[i] = 0xFEDCBA98u;
    test_ok(launch(order, 5, "order"));
    for (int i = 0; i < N; i++) want[i] = want[i] * 3 + 5;
    test_ok(bm_queue_copy(queue, mem, 0, mem, N * 2, 100));
    memcpy(want, want + N / 2, 100);
    test_ok(bm_queue_read(queue, mem, 0, seen, sizeof seen));
    ck_assert_mem_eq(seen, want, sizeof want);
    test_ok(bm_queue_read(queue, mem, 12, seen, 8));
    ck_assert_mem_eq(seen, want + 3, 8);
}
END_TEST

START_TEST(nothing_to_move_is_no_command)
{
    const layer_api *layer = test_layer();
    layer->reset();
    test_ok(bm_queue_write(queue, mem, 0, NULL, 0));
    test_ok(bm_queue_copy(queue, mem, 0, mem, 0, 0));
    test_ok(bm_queue_fill(queue, mem, 0, 0, 0));
    test_ok(bm_queue_read(queue, mem, 0, NULL, 0));
    ck_assert_int_eq(layer->stats().calls, 0);
    test_fails(bm_queue_write(queue, mem, -4, "abcd", 4), BM_ERR_USAGE, "write");
    test_fails(bm_queue_read(queue, mem, 0, NULL, -1), BM_ERR_USAGE, "read");
    test_fails(bm_queue_fill(queue, mem, 2, 4, 0), BM_ERR_USAGE, "fill");
    test_fails(bm_queue_fill(queue, mem, 4, 5, 0), BM_ERR_USAGE, "fill");
    ck_assert_int_eq(layer->stats().calls, 0);
}
END_TEST

START_TEST(a_launch_allocates_nothing_and_makes_no_event)
{
    const layer_api *layer = test_layer();
    const size_t global = N;
    test_ok(launch(order, 1, "order"));
    layer->reset();
    int64_t allocations = bm_mem_get_stats().calls;
    for (int i = 0; i < 500; i++) test_ok(bm_queue_launch(queue, order, 1, &global, NULL, "order"));
    test_ok(bm_queue_flush(queue));
    ck_assert_int_eq(bm_mem_get_stats().calls, allocations);
    ck_assert_int_eq(layer->stats().events, 0);
    ck_assert_int_eq(layer->stats().blocking, bm_queue_flush_waits(queue));
    ck_assert_int_eq(layer->calls("ReleaseEvent"), 0);
    ck_assert_int_eq(layer->calls("EnqueueNDRangeKernel"), 500);
    test_ok(bm_queue_finish(queue));
}
END_TEST

/* Of so many tickets: none, or one each where a flush waits; where the host works, one for each that had not passed yet. */
static void check_blocking_calls(int tickets)
{
    const int64_t calls = test_layer()->stats().blocking;
    if (bm_queue_host_works(queue)) ck_assert_int_le(calls, tickets);
    else ck_assert_int_eq(calls, tickets * bm_queue_flush_waits(queue));
}

START_TEST(a_ticket_waits_without_a_blocking_call)
{
    const layer_api *layer = test_layer();
    uint32_t zero[N] = {0}, seen[N], want = 0;
    test_ok(bm_queue_write(queue, mem, 0, zero, sizeof zero));
    test_ok(bm_ticket_wait(ticket)); /* marks nothing */
    ck_assert_int_eq(bm_ticket_done(ticket), 1);
    for (uint32_t round = 0; round < 20; round++) {
        layer->reset();
        memset(seen, 0xFF, sizeof seen);
        test_ok(launch(busy, 1000, "busy"));
        for (int i = 0; i < 1000; i++) want = want * 1664525u + 1013904223u;
        int64_t allocations = bm_mem_get_stats().calls;
        test_ok(bm_queue_read_ticket(queue, mem, 0, seen, sizeof seen, ticket));
        test_ok(bm_ticket_wait(ticket));
        ck_assert_int_eq(bm_ticket_done(ticket), 1);
        ck_assert_int_eq(bm_mem_get_stats().calls, allocations);
        check_blocking_calls(1);
        for (int i = 0; i < N; i++) ck_assert_uint_eq(seen[i], want);
        test_ok(bm_queue_mark(queue, ticket));
        test_ok(bm_ticket_wait(ticket));
        check_blocking_calls(2);
    }
}
END_TEST

START_TEST(a_ticket_marks_one_point_at_a_time)
{
    /* Whether it still pends is up to the device, so both must hold: refused while it pends, taken once it is done. */
    uint32_t seen[N];
    test_ok(launch(busy, 200 * rounds, "busy"));
    test_ok(bm_queue_read_ticket(queue, mem, 0, seen, sizeof seen, ticket));
    int pending = !bm_ticket_done(ticket);
    bm_status s = bm_queue_mark(queue, ticket);
    if (s == BM_ERR_USAGE) ck_assert(pending);
    else ck_assert_int_eq(s, BM_OK);
    test_ok(bm_ticket_wait(ticket));
    test_ok(bm_queue_mark(queue, ticket));
    test_ok(bm_ticket_wait(ticket));
    test_ok(bm_queue_read_ticket(queue, mem, 0, NULL, 0, ticket)); /* no bytes: a mark */
    test_ok(bm_ticket_wait(ticket));
}
END_TEST

START_TEST(destroying_a_ticket_waits_for_its_point)
{
    bm_ticket *t = NULL;
    uint32_t *seen = calloc(N, sizeof *seen);
    ck_assert_ptr_nonnull(seen);
    test_ok(bm_ticket_create(&t));
    const uint32_t many = 500 * rounds; /* some time on any device */
    test_ok(launch(busy, many, "busy"));
    test_ok(bm_queue_read_ticket(queue, mem, 0, seen, N * sizeof *seen, t));
    bm_ticket_destroy(t);
    uint32_t want = 0;
    for (uint32_t i = 0; i < many; i++) want = want * 1664525u + 1013904223u;
    ck_assert_uint_eq(seen[N - 1], want);
    free(seen); /* nothing writes to it any more */
    bm_ticket_destroy(NULL);
}
END_TEST

START_TEST(a_refused_launch_names_the_op)
{
    const size_t global = 1, local = (size_t)bm_engine_limits(engine)->max_work_group * 2;
    uint32_t a = 1;
    bm_cl.SetKernelArg(order, 0, sizeof mem, &mem);
    bm_cl.SetKernelArg(order, 1, sizeof a, &a);
    test_fails(bm_queue_launch(queue, order, 1, &global, &local, "layernorm"), BM_ERR_DEVICE, "layernorm");
    ck_assert_int_ne(bm_last_error()->cl_code, 0);
    test_ok(bm_queue_launch(queue, order, 1, &global, NULL, "layernorm"));
    test_ok(bm_queue_finish(queue));
}
END_TEST

START_TEST(a_failure_found_late_names_the_ops)
{
    const layer_api *layer = test_layer();
    uint32_t seen[N];
    test_ok(launch(order, 1, "embedding"));
    test_ok(launch(order, 1, "attention"));
    layer->fail_nth("Finish", 1, CL_OUT_OF_RESOURCES, 0);
    test_fails(bm_queue_finish(queue), BM_ERR_DEVICE, "embedding, attention");
    ck_assert(layer->fired());
    test_text_holds(bm_error_text(BM_ERR_DEVICE), "CL_OUT_OF_RESOURCES");
    test_ok(bm_queue_finish(queue)); /* told once */

    layer->fail_nth("EnqueueReadBuffer", 1, CL_OUT_OF_RESOURCES, 0);
    test_fails(bm_queue_read(queue, mem, 0, seen, sizeof seen), BM_ERR_DEVICE, "attention");

    layer->fail_nth("EventCallback", 1, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, 0);
    test_ok(launch(order, 1, "softmax"));
    test_ok(bm_queue_mark(queue, ticket));
    test_fails(bm_ticket_wait(ticket), BM_ERR_DEVICE, "softmax");
    ck_assert(layer->fired());
    test_ok(bm_ticket_wait(ticket));
}
END_TEST

static bm_status use_all(void *arg)
{
    (void)arg;
    uint32_t word[4] = {1, 2, 3, 4}, seen[N];
    bm_status status = bm_queue_write(queue, mem, 0, word, sizeof word);
    if (!status) status = bm_queue_fill(queue, mem, 0, 16, 3);
    if (!status) status = bm_queue_copy(queue, mem, 0, mem, 64, 16);
    if (!status) status = launch(order, 1, "order");
    if (!status) {
        status = bm_queue_read_ticket(queue, mem, 0, seen, sizeof seen, ticket);
        if (status) ck_assert(bm_ticket_done(ticket)); /* `seen` is free again */
    }
    bm_status waited = bm_ticket_wait(ticket);
    if (!status) status = waited;
    if (!status) status = bm_queue_mark(queue, ticket);
    waited = bm_ticket_wait(ticket);
    if (!status) status = waited;
    if (!status) status = bm_queue_read(queue, mem, 0, seen, sizeof seen);
    if (!status) status = bm_queue_flush(queue);
    bm_status finished = bm_queue_finish(queue);
    return status ? status : finished;
}

START_TEST(every_failing_call_is_told_and_nothing_leaks)
{
    test_fail_calls(use_all, NULL, CL_OUT_OF_RESOURCES);
    test_ok(use_all(NULL));
}
END_TEST

START_TEST(tickets_survive_failing_allocations)
{
    bm_ticket *t = NULL;
    bm_mem_fail_nth(1, 0);
    ck_assert_int_eq(bm_ticket_create(&t), BM_ERR_MEMORY);
    ck_assert_ptr_null(t);
    bm_mem_fail_nth(0, 0);
}
END_TEST

START_TEST(a_profile_has_a_row_per_op_and_keeps_few_events)
{
    const layer_api *layer = test_layer();
    const bm_profile_row *row = NULL;
    int n = 0;
    uint32_t seen[N];
    char same[] = "order"; /* equal text, another address */
    for (int i = 0; i < 1000; i++) {
        test_ok(launch(order, 1, i % 2 ? "order" : same));
        ck_assert_int_le(layer->stats().events, 256);
    }
    test_ok(launch(busy, 100 * rounds, "busy"));
    test_ok(bm_queue_read_ticket(queue, mem, 0, seen, sizeof seen, ticket));
    test_ok(bm_ticket_wait(ticket));
    test_ok(bm_queue_finish(queue));
    ck_assert_int_eq(layer->stats().events, 0);
    test_ok(bm_queue_profile(queue, &row, &n));
    ck_assert_int_eq(n, 3);
    ck_assert_str_eq(row[0].what, "order");
    ck_assert_int_eq(row[0].calls, 1000);
    ck_assert_str_eq(row[1].what, "busy");
    ck_assert_int_eq(row[1].calls, 1);
    ck_assert_str_eq(row[2].what, "read");
    ck_assert_int_eq(row[2].calls, 1);
    for (int i = 0; i < n; i++) ck_assert(row[i].seconds >= 0 && row[i].seconds < 60);
    bm_queue_profile_reset(queue);
    test_ok(bm_queue_profile(queue, &row, &n));
    ck_assert_int_eq(n, 0);
    /* A chain of 200,000 multiplications and additions: no device does that in less than this. rusticl's times, though, are of
     * no use, and Oclgrind has none. */
    if (strcmp(bm_engine_platform_name(engine), "rusticl") != 0 && !getenv("BM_TEST_OCLGRIND")) {
        test_ok(launch(busy, 100 * rounds, "busy"));
        test_ok(bm_queue_finish(queue));
        test_ok(bm_queue_profile(queue, &row, &n));
        ck_assert_int_eq(n, 1);
        ck_assert_msg(row[0].seconds > 1e-6, "%g s", row[0].seconds);
    }
}
END_TEST

START_TEST(with_profiling_a_failure_names_its_op)
{
    const layer_api *layer = test_layer();
    test_ok(launch(order, 1, "embedding"));
    test_ok(launch(order, 1, "attention"));
    test_ok(launch(order, 1, "head"));
    layer->fail_nth("GetEventInfo", 2, CL_OUT_OF_RESOURCES, 0);
    test_fails(bm_queue_finish(queue), BM_ERR_DEVICE, "attention failed");
    ck_assert(layer->fired());
    test_ok(bm_queue_finish(queue));
}
END_TEST

START_TEST(with_profiling_failing_calls_leak_nothing)
{
    test_ok(use_all(NULL)); /* makes the profile's rows, which stay */
    test_fail_calls(use_all, NULL, CL_OUT_OF_RESOURCES);
}
END_TEST

int main(void)
{
    test_layer_use();
    rounds = getenv("BM_TEST_OCLGRIND") ? 2 : 130; /* Mesa's llvmpipe ends any loop after 65,535 turns */
    Suite *s = suite_create("core/device/queue");
    TCase *c = tcase_create("queue");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, commands_run_in_order);
    tcase_add_test(c, nothing_to_move_is_no_command);
    tcase_add_test(c, a_launch_allocates_nothing_and_makes_no_event);
    tcase_add_test(c, a_ticket_waits_without_a_blocking_call);
    tcase_add_test(c, a_ticket_marks_one_point_at_a_time);
    tcase_add_test(c, destroying_a_ticket_waits_for_its_point);
    tcase_add_test(c, tickets_survive_failing_allocations);
    suite_add_tcase(s, c);
    c = tcase_create("profile");
    tcase_add_checked_fixture(c, setup_profiled, teardown);
    tcase_add_test(c, commands_run_in_order);
    tcase_add_test(c, a_ticket_waits_without_a_blocking_call);
    tcase_add_test(c, a_profile_has_a_row_per_op_and_keeps_few_events);
    suite_add_tcase(s, c);
    /* These make mistakes on purpose, which Oclgrind reports. */
    if (getenv("BM_TEST_OCLGRIND")) return test_run(s);
    c = tcase_create("failures");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_refused_launch_names_the_op);
    tcase_add_test(c, a_failure_found_late_names_the_ops);
    tcase_add_test(c, every_failing_call_is_told_and_nothing_leaks);
    suite_add_tcase(s, c);
    c = tcase_create("failures, profiled");
    tcase_add_checked_fixture(c, setup_profiled, teardown);
    tcase_add_test(c, with_profiling_a_failure_names_its_op);
    tcase_add_test(c, with_profiling_failing_calls_leak_nothing);
    suite_add_tcase(s, c);
    return test_run(s);
}
