#include "tools/search/trials.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "models/nn/model.h"
#include "tools/cmd.h"
#include "tools/out.h"
#include "tools/search/child.h"
#include "tools/signals.h"
#include "tools/train_run.h"

enum { MOST_LINE = 400 };

typedef struct trial {
    const bm_study *study;
    int64_t number;
    int rung;
    char *run, *log;
    double shown_s;
} trial;

static void finish(trial *t)
{
    bm_free(t->run);
    bm_free(t->log);
}

void bm_study_describe(bm_str *out, const bm_study *s, int64_t number)
{
    const char *key;
    json_t *value, *values = bm_study_values(s, number);
    int first = 1;
    json_object_foreach(values, key, value) {
        bm_str_addf(out, "%s%s %s", first ? "" : ", ", key, json_string_value(value));
        first = 0;
    }
    json_decref(values);
}

/* ---- in the child ---- */

/* The options that would set the same on a command line, for the checkpoints. */
static bm_status make_flags(char ***out, const trial *t)
{
    const char *key;
    json_t *value, *values = bm_study_values(t->study, t->number);
    const json_t *sets = json_object_get(t->study->head, "set");
    const size_t n = json_array_size(sets) + json_object_size(values);
    char **flags = bm_calloc(n + 1, sizeof *flags);
    size_t k = 0;
    bm_status status = values && flags ? BM_OK : BM_ERR_MEMORY;
    for (size_t i = 0; i < json_array_size(sets) && !status; i++) {
        bm_str s;
        bm_str_init(&s);
        bm_str_addf(&s, "--set=%s", json_string_value(json_array_get(sets, i)));
        flags[k++] = bm_str_take(&s);
    }
    json_object_foreach(values, key, value) {
        bm_str s;
        bm_str_init(&s);
        bm_str_addf(&s, "--set=%s=%s", key, json_string_value(value));
        if (!status) flags[k++] = bm_str_take(&s);
        bm_str_finish(&s);
    }
    json_decref(values);
    *out = flags;
    return status;
}

/* Whether the run has a checkpoint; one without begins anew. */
static bm_status prepare(int *resumes, const trial *t)
{
    uint64_t *steps = NULL;
    int64_t n = 0;
    *resumes = 0;
    if (!bm_path_exists(t->run)) return BM_OK;
    BM_TRY(bm_run_clean(t->run));
    BM_TRY(bm_run_steps(&steps, &n, t->run));
    bm_free(steps);
    *resumes = n > 0;
    if (!n) bm_run_discard(t->run, t->run);
    return BM_OK;
}

static int train(void *user)
{
    const trial *t = user;
    size_t n;
    int resumes, code = 0;
    bm_status status;
    bm_config *c = NULL;
    bm_checkpoint *from = NULL;
    char **flags = NULL;
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(prepare(&resumes, t));
    if (resumes) {
        BM_GO(bm_config_create(&c, families, n));
        BM_GO(bm_train_run_load(c, &from, t->run));
    } else {
        BM_GO(bm_study_config(&c, t->study, t->number));
    }
    BM_GO(make_flags(&flags, t));
    code = bm_train_run_do(&(bm_train_run){.cmd = &bm_cmd_search, .config = c, .run = t->run, .flags = flags, .device = t->study->device,
                                           .gemm = t->study->gemm, .resume = from, .share = t->study->plan.share[t->rung]});
done:
    if (status) code = bm_out_error(status);
    for (char **f = flags; f && *f; f++) bm_free(*f);
    bm_free(flags);
    bm_checkpoint_close(from);
    bm_config_destroy(c);
    return code;
}

/* As `bmtool eval RUN --json` does it. */
static int measure(void *user)
{
    const trial *t = user;
    const bm_study *s = t->study;
    char name[] = "eval", json[] = "--json", tokens[40], device[400], gemm[40], *argv[] = {name, t->run, json, tokens, NULL, NULL, NULL};
    int n = 4;
    snprintf(tokens, sizeof tokens, "--tokens=%lld", (long long)s->eval_tokens);
    snprintf(device, sizeof device, "--device=%s", s->device ? s->device : "");
    snprintf(gemm, sizeof gemm, "--gemm=%s", s->gemm ? s->gemm : "");
    if (s->device) argv[n++] = device;
    if (s->gemm) argv[n++] = gemm;
    return bm_cmd_eval.run(n, argv);
}

/* ---- here ---- */

/* The last line of the trial's log, as the progress line. */
static void show_progress(void *user)
{
    trial *t = user;
    char tail[MOST_LINE + 1], line[MOST_LINE + 100];
    const double now = bm_now_s();
    if (!bm_out_is_terminal(stderr) || now - t->shown_s < 0.2) return;
    t->shown_s = now;
    FILE *f = fopen(t->log, "r");
    if (!f) return;
    if (fseek(f, -MOST_LINE, SEEK_END)) rewind(f);
    size_t n = fread(tail, 1, MOST_LINE, f);
    fclose(f);
    while (n && tail[n - 1] == '\n') n--;
    tail[n] = 0;
    const char *last = strrchr(tail, '\n');
    last = last ? last + 1 : tail;
    snprintf(line, sizeof line, "trial %lld of %lld: %s", (long long)t->number, (long long)t->study->trials,
             strncmp(last, "bmtool: ", 8) ? last : last + 8);
    bm_out_progress(line);
}

/* What another trial would meet, too. */
static int ends_search(bm_status s)
{
    switch (s) {
    case BM_ERR_IO:
    case BM_ERR_NO_SPACE:
    case BM_ERR_NO_DEVICE:
    case BM_ERR_NOT_FOUND:
    case BM_ERR_EXISTS:
    case BM_ERR_REFUSED:
    case BM_ERR_DIFFERS:
    case BM_ERR_USAGE: return 1;
    default: return 0;
    }
}

/* Runs one of the two; *failed says that the trial did. */
static bm_status run_child(bm_child_end *end, int *failed, trial *t, int (*work)(void *), int keep_stdout)
{
    const bm_child c = {.work = work, .user = t, .log = t->log, .keep_stdout = keep_stdout, .waiting = show_progress};
    bm_out_progress("");
    BM_TRY(bm_child_run(end, &c));
    *failed = end->code != 0;
    if (*failed && bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped in trial %lld of %lld", (long long)t->number, (long long)t->study->trials);
    if (*failed && ends_search(end->status)) return bm_fail(end->status, "trial %lld: %s", (long long)t->number, end->text);
    return BM_OK;
}

/* {"val_loss": ..., "accuracy": ...} of what eval printed. */
static bm_status read_scores(json_t **out, const trial *t, const char *text)
{
    json_error_t e;
    json_t *o = json_loads(text, 0, &e);
    if (!o) return bm_fail(BM_ERR_DAMAGED, "%s: eval printed no JSON", t->run);
    json_object_del(o, "confusion");
    json_object_del(o, "classes");
    json_object_set(o, "val_loss", json_object_get(o, "loss"));
    json_object_del(o, "loss");
    *out = o;
    if (json_is_number(json_object_get(o, t->study->metric))) return BM_OK;
    bm_str names;
    bm_str_init(&names);
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
        if (json_is_number(value) && bm_metric_rises(key) >= 0) bm_str_addf(&names, ", %s", key);
    bm_status s = bm_fail(BM_ERR_CONFIG, "--metric %s: this model has no such score (there are %s)", t->study->metric,
                          names.length ? bm_str_text(&names) + 2 : "none");
    bm_str_finish(&names);
    return s;
}

static int64_t steps_made(const trial *t)
{
    uint64_t *steps = NULL;
    int64_t n = 0, last = 0;
    if (bm_run_steps(&steps, &n, t->run)) return 0;
    if (n) last = (int64_t)steps[n - 1];
    bm_free(steps);
    return last;
}

static void tell(const trial *t, const json_t *outcome, double seconds)
{
    char took[BM_OUT_NUMBER], rung[40] = "";
    bm_str s;
    bm_str_init(&s);
    bm_study_describe(&s, t->study, t->number);
    const char *reason = json_string_value(json_object_get(outcome, "reason"));
    if (t->study->plan.rungs > 1) snprintf(rung, sizeof rung, "rung %d of %d, ", t->rung + 1, t->study->plan.rungs);
    if (reason) bm_out_note("%strial %lld failed: %s (%s); %s", rung, (long long)t->number, reason, t->log, bm_str_text(&s));
    else
        bm_out_note("%strial %lld of %lld: %s %.6g in %s; %s", rung, (long long)t->number, (long long)t->study->trials, t->study->metric,
                    bm_outcome_score(outcome), bm_out_seconds(took, seconds), bm_str_text(&s));
    bm_str_finish(&s);
}

/* Trains and measures. */
static bm_status do_trial(json_t **scores, bm_child_end *end, int *failed, trial *t)
{
    BM_TRY(run_child(end, failed, t, train, 0));
    if (*failed) return BM_OK;
    BM_TRY(run_child(end, failed, t, measure, 1));
    bm_status status = *failed ? BM_OK : read_scores(scores, t, end->output);
    bm_free(end->output);
    end->output = NULL;
    return status;
}

static bm_status run_trial(bm_study *s, int64_t number, int rung)
{
    trial t = {.study = s, .number = number, .rung = rung, .run = bm_study_run(s, number), .log = bm_study_log(s, number)};
    bm_child_end end = {0};
    json_t *scores = NULL, *outcome = NULL;
    int failed = 0;
    const double start_s = bm_now_s();
    bm_status status = t.run && t.log ? do_trial(&scores, &end, &failed, &t) : BM_ERR_MEMORY;
    const double seconds = bm_now_s() - start_s;
    bm_out_progress("");
    if (!status && failed)
        outcome = json_pack("{s:I, s:i, s:s, s:o, s:f, s:o}", "trial", (json_int_t)number, "rung", rung, "status", "failed", "reason",
                            bm_json_shown(end.text), "seconds", seconds, "values", bm_study_values(s, number));
    else if (!status)
        outcome = json_pack("{s:I, s:i, s:s, s:O, s:I, s:f, s:o, s:O}", "trial", (json_int_t)number, "rung", rung, "status", "ok", "score",
                            json_object_get(scores, s->metric), "step", (json_int_t)steps_made(&t), "seconds", seconds, "values",
                            bm_study_values(s, number), "scores", scores);
    if (!status) {
        tell(&t, outcome, seconds);
        status = bm_study_record(s, outcome);
    }
    bm_free(end.output);
    json_decref(scores);
    finish(&t);
    return status;
}

bm_status bm_study_go(bm_study *s)
{
    bm_status status = BM_OK;
    int64_t *trials = bm_calloc((size_t)s->trials, sizeof *trials);
    if (!trials) return BM_ERR_MEMORY;
    for (int rung = 0; rung < s->plan.rungs && !status; rung++) {
        const int64_t n = bm_study_of_rung(trials, s, rung);
        for (int64_t i = 0; i < n && !status; i++) {
            if (bm_study_outcome(s, trials[i], rung)) continue;
            status = bm_signals_stopped() ? bm_fail(BM_ERR_STOPPED, "stopped before trial %lld of %lld", (long long)trials[i], (long long)s->trials)
                                          : run_trial(s, trials[i], rung);
        }
    }
    bm_free(trials);
    return status;
}
