/* The trials of a search: a panel of their scores in turn, and one for each key that was searched. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/plot/plot.h"
#include "tools/search/study.h"

/* Where a trial's value of a key stands on its axis. */
static double place(const bm_space_key *k, const json_t *outcome)
{
    double x = NAN;
    const char *text = json_string_value(json_object_get(json_object_get(outcome, "values"), k->name));
    for (int i = 0; text && k->kind == BM_SPACE_CHOICE && i < k->choices; i++)
        if (!strcmp(text, k->choice[i])) return i;
    if (text && k->kind != BM_SPACE_CHOICE) bm_parse_f64(&x, text);
    return x;
}

/* The scores of the trials whose last rung is `rung`; k NULL: by their numbers. */
static void add_rung(bm_panel *p, const bm_study *s, int rung, const bm_space_key *k)
{
    char name[40] = "";
    if (s->plan.rungs > 1 && !k) snprintf(name, sizeof name, "rung %d", rung + 1);
    bm_line *l = bm_panel_line(p, name, BM_MARK_DOTS, s->plan.rungs > 1 ? rung + 1 : 0);
    for (int64_t t = 1; t <= s->trials; t++) {
        const json_t *o = bm_study_outcome(s, t, -1);
        if (o && json_integer_value(json_object_get(o, "rung")) == rung) bm_line_add(p, l, k ? place(k, o) : (double)t, bm_outcome_score(o));
    }
}

static void add_best(bm_panel *p, const bm_study *s)
{
    bm_line *l = bm_panel_line(p, "best so far", BM_MARK_FAINT, 0);
    double best = NAN;
    for (int64_t t = 1; t <= s->trials; t++) {
        const double score = bm_outcome_score(bm_study_outcome(s, t, -1));
        if (isnan(score)) continue;
        if (!isnan(best)) bm_line_add(p, l, (double)t, best);
        best = isnan(best) ? score : s->rises ? fmax(best, score) : fmin(best, score);
        bm_line_add(p, l, (double)t, best);
    }
}

static bm_panel *add_panel(bm_chart *c, const bm_study *s, const bm_space_key *k, int log)
{
    bm_panel *p = bm_chart_panel(c, k ? k->name : "trial", s->metric);
    for (int i = 0; k && i < k->choices; i++) bm_panel_word(p, k->choice[i]);
    if (p) {
        p->log_x = k && k->kind == BM_SPACE_LOG;
        p->log_y = log;
    }
    if (!k && s->plan.rungs == 1) add_best(p, s);
    for (int rung = 0; rung < s->plan.rungs; rung++) add_rung(p, s, rung, k);
    return p;
}

bm_status bm_plot_trials(const bm_plot *p)
{
    bm_status status;
    bm_study *s = NULL;
    bm_chart *c = NULL;
    const bm_space_key *keys;
    if (p->paths > 1) return bm_fail(BM_ERR_USAGE, "--trials draws one study");
    BM_GO(bm_study_open(&s, &(bm_study_opts){.folder = p->path[0], .trials = -1, .seed = -1, .eta = -1, .look = 1}));
    if (!json_array_size(s->outcomes)) BM_GO(bm_fail(BM_ERR_NOT_FOUND, "%s: no trial has ended yet", p->path[0]));
    c = bm_chart_create(p->path[0]);
    const size_t n = bm_config_space(&keys, s->config);
    add_panel(c, s, NULL, p->log);
    for (size_t i = 0; i < n; i++) add_panel(c, s, &keys[i], p->log);
    while (c && (size_t)(c->columns * c->columns) < n + 1) c->columns++;
    status = bm_plot_show(p, c);
done:
    bm_chart_destroy(c);
    bm_study_close(s);
    return status;
}
