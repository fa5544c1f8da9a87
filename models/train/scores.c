#include "models/train/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "models/infer/transcript.h"

#define TOP 5

/* One column of NUMBERS. */
typedef struct column {
    int64_t n;
    double mean, spread; /* of the targets: the sum of (y - mean)^2, by Welford's update */
    double squared;      /* sum of squared errors */
} column;

typedef struct judged {
    float score;
    int32_t positive;
} judged;

struct bm_scores {
    bm_scores_kind kind;
    int64_t width, classes; /* classes: of the table of confusion; 0: there is none */
    int64_t n;              /* rows that counted; NUMBERS: numbers */
    int64_t right, among_top;
    int64_t *confusion;
    column *columns;
    double absolute, nats, bytes;
    int64_t edits, labels;
    judged *judged;         /* of two classes: all of the n */
    int64_t room;           /* of judged */
};

bm_status bm_scores_create(bm_scores **out, bm_scores_kind kind, int64_t width)
{
    *out = NULL;
    size_t cells;
    if (width < 1) return bm_fail(BM_ERR_USAGE, "scores of %lld outputs", (long long)width);
    bm_scores *s = bm_calloc(1, sizeof *s);
    if (!s) return BM_ERR_MEMORY;
    *s = (bm_scores){.kind = kind, .width = width};
    s->classes = kind == BM_SCORES_CLASSES ? width : kind == BM_SCORES_BINARY ? 2 : 0;
    if (!bm_mul_size(&cells, (size_t)s->classes, (size_t)s->classes)) s->confusion = bm_calloc(cells + 1, sizeof *s->confusion);
    s->columns = bm_calloc(kind == BM_SCORES_NUMBERS ? (size_t)width : 1, sizeof *s->columns);
    if (!s->confusion || !s->columns) {
        bm_scores_destroy(s);
        return bm_fail(BM_ERR_MEMORY, "no memory for the scores of %lld outputs", (long long)width);
    }
    *out = s;
    return BM_OK;
}

void bm_scores_destroy(bm_scores *s)
{
    if (!s) return;
    bm_free(s->confusion);
    bm_free(s->columns);
    bm_free(s->judged);
    bm_free(s);
}

void bm_scores_reset(bm_scores *s)
{
    memset(s->confusion, 0, (size_t)(s->classes * s->classes) * sizeof *s->confusion);
    memset(s->columns, 0, (s->kind == BM_SCORES_NUMBERS ? (size_t)s->width : 1) * sizeof *s->columns);
    *s = (bm_scores){.kind = s->kind, .width = s->width, .classes = s->classes, .confusion = s->confusion, .columns = s->columns,
                     .judged = s->judged, .room = s->room};
}

/* ---- adding ---- */

static void add_numbers(bm_scores *s, const bm_scores_batch *b)
{
    for (int64_t i = 0; i < b->rows * s->width; i++) {
        const double y = (double)b->numbers[i], e = (double)b->outputs[i] - y;
        column *c = &s->columns[i % s->width];
        if (isnan(y)) continue;
        const double from = y - c->mean;
        c->n++;
        c->mean += from / (double)c->n;
        c->spread += from * (y - c->mean);
        c->squared += e * e;
        s->absolute += fabs(e);
        s->n++;
    }
}

static bm_status check_label(const bm_scores *s, int32_t label)
{
    if (label < s->classes) return BM_OK;
    return bm_fail(BM_ERR_USAGE, "a target is class %d of %lld", (int)label, (long long)s->classes);
}

static void count(bm_scores *s, int64_t label, int64_t predicted)
{
    s->confusion[label * s->classes + predicted]++;
    s->right += label == predicted;
    s->n++;
}

/* Room for the scores of `rows` more that are one of two. */
static bm_status judge_more(bm_scores *s, int64_t rows)
{
    if (s->room - s->n >= rows) return BM_OK;
    const int64_t room = 2 * (s->n + rows);
    judged *more = bm_realloc(s->judged, (size_t)room, sizeof *more);
    if (!more) return BM_ERR_MEMORY;
    s->judged = more;
    s->room = room;
    return BM_OK;
}

static bm_status add_binary(bm_scores *s, const bm_scores_batch *b)
{
    BM_TRY(judge_more(s, b->rows));
    for (int64_t r = 0; r < b->rows; r++) {
        if (b->labels[r] < 0) continue;
        BM_TRY(check_label(s, b->labels[r]));
        s->judged[s->n] = (judged){b->outputs[r], b->labels[r]};
        count(s, b->labels[r], b->outputs[r] > 0);
    }
    return BM_OK;
}

static bm_status add_classes(bm_scores *s, const bm_scores_batch *b)
{
    if (s->classes == 2) BM_TRY(judge_more(s, b->rows));
    for (int64_t r = 0; r < b->rows; r++) {
        const float *x = b->outputs + r * s->width;
        const int32_t label = b->labels[r];
        int64_t best = 0, above = 0;
        if (label < 0) continue;
        BM_TRY(check_label(s, label));
        for (int64_t k = 0; k < s->width; k++) {
            if (x[k] > x[best]) best = k;
            above += x[k] > x[label] || (x[k] == x[label] && k < label);
        }
        s->among_top += above < TOP;
        if (s->classes == 2) s->judged[s->n] = (judged){x[1] - x[0], label};
        count(s, label, best);
    }
    return BM_OK;
}

static void add_tokens(bm_scores *s, const bm_scores_batch *b)
{
    for (int64_t r = 0; r < b->rows; r++) {
        if (b->labels[r] < 0) continue;
        s->nats += (double)b->outputs[r];
        s->n++;
    }
    s->bytes += b->bytes;
}

static bm_status add_sequences(bm_scores *s, const bm_scores_batch *b)
{
    int32_t *read = bm_calloc((size_t)b->steps + 1, sizeof *read);
    bm_status status = read ? BM_OK : BM_ERR_MEMORY;
    for (int64_t r = 0; r < b->rows && !status; r++) {
        const int32_t *label = b->labels + r * b->most;
        int64_t n = 0, edits = 0;
        while (n < b->most && label[n] >= 0) n++;
        const int64_t steps = b->lengths ? b->lengths[r] : b->steps;
        const int64_t got = bm_ctc_greedy(read, b->outputs + r * b->steps * s->width, steps, s->width);
        status = bm_edit_distance(&edits, read, got, label, n);
        s->edits += edits;
        s->labels += n;
    }
    bm_free(read);
    return status;
}

bm_status bm_scores_add(bm_scores *s, const bm_scores_batch *b)
{
    switch (s->kind) {
    case BM_SCORES_NUMBERS: add_numbers(s, b); return BM_OK;
    case BM_SCORES_BINARY: return add_binary(s, b);
    case BM_SCORES_CLASSES: return add_classes(s, b);
    case BM_SCORES_TOKENS: add_tokens(s, b); return BM_OK;
    case BM_SCORES_SEQUENCES: return add_sequences(s, b);
    }
    return BM_OK;
}

/* ---- scores ---- */

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static double or_zero(int64_t a, int64_t b)
{
    return b ? (double)a / (double)b : 0;
}

bm_class_scores bm_scores_of_class(const bm_scores *s, int64_t k)
{
    int64_t support = 0, predicted = 0;
    for (int64_t i = 0; i < s->classes; i++) {
        support += s->confusion[k * s->classes + i];
        predicted += s->confusion[i * s->classes + k];
    }
    const int64_t right = s->confusion[k * s->classes + k];
    return (bm_class_scores){or_zero(right, predicted), or_zero(right, support), or_zero(2 * right, support + predicted), support,
                             predicted};
}

/* Over the classes that occur. */
static bm_class_scores macro(const bm_scores *s)
{
    bm_class_scores sum = {0};
    int64_t occurring = 0;
    for (int64_t k = 0; k < s->classes; k++) {
        const bm_class_scores c = bm_scores_of_class(s, k);
        occurring += c.support || c.predicted;
        sum.precision += c.precision;
        sum.recall += c.recall;
        sum.f1 += c.f1;
    }
    const double n = (double)occurring;
    return (bm_class_scores){ratio(sum.precision, n), ratio(sum.recall, n), ratio(sum.f1, n), s->n, s->n};
}

static double r2(bm_scores *s)
{
    double sum = 0;
    for (int64_t i = 0; i < s->width; i++) {
        const column *c = &s->columns[i];
        sum += c->n < 2 ? NAN : c->spread > 0 ? 1 - c->squared / c->spread : c->squared == 0;
    }
    return sum / (double)s->width;
}

static double rmse(bm_scores *s)
{
    double sum = 0;
    for (int64_t i = 0; i < s->width; i++) sum += s->columns[i].squared;
    return sqrt(ratio(sum, (double)s->n));
}

static int by_score(const void *a, const void *b)
{
    const float x = ((const judged *)a)->score, y = ((const judged *)b)->score;
    return (x > y) - (x < y);
}

/* The share of pairs of a positive and a negative in which the positive has the higher score (Mann & Whitney 1947), equal ones
 * counting half: from the ranks of the positives, which equal scores share. */
static double roc_auc(bm_scores *s)
{
    double ranks = 0, positives = 0;
    if (s->classes != 2) return NAN;
    for (int64_t i = 0; i < s->n; i++)
        if (isnan(s->judged[i].score)) return NAN;
    if (s->n) qsort(s->judged, (size_t)s->n, sizeof *s->judged, by_score);
    for (int64_t i = 0, end; i < s->n; i = end) {
        int64_t here = 0;
        for (end = i; end < s->n && s->judged[end].score == s->judged[i].score; end++) here += s->judged[end].positive;
        ranks += (double)here * (double)(i + 1 + end) / 2;
        positives += (double)here;
    }
    return ratio(ranks - positives * (positives + 1) / 2, positives * ((double)s->n - positives));
}

static double accuracy(bm_scores *s) { return ratio((double)s->right, (double)s->n); }
static double top_accuracy(bm_scores *s) { return s->classes > TOP ? ratio((double)s->among_top, (double)s->n) : NAN; }
static double precision_macro(bm_scores *s) { return macro(s).precision; }
static double recall_macro(bm_scores *s) { return macro(s).recall; }
static double f1_macro(bm_scores *s) { return macro(s).f1; }
static double precision(bm_scores *s) { return s->n ? bm_scores_of_class(s, 1).precision : NAN; }
static double recall(bm_scores *s) { return s->n ? bm_scores_of_class(s, 1).recall : NAN; }
static double f1(bm_scores *s) { return s->n ? bm_scores_of_class(s, 1).f1 : NAN; }
static double mae(bm_scores *s) { return ratio(s->absolute, (double)s->n); }
static double perplexity(bm_scores *s) { return exp(ratio(s->nats, (double)s->n)); }
static double bits_per_byte(bm_scores *s) { return ratio(s->nats / log(2), s->bytes); }
static double word_error_rate(bm_scores *s) { return ratio((double)s->edits, (double)s->labels); }

#define OF(kind) (1u << BM_SCORES_##kind)
static const struct score {
    const char *name;
    double (*get)(bm_scores *s);
    unsigned kinds;
} scores[] = {
    {"accuracy", accuracy, OF(BINARY) | OF(CLASSES)},
    {"top5_accuracy", top_accuracy, OF(CLASSES)},
    {"precision", precision, OF(BINARY)},
    {"recall", recall, OF(BINARY)},
    {"f1", f1, OF(BINARY)},
    {"precision_macro", precision_macro, OF(CLASSES)},
    {"recall_macro", recall_macro, OF(CLASSES)},
    {"f1_macro", f1_macro, OF(BINARY) | OF(CLASSES)},
    {"roc_auc", roc_auc, OF(BINARY) | OF(CLASSES)},
    {"r2", r2, OF(NUMBERS)},
    {"mae", mae, OF(NUMBERS)},
    {"rmse", rmse, OF(NUMBERS)},
    {"perplexity", perplexity, OF(TOKENS)},
    {"bits_per_byte", bits_per_byte, OF(TOKENS)},
    {"word_error_rate", word_error_rate, OF(SEQUENCES)},
};
#define SCORES ((int)(sizeof scores / sizeof *scores))

double bm_scores_get(bm_scores *s, const char *name)
{
    for (int i = 0; i < SCORES; i++)
        if (scores[i].kinds >> s->kind & 1u && !strcmp(scores[i].name, name)) return scores[i].get(s);
    return NAN;
}

const char *bm_scores_name(const bm_scores *s, int i)
{
    for (int k = 0; k < SCORES; k++)
        if (scores[k].kinds >> s->kind & 1u && i-- == 0) return scores[k].name;
    return NULL;
}

const int64_t *bm_scores_confusion(const bm_scores *s)
{
    return s->classes ? s->confusion : NULL;
}
