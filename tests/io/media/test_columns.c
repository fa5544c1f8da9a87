/* Columns: kinds that are found, the statistics of the formulas, rows as the header of columns.h lays them out, the same through
 * JSON, and bad input by line and column. */
#include "io/media/columns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/lib/packed.h"
#include "tests/lib/test.h"

static const char people[] = "age,city,income,owns\n"
                             "30,Rome,1.5,yes\n"
                             "40,,2.5,no\n"
                             "NA,Oslo,4,no\n"
                             "50,Bern,8,yes\n"
                             "20,Rome,?,no\n";

static bm_columns *fit(const char *path, const bm_columns_opts *opts)
{
    bm_columns *t;
    test_ok(bm_columns_fit(&t, path, opts));
    return t;
}

/* Through JSON and back: what the reader then works with. */
static bm_columns *again(bm_columns *t)
{
    char *json;
    bm_columns *u;
    test_ok(bm_columns_to_json(&json, t));
    test_ok(bm_columns_from_json(&u, json, "stored"));
    bm_free(json);
    bm_columns_destroy(t);
    return u;
}

static int64_t read_rows(float *inputs, void *targets, const bm_columns *t, const char *path, int64_t most, int64_t at_once)
{
    const int64_t width = bm_columns_width(t);
    bm_rows *r;
    int64_t rows = 0, got;
    test_ok(bm_rows_open(&r, t, path, NULL, targets != NULL));
    do {
        ck_assert_int_le(rows + at_once, most);
        test_ok(bm_rows_next(r, &got, inputs + rows * width, targets ? (char *)targets + 4 * rows : NULL, at_once));
        rows += got;
    } while (got);
    bm_rows_close(r);
    return rows;
}

START_TEST(rows_are_laid_out_as_described)
{
    /* age, its indicator | Bern, Oslo, Rome, indicator | income, indicator; classes no, yes */
    static const float expected[5][8] = {{30, 0, 0, 0, 1, 0, 1.5, 0},
                                         {40, 0, 0, 0, 0, 1, 2.5, 0},
                                         {35, 1, 0, 1, 0, 0, 4, 0},
                                         {50, 0, 1, 0, 0, 0, 8, 0},
                                         {20, 0, 0, 0, 1, 0, 4, 1}};
    static const int32_t classes[] = {1, 0, 0, 1, 0};
    const char *path = text_file("people.csv", people);
    bm_columns_opts o = bm_columns_opts_default();
    o.target = "owns";
    bm_columns *t = again(fit(path, &o));
    float got[10 * 8];
    int32_t y[10];
    ck_assert_int_eq(bm_columns_width(t), 8);
    ck_assert_int_eq(bm_columns_rows(t), 5);
    ck_assert_int_eq(bm_columns_count(t), 3);
    for (int64_t at_once = 1; at_once <= 4; at_once += 3) {
        ck_assert_int_eq(read_rows(got, y, t, path, 10, at_once), 5);
        ck_assert_mem_eq(got, expected, sizeof expected);
        ck_assert_mem_eq(y, classes, sizeof classes);
    }
    const bm_column *c = bm_columns_at(t, 1);
    ck_assert_str_eq(c->name, "city");
    ck_assert(c->kind == BM_COLUMN_CATEGORY && c->first == 2 && c->width == 4 && c->indicator && c->missing == 1 && c->missing_line == 3);
    ck_assert_str_eq(c->categories[0], "Bern");
    ck_assert_str_eq(bm_columns_target(t)->categories[1], "yes");
    bm_columns_destroy(t);
}
END_TEST

START_TEST(standardised_as_the_formulas_say)
{
    enum { N = 200 };
    char text[20000] = "x,c,y\n";
    double x[N], mean = 0, variance = 0, ymean = 0, yvariance = 0;
    for (int i = 0; i < N; i++) {
        x[i] = 1e6 + (i * 7919 % 1009) / 64.0; /* exact as written */
        sprintf(text + strlen(text), "%.6f,0.1,%d\n", x[i], i * i);
        mean += x[i] / N;
        ymean += (double)i * i / N;
    }
    for (int i = 0; i < N; i++) {
        variance += (x[i] - mean) * (x[i] - mean) / N;
        yvariance += (i * i - ymean) * (i * i - ymean) / N;
    }
    const char *path = text_file("standard.csv", text);
    bm_columns_opts o = bm_columns_opts_default();
    o.target = "y";
    o.standardize = o.standardize_target = 1;
    bm_columns *t = again(fit(path, &o));
    const bm_column *c = bm_columns_at(t, 0), *y = bm_columns_target(t);
    ck_assert_double_eq_tol(c->shift, mean, 1e-9 * mean);
    ck_assert_double_eq_tol(c->scale, sqrt(variance), 1e-9 * sqrt(variance));
    ck_assert_double_eq_tol(y->scale, sqrt(yvariance), 1e-9 * y->scale);
    ck_assert_double_eq(bm_columns_at(t, 1)->scale, 1); /* constant, though 0.1 has no exact mean */
    float got[2 * (N + 67)], target[N + 67];
    ck_assert_int_eq(read_rows(got, target, t, path, N + 67, 67), N);
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(got[2 * i], (x[i] - mean) / sqrt(variance), 1e-6);
        ck_assert_double_eq_tol(got[2 * i + 1], 0, 1e-12);
        ck_assert_double_eq_tol(target[i], (i * i - ymean) / sqrt(yvariance), 1e-6);
    }
    bm_columns_destroy(t);
}
END_TEST

static int first_two(void *user, int64_t row) { return (void)user, row < 2; }

START_TEST(only_the_rows_that_count_make_mean_and_deviation)
{
    const char *path = text_file("part.csv", "x\n1\n3\n100\nNA\n");
    bm_columns_opts o = bm_columns_opts_default();
    o.standardize = 1;
    o.counts = first_two;
    bm_columns *t = fit(path, &o);
    float got[10];
    ck_assert_int_eq(read_rows(got, NULL, t, path, 5, 1), 4);
    ck_assert(got[0] == -1 && got[2] == 1 && got[4] == 98 && got[6] == 0 && got[7] == 1);
    bm_columns_destroy(t);
}
END_TEST

START_TEST(kinds_can_be_given)
{
    const char *path = text_file("kinds.csv", "code,size,y\n10,1,0\n9,2,1\nx,3,0\n10,4,2\n");
    static const char *const categories[] = {"code"}, *const features[] = {"code"};
    bm_columns *t;
    bm_columns_opts o = bm_columns_opts_default();
    o.target = "y";
    test_fails(bm_columns_fit(&t, path, &o), BM_ERR_CONFIG, "kinds.csv:4: column \"code\": \"x\" is not a number, as \"10\" in line 2 is");
    ck_assert_ptr_null(t);
    o.categories = categories;
    o.n_categories = 1;
    t = fit(path, &o);
    ck_assert_int_eq(bm_columns_width(t), 4);
    ck_assert_str_eq(bm_columns_at(t, 0)->categories[0], "10"); /* by bytes: not all are numbers */
    ck_assert(bm_columns_target(t)->kind == BM_COLUMN_NUMBER);
    bm_columns_destroy(t);
    o.features = features;
    o.n_features = 1;
    o.target = "size";
    o.target_kind = BM_COLUMN_CATEGORY;
    t = fit(text_file("kinds.csv", "code,size\n10,10\n9,9\n10,100\n"), &o);
    ck_assert_int_eq(bm_columns_width(t), 2);
    ck_assert_str_eq(bm_columns_target(t)->categories[0], "9"); /* by size */
    ck_assert_str_eq(bm_columns_target(t)->categories[2], "100");
    bm_columns_destroy(t);
}
END_TEST

START_TEST(declared_kinds_count)
{
    const char *path = text_file("weather.arff", "@relation w\n@attribute outlook {sunny, overcast, rainy}\n@attribute t {2,1}\n"
                                 "@attribute humidity real\n@attribute play {yes, no, maybe}\n@data\n"
                                 "rainy,1,85,no\nsunny,2,?,yes\nrainy,2,65,no\n");
    static const float expected[3][6] = {{0, 1, 0, 1, 85, 0}, {1, 0, 1, 0, 75, 1}, {0, 1, 1, 0, 65, 0}};
    static const int32_t classes[] = {1, 0, 1};
    bm_columns_opts o = bm_columns_opts_default();
    o.target = "play";
    bm_columns *t = again(fit(path, &o));
    float got[4 * 6];
    int32_t y[4];
    ck_assert_int_eq(bm_columns_width(t), 6);
    ck_assert_int_eq(bm_columns_target(t)->n_categories, 2); /* those that occur */
    ck_assert_int_eq(read_rows(got, y, t, path, 4, 1), 3);
    ck_assert_mem_eq(got, expected, sizeof expected);
    ck_assert_mem_eq(y, classes, sizeof classes);
    bm_columns_destroy(t);
}
END_TEST

START_TEST(another_file_is_encoded_alike)
{
    bm_columns_opts o = bm_columns_opts_default();
    bm_rows *r;
    float got[16];
    int64_t rows;
    o.target = "owns";
    bm_columns *t = again(fit(text_file("people.csv", people), &o));
    /* other order, other columns, no target, no number in any field */
    const char *path = text_file("new.csv", "income,note,city,age\n,x,Oslo,\n");
    static const float expected[] = {35, 1, 0, 1, 0, 0, 4, 1};
    ck_assert_int_eq(read_rows(got, NULL, t, path, 2, 1), 1);
    ck_assert_mem_eq(got, expected, sizeof expected);
    test_fails(bm_rows_open(&r, t, path, NULL, 1), BM_ERR_CONFIG, "new.csv: no column \"owns\"");
    test_ok(bm_rows_open(&r, t, text_file("new.csv", "age,city,income\n1,Oslo,2\n1,Romx,2\n"), NULL, 0));
    test_fails(bm_rows_next(r, &rows, got, NULL, 2), BM_ERR_CONFIG,
               "new.csv:3: column \"city\": \"Romx\" is none of the 3 categories known; is it \"Rome\"?");
    bm_rows_close(r);
    test_ok(bm_rows_open(&r, t, text_file("new.csv", "age,city,income\nx,Oslo,2\n"), NULL, 0));
    test_fails(bm_rows_next(r, &rows, got, NULL, 2), BM_ERR_CONFIG, "new.csv:2: column \"age\": \"x\" is not a number");
    bm_rows_close(r);
    test_fails(bm_rows_open(&r, t, text_file("new.csv", "1,Oslo,2\n"), NULL, 0), BM_ERR_CONFIG, "no column \"age\"");
    bm_columns_destroy(t);
    o.target = NULL;
    t = fit(text_file("bare.csv", "1,a\n2,b\n"), &o);
    ck_assert_int_eq(read_rows(got, NULL, t, text_file("new.csv", "5,b\n"), 2, 1), 1);
    ck_assert(got[0] == 5 && got[1] == 0 && got[2] == 1);
    bm_columns_destroy(t);
    t = fit(text_file("bare.csv", "p,p\nq,r\n"), &o);
    ck_assert_int_eq(read_rows(got, NULL, t, text_file("new.csv", "q,p\n"), 2, 1), 1); /* no header, though it could be one */
    test_fails(bm_rows_open(&r, t, path, NULL, 1), BM_ERR_USAGE, "no target among");
    bm_columns_destroy(t);
}
END_TEST

START_TEST(empty_columns_are_left_out)
{
    static const char *const features[] = {"age", "x"};
    const char *path = text_file("empty.csv", "age,x,owns\n1,,a\n2,?,b\n");
    bm_columns_opts o = bm_columns_opts_default();
    bm_columns *t;
    o.target = "owns";
    test_listen();
    t = fit(path, &o);
    ck_assert_int_eq(bm_columns_width(t), 1);
    ck_assert_str_eq(bm_columns_target(t)->categories[1], "b");
    ck_assert_int_eq(test_times_said, 1);
    test_text_holds(test_said, "column \"x\" has no value in any row and is left out");
    bm_columns_destroy(t);
    o.features = features;
    o.n_features = 2;
    test_fails(bm_columns_fit(&t, path, &o), BM_ERR_CONFIG, "column \"x\" has no value in any row");
}
END_TEST

START_TEST(messages_are_one_line)
{
    bm_columns_opts o = bm_columns_opts_default();
    bm_columns *t;
    o.most_categories = 1;
    test_fails(bm_columns_fit(&t, text_file("long.csv", "a,b\n1,x\n2,\"two\nlines, and an \xc3\xa4 that "
               "the end of what is shown falls in\xc3\xa4 something\"\n"), &o), BM_ERR_CONFIG,
               "\"two lines, and an \xc3\xa4 that the end of what is shown falls in...\" is one category more");
}
END_TEST

static const struct {
    const char *text, *target;
    int refuse; /* 1: what is missing, 2: NaN */
    const char *words;
} bad[] = {
    {"age,owns\n1,a\n2,b\n", "own", 0, "bad.csv: no column \"own\"; is it \"owns\"?"},
    {"age,owns\n1,a\n2,b\n", "salary", 0, "no column \"salary\" among its 2, from \"age\" to \"owns\""},
    {"1,a\n2,b\n", "owns", 0, "the file has no header, its 2 columns are called by their numbers"},
    {"1,a\n2,b\n", "9", 0, "no column \"9\": the file has no header, its 2 columns are called by their numbers"},
    {"", "owns", 0, "bad.csv: no rows"},
    {"age,rent\n1,0\n2,0\n", "rent", 0, "column \"rent\" is the target and is 0 in every row"},
    {"age,owns\n1,a\nold,b\n", "owns", 0, "bad.csv:3: column \"age\": \"old\" is not a number, as \"1\" in line 2 is"},
    {"age,owns\nold,1\n2,3\n", "owns", 0, "bad.csv:2: column \"age\": \"old\" is not a number, as \"2\" in line 3 is"},
    {"age,owns\n1,a\nNaN,b\n", "owns", 1, "bad.csv:3: column \"age\": a value is missing"},
    {"age,owns\n1,a\n,b\nNaN,b\n", "owns", 2, "bad.csv:4: column \"age\": NaN is not a number"},
    {"age,owns\n1,a\n2,\n", "owns", 0, "bad.csv:3: column \"owns\": the target is missing"},
    {"age,owns\n1,a\n2,a\n", "owns", 0, "column \"owns\" is the target and has one class only, \"a\""},
    {"x,owns\n,a\n,b\n", "owns", 0, "no column has a value"},
    {"age;x\n1;2,5\n1;3,5\n", NULL, 0, "bad.csv:2: column \"x\": \"2,5\" has a decimal comma"},
    {"age,x\n1,inf\n2,3\n", NULL, 0, "bad.csv:2: column \"x\": \"inf\" is not a number, as \"3\" in line 3 is"},
    {"age,x\n1,1e300\n2,-1e300\n", NULL, 0, "column \"x\" has numbers too large to average"},
    {"owns\n1\n", "owns", 0, "no column is left for the inputs"},
    {"", NULL, 0, "no column is left for the inputs"},
};

START_TEST(bad_input_is_named)
{
    bm_columns_opts o = bm_columns_opts_default();
    bm_columns *t;
    o.target = bad[_i].target;
    o.refuse_missing = bad[_i].refuse == 1;
    o.refuse_nan = bad[_i].refuse == 2;
    test_fails(bm_columns_fit(&t, text_file("bad.csv", bad[_i].text), &o), BM_ERR_CONFIG, bad[_i].words);
    ck_assert_ptr_null(t);
}
END_TEST

START_TEST(what_was_asked_for_is_checked)
{
    static const char *const twice[] = {"age", "age"}, *const target[] = {"owns"};
    const char *path = text_file("people.csv", people);
    bm_columns_opts o = bm_columns_opts_default();
    bm_columns *t;
    o.features = twice;
    o.n_features = 2;
    test_fails(bm_columns_fit(&t, path, &o), BM_ERR_CONFIG, "column \"age\" is asked for twice");
    o.features = target;
    o.n_features = 1;
    o.target = "owns";
    test_fails(bm_columns_fit(&t, path, &o), BM_ERR_CONFIG, "column \"owns\" is asked for twice");
    o = bm_columns_opts_default();
    o.most_categories = 2;
    test_fails(bm_columns_fit(&t, path, &o), BM_ERR_CONFIG, "people.csv:5: column \"city\": \"Bern\" is one category more than the 2");
    o.target = "code";
    o.target_kind = BM_COLUMN_CATEGORY;
    test_fails(bm_columns_fit(&t, text_file("codes.csv", "x,code\n1,1\n2,01\n"), &o), BM_ERR_CONFIG, "which are one number");
    o.target_kind = BM_COLUMN_NUMBER;
    test_fails(bm_columns_fit(&t, text_file("codes.csv", "x,code\n1,a\n"), &o), BM_ERR_CONFIG, "codes.csv:2: column \"code\": \"a\" is not a");
    test_ok(bm_columns_fit(&t, text_file("huge.csv", "x\n1e60\n1e61\n"), NULL));
    bm_rows *r;
    float x;
    int64_t rows;
    test_ok(bm_rows_open(&r, t, test_path("huge.csv"), NULL, 0));
    test_fails(bm_rows_next(r, &rows, &x, NULL, 1), BM_ERR_CONFIG, "huge.csv:2: column \"x\": 1e+60 is too large for f32");
    bm_rows_close(r);
    bm_columns_destroy(t);
}
END_TEST

#define COLUMN "\"name\":\"a\",\"indicator\":false,\"count\":1,\"missing\":0,\"missing_line\":0"
#define TABLE(column, target)                                                                                              \
    "{\"format\":\"bm-columns\",\"version\":1,\"rows\":2,\"named\":true,\"columns\":[{" column "}],\"target\":" target "}"
static const struct {
    const char *json, *words;
} bad_json[] = {
    {"[]", "not a JSON object"},
    {"{}", "\"format\""},
    {"{\"format\":\"bm-columns\",\"version\":1,\"columns\":[]}", "\"columns\""},
    {TABLE(COLUMN, "null"), "without name or kind"},
    {TABLE(COLUMN ",\"kind\":\"x\"", "null"), "of kind \"x\""},
    {TABLE(COLUMN ",\"kind\":\"number\",\"mean\":0,\"std\":1,\"shift\":0,\"scale\":0", "null"), "not positive"},
    {TABLE(COLUMN ",\"kind\":\"number\",\"mean\":\"0\"", "null"), "\"mean\""},
    {TABLE(COLUMN ",\"kind\":\"category\",\"categories\":[]", "null"), "not a list of texts"},
    {TABLE(COLUMN ",\"kind\":\"category\",\"categories\":[\"a\",1]", "null"), "not a list of texts"},
    {TABLE(COLUMN ",\"kind\":\"category\",\"categories\":[\"a\",\"b\",\"a\"]", "null"), "\"a\" stands twice"},
    {TABLE(COLUMN ",\"kind\":\"category\",\"categories\":[\"a\"]", "1"), "\"target\""},
};

START_TEST(stored_tables_are_checked)
{
    bm_columns *t;
    test_fails(bm_columns_from_json(&t, bad_json[_i].json, "stored"), BM_ERR_REFUSED, bad_json[_i].words);
    test_text_holds(bm_error_text(BM_ERR_REFUSED), "stored");
    ck_assert_ptr_null(t);
}
END_TEST

static bm_status fit_and_read(void *path)
{
    bm_columns *t = NULL, *u = NULL;
    bm_rows *r = NULL;
    char *json = NULL;
    float x[8];
    int32_t y;
    int64_t rows;
    bm_columns_opts o = bm_columns_opts_default();
    bm_status status;
    o.target = "owns";
    BM_GO(bm_columns_fit(&t, path, &o));
    BM_GO(bm_columns_to_json(&json, t));
    BM_GO(bm_columns_from_json(&u, json, "stored"));
    BM_GO(bm_rows_open(&r, u, path, NULL, 1));
    BM_GO(bm_rows_next(r, &rows, x, &y, 1));
done:
    bm_rows_close(r);
    bm_columns_destroy(t);
    bm_columns_destroy(u);
    bm_free(json);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    test_fail_allocations(fit_and_read, (void *)text_file("people.csv", people));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("columns");
    TCase *t = tcase_create("columns");
    tcase_add_test(t, rows_are_laid_out_as_described);
    tcase_add_test(t, standardised_as_the_formulas_say);
    tcase_add_test(t, only_the_rows_that_count_make_mean_and_deviation);
    tcase_add_test(t, kinds_can_be_given);
    tcase_add_test(t, declared_kinds_count);
    tcase_add_test(t, another_file_is_encoded_alike);
    tcase_add_test(t, empty_columns_are_left_out);
    tcase_add_test(t, messages_are_one_line);
    tcase_add_loop_test(t, bad_input_is_named, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, what_was_asked_for_is_checked);
    tcase_add_loop_test(t, stored_tables_are_checked, 0, sizeof bad_json / sizeof *bad_json);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
