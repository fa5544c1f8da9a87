#include "tests/lib/family.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/queue.h"
#include "core/graph/scalars.h"
#include "models/train/forecast.h"
#include "models/train/learner.h"
#include "tests/lib/device.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

/* How far PyTorch's own f32 is off is in the fixture's attributes f32_*: at most 3e-7 of outputs and losses, and of gradients and
 * updates 5e-6, where a batch norm divides. Sums in another order may be some times that. */
#define OUTPUTS 2e-6
#define LOSS 2e-6
#define GRADS 2e-5
#define AFTER 2e-5

static const char *const backends[] = {"tiled", "packed"};
enum { BACKENDS = sizeof backends / sizeof *backends, BATCHES = 2 };

static const char *const *cases, *now;
static int n_cases;
static h5fixture *fixture;
static bm_engine *engine;
static bm_config *config;
static bm_task task;
static int steps;

/* The running case's own object of the fixture (static buffer). */
static const char *at(const char *path)
{
    static char full[300];
    snprintf(full, sizeof full, "/%s/%s", now, path);
    return full;
}

static void open_all(void)
{
    size_t n;
    const bm_config_family *const *families = bm_model_families(&n);
    fixture = h5fixture_open("models.h5");
    engine = test_engine_shared();
    steps = (int)h5fixture_attr(fixture, "/", "steps");
    test_ok(bm_config_create(&config, families, n));
}

/* The case's configuration, and keys of the test's own up to a NULL. */
static void begin(int i, const char *const *sets)
{
    now = cases[i];
    char *text = h5fixture_text(fixture, at(""), "config");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) test_ok(bm_config_set(config, line));
    test_ok(bm_config_set(config, "data.path=none"));
    test_ok(bm_config_set(config, "train.eval_every=0"));
    for (; *sets; sets++) test_ok(bm_config_set(config, *sets));
    test_ok(bm_task_open(&task, config, 1));
    free(text);
}
static const char *const as_it_is[] = {NULL};

static void close_all(void)
{
    bm_task_close(&task);
    bm_config_destroy(config);
    h5fixture_close(fixture);
}

/* ---- the fixture's batches ---- */

typedef struct feed {
    void *inputs, *targets;
    int32_t *lengths;
} feed;

static void *numbers(const char *path, bm_dtype t)
{
    return t == BM_I32 ? (void *)h5fixture_i32(fixture, at(path), NULL) : h5fixture_f32(fixture, at(path), NULL);
}

static feed feed_of(const bm_sample_form *f)
{
    return (feed){numbers("inputs", f->input), numbers("targets", f->target),
                  f->lengths ? h5fixture_i32(fixture, at("lengths"), NULL) : NULL};
}

static void feed_free(feed *f)
{
    free(f->inputs);
    free(f->targets);
    free(f->lengths);
}

/* Batch i of them. */
static bm_batch batch_of(const feed *f, const bm_sample_form *form, int i)
{
    const int64_t n = bm_config_i64(config, "train.batch");
    const bm_batch all = bm_batch_of(form, BATCHES * n, f->inputs, f->targets, f->lengths);
    return bm_batch_rows(&all, i * n, n);
}

/* ---- tensors ---- */

enum { BEFORE, GRADIENT, LATER }; /* of the fixture's params */

typedef struct comparison {
    bm_bank *bank;
    int which, write;
    double most, worst, size; /* size: the largest norm of all */
    int tensors;
} comparison;

static float *tensor_of(const comparison *c, const char *name, const bm_tensor **t)
{
    char path[200];
    int64_t n;
    *t = bm_layout_find(bm_bank_layout(c->bank), name);
    ck_assert_msg(*t != NULL, "%s: the model has no parameter %s", now, name);
    const int64_t elements = bm_shape_elements(&(*t)->shape);
    snprintf(path, sizeof path, "params/%s", name);
    float *all = h5fixture_f32(fixture, at(path), &n);
    ck_assert_msg(n == 3 * elements, "%s: %s has another size", now, name);
    memmove(all, all + c->which * elements, (size_t)elements * sizeof *all);
    return all;
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void measure(void *user, const char *name)
{
    comparison *c = user;
    const bm_tensor *t;
    float *want = tensor_of(c, name, &t);
    c->size = fmax(c->size, norm_of(want, bm_shape_elements(&t->shape)));
    free(want);
}

static void visit(void *user, const char *name)
{
    comparison *c = user;
    const bm_tensor *t;
    float *want = tensor_of(c, name, &t);
    const int64_t n = bm_shape_elements(&t->shape);
    c->tensors++;
    if (c->write) {
        test_ok(bm_bank_write(c->bank, t, 0, want, t->bytes));
    } else if (c->which != GRADIENT || t->group != BM_NN_BUFFERS) {
        float *got = malloc((size_t)t->bytes);
        test_ok(bm_bank_read(c->bank, t, 0, got, t->bytes));
        const double own = norm_of(want, n);
        for (int64_t i = 0; i < n; i++) got[i] -= want[i];
        /* What has no gradient in exact arithmetic is compared with the largest one. */
        const double d = norm_of(got, n) / (own > 1e-9 * c->size ? own : c->size);
        ck_assert_msg(d <= c->most, "%s: %s %s is %.2g from PyTorch's, relative in norm", now,
                      c->which == GRADIENT ? "the gradient of" : "after the updates", name, d);
        c->worst = fmax(c->worst, d);
        free(got);
    }
    free(want);
}

static double walk(comparison *c)
{
    ck_assert_ptr_nonnull(c->bank);
    h5fixture_each(fixture, at("params"), measure, c);
    h5fixture_each(fixture, at("params"), visit, c);
    ck_assert_int_eq(c->tensors, bm_layout_count(bm_bank_layout(c->bank)));
    return c->worst;
}

static void load(bm_params *p)
{
    comparison c = {.bank = bm_params_bank(p, BM_PLACE_WEIGHT), .write = 1};
    walk(&c);
    test_ok(bm_params_written(p));
}

static double compare(bm_params *p, int which, double most)
{
    comparison c = {.bank = bm_params_bank(p, which == GRADIENT ? BM_PLACE_GRAD : BM_PLACE_WEIGHT), .which = which, .most = most};
    return walk(&c);
}

static void assert_near(double got, double want, double relative, const char *what)
{
    ck_assert_msg(fabs(got / want - 1) <= relative, "%s: %s is %.9g, PyTorch's %.9g (off by %.2g)", now, what, got, want,
                  fabs(got / want - 1));
}

/* ---- what a learner makes of it ---- */

static bm_learner *learner(const char *gemm)
{
    bm_learner *l = NULL;
    test_ok(bm_learner_create(&l, engine, task.model, config, gemm));
    load(bm_learner_params(l));
    return l;
}

static void step(bm_learner *l, bm_step_result *r, const feed *f, int n)
{
    const bm_sample_form form = bm_learner_form(l);
    const bm_batch b = batch_of(f, &form, n % BATCHES);
    test_ok(bm_learner_step(l, n, bm_config_f64(config, "train.lr"), &b));
    if (r) test_ok(bm_learner_collect(l, r));
}

/* Every update: its loss, its norm and, of the first, the gradients; then the parameters and running statistics. Returns how far the
 * gradients were. */
static double updates(const char *gemm, double loss, double grads, double after)
{
    double *losses = h5fixture_f64(fixture, at("steps/loss"), NULL), *norms = h5fixture_f64(fixture, at("steps/grad_norm"), NULL), far = 0;
    bm_learner *l = learner(gemm);
    const bm_sample_form form = bm_learner_form(l);
    feed f = feed_of(&form);
    for (int n = 1; n <= steps; n++) {
        bm_step_result r;
        step(l, &r, &f, n);
        assert_near(r.loss, losses[n - 1], loss, "the loss of a step");
        assert_near(r.grad_norm, norms[n - 1], grads, "the norm of a step");
        if (n == 1) far = compare(bm_learner_params(l), GRADIENT, grads);
    }
    compare(bm_learner_params(l), LATER, after);
    feed_free(&f);
    bm_learner_destroy(l);
    free(losses);
    free(norms);
    return far;
}

/* The network as it is evaluated: numbers or logits, and the mean loss. */
static void evaluated(const char *gemm)
{
    int64_t n;
    float *want = h5fixture_f32(fixture, at("outputs"), &n), *got = malloc((size_t)n * sizeof *got), loss;
    double *mean = h5fixture_f64(fixture, at("eval_loss"), NULL);
    bm_network p;
    bm_params *params = NULL;
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = bm_config_i64(config, "train.batch"), .window = bm_window_of(config)};
    test_ok(bm_network_build(&p, task.model, config, &r, 0));
    bm_graph_output(p.graph, p.io.logits, "logits");
    test_ok(bm_params_create(&params, engine, p.nn, p.graph, &(bm_params_opts){0}));
    load(params);
    bm_plan_opts o = {.gemm = gemm};
    o.banks = bm_params_banks(params, &o.n_banks);
    test_ok(bm_network_plan(&p, engine, &o));
    const bm_sample_form form = bm_network_form(&p);
    feed f = feed_of(&form);
    const bm_batch b = batch_of(&f, &form, 0);
    test_ok(bm_network_feed(&p, &b));
    bm_plan_set_f32(p.plan, BM_RT_LOSS_SCALE, 1.0f / (float)bm_batch_counted(&b));
    test_ok(bm_plan_run(p.plan));
    ck_assert_int_eq(bm_shape_elements(bm_value_shape(p.io.logits)), n);
    test_ok(bm_plan_read(p.plan, p.io.logits, got));
    test_ok(bm_plan_read(p.plan, p.io.loss, &loss));
    const double d = fixture_distance(got, want, n);
    ck_assert_msg(d <= OUTPUTS, "%s: the outputs are %.2g from PyTorch's", now, d);
    assert_near(loss, *mean, LOSS, "the loss as it is evaluated");
    feed_free(&f);
    free(want);
    free(got);
    free(mean);
    bm_network_finish(&p);
    bm_params_destroy(params);
}

START_TEST(outputs_losses_gradients_and_updates_are_pytorchs)
{
    begin(_i % n_cases, as_it_is);
    evaluated(backends[_i / n_cases]);
    updates(backends[_i / n_cases], LOSS, GRADS, AFTER);
}
END_TEST

/* Activations and the copies of weights have 8 bits. How far that alone takes losses, gradients and updates is in the fixture; sums and
 * gradients that are rounded as well may take them as far again, and by some hundredths where it takes them nowhere. */
START_TEST(in_bf16_they_are_but_for_the_rounding)
{
    begin(_i, (const char *const[]){"train.dtype=bf16", NULL});
    const double loss = h5fixture_attr(fixture, at(""), "bf16_loss"), grads = h5fixture_attr(fixture, at(""), "bf16_grads"),
                 after = h5fixture_attr(fixture, at(""), "bf16_after");
    const double far = updates("tiled", 2 * loss + 5e-3, 2 * grads + 2e-2, 2 * after + 1e-2);
    ck_assert_double_ge(far, 1e-4); /* else it was not bf16 */
}
END_TEST

/* All weights, states and statistics after some updates; free() it. */
static char *run(int64_t *bytes, const char *gemm)
{
    bm_learner *l = learner(gemm);
    const bm_sample_form form = bm_learner_form(l);
    bm_params *p = bm_learner_params(l);
    const bm_layout *layout = bm_params_layout(p);
    feed f = feed_of(&form);
    for (int n = 1; n <= 3; n++) step(l, &(bm_step_result){0}, &f, n);
    *bytes = 0;
    char *all = malloc((size_t)(3 * bm_layout_bytes(layout)));
    for (int place = BM_PLACE_WEIGHT; place <= BM_PLACE_STATE1; place++)
        for (int i = 0; bm_params_bank(p, (bm_place)place) && place != BM_PLACE_GRAD && i < bm_layout_count(layout); i++) {
            const bm_tensor *t = bm_layout_at(layout, i);
            test_ok(bm_bank_read(bm_params_bank(p, (bm_place)place), t, 0, all + *bytes, t->bytes));
            *bytes += t->bytes;
        }
    feed_free(&f);
    bm_learner_destroy(l);
    return all;
}

START_TEST(updates_are_the_same_each_time)
{
    int64_t bytes[2];
    static const char *const dropped[] = {"model.dropout=0.3", NULL};
    begin(_i, strstr(cases[_i], "linear") ? as_it_is : dropped);
    char *a = run(&bytes[0], "tiled"), *b = run(&bytes[1], "tiled");
    ck_assert_int_gt(bytes[0], 0);
    ck_assert_int_eq(bytes[0], bytes[1]);
    ck_assert_msg(!memcmp(a, b, (size_t)bytes[0]), "%s: two runs end apart", now);
    free(a);
    free(b);
}
END_TEST

/* The buffers that there are is what was forecast, to the byte; from the second update on none is made, and nothing is waited for but
 * the numbers of a step. */
START_TEST(updates_take_the_memory_that_was_forecast)
{
    bm_forecast said;
    begin(_i, as_it_is);
    const int64_t before = test_layer()->stats().buffer_bytes;
    test_ok(bm_forecast_training(&said, &task, bm_engine_limits(engine), "tiled"));
    bm_learner *l = learner("tiled");
    const bm_sample_form form = bm_learner_form(l);
    feed f = feed_of(&form);
    for (int n = 1; n <= 2; n++) step(l, &(bm_step_result){0}, &f, n);
    const layer_stats second = test_layer()->stats();
    ck_assert_int_eq(second.buffer_bytes - before, said.total_bytes);
    for (int n = 3; n <= steps; n++) step(l, &(bm_step_result){0}, &f, n);
    const layer_stats last = test_layer()->stats();
    ck_assert_int_eq(last.buffers_made, second.buffers_made);
    ck_assert_int_eq(last.kernels_made, second.kernels_made);
    const bm_queue *q = bm_engine_queue(engine);
    if (!bm_queue_flush_waits(q) && !bm_queue_host_works(q)) ck_assert_int_eq(last.blocking, second.blocking);
    feed_free(&f);
    bm_learner_destroy(l);
}
END_TEST

Suite *family_suite(const char *name, const char *const *all, int n)
{
    const int small = getenv("BM_TEST_SMALL") != NULL, tried = small ? 1 : BACKENDS, some = small && n > 2 ? 2 : n;
    cases = all;
    n_cases = n;
    test_layer_use();
    Suite *s = suite_create(name);
    TCase *t = tcase_create("PyTorch");
    test_share_engine(t);
    tcase_add_checked_fixture(t, open_all, close_all);
    tcase_add_loop_test(t, outputs_losses_gradients_and_updates_are_pytorchs, 0, n * tried);
    tcase_add_loop_test(t, in_bf16_they_are_but_for_the_rounding, 0, n);
    tcase_add_loop_test(t, updates_are_the_same_each_time, 0, some);
    tcase_add_loop_test(t, updates_take_the_memory_that_was_forecast, 0, some);
    suite_add_tcase(s, t);
    return s;
}
