#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "tests/lib/test.h"

START_TEST(blocks_are_counted_until_freed)
{
    const bm_mem_stats before = bm_mem_get_stats();
    char *a = bm_alloc(10), *b = bm_calloc(3, 5), *c = bm_strdup("text"), *d = bm_alloc_aligned(4096, 100);
    ck_assert(a && b && c && d);
    ck_assert_int_eq(bm_mem_get_stats().live, before.live + 4);
    ck_assert_int_eq(bm_mem_get_stats().calls, before.calls + 4);
    for (int i = 0; i < 15; i++) ck_assert_int_eq(b[i], 0);
    ck_assert_str_eq(c, "text");
    ck_assert_uint_eq((uintptr_t)d % 4096, 0);
    memset(a, 'a', 10);
    char *larger = bm_realloc(a, 1000, 2);
    ck_assert_ptr_nonnull(larger);
    ck_assert_mem_eq(larger, "aaaaaaaaaa", 10);
    memset(larger, 'b', 2000); /* the address sanitizer looks at its end */
    ck_assert_int_eq(bm_mem_get_stats().live, before.live + 4);
    ck_assert_int_eq(bm_mem_get_stats().calls, before.calls + 5);
    bm_free(larger);
    bm_free(b);
    bm_free(c);
    bm_free_aligned(d);
    bm_free(NULL);
    bm_free_aligned(NULL);
    ck_assert_int_eq(bm_mem_get_stats().live, before.live);
}
END_TEST

/* Also where a block ends within a page, and where it is one whole huge page. */
START_TEST(pages_are_zero_aligned_and_counted)
{
    static const size_t sizes[] = {1, 4096, 5000, (size_t)2 << 20, ((size_t)5 << 20) + 1};
    const bm_mem_stats before = bm_mem_get_stats();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = bm_pages_alloc(sizes[i]);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % ((uintptr_t)2 << 20), 0);
        ck_assert_int_eq(bm_mem_get_stats().live, before.live + 1);
        for (size_t k = 0; k < sizes[i]; k++)
            if (p[k]) ck_abort_msg("byte %d", (int)k);
        memset(p, 1, sizes[i]);
        bm_pages_free(p, sizes[i]);
        ck_assert_int_eq(bm_mem_get_stats().live, before.live);
    }
    bm_pages_free(NULL, 1);
    bm_mem_fail_nth(1, 0);
    ck_assert_ptr_null(bm_pages_alloc(4096));
    bm_mem_fail_nth(0, 0);
    ck_assert_ptr_null(bm_pages_alloc(SIZE_MAX));
    ck_assert_ptr_null(bm_pages_alloc(SIZE_MAX / 2));
    ck_assert_int_eq(bm_last_error()->status, BM_ERR_MEMORY);
    ck_assert_int_eq(bm_mem_get_stats().live, before.live);
}
END_TEST

START_TEST(more_than_the_machine_has_is_told_before)
{
    test_ok(bm_mem_check(0));
    test_ok(bm_mem_check(1 << 20));
    test_fails(bm_mem_check((int64_t)1 << 60), BM_ERR_MEMORY,
               "1099511627776.0 MiB of host memory are needed, the machine has ");
}
END_TEST

START_TEST(nothing_is_a_block_too)
{
    void *blocks[] = {bm_alloc(0), bm_calloc(0, 8), bm_calloc(8, 0), bm_realloc(NULL, 0, 4), bm_alloc_aligned(1, 0)};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        ck_assert_ptr_nonnull(blocks[i]);
        bm_free(blocks[i]);
    }
}
END_TEST

START_TEST(sizes_that_do_not_fit_are_refused)
{
    const int64_t live = bm_mem_get_stats().live;
    void *p = bm_alloc(8);
    /* Products that would wrap to 4 and 8 bytes. */
    ck_assert_ptr_null(bm_calloc(SIZE_MAX / 4 + 2, 4));
    ck_assert_int_eq(bm_last_error()->status, BM_ERR_MEMORY);
    ck_assert_ptr_null(bm_realloc(p, SIZE_MAX / 8 + 2, 8));
    ck_assert_ptr_null(bm_alloc(SIZE_MAX / 2));
    test_text_holds(bm_error_text(BM_ERR_MEMORY), "memory");
    bm_free(p);
    ck_assert_int_eq(bm_mem_get_stats().live, live);
}
END_TEST

START_TEST(the_nth_allocation_fails_and_only_that)
{
    void *p[5];
    bm_mem_fail_nth(3, 0);
    ck_assert_int_eq(bm_mem_failed(), 0);
    for (int i = 0; i < 5; i++) p[i] = bm_alloc(1);
    ck_assert_int_eq(bm_mem_failed(), 1);
    for (int i = 0; i < 5; i++) ck_assert_msg((p[i] == NULL) == (i == 2), "allocation %d", i + 1);
    ck_assert_int_eq(bm_last_error()->status, BM_ERR_MEMORY);
    bm_mem_fail_nth(0, 0);
    ck_assert_int_eq(bm_mem_failed(), 0);
    for (int i = 0; i < 5; i++) bm_free(p[i]);
}
END_TEST

START_TEST(a_sticky_failure_stays_until_turned_off)
{
    bm_mem_fail_nth(2, 1);
    void *p = bm_alloc(1);
    ck_assert_ptr_nonnull(p);
    for (int i = 0; i < 4; i++) ck_assert_ptr_null(bm_calloc(1, 1));
    ck_assert_ptr_null(bm_strdup("x"));
    ck_assert_ptr_null(bm_alloc_aligned(64, 64));
    void *q = bm_realloc(p, 2, 1);
    ck_assert_ptr_null(q); /* and p is still there */
    bm_mem_fail_nth(0, 0);
    q = bm_realloc(p, 2, 1);
    ck_assert_ptr_nonnull(q);
    bm_free(q);
}
END_TEST

static void *churn(void *arg)
{
    for (int i = 0; i < 20000; i++) bm_free(bm_alloc(16));
    return arg;
}

START_TEST(threads_are_counted_together)
{
    const bm_mem_stats before = bm_mem_get_stats();
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    ck_assert_int_eq(bm_mem_get_stats().live, before.live);
    ck_assert_int_eq(bm_mem_get_stats().calls, before.calls + 80000);
}
END_TEST

START_TEST(checked_arithmetic_says_when_it_does_not_fit)
{
    int64_t i = 7;
    size_t z = 7;
    ck_assert_int_eq(bm_mul_i64(&i, INT64_MAX / 2 + 1, 2), 1);
    ck_assert_int_eq(bm_add_i64(&i, INT64_MAX, 1), 1);
    ck_assert_int_eq(bm_add_i64(&i, INT64_MIN, -1), 1);
    ck_assert_int_eq(bm_mul_i64(&i, INT64_MIN, -1), 1);
    ck_assert_int_eq(i, 7);
    ck_assert_int_eq(bm_mul_i64(&i, INT64_MAX / 3, 3), 0);
    ck_assert_int_eq(i, INT64_MAX / 3 * 3);
    ck_assert_int_eq(bm_add_i64(&i, INT64_MAX - 1, 1), 0);
    ck_assert_int_eq(i, INT64_MAX);
    ck_assert_int_eq(bm_mul_size(&z, SIZE_MAX / 2 + 1, 2), 1);
    ck_assert_int_eq(bm_add_size(&z, SIZE_MAX, 1), 1);
    ck_assert_int_eq(bm_i64_to_size(&z, -1), 1);
    ck_assert_uint_eq(z, 7);
    ck_assert_int_eq(bm_mul_size(&z, 1000, 1000), 0);
    ck_assert_uint_eq(z, 1000000);
    ck_assert_int_eq(bm_add_size(&z, SIZE_MAX - 1, 1), 0);
    ck_assert_uint_eq(z, SIZE_MAX);
    ck_assert_int_eq(bm_i64_to_size(&z, INT64_MAX), 0);
    ck_assert_uint_eq(z, INT64_MAX);
    ck_assert_int_eq(bm_ceil_div(0, 8), 0);
    ck_assert_int_eq(bm_ceil_div(8, 8), 1);
    ck_assert_int_eq(bm_ceil_div(9, 8), 2);
    ck_assert_int_eq(bm_ceil_div(INT64_MAX, 2), INT64_MAX / 2 + 1);
    ck_assert_int_eq(bm_round_up(17, 8), 24);
    ck_assert_int_eq(bm_round_up(16, 8), 16);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/mem");
    TCase *t = tcase_create("mem");
    tcase_add_test(t, blocks_are_counted_until_freed);
    tcase_add_test(t, nothing_is_a_block_too);
    tcase_add_test(t, sizes_that_do_not_fit_are_refused);
    tcase_add_test(t, pages_are_zero_aligned_and_counted);
    tcase_add_test(t, more_than_the_machine_has_is_told_before);
    tcase_add_test(t, the_nth_allocation_fails_and_only_that);
    tcase_add_test(t, a_sticky_failure_stays_until_turned_off);
    tcase_add_test(t, threads_are_counted_together);
    tcase_add_test(t, checked_arithmetic_says_when_it_does_not_fit);
    suite_add_tcase(s, t);
    return test_run(s);
}
