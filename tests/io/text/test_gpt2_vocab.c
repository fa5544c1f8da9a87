/* GPT-2's own vocabulary, which is not kept in the repository: fetched once into the build folder. Without it the program
 * says so and is skipped; test_encoder.c covers the same code with a small vocabulary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/text/tokenizer.h"
#include "tests/lib/test.h"
#include "tests/lib/text_cases.h"

#define SKIPPED 77

static char folder[4096];

static bm_tokenizer *gpt2(void)
{
    char json[4200], bpe[4200];
    bm_tokenizer *t;
    snprintf(json, sizeof json, "%s/encoder.json", folder);
    snprintf(bpe, sizeof bpe, "%s/vocab.bpe", folder);
    test_ok(bm_tokenizer_import_gpt2(&t, json, bpe));
    return t;
}

START_TEST(the_vocabulary_is_gpt2s)
{
    bm_tokenizer *t = gpt2();
    size_t n;
    const unsigned char *text;
    ck_assert_uint_eq(bm_tokenizer_vocab_size(t), 50257);
    ck_assert_uint_eq(bm_tokenizer_eot(t), 50256);
    text = bm_tokenizer_token(t, 0, &n);
    ck_assert(n == 1 && text[0] == '!');
    text = bm_tokenizer_token(t, 220, &n);
    ck_assert(n == 1 && text[0] == ' ');
    text = bm_tokenizer_token(t, 262, &n);
    ck_assert(n == 4 && memcmp(text, " the", 4) == 0);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(ids_are_those_of_independent_encoders)
{
    size_t n;
    text_case *cases = text_cases(&n, "gpt2");
    bm_tokenizer *t = gpt2();
    for (size_t i = 0; i < n; i++) {
        uint32_t *ids;
        char *text;
        size_t count, bytes;
        test_ok(bm_tokenizer_encode(&ids, &count, t, cases[i].text, cases[i].bytes));
        ck_assert_msg(count == cases[i].n_ids && memcmp(ids, cases[i].ids, count * sizeof *ids) == 0, "case %zu", i);
        test_ok(bm_tokenizer_decode(&text, &bytes, t, ids, count));
        ck_assert_msg(bytes == cases[i].bytes && memcmp(text, cases[i].text, bytes) == 0, "case %zu", i);
        bm_free(ids);
        bm_free(text);
    }
    text_cases_free(cases, n);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(it_survives_its_own_file)
{
    bm_tokenizer *t = gpt2(), *u;
    bm_hash128 a, b;
    test_ok(bm_tokenizer_save(t, test_path("gpt2.json")));
    test_ok(bm_tokenizer_load(&u, test_path("gpt2.json")));
    test_ok(bm_tokenizer_hash(&a, t));
    test_ok(bm_tokenizer_hash(&b, u));
    ck_assert(bm_hash_equal(&a, &b));
    ck_assert_uint_eq(bm_tokenizer_vocab_size(u), 50257);
    bm_tokenizer_destroy(t);
    bm_tokenizer_destroy(u);
}
END_TEST

int main(void)
{
    const char *source = getenv("BM_TEST_SOURCE"), *build = getenv("BM_TEST_BUILD");
    char command[9000];
    if (!source || !build) return EXIT_FAILURE;
    snprintf(folder, sizeof folder, "%s/gpt2_vocab", build);
    snprintf(command, sizeof command, "'%s/tests/fetch_gpt2_vocab' '%s'", source, folder);
    if (system(command) != 0) {
        printf("skipped: GPT-2's vocabulary cannot be had here\n");
        return SKIPPED;
    }
    Suite *s = suite_create("gpt2_vocab");
    TCase *t = tcase_create("gpt2_vocab");
    tcase_add_test(t, the_vocabulary_is_gpt2s);
    tcase_add_test(t, ids_are_those_of_independent_encoders);
    tcase_add_test(t, it_survives_its_own_file);
    suite_add_tcase(s, t);
    return test_run(s);
}
