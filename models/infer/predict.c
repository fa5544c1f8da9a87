#include "models/infer/predict.h"

#include <jansson.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/writer.h"
#include "models/infer/transcript.h"

typedef struct output {
    bm_value *value;
    int64_t index; /* the writer's */
    int64_t each;  /* elements of a sample */
    float *data;   /* [batch, each] */
} output;

typedef struct predictor {
    const bm_predict_opts *opts;
    const bm_data *data;
    bm_sample_form form;
    bm_network network;
    bm_writer *writer;
    output out[2];
    int n_out;
    int64_t classes, each; /* logits of a choice; choices of a sample; 0: no classes are written */
    int64_t class_index;
    int32_t *choice;       /* [batch, each]; of ctc the labels that are read, -1 behind them */
    float shift, scale;    /* of the targets of a regression as they were encoded */
    int64_t samples;
    bm_batch batch;
    void *raw;
} predictor;

/* [N], or [N, T] of sequences with an output at each place; and what the value has for each of these. */
static bm_shape shape_of(const predictor *p, const bm_value *v, int without_last)
{
    const bm_shape *s = bm_value_shape(v);
    const bm_objective objective = p->network.io.objective;
    bm_shape out = BM_SHAPE(p->samples);
    if (s->rank == 3 || objective == BM_OBJECTIVE_LM || objective == BM_OBJECTIVE_TAGS)
        out.dim[out.rank++] = bm_shape_rows(s) / p->opts->batch;
    if (!without_last) out.dim[out.rank++] = bm_shape_last(s);
    return out;
}

static bm_status add_output(predictor *p, const char *path, bm_value *v)
{
    if (!v) return bm_fail(BM_ERR_UNSUPPORTED, "%s: this model has none", path);
    output *o = &p->out[p->n_out++];
    o->value = bm_graph_output(p->network.graph, v, path);
    o->each = bm_shape_elements(bm_value_shape(v)) / p->opts->batch;
    o->data = bm_calloc((size_t)(p->opts->batch * o->each) + 1, sizeof *o->data);
    if (!o->value || !o->data) return BM_ERR_MEMORY;
    const bm_shape shape = shape_of(p, v, 0);
    return bm_writer_dataset(&o->index, p->writer, path, BM_F32, &shape);
}

/* The class of each choice, or the labels that ctc reads; but for the next token: there the logits say more. */
static bm_status add_classes(predictor *p, const bm_value *logits)
{
    const char *path = p->network.io.aligned ? "/outputs/labels" : "/outputs/class";
    const bm_objective objective = p->network.io.objective;
    if (objective == BM_OBJECTIVE_LM || objective == BM_OBJECTIVE_REGRESSION) return BM_OK;
    p->classes = bm_shape_last(bm_value_shape(logits));
    p->each = p->out[0].each / p->classes;
    p->choice = bm_calloc((size_t)(p->opts->batch * p->each), sizeof *p->choice);
    if (!p->choice) return BM_ERR_MEMORY;
    const bm_shape shape = shape_of(p, logits, 1);
    return bm_writer_dataset(&p->class_index, p->writer, path, BM_I32, &shape);
}

static void read_scales(predictor *p)
{
    json_error_t e;
    json_t *j = p->opts->encoding_json ? json_loads(p->opts->encoding_json, 0, &e) : NULL;
    const json_t *target = json_object_get(j, "target"), *scale = json_object_get(target, "scale");
    p->shift = (float)json_number_value(json_object_get(target, "shift"));
    p->scale = scale ? (float)json_number_value(scale) : 1.0f;
    json_decref(j);
}

static bm_status add_outputs(predictor *p)
{
    const bm_model_io *io = &p->network.io;
    const int numbers = io->objective == BM_OBJECTIVE_REGRESSION;
    if (p->opts->outputs) {
        BM_TRY(add_output(p, numbers ? "/outputs/values" : "/outputs/logits", io->logits));
        BM_TRY(add_classes(p, io->logits));
        if (numbers) read_scales(p);
    }
    if (p->opts->hidden) BM_TRY(add_output(p, "/outputs/hidden", io->hidden));
    return BM_OK;
}

static void choose(predictor *p, const float *logits, int64_t n)
{
    for (int64_t i = 0; i < n * p->each; i++, logits += p->classes) {
        int64_t best = 0;
        for (int64_t c = 1; c < p->classes; c++) best = logits[c] > logits[best] ? c : best;
        p->choice[i] = p->classes == 1 ? logits[0] > 0 : (int32_t)best;
    }
}

/* As many labels of a sample as its frames spell. */
static void transcribe(predictor *p, const float *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t *labels = p->choice + i * p->each;
        const int64_t steps = p->batch.lengths ? p->batch.lengths[i] : p->each;
        int64_t k = bm_ctc_greedy(labels, logits + i * p->each * p->classes, steps, p->classes);
        while (k < p->each) labels[k++] = -1;
    }
}

static void undo_scales(const predictor *p, float *x, int64_t n)
{
    if (p->network.io.objective != BM_OBJECTIVE_REGRESSION) return;
    for (int64_t i = 0; i < n * p->out[0].each; i++) x[i] = x[i] * p->scale + p->shift;
}

static bm_status read_batch(predictor *p, int64_t first, int64_t n)
{
    const bm_tokens *tokens = bm_data_tokens(p->data);
    const int64_t window = p->opts->window;
    if (tokens) BM_TRY(bm_tokens_read(tokens, p->batch.input, first * window, n * window));
    for (int64_t i = 0; i < n && !tokens; i++) {
        BM_TRY(bm_samples_read(bm_data_samples(p->data), p->raw, first + i));
        BM_TRY(bm_samples_decode(bm_data_samples(p->data), &p->batch, i, p->raw, first + i, NULL, 0));
    }
    bm_batch_void(&p->batch, n);
    return BM_OK;
}

static bm_status run_batch(predictor *p, int64_t first, int64_t n)
{
    BM_TRY(read_batch(p, first, n));
    BM_TRY(bm_network_feed(&p->network, &p->batch));
    BM_TRY(bm_plan_run(p->network.plan));
    for (int i = 0; i < p->n_out; i++) {
        output *o = &p->out[i];
        BM_TRY(bm_plan_peek(p->network.plan, o->value, 0, o->data, n * o->each * (int64_t)sizeof *o->data));
        if (!i && p->opts->outputs) undo_scales(p, o->data, n);
        BM_TRY(bm_writer_put(p->writer, o->index, o->data, first * o->each, n * o->each));
    }
    if (!p->classes) return BM_OK;
    if (p->network.io.aligned) transcribe(p, p->out[0].data, n);
    else choose(p, p->out[0].data, n);
    return bm_writer_put(p->writer, p->class_index, p->choice, first * p->each, n * p->each);
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

static bm_status prepare(predictor *p, bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params, const char *path)
{
    const bm_predict_opts *o = p->opts;
    bm_writer_opts wo = bm_writer_opts_default();
    wo.kind = BM_STORE_DATASET;
    wo.replace = o->replace;
    BM_TRY(bm_writer_create(&p->writer, path, &wo));
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = o->batch, .window = o->window, .stored = bm_params_stored(params)};
    BM_TRY(bm_network_build(&p->network, m, c, &r, 0));
    BM_TRY(bm_network_check(&p->network, &p->form, bm_store_path(bm_data_store(p->data))));
    BM_TRY(add_outputs(p));
    if (bm_data_tokens(p->data)) BM_TRY(bm_writer_attr_u64(p->writer, "/outputs", "window", (uint64_t)o->window));
    BM_TRY(bm_batch_create(&p->batch, &p->form, o->batch));
    bm_batch_void(&p->batch, 0); /* no loss is asked for */
    p->raw = bm_data_samples(p->data) ? bm_alloc(bm_samples_raw_bytes(bm_data_samples(p->data))) : NULL;
    if (bm_data_samples(p->data) && !p->raw) return BM_ERR_MEMORY;
    bm_plan_opts po = {.gemm = o->gemm};
    po.banks = bm_params_banks(params, &po.n_banks);
    BM_TRY(bm_network_plan(&p->network, e, &po));
    return bm_writer_begin(p->writer);
}

bm_status bm_predict(bm_engine *e, const bm_model *m, const bm_config *c, bm_params *params, const bm_data *data,
                     const char *path, const bm_predict_opts *opts)
{
    bm_status status;
    predictor p = {.opts = opts, .data = data, .form = bm_data_form(data, opts->window)};
    p.samples = bm_data_tokens(data) ? bm_data_count(data) / opts->window : bm_data_count(data);
    if (!p.samples)
        return bm_fail(BM_ERR_CONFIG, "%s has %lld tokens, a sample has %lld", bm_store_path(bm_data_store(data)),
                       (long long)bm_data_count(data), (long long)opts->window);
    BM_GO(prepare(&p, e, m, c, params, path));
    BM_GO(run_all(&p));
    BM_GO(bm_writer_commit(NULL, p.writer));
done:
    bm_writer_destroy(p.writer);
    bm_network_finish(&p.network);
    bm_batch_finish(&p.batch);
    for (int i = 0; i < 2; i++) bm_free(p.out[i].data);
    bm_free(p.choice);
    bm_free(p.raw);
    return status;
}
