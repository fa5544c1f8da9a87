#include "models/train/schedule.h"

#include "models/nn/model.h"
#include "tests/lib/test.h"

static bm_config *make(const char *const *sets)
{
    bm_config *c = NULL;
    size_t n;
    const bm_config_family *const *families = bm_model_families(&n);
    test_ok(bm_config_create(&c, families, n));
    test_ok(bm_config_set(c, "model.family=gpt"));
    for (; *sets; sets++) test_ok(bm_config_set(c, *sets));
    return c;
}

START_TEST(warmup_rises_in_a_line_to_lr)
{
    bm_config *c = make((const char *[]){"train.lr=1e-3", "train.warmup=4", "train.steps=10", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 1), 0.25e-3, 1e-18);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 3), 0.75e-3, 1e-18);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 4), 1e-3, 1e-18);
    bm_config_destroy(c);
}
END_TEST

/* Halfway the cosine is at the mean of its ends, a third of the way at 3/4 of the fall. */
START_TEST(cosine_falls_from_lr_to_min_lr)
{
    bm_config *c = make((const char *[]){"train.lr=1e-3", "train.min_lr=1e-4", "train.warmup=10", "train.steps=70", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 40), 5.5e-4, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 30), 1e-4 + 9e-4 * 0.75, 1e-15);
    ck_assert_double_eq_tol(bm_schedule_lr(c, 70), 1e-4, 1e-15);
    bm_config_destroy(c);
}
END_TEST

START_TEST(linear_falls_in_a_line_and_constant_stays)
{
    const char *sets[] = {"train.lr=1e-3", "train.min_lr=0", "train.warmup=0", "train.steps=10", "train.schedule=linear", NULL};
    bm_config *c = make(sets);
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
    bm_config *c = make((const char *[]){"train.lr=1e-3", "train.warmup=100", "train.steps=10", NULL});
    ck_assert_double_eq_tol(bm_schedule_lr(c, 10), 1e-4, 1e-18);
    bm_config_destroy(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/schedule");
    TCase *t = tcase_create("schedule");
    tcase_add_test(t, warmup_rises_in_a_line_to_lr);
    tcase_add_test(t, cosine_falls_from_lr_to_min_lr);
    tcase_add_test(t, linear_falls_in_a_line_and_constant_stays);
    tcase_add_test(t, a_warmup_longer_than_the_run_only_rises);
    suite_add_tcase(s, t);
    return test_run(s);
}
