#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/test.h"

START_TEST(strings_grow_and_hold_any_byte)
{
    bm_str s;
    bm_str_init(&s);
    ck_assert_str_eq(bm_str_text(&s), "");
    bm_str_add(&s, "a");
    bm_str_addf(&s, "%d-%s", 42, "b");
    bm_str_add_bytes(&s, "\0x", 2);
    ck_assert_uint_eq(s.length, 7);
    ck_assert_mem_eq(s.text, "a42-b\0x", 8);
    for (int i = 0; i < 10000; i++) bm_str_add(&s, "0123456789");
    ck_assert_uint_eq(s.length, 100007);
    ck_assert_str_eq(s.text + 100007 - 11, "90123456789");
    bm_str_addf(&s, "%2000d", 7);
    ck_assert_uint_eq(s.length, 102007);
    bm_str_clear(&s);
    ck_assert_str_eq(bm_str_text(&s), "");
    ck_assert_uint_eq(s.length, 0);
    test_ok(bm_str_status(&s));
    bm_str_finish(&s);
    ck_assert_ptr_null(s.text);
}
END_TEST

START_TEST(taking_leaves_an_empty_string)
{
    bm_str s;
    bm_str_init(&s);
    char *empty = bm_str_take(&s);
    ck_assert_str_eq(empty, "");
    bm_free(empty);
    bm_str_add(&s, "mine");
    char *text = bm_str_take(&s);
    ck_assert_str_eq(text, "mine");
    ck_assert_str_eq(bm_str_text(&s), "");
    bm_str_add(&s, "other");
    ck_assert_str_eq(text, "mine");
    bm_free(text);
    bm_str_finish(&s);
}
END_TEST

static bm_status build(void *arg)
{
    (void)arg;
    bm_str s;
    bm_str_init(&s);
    for (int i = 0; i < 100; i++) bm_str_addf(&s, "line %d\n", i);
    bm_status status = bm_str_status(&s);
    char *text = bm_str_take(&s);
    ck_assert_int_eq(text == NULL, status != BM_OK);
    if (text) ck_assert_str_eq(text + strlen(text) - 8, "line 99\n");
    bm_free(text);
    bm_str_finish(&s);
    return status;
}

START_TEST(a_failed_allocation_sticks)
{
    test_fail_allocations(build, NULL);
}
END_TEST

START_TEST(nearest_word)
{
    static const char *const names[] = {"layers", "heads", "width", "context", "dropout", "lr"};
    const size_t n = sizeof names / sizeof names[0];
    static const struct {
        const char *word, *nearest;
    } known[] = {
        {"layer", "layers"},    {"layesr", "layers"}, {"haeds", "heads"}, {"wdith", "width"}, {"contxet", "context"},
        {"dorpuot", "dropout"}, {"batch", NULL},      {"rl", "lr"},       {"x", NULL},        {"lr", "lr"},
        {"xxntext", "context"}, {"xxxtext", NULL},    {"", NULL},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *found = bm_nearest(known[i].word, names, n);
        ck_assert_msg(found == known[i].nearest || (found && known[i].nearest && strcmp(found, known[i].nearest) == 0),
                      "%s: %s", known[i].word, found ? found : "none");
    }
    char word[200];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    ck_assert_ptr_null(bm_nearest(word, names, n));
    ck_assert_ptr_null(bm_nearest("lr", NULL, 0));
}
END_TEST

START_TEST(whole_numbers)
{
    int64_t x = 5;
    static const char *const bad[] = {"",  " 1", "1 ",  "x",  "1x", "0x10", "1.0", "9223372036854775808",
                                      "-", "+",  "--1", "1e3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(bm_parse_i64(&x, bad[i]) != 0, "\"%s\"", bad[i]);
    ck_assert_int_eq(x, 5);
    ck_assert_int_eq(bm_parse_i64(&x, "-9223372036854775808"), 0);
    ck_assert(x == INT64_MIN);
    ck_assert_int_eq(bm_parse_i64(&x, "9223372036854775807"), 0);
    ck_assert(x == INT64_MAX);
    ck_assert_int_eq(bm_parse_i64(&x, "+007"), 0);
    ck_assert_int_eq(x, 7);
}
END_TEST

START_TEST(real_numbers)
{
    double x = 5;
    static const char *const bad[] = {"", " 1", "1 ", "x", "1,5", "1.5x", "1e999", "."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(bm_parse_f64(&x, bad[i]) != 0, "\"%s\"", bad[i]);
    ck_assert(x == 5);
    ck_assert_int_eq(bm_parse_f64(&x, "3e-4"), 0);
    ck_assert(x == 3e-4);
    ck_assert_int_eq(bm_parse_f64(&x, "-.5"), 0);
    ck_assert(x == -0.5);
    ck_assert_int_eq(bm_parse_f64(&x, "inf"), 0);
    ck_assert(isinf(x));
    ck_assert_int_eq(bm_parse_f64(&x, "1e-400"), 0);
    ck_assert(x == 0);
    char buf[64];
    ck_assert_str_eq(bm_format_f64(buf, sizeof buf, 0.1, 9), "0.1");
    ck_assert_str_eq(bm_format_f64(buf, sizeof buf, 1234567.0, 3), "1.23e+06");
    ck_assert_str_eq(bm_format_f64(buf, sizeof buf, 0.1, 17), "0.10000000000000001");
    ck_assert_str_eq(bm_format_f64(buf, 4, 1.2345, 9), "1.2");
}
END_TEST

START_TEST(numbers_have_a_point_whatever_the_locale)
{
    if (!test_set_comma_locale()) printf("no locale with a decimal comma here: only the C locale was tried\n");
    double x;
    char buf[32], theirs_before[32], theirs_after[32];
    snprintf(theirs_before, sizeof theirs_before, "%g", 1.5);
    ck_assert_int_eq(bm_parse_f64(&x, "2.5"), 0);
    ck_assert(x == 2.5);
    ck_assert_str_eq(bm_format_f64(buf, sizeof buf, 1.5, 9), "1.5");
    bm_str s;
    bm_str_init(&s);
    bm_str_addf(&s, "%.1f", 0.5);
    ck_assert_str_eq(bm_str_text(&s), "0.5");
    bm_str_finish(&s);
    bm_fail(BM_ERR_IO, "%g", 0.25);
    ck_assert_str_eq(bm_last_error()->text, "0.25");
    snprintf(theirs_after, sizeof theirs_after, "%g", 1.5); /* and the program's own is left as it was */
    ck_assert_str_eq(theirs_before, theirs_after);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/str");
    TCase *t = tcase_create("str");
    tcase_add_test(t, strings_grow_and_hold_any_byte);
    tcase_add_test(t, taking_leaves_an_empty_string);
    tcase_add_test(t, a_failed_allocation_sticks);
    tcase_add_test(t, nearest_word);
    tcase_add_test(t, whole_numbers);
    tcase_add_test(t, real_numbers);
    tcase_add_test(t, numbers_have_a_point_whatever_the_locale);
    suite_add_tcase(s, t);
    return test_run(s);
}
