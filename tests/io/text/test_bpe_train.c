#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "io/text/bpe_train.h"
#include "io/text/tokenizer_priv.h"
#include "io/text/word_count_priv.h"
#include "tests/lib/test.h"
#include "tests/lib/text_cases.h"

static bm_tokenizer *train(const char *text, size_t n, uint32_t vocab, size_t piece)
{
    bm_bpe_train_opts opts = bm_bpe_train_opts_default();
    bm_bpe_trainer *trainer;
    bm_tokenizer *t;
    opts.vocab_size = vocab;
    test_ok(bm_bpe_trainer_create(&trainer, &opts));
    for (size_t at = 0; at < n; at += piece)
        test_ok(bm_bpe_trainer_feed(trainer, text + at, piece < n - at ? piece : n - at));
    test_ok(bm_bpe_trainer_train(&t, trainer));
    bm_bpe_trainer_destroy(trainer);
    return t;
}

static void check_merges(const bm_tokenizer *t, const uint32_t *merges, size_t n)
{
    ck_assert_uint_eq(t->bpe.n_merges, n);
    for (size_t k = 0; k < 2 * n; k++)
        ck_assert_msg(t->bpe.merges[k] == merges[k], "merge %zu: %u, not %u", k / 2, t->bpe.merges[k], merges[k]);
}

START_TEST(merges_are_those_of_a_plain_trainer)
{
    static const size_t pieces[] = {1, 7, 100000};
    uint32_t vocab, *merges;
    size_t n;
    char *text = text_training(&vocab, &merges, &n);
    for (size_t i = 0; i < 3; i++) {
        bm_tokenizer *t = train(text, strlen(text), vocab, pieces[i]);
        ck_assert_uint_eq(bm_tokenizer_vocab_size(t), vocab);
        check_merges(t, merges, n);
        bm_tokenizer_destroy(t);
    }
    free(merges);
    free(text);
}
END_TEST

/* One word in a row of symbols: counts every pair anew for each merge, as the definition says. */
static size_t plain_trainer(uint32_t *merges, size_t wanted, uint32_t *word, size_t n)
{
    size_t made = 0;
    for (; made < wanted; made++) {
        size_t best = 0, best_i = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            size_t count = 0;
            for (size_t k = 0; k + 1 < n; k++) count += word[k] == word[i] && word[k + 1] == word[i + 1];
            int smaller = count == best && (word[i] < word[best_i] || (word[i] == word[best_i] && word[i + 1] < word[best_i + 1]));
            if (count > best || (best && smaller)) best = count, best_i = i;
        }
        if (!best) break;
        uint32_t left = word[best_i], right = word[best_i + 1];
        size_t used = 0;
        for (size_t i = 0; i < n; i++) {
            int joins = i + 1 < n && word[i] == left && word[i + 1] == right;
            word[used++] = joins ? (uint32_t)(256 + made) : word[i];
            i += (size_t)joins;
        }
        n = used;
        merges[2 * made] = left;
        merges[2 * made + 1] = right;
    }
    return made;
}

/* Few letters in one word make runs and overlaps: aaa, abab. */
START_TEST(overlapping_pairs_are_counted_exactly)
{
    enum { LETTERS = 160 };
    char text[LETTERS];
    uint32_t word[LETTERS], merges[2 * LETTERS];
    bm_rng rng = bm_rng_start(11, 0, (uint32_t)_i);
    uint64_t alphabet = 1 + (uint64_t)_i % 3;
    for (int i = 0; i < LETTERS; i++) word[i] = (unsigned char)(text[i] = (char)('a' + bm_rng_below(&rng, alphabet)));
    size_t n = plain_trainer(merges, 60, word, LETTERS);
    bm_tokenizer *t = train(text, LETTERS, (uint32_t)(257 + n), LETTERS);
    check_merges(t, merges, n);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(ties_go_to_the_smaller_pair)
{
    static const uint32_t expected[] = {' ', 'a', ' ', 'c', 256, 'b', 257, 'b'}; /* words " ab" and " cb", twice each */
    bm_tokenizer *t = train(" cb ab cb ab", 12, 261, 5);
    check_merges(t, expected, 4);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(a_text_too_small_says_how_large_it_may_be)
{
    bm_bpe_train_opts opts = bm_bpe_train_opts_default();
    bm_bpe_trainer *trainer;
    bm_tokenizer *t = (bm_tokenizer *)1;
    opts.vocab_size = 300;
    test_ok(bm_bpe_trainer_create(&trainer, &opts));
    test_ok(bm_bpe_trainer_feed(trainer, "abab", 4));
    test_fails(bm_bpe_trainer_train(&t, trainer), BM_ERR_USAGE, "too small for a vocabulary of 300: it has pairs for 259");
    ck_assert_ptr_null(t);
    bm_bpe_trainer_destroy(trainer);
    opts.vocab_size = 256;
    test_fails(bm_bpe_trainer_create(&trainer, &opts), BM_ERR_USAGE, "vocabulary of 256: expected 257");
}
END_TEST

START_TEST(a_pretoken_does_not_cross_documents)
{
    bm_bpe_train_opts opts = bm_bpe_train_opts_default();
    bm_bpe_trainer *trainer;
    bm_tokenizer *t;
    static const uint32_t expected[] = {'a', 'b'};
    opts.vocab_size = 258;
    test_ok(bm_bpe_trainer_create(&trainer, &opts));
    for (int i = 0; i < 3; i++) {
        test_ok(bm_bpe_trainer_feed(trainer, i == 2 ? "ab" : "ba", 2)); /* ba|ba|ab: within one word b+a would be as frequent */
        test_ok(bm_bpe_trainer_end_document(trainer));
        test_ok(bm_bpe_trainer_feed(trainer, "ab", 2));
        test_ok(bm_bpe_trainer_end_document(trainer));
    }
    test_ok(bm_bpe_trainer_train(&t, trainer));
    check_merges(t, expected, 1);
    bm_tokenizer_destroy(t);
    bm_bpe_trainer_destroy(trainer);
}
END_TEST

static int stop_at_200(void *user, uint32_t merges, uint32_t of)
{
    *(uint32_t *)user = merges;
    return merges >= 200 && of == 743;
}

START_TEST(progress_can_stop_it)
{
    uint32_t vocab, *merges, reached = 0;
    size_t n;
    char *text = text_training(&vocab, &merges, &n);
    bm_bpe_train_opts opts = {1000, stop_at_200, &reached};
    bm_bpe_trainer *trainer;
    bm_tokenizer *t;
    test_ok(bm_bpe_trainer_create(&trainer, &opts));
    test_ok(bm_bpe_trainer_feed(trainer, text, strlen(text)));
    ck_assert_int_eq(bm_bpe_trainer_train(&t, trainer), BM_ERR_STOPPED);
    ck_assert_uint_eq(reached, 200);
    bm_bpe_trainer_destroy(trainer);
    free(merges);
    free(text);
}
END_TEST

/* More distinct words than are kept: the frequent ones stay with their true counts, and the table stays within bounds. */
START_TEST(rare_words_make_room)
{
    bm_word_counts c;
    uint32_t number;
    char word[16];
    bm_word_counts_init(&c);
    int failures = 0;
    for (int i = 0; i < 1500000; i++) {
        int n = snprintf(word, sizeof word, "%d", i);
        failures += bm_word_counts_add(&c, (const unsigned char *)word, (size_t)n) != BM_OK;
        if (i % 3 == 0) failures += bm_word_counts_add(&c, (const unsigned char *)"often", 5) != BM_OK;
        failures += c.words.count > BM_WORD_MOST || c.words.used > BM_WORD_MOST_BYTES + 16;
    }
    ck_assert_int_eq(failures, 0);
    number = bm_intern_find(&c.words, "often", 5);
    ck_assert_uint_ne(number, BM_INTERN_NONE);
    ck_assert_int_eq(c.count[number], 500000);
    ck_assert_int_eq(c.rare, 1);
    number = bm_intern_find(&c.words, "1499999", 7);
    ck_assert_uint_ne(number, BM_INTERN_NONE);
    ck_assert_int_eq(c.count[number], 1);
    bm_word_counts_finish(&c);
}
END_TEST

START_TEST(a_pretoken_of_a_megabyte_is_trained_on)
{
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    memset(text, 'a', BYTES);
    bm_tokenizer *t = train(text, BYTES, 257 + 15, 4096); /* in pieces of 32 KiB: 2^15 */
    for (uint32_t k = 1; k < 15; k++) ck_assert_uint_eq(t->bpe.merges[2 * k], 255 + k);
    bm_tokenizer_destroy(t);
    free(text);
}
END_TEST

static bm_status train_once(void *unused)
{
    static const char text[] = "the light that it was good: and the light, the light";
    bm_bpe_train_opts opts = bm_bpe_train_opts_default();
    bm_bpe_trainer *trainer = NULL;
    bm_tokenizer *t = NULL;
    bm_status status;
    (void)unused;
    opts.vocab_size = 270;
    BM_GO(bm_bpe_trainer_create(&trainer, &opts));
    BM_GO(bm_bpe_trainer_feed(trainer, text, sizeof text - 1));
    BM_GO(bm_bpe_trainer_train(&t, trainer));
done:
    bm_bpe_trainer_destroy(trainer);
    bm_tokenizer_destroy(t);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks) { test_fail_allocations(train_once, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("bpe_train");
    TCase *t = tcase_create("bpe_train");
    tcase_add_test(t, merges_are_those_of_a_plain_trainer);
    tcase_add_loop_test(t, overlapping_pairs_are_counted_exactly, 0, 60);
    tcase_add_test(t, ties_go_to_the_smaller_pair);
    tcase_add_test(t, a_text_too_small_says_how_large_it_may_be);
    tcase_add_test(t, a_pretoken_does_not_cross_documents);
    tcase_add_test(t, progress_can_stop_it);
    tcase_add_test(t, rare_words_make_room);
    tcase_add_test(t, a_pretoken_of_a_megabyte_is_trained_on);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
