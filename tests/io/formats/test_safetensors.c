#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/formats/safetensors.h"
#include "tests/lib/test.h"

/* A file made by hand: the length, the header, `data_bytes` bytes 0, 1, 2, ... */
static const char *make_file(const char *header, size_t data_bytes)
{
    static char bytes[1 << 16];
    const char *path = test_path("t.safetensors");
    size_t n = strlen(header);
    ck_assert_uint_lt(8 + n + data_bytes, sizeof bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(n >> 8 * i & 0xff);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) bytes[8 + n + i] = (char)i;
    test_ok(bm_file_replace(path, bytes, 8 + n + data_bytes));
    return path;
}

START_TEST(a_file_made_by_hand_is_read)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"\xc3\xa9\":\"\\u00e9\\n\"},"
        "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
        "\"a\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[0,4]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[28,28]},"
        "\"scalar\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[28,30]},"
        "\"mask\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[30,33]}}   ";
    bm_safetensors *s;
    const bm_safetensor *t;
    unsigned char data[24];
    const char *path = make_file(header, 33);
    ck_assert(bm_safetensors_is(path));
    test_ok(bm_safetensors_open(&s, path));
    ck_assert_int_eq(bm_safetensors_count(s), 5);
    ck_assert_str_eq(bm_safetensors_at(s, 0)->name, "a");
    ck_assert_str_eq(bm_safetensors_at(s, 1)->name, "b.weight");
    ck_assert_str_eq(bm_safetensors_at(s, 4)->name, "mask");
    ck_assert_ptr_null(bm_safetensors_find(s, "c"));
    t = bm_safetensors_find(s, "b.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->dtype, BM_F32);
    ck_assert(bm_shape_equal(&t->shape, &(bm_shape){2, {2, 3}}));
    ck_assert_int_eq(t->bytes, 24);
    test_ok(bm_safetensors_read(s, t, data, 0, 6));
    for (int i = 0; i < 24; i++) ck_assert_uint_eq(data[i], 4 + i);
    test_ok(bm_safetensors_read(s, t, data, 5, 1));
    ck_assert_uint_eq(data[0], 24);
    test_fails(bm_safetensors_read(s, t, data, 5, 2), BM_ERR_USAGE, "b.weight has 6 elements");
    test_fails(bm_safetensors_read(s, t, data, -1, 2), BM_ERR_USAGE, "b.weight has 6 elements");
    t = bm_safetensors_find(s, "scalar");
    ck_assert_int_eq(t->shape.rank, 0);
    ck_assert_int_eq(t->dtype, BM_BF16);
    t = bm_safetensors_find(s, "none");
    ck_assert_int_eq(t->bytes, 0);
    t = bm_safetensors_find(s, "mask");
    ck_assert_int_eq(t->dtype, BM_DTYPE_COUNT);
    ck_assert_str_eq(t->type, "BOOL");
    test_fails(bm_safetensors_read(s, t, data, 0, 3), BM_ERR_UNSUPPORTED, "mask has the type BOOL");
    ck_assert_str_eq(bm_safetensors_meta(s, "format"), "pt");
    ck_assert_str_eq(bm_safetensors_meta(s, "\xc3\xa9"), "\xc3\xa9\n");
    ck_assert_ptr_null(bm_safetensors_meta(s, "other"));
    bm_safetensors_close(s);
}
END_TEST

#define T(name, dtype, shape, from, to) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static const struct { const char *header; size_t data; bm_status status; const char *words; } hostile[] = {
    {"{" T("a", "F32", "[2]", 0, 8) "}", 7, BM_ERR_DAMAGED, "a ends at byte 8 of the data, but there are 7: the file is cut off"},
    {"{" T("a", "F32", "[2]", 0, 8) "}", 9, BM_ERR_REFUSED, "1 bytes behind the last tensor"},
    {"{}", 1, BM_ERR_REFUSED, "1 bytes behind the last tensor"},
    {"{" T("a", "F32", "[2]", 4, 12) "}", 12, BM_ERR_REFUSED, "a begins at byte 4 of the data, where 0 is due: there is a hole"},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", 12, BM_ERR_REFUSED, "b begins at byte 4 of the data, where 8"},
    {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 0, 8) "}", 8, BM_ERR_REFUSED, "they overlap"},
    {"{" T("a", "F32", "[2]", 0, 4) "}", 4, BM_ERR_REFUSED, "do not hold the 8 bytes of its shape"},
    {"{" T("a", "F32", "[2]", 8, 0) "}", 8, BM_ERR_REFUSED, "do not hold the 8 bytes of its shape"},
    {"{" T("a", "F32", "[2]", -8, 0) "}", 8, BM_ERR_REFUSED, "an offset is not a number of 0 or more"},
    {"{" T("a", "F32", "[-2]", 0, 8) "}", 8, BM_ERR_REFUSED, "a dimension is not a number of 0 or more"},
    {"{" T("a", "F32", "[2.0]", 0, 8) "}", 8, BM_ERR_REFUSED, "a dimension is not a number of 0 or more"},
    {"{" T("a", "F32", "[\"2\"]", 0, 8) "}", 8, BM_ERR_REFUSED, "a dimension is not a number of 0 or more"},
    {"{" T("a", "F32", "[4611686018427387904,4]", 0, 0) "}", 0, BM_ERR_REFUSED, "the shape is too large"},
    {"{" T("a", "F32", "[0,4611686018427387904,4]", 0, 0) "}", 0, BM_ERR_REFUSED, "the shape is too large"},
    {"{" T("a", "F32", "[99999999999999999999]", 0, 0) "}", 0, BM_ERR_REFUSED, "not valid JSON"},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, BM_ERR_REFUSED, "a list of up to 8 numbers"},
    {"{" T("a", "F32", "2", 0, 8) "}", 8, BM_ERR_REFUSED, "a list of up to 8 numbers"},
    {"{" T("a", "F31", "[2]", 0, 8) "}", 8, BM_ERR_REFUSED, "the type F31 is not one of safetensors"},
    {"{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, BM_ERR_REFUSED, "the type (none)"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, BM_ERR_REFUSED, "expected dtype, shape and data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, BM_ERR_REFUSED, "expected dtype, shape and data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, BM_ERR_REFUSED, "and nothing else"},
    {"{\"a\":7}", 8, BM_ERR_REFUSED, "expected dtype, shape and data_offsets"},
    {"{" T("", "F32", "[2]", 0, 8) "}", 8, BM_ERR_REFUSED, "a name of 0 bytes"},
    {"{" T("a\\u001b", "F32", "[2]", 0, 8) "}", 8, BM_ERR_REFUSED, "control characters"},
    {"{" T("a\\u0000b", "F32", "[2]", 0, 8) "}", 8, BM_ERR_REFUSED, "not valid JSON"},
    {"{" T("a\xff", "F32", "[2]", 0, 8) "}", 8, BM_ERR_REFUSED, "not valid JSON"},
    {"{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", 8, BM_ERR_REFUSED, "duplicate"},
    {"{\"__metadata__\":7}", 0, BM_ERR_REFUSED, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"a\":7}}", 0, BM_ERR_REFUSED, "__metadata__: a is not a text"},
    {"{\"a\":[[[[", 0, BM_ERR_REFUSED, "nested deeper than 3"},
    {"{\"a\":{\"a\":{\"a\":{}}}}", 0, BM_ERR_REFUSED, "nested deeper than 3"},
    {" {}", 0, BM_ERR_REFUSED, "does not begin with {"},
    {"[]", 0, BM_ERR_REFUSED, "does not begin with {"},
    {"{\"a\"", 0, BM_ERR_REFUSED, "not valid JSON"},
    {"{} x", 0, BM_ERR_REFUSED, "not valid JSON"},
};

START_TEST(hostile_headers_are_refused)
{
    bm_safetensors *s = (bm_safetensors *)1;
    const char *path = make_file(hostile[_i].header, hostile[_i].data);
    test_fails(bm_safetensors_open(&s, path), hostile[_i].status, hostile[_i].words);
    test_text_holds(bm_last_error()->text, "t.safetensors: ");
    ck_assert_ptr_null(s);
}
END_TEST

static void refuse_bytes(const void *bytes, size_t n, bm_status status, const char *words)
{
    bm_safetensors *s;
    test_ok(bm_file_replace(test_path("x"), bytes, n));
    test_fails(bm_safetensors_open(&s, test_path("x")), status, words);
}

START_TEST(header_lengths_that_do_not_fit_are_refused)
{
    bm_safetensors *s;
    refuse_bytes("", 0, BM_ERR_DAMAGED, "0 bytes are too few");
    refuse_bytes("\2\0\0\0\0\0\0\0{", 9, BM_ERR_DAMAGED, "too few");
    refuse_bytes("\3\0\0\0\0\0\0\0{}", 10, BM_ERR_DAMAGED, "the header is cut off");
    refuse_bytes("\0\0\0\0\0\0\0\0{}", 10, BM_ERR_REFUSED, "a header of 0 bytes");
    refuse_bytes("\1\0\100\6\0\0\0\0{}", 10, BM_ERR_REFUSED, "at most 104857600"); /* 100 MiB and 1 */
    refuse_bytes("\0\0\100\6\0\0\0\0{}", 10, BM_ERR_DAMAGED, "the header is cut off");
    refuse_bytes("\377\377\377\377\377\377\377\377{}", 10, BM_ERR_REFUSED, "18446744073709551615");
    test_fails(bm_safetensors_open(&s, test_path("none")), BM_ERR_NOT_FOUND, "none");
    test_fails(bm_safetensors_open(&s, test_folder()), BM_ERR_REFUSED, "not a regular file");
    ck_assert(!bm_safetensors_is(test_path("none")));
    ck_assert(!bm_safetensors_is(test_source("CMakeLists.txt")));
}
END_TEST

/* Far more values than any header of tensors has must not be parsed at all. */
START_TEST(a_header_full_of_numbers_is_refused)
{
    static const char start[] = "{\"a\":[";
    size_t n = 4 << 20;
    unsigned char *bytes = malloc(8 + n);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i & 0xff);
    for (size_t i = 0; i < n; i++) bytes[8 + i] = i % 2 ? ',' : '0';
    memcpy(bytes + 8, start, sizeof start - 1);
    refuse_bytes(bytes, 8 + n, BM_ERR_REFUSED, "too many values");
    free(bytes);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    char *bytes;
    size_t n;
    test_ok(bm_file_read(&bytes, &n, make_file("{" T("a", "F32", "[2]", 0, 8) "," T("b", "I8", "[3]", 8, 11) "}", 11), 1 << 16));
    for (size_t k = 0; k < n; k++) {
        bm_safetensors *s;
        test_ok(bm_file_replace(test_path("cut"), bytes, k));
        ck_assert_int_ne(bm_safetensors_open(&s, test_path("cut")), BM_OK);
    }
    bm_free(bytes);
}
END_TEST

static void check_file(const char *path, const char *expected, size_t n)
{
    char *bytes;
    size_t got;
    test_ok(bm_file_read(&bytes, &got, path, 1 << 20));
    ck_assert_uint_eq(got, n);
    ck_assert_mem_eq(bytes, expected, n);
    bm_free(bytes);
}

static size_t files_in_folder(void)
{
    char command[5000];
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", test_folder());
    FILE *p = popen(command, "r");
    size_t n = 0;
    ck_assert_int_eq(fscanf(p, "%zu", &n), 1);
    pclose(p);
    return n;
}

START_TEST(what_is_written_is_the_format_byte_for_byte)
{
    /* 8-byte types first, then 4, 2, 1; the header padded to 8 */
    static const char expected[] =
        "\x10\1\0\0\0\0\0\0"
        "{\"__metadata__\":{\"format\":\"pt\",\"q\\\"\\\\\":\"\\u000a\"},"
        "\"h\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[12,16]},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
        "\"n\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
        "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[16,16]}}      "
        "\1\2\3\4\5\6\7\10\0\0\200?\0<\0@";
    const int64_t number = 0x0807060504030201;
    const uint16_t halves[] = {0x3c00, 0x4000};
    const float one = 1.0f;
    int64_t h, w, n, e;
    const char *path = test_path("out.safetensors");
    bm_safetensors_writer *writer;
    unlink(path);
    size_t before = files_in_folder();
    test_ok(bm_safetensors_writer_create(&writer, path, 0));
    test_ok(bm_safetensors_writer_meta(writer, "format", "pt"));
    test_ok(bm_safetensors_writer_meta(writer, "q\"\\", "\n"));
    test_ok(bm_safetensors_writer_add(writer, &h, "h", BM_F16, &(bm_shape){2, {1, 2}}));
    test_ok(bm_safetensors_writer_add(writer, &w, "w", BM_F32, &(bm_shape){0}));
    test_ok(bm_safetensors_writer_add(writer, &n, "n", BM_I64, &(bm_shape){1, {1}}));
    test_ok(bm_safetensors_writer_add(writer, &e, "e", BM_U8, &(bm_shape){1, {0}}));
    test_ok(bm_safetensors_writer_put(writer, w, &one, 0, 1));
    test_ok(bm_safetensors_writer_put(writer, h, &halves[1], 1, 1));
    test_fails(bm_safetensors_writer_commit(writer), BM_ERR_USAGE, "h has got 2 of its 4 bytes");
    test_ok(bm_safetensors_writer_put(writer, h, &halves[0], 0, 1));
    test_ok(bm_safetensors_writer_put(writer, n, &number, 0, 1));
    ck_assert(!bm_path_exists(path));
    test_ok(bm_safetensors_writer_commit(writer));
    bm_safetensors_writer_destroy(writer);
    check_file(path, expected, sizeof expected - 1);
    ck_assert_uint_eq(files_in_folder(), before + 1);
}
END_TEST

START_TEST(the_writer_refuses_what_does_not_fit)
{
    const char *path = test_path("refused.safetensors");
    const float one = 1.0f;
    bm_safetensors_writer *w;
    int64_t i;
    unlink(path);
    size_t before = files_in_folder();
    test_ok(bm_safetensors_writer_create(&w, path, 0));
    test_fails(bm_safetensors_writer_add(w, &i, "", BM_F32, &(bm_shape){1, {1}}), BM_ERR_USAGE, "cannot be the name");
    test_fails(bm_safetensors_writer_add(w, &i, "__metadata__", BM_F32, &(bm_shape){1, {1}}), BM_ERR_USAGE, "cannot be the name");
    test_fails(bm_safetensors_writer_add(w, &i, "a\n", BM_F32, &(bm_shape){1, {1}}), BM_ERR_USAGE, "control characters");
    test_fails(bm_safetensors_writer_add(w, &i, "\xff", BM_F32, &(bm_shape){1, {1}}), BM_ERR_USAGE, "cannot be the name");
    ck_assert_int_ne(bm_safetensors_writer_add(w, &i, "a", BM_F32, &(bm_shape){1, {-1}}), BM_OK);
    test_fails(bm_safetensors_writer_meta(w, "a", "\xff"), BM_ERR_USAGE, "not UTF-8");
    test_ok(bm_safetensors_writer_add(w, &i, "a", BM_F32, &(bm_shape){1, {2}}));
    test_fails(bm_safetensors_writer_put(w, 1, &one, 0, 1), BM_ERR_USAGE, "there is no tensor 1");
    test_fails(bm_safetensors_writer_put(w, i, &one, 2, 1), BM_ERR_USAGE, "a has 2 elements");
    test_ok(bm_safetensors_writer_put(w, i, &one, 1, 1));
    test_fails(bm_safetensors_writer_add(w, &i, "b", BM_F32, &(bm_shape){1, {2}}), BM_ERR_USAGE, "header is written already");
    bm_safetensors_writer_destroy(w); /* not committed */
    ck_assert_uint_eq(files_in_folder(), before);

    test_ok(bm_safetensors_writer_create(&w, path, 0));
    test_ok(bm_safetensors_writer_add(w, &i, "a", BM_F32, &(bm_shape){1, {0}}));
    test_ok(bm_safetensors_writer_add(w, &i, "b", BM_F32, &(bm_shape){1, {0}}));
    test_ok(bm_safetensors_writer_add(w, &i, "a", BM_F32, &(bm_shape){1, {0}}));
    test_fails(bm_safetensors_writer_commit(w), BM_ERR_USAGE, "two tensors have the name a");
    bm_safetensors_writer_destroy(w);

    test_ok(bm_file_replace(path, "old", 3));
    test_fails(bm_safetensors_writer_create(&w, path, 0), BM_ERR_EXISTS, "exists already");
    test_ok(bm_safetensors_writer_create(&w, path, 1));
    check_file(path, "old", 3);
    test_ok(bm_safetensors_writer_commit(w));
    bm_safetensors_writer_destroy(w);
    check_file(path, "\10\0\0\0\0\0\0\0{}      ", 16);
}
END_TEST

static bm_status round_trip(void *unused)
{
    bm_safetensors_writer *w = NULL;
    bm_safetensors *s = NULL;
    const float values[] = {1, 2, 3};
    int64_t i;
    bm_status status;
    (void)unused;
    BM_GO(bm_safetensors_writer_create(&w, test_path("memory.safetensors"), 1));
    BM_GO(bm_safetensors_writer_meta(w, "a", "b"));
    BM_GO(bm_safetensors_writer_add(w, &i, "x", BM_F32, &(bm_shape){1, {3}}));
    BM_GO(bm_safetensors_writer_put(w, i, values, 0, 3));
    BM_GO(bm_safetensors_writer_commit(w));
    BM_GO(bm_safetensors_open(&s, test_path("memory.safetensors")));
done:
    bm_safetensors_writer_destroy(w);
    bm_safetensors_close(s);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks) { test_fail_allocations(round_trip, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("safetensors");
    tcase_add_test(t, a_file_made_by_hand_is_read);
    tcase_add_loop_test(t, hostile_headers_are_refused, 0, sizeof hostile / sizeof *hostile);
    tcase_add_test(t, header_lengths_that_do_not_fit_are_refused);
    tcase_add_test(t, a_header_full_of_numbers_is_refused);
    tcase_add_test(t, every_truncation_is_refused);
    tcase_add_test(t, what_is_written_is_the_format_byte_for_byte);
    tcase_add_test(t, the_writer_refuses_what_does_not_fit);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
