#include <string.h>

#include "io/text/utf8.h"
#include "tests/lib/test.h"

/* RFC 3629, section 4, and the sequences it forbids. */
static const struct { const char *text; size_t n; int length; } cases[] = {
    {"\0", 1, 1}, {"a", 1, 1}, {"\x7f", 1, 1}, {"\xc2\x80", 2, 2}, {"\xdf\xbf", 2, 2}, {"\xe0\xa0\x80", 3, 3},
    {"\xed\x9f\xbf", 3, 3}, {"\xee\x80\x80", 3, 3}, {"\xef\xbf\xbf", 3, 3}, {"\xf0\x90\x80\x80", 4, 4},
    {"\xf4\x8f\xbf\xbf", 4, 4}, {"\xc3\xa9x", 3, 2},
    {"\x80", 1, 0}, {"\xbf\xbf", 2, 0}, {"\xc0\x80", 2, 0}, {"\xc1\xbf", 2, 0}, {"\xe0\x9f\xbf", 3, 0}, {"\xed\xa0\x80", 3, 0},
    {"\xf0\x8f\xbf\xbf", 4, 0}, {"\xf4\x90\x80\x80", 4, 0}, {"\xf5\x80\x80\x80", 4, 0}, {"\xff", 1, 0}, {"\xc3(", 2, 0},
    {"\xe2\x82(", 3, 0}, {"\xe2(\x82", 3, 0}, {"\xf0\x9f\x91(", 4, 0},
    {"\xc3", 1, -1}, {"\xe2", 1, -1}, {"\xe2\x82", 2, -1}, {"\xf0", 1, -1}, {"\xf0\x9f", 2, -1}, {"\xf0\x9f\x91", 3, -1},
    {"\xe0\x9f", 2, 0}, {"\xed\xa0", 2, 0}, {"\xf4\x90", 2, 0},
};

START_TEST(length_follows_the_rfc)
{
    ck_assert_int_eq(bm_utf8_length((const unsigned char *)cases[_i].text, cases[_i].n), cases[_i].length);
}
END_TEST

START_TEST(a_text_is_valid_when_all_of_it_is)
{
    ck_assert(bm_utf8_valid("", 0));
    ck_assert(bm_utf8_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x91\x8dz", 11));
    ck_assert(!bm_utf8_valid("a\xc3\xa9\xe2\x82", 5));
    ck_assert(!bm_utf8_valid("a\xff", 2));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("utf8");
    TCase *t = tcase_create("utf8");
    tcase_add_loop_test(t, length_follows_the_rfc, 0, sizeof cases / sizeof *cases);
    tcase_add_test(t, a_text_is_valid_when_all_of_it_is);
    suite_add_tcase(s, t);
    return test_run(s);
}
