#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json_priv.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "io/formats/safetensors.h"
#include "io/store/checkpoint.h"
#include "models/convert/convert.h"
#include "models/convert/names_priv.h"
#include "models/nn/network.h"

typedef struct import {
    const bm_convert_opts *opts;
    bm_safetensors *in;
    bm_config *config;
    const bm_model *model;
    bm_network network;    /* its parameters say what is wanted */
    bm_ckpt_param *param;  /* [n] */
    const bm_safetensor **from;
    int *transposed;
    int n;
    float *whole, *turned; /* of the parameter in hand */
    int64_t in_hand;
} import;

static const bm_safetensor *find(const bm_safetensors *in, const char *theirs)
{
    char full[BM_NAME_BYTES + 16];
    const bm_safetensor *t = bm_safetensors_find(in, theirs);
    snprintf(full, sizeof full, "transformer.%s", theirs);
    return t ? t : bm_safetensors_find(in, full);
}

/* Without a config.json: sizes from the shapes; heads of 64 elements, as all published sizes of GPT-2 have them. */
static bm_status config_from_shapes(import *m, const char *path)
{
    const bm_safetensor *token = find(m->in, "wte.weight"), *position = find(m->in, "wpe.weight"), *fc = find(m->in, "h.0.mlp.c_fc.weight");
    if (!token || !position || !fc || token->shape.rank != 2 || position->shape.rank != 2 || fc->shape.rank != 2)
        return bm_fail(BM_ERR_CONFIG, "%s does not look like GPT-2 (no wte.weight, wpe.weight or h.0): give its config.json by --config", path);
    int64_t width = token->shape.dim[1], layers = 0;
    char name[BM_NAME_BYTES];
    do snprintf(name, sizeof name, "h.%lld.ln_1.weight", (long long)++layers);
    while (find(m->in, name));
    BM_TRY(bm_config_set_i64(m->config, "model.layers", layers));
    BM_TRY(bm_config_set_i64(m->config, "model.width", width));
    BM_TRY(bm_config_set_i64(m->config, "model.heads", width % 64 ? 1 : width / 64));
    BM_TRY(bm_config_set_i64(m->config, "model.vocab", token->shape.dim[0]));
    BM_TRY(bm_config_set_i64(m->config, "model.context", position->shape.dim[0]));
    if (fc->shape.dim[1] != 4 * width) BM_TRY(bm_config_set_i64(m->config, "model.ffn", fc->shape.dim[1]));
    bm_log(BM_LOG_WARN, "%s: no config.json: %lld heads, gelu_tanh and eps 1e-5 are assumed (--config gives it)", path,
           (long long)bm_config_i64(m->config, "model.heads"));
    return BM_OK;
}

static bm_status make_config(import *m, const char *path)
{
    size_t n, bytes;
    char *text = NULL;
    bm_status status;
    const bm_config_family *const *families = bm_model_families(&n);
    BM_TRY(bm_config_create(&m->config, families, n));
    BM_TRY(bm_config_set(m->config, "model.family=gpt"));
    BM_TRY(bm_config_set_string(m->config, "data.path", "none"));
    m->model = bm_model_find("gpt");
    const char *meta = bm_safetensors_meta(m->in, "config");
    if (m->opts->config_json) {
        BM_TRY(bm_file_read(&text, &bytes, m->opts->config_json, (size_t)16 << 20));
        status = m->model->import_config(m->config, text, bytes, m->opts->config_json);
        bm_free(text);
    } else {
        status = meta ? m->model->import_config(m->config, meta, strlen(meta), path) : config_from_shapes(m, path);
    }
    BM_TRY(status);
    return m->model->check(m->config, 0);
}

static bm_status match_param(import *m, int i, const char *path)
{
    char theirs[BM_NAME_BYTES], have[BM_SHAPE_TEXT], want[BM_SHAPE_TEXT];
    const bm_nn_param *p = bm_nn_at(m->network.nn, i);
    const bm_value *v = bm_graph_param_find(m->network.graph, p->name);
    bm_shape shape = *bm_value_shape(v), stored = shape;
    m->param[i] = (bm_ckpt_param){p->name, BM_F32, shape, bm_semantic_name(p->semantic), 1, NULL};
    if (bm_names_theirs(theirs, &m->transposed[i], m->model, p->name))
        return bm_fail(BM_ERR_UNSUPPORTED, "%s has no name in the transformers library", p->name);
    const bm_safetensor *t = m->from[i] = find(m->in, theirs);
    if (!t) return bm_fail(BM_ERR_CONFIG, "%s has no tensor %s", path, theirs);
    if (!bm_dtype_is_float(t->dtype)) return bm_fail(BM_ERR_UNSUPPORTED, "%s: %s is of type %s", path, t->name, t->type);
    if (m->transposed[i]) {
        stored.dim[0] = shape.dim[1];
        stored.dim[1] = shape.dim[0];
    }
    if (!bm_shape_equal(&stored, &t->shape))
        return bm_fail(BM_ERR_SHAPE, "%s: %s is %s, the configuration wants %s", path, t->name,
                       bm_shape_text(&t->shape, have, sizeof have), bm_shape_text(&stored, want, sizeof want));
    return BM_OK;
}

/* Tensors of a GPT-2 file that hold no weights, or the tied head once more. */
static int is_known_extra(const import *m, const char *name)
{
    if (!strncmp(name, "transformer.", 12)) name += 12;
    int tied = bm_config_bool(m->config, "model.tie_embeddings");
    return bm_names_match("h.%d.attn.bias", name) >= 0 || bm_names_match("h.%d.attn.masked_bias", name) >= 0 ||
           (tied && !strcmp(name, "lm_head.weight"));
}

static bm_status match_all(import *m, const char *path)
{
    m->n = bm_nn_count(m->network.nn);
    int ties = bm_nn_ties(m->network.nn);
    m->param = bm_calloc((size_t)(m->n + ties) + 1, sizeof *m->param);
    m->from = bm_calloc((size_t)m->n + 1, sizeof *m->from);
    m->transposed = bm_calloc((size_t)m->n + 1, sizeof *m->transposed);
    if (!m->param || !m->from || !m->transposed) return BM_ERR_MEMORY;
    for (int i = 0; i < m->n; i++) BM_TRY(match_param(m, i, path));
    for (int i = 0; i < ties; i++) {
        const bm_nn_tie *tie = bm_nn_tie_at(m->network.nn, i);
        const bm_shape *shape = bm_value_shape(bm_graph_param_find(m->network.graph, tie->to));
        m->param[m->n + i] = (bm_ckpt_param){tie->name, BM_F32, *shape, bm_semantic_name(tie->semantic), 1, tie->to};
    }
    for (int64_t i = 0; i < bm_safetensors_count(m->in); i++) {
        const bm_safetensor *t = bm_safetensors_at(m->in, i);
        int known = is_known_extra(m, t->name);
        for (int j = 0; j < m->n && !known; j++) known = m->from[j] == t;
        if (!known) return bm_fail(BM_ERR_UNSUPPORTED, "%s: the model has no place for the tensor %s", path, t->name);
    }
    return BM_OK;
}

/* Elements [first, first + n) of a tensor as f32. */
static bm_status read_f32(float *out, const import *m, const bm_safetensor *t, int64_t first, int64_t n)
{
    void *raw = bm_calloc((size_t)n + 1, bm_dtype_size(t->dtype));
    bm_status status = raw ? bm_safetensors_read(m->in, t, raw, first, n) : BM_ERR_MEMORY;
    if (!status) status = bm_convert_floats(out, BM_F32, raw, t->dtype, (size_t)n);
    bm_free(raw);
    return status;
}

/* A tied head that the file holds once more must be the embedding: else weights would be lost without a word. */
static bm_status check_tied(const import *m, const char *path)
{
    enum { PIECE = 1 << 16 };
    const bm_safetensor *head = find(m->in, "lm_head.weight"), *token = find(m->in, "wte.weight");
    if (!head || !token || !bm_config_bool(m->config, "model.tie_embeddings")) return BM_OK;
    int same = bm_shape_equal(&head->shape, &token->shape) && bm_dtype_is_float(head->dtype);
    int64_t all = bm_shape_elements(&token->shape);
    bm_status status = BM_OK;
    float *pieces = bm_calloc(2, PIECE * sizeof *pieces);
    if (!pieces) return BM_ERR_MEMORY;
    for (int64_t at = 0; at < all && same && !status; at += PIECE) {
        int64_t n = all - at < PIECE ? all - at : PIECE;
        status = read_f32(pieces, m, head, at, n);
        if (!status) status = read_f32(pieces + PIECE, m, token, at, n);
        same = !memcmp(pieces, pieces + PIECE, (size_t)n * sizeof *pieces);
    }
    bm_free(pieces);
    if (status || same) return status;
    return bm_fail(BM_ERR_CONFIG,
                   "%s: lm_head.weight is not wte.weight, though the configuration ties them: say "
                   "\"tie_word_embeddings\": false in its config.json",
                   path);
}

/* The parameter as f32 and turned, whole: what fill hands out of. */
static bm_status load_param(import *m, int64_t i)
{
    const bm_safetensor *t = m->from[i];
    int64_t n = bm_shape_elements(&t->shape);
    if (m->opts->progress) BM_TRY(m->opts->progress(m->opts->user, m->param[i].name));
    bm_free(m->whole);
    bm_free(m->turned);
    m->turned = NULL;
    m->whole = bm_calloc((size_t)n + 1, sizeof *m->whole);
    if (!m->whole) return BM_ERR_MEMORY;
    BM_TRY(read_f32(m->whole, m, t, 0, n));
    if (m->transposed[i]) {
        m->turned = bm_calloc((size_t)n + 1, sizeof *m->turned);
        if (!m->turned) return BM_ERR_MEMORY;
        bm_names_transpose(m->turned, m->whole, (long)t->shape.dim[0], (long)t->shape.dim[1]);
    }
    m->in_hand = i;
    return BM_OK;
}

static bm_status fill(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    import *m = user;
    if (m->in_hand != t->param) BM_TRY(load_param(m, t->param));
    memcpy(data, (m->turned ? m->turned : m->whole) + first, (size_t)count * sizeof(float));
    return BM_OK;
}

static bm_status write_checkpoint(import *m, const char *out)
{
    char *json = NULL, *provenance = NULL;
    bm_status status;
    json_t *made = json_pack("{s:s, s:s, s:[], s:[s?], s:{s:s, s:{}}}", "bm", BM_VERSION, "converted_from", "safetensors",
                             "flags", "licence", m->opts->licence, "gemm", "backend", "auto", "choices");
    BM_GO(bm_json_text(&provenance, made, JSON_SORT_KEYS));
    BM_GO(bm_config_to_json(&json, m->config));
    bm_ckpt_desc d = bm_ckpt_desc_default();
    bm_ckpt_write_opts o = bm_ckpt_write_opts_default();
    d.config_json = json;
    d.provenance_json = provenance;
    d.param = m->param;
    d.params = m->n + bm_nn_ties(m->network.nn);
    d.state.best_metric = NAN;
    d.state.dataset_uuid = "";
    o.replace = m->opts->replace;
    status = bm_checkpoint_write(NULL, out, &d, fill, m, &o);
done:
    json_decref(made);
    bm_free(provenance);
    bm_free(json);
    return status;
}

bm_status bm_convert_import(const char *in, const char *out, const bm_convert_opts *opts)
{
    bm_status status;
    import m = {.opts = opts, .in_hand = -1};
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = 1};
    BM_GO(bm_safetensors_open(&m.in, in));
    BM_GO(make_config(&m, in));
    BM_GO(bm_network_build(&m.network, m.model, m.config, &r, 0));
    BM_GO(match_all(&m, in));
    BM_GO(check_tied(&m, in));
    BM_GO(write_checkpoint(&m, out));
done:
    bm_free(m.whole);
    bm_free(m.turned);
    bm_free(m.param);
    bm_free((void *)m.from);
    bm_free(m.transposed);
    bm_network_finish(&m.network);
    bm_config_destroy(m.config);
    bm_safetensors_close(m.in);
    return status;
}
