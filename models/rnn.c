/* Recurrent networks over sequences: of ids [T] or of frames [T, F].
 *
 *     x_0     = embedding[ids], or the frames              [B, T, E]
 *     x_(l+1) = dropout(layer_l(x_l))                      [B, T, H], or [B, T, 2 H] of both directions side by side
 *     y       = head(x_L)                                  at each place (tags, lm), or head of the last states (others)
 *
 * A layer is of cell rnn (Elman 1990), lstm (Hochreiter & Schmidhuber 1997) or gru (Cho et al. 2014), with the gates and biases of
 * cl/ops/recurrent.c. PyTorch's and Keras' weights become its own by the tables below (models/convert). Sequences of unequal length
 * end where their length says. States begin at 0 in each window.
 *
 * Parameters (row-major, f32); H = width, E = embedding or H, G = 1, 4, 3 for rnn, lstm, gru; PyTorch's weight_ih, weight_hh, bias_ih, bias_hh
 *     token/weight                         [V, E]    N(0, 1 / sqrt(E)); of ids
 *     layerL/DIRECTION/input/weight        [G H, in] N(0, 1 / sqrt(3 H)); DIRECTION: forward, and backward where bidirectional
 *     layerL/DIRECTION/hidden/weight       [G H, H]  N(0, 1 / sqrt(3 H))
 *     layerL/DIRECTION/{input,hidden}/bias [G H]     0
 *     head/weight, head/bias               [outputs, H or 2 H], [outputs]
 *
 * Its defaults: optimizer adam, lr 2e-3, schedule cosine to 2e-4, no warm-up, clip 1, batch 32, windows of 64 tokens.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/rng.h"
#include "models/nn/ends.h"

static const bm_config_key keys[] = {
    BM_ENDS_KEYS("regression|binary|classes|lm|tags"),
    {"cell", BM_CONFIG_CHOICE, "lstm", "rnn|lstm|gru", "what a layer is made of"},
    {"layers", BM_CONFIG_I64, "2", "[1, 1000]", "layers"},
    {"width", BM_CONFIG_I64, "256", "[1, 65536]", "size of a state"},
    {"bidirectional", BM_CONFIG_BOOL, "false", NULL, "each layer runs both ways"},
    {"dropout", BM_CONFIG_F64, "0.0", "[0, 1)", "share of activations after a layer set to 0 while training"},
    {"embedding", BM_CONFIG_I64, "null", "[1, 1048576]", "size of an id's vector; null: width"},
    {"vocab", BM_CONFIG_I64, "null", "[1, 2147483647]", "ids known; null: the data set's"},
    {"features", BM_CONFIG_I64, "null", "[1, 16777216]", "numbers of a frame; null: the data set's"},
    {"labels", BM_CONFIG_I64, "null", "[1, 16777216]", "places of a sequence of tags; null: the data set's"},
    {"lengths", BM_CONFIG_BOOL, "null", NULL, "sequences are of unequal length; null: as the data set's are"},
};

static const char *const defaults[] = {"train.optimizer=adam", "train.lr=2e-3", "train.min_lr=2e-4", "train.warmup=0", "train.batch=32",
                                       "train.micro_batch=65536", "data.window=64", NULL};

static bm_status check(const bm_config *c)
{
    char where[256];
    if (bm_config_bool(c, "model.bidirectional") && !bm_config_is_null(c, "model.task") && bm_objective_of(c) == BM_OBJECTIVE_LM)
        return bm_fail(BM_ERR_CONFIG, "%smodel.bidirectional: a language model must not see the tokens that it tells",
                       bm_config_where(c, "model.bidirectional", where, sizeof where));
    return bm_ends_check(c);
}

/* A number that the data set has decides a key, or must be as it was given. */
static bm_status fit_number(bm_config *c, const char *key, int64_t need, int may_be_more)
{
    char where[256];
    if (bm_config_is_null(c, key)) return need ? bm_config_set_i64(c, key, need) : BM_OK;
    const int64_t have = bm_config_i64(c, key);
    if (have == need || (may_be_more && need && have > need)) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s%s: %lld, but the data set has %lld", bm_config_where(c, key, where, sizeof where), key, (long long)have,
                   (long long)need);
}

/* A class at each place, or with ctc fewer. */
static bm_status fit_labels(bm_config *c, const bm_sample_form *f)
{
    const int64_t labels = f->target_shape.dim[0], places = bm_sample_places(f);
    const int ctc = !bm_config_is_null(c, "train.loss") && !strcmp(bm_config_string(c, "train.loss"), "ctc");
    if (!ctc && labels != places)
        return bm_fail(BM_ERR_CONFIG, "train.loss: %lld classes stand for %lld places: that is for ctc", (long long)labels, (long long)places);
    return fit_number(c, "model.labels", labels, 0);
}

static bm_status fit(bm_config *c, const bm_sample_form *f)
{
    char text[BM_SAMPLE_TEXT];
    if (f && (f->input == BM_I32 ? f->input_shape.rank != 1 : f->input_shape.rank != 2))
        return bm_fail(BM_ERR_CONFIG, "model.family: rnn learns from sequences, not from samples %s", bm_sample_text(f, text));
    if (f) {
        BM_TRY(fit_number(c, "model.vocab", f->vocab, 1));
        BM_TRY(fit_number(c, "model.features", f->input == BM_F32 ? f->input_shape.dim[1] : 0, 0));
        if (bm_config_is_null(c, "model.lengths")) BM_TRY(bm_config_set(c, f->lengths ? "model.lengths=true" : "model.lengths=false"));
    } else if (bm_config_is_null(c, "model.features")) {
        BM_TRY(bm_model_need(c, "model.vocab"));
    }
    BM_TRY(bm_ends_fit(c, f));
    if (f && bm_objective_of(c) == BM_OBJECTIVE_TAGS) BM_TRY(fit_labels(c, f));
    return check(c);
}

/* io's inputs as the first layer reads them, [B, T, E]. */
static bm_value *sequence(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    bm_graph *g = bm_nn_graph(nn);
    if (bm_config_is_null(c, "model.vocab")) {
        io->inputs = bm_graph_input(g, "inputs", BM_F32, BM_SHAPE(r->batch, r->window, bm_config_i64(c, "model.features")));
        return bm_cast(g, io->inputs, r->dtype);
    }
    const int64_t e = bm_config_is_null(c, "model.embedding") ? bm_config_i64(c, "model.width") : bm_config_i64(c, "model.embedding");
    const bm_init init = {BM_INIT_NORMAL, 1.0f / sqrtf((float)e)};
    io->vocab = bm_config_i64(c, "model.vocab");
    io->inputs = bm_graph_input(g, "inputs", BM_I32, BM_SHAPE(r->batch, r->window));
    bm_value *token = bm_nn_weight(nn, "token/weight", BM_SHAPE(io->vocab, e), init, BM_SEMANTIC_EMBEDDING);
    return bm_cast(g, bm_embedding(g, token, io->inputs), r->dtype);
}

/* A layer, [B, T, H] or both directions of it side by side; *last likewise. */
static bm_value *layer(bm_nn *nn, bm_value *x, bm_value **last, const bm_nn_recurrent_opts *o, int bidirectional)
{
    bm_graph *g = bm_nn_graph(nn);
    bm_value *y = bm_nn_recurrent(nn, "forward", last, x, o);
    if (!bidirectional) return y;
    bm_value *first;
    bm_nn_recurrent_opts back = *o;
    back.reverse = 1;
    bm_value *z = bm_nn_recurrent(nn, "backward", &first, x, &back);
    *last = bm_concat(g, *last, first);
    return bm_concat(g, y, z);
}

static bm_status build(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    static const char *const cells[] = {[BM_CELL_RNN] = "rnn", [BM_CELL_LSTM] = "lstm", [BM_CELL_GRU] = "gru"};
    bm_graph *g = bm_nn_graph(nn);
    const bm_objective objective = bm_objective_of(c);
    const float p = r->mode == BM_MODEL_TRAIN ? (float)bm_config_f64(c, "model.dropout") : 0.0f;
    bm_nn_recurrent_opts o = {.width = bm_config_i64(c, "model.width"), .cached = r->mode == BM_MODEL_DECODE};
    while (strcmp(cells[o.cell], bm_config_string(c, "model.cell"))) o.cell++;
    *io = (bm_model_io){0};
    bm_value *x = sequence(io, nn, c, r), *last = NULL;
    if (bm_config_bool(c, "model.lengths")) o.lengths = io->lengths = bm_graph_input(g, "lengths", BM_I32, BM_SHAPE(r->batch));
    for (int64_t i = 0; i < bm_config_i64(c, "model.layers"); i++) {
        bm_nn_push(nn, "layer%lld", (long long)i);
        x = layer(nn, x, &last, &o, bm_config_bool(c, "model.bidirectional"));
        x = bm_dropout(g, x, p, bm_rng_stream("layer") + (uint32_t)i);
        bm_nn_pop(nn);
    }
    const int each = objective == BM_OBJECTIVE_LM || objective == BM_OBJECTIVE_TAGS;
    bm_nn_head(io, nn, each ? x : bm_dropout(g, last, p, bm_rng_stream("last")), c, r);
    return bm_graph_status(g);
}

/* ---- others' names ---- */

#define EMBEDDING_HINT "the embedding is the one .weight without a .bias beside it"
#define HEAD_HINT "the head is the one .weight with a .bias beside it"
#define TORCH(way, suffix)                                                            \
    {"layer%d/" way "/input/weight", "rnn.weight_ih_l%d" suffix, 0, NULL},            \
    {"layer%d/" way "/hidden/weight", "rnn.weight_hh_l%d" suffix, 0, NULL},           \
    {"layer%d/" way "/input/bias", "rnn.bias_ih_l%d" suffix, BM_NAME_OPTIONAL, NULL}, \
    {"layer%d/" way "/hidden/bias", "rnn.bias_hh_l%d" suffix, BM_NAME_OPTIONAL, NULL}
static const bm_name_map torch[] = {
    {"token/weight", "embedding.weight", BM_NAME_ALONE, EMBEDDING_HINT},
    TORCH("forward", ""),
    TORCH("backward", "_reverse"),
    {"head/weight", "head.weight", BM_NAME_PAIRED, HEAD_HINT},
    {"head/bias", "head.bias", 0, HEAD_HINT},
    {NULL, NULL, 0, NULL},
};

/* Keras 3 names layers by their classes and order. `order` is how gates lie, `input` and `hidden` what its one tensor
 * of biases is to ours. A GRU must have it: without, nothing tells what reset_after was. */
#define RESET_HINT                                                                                                     \
    "bias [2, 3 H] of GRU(reset_after=True) is wanted; reset_after=False has one of [3 H] and r inside the product: "  \
    "there is no such cell here"
#define KERAS_LAYER(way, layer, order, input, hidden, hint)                                      \
    {"layer%d/" way "/input/weight", layer "/cell/vars/0", BM_NAME_TRANSPOSED | (order), NULL},  \
    {"layer%d/" way "/hidden/weight", layer "/cell/vars/1", BM_NAME_TRANSPOSED | (order), NULL}, \
    {"layer%d/" way "/input/bias", layer "/cell/vars/2", (order) | (input), hint},               \
    {"layer%d/" way "/hidden/bias", layer "/cell/vars/2", (order) | (hidden), hint}
#define KERAS_HEAD(layer)                                       \
    {"head/weight", layer "/vars/0", BM_NAME_TRANSPOSED, NULL}, \
    {"head/bias", layer "/vars/1", BM_NAME_OPTIONAL, NULL}
#define KERAS(layer, order, input, hidden, hint)                                                  \
    {"token/weight", "layers/embedding/vars/0", 0, NULL},                                         \
    KERAS_LAYER("forward", "layers/" layer "%k", order, input, hidden, hint),                     \
    KERAS_LAYER("forward", "layers/bidirectional%k/forward_layer", order, input, hidden, hint),   \
    KERAS_LAYER("backward", "layers/bidirectional%k/backward_layer", order, input, hidden, hint), \
    KERAS_HEAD("layers/dense"),                                                                   \
    KERAS_HEAD("layers/time_distributed/layer"),                                                  \
    {NULL, NULL, 0, NULL}
static const bm_name_map keras_rnn[] = {KERAS("simple_rnn", 0, BM_NAME_OPTIONAL, BM_NAME_ABSENT, NULL)};
static const bm_name_map keras_lstm[] = {KERAS("lstm", 0, BM_NAME_OPTIONAL, BM_NAME_ABSENT, NULL)};
static const bm_name_map keras_gru[] = {KERAS("gru", BM_NAME_SWAPPED, BM_NAME_FIRST, BM_NAME_SECOND, RESET_HINT)};
static const char *const optimizer[] = {"optimizer/*", NULL};

static const bm_names names[] = {
    {.project = "PyTorch", .file = BM_NAMES_SAFETENSORS, .map = torch, .any_module = 1},
    {.project = "Keras", .file = BM_NAMES_KERAS, .when = "cell=rnn", .map = keras_rnn, .extras = optimizer},
    {.project = "Keras", .file = BM_NAMES_KERAS, .when = "cell=lstm", .map = keras_lstm, .extras = optimizer},
    {.project = "Keras", .file = BM_NAMES_KERAS, .when = "cell=gru", .map = keras_gru, .extras = optimizer},
    {.project = NULL},
};

const bm_model bm_model_rnn = {
    .family = {"rnn", keys, sizeof keys / sizeof keys[0], defaults},
    .check = check,
    .fit = fit,
    .build = build,
    .names = names,
};
