#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "tests/lib/test.h"

typedef struct heard {
    int lines, inside, overlaps;
    bm_log_level level;
    char last[4000];
} heard;

static void hear(void *user, bm_log_level level, const char *line)
{
    heard *h = user;
    h->overlaps += h->inside;
    h->inside = 1;
    h->lines++;
    h->level = level;
    sched_yield(); /* lets the others in, if they can come */
    snprintf(h->last, sizeof h->last, "%s", line);
    h->inside = 0;
}

START_TEST(without_a_callback_nothing_happens)
{
    bm_log(BM_LOG_ERROR, "nobody hears %d", 1);
    bm_log_once("k", BM_LOG_ERROR, "nobody hears");
}
END_TEST

START_TEST(lines_reach_the_callback_from_the_level_on)
{
    heard h = {0};
    bm_log_set(hear, &h, BM_LOG_WARN);
    bm_log(BM_LOG_INFO, "too low");
    ck_assert_int_eq(h.lines, 0);
    bm_log(BM_LOG_WARN, "disk %s at %.1f", "full", 99.5);
    ck_assert_int_eq(h.lines, 1);
    ck_assert_int_eq(h.level, BM_LOG_WARN);
    ck_assert_str_eq(h.last, "disk full at 99.5");
    bm_log_set(NULL, NULL, BM_LOG_DEBUG);
    bm_log(BM_LOG_ERROR, "nobody");
    ck_assert_int_eq(h.lines, 1);
}
END_TEST

START_TEST(once_is_once_for_each_key_and_listener)
{
    heard h = {0};
    int64_t live = bm_mem_get_stats().live;
    bm_log_once("a", BM_LOG_WARN, "nobody listens: this does not count");
    bm_log_set(hear, &h, BM_LOG_WARN);
    bm_log_once("a", BM_LOG_INFO, "too low: this does not count");
    for (int i = 0; i < 3; i++) bm_log_once("a", BM_LOG_WARN, "line %d", i);
    ck_assert_int_eq(h.lines, 1);
    ck_assert_str_eq(h.last, "line 0");
    bm_log_once("b", BM_LOG_WARN, "other");
    ck_assert_int_eq(h.lines, 2);
    bm_log_set(hear, &h, BM_LOG_WARN);
    bm_log_once("a", BM_LOG_WARN, "again");
    ck_assert_int_eq(h.lines, 3);
    for (int i = 0; i < 2000; i++) { /* more keys than are kept: said again rather than lost */
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        bm_log_once(key, BM_LOG_WARN, "key %s", key);
    }
    ck_assert_int_eq(h.lines, 2003);
    ck_assert_int_eq(bm_mem_get_stats().live, live);
    bm_log_set(NULL, NULL, BM_LOG_WARN);
}
END_TEST

START_TEST(long_lines_are_cut_visibly)
{
    heard h = {0};
    char text[4000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    bm_log_set(hear, &h, BM_LOG_WARN);
    bm_log(BM_LOG_WARN, "%s", text);
    size_t n = strlen(h.last);
    ck_assert_uint_lt(n, sizeof text - 1);
    ck_assert_str_eq(h.last + n - 4, "y...");
    bm_log_set(NULL, NULL, BM_LOG_WARN);
}
END_TEST

enum { THREADS = 4, LINES = 2000 };

static void *talk(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        bm_log(BM_LOG_WARN, "line %d", i);
        bm_log_once("shared", BM_LOG_WARN, "once");
    }
    return arg;
}

START_TEST(calls_from_threads_are_serialised)
{
    heard h = {0};
    pthread_t thread[THREADS];
    bm_log_set(hear, &h, BM_LOG_WARN);
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, talk, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    ck_assert_int_eq(h.overlaps, 0);
    ck_assert_int_eq(h.lines, THREADS * LINES + 1);
    bm_log_set(NULL, NULL, BM_LOG_WARN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/log");
    TCase *t = tcase_create("log");
    tcase_add_test(t, without_a_callback_nothing_happens);
    tcase_add_test(t, lines_reach_the_callback_from_the_level_on);
    tcase_add_test(t, once_is_once_for_each_key_and_listener);
    tcase_add_test(t, long_lines_are_cut_visibly);
    tcase_add_test(t, calls_from_threads_are_serialised);
    suite_add_tcase(s, t);
    return test_run(s);
}
