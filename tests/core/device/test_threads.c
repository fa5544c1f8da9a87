/* One engine shared by threads: programs, pieces, commands, tickets, attachments. */
/* ctest: threads rusticl */
#include <pthread.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/memory.h"
#include "core/device/program.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

enum { THREADS = 4, ROUNDS = 50, N = 16 };

static const bm_source sources[] = {
    {"count", "__kernel void count(__global uint *x) { x[get_global_id(0)] = x[get_global_id(0)] * 3u + STEP; }"},
};

static bm_engine *engine;
static bm_region *region;

/* Each thread owns one piece, and counts on it; all get the same programs, and one of their own. */
typedef struct worker {
    pthread_t thread;
    int index;
    bm_error error; /* of the first failure */
    cl_program shared;
    cl_mem first; /* the piece that every thread asks for */
    uint32_t seen[N];
} worker;

static bm_status count(worker *w, cl_kernel *k, bm_ticket *t)
{
    const size_t global = N;
    const int64_t bytes = N * sizeof w->seen[0], align = bm_engine_limits(engine)->align_bytes;
    bm_queue *q = bm_engine_queue(engine);
    cl_mem m = NULL;
    char own[32];
    snprintf(own, sizeof own, "-DSTEP=%du", 100 + w->index);
    BM_TRY(bm_program_get(&w->shared, engine, "count", "-DSTEP=1u"));
    BM_TRY(bm_kernel_create(k, engine, "count", own, "count"));
    BM_TRY(bm_region_piece(&w->first, region, 0, 0, align));
    BM_TRY(bm_region_piece(&m, region, 0, (1 + w->index) * align, bytes));
    if (bm_cl.SetKernelArg(*k, 0, sizeof m, &m)) return bm_fail(BM_ERR_DEVICE, "argument");
    for (int r = 0; r < ROUNDS; r++) {
        BM_TRY(bm_queue_launch(q, *k, 1, &global, NULL, "count"));
        BM_TRY(bm_queue_read_ticket(q, m, 0, w->seen, bytes, t));
        BM_TRY(bm_ticket_wait(t));
        if (r % 16 == 0) BM_TRY(bm_queue_finish(q));
        if (!bm_ticket_done(t)) return bm_fail(BM_ERR_DEVICE, "a ticket that was waited for is not done");
    }
    return BM_OK;
}

static void *work(void *arg)
{
    worker *w = arg;
    cl_kernel k = NULL;
    bm_ticket *t = NULL;
    bm_status status = bm_ticket_create(&t);
    if (!status) status = count(w, &k, t);
    if (status) w->error = *bm_last_error();
    bm_ticket_destroy(t);
    if (k) bm_cl.ReleaseKernel(k);
    return NULL;
}

static void run_workers(int profile)
{
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){sources, 1};
    opts.profile = profile;
    engine = test_engine_open_with(&opts);
    int64_t align = bm_engine_limits(engine)->align_bytes;
    test_ok(bm_region_create(&region, engine, "r", (int64_t[]){(1 + THREADS) * align}, 1, 1));

    static worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.index = i};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        const worker *w = &workers[i];
        ck_assert_msg(w->error.status == BM_OK, "thread %d: %s", i, w->error.text);
        ck_assert_ptr_eq(w->shared, workers[0].shared);
        ck_assert_ptr_eq(w->first, workers[0].first);
        uint32_t want = 0;
        for (int r = 0; r < ROUNDS; r++) want = want * 3 + 100 + (uint32_t)i;
        for (int k = 0; k < N; k++) ck_assert_uint_eq(w->seen[k], want);
    }
    ck_assert_int_eq(bm_program_get_stats(engine).built + bm_program_get_stats(engine).loaded, 1 + THREADS);
    if (profile) {
        const bm_profile_row *row = NULL;
        int n = 0;
        test_ok(bm_queue_profile(bm_engine_queue(engine), &row, &n));
        ck_assert_int_eq(n, 2);
        for (int i = 0; i < n; i++) ck_assert_int_eq(row[i].calls, THREADS * ROUNDS);
    }
    bm_region_destroy(region);
    bm_engine_close(engine);
    ck_assert_int_eq(bm_mem_get_stats().live, 0);
    layer_stats s = test_layer()->stats();
    ck_assert_int_eq(s.contexts + s.queues + s.buffers + s.programs + s.kernels + s.events, 0);
}

START_TEST(threads_share_an_engine) { run_workers(0); }
END_TEST

START_TEST(threads_share_a_profiled_engine) { run_workers(1); }
END_TEST

START_TEST(engines_are_apart)
{
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){sources, 1};
    bm_engine *a = test_engine_open_with(&opts), *b = test_engine_open_with(&opts);
    cl_program p = NULL, q = NULL;
    test_ok(bm_program_get(&p, a, "count", "-DSTEP=1u"));
    bm_engine_close(a);
    test_ok(bm_program_get(&q, b, "count", "-DSTEP=1u"));
    bm_engine_close(b);
}
END_TEST

static void *load(void *arg)
{
    bm_device_list *l = NULL;
    *(bm_status *)arg = bm_device_list_create(&l);
    bm_device_list_destroy(l);
    return NULL;
}

START_TEST(threads_load_opencl_at_once)
{
    pthread_t thread[THREADS];
    bm_status status[THREADS];
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, load, &status[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(status[i], BM_OK);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/device/threads");
    TCase *c = tcase_create("threads");
    tcase_add_test(c, threads_share_an_engine);
    tcase_add_test(c, threads_share_a_profiled_engine);
    tcase_add_test(c, engines_are_apart);
    tcase_add_test(c, threads_load_opencl_at_once);
    suite_add_tcase(s, c);
    return test_run(s);
}
