#include "tools/bench_generate.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "models/infer/generator.h"
#include "tools/bench_device.h"
#include "tools/out.h"

#define PROMPT 512
#define PROMPTS 5
#define TOKENS 32

/* Matrices that every token is multiplied by count for each, the head for the last alone. */
static void count(bm_generation *out, const bm_params *p, int tied)
{
    for (int i = 0; i < bm_layout_count(bm_params_layout(p)); i++) {
        const bm_tensor *t = bm_layout_at(bm_params_layout(p), i);
        const int head = !strcmp(t->name, tied ? "token/weight" : "head/weight");
        if (t->shape.rank != 2 || !(bm_params_semantic(p, i) == BM_SEMANTIC_WEIGHT || head)) continue;
        out->prompt_flops += 2.0 * (double)bm_shape_elements(&t->shape) * (head ? 1 : (double)out->prompt);
        out->token_bytes += (double)t->bytes;
    }
}

static bm_status measure(bm_generation *out, bm_engine *e, bm_generator *g, bm_status (*stop)(void))
{
    const float *logits;
    double seconds[PROMPTS], each[TOKENS], before, after;
    bm_status status = BM_OK;
    int32_t *ids = bm_calloc((size_t)out->prompt, sizeof *ids);
    if (!ids) return BM_ERR_MEMORY;
    for (int i = -1; i < PROMPTS; i++) {
        BM_GO(stop());
        bm_generator_reset(g);
        const double start = bm_now_s();
        BM_GO(bm_generator_feed(g, ids, out->prompt, &logits));
        if (i >= 0) seconds[i] = bm_now_s() - start;
    }
    BM_GO(bm_bench_read(&before, e, bm_bench_bytes(e)));
    for (int i = -1; i < TOKENS; i++) {
        BM_GO(stop());
        const double start = bm_now_s();
        BM_GO(bm_generator_feed(g, ids, 1, &logits));
        if (i >= 0) each[i] = bm_now_s() - start;
        if (i == TOKENS / 2) out->token_bytes += (double)bm_generator_cache_bytes(g);
    }
    BM_GO(bm_bench_read(&after, e, bm_bench_bytes(e)));
    out->read = before > after ? before : after;
    out->prompt_s = bm_bench_median(seconds, PROMPTS);
    out->token_s = bm_bench_median(each, TOKENS);
done:
    bm_free(ids);
    return status;
}

bm_status bm_bench_generation(bm_generation *out, bm_session *s, const bm_model *m, const bm_config *c, const char *gemm,
                              bm_dtype weights, bm_status (*stop)(void))
{
    bm_status status;
    bm_network n = {0};
    bm_params *params = NULL;
    bm_generator *g = NULL;
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = 1, .stored = weights};
    const int64_t half = bm_config_has(c, "model.context") ? bm_config_i64(c, "model.context") / 2 : PROMPT;
    const int tied = bm_config_has(c, "model.tie_embeddings") && bm_config_bool(c, "model.tie_embeddings");
    *out = (bm_generation){.prompt = half < PROMPT ? half > 0 ? half : 1 : PROMPT};
    bm_out_progress("prompts and tokens");
    BM_GO(bm_network_build(&n, m, c, &r, 0));
    BM_GO(bm_params_create(&params, s->engine, n.nn, n.graph, &(bm_params_opts){0}));
    count(out, params, tied);
    /* Written, though with the zeros that are there: until then all pages may be one page, which a cache holds. */
    BM_GO(bm_bank_clear(bm_params_bank(params, BM_PLACE_WEIGHT)));
    BM_GO(bm_generator_create(&g, s->engine, m, c, params, gemm));
    BM_GO(measure(out, s->engine, g, stop));
done:
    bm_generator_destroy(g);
    bm_params_destroy(params);
    bm_network_finish(&n);
    return status;
}
