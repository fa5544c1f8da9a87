/* GPT: a decoder-only Transformer.
 *
 *     x_0     = token[ids] + position[0..T)                                [B, T, C]
 *     x'_l    = x_l  + proj(attention(norm1(x_l)))      for l = 0 .. L-1
 *     x_(l+1) = x'_l + proj(act(fc(norm2(x'_l))))
 *     logits  = norm(x_L) head^T                                           [B, T, V]
 *
 * The block of GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3: norm before
 * each sub-block and after the last; residual projections begin with a standard deviation smaller by sqrt(2 L)); Vaswani et al.
 * 2017 for attention. x is f32 whatever the type of activations is. C = width, d = C / heads, F = ffn or 4 C, V = vocab, P = context.
 *
 * Parameters (row-major, f32)
 *     token/weight            [V, C]    N(0, 0.02), also the head when tied
 *     position/weight         [P, C]    N(0, 0.02)
 *     hL/norm1/{weight,bias}  [C]       1, 0
 *     hL/attn/qkv/weight      [3C, C]   N(0, 0.02); rows: q, k, v, each head after head
 *     hL/attn/qkv/bias        [3C]      0
 *     hL/attn/proj/weight     [C, C]    N(0, 0.02 / sqrt(2 L))
 *     hL/attn/proj/bias       [C]       0
 *     hL/norm2/{weight,bias}  [C]       1, 0
 *     hL/mlp/fc/weight        [F, C]    N(0, 0.02)
 *     hL/mlp/fc/bias          [F]       0
 *     hL/mlp/proj/weight      [C, F]    N(0, 0.02 / sqrt(2 L))
 *     hL/mlp/proj/bias        [C]       0
 *     norm/{weight,bias}      [C]       1, 0
 *     head/weight             [V, C]    N(0, 0.02), when not tied; else a second name of token/weight
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "models/nn/ends.h"

#define INIT_STD 0.02f

static const bm_config_key keys[] = {
    {"layers", BM_CONFIG_I64, "6", "[1, 1000]", "blocks"},
    {"heads", BM_CONFIG_I64, "6", "[1, 1024]", "attention heads; they divide width"},
    {"width", BM_CONFIG_I64, "384", "[1, 1048576]", "size of the residual stream"},
    {"context", BM_CONFIG_I64, "256", "[1, 1048576]", "longest sequence, in tokens"},
    {"dropout", BM_CONFIG_F64, "0.0", "[0, 1)", "share of activations set to 0 while training"},
    {"tie_embeddings", BM_CONFIG_BOOL, "true", NULL, "the head uses the token embedding"},
    {"ffn", BM_CONFIG_I64, "null", "[1, 16777216]", "feed-forward size; null: 4 x width"},
    {"activation", BM_CONFIG_CHOICE, "gelu_tanh", BM_ACTIVATIONS, "of the feed-forward part"},
    {"norm", BM_CONFIG_CHOICE, "layernorm", "layernorm|rmsnorm", "kind of normalisation"},
    {"norm_eps", BM_CONFIG_F64, "1e-5", "(0, 1]", "added to the variance"},
    {"bias", BM_CONFIG_BOOL, "true", NULL, "biases in linear layers and layer norms"},
    {"positions", BM_CONFIG_CHOICE, "learned", "learned", "how a token knows its place"},
    {"vocab", BM_CONFIG_I64, "null", "[1, 2147483647]", "tokens known; null: the data set's"},
};

static bm_status check(const bm_config *c)
{
    char where[256];
    int64_t width = bm_config_i64(c, "model.width"), heads = bm_config_i64(c, "model.heads");
    if (width % heads)
        return bm_fail(BM_ERR_CONFIG, "%smodel.heads: %lld heads do not divide model.width %lld evenly: use a multiple of %lld",
                       bm_config_where(c, "model.heads", where, sizeof where), (long long)heads, (long long)width,
                       (long long)heads);
    if (width / heads > BM_ATTENTION_MOST_HEAD)
        return bm_fail(
            BM_ERR_CONFIG,
            "%smodel.heads: %lld heads of model.width %lld have %lld elements each, more than %d: use more heads "
            "or a smaller width",
            bm_config_where(c, "model.heads", where, sizeof where), (long long)heads, (long long)width,
            (long long)(width / heads), BM_ATTENTION_MOST_HEAD);
    return bm_loss_check(c, BM_OBJECTIVE_LM);
}

static bm_status fit(bm_config *c, const bm_sample_form *f)
{
    char where[256], text[BM_SAMPLE_TEXT];
    const int64_t context = bm_config_i64(c, "model.context");
    if (!f) return bm_model_need(c, "model.vocab");
    const int64_t window = bm_sample_places(f);
    if (f->input != BM_I32 || f->target != BM_I32 || f->target_shape.rank != 1 || f->target_shape.dim[0] != window || f->lengths)
        return bm_fail(BM_ERR_CONFIG, "model.family: gpt learns from tokens, not from samples %s", bm_sample_text(f, text));
    if (window > context)
        return bm_fail(BM_ERR_CONFIG, "%sdata.window: %lld tokens do not fit model.context %lld",
                       bm_config_where(c, "data.window", where, sizeof where), (long long)window, (long long)context);
    if (bm_config_is_null(c, "model.vocab")) return bm_config_set_i64(c, "model.vocab", f->vocab);
    if (bm_config_i64(c, "model.vocab") < f->vocab)
        return bm_fail(BM_ERR_CONFIG, "%smodel.vocab: %lld is less than the %lld tokens of the data set",
                       bm_config_where(c, "model.vocab", where, sizeof where),
                       (long long)bm_config_i64(c, "model.vocab"), (long long)f->vocab);
    return BM_OK;
}

/* The configuration as the build functions use it. */
typedef struct gpt {
    bm_nn *nn;
    bm_graph *g;
    int64_t layers, heads, width, context, ffn, vocab;
    float dropout, proj_std;
    int tied, bias;
    bm_activation act;
    bm_nn_norm_opts norm;
    const bm_model_request *r;
} gpt;

static gpt read_config(bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    gpt m = {.nn = nn, .g = bm_nn_graph(nn), .r = r};
    m.layers = bm_config_i64(c, "model.layers");
    m.heads = bm_config_i64(c, "model.heads");
    m.width = bm_config_i64(c, "model.width");
    m.context = bm_config_i64(c, "model.context");
    m.ffn = bm_config_is_null(c, "model.ffn") ? 4 * m.width : bm_config_i64(c, "model.ffn");
    m.vocab = bm_config_i64(c, "model.vocab");
    m.dropout = r->mode == BM_MODEL_TRAIN ? (float)bm_config_f64(c, "model.dropout") : 0.0f;
    m.proj_std = INIT_STD / sqrtf(2.0f * (float)m.layers);
    m.tied = bm_config_bool(c, "model.tie_embeddings");
    m.bias = bm_config_bool(c, "model.bias");
    m.act = bm_activation_of(bm_config_string(c, "model.activation"));
    m.norm.rms = !strcmp(bm_config_string(c, "model.norm"), "rmsnorm");
    m.norm.bias = m.bias;
    m.norm.eps = (float)bm_config_f64(c, "model.norm_eps");
    return m;
}

/* Each use of dropout draws from a stream of its own: one for its place, whatever else the model has. */
static bm_value *drop(const gpt *m, bm_value *x, const char *place, int64_t layer)
{
    return bm_dropout(m->g, x, m->dropout, bm_rng_stream(place) + (uint32_t)layer);
}

/* norm1(x) [B, T, C] -> proj(attention) [B, T, C] */
static bm_value *attention(const gpt *m, bm_value *x, int64_t layer)
{
    bm_nn_push(m->nn, "attn");
    bm_value *qkv = bm_nn_linear(m->nn, "qkv", x, 3 * m->width, INIT_STD, m->bias, BM_ACT_NONE), *y;
    if (m->r->mode == BM_MODEL_DECODE) {
        char name[64];
        bm_shape shape = BM_SHAPE(m->r->batch, m->context, m->width);
        snprintf(name, sizeof name, "h%lld/keys", (long long)layer);
        bm_value *k = bm_graph_cache(m->g, name, BM_F32, shape);
        snprintf(name, sizeof name, "h%lld/values", (long long)layer);
        bm_value *v = bm_graph_cache(m->g, name, BM_F32, shape);
        y = bm_attention_cached(m->g, qkv, k, v, (int)m->heads);
    } else {
        y = bm_attention(m->g, qkv, (int)m->heads);
    }
    y = bm_nn_linear(m->nn, "proj", y, m->width, m->proj_std, m->bias, BM_ACT_NONE);
    bm_nn_pop(m->nn);
    return drop(m, y, "attn", layer);
}

/* norm2(x) [B, T, C] -> proj(act(fc)) [B, T, C] */
static bm_value *feed_forward(const gpt *m, bm_value *x, int64_t layer)
{
    bm_nn_push(m->nn, "mlp");
    bm_value *h = bm_nn_linear(m->nn, "fc", x, m->ffn, INIT_STD, m->bias, m->act);
    bm_value *y = bm_nn_linear(m->nn, "proj", h, m->width, m->proj_std, m->bias, BM_ACT_NONE);
    bm_nn_pop(m->nn);
    return drop(m, y, "mlp", layer);
}

/* ids -> norm(x_L) [B, T, C]. Each residual sum is joined with the norm that reads it; *pending is what the next one adds. */
static bm_value *trunk(const gpt *m, bm_value *ids, bm_value *token)
{
    bm_init init = {BM_INIT_NORMAL, INIT_STD};
    bm_value *position = bm_nn_weight(m->nn, "position/weight", BM_SHAPE(m->context, m->width), init, BM_SEMANTIC_EMBEDDING);
    bm_value *x = drop(m, bm_embedding_positions(m->g, token, position, ids, BM_F32), "embedding", 0);
    bm_value *branch = NULL; /* what is still to be added to x */
    for (int64_t i = 0; i < m->layers; i++) {
        if (m->r->recompute) bm_graph_recompute_begin(m->g);
        bm_nn_push(m->nn, "h%lld", (long long)i);
        bm_value *y = branch ? bm_nn_add_norm(m->nn, "norm1", &x, x, branch, &m->norm) : bm_nn_norm(m->nn, "norm1", x, &m->norm);
        y = attention(m, y, i);
        y = bm_nn_add_norm(m->nn, "norm2", &x, x, y, &m->norm);
        branch = feed_forward(m, y, i);
        bm_nn_pop(m->nn);
        if (m->r->recompute) bm_graph_recompute_end(m->g);
    }
    return bm_nn_add_norm(m->nn, "norm", &x, x, branch, &m->norm);
}

static bm_status build(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    gpt m = read_config(nn, c, r);
    *io = (bm_model_io){.objective = BM_OBJECTIVE_LM, .vocab = m.vocab, .classes = m.vocab};
    bm_init init = {BM_INIT_NORMAL, INIT_STD};
    int64_t rows = r->batch * r->window;
    io->inputs = bm_graph_input(m.g, "inputs", BM_I32, BM_SHAPE(r->batch, r->window));
    bm_value *token = bm_nn_weight(nn, "token/weight", BM_SHAPE(m.vocab, m.width), init, BM_SEMANTIC_EMBEDDING);
    io->hidden = trunk(&m, io->inputs, token);
    bm_value *head = m.tied ? bm_nn_tied(nn, "head/weight", token, BM_SEMANTIC_WEIGHT)
                            : bm_nn_weight(nn, "head/weight", BM_SHAPE(m.vocab, m.width), init, BM_SEMANTIC_WEIGHT);
    bm_graph_scope_push(m.g, "head");
    if (r->mode == BM_MODEL_DECODE) {
        io->logits = bm_linear(m.g, bm_last_token(m.g, io->hidden), head, NULL, BM_ACT_NONE);
    } else {
        bm_nn_loss(io, nn, bm_linear(m.g, bm_reshape(m.g, io->hidden, BM_SHAPE(rows, m.width)), head, NULL, BM_ACT_NONE), c, r);
    }
    bm_graph_scope_pop(m.g);
    return bm_graph_status(m.g);
}

/* GPT-2 in the transformers library; its Conv1D stores [in, out]. */
static const bm_name_map map[] = {
    {"token/weight", "transformer.wte.weight", 0, NULL},
    {"position/weight", "transformer.wpe.weight", 0, NULL},
    {"h%d/norm1/weight", "transformer.h.%d.ln_1.weight", 0, NULL},
    {"h%d/norm1/bias", "transformer.h.%d.ln_1.bias", 0, NULL},
    {"h%d/attn/qkv/weight", "transformer.h.%d.attn.c_attn.weight", BM_NAME_TRANSPOSED, NULL},
    {"h%d/attn/qkv/bias", "transformer.h.%d.attn.c_attn.bias", 0, NULL},
    {"h%d/attn/proj/weight", "transformer.h.%d.attn.c_proj.weight", BM_NAME_TRANSPOSED, NULL},
    {"h%d/attn/proj/bias", "transformer.h.%d.attn.c_proj.bias", 0, NULL},
    {"h%d/norm2/weight", "transformer.h.%d.ln_2.weight", 0, NULL},
    {"h%d/norm2/bias", "transformer.h.%d.ln_2.bias", 0, NULL},
    {"h%d/mlp/fc/weight", "transformer.h.%d.mlp.c_fc.weight", BM_NAME_TRANSPOSED, NULL},
    {"h%d/mlp/fc/bias", "transformer.h.%d.mlp.c_fc.bias", 0, NULL},
    {"h%d/mlp/proj/weight", "transformer.h.%d.mlp.c_proj.weight", BM_NAME_TRANSPOSED, NULL},
    {"h%d/mlp/proj/bias", "transformer.h.%d.mlp.c_proj.bias", 0, NULL},
    {"norm/weight", "transformer.ln_f.weight", 0, NULL},
    {"norm/bias", "transformer.ln_f.bias", 0, NULL},
    {"head/weight", "lm_head.weight", 0, NULL},
    {NULL, NULL, 0, NULL},
};
static const char *const masks[] = {"transformer.h.%d.attn.bias", "transformer.h.%d.attn.masked_bias", NULL};
static const bm_names names[] = {
    {.project = "transformers", .file = BM_NAMES_SAFETENSORS, .map = map, .prefix = "transformer.", .extras = masks},
    {.project = NULL},
};

/* ---- config.json of the transformers library, model_type gpt2 ---- */

static const struct {
    const char *ours, *theirs;
} numbers[] = {
    {"model.layers", "n_layer"},      {"model.heads", "n_head"},      {"model.width", "n_embd"},
    {"model.context", "n_positions"}, {"model.vocab", "vocab_size"},
};

/* Several names of theirs may be one of ours; the first is the one written. */
static const struct {
    const char *ours, *theirs;
} activation_names[] = {
    {"gelu_tanh", "gelu_new"}, {"gelu_tanh", "gelu_pytorch_tanh"}, {"gelu_tanh", "gelu_fast"}, {"gelu", "gelu"},
    {"relu", "relu"},          {"silu", "silu"},                   {"silu", "swish"},          {"tanh", "tanh"},
    {"sigmoid", "sigmoid"},
};

static bm_status export_config(char **json, const bm_config *c)
{
    *json = NULL;
    if (strcmp(bm_config_string(c, "model.norm"), "layernorm"))
        return bm_fail(BM_ERR_UNSUPPORTED, "model.norm: gpt2 of the transformers library knows layernorm only");
    if (!bm_config_bool(c, "model.bias"))
        return bm_fail(BM_ERR_UNSUPPORTED, "model.bias: gpt2 of the transformers library always has biases");
    const char *act = bm_config_string(c, "model.activation");
    size_t a = 0;
    while (strcmp(activation_names[a].ours, act)) a++;
    double drop = bm_config_f64(c, "model.dropout");
    json_t *j = json_pack("{s:[s], s:s, s:s, s:f, s:b, s:f, s:f, s:f}", "architectures", "GPT2LMHeadModel", "model_type", "gpt2",
                          "activation_function", activation_names[a].theirs, "layer_norm_epsilon",
                          bm_config_f64(c, "model.norm_eps"), "tie_word_embeddings", bm_config_bool(c, "model.tie_embeddings"),
                          "attn_pdrop", 0.0, "embd_pdrop", drop, "resid_pdrop", drop);
    int failed = !j || json_object_set_new(j, "n_inner", bm_config_is_null(c, "model.ffn")
                                                             ? json_null()
                                                             : json_integer(bm_config_i64(c, "model.ffn")));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        failed |= json_object_set_new(j, numbers[i].theirs, json_integer(bm_config_i64(c, numbers[i].ours)));
    bm_status status = bm_json_text(json, failed ? NULL : j, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    json_decref(j);
    return status;
}

static bm_status import_number(bm_config *c, const json_t *j, const char *ours, const char *theirs, const char *name)
{
    const json_t *v = json_object_get(j, theirs);
    if (!json_is_integer(v)) return bm_fail(BM_ERR_CONFIG, "%s: %s is missing or no whole number", name, theirs);
    return bm_config_set_i64(c, ours, json_integer_value(v));
}

static bm_status import_activation(bm_config *c, const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, "activation_function");
    const char *act = v ? json_string_value(v) : "gelu_new";
    for (size_t i = 0; act && i < sizeof activation_names / sizeof activation_names[0]; i++)
        if (!strcmp(activation_names[i].theirs, act)) return bm_config_set_string(c, "model.activation", activation_names[i].ours);
    return bm_fail(BM_ERR_UNSUPPORTED, "%s: activation_function %s", name, act ? act : "is no text");
}

static bm_status import_keys(bm_config *c, const json_t *j, const char *name)
{
    char text[64], number[40];
    const json_t *type = json_object_get(j, "model_type"), *inner = json_object_get(j, "n_inner"),
                 *eps = json_object_get(j, "layer_norm_epsilon"), *tie = json_object_get(j, "tie_word_embeddings");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "gpt2")))
        return bm_fail(BM_ERR_UNSUPPORTED, "%s: model_type is %s, not gpt2", name, json_is_string(type) ? json_string_value(type) : "no text");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        BM_TRY(import_number(c, j, numbers[i].ours, numbers[i].theirs, name));
    BM_TRY(import_activation(c, j, name));
    if (json_is_integer(inner)) BM_TRY(bm_config_set_i64(c, "model.ffn", json_integer_value(inner)));
    if (json_is_false(tie)) BM_TRY(bm_config_set(c, "model.tie_embeddings=false"));
    snprintf(text, sizeof text, "model.norm_eps=%s",
             bm_format_f64(number, sizeof number, json_is_number(eps) ? json_number_value(eps) : 1e-5, 17));
    return bm_config_set(c, text);
}

static bm_status import_config(bm_config *c, const char *json, size_t bytes, const char *name)
{
    json_error_t e;
    json_t *j = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(j)) {
        json_decref(j);
        return bm_fail(BM_ERR_CONFIG, "%s: line %d: %s", name, e.line, *e.text ? e.text : "not an object");
    }
    bm_status s = import_keys(c, j, name);
    json_decref(j);
    return s;
}

const bm_model bm_model_gpt = {
    .family = {"gpt", keys, sizeof keys / sizeof keys[0], NULL},
    .check = check,
    .fit = fit,
    .build = build,
    .names = names,
    .export_config = export_config,
    .import_config = import_config,
};
