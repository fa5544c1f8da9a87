#include "io/store/bigrams.h"

#include <math.h>

#include "tests/lib/test.h"

static bm_tokens *make(const char *name, const uint32_t *ids, int64_t n, int64_t vocab)
{
    bm_tokens_writer *w;
    bm_tokens *t;
    bm_content_id id;
    bm_tokens_opts o = bm_tokens_opts_default();
    o.vocab_size = vocab;
    o.replace = 1;
    test_ok(bm_tokens_writer_create(&w, test_path(name), &o));
    test_ok(bm_tokens_writer_add(w, ids, n));
    test_ok(bm_tokens_writer_commit(&id, w));
    bm_tokens_writer_destroy(w);
    test_ok(bm_tokens_open(&t, test_path(name)));
    return t;
}

START_TEST(what_always_follows_costs_nothing)
{
    const uint32_t ids[] = {0, 1, 2, 0, 1, 2, 0, 1, 2};
    bm_tokens *t = make("cycle.h5", ids, 9, 3);
    double h;
    test_ok(bm_bigram_entropy(&h, t));
    ck_assert_double_eq(h, 0);
    bm_tokens_close(t);
}
END_TEST

/* Pairs 0->0, 0->1, 1->0, 0->0, 0->1: after 0 two of each (ln 2 for 4 pairs), after 1 nothing is open (1 pair). */
START_TEST(a_hand_count_agrees)
{
    const uint32_t ids[] = {0, 0, 1, 0, 0, 1};
    bm_tokens *t = make("hand.h5", ids, 6, 2);
    double h;
    test_ok(bm_bigram_entropy(&h, t));
    ck_assert_double_eq_tol(h, log(2) * 4 / 5, 1e-15);
    bm_tokens_close(t);
}
END_TEST

START_TEST(large_vocabularies_are_refused)
{
    const uint32_t ids[] = {0, 1};
    bm_tokens *t = make("large.h5", ids, 2, 50257);
    double h;
    test_fails(bm_bigram_entropy(&h, t), BM_ERR_UNSUPPORTED, "50257");
    bm_tokens_close(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("io/store/bigrams");
    TCase *t = tcase_create("bigrams");
    tcase_add_test(t, what_always_follows_costs_nothing);
    tcase_add_test(t, a_hand_count_agrees);
    tcase_add_test(t, large_vocabularies_are_refused);
    suite_add_tcase(s, t);
    return test_run(s);
}
