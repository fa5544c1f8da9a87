/* What came of the trials: trials.jsonl, and who was best. */
#include <math.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tools/search/study_priv.h"

/* ---- trials.jsonl ---- */

static bm_status write_outcomes(const bm_study *s)
{
    size_t i;
    json_t *line;
    bm_str all;
    bm_status status = BM_OK;
    bm_str_init(&all);
    json_array_foreach(s->outcomes, i, line) {
        char *text = NULL;
        if (!status) status = bm_json_text(&text, line, JSON_REAL_PRECISION(9));
        if (!status) bm_str_addf(&all, "%s\n", text);
        bm_free(text);
    }
    if (!status) status = bm_str_status(&all);
    if (!status) status = bm_study_write(s, "trials.jsonl", bm_str_text(&all), all.length);
    bm_str_finish(&all);
    return status;
}

bm_status bm_study_read_outcomes(bm_study *s)
{
    char *path = bm_path_join(s->folder, "trials.jsonl"), *text = NULL;
    size_t bytes = 0;
    bm_status status = path ? BM_OK : BM_ERR_MEMORY;
    if (!status && bm_path_exists(path)) status = bm_file_read(&text, &bytes, path, BM_STUDY_MOST_BYTES);
    int number = 1;
    for (size_t at = 0; at < bytes && !status; number++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        json_error_t e;
        const size_t length = end ? (size_t)(end - text) - at : bytes - at;
        json_t *line = json_loadb(text + at, length, JSON_REJECT_DUPLICATES, &e);
        if (!json_is_integer(json_object_get(line, "trial")) || !json_is_integer(json_object_get(line, "rung")))
            status = bm_fail(BM_ERR_DAMAGED, "%s:%d: is no line of a study", path, number);
        else if (json_array_append(s->outcomes, line)) status = BM_ERR_MEMORY;
        json_decref(line);
        at += length + 1;
    }
    bm_free(text);
    bm_free(path);
    return status;
}

bm_status bm_study_rescore(bm_study *s)
{
    size_t i;
    json_t *o;
    json_array_foreach(s->outcomes, i, o) {
        const json_t *scores = json_object_get(o, "scores"), *score = json_object_get(scores, s->metric);
        if (scores && !json_is_number(score)) return bm_fail(BM_ERR_CONFIG, "--metric %s: this model has no such score", s->metric);
        if (scores && json_object_set(o, "score", (json_t *)score)) return BM_ERR_MEMORY;
    }
    return BM_OK;
}

const json_t *bm_study_outcome(const bm_study *s, int64_t trial, int rung)
{
    size_t i;
    const json_t *o, *found = NULL;
    json_array_foreach(s->outcomes, i, o)
        if (json_integer_value(json_object_get(o, "trial")) == trial && (rung < 0 || json_integer_value(json_object_get(o, "rung")) == rung)) found = o;
    return found;
}

double bm_outcome_score(const json_t *outcome)
{
    const json_t *score = json_object_get(outcome, "score");
    return json_is_number(score) ? json_number_value(score) : (double)NAN;
}

bm_status bm_study_record(bm_study *s, json_t *outcome)
{
    if (!outcome || json_array_append_new(s->outcomes, outcome)) return BM_ERR_MEMORY;
    return write_outcomes(s);
}

/* ---- the order of trials ---- */

/* The trials that have an outcome in this rung, best first. */
static int64_t rank_rung(bm_ranked *list, const bm_study *s, int rung, const int64_t *trial, int64_t n)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        const json_t *o = bm_study_outcome(s, trial[i], rung);
        if (o) list[found++] = (bm_ranked){trial[i], bm_outcome_score(o)};
    }
    bm_rank(list, found, s->rises);
    return found;
}

int64_t bm_study_of_rung(int64_t *out, const bm_study *s, int rung)
{
    int64_t n = 0;
    bm_ranked *list = bm_calloc((size_t)s->trials, sizeof *list);
    for (int64_t t = 1; t <= s->trials; t++) out[n++] = t;
    for (int k = 0; k < rung && list; k++) {
        const int64_t found = rank_rung(list, s, k, out, n);
        n = 0;
        for (int64_t i = 0; i < found && n < s->plan.trials[k + 1] && !isnan(list[i].score); i++) out[n++] = list[i].trial;
    }
    bm_free(list);
    return list ? n : 0;
}

int64_t bm_study_ranked(int64_t *out, const bm_study *s)
{
    int64_t n = 0, *of_rung = bm_calloc((size_t)s->trials, sizeof *of_rung);
    bm_ranked *list = bm_calloc((size_t)s->trials, sizeof *list);
    for (int failed = 0; failed < 2 && of_rung && list; failed++)
        for (int k = s->plan.rungs - 1; k >= 0; k--) {
            int64_t here = 0;
            for (int64_t t = 1; t <= s->trials; t++) { /* those whose last rung this is */
                const json_t *o = bm_study_outcome(s, t, -1);
                if (o && json_integer_value(json_object_get(o, "rung")) == k) of_rung[here++] = t;
            }
            here = rank_rung(list, s, k, of_rung, here);
            for (int64_t i = 0; i < here; i++)
                if (isnan(list[i].score) == failed) out[n++] = list[i].trial;
        }
    bm_free(of_rung);
    bm_free(list);
    return n;
}
