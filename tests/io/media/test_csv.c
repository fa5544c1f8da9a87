/* CSV and ARFF: what RFC 4180 and the ARFF description say comes out, field by field; what breaks them is named with its line. */
#include "io/media/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/packed.h"
#include "tests/lib/test.h"

/* The whole file as text: names between brackets, then records, fields ended by |, ~ for missing, line numbers in front. */
static bm_status read_all(bm_str *out, const char *path, const bm_csv_opts *opts)
{
    bm_csv *c;
    const bm_csv_field *f;
    BM_TRY(bm_csv_open(&c, path, opts));
    bm_str_add(out, bm_csv_named(c) ? "[" : "(");
    for (int64_t i = 0; i < bm_csv_count(c); i++) bm_str_addf(out, "%s|", bm_csv_column_at(c, i)->name);
    bm_str_add(out, bm_csv_named(c) ? "]" : ")");
    bm_status status;
    while (!(status = bm_csv_next(c, &f)) && f) {
        bm_str_addf(out, " %lld:", (long long)bm_csv_line(c));
        for (int64_t i = 0; i < bm_csv_count(c); i++) {
            bm_str_add_bytes(out, f[i].text, f[i].length);
            bm_str_add(out, f[i].missing ? "~|" : "|");
        }
    }
    bm_csv_close(c);
    return status ? status : bm_str_status(out);
}

static void check(const char *path, const bm_csv_opts *opts, const char *expected)
{
    bm_str got;
    bm_str_init(&got);
    test_ok(read_all(&got, path, opts));
    ck_assert_str_eq(bm_str_text(&got), expected);
    bm_str_finish(&got);
}

static const struct {
    const char *name, *text, *expected;
} good[] = {
    /* the examples of RFC 4180, section 2 */
    {"rfc.csv", "aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n", "[aaa|bbb|ccc|] 2:zzz|yyy|xxx|"},
    {"rfc.csv", "field_name,other\r\n\"aaa\",1", "[field_name|other|] 2:aaa|1|"},
    {"rfc.csv", "\"aaa\",\"b CRLF\r\nbb\",\"3\"\r\n4,yyy,xxx\r\n", "(1|2|3|) 1:aaa|b CRLF\nbb|3| 3:4|yyy|xxx|"},
    {"rfc.csv", "1,\"b\"\"bb\",ccc", "(1|2|3|) 1:1|b\"bb|ccc|"},
    /* beyond it */
    {"a.csv", "\xef\xbb\xbfx,y\n1,2\n\n3,4\n\n", "[x|y|] 2:1|2| 4:3|4|"},
    {"a.csv", "x;y\r1,5;2\r", "[x|y|] 2:1,5|2|"},
    {"a.csv", "x\ty z\n1\t\n", "[x|y z|] 2:1|~|"},
    {"a.csv", "a , \"b, c\" ,d\n 1 ,\t2,3\n", "[a|b, c|d|] 2:1|2|3|"},
    {"a.csv", "size,5'10\"\n1,a\"b\n", "[size|5'10\"|] 2:1|a\"b|"},
    {"a.csv", ",b,\n1,2,3\n", "[1|b|3|] 2:1|2|3|"},
    {"a.csv", "a,b\n?,NA\nNaN,nan\nnull,NULL\n\"NA\",\"\"\n0,na\n", "[a|b|] 2:?~|NA~| 3:NaN~|nan~| 4:null~|NULL~| 5:NA|~| 6:0|na|"},
    {"a.csv", "x\n1\n2\n", "[x|] 2:1| 3:2|"},
    {"a.csv", "", "()"},
    {"a.csv", "\n\n", "()"},
    {"a.csv", "\"a,b;c;d\",e\n1,2\n", "[a,b;c;d|e|] 2:1|2|"},
    {"a.csv", "a b\n 5  162 \n\n\"2\" 110", "[a|b|] 2:5|162| 4:2|110|"},
    {"a.csv", "1.5\t2\n3\t4 5\n", "(1|2|) 1:1.5|2| 2:3|4 5|"},
    {"a.csv", "one column\n1\n2\n", "[one column|] 2:1| 3:2|"},
    {"a.csv", "one column\n1 2 x\n2\n", "[one column|] 2:1 2 x| 3:2|"},
    {"a.csv", "x\n1\n2 3\n", "[x|] 2:1| 3:2 3|"},
    {"a.csv", "one column\nx 2\n2\n", "[one column|] 2:x 2| 3:2|"},
    /* a header or not */
    {"a.csv", "p,x\np,y\n", "[p|x|] 2:p|y|"},
    {"a.csv", "p,p\nq,y\n", "(1|2|) 1:p|p| 2:q|y|"},
    {"a.csv", "1.5e3,b\n2,c\n", "(1|2|) 1:1.5e3|b| 2:2|c|"},
    {"a.csv", "p,p\n1,2\n", NULL}, /* a header by its numbers, with one name twice */
    /* ARFF: the iris of its description, shortened; quotes, escapes, comments */
    {"a.arff",
     "% 1. Title\n%\n@RELATION iris\n\n@ATTRIBUTE sepallength  NUMERIC\n@attribute 'petal width' real\n"
     "@ATTRIBUTE class {Iris-setosa, 'Iris versicolor',\"x,y\"}  % the flower\n@attribute note string\n@DATA\n"
     "5.1,3.5,Iris-setosa,'it\\'s'\n% between\n4.9,?, 'Iris versicolor' ,\"a % b\"  % end\n\n1\t2,\"x,y\",'?'\n",
     "[sepallength|petal width|class|note|] 10:5.1|3.5|Iris-setosa|it's| 12:4.9|?~|Iris versicolor|a % b| 14:1|2|x,y|?|"},
    {"a.ARFF", "@relation 'a b'\r\n@attribute n integer [0,9]\r\n@data\r\n7\r\n", "[n|] 4:7|"},
};

START_TEST(what_the_formats_say_comes_out)
{
    const char *path = text_file(good[_i].name, good[_i].text);
    bm_csv *c;
    if (good[_i].expected) check(path, NULL, good[_i].expected);
    else test_fails(bm_csv_open(&c, path, NULL), BM_ERR_CONFIG, "two columns are named \"p\"");
}
END_TEST

static const struct {
    const char *name, *text;
    bm_status code;
    const char *words;
} bad[] = {
    {"b.csv", "a,b\n1,2\n3\n", BM_ERR_CONFIG, "b.csv:3: 1 field, where the first record has 2"},
    {"b.csv", "a,b\n\"1\n\",2\n3,4,5\n", BM_ERR_CONFIG, "b.csv:4: 3 fields"},
    {"b.csv", "a,b\n1,2\n3,\"4\n5,6\n7,8\n", BM_ERR_CONFIG, "b.csv:3: the quote that begins here is never closed"},
    {"b.csv", "a,b\n1,\"2\" 3\n", BM_ERR_CONFIG, "b.csv:2: field 2 has text behind its closing quote"},
    {"b.csv", "a,b\n1,\xff\n", BM_ERR_CONFIG, "b.csv:2: field 2 is not UTF-8"},
    {"b.arff", "@relation r\n@attribute a numeric\n1\n", BM_ERR_CONFIG, "b.arff:3: \"1\" is none of @relation"},
    {"b.arff", "@relation r\n@attribute a numeric\n", BM_ERR_CONFIG, "the file ends before @data"},
    {"b.arff", "@relation r\n@data\n1\n", BM_ERR_CONFIG, "no @attribute before @data"},
    {"b.arff", "@attribute a date 'yyyy'\n@data\n", BM_ERR_UNSUPPORTED, "b.arff:1: an attribute of type date"},
    {"b.arff", "@attribute a numeric\n@data\n{0 1}\n", BM_ERR_UNSUPPORTED, "b.arff:3: sparse rows"},
    {"b.arff", "@attribute a numeric\n@data\n1, {5}\n", BM_ERR_UNSUPPORTED, "b.arff:3: sparse rows and weights"},
    {"b.arff", "@attribute a {x, y}\n@data\nx\nz\n", BM_ERR_CONFIG, "b.arff:4: column \"a\": \"z\" is none of the values declared"},
    {"b.arff", "@attribute a {x, y\n@data\nx\n", BM_ERR_CONFIG, "b.arff:1: expected , or }"},
    {"b.arff", "@attribute 'a numeric\n@data\nx\n", BM_ERR_CONFIG, "b.arff:1: a quote (') that begins here is never closed"},
    {"b.arff", "@attribute a string\n@attribute b string\n@data\n'x' y,z\n", BM_ERR_CONFIG, "b.arff:4: value 1 has text behind"},
    {"b.arff", "@attribute a numeric\n@attribute a numeric\n@data\n", BM_ERR_CONFIG, "two columns are named \"a\""},
    {"b.arff", "@attribute a numeric\n@attribute b numeric\n@data\n1\n", BM_ERR_CONFIG, "b.arff:4: 1 field, where the attributes declared are 2"},
    {"b.arff", "@attribute\n@data\n", BM_ERR_CONFIG, "@attribute needs a name and a type"},
};

START_TEST(what_breaks_them_is_named_with_its_line)
{
    bm_str got;
    bm_str_init(&got);
    test_fails(read_all(&got, text_file(bad[_i].name, bad[_i].text), NULL), bad[_i].code, bad[_i].words);
    bm_str_finish(&got);
}
END_TEST

START_TEST(what_the_caller_says_counts)
{
    const char *path = text_file("opts.csv", "1;2,5\n3;4,x\n");
    check(path, &(bm_csv_opts){',', BM_CSV_HEADER_YES}, "[1;2|5|] 2:3;4|x|");
    check(path, &(bm_csv_opts){';', BM_CSV_HEADER_AUTO}, "(1|2|) 1:1|2,5| 2:3|4,x|");
    check(text_file("names.csv", "a,b\nc,1\n"), &(bm_csv_opts){0, BM_CSV_HEADER_NO}, "(1|2|) 1:a|b| 2:c|1|");
    bm_csv *c;
    test_fails(bm_csv_open(&c, path, &(bm_csv_opts){'|', BM_CSV_HEADER_NO}), BM_ERR_USAGE, "delimiter");
    ck_assert_ptr_null(c);
}
END_TEST

START_TEST(a_nul_and_what_is_no_file_are_refused)
{
    bm_csv *c;
    test_fails(bm_csv_open(&c, file_of("nul.csv", "a,b\n1,\0\n", 8), NULL), BM_ERR_CONFIG, "nul.csv:2: a NUL in field 2");
    test_fails(bm_csv_open(&c, test_folder(), NULL), BM_ERR_REFUSED, "not a regular file");
    test_fails(bm_csv_open(&c, test_path("none.csv"), NULL), BM_ERR_NOT_FOUND, "none.csv");
}
END_TEST

START_TEST(memory_is_bounded)
{
    const size_t n = (size_t)17 << 20;
    char *text = malloc(n);
    bm_str got;
    bm_csv *c;
    bm_str_init(&got);
    memset(text, 'x', n);
    memcpy(text, "a,b\n1,\"", 7);
    test_fails(bm_csv_open(&c, file_of("long.csv", text, n), NULL), BM_ERR_CONFIG, "long.csv:2: the record is longer than 16 MiB");
    memset(text, ',', n);
    test_fails(bm_csv_open(&c, file_of("wide.csv", text, 100000), NULL), BM_ERR_CONFIG, "wide.csv:1: more than 65536 fields");
    free(text);
    bm_str_finish(&got);
}
END_TEST

START_TEST(gzip_is_unpacked_and_its_damage_is_seen)
{
    char text[2000] = "x,y\n", expected[4000] = "[x|y|]";
    for (int i = 0; i < 100; i++) {
        sprintf(text + strlen(text), "%d,%d\n", i, i * i * 7919);
        sprintf(expected + strlen(expected), " %d:%d|%d|", i + 2, i, i * i * 7919);
    }
    size_t half = 400, n, m;
    unsigned char *a = gzip_of(&n, text, half), *b = gzip_of(&m, text + half, strlen(text) - half);
    unsigned char *both = malloc(n + m + 1);
    memcpy(both, a, n);
    memcpy(both + n, b, m);
    check(file_of("two.csv.gz", both, n + m), NULL, expected); /* members one after the other */
    for (size_t cut = 2; cut < n + m; cut++) {
        bm_str got;
        if (cut == n) continue; /* a whole member */
        bm_str_init(&got);
        test_fails(read_all(&got, file_of("cut.csv.gz", both, cut), NULL), BM_ERR_DAMAGED, "gzip data is");
        bm_str_finish(&got);
    }
    bm_str got;
    bm_str_init(&got);
    both[n + m] = 'x';
    test_fails(read_all(&got, file_of("more.csv.gz", both, n + m + 1), NULL), BM_ERR_DAMAGED, "other bytes follow");
    both[n - 6] ^= 1; /* the check sum of the first */
    test_fails(read_all(&got, file_of("bad.csv.gz", both, n + m), NULL), BM_ERR_DAMAGED, "damaged: incorrect data check");
    bm_str_finish(&got);
    free(a);
    free(b);
    free(both);
}
END_TEST

START_TEST(numbers_are_decimal_and_finite)
{
    static const char *const no[] = {"", "1,5", "inf", "nan", "0x10", "1e999", "1 2", "--1", ".", "e5", "1d"};
    double x = 7;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) ck_assert_msg(!bm_csv_number(&x, no[i]), "%s", no[i]);
    ck_assert(x == 7);
    ck_assert(bm_csv_number(&x, "-.5e+1") && x == -5);
    ck_assert(bm_csv_number(&x, "+007") && x == 7);
}
END_TEST

static bm_status read_one(void *path)
{
    bm_str got;
    bm_str_init(&got);
    bm_status status = read_all(&got, path, NULL);
    bm_str_finish(&got);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    size_t n;
    unsigned char *packed = gzip_of(&n, "a,b\n1,2\n", 8);
    test_fail_allocations(read_one, (void *)file_of("memory.csv", packed, n));
    test_fail_allocations(read_one, (void *)text_file("memory.arff", "@attribute a {x,y}\n@attribute b string\n@data\nx,z\n"));
    free(packed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("csv");
    TCase *t = tcase_create("csv");
    tcase_add_loop_test(t, what_the_formats_say_comes_out, 0, sizeof good / sizeof *good);
    tcase_add_loop_test(t, what_breaks_them_is_named_with_its_line, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, what_the_caller_says_counts);
    tcase_add_test(t, a_nul_and_what_is_no_file_are_refused);
    tcase_add_test(t, memory_is_bounded);
    tcase_add_test(t, gzip_is_unpacked_and_its_damage_is_seen);
    tcase_add_test(t, numbers_are_decimal_and_finite);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
