#include "models/train/evaluate.h"

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/graph/scalars.h"
#include "io/store/loader.h"

struct bm_evaluator {
    bm_network network;
    bm_loader *loader;
    int64_t batch, window, windows;
    int32_t *inputs, *targets; /* [batch, window] */
};

static bm_status make_loader(bm_evaluator *v, const bm_tokens *data, const bm_evaluator_opts *opts)
{
    bm_loader_opts o = bm_loader_opts_default();
    o.split = opts->split;
    o.window = opts->window;
    o.batch = opts->batch;
    o.shuffle = 0;
    o.limit = opts->tokens ? bm_ceil_div(opts->tokens, opts->window) : 0;
    BM_TRY(bm_loader_create(&v->loader, data, &o));
    v->windows = bm_loader_windows(v->loader);
    return BM_OK;
}

bm_status bm_evaluator_create(bm_evaluator **out, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params,
                              const bm_tokens *data, const bm_evaluator_opts *opts)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    bm_evaluator *v = bm_calloc(1, sizeof *v);
    if (!v) return BM_ERR_MEMORY;
    v->batch = opts->batch;
    v->window = opts->window;
    size_t cells = (size_t)opts->batch * (size_t)opts->window;
    v->inputs = bm_calloc(cells, sizeof *v->inputs);
    v->targets = bm_calloc(cells, sizeof *v->targets);
    if (!v->inputs || !v->targets) goto done;
    BM_GO(make_loader(v, data, opts));
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = opts->batch, .window = opts->window, .stored = bm_params_stored(params)};
    BM_GO(bm_network_build(&v->network, m, c, &r, 0));
    bm_plan_opts plan = {.gemm = opts->gemm, .share_temps = opts->share_temps};
    plan.banks = bm_params_banks(params, &plan.n_banks);
    BM_GO(bm_network_plan(&v->network, e, &plan));
    bm_plan_set_f32(v->network.plan, BM_RT_LOSS_SCALE, 1.0f);
done:
    if (status) bm_evaluator_destroy(v);
    else *out = v;
    return status;
}

void bm_evaluator_destroy(bm_evaluator *v)
{
    if (!v) return;
    bm_network_finish(&v->network);
    bm_loader_destroy(v->loader);
    bm_free(v->inputs);
    bm_free(v->targets);
    bm_free(v);
}

int64_t bm_evaluator_windows(const bm_evaluator *v)
{
    return v->windows;
}

bm_status bm_evaluator_run(bm_evaluator *v, bm_evaluation *out,
                           bm_status (*progress)(void *user, int64_t done, int64_t all), void *user)
{
    double sum = 0;
    const bm_cursor start = {0, 0};
    BM_TRY(bm_loader_set_cursor(v->loader, start));
    for (int64_t left = v->windows; left > 0; left -= v->batch) {
        if (progress) BM_TRY(progress(user, v->windows - left, v->windows));
        BM_TRY(bm_loader_next(v->loader, v->inputs, v->targets, NULL));
        int64_t rows = left < v->batch ? left : v->batch;
        for (int64_t i = rows * v->window; i < v->batch * v->window; i++) v->targets[i] = -1; /* a short last batch */
        BM_TRY(bm_plan_write(v->network.plan, v->network.io.inputs, v->inputs));
        BM_TRY(bm_plan_write(v->network.plan, v->network.io.targets, v->targets));
        BM_TRY(bm_plan_run(v->network.plan));
        float loss;
        BM_TRY(bm_plan_read(v->network.plan, v->network.io.loss, &loss));
        sum += loss;
    }
    out->tokens = v->windows * v->window;
    out->loss = out->tokens ? sum / (double)out->tokens : 0;
    return BM_OK;
}
