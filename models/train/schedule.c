#include "models/train/schedule.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/base/json_priv.h"

/* x in [0, 1]: how far from the end of the warm-up to the last step. */
typedef double (*curve)(double x, double lr, double min_lr);

static double cosine(double x, double lr, double min_lr)
{
    const double pi = 3.14159265358979323846;
    return min_lr + (lr - min_lr) * (1 + cos(pi * x)) / 2;
}

static double linear(double x, double lr, double min_lr)
{
    return lr + (min_lr - lr) * x;
}

static double constant(double x, double lr, double min_lr)
{
    (void)x, (void)min_lr;
    return lr;
}

/* The names are the choices of train.schedule. */
static const struct {
    const char *name;
    curve at;
} schedules[] = {{"cosine", cosine}, {"linear", linear}, {"constant", constant}};

double bm_schedule_lr(const bm_config *c, int64_t n)
{
    double lr = bm_config_f64(c, "train.lr"), min_lr = bm_config_f64(c, "train.min_lr");
    int64_t warmup = bm_config_i64(c, "train.warmup"), steps = bm_config_i64(c, "train.steps");
    if (n <= warmup) return lr * (double)n / (double)warmup;
    const char *name = bm_config_string(c, "train.schedule");
    size_t i = 0;
    while (i + 1 < sizeof schedules / sizeof schedules[0] && strcmp(schedules[i].name, name)) i++;
    return schedules[i].at((double)(n - warmup) / (double)(steps - warmup), lr, min_lr);
}

bm_status bm_schedule_to_json(char **out, const bm_config *c)
{
    json_t *j = json_pack("{s:s, s:f, s:f, s:I, s:I}", "type", bm_config_string(c, "train.schedule"),
                          "lr", bm_config_f64(c, "train.lr"), "min_lr", bm_config_f64(c, "train.min_lr"),
                          "warmup", (json_int_t)bm_config_i64(c, "train.warmup"),
                          "steps", (json_int_t)bm_config_i64(c, "train.steps"));
    bm_status status = bm_json_text(out, j, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(j);
    return status;
}
