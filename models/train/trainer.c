#include "models/train/trainer.h"

#include <math.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/queue.h"
#include "io/store/runfolder.h"
#include "models/train/trainer_priv.h"

static bm_status make_evaluator(bm_trainer *t)
{
    const bm_config *c = t->task->config;
    if (!bm_config_i64(c, "train.eval_every")) return BM_OK;
    int64_t count = 0;
    if (bm_data_has_part(t->task->data, "val")) BM_TRY(bm_data_part(&count, t->task->data, "val", bm_window_of(c)));
    if (!count) {
        bm_log(BM_LOG_WARN, "%s has no validation part of a sample or more: evaluation is left out", bm_config_string(c, "data.path"));
        return BM_OK;
    }
    bm_evaluator_opts o = {.batch = bm_learner_request(c).batch, .split = "val", .tokens = bm_config_i64(c, "train.eval_tokens"),
                           .gemm = t->opts.gemm, .share_temps = bm_learner_plan(t->learner)};
    return bm_evaluator_create(&t->evaluator, t->engine, t->task->model, c, bm_learner_params(t->learner), t->task->data, &o);
}

/* The batches read ahead, and the one in hand, lie in host memory whole. */
static bm_status check_batch(const bm_loader_opts *o, const bm_sample_form *f)
{
    int64_t bytes;
    if (bm_mul_i64(&bytes, o->batch, bm_sample_bytes(f)) || bm_mul_i64(&bytes, bytes, o->ahead + 1)) bytes = INT64_MAX;
    return bm_fail_prefix(bm_mem_check(bytes), "train.batch: %lld samples of %lld bytes", (long long)o->batch,
                          (long long)bm_sample_bytes(f));
}

static bm_status make_loader(bm_trainer *t)
{
    const bm_config *c = t->task->config;
    const bm_sample_form *f = &t->task->form;
    bm_loader_opts o = bm_loader_opts_default();
    o.split = "train";
    o.window = bm_window_of(c);
    o.batch = bm_config_i64(c, "train.batch");
    o.shuffle = bm_config_bool(c, "data.shuffle");
    o.seed = (uint64_t)bm_config_i64(c, "train.seed");
    o.augment = (bm_augment){bm_config_bool(c, "data.flip"), bm_config_i64(c, "data.shift"), o.seed};
    BM_TRY(check_batch(&o, f));
    BM_TRY(bm_loader_create(&t->loader, t->task->data, &o));
    t->tokens_per_step = o.batch * bm_sample_places(f);
    return bm_batch_create(&t->batch, f, o.batch);
}

bm_status bm_trainer_restore(bm_trainer *t, const bm_checkpoint *from)
{
    const bm_config *c = t->task->config;
    bm_params *p = bm_learner_params(t->learner);
    const bm_optimizer *optimizer = bm_learner_optimizer(t->learner);
    t->step = 0;
    t->cursor = (bm_cursor){0, 0};
    if (from) {
        const bm_ckpt_state *s = &bm_checkpoint_desc(from)->state;
        BM_TRY(bm_params_load(p, from, optimizer));
        t->step = (int64_t)s->step;
        t->cursor = (bm_cursor){s->data_epoch, s->data_sample};
    } else {
        for (int i = 0; i < optimizer->slots; i++) {
            bm_bank *b = bm_params_bank(p, (bm_place)(BM_PLACE_STATE0 + i));
            BM_TRY(bm_bank_clear(b));
        }
        if (t->opts.init) BM_TRY(bm_params_load(p, t->opts.init, NULL));
        else BM_TRY(bm_params_init(p, (uint64_t)bm_config_i64(c, "train.seed")));
    }
    return bm_loader_set_cursor(t->loader, t->cursor);
}

bm_course bm_trainer_course(const bm_trainer *t, int64_t n)
{
    bm_ckpt_history h;
    bm_course course = bm_course_start();
    bm_history_view(&h, t->history);
    for (int64_t i = 0; i < h.rows && (int64_t)h.step[i] < n; i++)
        bm_course_see(&course, t->task->config, (int64_t)h.step[i], h.column[1].value[i]);
    return course;
}

static bm_status resume(bm_trainer *t)
{
    const bm_ckpt_desc *d = t->opts.resume ? bm_checkpoint_desc(t->opts.resume) : NULL;
    t->course = bm_course_start();
    t->saved = -1;
    BM_TRY(bm_trainer_restore(t, t->opts.resume));
    if (!d) return BM_OK;
    t->saved = t->step;
    BM_TRY(bm_history_load(t->history, &d->history));
    t->course = bm_trainer_course(t, t->step + 1);
    return bm_trainer_open_folder(t);
}

/* n / (C n_k) for class k, of n targets in the training part ("balanced": King & Zeng 2001, "Logistic Regression in Rare Events Data",
 * as scikit-learn has it); 0 for a class that does not occur. */
static bm_status balance(double *weights, const bm_trainer *t, int64_t classes)
{
    double n = 0;
    int64_t *counts = bm_calloc((size_t)classes, sizeof *counts);
    bm_status status = counts ? bm_data_class_counts(counts, t->task->data, "train") : BM_ERR_MEMORY;
    for (int64_t i = 0; !status && i < classes; i++) n += (double)counts[i];
    for (int64_t i = 0; !status && i < classes; i++) weights[i] = counts[i] ? n / ((double)classes * (double)counts[i]) : 0;
    bm_free(counts);
    return status;
}

static bm_status weigh_classes(bm_trainer *t)
{
    const int64_t classes = t->task->form.classes;
    double *weights = bm_calloc((size_t)classes, sizeof *weights);
    bm_status status = weights ? BM_OK : BM_ERR_MEMORY;
    if (!status && bm_config_numbers(weights, classes, t->task->config, "train.class_weights") < 0) status = balance(weights, t, classes);
    if (!status) status = bm_learner_weigh(t->learner, weights, classes);
    bm_free(weights);
    return status;
}

bm_status bm_trainer_create(bm_trainer **out, bm_engine *e, bm_task *task, const bm_trainer_opts *opts)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    const bm_config *c = task->config;
    bm_trainer *t = bm_calloc(1, sizeof *t);
    if (!t) return BM_ERR_MEMORY;
    t->engine = e;
    t->task = task;
    t->opts = *opts;
    t->run = bm_strdup(opts->run);
    if (!t->run) goto done;
    if (!opts->resume && !opts->restart) BM_GO(bm_run_check_new(opts->run));
    const bm_checkpoint *from = opts->resume ? opts->resume : opts->init;
    if (from) BM_GO(bm_task_check_weights(c, from));
    if (from) BM_GO(bm_task_check_data(c, from, task->data));
    BM_GO(make_loader(t));
    BM_GO(bm_learner_create(&t->learner, e, task->model, c, opts->gemm));
    BM_GO(bm_learner_check(t->learner, &task->form, bm_config_string(c, "data.path")));
    if (!bm_config_is_null(c, "train.class_weights")) BM_GO(weigh_classes(t));
    BM_GO(make_evaluator(t));
    BM_GO(bm_saver_create(&t->saver, bm_learner_params(t->learner), bm_learner_optimizer(t->learner)));
    BM_GO(bm_fail_prefix(bm_history_create(&t->history, bm_config_i64(c, "train.steps") + 1), "train.steps: %lld",
                         (long long)bm_config_i64(c, "train.steps")));
    BM_GO(bm_trainer_describe(t));
    BM_GO(resume(t));
done:
    if (status) bm_trainer_destroy(t);
    else *out = t;
    return status;
}

void bm_trainer_destroy(bm_trainer *t)
{
    if (!t) return;
    bm_saver_destroy(t->saver);
    bm_metrics_close(t->metrics);
    bm_history_destroy(t->history);
    bm_evaluator_destroy(t->evaluator);
    bm_loader_destroy(t->loader);
    bm_learner_destroy(t->learner);
    bm_batch_finish(&t->batch);
    bm_free(t->run);
    bm_free(t->config_json);
    bm_free(t->sched_json);
    bm_free(t->provenance_json);
    bm_free(t->gemm_json);
    bm_free(t->pending);
    bm_free(t);
}

int64_t bm_trainer_step(const bm_trainer *t)
{
    return t->step;
}

int64_t bm_trainer_parameters(const bm_trainer *t)
{
    return bm_layout_elements(bm_params_layout(bm_learner_params(t->learner)));
}

static bm_status enqueue_step(bm_trainer *t)
{
    int64_t n = t->step + 1;
    BM_TRY(bm_loader_next(t->loader, &t->batch, NULL));
    BM_TRY(bm_learner_step(t->learner, n, bm_course_lr(&t->course, t->task->config, n), &t->batch));
    t->cursor = bm_loader_get_cursor(t->loader);
    t->step = n;
    return BM_OK;
}

static int due(int64_t every, int64_t step)
{
    return every && step % every == 0;
}

/* Whether something happens after step n that needs it complete before step n + 1 begins. */
static int pauses_after(const bm_trainer *t, int64_t n)
{
    const bm_config *c = t->task->config;
    return n == bm_config_i64(c, "train.steps") || due(bm_config_i64(c, "train.checkpoint_every"), n) ||
           (t->evaluator && due(bm_config_i64(c, "train.eval_every"), n));
}

static bm_status evaluate(bm_trainer *t, bm_metrics *m)
{
    const bm_config *c = t->task->config;
    int last = m->step == bm_config_i64(c, "train.steps");
    if (!t->evaluator || !(last || due(bm_config_i64(c, "train.eval_every"), m->step))) return BM_OK;
    bm_evaluation v;
    BM_TRY(bm_evaluator_run(t->evaluator, &v, NULL, NULL));
    m->val_loss = v.loss;
    t->last_done_s = bm_now_s(); /* the next step's time does not hold the evaluation */
    bm_course_see(&t->course, c, m->step, v.loss);
    return BM_OK;
}

/* Nothing is lost by a checkpoint that cannot be written but the way back to it: the next one is tried at its time. */
static bm_status past_io_failure(bm_status s)
{
    if (s != BM_ERR_IO && s != BM_ERR_NO_SPACE) return s;
    bm_log(BM_LOG_WARN, "%s; training goes on, the next checkpoint will be tried", bm_error_text(s));
    return BM_OK;
}

/* A line that cannot be written (a full disk) ends the lines, not the training. */
static void log_metrics(bm_trainer *t, const bm_metrics *m)
{
    if (t->metrics_error.status || !bm_metrics_write(t->metrics, m)) return;
    t->metrics_error = *bm_last_error();
    bm_log(BM_LOG_WARN, "%s; training goes on without metrics.jsonl", t->metrics_error.text);
}

/* Waits for the oldest step under way, and logs it. */
static bm_status complete_step(bm_trainer *t)
{
    const bm_config *c = t->task->config;
    bm_step_result r;
    BM_TRY(bm_learner_collect(t->learner, &r));
    if (!isfinite(r.loss) || !isfinite(r.grad_norm)) return bm_trainer_explain(t, &r);
    double s = r.done_s - t->last_done_s;
    t->last_done_s = r.done_s;
    bm_metrics m = {.step = r.step, .loss = r.loss, .val_loss = NAN, .lr = bm_course_lr(&t->course, c, r.step), .grad_norm = r.grad_norm,
                    .tokens = r.step * t->tokens_per_step, .tokens_per_s = (double)t->tokens_per_step / s, .ms = s * 1e3,
                    .mfu = t->opts.gemm_flops > 0 ? bm_learner_flops(t->learner) / s / t->opts.gemm_flops : NAN,
                    .mem_bytes = bm_engine_live_bytes(t->engine)};
    BM_TRY(bm_trainer_open_folder(t));
    if (!bm_learner_under_way(t->learner)) BM_TRY(evaluate(t, &m));
    int last = r.step == bm_config_i64(c, "train.steps");
    if (last || isfinite(m.val_loss) || due(bm_config_i64(c, "train.log_every"), r.step)) {
        BM_TRY(bm_history_add(t->history, &m));
        log_metrics(t, &m);
    }
    if (t->opts.on_metrics) t->opts.on_metrics(t->opts.user, &m);
    return t->pending && bm_saver_finished(t->saver) ? past_io_failure(bm_trainer_saved(t)) : BM_OK;
}

static bm_status complete_all(bm_trainer *t)
{
    while (bm_learner_under_way(t->learner)) BM_TRY(complete_step(t));
    return BM_OK;
}

static bm_status save_on_the_way(bm_trainer *t)
{
    return past_io_failure(bm_trainer_save(t, 0));
}

static bm_status stop_here(bm_trainer *t)
{
    BM_TRY(complete_all(t));
    BM_TRY(past_io_failure(bm_trainer_saved(t)));
    if (t->step && t->saved != t->step) BM_TRY(bm_trainer_save(t, 1));
    return bm_fail(BM_ERR_STOPPED, "stopped after step %lld of %lld", (long long)t->step,
                   (long long)bm_config_i64(t->task->config, "train.steps"));
}

static bm_status loop(bm_trainer *t)
{
    const bm_config *c = t->task->config;
    int64_t steps = bm_config_i64(c, "train.steps"), every = bm_config_i64(c, "train.checkpoint_every");
    t->last_done_s = bm_now_s();
    while (t->step < steps && !bm_course_stops(&t->course, c)) {
        if (t->opts.stop && t->opts.stop(t->opts.user)) return stop_here(t);
        BM_TRY(enqueue_step(t));
        if (pauses_after(t, t->step)) BM_TRY(complete_all(t));
        else if (bm_learner_under_way(t->learner) == BM_LEARNER_AHEAD) BM_TRY(complete_step(t));
        if (t->step < steps && due(every, t->step)) BM_TRY(save_on_the_way(t));
    }
    return t->saved == t->step ? BM_OK : bm_trainer_save(t, 1);
}

bm_status bm_trainer_run(bm_trainer *t)
{
    bm_status status = loop(t);
    if (status && status != BM_ERR_STOPPED) {
        bm_error first = *bm_last_error();
        bm_trainer_saved(t); /* a checkpoint under way is finished in any case */
        return bm_error_restore(&first);
    }
    return t->metrics_error.status ? bm_error_restore(&t->metrics_error) : status;
}
