#include "models/train/schedule.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/base/json_priv.h"

/* Where a run stands after its warm-up. */
typedef struct position {
    const bm_config *config;
    double lr, min_lr;
    int64_t n, warmup, steps; /* warmup < n <= steps */
} position;

static double passed(const position *p)
{
    return (double)(p->n - p->warmup) / (double)(p->steps - p->warmup);
}

/* From `from` to `to` along half a cosine, at a share of the way. */
static double anneal(double from, double to, double share)
{
    const double pi = 3.14159265358979323846;
    return to + (from - to) * (1 + cos(pi * share)) / 2;
}

static double cosine(const position *p)
{
    return anneal(p->lr, p->min_lr, passed(p));
}

static double linear(const position *p)
{
    return p->lr + (p->min_lr - p->lr) * passed(p);
}

static double constant(const position *p)
{
    return p->lr;
}

static double step(const position *p)
{
    const int64_t falls = (p->n - p->warmup - 1) / bm_config_i64(p->config, "train.step_every");
    return p->lr * pow(bm_config_f64(p->config, "train.gamma"), (double)falls);
}

static double wsd(const position *p)
{
    const int64_t left = p->steps - p->warmup, wanted = bm_config_i64(p->config, "train.decay_steps");
    const int64_t decay = wanted < left ? wanted : left, into = p->n - (p->steps - decay);
    return into <= 0 ? p->lr : p->min_lr + (p->lr - p->min_lr) * (1 - sqrt((double)into / (double)decay));
}

/* Steps count from 0 here; the peak may lie between two of them. */
static double one_cycle(const position *p)
{
    const double first = p->lr / bm_config_f64(p->config, "train.div_factor");
    const double last = first / bm_config_f64(p->config, "train.final_div_factor");
    const double peak = bm_config_f64(p->config, "train.pct_start") * (double)p->steps - 1, at = (double)(p->n - 1);
    if (at <= peak) return anneal(first, p->lr, peak > 0 ? at / peak : 1);
    return anneal(p->lr, last, (at - peak) / ((double)(p->steps - 1) - peak));
}

static const struct schedule {
    const char *name;
    double (*at)(const position *p);
    int rises;
    const char *keys[3];
} schedules[] = {
#define BM_SCHEDULE(name_, at_, rises_, ...) {#name_, at_, rises_, {__VA_ARGS__}},
#include "models/train/schedules.def"
};

static const struct schedule *schedule_of(const bm_config *c)
{
    const char *name = bm_config_string(c, "train.schedule");
    size_t i = 0;
    while (i + 1 < sizeof schedules / sizeof schedules[0] && strcmp(schedules[i].name, name)) i++;
    return &schedules[i];
}

double bm_schedule_lr(const bm_config *c, int64_t n)
{
    const struct schedule *s = schedule_of(c);
    const position p = {.config = c, .lr = bm_config_f64(c, "train.lr"), .min_lr = bm_config_f64(c, "train.min_lr"), .n = n,
                        .warmup = s->rises ? 0 : bm_config_i64(c, "train.warmup"), .steps = bm_config_i64(c, "train.steps")};
    return n <= p.warmup ? p.lr * (double)n / (double)p.warmup : s->at(&p);
}

#define LOWER 1e-4 /* by what share a loss must be lower to count on a plateau */

bm_course bm_course_start(void)
{
    return (bm_course){.best = NAN, .reference = NAN, .factor = 1};
}

void bm_course_see(bm_course *o, const bm_config *c, int64_t step, double val_loss)
{
    if (!isfinite(val_loss)) return;
    o->stale++;
    if (!(o->best <= val_loss)) {
        o->best = val_loss;
        o->best_step = step;
        o->stale = 0;
    }
    o->waiting++;
    if (!(o->reference * (1 - LOWER) <= val_loss)) {
        o->reference = val_loss;
        o->waiting = 0;
    }
    if (o->waiting <= bm_config_i64(c, "train.plateau_patience")) return;
    o->factor *= bm_config_f64(c, "train.gamma");
    o->waiting = 0;
}

int bm_course_stops(const bm_course *o, const bm_config *c)
{
    const int64_t most = bm_config_i64(c, "train.early_stop");
    return most && o->stale >= most;
}

double bm_course_lr(const bm_course *o, const bm_config *c, int64_t n)
{
    const double lr = bm_schedule_lr(c, n), least = bm_config_f64(c, "train.min_lr");
    if (strcmp(bm_config_string(c, "train.schedule"), "plateau") != 0) return lr;
    return lr * o->factor > least || lr < least ? lr * o->factor : least;
}

bm_status bm_schedule_to_json(char **out, const bm_config *c)
{
    json_t *j = json_pack("{s:s, s:f, s:f, s:I, s:I}", "type", bm_config_string(c, "train.schedule"),
                          "lr", bm_config_f64(c, "train.lr"), "min_lr", bm_config_f64(c, "train.min_lr"),
                          "warmup", (json_int_t)bm_config_i64(c, "train.warmup"),
                          "steps", (json_int_t)bm_config_i64(c, "train.steps"));
    const struct schedule *s = schedule_of(c);
    int failed = 0;
    for (int i = 0; i < 3 && s->keys[i]; i++)
        failed |= json_object_set_new(j, strchr(s->keys[i], '.') + 1, json_real(bm_config_number(c, s->keys[i])));
    bm_status status = bm_json_text(out, failed ? NULL : j, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(j);
    return status;
}
