/* What a run takes: nothing is made, allocated or waited for from the second step on, and its memory is what was said. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/device/queue.h"
#include "core/graph/scalars.h"
#include "models/train/forecast.h"
#include "models/train/trainer.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

enum { VOCAB = 61, STEPS = 8 };

static const char *const backends[] = {"clblast", "packed", "packed_ab", "tiled"};
enum { BACKENDS = sizeof backends / sizeof *backends };

static void make_data(const char *path)
{
    bm_tokens_writer *w = NULL;
    bm_tokens_opts opts = bm_tokens_opts_default();
    opts.vocab_size = VOCAB;
    opts.eot_id = -1;
    opts.val_fraction = 0.2;
    opts.replace = 1;
    test_ok(bm_tokens_writer_create(&w, path, &opts));
    bm_rng r = bm_rng_start(1, 2, 3);
    for (int i = 0; i < 20000; i++) {
        uint32_t id = bm_rng_u32(&r) % VOCAB;
        test_ok(bm_tokens_writer_add(w, &id, 1));
    }
    bm_content_id id;
    test_ok(bm_tokens_writer_commit(&id, w));
    bm_tokens_writer_destroy(w);
}

static bm_config *make_config(const char *data, const char *const *sets)
{
    static const char *const common[] = {"model.family=gpt", "model.dropout=0.1", "train.warmup=2", "train.log_every=1",
                                         "train.checkpoint_every=0", NULL};
    bm_config *c = NULL;
    size_t n;
    char path[4200];
    const bm_config_family *const *families = bm_model_families(&n);
    test_ok(bm_config_create(&c, families, n));
    for (int i = 0; common[i]; i++) test_ok(bm_config_set(c, common[i]));
    for (int i = 0; sets[i]; i++) test_ok(bm_config_set(c, sets[i]));
    snprintf(path, sizeof path, "data.path=%s", data);
    test_ok(bm_config_set(c, path));
    return c;
}

typedef struct watch {
    const layer_api *layer;
    layer_stats second, last; /* when the second step was over, and the one before the last two */
    int64_t host_second, host_last;
    int64_t launches;
} watch;

static void on_metrics(void *user, const bm_metrics *m)
{
    watch *w = user;
    ck_assert(isfinite(m->loss));
    if (m->step == 2) {
        w->second = w->layer->stats();
        w->host_second = bm_mem_get_stats().calls;
        w->launches = w->layer->calls("EnqueueNDRangeKernel");
    }
    if (m->step == STEPS - 2) {
        w->last = w->layer->stats();
        w->host_last = bm_mem_get_stats().calls;
        w->launches = w->layer->calls("EnqueueNDRangeKernel") - w->launches;
    }
}

static void train(bm_config *c, const char *gemm, const char *run, watch *w)
{
    bm_engine *e = test_engine_shared();
    bm_task task;
    bm_trainer *t = NULL;
    char remove[4300];
    snprintf(remove, sizeof remove, "rm -rf '%s'", run);
    ck_assert_int_eq(system(remove), 0);
    w->layer = test_layer();
    w->layer->reset();
    test_ok(bm_task_open(&task, c, 0));
    bm_trainer_opts opts = {.run = run, .gemm = gemm, .on_metrics = on_metrics, .user = w};
    test_ok(bm_trainer_create(&t, e, &task, &opts));
    test_ok(bm_trainer_run(t));
    bm_trainer_destroy(t);
    bm_task_close(&task);
}

START_TEST(from_the_second_step_on_nothing_is_made_allocated_or_waited_for)
{
    const char *const sets[] = {"model.layers=2", "model.heads=2", "model.width=32", "model.context=16", "train.batch=6",
                                "train.steps=8", "train.micro_batch=3", "train.eval_every=0",
                                _i < BACKENDS ? "train.dtype=f32" : "train.dtype=bf16", NULL};
    const char *data = test_path("steady.h5");
    make_data(data);
    bm_config *c = make_config(data, sets);
    watch w = {.layer = NULL};
    const char *gemm = backends[_i % BACKENDS];
    train(c, gemm, test_path("steady"), &w);
    ck_assert_int_gt(w.launches, 20 * (STEPS - 4));
    ck_assert_int_eq(w.last.buffers_made, w.second.buffers_made);
    ck_assert_int_eq(w.last.programs_made, w.second.programs_made);
    if (strcmp(gemm, "clblast")) ck_assert_int_eq(w.last.kernels_made, w.second.kernels_made); /* CLBlast makes them at each call */
    if (!bm_queue_host_works(bm_engine_queue(test_engine_shared()))) ck_assert_int_eq(w.last.blocking, w.second.blocking);
    ck_assert_int_eq(w.last.buffer_bytes, w.second.buffer_bytes);
    ck_assert_int_eq(w.host_last, w.host_second);
    bm_config_destroy(c);
}
END_TEST

/* With evaluation, whose plan shares temporaries; with micro-batches, whose plans do, kept or recomputed; a last one that is
 * not full; bf16; and optimizers with one state and with two. Each with every backend. */
START_TEST(a_run_takes_the_memory_that_was_forecast)
{
    static const char *const sets[][13] = {
        {"model.layers=3", "model.heads=4", "model.width=64", "model.context=48", "train.batch=8", "train.steps=8",
         "train.eval_every=4", "train.eval_tokens=480", NULL},
        {"model.layers=3", "model.heads=4", "model.width=64", "model.context=48", "train.batch=8", "train.steps=8",
         "train.micro_batch=2", "train.recompute=true", "train.eval_every=0", NULL},
        {"model.layers=2", "model.heads=4", "model.width=64", "model.context=48", "model.activation=relu", "train.batch=8",
         "train.steps=8", "train.micro_batch=4", "train.eval_every=4", "train.eval_tokens=480", NULL},
        {"model.layers=2", "model.heads=4", "model.width=64", "model.context=48", "train.batch=8", "train.steps=8",
         "train.micro_batch=4", "train.eval_every=4", "train.eval_tokens=480", "train.dtype=bf16", NULL},
        {"model.layers=2", "model.heads=4", "model.width=64", "model.context=48", "train.batch=8", "train.steps=8",
         "train.eval_every=4", "train.eval_tokens=480", "train.optimizer=sgd", "train.momentum=0.9",
         "train.l2=0.01", "train.ema=0.9", NULL},
        {"model.layers=2", "model.heads=4", "model.width=64", "model.context=48", "train.batch=8", "train.steps=8",
         "train.eval_every=0", "train.optimizer=rmsprop", "train.centered=true", "train.dtype=bf16", NULL},
    };
    const char *gemm = backends[_i % BACKENDS], *const *set = sets[_i / BACKENDS];
    const char *data = test_path("memory.h5");
    make_data(data);
    bm_config *c = make_config(data, set);
    bm_task task;
    bm_forecast f;
    bm_engine *e = test_engine_shared();
    test_ok(bm_task_open(&task, c, 0));
    test_ok(bm_forecast_training(&f, &task, bm_engine_limits(e), gemm));
    ck_assert_int_eq(f.state_bytes, 2 * f.weight_bytes); /* two means of the gradient, or its momentum and that of the weights */
    /* To the byte, but for what CLBlast asks for on other devices than CPUs, which the library alone knows. */
    const double most = _i % BACKENDS == 0 && bm_engine_limits(e)->type != BM_DEVICE_CPU ? 0.02 : 0;
    bm_task_close(&task);
    watch w = {.layer = NULL};
    train(c, gemm, test_path("memory"), &w);
    const double said = (double)f.total_bytes, taken = (double)w.last.buffer_bytes, peak = (double)w.layer->stats().peak_bytes;
    ck_assert_msg(fabs(taken - said) <= most * said, "%s: %.0f bytes forecast, %.0f taken", gemm, said, taken);
    /* What draws the weights has run-time scalars of its own, and is gone before the first step. */
    ck_assert_msg(peak <= (1 + most) * said + 4 * BM_RT_SLOTS, "%s: %.0f bytes forecast, at most %.0f taken", gemm, said, peak);
    bm_config_destroy(c);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("models/train/steady");
    TCase *t = tcase_create("steady");
    test_share_engine(t);
    tcase_add_loop_test(t, from_the_second_step_on_nothing_is_made_allocated_or_waited_for, 0, 2 * BACKENDS);
    tcase_add_loop_test(t, a_run_takes_the_memory_that_was_forecast, 0, 6 * BACKENDS);
    suite_add_tcase(s, t);
    return test_run(s);
}
