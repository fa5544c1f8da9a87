#include "models/infer/transcript.h"

#include <string.h>

#include "tests/lib/test.h"

/* Steps by their likeliest class, as digits. */
static void check_greedy(const char *steps, const char *want)
{
    enum { C = 5 };
    float x[16 * C] = {0};
    int32_t got[16];
    const int64_t n = (int64_t)strlen(steps);
    for (int64_t t = 0; t < n; t++)
        for (int k = 0; k < C; k++) x[t * C + k] = (k == steps[t] - '0') ? 2.5f : -1.0f - (float)k;
    ck_assert_int_eq(bm_ctc_greedy(got, x, n, C), (int64_t)strlen(want));
    for (size_t i = 0; i < strlen(want); i++) ck_assert_int_eq(got[i], want[i] - '0');
}

START_TEST(repeats_are_one_and_blanks_are_left_out)
{
    check_greedy("", "");
    check_greedy("000", "");
    check_greedy("3", "3");
    check_greedy("1122", "12");
    check_greedy("10120", "112");
    check_greedy("0440442", "442");
}
END_TEST

/* Cases counted by hand; two sequences of the literature. */
START_TEST(edits_are_counted)
{
    static const struct {
        const char *a, *b;
        int64_t edits;
    } cases[] = {{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "xabc", 1},
                 {"xabc", "abc", 1}, {"kitten", "sitting", 3}, {"intention", "execution", 5}, {"ab", "ba", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t a[16], b[16];
        int64_t edits = -1;
        for (size_t k = 0; cases[i].a[k]; k++) a[k] = cases[i].a[k];
        for (size_t k = 0; cases[i].b[k]; k++) b[k] = cases[i].b[k];
        test_ok(bm_edit_distance(&edits, a, (int64_t)strlen(cases[i].a), b, (int64_t)strlen(cases[i].b)));
        ck_assert_int_eq(edits, cases[i].edits);
    }
}
END_TEST

static bm_status distance(void *arg)
{
    const int32_t a[] = {1, 2}, b[] = {2, 3, 4};
    return bm_edit_distance(arg, a, 2, b, 3);
}

START_TEST(a_failed_allocation_leaks_nothing)
{
    int64_t edits = 0;
    test_fail_allocations(distance, &edits);
    ck_assert_int_eq(edits, 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/infer/transcript");
    TCase *t = tcase_create("transcript");
    tcase_add_test(t, repeats_are_one_and_blanks_are_left_out);
    tcase_add_test(t, edits_are_counted);
    tcase_add_test(t, a_failed_allocation_leaks_nothing);
    suite_add_tcase(s, t);
    return test_run(s);
}
