/* ctest: rusticl */
/* ctest: oclgrind */
#include <stdlib.h>
#include <string.h>

#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static bm_status open_and_close(void *arg)
{
    bm_engine *e = NULL;
    bm_status status = test_engine_try(&e, arg);
    ck_assert((status == BM_OK) == (e != NULL));
    bm_engine_close(e);
    return status;
}

START_TEST(open_survives_failing_allocations)
{
    bm_engine_opts opts = test_engine_opts();
    test_fail_allocations(open_and_close, &opts);
    opts.profile = 1;
    test_fail_allocations(open_and_close, &opts);
}
END_TEST

START_TEST(open_survives_failing_calls)
{
    bm_engine_opts opts = test_engine_opts();
    test_fail_calls(open_and_close, &opts, CL_OUT_OF_RESOURCES);
}
END_TEST

START_TEST(close_accepts_null) { bm_engine_close(NULL); }
END_TEST

START_TEST(a_queue_is_made_with_profiling_only_when_asked)
{
    bm_engine_opts opts = test_engine_opts();
    for (opts.profile = 0; opts.profile < 2; opts.profile++) {
        bm_engine *e = test_engine_open_with(&opts);
        const bm_profile_row *rows = NULL;
        int n = -1;
        bm_status s = bm_queue_profile(bm_engine_queue(e), &rows, &n);
        ck_assert_int_eq(s, opts.profile ? BM_OK : BM_ERR_USAGE);
        ck_assert_int_eq(n, 0);
        bm_engine_close(e);
    }
}
END_TEST

START_TEST(options_decide_the_form_and_the_largest_buffer)
{
    bm_engine_opts opts = bm_engine_opts_default();
    bm_engine *e = test_engine_open_with(&opts);
    ck_assert_int_eq(bm_engine_form(e), bm_limits_form(bm_engine_limits(e)));
    ck_assert_ptr_null(bm_engine_cache_dir(e));
    int64_t device_most = bm_engine_limits(e)->max_alloc_bytes;
    bm_engine_close(e);

    opts.form = BM_FORM_PLAIN;
    opts.max_alloc_bytes = 1 << 20;
    char folder[] = "some/folder";
    opts.cache_dir = folder;
    e = test_engine_open_with(&opts);
    folder[0] = 'X'; /* it was copied */
    ck_assert_int_eq(bm_engine_form(e), BM_FORM_PLAIN);
    ck_assert_int_eq(bm_engine_limits(e)->max_alloc_bytes, 1 << 20);
    ck_assert_str_eq(bm_engine_cache_dir(e), "some/folder");
    bm_engine_close(e);

    opts.form = BM_FORM_CPU;
    opts.max_alloc_bytes = INT64_MAX; /* lowers, never raises */
    e = test_engine_open_with(&opts);
    ck_assert_int_eq(bm_engine_form(e), BM_FORM_CPU);
    ck_assert_int_eq(bm_engine_limits(e)->max_alloc_bytes, device_most);
    bm_engine_close(e);
}
END_TEST

START_TEST(the_key_names_the_device_alike_each_time)
{
    bm_engine *a = test_engine_open(), *b = test_engine_open();
    ck_assert_int_eq(strlen(bm_engine_key(a)), 32);
    ck_assert_int_eq(strspn(bm_engine_key(a), "0123456789abcdef"), 32);
    ck_assert_str_eq(bm_engine_key(a), bm_engine_key(b));
    ck_assert_str_ne(bm_engine_device_name(a), "");
    ck_assert_str_ne(bm_engine_driver(a), "");
    ck_assert_str_ne(bm_engine_platform_name(a), "");
    bm_engine_close(a);
    bm_engine_close(b);
}
END_TEST

static char order[8];

static void note_gone(void *object) { strcat(order, object); }

START_TEST(attachments_go_with_the_engine_last_first)
{
    static const int one, two, three;
    char a[] = "a", b[] = "b";
    bm_engine *e = test_engine_open();
    ck_assert_ptr_null(bm_engine_attached(e, &one));
    test_ok(bm_engine_attach(e, &one, a, note_gone));
    test_ok(bm_engine_attach(e, &two, b, note_gone));
    test_ok(bm_engine_attach(e, &three, NULL, NULL));
    ck_assert_ptr_eq(bm_engine_attached(e, &one), a);
    ck_assert_ptr_eq(bm_engine_attached(e, &two), b);
    test_fails(bm_engine_attach(e, &one, b, note_gone), BM_ERR_USAGE, "already");
    ck_assert_ptr_eq(bm_engine_attached(e, &one), a);
    bm_engine_close(e);
    ck_assert_str_eq(order, "ba");
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/device/engine");
    TCase *c = tcase_create("engine");
    tcase_add_test(c, open_survives_failing_allocations);
    tcase_add_test(c, open_survives_failing_calls);
    tcase_add_test(c, close_accepts_null);
    tcase_add_test(c, a_queue_is_made_with_profiling_only_when_asked);
    tcase_add_test(c, options_decide_the_form_and_the_largest_buffer);
    tcase_add_test(c, the_key_names_the_device_alike_each_time);
    tcase_add_test(c, attachments_go_with_the_engine_last_first);
    suite_add_tcase(s, c);
    return test_run(s);
}
