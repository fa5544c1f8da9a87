#include "models/infer/generator.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/graph/scalars.h"

/* Tokens read at a time: one, while writing; short prompts or what is left of long ones; and long ones, for which the weights are
 * read and copied once in so many tokens. */
static const int64_t lengths[] = {1, 32, 128, 512};
#define LENGTHS (int)(sizeof lengths / sizeof lengths[0])

/* Of a model whose states forget nothing by themselves: after so many tokens it is read anew from the last half, like others. */
#define NO_CONTEXT ((int64_t)1 << 20)

struct bm_generator {
    bm_network networks[LENGTHS]; /* for up to so many tokens */
    int64_t length[LENGTHS];      /* `lengths`, the last of them the context where it is less */
    int n_lengths;
    bm_layout *cache_layout;
    bm_bank *cache;
    bm_bank **banks;
    int64_t context, vocab;
    int32_t *ids;     /* [context]: the tokens in the cache */
    int64_t n;
    int32_t *input;   /* [the longest length] */
    float *logits;    /* [vocab] */
};

static bm_status writes_nothing(const bm_config *c)
{
    return bm_fail(BM_ERR_UNSUPPORTED, "a model of family %s that has learned no language writes nothing", bm_config_get_family(c)->name);
}

static bm_status plan(bm_generator *g, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params, const char *gemm)
{
    for (int i = 0; i < g->n_lengths; i++) {
        const bm_model_request r = {.mode = BM_MODEL_DECODE, .batch = 1, .window = g->length[i],
                                    .stored = bm_params_stored(params)};
        BM_TRY(bm_network_build(&g->networks[i], m, c, &r, 0));
        if (g->networks[i].io.objective != BM_OBJECTIVE_LM) return writes_nothing(c);
    }
    BM_TRY(bm_layout_create(&g->cache_layout, g->networks[0].graph, BM_PLACE_CACHE, bm_engine_limits(e)));
    BM_TRY(bm_bank_create(&g->cache, e, g->cache_layout, BM_PLACE_CACHE));
    bm_plan_opts o = {.gemm = gemm};
    bm_bank *const *weights = bm_params_banks(params, &o.n_banks);
    g->banks = bm_calloc((size_t)o.n_banks + 1, sizeof *g->banks);
    if (!g->banks) return BM_ERR_MEMORY;
    memcpy(g->banks, weights, (size_t)o.n_banks * sizeof *weights);
    g->banks[o.n_banks++] = g->cache;
    o.banks = g->banks;
    for (int i = g->n_lengths; i-- > 0;) {
        BM_TRY(bm_network_plan(&g->networks[i], e, &o));
        o.share_temps = g->networks[g->n_lengths - 1].plan;
    }
    return BM_OK;
}

bm_status bm_generator_create(bm_generator **out, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params,
                              const char *gemm)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    bm_generator *g = bm_calloc(1, sizeof *g);
    if (!g) return BM_ERR_MEMORY;
    g->context = bm_config_has(c, "model.context") ? bm_config_i64(c, "model.context") : NO_CONTEXT;
    status = bm_config_has(c, "model.vocab") ? BM_OK : writes_nothing(c);
    if (status) goto done;
    g->vocab = bm_config_i64(c, "model.vocab");
    status = BM_ERR_MEMORY;
    for (int64_t last = 0; g->n_lengths < LENGTHS && last < g->context; g->n_lengths++) {
        last = g->context < lengths[g->n_lengths] ? g->context : lengths[g->n_lengths];
        g->length[g->n_lengths] = last;
    }
    g->ids = bm_calloc((size_t)g->context, sizeof *g->ids);
    g->input = bm_calloc((size_t)g->length[g->n_lengths - 1], sizeof *g->input);
    g->logits = bm_calloc((size_t)g->vocab, sizeof *g->logits);
    if (!g->ids || !g->input || !g->logits) goto done;
    BM_GO(plan(g, e, m, c, params, gemm));
done:
    if (status) bm_generator_destroy(g);
    else *out = g;
    return status;
}

void bm_generator_destroy(bm_generator *g)
{
    if (!g) return;
    for (int i = 0; i < g->n_lengths; i++) bm_network_finish(&g->networks[i]);
    bm_bank_destroy(g->cache);
    bm_layout_destroy(g->cache_layout);
    bm_free(g->banks);
    bm_free(g->ids);
    bm_free(g->input);
    bm_free(g->logits);
    bm_free(g);
}

int64_t bm_generator_vocab(const bm_generator *g)
{
    return g->vocab;
}

int64_t bm_generator_cache_bytes(const bm_generator *g)
{
    const int64_t all = bm_layout_bytes(g->cache_layout);
    return g->context == NO_CONTEXT ? all : all / g->context * g->n;
}

void bm_generator_reset(bm_generator *g)
{
    g->n = 0;
}

/* The ids [at, at + n) of g->ids through one plan; they are in the cache afterwards. What it reads beyond n is some ids of
 * before: nothing attends to it. */
static bm_status run(bm_generator *g, const bm_network *p, int64_t at, int64_t n)
{
    memcpy(g->input, g->ids + at, (size_t)n * sizeof *g->input);
    bm_plan_set_u32(p->plan, BM_RT_POSITION, (uint32_t)at);
    bm_plan_set_u32(p->plan, BM_RT_LENGTH, (uint32_t)n);
    BM_TRY(bm_plan_write(p->plan, p->io.inputs, g->input));
    BM_TRY(bm_plan_run(p->plan));
    return at + n == g->n ? bm_plan_read(p->plan, p->io.logits, g->logits) : BM_OK;
}

/* Reads ids [from, g->n) into the cache: the longest steps that are full, and one that is not. */
static bm_status read_in(bm_generator *g, int64_t from)
{
    while (from < g->n) {
        const int64_t left = g->n - from;
        int i = left == 1 ? 0 : g->n_lengths - 1;
        while (i > 1 && g->length[i] > left) i--;
        const int64_t n = left < g->length[i] ? left : g->length[i];
        BM_TRY(run(g, &g->networks[i], from, n));
        from += n;
    }
    return BM_OK;
}

bm_status bm_generator_feed(bm_generator *g, const int32_t *ids, int64_t n, const float **logits)
{
    *logits = NULL;
    if (n < 1) return bm_fail(BM_ERR_USAGE, "no tokens to go on from");
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= g->vocab)
            return bm_fail(BM_ERR_USAGE, "token %d is outside the model's vocabulary of %lld", (int)ids[i], (long long)g->vocab);
    int64_t from = g->n, half = (g->context + 1) / 2;
    if (n > g->context) { /* only the last can matter */
        ids += n - g->context;
        n = g->context;
        from = g->n = 0;
    } else if (g->n + n > g->context) {
        int64_t keep = half < g->context - n ? half : g->context - n;
        memmove(g->ids, g->ids + g->n - keep, (size_t)keep * sizeof *g->ids);
        g->n = keep;
        from = 0;
    }
    memcpy(g->ids + g->n, ids, (size_t)n * sizeof *g->ids);
    g->n += n;
    BM_TRY(read_in(g, from));
    *logits = g->logits;
    return BM_OK;
}
