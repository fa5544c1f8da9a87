/* Training from samples of every form: a run that stops and goes on ends as one that never stopped, its running statistics too; and
 * evaluation is the mean over single samples. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/graph/scalars.h"
#include "io/store/loader.h"
#include "models/train/evaluate.h"
#include "models/train/learner.h"
#include "models/train/trainer.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

enum { TRAIN = 30, VAL = 10, STEPS = 11, STOP = 9, T = 7 }; /* it stops within the second epoch */

/* ---- data ---- */

static const struct family {
    const char *name;
    bm_samples_opts form;
    const char *sets[10];
} families[] = {
    {"mlp",
     {.kind = "rows", .input = BM_F32, .input_shape = {.rank = 1, .dim = {6}}, .target = BM_I32, .classes = 3},
     {"model.widths=[9, 5]", "model.norm=batch", "model.dropout=0.3", "train.ema=0.8", NULL}},
    {"cnn",
     {.kind = "images", .input = BM_U8, .input_shape = {.rank = 3, .dim = {2, 8, 8}}, .target = BM_I32, .classes = 3},
     {"model.arch=vgg", "model.width=4", "model.blocks=[1, 1]", "model.dropout=0.2", "data.flip=true", "data.shift=2", NULL}},
    {"rnn",
     {.kind = "rows", .input = BM_I32, .input_shape = {.rank = 1, .dim = {T}}, .target = BM_I32, .target_shape = {.rank = 1, .dim = {T}},
      .vocab = 11, .classes = 4, .lengths = 1},
     {"model.cell=gru", "model.layers=1", "model.width=5", "model.bidirectional=true", "model.dropout=0.2", NULL}},
    {"linear",
     {.kind = "rows", .input = BM_F32, .input_shape = {.rank = 1, .dim = {4}}, .target = BM_F32, .target_shape = {.rank = 1, .dim = {2}}},
     {"train.momentum=0.9", "train.lr=0.01", NULL}},
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Sample i: random, with some targets that do not count. */
static bm_status add(bm_samples_writer *w, const bm_samples_opts *o, int i)
{
    union {
        float number[128];
        int32_t id[128];
        uint8_t pixel[128];
    } x;
    union {
        float number[T];
        int32_t class[T];
    } y;
    bm_rng r = bm_rng_start(7, 1, (uint32_t)i);
    const int32_t length = 1 + i % T;
    for (int64_t k = 0; k < bm_shape_elements(&o->input_shape); k++) {
        if (o->input == BM_F32) x.number[k] = bm_rng_normal(&r);
        else if (o->input == BM_I32) x.id[k] = (int32_t)(bm_rng_u32(&r) % (uint32_t)o->vocab);
        else x.pixel[k] = (uint8_t)bm_rng_u32(&r);
    }
    for (int64_t k = 0; k < bm_shape_elements(&o->target_shape); k++) {
        const int none = (o->lengths && k >= length) || (i % 7 == 3 && !k);
        if (o->target == BM_F32) y.number[k] = none ? NAN : bm_rng_normal(&r);
        else y.class[k] = none ? -1 : (int32_t)(bm_rng_u32(&r) % (uint32_t)o->classes);
    }
    return bm_samples_writer_add(w, &x, &y, length);
}

static const char *make_data(const struct family *f)
{
    bm_samples_writer *w = NULL;
    bm_samples_opts o = f->form;
    const char *path = test_path("samples.h5");
    o.replace = 1;
    test_ok(bm_samples_writer_create(&w, path, &o));
    for (int i = 0; i < TRAIN + VAL; i++) {
        if (i == TRAIN) bm_samples_writer_validation(w);
        test_ok(add(w, &o, i));
    }
    test_ok(bm_samples_writer_commit(NULL, w));
    bm_samples_writer_destroy(w);
    return path;
}

/* 4 divides neither part. */
static bm_config *make_config(const struct family *f, const char *data)
{
    static const char *const common[] = {"train.steps=11", "train.batch=4", "train.eval_every=3", "train.checkpoint_every=4", "train.log_every=1"};
    char text[4200];
    size_t n;
    bm_config *c = NULL;
    const bm_config_family *const *known = bm_model_families(&n);
    test_ok(bm_config_create(&c, known, n));
    snprintf(text, sizeof text, "model.family=%s", f->name);
    test_ok(bm_config_set(c, text));
    snprintf(text, sizeof text, "data.path=%s", data);
    test_ok(bm_config_set(c, text));
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) test_ok(bm_config_set(c, common[i]));
    for (int i = 0; f->sets[i]; i++) test_ok(bm_config_set(c, f->sets[i]));
    return c;
}

/* ---- stopping and going on ---- */

typedef struct watch {
    int asked, stop_at;
    double loss[STEPS + 1], norm[STEPS + 1], val[STEPS + 1];
} watch;

static int stop(void *user)
{
    watch *w = user;
    return w->asked++ == w->stop_at;
}

static void on_metrics(void *user, const bm_metrics *m)
{
    watch *w = user;
    w->loss[m->step] = m->loss;
    w->norm[m->step] = m->grad_norm;
    w->val[m->step] = m->val_loss;
}

static void train(watch *w, const struct family *f, const char *data, const char *run, const bm_checkpoint *from, bm_status due)
{
    bm_engine *e = test_engine_shared();
    bm_config *c = make_config(f, data);
    bm_task task;
    bm_trainer *t = NULL;
    test_ok(bm_task_open(&task, c, 0));
    const bm_trainer_opts o = {.run = run, .gemm = "tiled", .resume = from, .stop = stop, .on_metrics = on_metrics, .user = w};
    test_ok(bm_trainer_create(&t, e, &task, &o));
    const bm_status s = bm_trainer_run(t);
    ck_assert_msg(s == due, "%s: %s: %s", f->name, bm_status_name(s), bm_error_text(s));
    bm_trainer_destroy(t);
    bm_task_close(&task);
    bm_config_destroy(c);
}

/* Parameters and running statistics, what the optimizer keeps, the place in the data. */
static void same(const bm_store *a, const bm_store *b, const char *name)
{
    int seen = 0, statistics = 0;
    ck_assert_int_eq(bm_store_count(a), bm_store_count(b));
    for (int64_t i = 0; i < bm_store_count(a); i++) {
        const bm_entry *x = bm_store_at(a, i), *y = bm_store_find(b, x->path);
        if (strncmp(x->path, "/params/", 8) && strncmp(x->path, "/optim/", 7) && strncmp(x->path, "/state/", 7)) continue;
        ck_assert_msg(y != NULL, "%s: no %s", name, x->path);
        const bm_hash128 p = bm_store_tensor_hash(a, x), q = bm_store_tensor_hash(b, y);
        ck_assert_msg(!memcmp(&p, &q, sizeof p), "%s: %s differs", name, x->path);
        seen++;
        statistics += strstr(x->path, "/var") != NULL;
    }
    ck_assert_int_gt(seen, 6);
    ck_assert(statistics > 0 || !strcmp(name, "rnn") || !strcmp(name, "linear"));
}

static const char *fresh(const char *name)
{
    char command[4300];
    const char *run = test_path(name);
    snprintf(command, sizeof command, "rm -rf '%s'", run);
    ck_assert_int_eq(system(command), 0);
    return run;
}

START_TEST(a_run_that_stopped_goes_on_as_if_it_had_not)
{
    const struct family *f = &families[_i];
    char whole[4096], parts[4096], data[4096];
    watch w = {.stop_at = -1}, v = {.stop_at = STOP};
    bm_checkpoint *a = NULL, *b = NULL;
    snprintf(data, sizeof data, "%s", make_data(f));
    snprintf(whole, sizeof whole, "%s", fresh("whole"));
    snprintf(parts, sizeof parts, "%s", fresh("parts"));
    train(&w, f, data, whole, NULL, BM_OK);
    train(&v, f, data, parts, NULL, BM_ERR_STOPPED);
    test_ok(bm_checkpoint_open(&b, parts));
    ck_assert_uint_eq(bm_checkpoint_desc(b)->state.step, STOP);
    v.stop_at = -1;
    train(&v, f, data, parts, b, BM_OK);
    bm_checkpoint_close(b);
    for (int n = 1; n <= STEPS; n++) {
        ck_assert_msg(w.loss[n] == v.loss[n] && w.norm[n] == v.norm[n], "%s: step %d: %.17g, then %.17g", f->name, n, w.loss[n], v.loss[n]);
        ck_assert(w.val[n] == v.val[n] || (isnan(w.val[n]) && isnan(v.val[n])));
        ck_assert_int_eq(!isnan(w.val[n]), n % 3 == 0 || n == STEPS);
    }
    test_ok(bm_checkpoint_open(&a, whole));
    test_ok(bm_checkpoint_open(&b, parts));
    ck_assert_uint_eq(bm_checkpoint_desc(a)->state.step, STEPS);
    same(bm_checkpoint_store(a), bm_checkpoint_store(b), f->name);
    bm_checkpoint_close(a);
    bm_checkpoint_close(b);
}
END_TEST

/* ---- weights of classes ---- */

static const struct family weighed = {
    "linear",
    {.kind = "rows", .input = BM_F32, .input_shape = {.rank = 1, .dim = {6}}, .target = BM_I32, .classes = 3},
    {"train.batch=all", NULL}}; /* in micro-batches of 12, the last one short */

/* A run with train.class_weights=VALUE; its last checkpoint in run. */
static watch train_weighed(const char *data, const char *run, const char *value)
{
    char set[200];
    watch w = {.stop_at = -1};
    struct family f = weighed;
    snprintf(set, sizeof set, "train.class_weights=%s", value);
    f.sets[1] = set;
    train(&w, &f, data, run, NULL, BM_OK);
    return w;
}

START_TEST(given_weights_are_as_good_as_balanced_ones)
{
    char data[4096], run[4096], list[120];
    int64_t n[3];
    bm_data *d = NULL;
    bm_checkpoint *k = NULL;
    snprintf(data, sizeof data, "%s", make_data(&weighed));
    test_ok(bm_data_open(&d, data));
    test_ok(bm_data_class_counts(n, d, "train"));
    bm_data_close(d);
    const double all = (double)(n[0] + n[1] + n[2]);
    snprintf(list, sizeof list, "[%.17g, %.17g, %.17g]", all / (3.0 * (double)n[0]), all / (3.0 * (double)n[1]),
             all / (3.0 * (double)n[2]));
    const watch a = train_weighed(data, fresh("balanced"), "balanced"), plain = train_weighed(data, fresh("plain"), "null");
    snprintf(run, sizeof run, "%s", fresh("given"));
    const watch b = train_weighed(data, run, list);
    for (int i = 1; i <= STEPS; i++) {
        ck_assert_msg(a.loss[i] == b.loss[i] && a.norm[i] == b.norm[i], "step %d: %.17g, then %.17g", i, a.loss[i], b.loss[i]);
        ck_assert(a.loss[i] != plain.loss[i]);
    }
    test_ok(bm_checkpoint_open(&k, run));
    test_text_holds(bm_checkpoint_desc(k)->config_json, "\"class_weights\": [");
    bm_checkpoint_close(k);
}
END_TEST

/* PyTorch's CrossEntropyLoss(weight=w): sum of w[y] l over sum of w[y]. With one class alone that is the mean of l over its n, and the
 * mean of all samples is made of those. */
START_TEST(given_weights_count_as_pytorch_has_them)
{
    static const char *const alone[] = {"[1, 0, 0]", "[0, 1, 0]", "[0, 0, 1]"};
    static const double weights[] = {1, 2.5, 0.5};
    char data[4096];
    int64_t n[3];
    bm_data *d = NULL;
    double sum = 0, count = 0, plain = 0, all = 0;
    snprintf(data, sizeof data, "%s", make_data(&weighed));
    test_ok(bm_data_open(&d, data));
    test_ok(bm_data_class_counts(n, d, "train"));
    bm_data_close(d);
    for (int c = 0; c < 3; c++) {
        const double loss = train_weighed(data, fresh("alone"), alone[c]).loss[1] * (double)n[c];
        sum += weights[c] * loss;
        count += weights[c] * (double)n[c];
        plain += loss;
        all += (double)n[c];
    }
    ck_assert_double_eq_tol(train_weighed(data, fresh("plain"), "null").loss[1], plain / all, 1e-6);
    ck_assert_double_eq_tol(train_weighed(data, fresh("together"), "[1, 2.5, 0.5]").loss[1], sum / count, 1e-6);
}
END_TEST

START_TEST(weights_that_do_not_fit_the_data_are_refused)
{
    static const struct { const char *set; const char *words; } faults[] = {
        {"train.class_weights=[1, 2]", "train.class_weights: 2 weights, but the data set has 3 classes"},
        {"train.class_weights=[1, 2, 3, 4]", "train.class_weights: 4 weights, but the data set has 3 classes"},
        {"train.class_weights=[]", "train.class_weights: 0 weights, but the data set has 3 classes"},
        {"train.class_weights=[0, 0.0, 1e-99]", "train.class_weights: they are all 0"},
        {"train.class_weights=[1, 1, 1e39]", "train.class_weights: they are too large"},
    };
    const char *data = make_data(&weighed);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        bm_config *c = make_config(&weighed, data);
        bm_task task;
        test_ok(bm_config_set(c, faults[i].set));
        test_fails(bm_task_open(&task, c, 0), BM_ERR_CONFIG, faults[i].words);
        bm_config_destroy(c);
    }
}
END_TEST

/* ---- evaluation ---- */

/* The sum of the losses of VAL samples one by one, in double, and how many targets count. */
static double one_by_one(int64_t *counted, bm_engine *e, const bm_task *task, bm_params *p)
{
    bm_network n;
    bm_batch b;
    bm_loader *l = NULL;
    double sum = 0;
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = bm_window_of(task->config)};
    test_ok(bm_network_build(&n, task->model, task->config, &r, 0));
    bm_plan_opts o = {.gemm = "tiled"};
    o.banks = bm_params_banks(p, &o.n_banks);
    test_ok(bm_network_plan(&n, e, &o));
    bm_plan_set_f32(n.plan, BM_RT_LOSS_SCALE, 1.0f);
    bm_loader_opts lo = bm_loader_opts_default();
    lo.split = "val";
    lo.batch = 1;
    lo.shuffle = 0;
    test_ok(bm_loader_create(&l, task->data, &lo));
    test_ok(bm_batch_create(&b, &task->form, 1));
    ck_assert_int_eq(bm_loader_samples(l), VAL);
    *counted = 0;
    for (int i = 0; i < VAL; i++) {
        float loss;
        test_ok(bm_loader_next(l, &b, NULL));
        test_ok(bm_network_feed(&n, &b));
        test_ok(bm_plan_run(n.plan));
        test_ok(bm_plan_read(n.plan, n.io.loss, &loss));
        sum += (double)loss;
        *counted += bm_batch_counted(&b);
    }
    bm_batch_finish(&b);
    bm_loader_destroy(l);
    bm_network_finish(&n);
    return sum;
}

/* Batches of 4, the last of which has 2; of all; and of more than there are. The order of sums in f32 is another: a few of its 2^-24. */
START_TEST(evaluation_is_the_mean_over_single_samples)
{
    static const int64_t batches[] = {4, VAL, 16};
    const struct family *f = &families[_i];
    int64_t counted;
    bm_task task;
    bm_learner *l = NULL;
    bm_engine *e = test_engine_shared();
    bm_config *c = make_config(f, make_data(f));
    test_ok(bm_task_open(&task, c, 0));
    test_ok(bm_learner_create(&l, e, task.model, c, "tiled"));
    test_ok(bm_params_init(bm_learner_params(l), 3));
    const double sum = one_by_one(&counted, e, &task, bm_learner_params(l));
    for (int i = 0; i < 3; i++) {
        bm_evaluator *v = NULL;
        bm_evaluation got;
        const bm_evaluator_opts o = {.batch = batches[i], .split = "val", .gemm = "tiled"};
        test_ok(bm_evaluator_create(&v, e, task.model, c, bm_learner_params(l), task.data, &o));
        test_ok(bm_evaluator_run(v, &got, NULL, NULL));
        ck_assert_int_eq(got.tokens, counted);
        const double off = fabs(got.loss * (double)counted / sum - 1);
        ck_assert_msg(off < 1e-6, "%s: batches of %lld: %.9g, one by one %.9g", f->name, (long long)batches[i], got.loss, sum / (double)counted);
        bm_evaluator_destroy(v);
    }
    bm_learner_destroy(l);
    bm_task_close(&task);
    bm_config_destroy(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/samples");
    TCase *t = tcase_create("samples");
    test_share_engine(t);
    tcase_add_loop_test(t, a_run_that_stopped_goes_on_as_if_it_had_not, 0, FAMILIES);
    tcase_add_test(t, given_weights_are_as_good_as_balanced_ones);
    tcase_add_test(t, given_weights_count_as_pytorch_has_them);
    tcase_add_test(t, weights_that_do_not_fit_the_data_are_refused);
    tcase_add_loop_test(t, evaluation_is_the_mean_over_single_samples, 0, FAMILIES);
    suite_add_tcase(s, t);
    return test_run(s);
}
