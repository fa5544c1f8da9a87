/* The section search: what is read, what is refused, what is drawn. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/config/space.h"
#include "models/nn/model.h"
#include "tests/lib/test.h"

static bm_config *config(void)
{
    size_t n;
    bm_config *c;
    const bm_config_family *const *families = bm_model_families(&n);
    test_ok(bm_config_create(&c, families, n));
    return c;
}

static bm_status load(bm_config *c, const char *search)
{
    char text[2000];
    snprintf(text, sizeof text, "model: {family: mlp}\ndata: {path: d.h5}\n%s", search);
    return bm_config_load_text(c, text, strlen(text), "t.yaml", NULL);
}

static const char all[] = "search:\n"
                          "  train.lr: [1e-4, 1e-2, log]\n"
                          "  train.momentum: [0.0, 0.9, linear]\n"
                          "  train.micro_batch: [1, 4, linear]\n"
                          "  train.warmup: [1, 1000, log]\n"
                          "  train.schedule: [cosine, linear]\n"
                          "  model.widths: [[32], [64, 64], []]\n"
                          "  train.batch: [16, 32, choice]\n"
                          "  train.clip: [0.5, 1.0, 2.0]\n"
                          "  train.class_weights: [balanced, [1, 2.5]]\n"
                          "train: {steps: 7}\n";

START_TEST(every_form_is_read)
{
    bm_config *c = config();
    const bm_space_key *k;
    test_ok(load(c, all));
    ck_assert_uint_eq(bm_config_space(&k, c), 9);
    ck_assert_str_eq(k[0].name, "train.lr");
    ck_assert(k[0].kind == BM_SPACE_LOG && k[0].low == 1e-4 && k[0].high == 1e-2 && !k[0].integer);
    ck_assert(k[1].kind == BM_SPACE_LINEAR && k[1].low == 0 && k[1].high == 0.9);
    ck_assert(k[2].kind == BM_SPACE_LINEAR && k[2].integer && k[2].high == 4);
    ck_assert(k[3].kind == BM_SPACE_LOG && k[3].integer);
    ck_assert(k[4].kind == BM_SPACE_CHOICE && k[4].choices == 2);
    ck_assert_str_eq(k[4].choice[1], "linear");
    ck_assert_int_eq(k[5].choices, 3);
    ck_assert_str_eq(k[5].choice[1], "[64, 64]");
    ck_assert_str_eq(k[5].choice[2], "[]");
    ck_assert_int_eq(k[6].choices, 2);
    ck_assert_int_eq(k[7].choices, 3);
    ck_assert_int_eq(k[8].choices, 2);
    ck_assert_str_eq(k[8].choice[1], "[1, 2.5]");
    ck_assert_int_eq(bm_config_i64(c, "train.steps"), 7); /* what stands behind it is read as ever */
    ck_assert_double_eq(bm_config_f64(c, "train.lr"), 1e-3); /* and the section sets nothing */
    bm_config *same = config(), *other = config();
    test_ok(load(same, all));
    test_ok(load(other, "search: {train.lr: [1e-4, 1e-3, log]}\n"));
    ck_assert(bm_config_same_space(c, same) && !bm_config_same_space(c, other));
    bm_config_destroy(same);
    bm_config_destroy(other);
    bm_config_destroy(c);
}
END_TEST

static const struct { const char *text, *words; } faults[] = {
    {"search: {train.lrr: [1e-4, 1e-2, log]}\n", "t.yaml:3: search.train.lrr: train.lrr: no such key (did you mean train.lr?)"},
    {"search: {lr: [1e-4, 1e-2, log]}\n", "did you mean train.lr?"},
    {"search: {model.heads: [1, 2, choice]}\n", "model.heads: no such key"},
    {"search: {model.family: [mlp, cnn]}\n", "a search is of one family"},
    {"search:\n  train.lr: [-1, 1e-2, linear]\n", "t.yaml:4: search.train.lr: -1: expected a number >= 0"},
    {"search: {train.beta1: [0.5, 1.0, linear]}\n", "search.train.beta1: 1.0: expected a number >= 0 and < 1"},
    {"search: {train.lr: [1e-2, 1e-4, log]}\n", "the first must be below the second"},
    {"search: {train.lr: [0, 1e-2, log]}\n", "begins above 0"},
    {"search: {train.lr: [1e-4, 1e-2]}\n", "say what they are: [1e-4, 1e-2, log]"},
    {"search: {train.lr: [1e-4, log]}\n", "a range is [LOW, HIGH, log], and this has 1 values"},
    {"search: {train.lr: 1e-4}\n", "expected a list: [LOW, HIGH, log]"},
    {"search: {train.lr: []}\n", "an empty list"},
    {"search: {train.lr: [choice]}\n", "nothing to choose from"},
    {"search: {train.lr: {low: 1}}\n", "a mapping"},
    {"search: {train: {lr: [1, 2, log]}}\n", "here a key is written with its section: train.KEY: [...]"},
    {"search: {train.lr: [{a: 1}]}\n", "a mapping among the values"},
    {"search: {train.optimizer: [adam, adamm]}\n", "search.train.optimizer: adamm: expected one of"},
    {"search: {model.widths: [[32, x]]}\n", "expected a list of integers"},
    {"search: {train.batch: [all, 32, linear]}\n", "the first must be below the second"},
    {"search:\n  train.lr: [1, 2, log]\n  train.lr: [1, 2, log]\n", "t.yaml:5: search.train.lr: given twice"},
    {"search: {train.lr: [1, 2, log]}\nsearch: {}\n", "search: given twice"},
    {"search: 3\n", "search: expected keys below it"},
};

START_TEST(a_fault_names_place_key_and_remedy)
{
    bm_config *c = config();
    test_fails(load(c, faults[_i].text), BM_ERR_CONFIG, faults[_i].words);
    bm_config_destroy(c);
}
END_TEST

START_TEST(draws_depend_on_seed_key_and_trial_alone)
{
    bm_config *c = config(), *turned = config();
    const bm_space_key *k, *t;
    char a[BM_SPACE_VALUE], b[BM_SPACE_VALUE];
    test_ok(load(c, "search:\n  train.lr: [1e-4, 1e-2, log]\n  train.optimizer: [adam, sgd, lion]\n"));
    test_ok(load(turned, "search:\n  train.optimizer: [adam, sgd, lion]\n  train.lr: [1e-4, 1e-2, log]\n"));
    bm_config_space(&k, c);
    bm_config_space(&t, turned);
    int differ = 0;
    for (uint32_t trial = 1; trial <= 20; trial++) {
        ck_assert_str_eq(bm_space_draw(a, &k[0], 1, trial), bm_space_draw(b, &t[1], 1, trial));
        ck_assert_str_eq(bm_space_draw(a, &k[1], 1, trial), bm_space_draw(b, &t[0], 1, trial));
        differ += strcmp(bm_space_draw(a, &k[0], 1, trial), bm_space_draw(b, &k[0], 2, trial)) != 0;
    }
    ck_assert_int_eq(differ, 20);
    bm_config_destroy(c);
    bm_config_destroy(turned);
}
END_TEST

/* Bounds of 5 standard deviations of what a fair draw gives in N trials. */
START_TEST(draws_fill_the_range_evenly)
{
    enum { N = 4000 };
    bm_config *c = config();
    const bm_space_key *k;
    test_ok(load(c, all));
    bm_config_space(&k, c);
    int low_half[8] = {0}, of_four[5] = {0};
    for (uint32_t trial = 1; trial <= N; trial++) {
        char text[BM_SPACE_VALUE];
        for (int i = 0; i < 4; i++) {
            const double x = atof(bm_space_draw(text, &k[i], 3, trial));
            ck_assert_msg(x >= k[i].low && x <= k[i].high, "%s: %s", k[i].name, text);
            const double middle = k[i].kind == BM_SPACE_LOG ? sqrt(k[i].low * k[i].high) : (k[i].low + k[i].high) / 2;
            low_half[i] += x < middle;
            if (i == 2) of_four[(int)x]++;
        }
        for (int i = 4; i < 8; i++) low_half[i] += !strcmp(bm_space_draw(text, &k[i], 3, trial), k[i].choice[0]);
    }
    const double share[8] = {0.5, 0.5, 0.5, 0.5, 0.5, 1 / 3.0, 0.5, 1 / 3.0};
    for (int i = 0; i < 8; i++) {
        const double due = share[i], bound = 5 * sqrt(due * (1 - due) / N) + (i == 3 ? 0.01 : 0); /* 31.6 is no integer */
        ck_assert_msg(fabs((double)low_half[i] / N - due) < bound, "%s: %d of %d", k[i].name, low_half[i], N);
    }
    for (int i = 1; i <= 4; i++) ck_assert_msg(fabs(of_four[i] / (double)N - 0.25) < 5 * sqrt(0.1875 / N), "%d: %d", i, of_four[i]);
    bm_config_destroy(c);
}
END_TEST

START_TEST(what_is_drawn_can_be_set)
{
    bm_config *c = config();
    const bm_space_key *k;
    test_ok(load(c, all));
    const size_t n = bm_config_space(&k, c);
    for (uint32_t trial = 1; trial <= 50; trial++)
        for (size_t i = 0; i < n; i++) {
            char text[BM_SPACE_VALUE], assignment[BM_SPACE_VALUE + 100];
            snprintf(assignment, sizeof assignment, "%s=%s", k[i].name, bm_space_draw(text, &k[i], 9, trial));
            test_ok(bm_config_set(c, assignment));
        }
    bm_config_destroy(c);
}
END_TEST

static bm_status create_and_load(void *arg)
{
    size_t n;
    bm_config *c = NULL;
    const bm_config_family *const *families = bm_model_families(&n);
    bm_status status = bm_config_create(&c, families, n);
    if (!status) status = load(c, arg);
    bm_config_destroy(c);
    return status;
}

START_TEST(no_memory) { test_fail_allocations(create_and_load, (void *)all); }
END_TEST

int main(void)
{
    Suite *s = suite_create("space");
    TCase *t = tcase_create("space");
    tcase_add_test(t, every_form_is_read);
    tcase_add_loop_test(t, a_fault_names_place_key_and_remedy, 0, sizeof faults / sizeof *faults);
    tcase_add_test(t, draws_depend_on_seed_key_and_trial_alone);
    tcase_add_test(t, draws_fill_the_range_evenly);
    tcase_add_test(t, what_is_drawn_can_be_set);
    tcase_add_test(t, no_memory);
    suite_add_tcase(s, t);
    return test_run(s);
}
