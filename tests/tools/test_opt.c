#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/test.h"
#include "tools/opt.h"

typedef struct values {
    int json, all;
    const char *device;
    int64_t tokens;
    double rate;
    bm_opt_list sets;
} values;

static int nothing(int argc, char **argv)
{
    (void)argv;
    return argc;
}

static const bm_cmd cmd = {.name = "try it", .summary = "tries", .help = "  bmtool try it\n", .run = nothing};

enum { MAX_WORDS = 8 };

/* Parses words up to NULL; what is printed on stdout and stderr lands in `said`. */
static int parse(values *v, int *argc, char *argv[MAX_WORDS], int least, int most)
{
    const bm_opt opts[] = {
        {"json", 'j', BM_OPT_FLAG, &v->json, 0},
        {"all", 'a', BM_OPT_FLAG, &v->all, 0},
        {"device", 'd', BM_OPT_STRING, &v->device, 0},
        {"tokens", 'n', BM_OPT_I64, &v->tokens, 0},
        {"rate", 0, BM_OPT_F64, &v->rate, 0},
        {"set", 's', BM_OPT_LIST, &v->sets, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    for (*argc = 0; argv[*argc]; ++*argc) continue;
    return bm_opt_parse(argc, argv, &cmd, opts, least, most);
}

#define WORDS(...)                                                                                                     \
    (char *[MAX_WORDS]) { "try it", __VA_ARGS__ }

static char said[4000];

/* The same, for mistakes: the exit code, with what was printed in `said`. */
static int parse_said(char *argv[MAX_WORDS], int least, int most)
{
    values v = {0};
    int argc;
    FILE *keep = tmpfile();
    ck_assert_ptr_nonnull(keep);
    fflush(stdout);
    fflush(stderr);
    const int out = dup(1), err = dup(2);
    dup2(fileno(keep), 1);
    dup2(fileno(keep), 2);
    int code = parse(&v, &argc, argv, least, most);
    fflush(stdout);
    fflush(stderr);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    rewind(keep);
    said[fread(said, 1, sizeof said - 1, keep)] = '\0';
    fclose(keep);
    return code;
}

START_TEST(every_way_to_write_an_option)
{
    values v = {.tokens = 7};
    int argc;
    char **argv = WORDS("--json", "--tokens", "-12", "--rate=1e-3", "-dgpu:1", "in.h5");
    ck_assert_int_eq(parse(&v, &argc, argv, 0, 9), -1);
    ck_assert_int_eq(argc, 1);
    ck_assert_str_eq(argv[0], "in.h5");
    ck_assert_int_eq(v.json, 1);
    ck_assert_int_eq(v.all, 0);
    ck_assert_int_eq(v.tokens, -12);
    ck_assert(v.rate == 1e-3);
    ck_assert_str_eq(v.device, "gpu:1");
    v = (values){0};
    ck_assert_int_eq(parse(&v, &argc, WORDS("-jan5", "-d", "cpu"), 0, 0), -1);
    ck_assert(v.json && v.all);
    ck_assert_int_eq(v.tokens, 5);
    ck_assert_str_eq(v.device, "cpu");
    v = (values){0};
    ck_assert_int_eq(parse(&v, &argc, WORDS("--device=", "--device", "a=b"), 0, 0), -1);
    ck_assert_str_eq(v.device, "a=b"); /* the last one counts */
    v = (values){.tokens = 7};
    ck_assert_int_eq(parse(&v, &argc, WORDS(NULL), 0, 0), -1);
    ck_assert_int_eq(v.tokens, 7);
}
END_TEST

START_TEST(lists_keep_all_values_in_order)
{
    values v = {0};
    int argc;
    ck_assert_int_eq(parse(&v, &argc, WORDS("--set", "a=1", "-sb=2", "--set=c=3", "-s", "d"), 0, 0), -1);
    ck_assert_int_eq(v.sets.count, 4);
    ck_assert_str_eq(v.sets.item[0], "a=1");
    ck_assert_str_eq(v.sets.item[1], "b=2");
    ck_assert_str_eq(v.sets.item[2], "c=3");
    ck_assert_str_eq(v.sets.item[3], "d");
}
END_TEST

START_TEST(arguments_keep_their_order_among_options)
{
    values v = {0};
    int argc;
    char **argv = WORDS("a", "--json", "-", "--", "--tokens", "b");
    ck_assert_int_eq(parse(&v, &argc, argv, 4, 4), -1);
    ck_assert_int_eq(argc, 4);
    ck_assert_str_eq(argv[0], "a");
    ck_assert_str_eq(argv[1], "-");
    ck_assert_str_eq(argv[2], "--tokens");
    ck_assert_str_eq(argv[3], "b");
    ck_assert_str_eq(argv[4], "try it"); /* and so do the options after them */
    ck_assert_str_eq(argv[5], "--json");
    ck_assert_str_eq(argv[6], "--");
    ck_assert_ptr_null(argv[7]);
    /* A value is a value, whatever it looks like. */
    ck_assert_int_eq(parse(&v, &argc, WORDS("--device", "--help"), 0, 0), -1);
    ck_assert_str_eq(v.device, "--help");
}
END_TEST

START_TEST(mistakes_are_named)
{
    static const struct {
        char *word[3];
        const char *message;
    } known[] = {
        {{"--tokns", "5"}, "unknown option --tokns (did you mean --tokens?)"},
        {{"--tokns=5"}, "unknown option --tokns (did you mean --tokens?)"},
        {{"--nothing"}, "unknown option --nothing"},
        {{"--token", "5"}, "--tokens?"},
        {{"--hlep"}, "did you mean --help?"},
        {{"-x"}, "unknown option -x"},
        {{"-jx"}, "unknown option -x"},
        {{"--tokens"}, "--tokens needs a value"},
        {{"-n"}, "-n needs a value"},
        {{"--tokens", "5x"}, "--tokens takes a whole number, not \"5x\""},
        {{"-n5x"}, "-n takes a whole number, not \"5x\""},
        {{"--tokens="}, "not \"\""},
        {{"--rate", "fast"}, "--rate takes a number, not \"fast\""},
        {{"--json=yes"}, "--json takes no value"},
        {{"a", "b"}, "\"b\" is one argument too many"},
        {{"--json"}, "1 argument is needed, 0 given"},
        {{"--tok\033ns"}, "--tok\\x1bns"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ck_assert_int_eq(parse_said(WORDS(known[i].word[0], known[i].word[1], known[i].word[2]), 1, 1), 2);
        test_text_holds(said, known[i].message);
        ck_assert_int_eq(strncmp(said, "bmtool try it: ", 15), 0);
        test_text_holds(said, "(bmtool try it --help)\n");
    }
}
END_TEST

START_TEST(help_is_printed_wherever_it_is_asked_for)
{
    ck_assert_int_eq(parse_said(WORDS("--help"), 1, 1), 0);
    ck_assert_str_eq(said, "bmtool try it: tries\n\n  bmtool try it\n");
    ck_assert_int_eq(parse_said(WORDS("a", "b", "-h"), 1, 1), 0);
    ck_assert_int_eq(parse_said(WORDS("--tokens", "5", "--help"), 1, 1), 0);
    ck_assert_int_eq(parse_said(WORDS("--", "--help"), 1, 1), -1);
}
END_TEST

START_TEST(required_options_are_missed)
{
    const char *out = NULL;
    const bm_opt opts[] = {{"output", 'o', BM_OPT_STRING, &out, 1}, {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int argc = 1;
    ck_assert_int_eq(bm_opt_parse(&argc, WORDS(NULL), &cmd, opts, 0, 0), 2);
    argc = 3;
    ck_assert_int_eq(bm_opt_parse(&argc, WORDS("-o", "x"), &cmd, opts, 0, 0), -1);
    ck_assert_str_eq(out, "x");
}
END_TEST

START_TEST(ranges_include_their_ends)
{
    ck_assert_int_eq(bm_opt_range_i64(&cmd, "top-k", 1, 1, 5), 0);
    ck_assert_int_eq(bm_opt_range_i64(&cmd, "top-k", 5, 1, 5), 0);
    ck_assert_int_eq(bm_opt_range_i64(&cmd, "top-k", 0, 1, 5), 2);
    ck_assert_int_eq(bm_opt_range_i64(&cmd, "top-k", 6, 1, 5), 2);
    ck_assert_int_eq(bm_opt_range_i64(&cmd, "top-k", -1, 0, INT64_MAX), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tools/opt");
    TCase *t = tcase_create("opt");
    tcase_add_test(t, every_way_to_write_an_option);
    tcase_add_test(t, lists_keep_all_values_in_order);
    tcase_add_test(t, arguments_keep_their_order_among_options);
    tcase_add_test(t, mistakes_are_named);
    tcase_add_test(t, help_is_printed_wherever_it_is_asked_for);
    tcase_add_test(t, required_options_are_missed);
    tcase_add_test(t, ranges_include_their_ends);
    suite_add_tcase(s, t);
    return test_run(s);
}
