#include "core/base/json_priv.h"
#include "tools/train_run.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/formats/safetensors.h"
#include "models/train/learner.h"
#include "models/train/trainer.h"
#include "tools/out.h"
#include "tools/session.h"
#include "tools/signals.h"

#define MOST_GEMM_BYTES (16 << 20)

/* What the progress line needs to know. */
typedef struct screen {
    const bm_trainer *trainer;
    const char *unit; /* what is counted */
    int64_t steps, first;
    int64_t until; /* it pauses there */
    double start_s, val_loss;
    int64_t every; /* steps between plain lines when stderr is no terminal */
} screen;

static int asked_to_stop(void *user)
{
    const screen *s = user;
    return bm_signals_stopped() || bm_trainer_step(s->trainer) >= s->until;
}

/* "step 120/500  loss 1.8123  val 1.9001  3 min 02 s left  12,345 tok/s  71 % of GEMM  lr 9.7e-04  212.40 MiB": what a narrow
 * terminal cuts off is what changes least. */
static void write_line(char *line, size_t bytes, const screen *s, const bm_metrics *m)
{
    char rate[BM_OUT_NUMBER], mem[BM_OUT_NUMBER], left[BM_OUT_NUMBER], val[40] = "", share[40] = "";
    double per_step = (bm_now_s() - s->start_s) / (double)(m->step - s->first);
    if (isfinite(s->val_loss)) snprintf(val, sizeof val, "  val %.4f", s->val_loss);
    if (isfinite(m->mfu)) snprintf(share, sizeof share, "  %.0f %% of GEMM", m->mfu * 100);
    snprintf(line, bytes, "step %lld/%lld  loss %.4f%s  %s left  %s %s/s%s  lr %.1e  %s", (long long)m->step,
             (long long)s->steps, m->loss, val, bm_out_seconds(left, per_step * (double)(s->steps - m->step)),
             bm_out_count(rate, (int64_t)m->tokens_per_s), s->unit, share, m->lr, bm_out_bytes(mem, m->mem_bytes));
}

static void show_metrics(void *user, const bm_metrics *m)
{
    screen *s = user;
    char line[256];
    if (isfinite(m->val_loss)) s->val_loss = m->val_loss;
    write_line(line, sizeof line, s, m);
    if (bm_out_is_terminal(stderr)) bm_out_progress(line);
    else if (m->step == s->first + 1 || m->step % s->every == 0 || m->step == s->steps || isfinite(m->val_loss))
        bm_out_note("%s", line);
}

static void show_checkpoint(void *user, const char *path)
{
    (void)user;
    bm_out_note("saved %s", path);
}

/* The GEMM backend and choices that the run began with: bitwise resume must not hang on a stopwatch. */
static bm_status take_gemm(bm_session *s, const json_t *gemm, const char **backend)
{
    bm_status status = BM_OK;
    const json_t *choices = json_object_get(gemm, "choices");
    const char *name = json_string_value(json_object_get(gemm, "backend"));
    for (const char *const *b = bm_gemm_backends(); !*backend && name && *b; b++)
        if (!strcmp(*b, name)) *backend = *b;
    char *text = NULL;
    if (choices) status = bm_json_text(&text, choices, 0);
    if (text) status = bm_gemm_tuning_from_json(s->engine, text);
    bm_free(text);
    return status;
}

static bm_status take_gemm_of_checkpoint(bm_session *s, const bm_checkpoint *from, const char **backend)
{
    const char *text = bm_checkpoint_desc(from)->provenance_json;
    json_error_t e;
    json_t *j = text ? json_loads(text, JSON_REJECT_DUPLICATES, &e) : NULL;
    bm_status status = take_gemm(s, json_object_get(j, "gemm"), backend);
    json_decref(j);
    return status;
}

/* From gemm.json of a run that ended before its first checkpoint. */
static bm_status take_gemm_of_folder(bm_session *s, const char *run, const char **backend)
{
    json_error_t e;
    size_t bytes;
    bm_status status = BM_ERR_MEMORY;
    json_t *j = NULL;
    char *path = bm_path_join(run, "gemm.json"), *text = NULL;
    if (!path) goto done;
    BM_GO(bm_file_read(&text, &bytes, path, MOST_GEMM_BYTES));
    j = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    status = j ? take_gemm(s, j, backend) : bm_fail(BM_ERR_DAMAGED, "%s: line %d: %s", path, e.line, e.text);
done:
    json_decref(j);
    bm_free(text);
    bm_free(path);
    return status;
}

static void say_what(const bm_train_run *r, const bm_session *s, const bm_trainer *t, const bm_task *task)
{
    char n[BM_OUT_NUMBER], all[BM_OUT_NUMBER], each[64] = "samples";
    const bm_config *c = r->config;
    bm_out_note("%s on %s (%s)", bm_config_get_family(c)->name, bm_engine_device_name(s->engine),
                bm_engine_platform_name(s->engine));
    const int64_t places = bm_sample_places(&task->form);
    if (places > 1) snprintf(each, sizeof each, "%s of %lld %s", bm_data_tokens(task->data) ? "windows" : "samples",
                             (long long)places, bm_data_tokens(task->data) ? "tokens" : "frames");
    bm_out_note("%s parameters, %s %s, %lld %s a step, steps %lld to %lld, into %s",
                bm_out_count(n, bm_trainer_parameters(t)), bm_out_count(all, bm_data_count(task->data)),
                bm_data_tokens(task->data) ? "tokens" : "samples", (long long)bm_config_i64(c, "train.batch"), each,
                (long long)bm_trainer_step(t) + 1, (long long)bm_config_i64(c, "train.steps"), r->run);
}

static int report(const bm_train_run *r, bm_status status, const bm_trainer *t)
{
    bm_out_progress("");
    if (!status) {
        if (bm_trainer_step(t) < bm_config_i64(r->config, "train.steps"))
            bm_out_note("ended early, at step %lld of %lld: train.early_stop", (long long)bm_trainer_step(t),
                        (long long)bm_config_i64(r->config, "train.steps"));
        bm_out_note("done: bmtool inspect %s", r->run);
        return 0;
    }
    if (status == BM_ERR_NO_SPACE || status == BM_ERR_IO) {
        int code = bm_out_error(status);
        bm_out_note("once that is mended, go on from the newest checkpoint with: bmtool resume %s", r->run);
        return code;
    }
    if (status != BM_ERR_STOPPED) return bm_out_error(status);
    if (!bm_signals_stopped()) {
        bm_out_note("%s, as asked", bm_error_text(status));
        return 0;
    }
    if (bm_trainer_step(t)) bm_out_note("%s; go on with: bmtool resume %s", bm_error_text(status), r->run);
    else bm_out_note("stopped before the first step; nothing was kept");
    int code = bm_signals_exit_code();
    return code ? code : bm_status_exit_code(status);
}

static bm_status open_init(bm_checkpoint **out, bm_config *c)
{
    *out = NULL;
    if (bm_config_is_null(c, "init")) return BM_OK;
    const char *path = bm_config_string(c, "init");
    if (bm_safetensors_is(path))
        return bm_fail(BM_ERR_REFUSED, "init: %s is a safetensors file: `bmtool convert` makes a checkpoint of it",
                       path);
    BM_TRY(bm_checkpoint_open(out, path));
    char id[65];
    bm_content_id_hex(id, bm_store_content_id(bm_checkpoint_store(*out)));
    if (!bm_config_is_null(c, "init_content_id") && strcmp(bm_config_string(c, "init_content_id"), id))
        return bm_fail(BM_ERR_DIFFERS,
                       "init: %s is not the checkpoint that this run began with (content id %.16s..., the run has "
                       "%.16s...): put the old one back or start a new run",
                       bm_checkpoint_path(*out), id, bm_config_string(c, "init_content_id"));
    BM_TRY(bm_config_set_string(c, "init",
                                bm_checkpoint_path(*out))); /* of a run folder another may be the newest later */
    return bm_config_set_string(c, "init_content_id", id);
}

/* The options as a JSON array; freed by bm_free. */
static bm_status write_flags(char **out, char *const *flags)
{
    int bad = 0;
    json_t *list = json_array();
    for (; *flags; flags++) bad |= json_array_append_new(list, bm_json_shown(*flags));
    bm_status s = bm_json_text(out, bad ? NULL : list, 0);
    json_decref(list);
    return s;
}

bm_status bm_train_run_load(bm_config *c, bm_checkpoint **from, const char *run)
{
    bm_status s = bm_checkpoint_open(from, run);
    if (!s) {
        const char *json = bm_checkpoint_desc(*from)->config_json;
        return bm_config_from_json(c, json, strlen(json), bm_checkpoint_path(*from));
    }
    char *path = s == BM_ERR_NOT_FOUND ? bm_path_join(run, "config.yaml") : NULL;
    if (path && bm_path_exists(path)) {
        bm_out_note("%s has no checkpoint yet: beginning again", run);
        s = bm_config_load(c, path);
    }
    bm_free(path);
    return s;
}

int bm_train_run_finished(const bm_config *c, const bm_checkpoint *from, const char *run)
{
    const int64_t steps = bm_config_i64(c, "train.steps"), step = from ? (int64_t)bm_checkpoint_desc(from)->state.step : 0;
    if (!from || step < steps) return 0;
    bm_out_note("%s is at step %lld of %lld; for more: bmtool resume %s --set train.%s=N", run, (long long)step, (long long)steps, run,
                bm_config_is_null(c, "train.epochs") ? "steps" : "epochs");
    return 1;
}

static int64_t pause_at(double share, int64_t steps)
{
    const int64_t step = llround(share * (double)steps);
    return step < 1 ? 1 : step < steps ? step : steps;
}

static const char *unit_of(const bm_task *t)
{
    return bm_data_tokens(t->data) ? "tok" : bm_sample_places(&t->form) > 1 ? "frames" : "samples";
}

int bm_train_run_do(const bm_train_run *r)
{
    bm_status status;
    bm_task task = {0};
    bm_session session = {0};
    bm_checkpoint *init = NULL;
    bm_trainer *trainer = NULL;
    int code = 0;
    char *flags = NULL;
    const char *gemm = r->gemm;
    BM_GO(write_flags(&flags, r->flags));
    BM_GO(bm_task_open(&task, r->config, 0));
    if (bm_train_run_finished(r->config, r->resume, r->run)) goto done;
    if (!r->resume) BM_GO(open_init(&init, r->config));
    bm_session_opts so = {.device = r->device, .config = bm_config_string(r->config, "device")};
    BM_GO(bm_session_open(&session, &so));
    if (r->resume) BM_GO(take_gemm_of_checkpoint(&session, r->resume, &gemm));
    if (r->restart) BM_GO(take_gemm_of_folder(&session, r->run, &gemm));
    bm_signals_watch("\nbmtool: finishing the step and saving; once more stops at once\n");
    screen s = {.unit = unit_of(&task), .steps = bm_config_i64(r->config, "train.steps"), .val_loss = NAN, .start_s = bm_now_s()};
    bm_trainer_opts o = {.run = r->run, .restart = r->restart, .gemm = gemm, .resume = r->resume, .flags_json = flags,
                         .init = init, .stop = asked_to_stop, .on_metrics = show_metrics, .on_checkpoint = show_checkpoint, .user = &s};
    o.gemm_flops = bm_session_gemm_flops(&session, bm_learner_request(r->config).dtype);
    BM_GO(bm_trainer_create(&trainer, session.engine, &task, &o));
    say_what(r, &session, trainer, &task);
    s.trainer = trainer;
    s.until = r->share > 0 ? pause_at(r->share, s.steps) : s.steps;
    s.first = bm_trainer_step(trainer);
    s.every = s.steps / 20 > 0 ? s.steps / 20 : 1;
    s.start_s = bm_now_s();
    bm_out_progress("the first step: the driver makes the kernels ready");
    code = report(r, bm_trainer_run(trainer), trainer);
    status = BM_OK;
done:
    if (status) code = bm_out_error(status);
    bm_trainer_destroy(trainer);
    bm_checkpoint_close(init);
    bm_session_close(&session);
    bm_task_close(&task);
    bm_free(flags);
    return code;
}
