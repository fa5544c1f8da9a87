/* The loss over a part of a data set, against the nats of every token by the full forward pass, summed in double. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "models/train/evaluate.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/small_gpt.h"
#include "tests/lib/test.h"

enum { WINDOW = 12, TOKENS = 200, TRAIN = 100 }; /* windows with their targets: 8 of each part */

static small_gpt s;
static bm_data *data;

static void open_all(void)
{
    small_gpt_open(&s);
    data = small_gpt_data(test_path("evaluate.h5"), TOKENS, 0.5);
}
static void close_all(void)
{
    bm_data_close(data);
    small_gpt_close(&s);
}

static bm_evaluator *evaluator(const bm_evaluator_opts *o)
{
    bm_evaluator *v = NULL;
    test_ok(bm_evaluator_create(&v, s.engine, s.model, s.config, s.params, data, o));
    return v;
}

/* The mean over the first `windows` windows from token `start` on. */
static double mean_nats(int64_t start, int64_t windows)
{
    int32_t all[TOKENS];
    double sum = 0;
    small_gpt_ids(all, TOKENS, 1);
    for (int64_t i = 0; i < windows; i++) {
        float logits[WINDOW * SMALL_VOCAB];
        const int32_t *ids = all + start + i * WINDOW;
        small_gpt_forward(&s, logits, NULL, ids, WINDOW);
        for (int64_t t = 0; t < WINDOW; t++) sum += small_gpt_nats(logits + t * SMALL_VOCAB, ids[t + 1]);
    }
    return sum / (double)(windows * WINDOW);
}

static void check(bm_evaluator *v, int64_t start, int64_t windows)
{
    bm_evaluation e = {.loss = NAN};
    const double want = mean_nats(start, windows);
    double first = 0;
    ck_assert_int_eq(bm_evaluator_samples(v), windows);
    for (int run = 0; run < 2; run++) { /* it begins anew each time */
        test_ok(bm_evaluator_run(v, &e, NULL, NULL));
        ck_assert_int_eq(e.tokens, windows * WINDOW);
        ck_assert_msg(fabs(e.loss - want) <= 1e-5 * want, "the loss is %.9g, not %.9g", e.loss, want);
        if (!run) first = e.loss;
        ck_assert_msg(e.loss == first, "%.17g, then %.17g", first,
                      e.loss); /* bit for bit: the windows in the same order */
    }
}

/* Batches of 1, of 3 whose last has 2, of all, and larger than there are windows. */
START_TEST(the_mean_is_that_of_all_tokens_whatever_the_batch)
{
    static const int64_t batches[] = {1, 3, 8, 11};
    for (int val = 0; val < 2; val++) {
        bm_evaluator_opts o = {.batch = batches[_i], .window = WINDOW, .split = val ? "val" : "train"};
        bm_evaluator *v = evaluator(&o);
        check(v, val ? TRAIN : 0, 8);
        bm_evaluator_destroy(v);
    }
    ck_assert(fabs(mean_nats(0, 8) - mean_nats(TRAIN, 8)) > 1e-3); /* the parts can be told apart */
}
END_TEST

/* Rounded up to whole windows, and no more than there are. */
START_TEST(a_number_of_tokens_limits_it)
{
    static const int64_t tokens[][2] = {{1, 1}, {12, 1}, {13, 2}, {48, 4}, {90, 8}, {100000, 8}};
    for (int i = 0; i < 6; i++) {
        bm_evaluator *v =
            evaluator(&(bm_evaluator_opts){.batch = 3, .window = WINDOW, .split = "val", .tokens = tokens[i][0]});
        check(v, TRAIN, tokens[i][1]);
        bm_evaluator_destroy(v);
    }
}
END_TEST

START_TEST(it_may_use_the_memory_of_another_plan)
{
    int64_t live = bm_engine_live_bytes(s.engine);
    bm_evaluator_opts o = {
        .batch = 2, .window = WINDOW, .split = "val", .gemm = "tiled", .share_temps = s.forward.plan};
    bm_evaluator *v = evaluator(&o);
    const int64_t taken = bm_engine_live_bytes(s.engine) - live;
    check(v, TRAIN, 8);
    bm_evaluator_destroy(v);
    o.share_temps = NULL;
    live = bm_engine_live_bytes(s.engine);
    v = evaluator(&o);
    ck_assert_int_lt(taken, bm_engine_live_bytes(s.engine) - live);
    bm_evaluator_destroy(v);
}
END_TEST

/* Its memory, not a copy: what becomes of the averages later shows. */
START_TEST(averages_stand_for_the_weights)
{
    bm_params *p = NULL;
    int64_t bytes = 0;
    test_ok(bm_params_create(&p, s.engine, s.forward.nn, s.forward.graph, &(bm_params_opts){.average = 1}));
    test_ok(bm_params_init(p, 3));
    const bm_evaluator_opts o = {.batch = 3, .window = WINDOW, .split = "val"};
    bm_evaluator *v = NULL;
    test_ok(bm_evaluator_create(&v, s.engine, s.model, s.config, p, data, &o));
    for (int i = 0; i < bm_layout_count(bm_params_layout(p)); i++) {
        const bm_tensor *t = bm_layout_at(bm_params_layout(p), i);
        void *w = bm_alloc((size_t)t->bytes);
        test_ok(bm_bank_read(bm_params_bank(s.params, BM_PLACE_WEIGHT), bm_layout_find(bm_params_layout(s.params), t->name), 0, w, t->bytes));
        test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_AVERAGE), t, 0, w, t->bytes));
        bytes += t->bytes;
        bm_free(w);
    }
    ck_assert_int_gt(bytes, 0);
    check(v, TRAIN, 8);
    bm_evaluator_destroy(v);
    bm_params_destroy(p);
}
END_TEST

typedef struct watch {
    int64_t calls, stop_at;
} watch;

static bm_status progress(void *user, int64_t done, int64_t all)
{
    watch *w = user;
    ck_assert_int_eq(all, 8);
    ck_assert_int_eq(done, 3 * w->calls);
    w->calls++;
    return done == w->stop_at ? bm_fail(BM_ERR_STOPPED, "stopped by the test") : BM_OK;
}

START_TEST(progress_is_told_and_may_end_it)
{
    bm_evaluator *v = evaluator(&(bm_evaluator_opts){.batch = 3, .window = WINDOW, .split = "val"});
    bm_evaluation e;
    watch w = {.stop_at = -1};
    test_ok(bm_evaluator_run(v, &e, progress, &w));
    ck_assert_int_eq(w.calls, 3);
    w = (watch){.stop_at = 3};
    test_fails(bm_evaluator_run(v, &e, progress, &w), BM_ERR_STOPPED, "stopped by the test");
    ck_assert_int_eq(w.calls, 2);
    check(v, TRAIN, 8);
    bm_evaluator_destroy(v);
}
END_TEST

START_TEST(a_run_allocates_nothing)
{
    bm_evaluator *v = evaluator(&(bm_evaluator_opts){.batch = 3, .window = WINDOW, .split = "val", .gemm = "tiled"});
    bm_evaluation e;
    test_ok(bm_evaluator_run(v, &e, NULL, NULL));
    const int64_t calls = bm_mem_get_stats().calls;
    test_ok(bm_evaluator_run(v, &e, NULL, NULL));
    ck_assert_int_eq(bm_mem_get_stats().calls, calls);
    bm_evaluator_destroy(v);
}
END_TEST

static bm_status make(void *arg)
{
    bm_evaluator *v = NULL;
    bm_evaluation e;
    (void)arg;
    bm_evaluator_opts o = {.batch = 3, .window = WINDOW, .split = "val", .gemm = "tiled"};
    bm_status status = bm_evaluator_create(&v, s.engine, s.model, s.config, s.params, data, &o);
    ck_assert(!status == (v != NULL));
    if (!status) status = bm_evaluator_run(v, &e, NULL, NULL);
    bm_evaluator_destroy(v);
    return status;
}

START_TEST(every_failing_allocation_is_told)
{
    test_ok(make(NULL));
    test_fail_allocations(make, NULL);
}
END_TEST

START_TEST(every_failing_opencl_call_is_told)
{
    test_ok(make(NULL));
    test_fail_calls(make, NULL, CL_OUT_OF_RESOURCES);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *suite = suite_create("models/train/evaluate");
    TCase *t = tcase_create("evaluate");
    test_share_engine(t);
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_loop_test(t, the_mean_is_that_of_all_tokens_whatever_the_batch, 0, 4);
    tcase_add_test(t, a_number_of_tokens_limits_it);
    tcase_add_test(t, it_may_use_the_memory_of_another_plan);
    tcase_add_test(t, averages_stand_for_the_weights);
    tcase_add_test(t, progress_is_told_and_may_end_it);
    tcase_add_test(t, a_run_allocates_nothing);
    tcase_add_test(t, every_failing_allocation_is_told);
    tcase_add_test(t, every_failing_opencl_call_is_told);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
