#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/text/tokenizer.h"
#include "tests/lib/test.h"

static uint32_t identity[256];

static void fill_identity(void)
{
    for (uint32_t i = 0; i < 256; i++) identity[i] = i;
}

static const uint32_t th_e[] = {'t', 'h', 256, 'e'};

static bm_tokenizer *the(void)
{
    bm_tokenizer *t;
    test_ok(bm_tokenizer_create_bpe(&t, identity, th_e, 2));
    return t;
}

START_TEST(sizes_and_tokens)
{
    bm_tokenizer *t = the(), *b;
    size_t n;
    ck_assert_uint_eq(bm_tokenizer_vocab_size(t), 259);
    ck_assert_uint_eq(bm_tokenizer_eot(t), 258);
    ck_assert_str_eq(bm_tokenizer_kind_name(t), "bpe");
    ck_assert_mem_eq(bm_tokenizer_token(t, 257, &n), "the", 3);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(bm_tokenizer_token(t, 258, &n), "<|endoftext|>", 13);
    ck_assert_ptr_null(bm_tokenizer_token(t, 259, &n));
    test_ok(bm_tokenizer_create_byte(&b));
    ck_assert_uint_eq(bm_tokenizer_vocab_size(b), 257);
    ck_assert_uint_eq(bm_tokenizer_eot(b), 256);
    ck_assert_str_eq(bm_tokenizer_kind_name(b), "byte");
    bm_tokenizer_destroy(t);
    bm_tokenizer_destroy(b);
    bm_tokenizer_destroy(NULL);
}
END_TEST

START_TEST(decoding_refuses_ids_outside_the_vocabulary)
{
    const uint32_t good[] = {257, 258, 0, 'x', 258}, bad[] = {1, 2, 259};
    bm_tokenizer *t = the();
    char *text;
    size_t n;
    test_ok(bm_tokenizer_decode(&text, &n, t, good, 5));
    ck_assert_uint_eq(n, 5);
    ck_assert_mem_eq(text, "the\0x", 6); /* end-of-text is no text; NUL-terminated */
    bm_free(text);
    test_fails(bm_tokenizer_decode(&text, &n, t, bad, 3), BM_ERR_SHAPE, "token 259 at 2 is outside the vocabulary of 259");
    ck_assert_ptr_null(text);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(merges_that_do_not_fit_are_refused)
{
    static const uint32_t early[] = {'a', 'b', 258, 'c'}, self[] = {256, 'a'}, twice[] = {'a', 'b', 'a', 'b'};
    uint32_t doubled[256], large[256];
    bm_tokenizer *t = (bm_tokenizer *)1;
    test_fails(bm_tokenizer_create_bpe(&t, identity, early, 2), BM_ERR_DAMAGED, "merge 1 joins 258 and 99");
    ck_assert_ptr_null(t);
    test_fails(bm_tokenizer_create_bpe(&t, identity, self, 1), BM_ERR_DAMAGED, "merge 0 joins 256");
    test_fails(bm_tokenizer_create_bpe(&t, identity, twice, 2), BM_ERR_DAMAGED, "merge 1 joins 97 and 98 a second time");
    memcpy(doubled, identity, sizeof doubled);
    doubled[7] = 8;
    test_fails(bm_tokenizer_create_bpe(&t, doubled, NULL, 0), BM_ERR_DAMAGED, "(byte 8: 8)");
    memcpy(large, identity, sizeof large);
    large[3] = 256;
    test_fails(bm_tokenizer_create_bpe(&t, large, NULL, 0), BM_ERR_DAMAGED, "(byte 3: 256)");
}
END_TEST

/* Each merge doubles: 2^40 bytes of text in 40 lines. */
START_TEST(texts_that_explode_are_refused)
{
    uint32_t merges[80];
    bm_tokenizer *t;
    for (uint32_t k = 0; k < 40; k++) merges[2 * k] = merges[2 * k + 1] = k ? 255 + k : 'a';
    test_fails(bm_tokenizer_create_bpe(&t, identity, merges, 40), BM_ERR_DAMAGED, "more than 1 GiB");
}
END_TEST

static void check_same(const bm_tokenizer *a, const bm_tokenizer *b)
{
    bm_hash128 x, y;
    test_ok(bm_tokenizer_hash(&x, a));
    test_ok(bm_tokenizer_hash(&y, b));
    ck_assert(bm_hash_equal(&x, &y));
    ck_assert_uint_eq(bm_tokenizer_vocab_size(a), bm_tokenizer_vocab_size(b));
    ck_assert_int_eq(bm_tokenizer_get_kind(a), bm_tokenizer_get_kind(b));
}

START_TEST(both_stored_forms_give_it_back)
{
    for (int kind = 0; kind < 2; kind++) {
        bm_tokenizer *t = NULL, *u, *v;
        char *json;
        void *blob;
        size_t n;
        if (kind) t = the();
        else test_ok(bm_tokenizer_create_byte(&t));
        test_ok(bm_tokenizer_to_parts(&json, &blob, &n, t));
        ck_assert_uint_eq(n, kind ? 4 * (256 + 4) : 0);
        test_ok(bm_tokenizer_from_parts(&u, json, strlen(json), blob, n, "/tokenizer"));
        check_same(t, u);
        test_ok(bm_tokenizer_save(t, test_path("t.json")));
        test_ok(bm_tokenizer_load(&v, test_path("t.json")));
        check_same(t, v);
        bm_tokenizer_destroy(t);
        bm_tokenizer_destroy(u);
        bm_tokenizer_destroy(v);
        bm_free(json);
        bm_free(blob);
    }
}
END_TEST

START_TEST(the_blob_is_little_endian_words)
{
    bm_tokenizer *t = the();
    char *json;
    void *blob;
    size_t n;
    static const unsigned char last[] = {'t', 0, 0, 0, 'h', 0, 0, 0, 0, 1, 0, 0, 'e', 0, 0, 0};
    test_ok(bm_tokenizer_to_parts(&json, &blob, &n, t));
    ck_assert_str_eq(json, "{\"format\": \"bm-tokenizer\", \"version\": 1, \"kind\": \"bpe\", \"split\": \"gpt2\", "
                           "\"vocab_size\": 259, \"eot_id\": 258}");
    ck_assert_mem_eq((unsigned char *)blob + 1024, last, sizeof last);
    ck_assert_uint_eq(((unsigned char *)blob)[4 * 200], 200);
    bm_free(json);
    bm_free(blob);
    bm_tokenizer_destroy(t);
}
END_TEST

static const struct { const char *json; size_t blob; bm_status status; const char *words; } damaged[] = {
    {"", 0, BM_ERR_DAMAGED, "tok: not a tokenizer"},
    {"[]", 0, BM_ERR_DAMAGED, "tok: not a tokenizer"},
    {"{}", 0, BM_ERR_DAMAGED, "\"format\" is not \"bm-tokenizer\""},
    {"{\"format\":\"bm-tokenizer\",\"format\":\"bm-tokenizer\"}", 0, BM_ERR_DAMAGED, "duplicate"},
    {"{\"format\":\"bm-tokenizer\",\"version\":2}", 0, BM_ERR_UNSUPPORTED, "version 2"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"byte\",\"vocab_size\":258,\"eot_id\":256}", 0, BM_ERR_DAMAGED, "257"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"byte\",\"vocab_size\":257,\"eot_id\":256}", 8, BM_ERR_DAMAGED, "257"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"wordpiece\",\"vocab_size\":9,\"eot_id\":8}", 0, BM_ERR_UNSUPPORTED,
     "kind \"wordpiece\""},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"vocab_size\":257,\"eot_id\":256}", 1024, BM_ERR_DAMAGED,
     "\"split\" is not \"gpt2\""},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":-1,\"eot_id\":256}", 1024,
     BM_ERR_DAMAGED, "\"vocab_size\" is not a number"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":258,\"eot_id\":257}", 1024,
     BM_ERR_DAMAGED, "0 merges do not make a vocabulary of 258"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":257,\"eot_id\":0}", 1024,
     BM_ERR_DAMAGED, "ends with 0"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":257,\"eot_id\":256}", 1020,
     BM_ERR_DAMAGED, "blob of 1020 bytes"},
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":257,\"eot_id\":256}", 1024,
     BM_ERR_DAMAGED, "each once"}, /* a blob of zeros */
    {"{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":257,\"eot_id\":256}", 0,
     BM_ERR_DAMAGED, "blob of 0 bytes"},
};

START_TEST(damaged_parts_are_refused)
{
    static const unsigned char zeros[2048];
    bm_tokenizer *t = (bm_tokenizer *)1;
    const char *json = damaged[_i].json;
    test_fails(bm_tokenizer_from_parts(&t, json, strlen(json), zeros, damaged[_i].blob, "tok"), damaged[_i].status,
               damaged[_i].words);
    ck_assert_ptr_null(t);
}
END_TEST

START_TEST(damaged_files_are_refused)
{
    static const char head[] = "{\"format\":\"bm-tokenizer\",\"version\":1,\"kind\":\"bpe\",\"split\":\"gpt2\",\"vocab_size\":257,"
                               "\"eot_id\":256";
    static const char *const tails[] = {"}", ",\"byte_ids\":[1],\"merges\":[]}", ",\"byte_ids\":[]", ",\"merges\":[[1,2,3]]}"};
    char text[400];
    bm_tokenizer *t;
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "%s%s", head, tails[i]);
        test_ok(bm_file_replace(test_path("bad.json"), text, strlen(text)));
        test_fails(bm_tokenizer_load(&t, test_path("bad.json")), BM_ERR_DAMAGED, "bad.json: ");
    }
    test_fails(bm_tokenizer_load(&t, test_path("none.json")), BM_ERR_NOT_FOUND, "none.json");
}
END_TEST

static bm_status round_trip(void *unused)
{
    bm_tokenizer *t = NULL, *u = NULL, *v = NULL;
    char *json = NULL;
    void *blob = NULL;
    size_t n;
    bm_status status;
    (void)unused;
    BM_GO(bm_tokenizer_create_bpe(&t, identity, th_e, 2));
    BM_GO(bm_tokenizer_to_parts(&json, &blob, &n, t));
    BM_GO(bm_tokenizer_from_parts(&u, json, strlen(json), blob, n, "parts"));
    BM_GO(bm_tokenizer_save(t, test_path("f.json")));
    BM_GO(bm_tokenizer_load(&v, test_path("f.json")));
done:
    bm_tokenizer_destroy(t);
    bm_tokenizer_destroy(u);
    bm_tokenizer_destroy(v);
    bm_free(json);
    bm_free(blob);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks) { test_fail_allocations(round_trip, NULL); }
END_TEST

int main(void)
{
    fill_identity();
    Suite *s = suite_create("tokenizer");
    TCase *t = tcase_create("tokenizer");
    tcase_add_test(t, sizes_and_tokens);
    tcase_add_test(t, decoding_refuses_ids_outside_the_vocabulary);
    tcase_add_test(t, merges_that_do_not_fit_are_refused);
    tcase_add_test(t, texts_that_explode_are_refused);
    tcase_add_test(t, both_stored_forms_give_it_back);
    tcase_add_test(t, the_blob_is_little_endian_words);
    tcase_add_loop_test(t, damaged_parts_are_refused, 0, sizeof damaged / sizeof *damaged);
    tcase_add_test(t, damaged_files_are_refused);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
