#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "tests/lib/test.h"
#include "tools/out.h"
#include "tools/signals.h"
#include "tools/table.h"

static const char *shown(const void *text, size_t bytes)
{
    static bm_str s;
    bm_str_finish(&s);
    bm_str_add_shown(&s, text, bytes);
    test_ok(bm_str_status(&s));
    return bm_str_text(&s);
}

START_TEST(control_bytes_are_shown_and_letters_kept)
{
    ck_assert_str_eq(shown("plain", 5), "plain");
    ck_assert_str_eq(shown("a\nb\tc\rd", 7), "a\\nb\\tc\\rd");
    ck_assert_str_eq(shown("\033[31mred\007\177", 10), "\\x1b[31mred\\x07\\x7f");
    ck_assert_str_eq(shown("a\0b", 3), "a\\x00b");
    ck_assert_str_eq(shown("Gr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x98\x80", 12), "Gr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x98\x80");
    ck_assert_str_eq(shown("\xc2\x9b", 2), "\\xc2\\x9b"); /* U+009B starts a control sequence as ESC [ does */
    ck_assert_str_eq(shown("\xff", 1), "\\xff");          /* never in UTF-8 */
    ck_assert_str_eq(shown("\xc3", 1), "\\xc3");          /* cut off */
    ck_assert_str_eq(shown("\xc0\xaf", 2), "\\xc0\\xaf"); /* overlong */
    ck_assert_str_eq(shown("\xe0\x80\xaf", 3), "\\xe0\\x80\\xaf");
    ck_assert_str_eq(shown("\xed\xa0\x80", 3), "\\xed\\xa0\\x80"); /* a surrogate */
    ck_assert_str_eq(shown("\xf4\x90\x80\x80", 4), "\\xf4\\x90\\x80\\x80");
}
END_TEST

START_TEST(numbers_for_people)
{
    char b[BM_OUT_NUMBER];
    ck_assert_str_eq(bm_out_bytes(b, 0), "0 B");
    ck_assert_str_eq(bm_out_bytes(b, 1023), "1023 B");
    ck_assert_str_eq(bm_out_bytes(b, 1536), "1.50 KiB");
    ck_assert_str_eq(bm_out_bytes(b, (int64_t)3 << 30), "3.00 GiB");
    ck_assert_str_eq(bm_out_bytes(b, INT64_MAX), "8.00 EiB");
    ck_assert_str_eq(bm_out_count(b, 0), "0");
    ck_assert_str_eq(bm_out_count(b, 999), "999");
    ck_assert_str_eq(bm_out_count(b, 1005), "1,005");
    ck_assert_str_eq(bm_out_count(b, -1005), "-1,005");
    ck_assert_str_eq(bm_out_count(b, 999999), "999,999");
    ck_assert_str_eq(bm_out_count(b, 124439808), "124.4 M");
    ck_assert_str_eq(bm_out_count(b, 1557611200), "1.6 G");
    ck_assert_str_eq(bm_out_seconds(b, 0), "0.0 s");
    ck_assert_str_eq(bm_out_seconds(b, 0.01389), "13.9 ms");
    ck_assert_str_eq(bm_out_seconds(b, 0.9999), "1.0 s");
    ck_assert_str_eq(bm_out_seconds(b, 3.24), "3.2 s");
    ck_assert_str_eq(bm_out_seconds(b, 62), "1 min 02 s");
    ck_assert_str_eq(bm_out_seconds(b, 3720), "1 h 02 min");
    ck_assert_str_eq(bm_out_seconds(b, NAN), "?");
    ck_assert_str_eq(bm_out_seconds(b, -1), "?");
}
END_TEST

/* Runs fn with stdout going to a file; what it wrote. */
static const char *written_by(int (*fn)(void), int *code)
{
    static char text[4000];
    FILE *keep = tmpfile();
    ck_assert_ptr_nonnull(keep);
    fflush(stdout);
    const int out = dup(1);
    dup2(fileno(keep), 1);
    *code = fn();
    fflush(stdout);
    dup2(out, 1);
    close(out);
    rewind(keep);
    text[fread(text, 1, sizeof text - 1, keep)] = '\0';
    fclose(keep);
    return text;
}

static int print_document(void)
{
    json_t *root = json_object();
    json_object_set_new(root, "zeta", bm_json_real((double)0.1f));
    json_object_set_new(root, "alpha", json_integer(INT64_MAX));
    json_object_set_new(root, "none", bm_json_real(NAN));
    return bm_out_json(root);
}

START_TEST(json_keeps_the_order_of_keys_and_nine_digits)
{
    int code;
    ck_assert_str_eq(written_by(print_document, &code),
                     "{\n  \"zeta\": 0.100000001,\n  \"alpha\": 9223372036854775807,\n  \"none\": null\n}\n");
    ck_assert_int_eq(code, 0);
}
END_TEST

static int print_nothing(void) { return bm_out_json(NULL); }

START_TEST(no_document_is_an_error)
{
    int code;
    written_by(print_nothing, &code);
    ck_assert_int_eq(code, 5);
}
END_TEST

/* What a table prints, owned by the caller of free(). */
static char *table_text(const bm_table *t)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = tmpfile();
    test_ok(bm_table_print(t, f));
    bytes = (size_t)ftell(f);
    rewind(f);
    text = calloc(bytes + 1, 1);
    ck_assert_uint_eq(fread(text, 1, bytes, f), bytes);
    fclose(f);
    return text;
}

START_TEST(tables_align_by_characters)
{
    static const char *const heads[] = {"name", ">bytes", "kind", NULL};
    bm_table *t;
    test_ok(bm_table_create(&t, heads));
    char *text = table_text(t);
    ck_assert_str_eq(text, "name  bytes  kind\n");
    free(text);
    bm_table_add(t, "%s", "w\xc3\xa4rme");
    bm_table_add(t, "%d", 1234567);
    bm_table_add(t, "f32");
    bm_table_add(t, "a\nb");
    bm_table_add(t, "%d", 5);
    bm_table_add(t, "bf16");
    text = table_text(t);
    ck_assert_str_eq(text, "name     bytes  kind\n"
                           "w\xc3\xa4rme  1234567  f32\n"
                           "a\\nb         5  bf16\n");
    free(text);
    bm_table_destroy(t);
    bm_table_destroy(NULL);
}
END_TEST

static bm_status make_table(void *arg)
{
    (void)arg;
    static const char *const heads[] = {"a", "b", NULL};
    bm_table *t;
    bm_status status = bm_table_create(&t, heads);
    ck_assert_int_eq(t == NULL, status != BM_OK);
    if (status) return status;
    for (int i = 0; i < 100; i++) bm_table_add(t, "cell %d", i);
    FILE *f = tmpfile();
    status = bm_table_print(t, f);
    fclose(f);
    bm_table_destroy(t);
    return status;
}

START_TEST(tables_without_memory_are_an_error)
{
    test_fail_allocations(make_table, NULL);
}
END_TEST

START_TEST(files_get_no_colour_and_no_progress)
{
    FILE *f = tmpfile();
    ck_assert_str_eq(bm_out_style(f, BM_RED), "");
    fclose(f);
    const int err = dup(2);
    f = tmpfile();
    dup2(fileno(f), 2);
    bm_out_progress("step 1");
    fflush(stderr);
    dup2(err, 2);
    close(err);
    ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
    ck_assert_int_eq(ftell(f), 0);
    fclose(f);
}
END_TEST

/* What a terminal of so many columns got while its stdout and stderr were ours. */
static const char *seen_by_terminal(void (*fn)(void), unsigned short columns)
{
    static char text[4000];
    struct winsize w = {.ws_row = 24, .ws_col = columns};
    const int host = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(host, 0);
    ck_assert_int_eq(grantpt(host) | unlockpt(host), 0);
    const int terminal = open(ptsname(host), O_RDWR | O_NOCTTY), out = dup(1), err = dup(2);
    ck_assert_int_ge(terminal, 0);
    ck_assert_int_eq(ioctl(terminal, TIOCSWINSZ, &w), 0);
    fflush(stdout);
    dup2(terminal, 1);
    dup2(terminal, 2);
    fn();
    fflush(stdout);
    fflush(stderr);
    dup2(out, 1);
    dup2(err, 2);
    close(terminal);
    size_t used = 0; /* it comes in pieces */
    for (ssize_t n; (n = read(host, text + used, sizeof text - 1 - used)) > 0;) used += (size_t)n;
    text[used] = '\0';
    close(out);
    close(err);
    close(host);
    return text;
}

static void show_lines(void)
{
    bm_out_progress("a tensor named \033[31m, with a long tail");
    bm_out_progress("nineteen letters: \xc3\xbc\xc3\xbc\xc3\xbc");
    bm_out_progress("");
    bm_out_log(NULL, BM_LOG_PROGRESS, "building kernels");
    bm_out_note("done");
}

START_TEST(a_terminal_that_can_only_write_gets_lines_alone)
{
    setenv("TERM", "dumb", 1);
    ck_assert_str_eq(seen_by_terminal(show_lines, 21), "bmtool: done\r\n");
    unsetenv("TERM");
}
END_TEST

START_TEST(a_progress_line_stays_in_its_line_and_goes)
{
    ck_assert_str_eq(seen_by_terminal(show_lines, 21), "a tensor named \\x1b["
                                                   "\r\033[K"
                                                   "nineteen letters: \xc3\xbc"
                                                   "\r\033[K"
                                                   "building kernels"
                                                   "\r\033[Kbmtool: done\r\n");
}
END_TEST

static void show_field(void) { bm_out_field("model", "family gpt, layers 6, heads 6, a_part_longer_than_a_line 123456789, bias yes"); }

START_TEST(a_terminal_gets_lists_wrapped_between_their_parts)
{
    setenv("NO_COLOR", "1", 1);
    ck_assert_str_eq(seen_by_terminal(show_field, 40), "  model       family gpt, layers 6,\r\n"
                                                       "              heads 6,\r\n"
                                                       "              a_part_longer_than_a_line 123456789,\r\n"
                                                       "              bias yes\r\n");
    ck_assert_str_eq(seen_by_terminal(show_field, 30), "  model       family gpt, layers 6, heads 6, "
                                                       "a_part_longer_than_a_line 123456789, bias yes\r\n");
    unsetenv("NO_COLOR");
}
END_TEST

START_TEST(a_signal_ends_the_work_and_is_the_exit_code)
{
    test_ok(bm_out_step("%d of %d", 1, 2));
    ck_assert_int_eq(bm_out_error(bm_fail(BM_ERR_STOPPED, "stopped")), bm_status_exit_code(BM_ERR_STOPPED));
    bm_signals_watch("");
    raise(SIGTERM);
    const bm_status status = bm_out_step("%d of %d", 2, 2);
    ck_assert_int_eq(status, BM_ERR_STOPPED);
    ck_assert_str_eq(bm_error_text(status), "stopped; nothing was written");
    ck_assert_int_eq(bm_out_error(status), 143);
    ck_assert_int_eq(bm_out_error(bm_fail(BM_ERR_USAGE, "wrong")), bm_status_exit_code(BM_ERR_USAGE));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tools/out");
    TCase *t = tcase_create("out");
    tcase_add_test(t, control_bytes_are_shown_and_letters_kept);
    tcase_add_test(t, numbers_for_people);
    tcase_add_test(t, json_keeps_the_order_of_keys_and_nine_digits);
    tcase_add_test(t, no_document_is_an_error);
    tcase_add_test(t, tables_align_by_characters);
    tcase_add_test(t, tables_without_memory_are_an_error);
    tcase_add_test(t, files_get_no_colour_and_no_progress);
    tcase_add_test(t, a_progress_line_stays_in_its_line_and_goes);
    tcase_add_test(t, a_terminal_that_can_only_write_gets_lines_alone);
    tcase_add_test(t, a_terminal_gets_lists_wrapped_between_their_parts);
    tcase_add_test(t, a_signal_ends_the_work_and_is_the_exit_code);
    suite_add_tcase(s, t);
    return test_run(s);
}
