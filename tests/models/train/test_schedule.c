#include "models/train/schedule.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/lib/small_gpt.h"
#include "tests/lib/test.h"

START_TEST(warmup_rises_in_a_line_to_lr)
{
    bm_config *c = small_gpt_config((const char *const[]){"train.lr=1e-3", "train.warmup=4", "train.steps=10", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 1), 0.25e-3, 1e-18);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 3), 0.75e-3, 1e-18);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 4), 1e-3, 1e-18);
    bm_config_destroy(c);
}
END_TEST

/* Halfway the cosine is at the mean of its ends, a third of the way at 3/4 of the fall. */
START_TEST(cosine_falls_from_lr_to_min_lr)
{
    bm_config *c = small_gpt_config((const char *const[]){"train.lr=1e-3", "train.min_lr=1e-4", "train.warmup=10", "train.steps=70", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 40), 5.5e-4, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 30), 1e-4 + 9e-4 * 0.75, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 70), 1e-4, 1e-15);
    bm_config_destroy(c);
}
END_TEST

START_TEST(linear_falls_in_a_line_and_constant_stays)
{
    const char *sets[] = {"train.lr=1e-3", "train.min_lr=0", "train.warmup=0", "train.steps=10", "train.schedule=linear", NULL};
    bm_config *c = small_gpt_config(sets);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 5), 5e-4, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 10), 0, 1e-18);
    test_ok(bm_config_set(c, "train.schedule=constant"));
    ck_assert_double_eq(bm_schedule_lr(c, 1), 1e-3);
    ck_assert_double_eq(bm_schedule_lr(c, 10), 1e-3);
    bm_config_destroy(c);
}
END_TEST

START_TEST(a_warmup_longer_than_the_run_only_rises)
{
    bm_config *c = small_gpt_config((const char *const[]){"train.lr=1e-3", "train.warmup=100", "train.steps=10", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 10), 1e-4, 1e-18);
    bm_config_destroy(c);
}
END_TEST

START_TEST(step_falls_by_gamma_every_so_many_steps)
{
    bm_config *c = small_gpt_config((const char *const[]){"train.lr=0.8", "train.warmup=2", "train.steps=20", "train.schedule=step", "train.gamma=0.5",
                                         "train.step_every=3", NULL});
    static const double want[] = {0.4, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1};
    for (int n = 1; n <= 12; n++) ck_assert_double_eq_tol(bm_schedule_lr(c, n), want[n - 1], 1e-15);
    bm_config_destroy(c);
}
END_TEST

/* A quarter of the way through the decay the root is 1/2. */
START_TEST(wsd_stays_and_then_falls_to_min_lr)
{
    bm_config *c = small_gpt_config((const char *const[]){"train.lr=0.8", "train.min_lr=0.2", "train.warmup=2", "train.steps=20", "train.schedule=wsd",
                                         "train.decay_steps=8", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 1), 0.4, 1e-15);
    ck_assert_double_eq(bm_schedule_lr(c, 3), 0.8);
    ck_assert_double_eq(bm_schedule_lr(c, 12), 0.8);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 14), 0.5, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 20), 0.2, 1e-15);
    test_ok(bm_config_set(c, "train.decay_steps=100"));
    ck_assert_double_eq_tol(bm_schedule_lr(c, 2), 0.8, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 11), 0.2 + 0.6 * (1 - sqrt(0.5)), 1e-15);
    bm_config_destroy(c);
}
END_TEST

/* What PyTorch 1.13 gives: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=10), then with pct_start=0.25,
 * div_factor=10, final_div_factor=100, 7 steps. */
START_TEST(one_cycle_is_that_of_pytorch)
{
    static const double whole[] = {0.02000000000000002, 0.26, 0.5, 0.4752423160067368, 0.4058728269748815, 0.3056310109681447,
                                    0.1943709890318554, 0.09412917302511849, 0.02475968399326314, 2e-06};
    static const double other[] = {0.04999999999999999, 0.4972104988497258, 0.4333297049894991, 0.3058246032555895,
                                    0.1590060791644928, 0.04389686611458033, 0.0005};
    bm_config *c = small_gpt_config((const char *const[]){"train.schedule=one_cycle", "train.lr=0.5", "train.steps=10", NULL});
    for (int n = 1; n <= 10; n++) ck_assert_double_eq_tol(bm_schedule_lr(c, n), whole[n - 1], 1e-14);
    test_ok(bm_config_set(c, "train.pct_start=0.25"));
    test_ok(bm_config_set(c, "train.div_factor=10"));
    test_ok(bm_config_set(c, "train.final_div_factor=100"));
    test_ok(bm_config_set(c, "train.steps=7"));
    for (int n = 1; n <= 7; n++) ck_assert_double_eq_tol(bm_schedule_lr(c, n), other[n - 1], 1e-14);
    test_ok(bm_config_set(c, "train.pct_start=0.01")); /* the peak lies before the first step */
    test_ok(bm_config_set(c, "train.steps=1"));
    ck_assert_double_eq_tol(bm_schedule_lr(c, 1), 5e-4, 1e-14);
    bm_config_destroy(c);
}
END_TEST

/* What PyTorch 1.13's ReduceLROnPlateau(optimizer, factor=0.5, patience=2, min_lr=0.06) makes of these losses and a rate of 0.4. A loss
 * that is lower by less than 1e-4 of it is no better, and lr does not fall below min_lr. */
START_TEST(plateau_is_that_of_pytorch)
{
    static const double losses[] = {1.0, 0.9, 0.9, 0.89999, 0.95, 0.8, 0.85, 0.84, 0.83, 0.9, 0.7, 0.75, 0.72, 0.71, 0.73, 0.74};
    static const double want[] = {0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.06, 0.06, 0.06};
    bm_config *c = small_gpt_config((const char *const[]){"train.schedule=plateau", "train.lr=0.4", "train.gamma=0.5",
                                                     "train.plateau_patience=2", "train.min_lr=0.06", "train.warmup=0", NULL});
    bm_course o = bm_course_start();
    for (int i = 0; i < 16; i++) {
        bm_course_see(&o, c, i + 1, losses[i]);
        bm_course_see(&o, c, i + 1, NAN); /* none was made */
        ck_assert_double_eq_tol(bm_course_lr(&o, c, i + 2), want[i], 1e-15);
    }
    test_ok(bm_config_set(c, "train.schedule=constant"));
    ck_assert_double_eq(bm_course_lr(&o, c, 20), 0.4);
    bm_config_destroy(c);
}
END_TEST

START_TEST(evaluations_without_a_better_one_end_a_run)
{
    static const double losses[] = {3, 2, 2.5, 2, 1.9, 1.95, 2.1, 1.9};
    static const int ends[] = {0, 0, 0, 0, 0, 0, 0, 1};
    bm_config *c = small_gpt_config((const char *const[]){"train.early_stop=3", NULL});
    bm_course o = bm_course_start();
    for (int i = 0; i < 8; i++) {
        bm_course_see(&o, c, 10 * (i + 1), losses[i]);
        ck_assert_int_eq(bm_course_stops(&o, c), ends[i]);
    }
    ck_assert_double_eq(o.best, 1.9);
    ck_assert_int_eq(o.best_step, 50);
    test_ok(bm_config_set(c, "train.early_stop=0"));
    ck_assert(!bm_course_stops(&o, c));
    bm_config_destroy(c);
}
END_TEST

START_TEST(a_checkpoint_tells_what_the_schedule_reads)
{
    static const struct { const char *schedule, *words; } want[] = {
        {"train.schedule=cosine", "\"type\": \"cosine\""}, {"train.schedule=step", "\"step_every\": 100"},
        {"train.schedule=step", "\"gamma\": 0.1"},           {"train.schedule=wsd", "\"decay_steps\": 100"},
        {"train.schedule=one_cycle", "\"final_div_factor\": 10000.0"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        bm_config *c = small_gpt_config((const char *const[]){want[i].schedule, NULL});
        char *text = NULL;
        test_ok(bm_schedule_to_json(&text, c));
        test_text_holds(text, want[i].words);
        ck_assert_int_eq(strstr(text, "gamma") != NULL, strstr(want[i].schedule, "step") != NULL);
        bm_free(text);
        bm_config_destroy(c);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/schedule");
    TCase *t = tcase_create("schedule");
    tcase_add_test(t, warmup_rises_in_a_line_to_lr);
    tcase_add_test(t, plateau_is_that_of_pytorch);
    tcase_add_test(t, evaluations_without_a_better_one_end_a_run);
    tcase_add_test(t, cosine_falls_from_lr_to_min_lr);
    tcase_add_test(t, linear_falls_in_a_line_and_constant_stays);
    tcase_add_test(t, a_warmup_longer_than_the_run_only_rises);
    tcase_add_test(t, step_falls_by_gamma_every_so_many_steps);
    tcase_add_test(t, wsd_stays_and_then_falls_to_min_lr);
    tcase_add_test(t, one_cycle_is_that_of_pytorch);
    tcase_add_test(t, a_checkpoint_tells_what_the_schedule_reads);
    suite_add_tcase(s, t);
    return test_run(s);
}
