#include "models/train/halving.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bm_halving bm_halving_make(int64_t trials, int eta)
{
    bm_halving h = {.rungs = 1};
    for (int64_t n = trials; eta > 1 && n >= eta && h.rungs < BM_RUNGS_MOST; n /= eta) h.rungs++;
    for (int k = 0; k < h.rungs; k++) {
        h.trials[k] = k ? h.trials[k - 1] / eta : trials;
        h.share[k] = pow(eta, k - (h.rungs - 1));
    }
    h.share[h.rungs - 1] = 1;
    return h;
}

static int falling(const void *a, const void *b)
{
    const bm_ranked *x = a, *y = b;
    if (isnan(x->score) != isnan(y->score)) return isnan(x->score) ? 1 : -1;
    if (!isnan(x->score) && x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->trial < y->trial ? -1 : x->trial > y->trial;
}

void bm_rank(bm_ranked *list, int64_t n, int rises)
{
    for (int64_t i = 0; i < n && !rises; i++) list[i].score = -list[i].score;
    if (n) qsort(list, (size_t)n, sizeof *list, falling);
    for (int64_t i = 0; i < n && !rises; i++) list[i].score = -list[i].score;
}

static const struct {
    const char *name;
    int rises;
} metrics[] = {
    {"val_loss", 0},  {"perplexity", 0},      {"bits_per_byte", 0}, {"mae", 0},       {"rmse", 0},   {"word_error_rate", 0}, {"accuracy", 1},
    {"top5_accuracy", 1}, {"precision_macro", 1}, {"recall_macro", 1}, {"f1_macro", 1}, {"precision", 1}, {"recall", 1},          {"f1", 1},
    {"roc_auc", 1},   {"r2", 1},
};

int bm_metric_rises(const char *name)
{
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        if (!strcmp(metrics[i].name, name)) return metrics[i].rises;
    return -1;
}

const char *bm_metric_name(int i)
{
    return i >= 0 && (size_t)i < sizeof metrics / sizeof *metrics ? metrics[i].name : NULL;
}
