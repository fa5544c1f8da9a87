#include "tests/lib/small_gpt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

bm_config *small_gpt_config(const char *const *sets)
{
    bm_config *c = NULL;
    size_t n;
    const bm_config_family *const *families = bm_model_families(&n);
    test_ok(bm_config_create(&c, families, n));
    test_ok(bm_config_set(c, "model.family=gpt"));
    for (; *sets; sets++) test_ok(bm_config_set(c, *sets));
    return c;
}

static void fill_weights(bm_params *p)
{
    const bm_layout *l = bm_params_layout(p);
    for (int i = 0; i < bm_layout_count(l); i++) {
        const bm_tensor *t = bm_layout_at(l, i);
        const int64_t n = t->bytes / 4;
        float *w = malloc((size_t)n * sizeof *w);
        bm_rng r = bm_rng_start(11, bm_rng_stream(t->name), 0);
        for (int64_t k = 0; k < n; k++)
            w[k] = (bm_params_semantic(p, i) == BM_SEMANTIC_NORM) + 0.3f * bm_rng_normal(&r);
        test_ok(bm_bank_write(bm_params_bank(p, BM_PLACE_WEIGHT), t, 0, w, t->bytes));
        free(w);
    }
}

void small_gpt_open(small_gpt *s)
{
    memset(s, 0, sizeof *s);
    s->engine = test_engine_shared();
    s->model = bm_model_find("gpt");
    s->config = small_gpt_config((const char *const[]){"model.layers=2", "model.heads=2", "model.width=24", "model.context=40",
                                                       "model.vocab=41", "model.dropout=0.5", NULL});
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = SMALL_CONTEXT};
    test_ok(bm_network_build(&s->forward, s->model, s->config, &r, 0));
    bm_graph_output(s->forward.graph, s->forward.io.logits, "logits");
    bm_graph_output(s->forward.graph, s->forward.io.hidden, "hidden");
    test_ok(bm_params_create(&s->params, s->engine, s->forward.nn, s->forward.graph, &(bm_params_opts){0}));
    fill_weights(s->params);
    bm_plan_opts o = {.gemm = "tiled"};
    o.banks = bm_params_banks(s->params, &o.n_banks);
    test_ok(bm_network_plan(&s->forward, s->engine, &o));
}

void small_gpt_close(small_gpt *s)
{
    bm_network_finish(&s->forward);
    bm_params_destroy(s->params);
    bm_config_destroy(s->config);
}

void small_gpt_ids(int32_t *ids, int64_t n, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(bm_rng_at(seed, 3, 3, (uint64_t)i) % SMALL_VOCAB);
}

bm_data *small_gpt_data(const char *path, int64_t n, double val_fraction)
{
    bm_tokens_writer *w = NULL;
    bm_data *d = NULL;
    bm_content_id id;
    bm_tokens_opts opts = bm_tokens_opts_default();
    opts.vocab_size = SMALL_VOCAB;
    opts.eot_id = -1;
    opts.val_fraction = val_fraction;
    opts.replace = 1;
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    small_gpt_ids(ids, n, 1);
    test_ok(bm_tokens_writer_create(&w, path, &opts));
    test_ok(bm_tokens_writer_add(w, (const uint32_t *)ids, n));
    test_ok(bm_tokens_writer_commit(&id, w));
    bm_tokens_writer_destroy(w);
    free(ids);
    test_ok(bm_data_open(&d, path));
    return d;
}

void small_gpt_forward(small_gpt *s, float *logits, float *hidden, const int32_t *ids, int64_t n)
{
    int32_t inputs[SMALL_CONTEXT] = {0}, targets[SMALL_CONTEXT];
    bm_plan *p = s->forward.plan;
    ck_assert_int_le(n, SMALL_CONTEXT);
    memcpy(inputs, ids, (size_t)n * sizeof *ids);
    memset(targets, 0xff, sizeof targets);
    test_ok(bm_plan_write(p, s->forward.io.inputs, inputs));
    test_ok(bm_plan_write(p, s->forward.io.targets, targets));
    test_ok(bm_plan_run(p));
    if (logits) test_ok(bm_plan_peek(p, s->forward.io.logits, 0, logits, n * SMALL_VOCAB * 4));
    if (hidden) test_ok(bm_plan_peek(p, s->forward.io.hidden, 0, hidden, n * SMALL_WIDTH * 4));
}

double small_gpt_nats(const float *logits, int32_t target)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < SMALL_VOCAB; i++) most = fmax(most, (double)logits[i]);
    for (int i = 0; i < SMALL_VOCAB; i++) sum += exp((double)logits[i] - most);
    return log(sum) + most - (double)logits[target];
}

void small_gpt_near(const char *what, const float *got, const float *want, int64_t n)
{
    double size = 0;
    for (int64_t i = 0; i < n; i++) size = fmax(size, fabs((double)want[i]));
    for (int64_t i = 0; i < n; i++)
        test_that(fabs((double)got[i] - (double)want[i]) <= 0x1p-16 * size, "%s: number %lld is %.9g, not %.9g", what,
                  (long long)i, (double)got[i], (double)want[i]);
}
