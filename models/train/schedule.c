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

static double cosine(const position *p)
{
    const double pi = 3.14159265358979323846;
    return p->min_lr + (p->lr - p->min_lr) * (1 + cos(pi * passed(p))) / 2;
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

/* The names are the choices of train.schedule. */
static const struct schedule {
    const char *name;
    double (*at)(const position *p);
    const char *keys[2]; /* that it alone reads */
} schedules[] = {
    {"cosine", cosine, {NULL}},
    {"linear", linear, {NULL}},
    {"constant", constant, {NULL}},
    {"step", step, {"train.gamma", "train.step_every"}},
    {"wsd", wsd, {"train.decay_steps"}},
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
    const position p = {.config = c, .lr = bm_config_f64(c, "train.lr"), .min_lr = bm_config_f64(c, "train.min_lr"), .n = n,
                        .warmup = bm_config_i64(c, "train.warmup"), .steps = bm_config_i64(c, "train.steps")};
    return n <= p.warmup ? p.lr * (double)n / (double)p.warmup : schedule_of(c)->at(&p);
}

bm_status bm_schedule_to_json(char **out, const bm_config *c)
{
    json_t *j = json_pack("{s:s, s:f, s:f, s:I, s:I}", "type", bm_config_string(c, "train.schedule"),
                          "lr", bm_config_f64(c, "train.lr"), "min_lr", bm_config_f64(c, "train.min_lr"),
                          "warmup", (json_int_t)bm_config_i64(c, "train.warmup"),
                          "steps", (json_int_t)bm_config_i64(c, "train.steps"));
    const struct schedule *s = schedule_of(c);
    int failed = 0;
    for (int i = 0; i < 2 && s->keys[i]; i++)
        failed |= json_object_set_new(j, strchr(s->keys[i], '.') + 1, json_real(bm_config_number(c, s->keys[i])));
    bm_status status = bm_json_text(out, failed ? NULL : j, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(j);
    return status;
}
