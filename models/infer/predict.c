#include "models/infer/predict.h"

#include <string.h>

#include "core/base/mem.h"
#include "io/store/writer.h"

typedef struct output {
    bm_value *value; /* [B T, n] or [B, T, n] */
    int64_t index;   /* the writer's */
    int64_t width;   /* n */
    float *data;
} output;

typedef struct predictor {
    const bm_predict_opts *opts;
    const bm_tokens *data;
    bm_network network;
    bm_writer *writer;
    output out[2];
    int n_out;
    int64_t samples;
    int32_t *ids; /* [batch, window] */
} predictor;

static bm_status add_output(predictor *p, const char *path, bm_value *v)
{
    if (!v) return bm_fail(BM_ERR_UNSUPPORTED, "%s: this model has none", path);
    output *o = &p->out[p->n_out++];
    o->value = bm_graph_output(p->network.graph, v, path);
    o->width = bm_shape_last(bm_value_shape(v));
    o->data = bm_calloc((size_t)bm_shape_elements(bm_value_shape(v)) + 1, sizeof *o->data);
    if (!o->value || !o->data) return BM_ERR_MEMORY;
    bm_shape shape = BM_SHAPE(p->samples, p->opts->window, o->width);
    return bm_writer_dataset(&o->index, p->writer, path, BM_F32, &shape);
}

static bm_status run_batch(predictor *p, int64_t first, int64_t n)
{
    int64_t window = p->opts->window, cells = p->opts->batch * window;
    memset(p->ids, 0, (size_t)cells * sizeof *p->ids);
    BM_TRY(bm_tokens_read(p->data, p->ids, first * window, n * window));
    BM_TRY(bm_plan_write(p->network.plan, p->network.io.inputs, p->ids));
    memset(p->ids, 0xff, (size_t)cells * sizeof *p->ids); /* targets of -1: no loss is asked for */
    BM_TRY(bm_plan_write(p->network.plan, p->network.io.targets, p->ids));
    BM_TRY(bm_plan_run(p->network.plan));
    for (int i = 0; i < p->n_out; i++) {
        output *o = &p->out[i];
        BM_TRY(bm_plan_peek(p->network.plan, o->value, 0, o->data, n * window * o->width * 4));
        BM_TRY(bm_writer_put(p->writer, o->index, o->data, first * window * o->width, n * window * o->width));
    }
    return BM_OK;
}

static bm_status run_all(predictor *p)
{
    for (int64_t at = 0; at < p->samples; at += p->opts->batch) {
        int64_t n = p->samples - at < p->opts->batch ? p->samples - at : p->opts->batch;
        if (p->opts->progress) BM_TRY(p->opts->progress(p->opts->user, at, p->samples));
        BM_TRY(run_batch(p, at, n));
    }
    return BM_OK;
}

bm_status bm_predict(bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params, const bm_tokens *data,
                     const char *path, const bm_predict_opts *opts)
{
    bm_status status;
    predictor p = {.opts = opts, .data = data, .samples = bm_tokens_count(data) / opts->window};
    if (!p.samples)
        return bm_fail(BM_ERR_CONFIG, "%s has %lld tokens, a sample has %lld", bm_store_path(bm_tokens_store(data)),
                       (long long)bm_tokens_count(data), (long long)opts->window);
    bm_writer_opts wo = bm_writer_opts_default();
    wo.kind = BM_STORE_DATASET;
    wo.replace = opts->replace;
    BM_GO(bm_writer_create(&p.writer, path, &wo));
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = opts->batch, .window = opts->window, .stored = bm_params_stored(params)};
    BM_GO(bm_network_build(&p.network, m, c, &r, 0));
    if (opts->logits) BM_GO(add_output(&p, "/outputs/logits", p.network.io.logits));
    if (opts->hidden) BM_GO(add_output(&p, "/outputs/hidden", p.network.io.hidden));
    BM_GO(bm_writer_attr_u64(p.writer, "/outputs", "window", (uint64_t)opts->window));
    p.ids = bm_calloc((size_t)(opts->batch * opts->window), sizeof *p.ids);
    if (!p.ids) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    bm_plan_opts po = {.gemm = opts->gemm};
    po.banks = bm_params_banks(params, &po.n_banks);
    BM_GO(bm_network_plan(&p.network, e, &po));
    BM_GO(bm_writer_begin(p.writer));
    BM_GO(run_all(&p));
    BM_GO(bm_writer_commit(NULL, p.writer));
done:
    bm_writer_destroy(p.writer);
    bm_network_finish(&p.network);
    for (int i = 0; i < 2; i++) bm_free(p.out[i].data);
    bm_free(p.ids);
    return status;
}
