/* Runs as curves over their steps. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/checkpoint.h"
#include "models/nn/ends.h"
#include "tools/out.h"
#include "tools/plot/plot.h"

#define MOST_BYTES ((size_t)1 << 32)
enum { MOST_NAME = 40 };

typedef enum column { LOSS, VAL_LOSS, LR, GRAD_NORM, RATE, COLUMNS } column;
static const char *const column_name[COLUMNS] = {"loss", "val_loss", "lr", "grad_norm", "tokens_per_s"};

typedef struct run {
    char *name;
    const char *loss_unit, *rate_unit;
    int64_t rows, room;
    double *step, *value[COLUMNS];
} run;

static void finish_run(run *r)
{
    bm_free(r->name);
    bm_free(r->step);
    for (int k = 0; k < COLUMNS; k++) bm_free(r->value[k]);
}

static bm_status make_room(run *r, int64_t rows)
{
    if (rows <= r->room) return BM_OK;
    const int64_t room = rows > 2 * r->room ? rows : 2 * r->room;
    for (int k = -1; k < COLUMNS; k++) {
        double **array = k < 0 ? &r->step : &r->value[k];
        double *longer = bm_realloc(*array, (size_t)room, sizeof *longer);
        if (!longer) return BM_ERR_MEMORY;
        *array = longer;
    }
    r->room = room;
    return BM_OK;
}

static bm_status read_line(run *r, const char *line, size_t bytes)
{
    json_error_t e;
    json_t *o = json_loadb(line, bytes, 0, &e), *step = json_object_get(o, "step");
    bm_status status = json_is_integer(step) ? make_room(r, r->rows + 1) : BM_ERR_DAMAGED;
    if (!status) {
        r->step[r->rows] = (double)json_integer_value(step);
        for (int k = 0; k < COLUMNS; k++) {
            const json_t *x = json_object_get(o, column_name[k]);
            r->value[k][r->rows] = json_is_number(x) ? json_number_value(x) : NAN;
        }
        r->rows++;
    }
    json_decref(o);
    return status;
}

/* A last line that is not whole is one being written. */
static bm_status read_metrics(run *r, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    bm_status status = bm_file_read(&text, &bytes, path, MOST_BYTES);
    int64_t number = 1;
    for (size_t at = 0; at < bytes && !status; number++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        if (!end) break;
        status = read_line(r, text + at, (size_t)(end - text) - at);
        if (status == BM_ERR_DAMAGED) status = bm_fail(status, "%s:%lld: is no line of a run's metrics", path, (long long)number);
        at = (size_t)(end - text) + 1;
    }
    bm_free(text);
    return status;
}

static bm_status read_history(run *r, const bm_ckpt_history *h)
{
    BM_TRY(make_room(r, h->rows));
    r->rows = h->rows;
    for (int64_t i = 0; i < h->rows; i++) r->step[i] = (double)h->step[i];
    for (int k = 0; k < COLUMNS; k++) {
        const bm_ckpt_column *found = NULL;
        for (int64_t j = 0; j < h->columns; j++)
            if (!strcmp(h->column[j].name, column_name[k])) found = &h->column[j];
        for (int64_t i = 0; i < h->rows; i++) r->value[k][i] = found ? found->value[i] : NAN;
    }
    return BM_OK;
}

/* What its numbers are counted in; a configuration that is not there or cannot be read says nothing. */
static void find_units(run *r, const bm_config *c)
{
    const bm_config_family *f = bm_config_get_family(c);
    if (!f) return;
    const int ends = bm_config_has(c, "model.task") && !bm_config_is_null(c, "model.task");
    const bm_objective o = ends ? bm_objective_of(c) : BM_OBJECTIVE_LM;
    const char *loss = bm_config_is_null(c, "train.loss") ? "" : bm_config_string(c, "train.loss");
    r->loss_unit = !strcmp(loss, "mae") ? "mean absolute error" : !strcmp(loss, "huber") ? "Huber loss" : !strcmp(loss, "ctc") ? "loss (nats per label)"
                   : o == BM_OBJECTIVE_REGRESSION                                        ? "mean squared error"
                   : o == BM_OBJECTIVE_LM                                                ? "loss (nats per token)"
                                                                                         : "loss (nats)";
    r->rate_unit = bm_config_is_null(c, "data.window") || bm_config_i64(c, "data.window") > 1 ? "tokens/s" : "samples/s";
}

static void read_units(run *r, const char *yaml, const char *json)
{
    size_t n;
    bm_config *c = NULL;
    const bm_config_family *const *families = bm_model_families(&n);
    bm_status status = bm_config_create(&c, families, n);
    if (!status) status = json ? bm_config_from_json(c, json, strlen(json), "config") : bm_config_load(c, yaml);
    r->loss_unit = "loss";
    r->rate_unit = "tokens/s";
    if (!status) find_units(r, c);
    bm_config_destroy(c);
}

static bm_status read_checkpoint(run *r, const char *path)
{
    bm_checkpoint *c = NULL;
    BM_TRY(bm_checkpoint_open(&c, path));
    bm_status status = read_history(r, &bm_checkpoint_desc(c)->history);
    if (!status) read_units(r, NULL, bm_checkpoint_desc(c)->config_json);
    bm_checkpoint_close(c);
    return status;
}

/* A run's folder by its metrics.jsonl, a checkpoint by its history. */
static bm_status read_run(run *r, const char *path)
{
    char *metrics = bm_path_join(path, "metrics.jsonl"), *config = bm_path_join(path, "config.yaml"), *study = bm_path_join(path, "study.json");
    bm_status status = metrics && config && study ? BM_OK : BM_ERR_MEMORY;
    if (status) goto done;
    if (bm_path_exists(study)) {
        status = bm_fail(BM_ERR_USAGE, "%s: is a study: --trials draws it; its runs are %s/trial-*", path, path);
    } else if (bm_path_exists(metrics)) {
        BM_GO(read_metrics(r, metrics));
        read_units(r, config, NULL);
    } else {
        BM_GO(read_checkpoint(r, path));
    }
    if (!status && !r->rows) status = bm_fail(BM_ERR_NOT_FOUND, "%s: has no metrics yet", path);
done:
    bm_free(study);
    bm_free(metrics);
    bm_free(config);
    return status;
}

static const char *last_part(const char *path, size_t *length)
{
    size_t end = strlen(path), start;
    while (end > 1 && path[end - 1] == '/') end--;
    for (start = end; start > 0 && path[start - 1] != '/';) start--;
    *length = end - start;
    return path + start;
}

/* The last part of its path, or all of it where two are the same; the end of a long one. */
static char *name_of(const bm_plot *p, int i)
{
    size_t length, other;
    const char *name = last_part(p->path[i], &length);
    for (int k = 0; k < p->paths; k++) {
        const char *their = last_part(p->path[k], &other);
        if (k == i || other != length || memcmp(name, their, length)) continue;
        name = p->path[i];
        length = strlen(name);
    }
    bm_str s;
    bm_str_init(&s);
    if (length > MOST_NAME) {
        name += length - MOST_NAME;
        length = MOST_NAME;
        while (length && ((unsigned char)*name & 0xc0) == 0x80) name++, length--;
        bm_str_add(&s, "..");
    }
    bm_str_add_bytes(&s, name, length);
    char *text = bm_str_take(&s);
    bm_str_finish(&s);
    return text;
}

static int has_any(const run *r, int runs, column k)
{
    for (int i = 0; i < runs; i++)
        for (int64_t j = 0; j < r[i].rows; j++)
            if (isfinite(r[i].value[k][j])) return 1;
    return 0;
}

static void add_curve(bm_panel *panel, const run *r, column k, const char *name, bm_mark mark, int colour)
{
    bm_line *l = bm_panel_line(panel, name, mark, colour);
    for (int64_t j = 0; j < r->rows; j++)
        if (isfinite(r->value[k][j])) bm_line_add(panel, l, r->step[j], r->value[k][j]);
}

/* Of one run training and validation have colours of their own; several runs a colour each, and marks for validation. */
static void add_loss(bm_panel *panel, const run *r, int runs)
{
    const int validated = has_any(r, runs, VAL_LOSS);
    const bm_mark training = runs > 1 && validated ? BM_MARK_FAINT : BM_MARK_LINE;
    for (int i = 0; i < runs; i++) add_curve(panel, &r[i], LOSS, runs > 1 && validated ? "" : runs > 1 ? r[i].name : "training", training, i);
    for (int i = 0; i < runs && validated; i++)
        add_curve(panel, &r[i], VAL_LOSS, runs > 1 ? r[i].name : "validation", BM_MARK_POINTS, runs > 1 ? i : 1);
    if (runs < 2 || !validated) return;
    bm_panel_line(panel, "training", BM_MARK_FAINT, BM_COLOUR_GREY);
    bm_panel_line(panel, "validation", BM_MARK_POINTS, BM_COLOUR_GREY);
}

static bm_status add_levels(bm_panel *panel, const bm_opt_list *levels)
{
    bm_extent e;
    if (!panel || !levels->count || !bm_panel_extent(&e, panel)) return BM_OK;
    for (int i = 0; i < levels->count; i++) {
        double y;
        char number[40];
        const char *equals = strchr(levels->item[i], '='), *end = equals ? equals : levels->item[i] + strlen(levels->item[i]);
        snprintf(number, sizeof number, "%.*s", (int)(end - levels->item[i]), levels->item[i]);
        if (bm_parse_f64(&y, number)) return bm_fail(BM_ERR_USAGE, "--line %s: expected VALUE or VALUE=NAME", levels->item[i]);
        bm_line *l = bm_panel_line(panel, equals ? equals + 1 : "", BM_MARK_LEVEL, BM_COLOUR_GREY);
        bm_line_add(panel, l, e.x0, y);
        bm_line_add(panel, l, e.x1, y);
    }
    return BM_OK;
}

static const char *common_unit(const run *r, int runs, int rate)
{
    const char *first = rate ? r->rate_unit : r->loss_unit;
    for (int i = 1; i < runs; i++)
        if (strcmp(first, rate ? r[i].rate_unit : r[i].loss_unit)) return rate ? "tokens or samples / s" : "loss";
    return first;
}

/* Whether a list "loss,lr" has the word, or is "all". */
static int wanted(const char *what, const char *word)
{
    const size_t n = strlen(word);
    if (!strcmp(what, "all")) return 1;
    for (const char *at = what;; at++) {
        const size_t length = strcspn(at, ",");
        if (length == n && !memcmp(at, word, n)) return 1;
        at += length;
        if (!*at) return 0;
    }
}

static bm_status check_what(const char *what)
{
    static const char *const words[] = {"loss", "lr", "grad_norm", "throughput", "all"};
    char word[40];
    for (const char *at = what;; at++) {
        const size_t length = strcspn(at, ",");
        int known = 0;
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) known |= !strcmp(word, words[i]);
        if (!known) return bm_fail(BM_ERR_USAGE, "--what %s: there is loss, lr, grad_norm, throughput and all", word);
        at += length;
        if (!*at) return BM_OK;
    }
}

static bm_status draw(const bm_plot *p, const run *r)
{
    const int n = p->paths;
    bm_status status = BM_OK;
    bm_chart *c = bm_chart_create(n == 1 ? r->name : "");
    if (!c) return BM_ERR_MEMORY;
    if (wanted(p->what, "loss")) {
        bm_panel *panel = bm_chart_panel(c, "step", common_unit(r, n, 0));
        add_loss(panel, r, n);
        status = add_levels(panel, &p->levels);
        if (panel) panel->log_y = p->log;
    }
    static const struct {
        const char *word, *label;
        column column;
    } others[] = {{"lr", "learning rate", LR}, {"grad_norm", "gradient norm", GRAD_NORM}, {"throughput", NULL, RATE}};
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        if (!wanted(p->what, others[k].word) || !has_any(r, n, others[k].column)) continue;
        bm_panel *panel = bm_chart_panel(c, "step", others[k].label ? others[k].label : common_unit(r, n, 1));
        const int first = c->panels == 1;
        for (int i = 0; i < n; i++) add_curve(panel, &r[i], others[k].column, first && n > 1 ? r[i].name : "", BM_MARK_LINE, i);
        if (panel) panel->log_y = p->log;
    }
    if (!status && !bm_chart_status(c) && !c->panels) status = bm_fail(BM_ERR_NOT_FOUND, "%s: has none of what --what asks for", p->path[0]);
    if (!status) status = bm_plot_show(p, c);
    bm_chart_destroy(c);
    return status;
}

bm_status bm_plot_curves(const bm_plot *p)
{
    BM_TRY(check_what(p->what));
    bm_status status = BM_ERR_MEMORY;
    run *r = bm_calloc((size_t)p->paths, sizeof *r);
    for (int i = 0; r && i < p->paths; i++) {
        r[i].name = name_of(p, i);
        BM_GO(r[i].name ? read_run(&r[i], p->path[i]) : BM_ERR_MEMORY);
    }
    if (r) status = draw(p, r);
done:
    for (int i = 0; r && i < p->paths; i++) finish_run(&r[i]);
    bm_free(r);
    return status;
}
