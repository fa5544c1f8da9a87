#define _GNU_SOURCE /* sched_setaffinity */
#include "tools/threads.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/test.h"

static void forget(void)
{
    unsetenv("POCL_MAX_PTHREAD_COUNT");
    unsetenv("POCL_AFFINITY");
    unsetenv("DPCPP_CPU_NUM_CUS");
    unsetenv("LP_NUM_THREADS");
    bm_threads = 0;
}

static const char *said(const char *name)
{
    const char *text = getenv(name);
    return text ? text : "nothing";
}

/* Leaves the process one processor of those that it may use. */
static void take_one(void)
{
    cpu_set_t all, one;
    int i = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    while (!CPU_ISSET(i, &all)) i++;
    CPU_ZERO(&one);
    CPU_SET(i, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

/* A machine whose processors may not all be used says so by numbers, as the tests below ask for it. */
START_TEST(a_machine_for_itself_is_left_to_the_driver_with_threads_held_apart)
{
    if (bm_threads_allowed() < sysconf(_SC_NPROCESSORS_ONLN)) return;
    forget();
    test_ok(bm_threads_tell());
    ck_assert_str_eq(said("POCL_AFFINITY"), "1");
    ck_assert_str_eq(said("POCL_MAX_PTHREAD_COUNT"), "nothing");
}
END_TEST

START_TEST(a_mask_limits_the_threads)
{
    forget();
    const int many = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    take_one();
    ck_assert_int_eq(bm_threads_allowed(), 1);
    test_ok(bm_threads_tell());
    ck_assert_str_eq(said("POCL_MAX_PTHREAD_COUNT"), many ? "1" : "nothing");
    ck_assert_str_eq(said("POCL_AFFINITY"), many ? "nothing" : "1"); /* it knows nothing of masks */
}
END_TEST

START_TEST(a_number_asked_for_goes_to_every_driver)
{
    forget();
    setenv("LP_NUM_THREADS", "9", 1);
    bm_threads = 1000;
    test_ok(bm_threads_tell());
    ck_assert_str_eq(said("POCL_MAX_PTHREAD_COUNT"), "1000");
    ck_assert_str_eq(said("DPCPP_CPU_NUM_CUS"), "1000");
    ck_assert_str_eq(said("LP_NUM_THREADS"), "1000");
    bm_threads = -1;
    test_fails(bm_threads_tell(), BM_ERR_USAGE, "-1 is negative");
}
END_TEST

START_TEST(what_the_user_has_set_stays)
{
    forget();
    setenv("POCL_AFFINITY", "0", 1);
    setenv("POCL_MAX_PTHREAD_COUNT", "7", 1);
    test_ok(bm_threads_tell());
    take_one();
    test_ok(bm_threads_tell());
    ck_assert_str_eq(said("POCL_AFFINITY"), "0");
    ck_assert_str_eq(said("POCL_MAX_PTHREAD_COUNT"), "7");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tools/threads");
    TCase *t = tcase_create("threads");
    tcase_add_test(t, a_machine_for_itself_is_left_to_the_driver_with_threads_held_apart);
    tcase_add_test(t, a_mask_limits_the_threads);
    tcase_add_test(t, a_number_asked_for_goes_to_every_driver);
    tcase_add_test(t, what_the_user_has_set_stays);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
