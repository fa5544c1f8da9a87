/* What a step's loss counts: targets, and classes by their weights. */
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "models/nn/model.h"
#include "models/train/learner.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

enum { ROWS = 7, WIDTH = 5, CLASSES = 3 };

static bm_engine *engine;
static bm_config *config;
static bm_learner *learner;

static void open_learner(const char *extra)
{
    size_t n;
    const bm_config_family *const *families = bm_model_families(&n);
    static const char *const sets[] = {"model.family=linear", "model.task=classes", "model.input=5", "model.outputs=3", "train.batch=7",
                                       "train.micro_batch=4"};
    engine = test_engine_open();
    test_ok(bm_config_create(&config, families, n));
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) test_ok(bm_config_set(config, sets[i]));
    if (extra) test_ok(bm_config_set(config, extra));
    test_ok(bm_learner_create(&learner, engine, bm_model_find("linear"), config, "tiled"));
    test_ok(bm_params_init(bm_learner_params(learner), 5));
}

static void close_learner(void)
{
    bm_learner_destroy(learner);
    bm_config_destroy(config);
    bm_engine_close(engine);
}

static double loss_of(const int32_t targets[ROWS])
{
    float x[ROWS * WIDTH];
    int32_t copy[ROWS];
    bm_step_result r;
    bm_rng rng = bm_rng_start(8, 2, 0);
    const bm_sample_form f = bm_learner_form(learner);
    const bm_batch b = bm_batch_of(&f, ROWS, x, copy, NULL);
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = bm_rng_normal(&rng);
    memcpy(copy, targets, sizeof copy);
    test_ok(bm_learner_step(learner, 1, 0.0, &b)); /* a rate of 0: the weights stay */
    test_ok(bm_learner_collect(learner, &r));
    return r.loss;
}

/* sum of w l over sum of w, where l of a row is the loss when it alone counts; in two micro-batches, the second one short. */
static void check(const double weights[CLASSES])
{
    static const int32_t targets[ROWS] = {0, 2, 1, 1, 0, -1, 2};
    double sum = 0, all = 0;
    for (int i = 0; i < ROWS; i++) {
        int32_t one[ROWS] = {-1, -1, -1, -1, -1, -1, -1};
        if (targets[i] < 0) continue;
        one[i] = targets[i];
        sum += weights[targets[i]] * loss_of(one);
        all += weights[targets[i]];
    }
    ck_assert_double_eq_tol(loss_of(targets), sum / all, 1e-6);
}

START_TEST(the_loss_is_the_mean_over_what_counts)
{
    static const double ones[CLASSES] = {1, 1, 1};
    open_learner(NULL);
    check(ones);
    test_fails(bm_learner_weigh(learner, ones, CLASSES), BM_ERR_USAGE, "train.class_weights is null");
    int32_t none[ROWS] = {-1, -1, -1, -1, -1, -1, -1};
    float x[ROWS * WIDTH] = {0};
    const bm_sample_form f = bm_learner_form(learner);
    const bm_batch b = bm_batch_of(&f, ROWS, x, none, NULL);
    test_fails(bm_learner_step(learner, 1, 0.0, &b), BM_ERR_CONFIG, "step 1: none of the batch's targets counts");
    ck_assert_int_eq(bm_learner_under_way(learner), 0);
    close_learner();
}
END_TEST

START_TEST(classes_count_by_their_weights)
{
    static const double ones[CLASSES] = {1, 1, 1}, weights[CLASSES] = {0.25, 3, 1};
    open_learner("train.class_weights=balanced");
    check(ones);
    test_ok(bm_learner_weigh(learner, weights, CLASSES));
    check(weights);
    test_fails(bm_learner_weigh(learner, weights, CLASSES + 1), BM_ERR_USAGE, "4 classes");
    close_learner();
}
END_TEST

START_TEST(batch_norm_wants_whole_micro_batches)
{
    size_t n;
    bm_learner *l = NULL;
    const bm_config_family *const *families = bm_model_families(&n);
    bm_engine *e = test_engine_open();
    test_ok(bm_config_create(&config, families, n));
    static const char *const sets[] = {"model.family=mlp", "model.task=classes", "model.input=5", "model.outputs=3", "model.norm=batch",
                                       "train.batch=7", "train.micro_batch=4"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) test_ok(bm_config_set(config, sets[i]));
    test_fails(bm_learner_create(&l, e, bm_model_find("mlp"), config, "tiled"), BM_ERR_CONFIG,
               "train.micro_batch: 4 does not divide train.batch 7, which batch norm wants");
    test_ok(bm_config_set(config, "train.batch=8"));
    test_ok(bm_learner_create(&l, e, bm_model_find("mlp"), config, "tiled"));
    bm_learner_destroy(l);
    bm_config_destroy(config);
    bm_engine_close(e);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/learner");
    TCase *t = tcase_create("learner");
    tcase_add_test(t, the_loss_is_the_mean_over_what_counts);
    tcase_add_test(t, classes_count_by_their_weights);
    tcase_add_test(t, batch_norm_wants_whole_micro_batches);
    suite_add_tcase(s, t);
    return test_run(s);
}
