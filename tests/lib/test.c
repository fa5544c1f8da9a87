#include "tests/lib/test.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"

int test_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int run = srunner_ntests_run(runner);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return run > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

const char *test_folder(void)
{
    const char *folder = getenv("BM_TEST_FOLDER");
    return folder ? folder : ".";
}

static const char *join(const char *folder, const char *name)
{
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % 4];
    int n = snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    ck_assert(n > 0 && (size_t)n < sizeof paths[0]);
    return path;
}

const char *test_path(const char *name) { return join(test_folder(), name); }

const char *test_source(const char *name)
{
    const char *folder = getenv("BM_TEST_SOURCE");
    ck_assert_msg(folder != NULL, "BM_TEST_SOURCE is not set: run the tests with ctest");
    return join(folder, name);
}

int test_set_comma_locale(void)
{
    const char *made = getenv("BM_TEST_LOCALE");
    if (made) setenv("LOCPATH", made, 1);
    int set = setlocale(LC_ALL, "de_DE.UTF-8") && localeconv()->decimal_point[0] == ',';
    ck_assert_msg(set || !made, "the locale in %s cannot be set", made);
    return set;
}

char test_said[4000];
int test_times_said;

static void hear(void *user, bm_log_level level, const char *line)
{
    (void)user;
    (void)level;
    test_times_said++;
    strncat(test_said, line, sizeof test_said - strlen(test_said) - 2);
}

void test_listen(void)
{
    test_said[0] = '\0';
    test_times_said = 0;
    bm_log_set(hear, NULL, BM_LOG_WARN);
}

void test_text_holds(const char *text, const char *words)
{
    ck_assert_msg(strstr(text, words) != NULL, "\"%s\" does not hold \"%s\"", text, words);
}

void test_fail_allocations(bm_status (*fn)(void *arg), void *arg)
{
    const int64_t live = bm_mem_get_stats().live;
    for (int64_t n = 1;; n++) {
        bm_mem_fail_nth(n, 0);
        bm_status s = fn(arg);
        int failed = bm_mem_failed();
        bm_mem_fail_nth(0, 0);
        ck_assert_msg(bm_mem_get_stats().live == live, "allocation %lld failed: %lld blocks leaked", (long long)n,
                      (long long)(bm_mem_get_stats().live - live));
        if (!failed) {
            test_ok(s);
            ck_assert_msg(n > 1, "nothing was allocated");
            return;
        }
        ck_assert_msg(s == BM_ERR_MEMORY, "allocation %lld failed: status %s", (long long)n, bm_status_name(s));
    }
}
