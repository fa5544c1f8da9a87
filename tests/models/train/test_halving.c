#include <math.h>
#include <string.h>

#include "models/train/halving.h"
#include "models/train/scores.h"
#include "tests/lib/test.h"

START_TEST(budgets_of_the_paper)
{
    /* 16 arms halved: 16, 8, 4, 2, 1 with budgets that double; 20 by 3: 20, 6, 2 of 1/9, 1/3, 1 */
    static const struct {
        int64_t trials;
        int eta, rungs;
        int64_t due[6];
    } cases[] = {{16, 2, 5, {16, 8, 4, 2, 1}}, {20, 3, 3, {20, 6, 2}}, {81, 3, 5, {81, 27, 9, 3, 1}}, {2, 3, 1, {2}}, {1, 2, 1, {1}}, {20, 0, 1, {20}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bm_halving h = bm_halving_make(cases[i].trials, cases[i].eta);
        ck_assert_int_eq(h.rungs, cases[i].rungs);
        for (int k = 0; k < h.rungs; k++) {
            ck_assert_int_eq(h.trials[k], cases[i].due[k]);
            ck_assert(fabs(h.share[k] * pow(cases[i].eta ? cases[i].eta : 1, h.rungs - 1 - k) - 1) < 1e-12);
        }
        ck_assert(h.share[h.rungs - 1] == 1);
    }
}
END_TEST

START_TEST(the_best_come_first_and_failures_last)
{
    bm_ranked list[] = {{1, 0.5}, {2, NAN}, {3, 0.25}, {4, 0.5}, {5, NAN}, {6, -1}};
    static const int64_t falls[] = {6, 3, 1, 4, 2, 5}, rises[] = {1, 4, 3, 6, 2, 5};
    bm_rank(list, 6, 0);
    for (int i = 0; i < 6; i++) ck_assert_int_eq(list[i].trial, falls[i]);
    ck_assert(list[0].score == -1 && list[1].score == 0.25);
    bm_rank(list, 6, 1);
    for (int i = 0; i < 6; i++) ck_assert_int_eq(list[i].trial, rises[i]);
}
END_TEST

/* Every score that there is has a direction. */
START_TEST(scores_have_a_direction)
{
    static const bm_scores_kind kinds[] = {BM_SCORES_NUMBERS, BM_SCORES_BINARY, BM_SCORES_CLASSES, BM_SCORES_TOKENS, BM_SCORES_SEQUENCES};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        bm_scores *s;
        const char *name;
        test_ok(bm_scores_create(&s, kinds[k], kinds[k] == BM_SCORES_CLASSES || kinds[k] == BM_SCORES_SEQUENCES ? 3 : 1));
        for (int i = 0; (name = bm_scores_name(s, i)); i++) ck_assert_msg(bm_metric_rises(name) >= 0, "%s", name);
        bm_scores_destroy(s);
    }
    ck_assert_int_eq(bm_metric_rises("val_loss"), 0);
    ck_assert_int_eq(bm_metric_rises("accuracy"), 1);
    ck_assert_int_eq(bm_metric_rises("acc"), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("halving");
    TCase *t = tcase_create("halving");
    tcase_add_test(t, budgets_of_the_paper);
    tcase_add_test(t, the_best_come_first_and_failures_last);
    tcase_add_test(t, scores_have_a_direction);
    suite_add_tcase(s, t);
    return test_run(s);
}
