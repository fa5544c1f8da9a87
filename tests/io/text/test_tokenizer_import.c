#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/text/tokenizer.h"
#include "tests/lib/test.h"
#include "tests/lib/text_cases.h"

static char *json, *bpe; /* the small vocabulary, changed by each test */
static size_t n;

static void setup(void)
{
    test_ok(bm_file_read(&json, &n, test_source("tests/io/text/small_encoder.json"), 1 << 20));
    test_ok(bm_file_read(&bpe, &n, test_source("tests/io/text/small_vocab.bpe"), 1 << 20));
}

static void teardown(void)
{
    bm_free(json);
    bm_free(bpe);
}

static bm_status import(const char *encoder, const char *merges)
{
    bm_tokenizer *t = NULL;
    bm_status status;
    test_ok(bm_file_replace(test_path("e.json"), encoder, strlen(encoder)));
    test_ok(bm_file_replace(test_path("v.bpe"), merges, strlen(merges)));
    status = bm_tokenizer_import_gpt2(&t, test_path("e.json"), test_path("v.bpe"));
    ck_assert_int_eq(t == NULL, status != BM_OK);
    bm_tokenizer_destroy(t);
    return status;
}

/* A copy of `text` with `old` replaced by `fresh`, once. */
static char *replaced(const char *text, const char *old, const char *fresh)
{
    static char out[1 << 16];
    const char *at = strstr(text, old);
    ck_assert_msg(at != NULL, "%s", old);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, fresh, at + strlen(old));
    return out;
}

START_TEST(it_is_the_vocabulary_that_was_trained)
{
    bm_tokenizer *t;
    uint32_t vocab, *merges, *text_id;
    size_t n_merges, bytes;
    char *text = text_training(&vocab, &merges, &n_merges);
    test_ok(bm_tokenizer_import_gpt2(&t, test_source("tests/io/text/small_encoder.json"),
                                     test_source("tests/io/text/small_vocab.bpe")));
    ck_assert_uint_eq(bm_tokenizer_vocab_size(t), vocab);
    ck_assert_uint_eq(bm_tokenizer_eot(t), vocab - 1);
    /* token for token the same bytes, made from byte ids in GPT-2's order */
    text_id = calloc(256, sizeof *text_id);
    for (uint32_t id = 0; id < 256; id++) text_id[bm_tokenizer_token(t, id, &bytes)[0]]++;
    for (uint32_t b = 0; b < 256; b++) ck_assert_uint_eq(text_id[b], 1);
    ck_assert_mem_eq(bm_tokenizer_token(t, 0, &bytes), "!", 1);
    ck_assert_mem_eq(bm_tokenizer_token(t, 188, &bytes), "\0", 1);
    for (size_t k = 0; k < n_merges; k++) {
        size_t whole, left, right;
        const unsigned char *w = bm_tokenizer_token(t, (uint32_t)(256 + k), &whole);
        const unsigned char *l = NULL;
        unsigned char byte = (unsigned char)merges[2 * k];
        left = 1;
        l = &byte;
        if (merges[2 * k] >= 256) l = bm_tokenizer_token(t, merges[2 * k], &left);
        ck_assert_mem_eq(w, l, left);
        right = 1;
        byte = (unsigned char)merges[2 * k + 1];
        l = &byte;
        if (merges[2 * k + 1] >= 256) l = bm_tokenizer_token(t, merges[2 * k + 1], &right);
        ck_assert_mem_eq(w + left, l, right);
        ck_assert_uint_eq(whole, left + right);
    }
    free(text_id);
    free(merges);
    free(text);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(ends_of_lines_and_a_missing_header_do_not_matter)
{
    test_ok(import(json, bpe));
    test_ok(import(json, replaced(bpe, "#version: 0.2\n", "")));
    test_ok(import(json, replaced(bpe, "#version: 0.2\n", "#version: 0.2\r\n")));
    bpe[strlen(bpe) - 1] = '\0';
    test_ok(import(json, bpe));
}
END_TEST

START_TEST(files_that_do_not_fit_are_refused)
{
    test_fails(import("{\"a\": ", bpe), BM_ERR_DAMAGED, "e.json:1: not valid JSON");
    test_fails(import("[]", bpe), BM_ERR_DAMAGED, "e.json: not an object");
    test_fails(import(replaced(json, "\"!\": 0", "\"!\": -1"), bpe), BM_ERR_DAMAGED, "no id for the token \"!\"");
    test_fails(import(replaced(json, "\"!\": 0", "\"!\": 1"), bpe), BM_ERR_DAMAGED, "each once");
    test_fails(import(replaced(json, "\"!\": 0", "\"!\": 300"), bpe), BM_ERR_DAMAGED, "0 to 255");
    test_fails(import(replaced(json, "\"!\": 0", "\"!\": 0, \"zzzz\": 9"), bpe), BM_ERR_DAMAGED, "421 tokens, but the merges");
    test_fails(import(replaced(json, "\"<|endoftext|>\": 419", "\"<|endoftext|>\": 420"), bpe), BM_ERR_DAMAGED, "has the id 420");
    test_fails(import(replaced(json, "\": 256", "\": 257"), bpe), BM_ERR_DAMAGED, "v.bpe:2:");
    test_fails(import(json, replaced(bpe, "\n", "\nab\n")), BM_ERR_DAMAGED, "v.bpe:2: not two tokens");
    test_fails(import(json, replaced(bpe, "\n", "\na b c\n")), BM_ERR_DAMAGED, "v.bpe:2: not two tokens");
    test_fails(import(json, replaced(bpe, "\n", "\n b\n")), BM_ERR_DAMAGED, "v.bpe:2: not two tokens");
    test_fails(import(json, replaced(bpe, "\n", "\nQ Z\n")), BM_ERR_DAMAGED, "no id for the token \"QZ\"");
    test_fails(import(json, "#version: 0.2\n"), BM_ERR_DAMAGED, "after 0 merges");
    test_fails(bm_tokenizer_import_gpt2(&(bm_tokenizer *){NULL}, test_path("none"), test_path("v.bpe")), BM_ERR_NOT_FOUND, "none");
}
END_TEST

/* The id fits, but a part of it is made later, or the token exists already. */
START_TEST(merges_out_of_order_are_refused)
{
    char *first = strchr(bpe, '\n') + 1, *second = strchr(first, '\n') + 1, *third = strchr(second, '\n') + 1;
    char swapped[1 << 14];
    snprintf(swapped, sizeof swapped, "%.*s%.*s%.*s%s", (int)(first - bpe), bpe, (int)(third - second), second,
             (int)(second - first), first, third);
    test_fails(import(json, swapped), BM_ERR_DAMAGED, "v.bpe:2:");
    snprintf(swapped, sizeof swapped, "%.*s%.*s%s", (int)(second - bpe), bpe, (int)(second - first), first, second);
    test_fails(import(json, swapped), BM_ERR_DAMAGED, "v.bpe:3:");
}
END_TEST

static bm_status import_once(void *unused)
{
    bm_tokenizer *t;
    (void)unused;
    BM_TRY(bm_tokenizer_import_gpt2(&t, test_source("tests/io/text/small_encoder.json"),
                                    test_source("tests/io/text/small_vocab.bpe")));
    bm_tokenizer_destroy(t);
    return BM_OK;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks) { test_fail_allocations(import_once, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("tokenizer_import");
    TCase *t = tcase_create("tokenizer_import");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, it_is_the_vocabulary_that_was_trained);
    tcase_add_test(t, ends_of_lines_and_a_missing_header_do_not_matter);
    tcase_add_test(t, files_that_do_not_fit_are_refused);
    tcase_add_test(t, merges_out_of_order_are_refused);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
