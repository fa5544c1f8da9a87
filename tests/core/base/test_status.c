#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "tests/lib/test.h"

START_TEST(every_status_has_its_own_name_sentence_and_exit_code)
{
    static const bm_status all[] = {
#define STATUS(name, code, exit_code, sentence) name,
        BM_STATUS_LIST(STATUS)
#undef STATUS
    };
    const size_t n = sizeof all / sizeof all[0];
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(strncmp(bm_status_name(all[i]), "BM_", 3), 0);
        ck_assert(bm_status_sentence(all[i])[0] != '\0');
        for (size_t j = 0; j < i; j++) {
            ck_assert_int_ne(all[i], all[j]);
            ck_assert_str_ne(bm_status_name(all[i]), bm_status_name(all[j]));
        }
    }
    /* The exit codes that scripts rely on. */
    ck_assert_int_eq(bm_status_exit_code(BM_OK), 0);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_DAMAGED), 1);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_USAGE), 2);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_REFUSED), 3);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_NO_SPACE), 4);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_DEVICE_MEMORY), 5);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_NOT_FINITE), 6);
    ck_assert_int_eq(bm_status_exit_code(BM_ERR_STOPPED), 130);
    ck_assert_str_eq(bm_status_name(BM_ERR_IO), "BM_ERR_IO");
    ck_assert_str_eq(bm_status_name((bm_status)-999), "unknown status");
    ck_assert_int_eq(bm_status_exit_code((bm_status)-999), 1);
}
END_TEST

START_TEST(there_is_no_error_at_first)
{
    ck_assert_int_eq(bm_last_error()->status, BM_OK);
    ck_assert_str_eq(bm_last_error()->text, "");
    ck_assert_str_eq(bm_error_text(BM_ERR_IO), bm_status_sentence(BM_ERR_IO));
}
END_TEST

START_TEST(fail_keeps_code_text_and_place)
{
    const int line = __LINE__ + 1;
    ck_assert_int_eq(bm_fail(BM_ERR_IO, "%s: %d", "a.h5", 7), BM_ERR_IO);
    const bm_error *e = bm_last_error();
    ck_assert_int_eq(e->status, BM_ERR_IO);
    ck_assert_str_eq(e->text, "a.h5: 7");
    ck_assert_str_eq(e->file, "tests/core/base/test_status.c");
    ck_assert_int_eq(e->line, line);
    ck_assert_int_eq(e->cl_code, 0);
    ck_assert_int_eq(bm_fail_cl(BM_ERR_DEVICE, -5, "launch"), BM_ERR_DEVICE);
    ck_assert_int_eq(e->cl_code, -5);
    ck_assert_str_eq(bm_error_text(BM_ERR_DEVICE), "launch");
    /* The detail of another status is not shown for this one. */
    ck_assert_str_eq(bm_error_text(BM_ERR_IO), bm_status_sentence(BM_ERR_IO));
}
END_TEST

START_TEST(a_detail_may_quote_the_one_before)
{
    bm_fail(BM_ERR_IO, "disk");
    bm_fail(BM_ERR_DAMAGED, "while looking: %s", bm_last_error()->text);
    ck_assert_str_eq(bm_last_error()->text, "while looking: disk");
}
END_TEST

START_TEST(prefixes_stand_in_the_order_of_the_way_up)
{
    bm_fail_cl(BM_ERR_DEVICE, -4, "out of it");
    ck_assert_int_eq(bm_fail_prefix(BM_ERR_DEVICE, "op %d", 3), BM_ERR_DEVICE);
    bm_fail_prefix(BM_ERR_DEVICE, "step 9");
    ck_assert_str_eq(bm_last_error()->text, "step 9: op 3: out of it");
    ck_assert_int_eq(bm_last_error()->cl_code, -4);
    ck_assert_int_eq(bm_fail_prefix(BM_OK, "nothing"), BM_OK);
    bm_fail_prefix(BM_ERR_DEVICE, "step 9"); /* once is enough */
    ck_assert_str_eq(bm_last_error()->text, "step 9: op 3: out of it");
    bm_error before = *bm_last_error();
    bm_fail_prefix(BM_ERR_IO, "elsewhere"); /* of a status that left no detail: nothing of the other's is taken over */
    test_text_holds(bm_last_error()->text, bm_status_sentence(BM_ERR_IO));
    ck_assert_int_eq(bm_last_error()->cl_code, 0);
    bm_error_restore(&before);
    ck_assert_str_eq(bm_last_error()->text, "step 9: op 3: out of it");
}
END_TEST

START_TEST(long_details_are_cut_visibly)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const size_t room = sizeof bm_last_error()->text;
    bm_fail(BM_ERR_IO, "%s", text);
    ck_assert_uint_eq(strlen(bm_last_error()->text), room - 1);
    ck_assert_str_eq(bm_last_error()->text + room - 5, "x...");
    bm_fail_prefix(BM_ERR_IO, "file");
    ck_assert_int_eq(strncmp(bm_last_error()->text, "file: xxx", 9), 0);
    ck_assert_str_eq(bm_last_error()->text + room - 5, "x...");
    bm_fail_prefix(BM_ERR_IO, "%s", text);
    ck_assert_str_eq(bm_last_error()->text + room - 5, "x...");
    /* One that just fits is whole. */
    text[room - 1] = '\0';
    bm_fail(BM_ERR_IO, "%s", text);
    ck_assert_str_eq(bm_last_error()->text, text);
}
END_TEST

static void *fail_elsewhere(void *arg)
{
    bm_fail(BM_ERR_DEVICE, "in a thread");
    *(bm_error *)arg = *bm_last_error();
    return NULL;
}

START_TEST(errors_belong_to_a_thread_and_travel_by_copy)
{
    bm_error theirs;
    pthread_t thread;
    bm_fail(BM_ERR_IO, "mine");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, &theirs), 0);
    pthread_join(thread, NULL);
    ck_assert_str_eq(bm_last_error()->text, "mine");
    ck_assert_int_eq(bm_error_restore(&theirs), BM_ERR_DEVICE);
    ck_assert_str_eq(bm_error_text(BM_ERR_DEVICE), "in a thread");
}
END_TEST

static int tries;

static bm_status succeed_twice(void)
{
    tries++;
    BM_TRY(tries > 2 ? BM_ERR_IO : BM_OK);
    return BM_OK;
}

static bm_status go_to_done(int *cleaned)
{
    bm_status status = BM_OK;
    BM_GO(BM_OK);
    BM_GO(BM_ERR_CONFIG);
    status = BM_ERR_IO;
done:
    (*cleaned)++;
    return status;
}

START_TEST(try_returns_and_go_cleans_up)
{
    int cleaned = 0;
    ck_assert_int_eq(succeed_twice(), BM_OK);
    ck_assert_int_eq(succeed_twice(), BM_OK);
    ck_assert_int_eq(succeed_twice(), BM_ERR_IO);
    ck_assert_int_eq(go_to_done(&cleaned), BM_ERR_CONFIG);
    ck_assert_int_eq(cleaned, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/status");
    TCase *t = tcase_create("status");
    tcase_add_test(t, every_status_has_its_own_name_sentence_and_exit_code);
    tcase_add_test(t, there_is_no_error_at_first);
    tcase_add_test(t, fail_keeps_code_text_and_place);
    tcase_add_test(t, a_detail_may_quote_the_one_before);
    tcase_add_test(t, prefixes_stand_in_the_order_of_the_way_up);
    tcase_add_test(t, long_details_are_cut_visibly);
    tcase_add_test(t, errors_belong_to_a_thread_and_travel_by_copy);
    tcase_add_test(t, try_returns_and_go_cleans_up);
    suite_add_tcase(s, t);
    return test_run(s);
}
