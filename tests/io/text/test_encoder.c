#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "io/text/tokenizer.h"
#include "tests/lib/test.h"
#include "tests/lib/text_cases.h"

typedef struct ids_list {
    uint32_t *ids;
    size_t n, capacity;
} ids_list;

static bm_status keep(void *user, const uint32_t *ids, size_t n)
{
    ids_list *l = user;
    if (l->n + n > l->capacity) {
        l->capacity = 2 * (l->n + n);
        l->ids = realloc(l->ids, l->capacity * sizeof *l->ids);
        ck_assert_ptr_nonnull(l->ids);
    }
    memcpy(l->ids + l->n, ids, n * sizeof *ids);
    l->n += n;
    return BM_OK;
}

static bm_tokenizer *small(void)
{
    bm_tokenizer *t;
    test_ok(bm_tokenizer_import_gpt2(&t, test_source("tests/io/text/small_encoder.json"),
                                     test_source("tests/io/text/small_vocab.bpe")));
    return t;
}

static bm_tokenizer *byte(void)
{
    bm_tokenizer *t;
    test_ok(bm_tokenizer_create_byte(&t));
    return t;
}

static void check_ids(const ids_list *l, const uint32_t *ids, size_t n, size_t which)
{
    ck_assert_msg(l->n == n, "case %zu: %zu ids, not %zu", which, l->n, n);
    if (n == 0 || memcmp(l->ids, ids, n * sizeof *ids) == 0) return;
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(l->ids[i] == ids[i], "case %zu: id %zu is %u, not %u", which, i, l->ids[i], ids[i]);
}

/* Feeds pieces of `piece` bytes, or of 1 to -piece bytes by chance. */
static void encode_in_pieces(ids_list *l, bm_encoder *e, const void *text, size_t bytes, int piece)
{
    bm_rng rng = bm_rng_start(5, 1, (uint32_t)bytes);
    l->n = 0;
    for (size_t at = 0; at < bytes;) {
        size_t k = piece > 0 ? (size_t)piece : 1 + bm_rng_below(&rng, (uint64_t)-piece);
        if (k > bytes - at) k = bytes - at;
        test_ok(bm_encoder_feed(e, (const char *)text + at, k));
        at += k;
    }
    test_ok(bm_encoder_finish(e));
}

START_TEST(ids_are_those_of_independent_encoders)
{
    static const int pieces[] = {1 << 20, 1, 2, 3, 64, -7};
    size_t n;
    text_case *cases = text_cases(&n, "small");
    bm_tokenizer *t = small();
    bm_encoder *e;
    ids_list l = {0};
    test_ok(bm_encoder_create(&e, t, NULL, keep, &l));
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        for (size_t i = 0; i < n; i++) {
            encode_in_pieces(&l, e, cases[i].text, cases[i].bytes, pieces[p]);
            check_ids(&l, cases[i].ids, cases[i].n_ids, i);
        }
    }
    free(l.ids);
    bm_encoder_destroy(e);
    text_cases_free(cases, n);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(decoding_gives_back_every_byte_also_in_pieces)
{
    size_t n;
    text_case *cases = text_cases(&n, "small");
    bm_tokenizer *t = small();
    for (size_t i = 0; i < n; i++) {
        char *text;
        size_t bytes, at = 0;
        for (size_t k = 0; k < cases[i].n_ids; k++) {
            test_ok(bm_tokenizer_decode(&text, &bytes, t, cases[i].ids + k, 1));
            ck_assert(at + bytes <= cases[i].bytes && memcmp(text, cases[i].text + at, bytes) == 0);
            at += bytes;
            bm_free(text);
        }
        ck_assert_uint_eq(at, cases[i].bytes);
    }
    text_cases_free(cases, n);
    bm_tokenizer_destroy(t);
}
END_TEST

START_TEST(bytes_are_their_own_ids)
{
    unsigned char text[256];
    uint32_t *ids, expected[256];
    size_t n;
    bm_tokenizer *t = byte();
    for (uint32_t i = 0; i < 256; i++) expected[i] = text[i] = (unsigned char)i;
    test_ok(bm_tokenizer_encode(&ids, &n, t, text, sizeof text));
    check_ids(&(ids_list){ids, n, 0}, expected, 256, 0);
    bm_free(ids);
    test_ok(bm_tokenizer_encode(&ids, &n, t, "", 0));
    ck_assert_uint_eq(n, 0);
    bm_free(ids);
    bm_tokenizer_destroy(t);
}
END_TEST

/* What stands around end-of-text is encoded as texts of their own. */
START_TEST(end_of_text_is_special_only_when_asked)
{
    static const char text[] = "<<|endoftext|>the  <|endoftext|><|endoftext|>  deep<|endof<|endoftext|x|>";
    static const char *const parts[] = {"<", "the  ", "", "  deep<|endof<|endoftext|x|>"};
    for (int kind = 0; kind < 2; kind++) {
        bm_tokenizer *t = kind ? small() : byte();
        bm_encoder_opts opts = bm_encoder_opts_default();
        bm_encoder *e;
        ids_list l = {0}, expected = {0};
        uint32_t eot = bm_tokenizer_eot(t);
        for (size_t i = 0; i < 4; i++) {
            uint32_t *ids;
            size_t n;
            test_ok(bm_tokenizer_encode(&ids, &n, t, parts[i], strlen(parts[i])));
            keep(&expected, ids, n);
            if (i < 3) keep(&expected, &eot, 1);
            bm_free(ids);
        }
        opts.special = 1;
        test_ok(bm_encoder_create(&e, t, &opts, keep, &l));
        for (int piece = 1; piece < 20; piece++) {
            encode_in_pieces(&l, e, text, sizeof text - 1, piece);
            check_ids(&l, expected.ids, expected.n, (size_t)piece);
        }
        encode_in_pieces(&l, e, "a<|endoftex", 11, 4); /* ends in the middle */
        for (size_t i = 0; i < l.n; i++) ck_assert_uint_ne(l.ids[i], eot);
        bm_encoder_destroy(e);
        test_ok(bm_encoder_create(&e, t, NULL, keep, &l));
        encode_in_pieces(&l, e, text, sizeof text - 1, 5);
        for (size_t i = 0; i < l.n; i++) ck_assert_uint_ne(l.ids[i], eot);
        bm_encoder_destroy(e);
        free(l.ids);
        free(expected.ids);
        bm_tokenizer_destroy(t);
    }
}
END_TEST

/* A merge a+a, then aa+aa, and so on: n = 2^k gives one id per 2^k bytes, whatever the length of the run. Looking at all
 * pairs again after each merge would be 10^12 steps. */
START_TEST(merging_a_run_of_a_megabyte_takes_no_quadratic_time)
{
    enum { LEVELS = 10, BYTES = 1 << 20 };
    static const char fills[] = {'a', ' ', '='};
    uint32_t byte_id[256], merges[3 * LEVELS * 2];
    char *text = malloc(BYTES + 1);
    bm_tokenizer *t;
    for (uint32_t i = 0; i < 256; i++) byte_id[i] = i;
    for (uint32_t f = 0; f < 3; f++) {
        for (uint32_t k = 0; k < LEVELS; k++) {
            uint32_t m = f * LEVELS + k, part = k ? 256 + m - 1 : (unsigned char)fills[f];
            merges[2 * m] = merges[2 * m + 1] = part;
        }
    }
    test_ok(bm_tokenizer_create_bpe(&t, byte_id, merges, 3 * LEVELS));
    for (uint32_t f = 0; f < 3; f++) {
        ids_list l = {0};
        bm_encoder *e;
        memset(text, fills[f], BYTES);
        test_ok(bm_encoder_create(&e, t, NULL, keep, &l));
        encode_in_pieces(&l, e, text, BYTES, 1000);
        ck_assert_uint_eq(l.n, BYTES >> LEVELS);
        size_t wrong = 0;
        for (size_t i = 0; i < l.n; i++) wrong += l.ids[i] != 256 + (f + 1) * LEVELS - 1;
        ck_assert_uint_eq(wrong, 0);
        bm_encoder_destroy(e);
        free(l.ids);
    }
    free(text);
    bm_tokenizer_destroy(t);
}
END_TEST

/* Going through the run anew for each piece would be 32 GB. */
START_TEST(feeding_a_run_of_megabytes_takes_no_quadratic_time)
{
    enum { PIECE = 1000, PIECES = 8000 };
    char piece[PIECE];
    bm_tokenizer *t = small();
    bm_encoder *e;
    ids_list l = {0};
    clock_t before = clock();
    memset(piece, 'Z', PIECE); /* no merge has it */
    test_ok(bm_encoder_create(&e, t, NULL, keep, &l));
    for (int i = 0; i < PIECES; i++) test_ok(bm_encoder_feed(e, piece, PIECE));
    test_ok(bm_encoder_finish(e));
    ck_assert_msg((double)(clock() - before) / CLOCKS_PER_SEC < 20, "quadratic");
    ck_assert_uint_eq(l.n, PIECE * PIECES);
    bm_encoder_destroy(e);
    bm_tokenizer_destroy(t);
    free(l.ids);
}
END_TEST

static bm_status refuse(void *user, const uint32_t *ids, size_t n)
{
    (void)user, (void)ids, (void)n;
    return bm_fail(BM_ERR_NO_SPACE, "full");
}

START_TEST(a_failure_of_the_taker_comes_back)
{
    bm_tokenizer *t = small();
    bm_encoder *e;
    test_ok(bm_encoder_create(&e, t, NULL, refuse, NULL));
    test_ok(bm_encoder_feed(e, "one two", 7));
    ck_assert_int_eq(bm_encoder_finish(e), BM_ERR_NO_SPACE);
    bm_encoder_destroy(e);
    bm_tokenizer_destroy(t);
}
END_TEST

/* More distinct words than the cache holds, twice over, so that it starts anew and is used after that. */
START_TEST(a_full_cache_changes_nothing)
{
    bm_tokenizer *t = small();
    bm_encoder *e;
    ids_list l = {0}, one = {0};
    char word[32];
    test_ok(bm_encoder_create(&e, t, NULL, keep, &l));
    for (int i = 0; i < 150000; i++) {
        int n = snprintf(word, sizeof word, " %d", (i * 7919) % 70000);
        test_ok(bm_encoder_feed(e, word, (size_t)n));
    }
    test_ok(bm_encoder_finish(e));
    bm_encoder_destroy(e);
    for (int i = 0; i < 150000; i += 1000) { /* a fresh encoder has an empty cache */
        test_ok(bm_encoder_create(&e, t, NULL, keep, &one));
        int n = snprintf(word, sizeof word, " %d", (i * 7919) % 70000);
        encode_in_pieces(&one, e, word, (size_t)n, 100);
        bm_encoder_destroy(e);
        size_t at = 0;
        while (at + one.n <= l.n && memcmp(l.ids + at, one.ids, one.n * sizeof *one.ids) != 0) at++;
        ck_assert_msg(at + one.n <= l.n, "%s", word);
    }
    char *text;
    size_t bytes, at = 0;
    test_ok(bm_tokenizer_decode(&text, &bytes, t, l.ids, l.n));
    for (int i = 0; i < 150000; i++) {
        int n = snprintf(word, sizeof word, " %d", (i * 7919) % 70000);
        ck_assert_mem_eq(text + at, word, (size_t)n);
        at += (size_t)n;
    }
    ck_assert_uint_eq(at, bytes);
    bm_free(text);
    free(l.ids);
    free(one.ids);
    bm_tokenizer_destroy(t);
}
END_TEST

static bm_status encode_once(void *arg)
{
    static const char text[] = "the light\xff  that it was good aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    uint32_t *ids;
    size_t n;
    bm_status status = bm_tokenizer_encode(&ids, &n, arg, text, sizeof text - 1);
    bm_free(ids);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    bm_tokenizer *t = small();
    test_fail_allocations(encode_once, t);
    bm_tokenizer_destroy(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("encoder");
    TCase *t = tcase_create("encoder");
    tcase_add_test(t, ids_are_those_of_independent_encoders);
    tcase_add_test(t, decoding_gives_back_every_byte_also_in_pieces);
    tcase_add_test(t, bytes_are_their_own_ids);
    tcase_add_test(t, end_of_text_is_special_only_when_asked);
    tcase_add_test(t, merging_a_run_of_a_megabyte_takes_no_quadratic_time);
    tcase_add_test(t, feeding_a_run_of_megabytes_takes_no_quadratic_time);
    tcase_add_test(t, a_failure_of_the_taker_comes_back);
    tcase_add_test(t, a_full_cache_changes_nothing);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
