/* The multi-layer perceptron.
 *
 *     h_0     = x                                          [B, F]
 *     h_(i+1) = dropout(act(norm(h_i W_i^T + b_i)))        [B, widths[i]]
 *     y       = head(h_n)                                  [B, outputs]
 *
 * Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors"; norm: none, Ioffe & Szegedy 2015 (batch)
 * or Ba, Kiros & Hinton 2016 (layer). x is a sample with its elements in a row. Weights begin as He et al. 2015 have it for
 * activations of relu's kind, N(0, sqrt(2 / in)), and as Glorot & Bengio 2010 for tanh and sigmoid, N(0, sqrt(2 / (in + out))).
 *
 * Parameters (row-major, f32); F_i = widths[i - 1], F_0 = F
 *     layerI/weight               [widths[i], F_i]
 *     layerI/bias                 [widths[i]]         0
 *     layerI/norm/{weight,bias}   [widths[i]]         1, 0; with a norm
 *     layerI/norm/{mean,var}      [widths[i]]         0, 1; of norm batch: running statistics, not trained
 *     head/weight, head/bias      [outputs, F_n], [outputs]
 *
 * Its defaults: optimizer adam, lr 1e-3, schedule constant, no warm-up, no clipping, batch 64, 20 epochs.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/rng.h"
#include "models/nn/ends.h"

static const bm_config_key keys[] = {
    BM_ENDS_KEYS("regression|binary|classes"),
    BM_INPUT_KEY,
    {"widths", BM_CONFIG_LIST, "[64, 64]", "[1, 16777216]", "units of each layer"},
    {"activation", BM_CONFIG_CHOICE, "relu", BM_ACTIVATIONS, "of the layers"},
    {"norm", BM_CONFIG_CHOICE, "none", "none|batch|layer", "before the activation"},
    {"dropout", BM_CONFIG_F64, "0.0", "[0, 1)", "share of activations set to 0 while training"},
};

static const char *const defaults[] = {"train.optimizer=adam", "train.lr=1e-3", "train.schedule=constant", "train.warmup=0",
                                       "train.clip=0", "train.batch=64", "train.micro_batch=65536", "train.epochs=20",
                                       "train.eval_tokens=0", NULL};

static bm_value *layer(bm_nn *nn, bm_value *x, int64_t width, const bm_config *c, const bm_model_request *r, int i)
{
    if (!x) return NULL;
    bm_graph *g = bm_nn_graph(nn);
    const char *norm = bm_config_string(c, "model.norm");
    const bm_activation act = bm_activation_of(bm_config_string(c, "model.activation"));
    const int64_t in = bm_shape_last(bm_value_shape(x));
    const int plain = !strcmp(norm, "none"), batch = !strcmp(norm, "batch");
    char name[32];
    snprintf(name, sizeof name, "layer%d", i);
    bm_value *y = bm_nn_linear(nn, name, x, width, bm_nn_std(act, in, width), 1, plain ? act : BM_ACT_NONE);
    if (!plain) {
        bm_nn_push(nn, "%s", name);
        const bm_nn_norm_opts layer_norm = {.bias = 1, .eps = 1e-5f};
        if (batch) y = bm_nn_batchnorm(nn, "norm", y, r->mode == BM_MODEL_TRAIN, act == BM_ACT_RELU);
        else y = bm_nn_norm(nn, "norm", y, &layer_norm);
        if (!batch || act != BM_ACT_RELU) y = bm_activate(g, y, act);
        bm_nn_pop(nn);
    }
    const float p = r->mode == BM_MODEL_TRAIN ? (float)bm_config_f64(c, "model.dropout") : 0.0f;
    return bm_dropout(g, y, p, bm_rng_stream("layer") + (uint32_t)i);
}

static bm_status build(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    int64_t widths[BM_CONFIG_LIST_MOST];
    const int n = bm_config_list(widths, c, "model.widths");
    *io = (bm_model_io){0};
    bm_value *x = bm_nn_rows(io, nn, c, r);
    for (int i = 0; i < n; i++) x = layer(nn, x, widths[i], c, r, i);
    bm_nn_head(io, nn, x, c, r);
    return bm_graph_status(bm_nn_graph(nn));
}

const bm_model bm_model_mlp = {
    .family = {"mlp", keys, sizeof keys / sizeof keys[0], defaults},
    .check = bm_ends_check,
    .fit = bm_ends_fit,
    .build = build,
};
