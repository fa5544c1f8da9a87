/* Scores against those of scikit-learn (tests/fixtures/scores.h5), and by hand where it has none. */
#include "models/train/scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/h5fixture.h"
#include "tests/lib/test.h"

static h5fixture *fixture;

static void open_fixture(void) { fixture = h5fixture_open("scores.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

static const struct known {
    const char *group;
    bm_scores_kind kind;
    int64_t classes;
    const char *scores[8];
} cases[] = {
    {"/numbers", BM_SCORES_NUMBERS, 0, {"r2", "mae", "rmse"}},
    {"/missing", BM_SCORES_NUMBERS, 0, {"r2", "mae", "rmse"}},
    {"/flat", BM_SCORES_NUMBERS, 0, {"r2", "mae", "rmse"}},
    {"/binary", BM_SCORES_BINARY, 2, {"accuracy", "precision", "recall", "f1", "f1_macro", "roc_auc"}},
    {"/classes", BM_SCORES_CLASSES, 8, {"accuracy", "top5_accuracy", "precision_macro", "recall_macro", "f1_macro"}},
};
#define CASES ((int)(sizeof cases / sizeof *cases))

static const char *path(const char *group, const char *name)
{
    static char text[2][64];
    static int next;
    char *p = text[next++ % 2];
    snprintf(p, sizeof text[0], "%s/%s", group, name);
    return p;
}

static void check_classes(const struct known *k, const bm_scores *s)
{
    static const char *const names[] = {"precision", "recall", "f1"};
    int32_t *confusion = h5fixture_i32(fixture, path(k->group, "confusion"), NULL);
    int32_t *support = h5fixture_i32(fixture, path(k->group, "support"), NULL);
    for (int64_t i = 0; i < k->classes * k->classes; i++) ck_assert_int_eq(bm_scores_confusion(s)[i], confusion[i]);
    for (int64_t c = 0; c < k->classes; c++) {
        const bm_class_scores of = bm_scores_of_class(s, c);
        const double got[] = {of.precision, of.recall, of.f1};
        ck_assert_int_eq(of.support, support[c]);
        for (int i = 0; i < 3; i++) {
            double *want = h5fixture_f64(fixture, path(k->group, names[i]), NULL);
            ck_assert_double_eq_tol(got[i], want[c], 1e-12);
            free(want);
        }
    }
    free(confusion);
    free(support);
}

/* In batches of `each` rows; NUMBERS, whose sums are large beside their differences, within 1e-9. */
static void check(const struct known *k, bm_scores *s, int64_t each)
{
    const int64_t rows = h5fixture_dim(fixture, path(k->group, "outputs"), 0);
    const int64_t width = h5fixture_dim(fixture, path(k->group, "outputs"), 1);
    float *outputs = h5fixture_f32(fixture, path(k->group, "outputs"), NULL);
    float *numbers = k->classes ? NULL : h5fixture_f32(fixture, path(k->group, "numbers"), NULL);
    int32_t *labels = k->classes ? h5fixture_i32(fixture, path(k->group, "labels"), NULL) : NULL;
    for (int64_t r = 0; r < rows; r += each) {
        const bm_scores_batch b = {.rows = rows - r < each ? rows - r : each, .outputs = outputs + r * width,
                                   .numbers = numbers ? numbers + r * width : NULL, .labels = labels ? labels + r : NULL};
        test_ok(bm_scores_add(s, &b));
    }
    for (int i = 0; k->scores[i]; i++) {
        ck_assert_str_eq(bm_scores_name(s, i), k->scores[i]);
        const double want = h5fixture_attr(fixture, k->group, k->scores[i]), got = bm_scores_get(s, k->scores[i]);
        ck_assert_msg(fabs(got - want) <= 1e-9 * fmax(1, fabs(want)), "%s: %s is %.12g, not %.12g", k->group, k->scores[i], got, want);
    }
    if (k->classes) check_classes(k, s);
    else ck_assert_ptr_null(bm_scores_confusion(s));
    free(outputs);
    free(numbers);
    free(labels);
}

/* All at once, in pieces, and again after a reset. */
START_TEST(scores_are_those_of_scikit_learn)
{
    const struct known *k = &cases[_i];
    const int64_t width = k->kind == BM_SCORES_BINARY ? 1 : h5fixture_dim(fixture, path(k->group, "outputs"), 1);
    bm_scores *s = NULL;
    test_ok(bm_scores_create(&s, k->kind, width));
    check(k, s, 1000);
    bm_scores_reset(s);
    check(k, s, 7);
    bm_scores_destroy(s);
}
END_TEST

/* 3 tokens that count, of 8 bytes: ln 2, ln 4 and ln 8 are 1, 2 and 3 bits. */
START_TEST(tokens_have_perplexity_and_bits_per_byte)
{
    const float nats[] = {(float)log(2), (float)log(4), 100, (float)log(8)};
    const int32_t labels[] = {5, 70000, -1, 0};
    bm_scores *s = NULL;
    test_ok(bm_scores_create(&s, BM_SCORES_TOKENS, 1));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 2, .outputs = nats, .labels = labels, .bytes = 3}));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 2, .outputs = nats + 2, .labels = labels + 2, .bytes = 5}));
    ck_assert_double_eq_tol(bm_scores_get(s, "perplexity"), 4, 1e-6);
    ck_assert_double_eq_tol(bm_scores_get(s, "bits_per_byte"), 6.0 / 8, 1e-7);
    bm_scores_reset(s);
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 1, .outputs = nats, .labels = labels}));
    ck_assert_double_eq_tol(bm_scores_get(s, "perplexity"), 2, 1e-6);
    ck_assert(isnan(bm_scores_get(s, "bits_per_byte")));
    bm_scores_destroy(s);
}
END_TEST

/* Read: 1 2 (of 1 1 blank 2), then, of the two steps that count, 2 (of 2 2): 1 and 2 edits from 1 3 and from 2 1 1. */
START_TEST(sequences_have_a_word_error_rate)
{
    static const int best[2][4] = {{1, 1, 0, 2}, {2, 2, 1, 1}};
    const int32_t labels[] = {1, 3, -1, 2, 1, 1}, lengths[] = {4, 2};
    float x[2][4][4] = {{{0}}};
    bm_scores *s = NULL;
    for (int b = 0; b < 2; b++)
        for (int t = 0; t < 4; t++) x[b][t][best[b][t]] = 1;
    test_ok(bm_scores_create(&s, BM_SCORES_SEQUENCES, 4));
    bm_scores_batch batch = {.rows = 2, .outputs = &x[0][0][0], .labels = labels, .lengths = lengths, .steps = 4, .most = 3};
    test_ok(bm_scores_add(s, &batch));
    ck_assert_double_eq_tol(bm_scores_get(s, "word_error_rate"), 3.0 / 5, 1e-12);
    batch.lengths = NULL; /* 2 1: one edit from 2 1 1 */
    test_ok(bm_scores_add(s, &batch));
    ck_assert_double_eq_tol(bm_scores_get(s, "word_error_rate"), (3.0 + 2.0) / 10, 1e-12);
    ck_assert_ptr_null(bm_scores_name(s, 1));
    bm_scores_destroy(s);
}
END_TEST

START_TEST(what_has_no_answer_is_nan)
{
    static const bm_scores_kind kinds[] = {BM_SCORES_NUMBERS, BM_SCORES_BINARY, BM_SCORES_CLASSES, BM_SCORES_TOKENS,
                                           BM_SCORES_SEQUENCES};
    bm_scores *s = NULL;
    test_ok(bm_scores_create(&s, kinds[_i], 1));
    int n = 0;
    for (; bm_scores_name(s, n); n++)
        ck_assert_msg(isnan(bm_scores_get(s, bm_scores_name(s, n))), "%s of nothing", bm_scores_name(s, n));
    ck_assert_int_gt(n, 0);
    ck_assert(isnan(bm_scores_get(s, "beauty")));
    ck_assert(isnan(bm_scores_get(s, kinds[_i] == BM_SCORES_NUMBERS ? "accuracy" : "r2")));
    bm_scores_destroy(s);
}
END_TEST

/* One class alone has no ROC; five classes have no top five; one row has no spread. */
START_TEST(what_needs_more_is_nan)
{
    const float x[] = {1, 2, 3, 4, 5}, y[] = {2};
    const int32_t ones[] = {1, 1, 1}, label[] = {4};
    bm_scores *s = NULL;
    test_ok(bm_scores_create(&s, BM_SCORES_BINARY, 1));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 3, .outputs = x, .labels = ones}));
    ck_assert(isnan(bm_scores_get(s, "roc_auc")) && bm_scores_get(s, "accuracy") == 1);
    bm_scores_destroy(s);
    test_ok(bm_scores_create(&s, BM_SCORES_CLASSES, 5));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 1, .outputs = x, .labels = label}));
    ck_assert(isnan(bm_scores_get(s, "top5_accuracy")) && bm_scores_get(s, "accuracy") == 1);
    bm_scores_destroy(s);
    test_ok(bm_scores_create(&s, BM_SCORES_NUMBERS, 1));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 1, .outputs = x, .numbers = y}));
    ck_assert(isnan(bm_scores_get(s, "r2")) && bm_scores_get(s, "mae") == 1);
    bm_scores_destroy(s);
}
END_TEST

/* Class 1 is told by 0, 2, 1 and 3: of the four pairs of one of class 1 with another, three are in order. */
START_TEST(two_classes_have_a_roc_by_their_difference)
{
    const float x[] = {5, 5, 1, 3, 0, 1, -3, 0};
    const int32_t labels[] = {0, 0, 1, 1};
    bm_scores *s = NULL;
    test_ok(bm_scores_create(&s, BM_SCORES_CLASSES, 2));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 1, .outputs = x, .labels = labels}));
    test_ok(bm_scores_add(s, &(bm_scores_batch){.rows = 3, .outputs = x + 2, .labels = labels + 1}));
    ck_assert_double_eq_tol(bm_scores_get(s, "roc_auc"), 3.0 / 4, 1e-12);
    bm_scores_destroy(s);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    const float x[] = {1, 2, 3};
    const int32_t label[] = {3};
    bm_scores *s = NULL;
    test_fails(bm_scores_create(&s, BM_SCORES_CLASSES, 0), BM_ERR_USAGE, "0 outputs");
    ck_assert_ptr_null(s);
    test_fails(bm_scores_create(&s, BM_SCORES_CLASSES, INT64_MAX), BM_ERR_MEMORY, "memory");
    test_ok(bm_scores_create(&s, BM_SCORES_CLASSES, 3));
    test_fails(bm_scores_add(s, &(bm_scores_batch){.rows = 1, .outputs = x, .labels = label}), BM_ERR_USAGE, "class 3 of 3");
    bm_scores_destroy(s);
}
END_TEST

static bm_status use(void *arg)
{
    const float x[] = {1, 2, 3, 4};
    const int32_t labels[] = {1, 0};
    bm_scores *s = NULL;
    const bm_scores_kind kind = *(const bm_scores_kind *)arg;
    bm_status status = bm_scores_create(&s, kind, kind == BM_SCORES_BINARY ? 1 : 2);
    if (!status) status = bm_scores_add(s, &(bm_scores_batch){.rows = 2, .outputs = x, .labels = labels, .steps = 1, .most = 1});
    bm_scores_destroy(s);
    return status;
}

START_TEST(failing_allocations_leak_nothing)
{
    static bm_scores_kind kinds[] = {BM_SCORES_BINARY, BM_SCORES_CLASSES, BM_SCORES_SEQUENCES};
    test_fail_allocations(use, &kinds[_i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/scores");
    TCase *t = tcase_create("scores");
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_loop_test(t, scores_are_those_of_scikit_learn, 0, CASES);
    tcase_add_test(t, tokens_have_perplexity_and_bits_per_byte);
    tcase_add_test(t, sequences_have_a_word_error_rate);
    tcase_add_loop_test(t, what_has_no_answer_is_nan, 0, 5);
    tcase_add_test(t, what_needs_more_is_nan);
    tcase_add_test(t, two_classes_have_a_roc_by_their_difference);
    tcase_add_test(t, what_cannot_be_is_refused);
    tcase_add_loop_test(t, failing_allocations_leak_nothing, 0, 3);
    suite_add_tcase(s, t);
    return test_run(s);
}
