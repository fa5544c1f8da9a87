#include "tools/search/results.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "models/nn/model.h"
#include "tools/out.h"
#include "tools/search/trials.h"
#include "tools/table.h"
#include "tools/train_run.h"

enum { SCHEMA = 1, MOST_REASON = 60 };

static const char *reason_of(const json_t *o) { return json_string_value(json_object_get(o, "reason")); }

static void add_row(bm_table *t, const bm_study *s, int64_t trial, const bm_space_key *k, size_t n, int notes)
{
    char number[40];
    const json_t *o = bm_study_outcome(s, trial, -1), *values = json_object_get(o, "values");
    const double score = bm_outcome_score(o);
    bm_table_add(t, "%lld", (long long)trial);
    bm_table_add(t, "%s", isnan(score) ? "failed" : bm_format_f64(number, sizeof number, score, 6));
    if (s->plan.rungs > 1) bm_table_add(t, "%lld", (long long)json_integer_value(json_object_get(o, "rung")) + 1);
    bm_table_add(t, "%lld", (long long)json_integer_value(json_object_get(o, "step")));
    for (size_t i = 0; i < n; i++) {
        const char *value = json_string_value(json_object_get(values, k[i].name));
        bm_table_add(t, "%s", value ? value : "?");
    }
    const char *reason = reason_of(o) ? reason_of(o) : "";
    if (notes) bm_table_add(t, "%.*s%s", MOST_REASON, reason, strlen(reason) > MOST_REASON ? "..." : "");
}

static bm_status print_table(const bm_study *s, const int64_t *trial, int64_t n)
{
    const bm_space_key *k;
    bm_table *t = NULL;
    char metric[80];
    const size_t keys = bm_config_space(&k, s->config);
    const char **heads = bm_calloc(keys + 6, sizeof *heads);
    char(*key_heads)[80] = bm_calloc(keys + 1, sizeof *key_heads);
    bm_status status = BM_ERR_MEMORY;
    int column = 0;
    if (!heads || !key_heads) goto done;
    snprintf(metric, sizeof metric, ">%s", s->metric);
    heads[column++] = ">trial";
    heads[column++] = metric;
    if (s->plan.rungs > 1) heads[column++] = ">rung";
    heads[column++] = ">step";
    for (size_t i = 0; i < keys; i++) {
        snprintf(key_heads[i], sizeof key_heads[i], "%s%.70s", k[i].kind == BM_SPACE_CHOICE ? "" : ">", k[i].name);
        heads[column++] = key_heads[i];
    }
    /* failed ones come last */
    const int notes = n && reason_of(bm_study_outcome(s, trial[n - 1], -1));
    if (notes) heads[column] = "reason";
    BM_GO(bm_table_create(&t, heads));
    for (int64_t i = 0; i < n; i++) add_row(t, s, trial[i], k, keys, notes);
    status = bm_table_print(t, stdout);
done:
    bm_table_destroy(t);
    bm_free(key_heads);
    bm_free(heads);
    return status;
}

static int print_json(const bm_study *s, const int64_t *trial, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        char *run = bm_study_run(s, trial[i]);
        json_t *o = json_deep_copy(bm_study_outcome(s, trial[i], -1));
        if (run) json_object_set_new(o, "run", bm_json_shown(run));
        json_array_append_new(list, o);
        bm_free(run);
    }
    const int any = n && !reason_of(bm_study_outcome(s, trial[0], -1));
    return bm_out_json(json_pack("{s:i, s:o, s:O, s:s, s:I, s:I, s:o, s:o}", "schema", SCHEMA, "study", bm_json_shown(s->folder), "method",
                                 json_object_get(s->head, "method"), "metric", s->metric, "seed", (json_int_t)s->seed, "wanted",
                                 (json_int_t)s->trials, "best", any ? json_integer(trial[0]) : json_null(), "trials", list));
}

int bm_study_print(const bm_study *s, int json)
{
    int64_t *trial = bm_calloc((size_t)s->trials, sizeof *trial);
    if (!trial) return bm_out_error(BM_ERR_MEMORY);
    const int64_t n = bm_study_ranked(trial, s);
    const int code = json ? print_json(s, trial, n) : bm_out_error(print_table(s, trial, n));
    bm_free(trial);
    return code;
}

/* The resolved configuration of a trial's run, for another run: what it has learned on is not pinned. */
static bm_status write_best(const bm_study *s, int64_t trial, const char *path)
{
    size_t n;
    bm_status status;
    bm_config *c = NULL;
    bm_checkpoint *from = NULL;
    bm_str text;
    char *yaml = NULL, *run = bm_study_run(s, trial);
    const bm_config_family *const *families = bm_model_families(&n);
    bm_str_init(&text);
    BM_GO(run ? BM_OK : BM_ERR_MEMORY);
    BM_GO(bm_config_create(&c, families, n));
    BM_GO(bm_train_run_load(c, &from, run));
    BM_GO(bm_config_set(c, "data.content_id=null"));
    BM_GO(bm_config_to_yaml(&yaml, c));
    bm_str_addf(&text, "# trial %lld of a search: %s %.6g\n%s", (long long)trial, s->metric, bm_outcome_score(bm_study_outcome(s, trial, -1)), yaml);
    BM_GO(bm_str_status(&text));
    status = bm_file_replace(path, bm_str_text(&text), text.length);
done:
    bm_str_finish(&text);
    bm_checkpoint_close(from);
    bm_config_destroy(c);
    bm_free(yaml);
    bm_free(run);
    return status;
}

bm_status bm_study_conclude(const bm_study *s)
{
    bm_status status;
    int64_t *trial = bm_calloc((size_t)s->trials, sizeof *trial);
    char *path = bm_path_join(s->folder, "best.yaml"), *run = NULL;
    bm_str values;
    bm_str_init(&values);
    BM_GO(trial && path ? BM_OK : BM_ERR_MEMORY);
    const int64_t n = bm_study_ranked(trial, s);
    const json_t *best = n ? bm_study_outcome(s, trial[0], -1) : NULL;
    if (!best || reason_of(best)) {
        status = bm_fail(BM_ERR_NOT_FINITE, "no trial succeeded; trial %lld: %s", n ? (long long)trial[0] : 0LL, best ? reason_of(best) : "");
        goto done;
    }
    run = bm_study_run(s, trial[0]);
    bm_study_describe(&values, s, trial[0]);
    BM_GO(run ? write_best(s, trial[0], path) : BM_ERR_MEMORY);
    bm_out_note("best: trial %lld, %s %.6g: %s", (long long)trial[0], s->metric, bm_outcome_score(best), bm_str_text(&values));
    bm_out_note("it is the run %s; to train it anew: bmtool train %s", run, path);
done:
    bm_str_finish(&values);
    bm_free(trial);
    bm_free(path);
    bm_free(run);
    return status;
}
