/* What every test program shares: running a suite, scratch files, and constructors under failing allocations. */
#ifndef BM_TESTS_LIB_TEST_H
#define BM_TESTS_LIB_TEST_H

#include <check.h>
#include <stddef.h>

#include "core/base/status.h"

/* Runs the suite and frees it; the exit code of the program. A suite without a test fails. */
int test_run(Suite *suite);

/* This test's own folder for files (its working directory under ctest), and a path in it (static buffer, 4 at a time).
 */
const char *test_folder(void);
const char *test_path(const char *name);

/* A file of the source tree, such as "tests/data/x.h5" (static buffer, 4 at a time). */
const char *test_source(const char *name);

/* Calls fn(arg) with the 1st, 2nd, ... allocation failing, until it succeeds with none failed. Each failure must be
 * BM_ERR_MEMORY and leave as many live blocks as before; fn frees what it made when it succeeds. */
void test_fail_allocations(bm_status (*fn)(void *arg), void *arg);

/* An assertion for inner loops: ck_assert() writes to a file each time it holds, this only when it does not. */
#define test_that(condition, ...)                                                                                      \
    do {                                                                                                               \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                                                   \
    } while (0)

/* Sets a locale whose decimal mark is a comma: the one that the build made, or one of this machine; 0 when there is none. */
int test_set_comma_locale(void);

/* Asserts that `expr` is BM_OK, printing its error otherwise. */
#define test_ok(expr)                                                                                                  \
    do {                                                                                                               \
        bm_status test_s_ = (expr);                                                                                    \
        ck_assert_msg(test_s_ == BM_OK, "%s: %s: %s", #expr, bm_status_name(test_s_), bm_error_text(test_s_));         \
    } while (0)

/* Asserts that `expr` fails with `code` and that the error's text holds `words`. */
#define test_fails(expr, code, words)                                                                                  \
    do {                                                                                                               \
        bm_status test_s_ = (expr);                                                                                    \
        ck_assert_msg(test_s_ == (code), "%s: %s, not %s", #expr, bm_status_name(test_s_), #code);                     \
        test_text_holds(bm_error_text(test_s_), (words));                                                              \
    } while (0)
/* From now on warnings are counted in test_times_said, their lines joined in test_said; both begin at nothing. */
void test_listen(void);
extern char test_said[4000];
extern int test_times_said;

/* Asserts that the text holds the words. */
void test_text_holds(const char *text, const char *words);

#endif
