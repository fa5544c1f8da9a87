#include "models/infer/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

typedef struct candidate {
    double weight; /* exp((logit - largest) / temperature) */
    float logit;
    int32_t id;
} candidate;

struct bm_sampler {
    bm_sampler_opts opts;
    int64_t vocab;
    uint32_t stream;
    candidate *list; /* [vocab] */
};

bm_sampler_opts bm_sampler_opts_default(void)
{
    return (bm_sampler_opts){.temperature = 1, .top_k = 0, .top_p = 1, .seed = 1, .banned = -1};
}

bm_status bm_sampler_create(bm_sampler **out, int64_t vocab, const bm_sampler_opts *o)
{
    *out = NULL;
    if (!(o->temperature >= 0) || !isfinite(o->temperature))
        return bm_fail(BM_ERR_USAGE, "temperature %g: it must be 0 or more", o->temperature);
    if (o->top_k < 0) return bm_fail(BM_ERR_USAGE, "top-k %lld: it must be 0 (all) or more", (long long)o->top_k);
    if (!(o->top_p > 0 && o->top_p <= 1)) return bm_fail(BM_ERR_USAGE, "top-p %g: it must be in (0, 1]", o->top_p);
    bm_sampler *s = bm_calloc(1, sizeof *s);
    if (!s) return BM_ERR_MEMORY;
    s->opts = *o;
    s->vocab = vocab;
    s->stream = bm_rng_stream("sample");
    s->list = bm_calloc((size_t)vocab, sizeof *s->list);
    if (!s->list) {
        bm_free(s);
        return BM_ERR_MEMORY;
    }
    *out = s;
    return BM_OK;
}

void bm_sampler_destroy(bm_sampler *s)
{
    if (!s) return;
    bm_free(s->list);
    bm_free(s);
}

static int by_logit(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The candidates with a finite logit, and the largest of them first found in *best; their number, or -1 for a NaN. */
static int64_t gather(bm_sampler *s, const float *logits, int64_t *best)
{
    int64_t n = 0;
    *best = -1;
    for (int64_t i = 0; i < s->vocab; i++) {
        if (i == s->opts.banned) continue;
        if (isnan(logits[i])) return -1;
        if (isinf(logits[i]) && logits[i] < 0) continue;
        if (*best < 0 || logits[i] > logits[*best]) *best = i;
        s->list[n++] = (candidate){0, logits[i], (int32_t)i};
    }
    return n;
}

/* Cuts the sorted candidates by top-k and top-p; the number kept. */
static int64_t cut(bm_sampler *s, int64_t n)
{
    if (s->opts.top_k && s->opts.top_k < n) n = s->opts.top_k;
    double all = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) all += s->list[i].weight;
    if (s->opts.top_p >= 1) return n;
    for (int64_t i = 0; i < n; i++) {
        sum += s->list[i].weight;
        if (sum >= s->opts.top_p * all) return i + 1;
    }
    return n;
}

bm_status bm_sampler_pick(int64_t *id, bm_sampler *s, const float *logits, int64_t step)
{
    int64_t best, n = gather(s, logits, &best);
    if (n <= 0 || !isfinite(logits[best])) return bm_fail(BM_ERR_NOT_FINITE, "the logits of token %lld are not finite", (long long)step);
    *id = best;
    if (s->opts.temperature == 0) return BM_OK;
    for (int64_t i = 0; i < n; i++)
        s->list[i].weight = exp(((double)s->list[i].logit - (double)logits[best]) / s->opts.temperature);
    if (s->opts.top_k || s->opts.top_p < 1) {
        qsort(s->list, (size_t)n, sizeof *s->list, by_logit);
        n = cut(s, n);
    }
    double all = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) all += s->list[i].weight;
    double u = ((double)bm_rng_at(s->opts.seed, s->stream, 0, (uint64_t)step) + 0.5) / 4294967296.0 * all;
    for (int64_t i = 0; i < n; i++) {
        *id = s->list[i].id;
        sum += s->list[i].weight;
        if (u < sum) break;
    }
    return BM_OK;
}
