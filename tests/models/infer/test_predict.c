/* What predict writes, against the full forward pass over each sample. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "io/store/store.h"
#include "models/infer/predict.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/small_gpt.h"
#include "tests/lib/test.h"

enum { WINDOW = 12, SAMPLES = 7, TOKENS = SAMPLES * WINDOW + 5 }; /* and 5 that fill no sample */

static small_gpt s;
static bm_data *data;

static void open_all(void)
{
    small_gpt_open(&s);
    data = small_gpt_data(test_path("predict.h5"), TOKENS, 0.3); /* predict takes all of it, in file order */
}
static void close_all(void)
{
    bm_data_close(data);
    small_gpt_close(&s);
}

static bm_status predict(const char *out, const bm_predict_opts *o)
{
    return bm_predict(s.engine, s.model, s.config, s.params, data, out, o);
}

static float *load(const bm_store *f, const char *path, int64_t width)
{
    const bm_entry *e = NULL;
    void *p = NULL;
    bm_shape shape = BM_SHAPE(SAMPLES, WINDOW, width);
    test_ok(bm_store_require(&e, f, path, BM_F32, &shape));
    test_ok(bm_store_load(&p, f, e, 1 << 24));
    float *x = malloc((size_t)e->bytes);
    memcpy(x, p, (size_t)e->bytes);
    bm_free(p);
    return x;
}

/* Batches of 1, of 3 with a last one of 1, and larger than there are samples. */
START_TEST(every_sample_has_its_forward_pass)
{
    static const int64_t batches[] = {1, 3, 16};
    const char *out = test_path("predict-out.h5");
    bm_store *f = NULL;
    uint64_t window = 0;
    test_ok(predict(
        out, &(bm_predict_opts){.batch = batches[_i], .window = WINDOW, .outputs = 1, .hidden = 1, .replace = 1}));
    test_ok(bm_store_open(&f, out));
    test_ok(bm_store_attr_u64(&window, f, "/outputs", "window"));
    ck_assert_uint_eq(window, WINDOW);
    ck_assert_int_eq(bm_store_get_kind(f), BM_STORE_DATASET);
    float *logits = load(f, "/outputs/logits", SMALL_VOCAB), *hidden = load(f, "/outputs/hidden", SMALL_WIDTH);
    for (int i = 0; i < SAMPLES; i++) {
        int32_t all[TOKENS];
        float want[WINDOW * SMALL_VOCAB], want_hidden[WINDOW * SMALL_WIDTH];
        small_gpt_ids(all, TOKENS, 1);
        small_gpt_forward(&s, want, want_hidden, all + i * WINDOW, WINDOW);
        small_gpt_near("logits", logits + (int64_t)i * WINDOW * SMALL_VOCAB, want, WINDOW * SMALL_VOCAB);
        small_gpt_near("hidden", hidden + (int64_t)i * WINDOW * SMALL_WIDTH, want_hidden, WINDOW * SMALL_WIDTH);
    }
    free(logits);
    free(hidden);
    bm_store_close(f);
}
END_TEST

START_TEST(only_what_is_asked_for_is_written)
{
    for (int hidden = 0; hidden < 2; hidden++) {
        const char *out = test_path("predict-one.h5");
        bm_store *f = NULL;
        test_ok(predict(
            out, &(bm_predict_opts){.batch = 4, .window = WINDOW, .outputs = !hidden, .hidden = hidden, .replace = 1}));
        test_ok(bm_store_open(&f, out));
        ck_assert_int_eq(bm_store_find(f, "/outputs/logits") != NULL, !hidden);
        ck_assert_int_eq(bm_store_find(f, "/outputs/hidden") != NULL, hidden);
        bm_store_close(f);
    }
}
END_TEST

typedef struct watch {
    int64_t calls, last, stop_at;
} watch;

static bm_status progress(void *user, int64_t done, int64_t all)
{
    watch *w = user;
    ck_assert_int_eq(all, SAMPLES);
    ck_assert_int_eq(done, 3 * w->calls);
    w->calls++;
    return done == w->stop_at ? bm_fail(BM_ERR_STOPPED, "stopped by the test") : BM_OK;
}

/* A stop leaves no file, and one that was there stays as it was. */
START_TEST(progress_is_told_and_may_end_it)
{
    const char *out = test_path("predict-stopped.h5");
    watch w = {.stop_at = -1};
    bm_predict_opts o = {.batch = 3, .window = WINDOW, .outputs = 1, .progress = progress, .user = &w};
    unlink(out);
    w.stop_at = 3;
    test_fails(predict(out, &o), BM_ERR_STOPPED, "stopped by the test");
    ck_assert_int_eq(w.calls, 2);
    ck_assert_int_ne(access(out, F_OK), 0);
    w = (watch){.stop_at = -1};
    test_ok(predict(out, &o));
    ck_assert_int_eq(w.calls, 3);
    w = (watch){.stop_at = -1};
    test_fails(predict(out, &o), BM_ERR_EXISTS, "predict-stopped.h5");
    bm_store *f = NULL;
    test_ok(bm_store_open(&f, out));
    bm_store_close(f);
}
END_TEST

START_TEST(a_window_longer_than_the_data_is_refused)
{
    bm_predict_opts o = {.batch = 1, .window = TOKENS + 1, .outputs = 1};
    test_fails(predict(test_path("predict-none.h5"), &o), BM_ERR_CONFIG, "predict.h5 has 89 tokens, a sample has 90");
    ck_assert_int_ne(access(test_path("predict-none.h5"), F_OK), 0);
}
END_TEST

static bm_status make(void *arg)
{
    (void)arg;
    return predict(
        test_path("predict-alloc.h5"),
        &(bm_predict_opts){.batch = 3, .window = WINDOW, .outputs = 1, .hidden = 1, .gemm = "tiled", .replace = 1});
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
    Suite *suite = suite_create("models/infer/predict");
    TCase *t = tcase_create("predict");
    test_share_engine(t);
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_loop_test(t, every_sample_has_its_forward_pass, 0, 3);
    tcase_add_test(t, only_what_is_asked_for_is_written);
    tcase_add_test(t, progress_is_told_and_may_end_it);
    tcase_add_test(t, a_window_longer_than_the_data_is_refused);
    tcase_add_test(t, every_failing_allocation_is_told);
    tcase_add_test(t, every_failing_opencl_call_is_told);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
