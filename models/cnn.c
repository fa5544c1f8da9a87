/* Convolutional networks for images [H, W, C].
 *
 * arch lenet (LeCun, Bottou, Bengio & Haffner 1998, with ReLU and maxima), w = width
 *     conv 5x5 w, relu, max pool 2 -> conv 5x5 2w, relu, max pool 2 -> linear 4w, relu -> head
 * arch vgg (Simonyan & Zisserman 2015, with batch norm), stages i of blocks[i] convolutions
 *     [conv 3x3 w 2^i, norm, relu] x blocks[i], max pool 2, for each stage -> global average pool -> head
 * arch resnet (He, Zhang, Ren & Sun 2016, figure 3 and section 3.3, option B; the stem is that of section 4.2)
 *     conv 3x3 w, norm, relu -> blocks[i] residual blocks of w 2^i, the first with stride 2 where i > 0 -> global average pool -> head
 *     a block is relu(norm(conv(relu(norm(conv x)))) + shortcut x); its shortcut is norm(conv 1x1 x) where the shape changes
 *
 * Convolutions keep height and width; vgg's and resnet's have no bias. dropout stands before the head.
 *
 * Parameters (row-major, f32); I is the number of channels that come in
 *     lenet   convJ/weight [w 2^J, 5, 5, I], convJ/bias, J = 0, 1; fc/weight [4w, H/4 W/4 2w], fc/bias
 *     vgg     stageI/convJ/weight [w 2^I, 3, 3, I], stageI/normJ/{weight,bias,mean,var} [w 2^I]
 *     resnet  stem/conv/weight [w, 3, 3, C], stem/norm/..; stageI/blockJ/conv{0,1}/weight [w 2^I, 3, 3, I], .../norm{0,1}/..;
 *             stageI/blockJ/shortcut/{conv/weight [w 2^I, 1, 1, I], norm/..}
 *     head/weight [outputs, ..], head/bias
 * mean and var are running statistics, not trained. Convolutions begin as He et al. 2015 have it.
 *
 * Its defaults: optimizer adam, lr 1e-3, schedule cosine to 0, no warm-up, no clipping, batch 64, 10 epochs.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/rng.h"
#include "models/nn/ends.h"

static const bm_config_key keys[] = {
    BM_ENDS_KEYS("regression|binary|classes"),
    BM_INPUT_KEY,
    {"arch", BM_CONFIG_CHOICE, "lenet", "lenet|vgg|resnet", "how its layers follow each other"},
    {"width", BM_CONFIG_I64, "32", "[1, 65536]", "channels of the first layer"},
    {"blocks", BM_CONFIG_LIST, "[2, 2, 2]", "[1, 1000]", "convolutions (vgg) or residual blocks (resnet) of each stage"},
    {"dropout", BM_CONFIG_F64, "0.0", "[0, 1)", "share of activations before the head set to 0 while training"},
};

static const char *const defaults[] = {"train.optimizer=adam", "train.lr=1e-3", "train.min_lr=0.0", "train.warmup=0", "train.clip=0",
                                       "train.batch=64", "train.micro_batch=65536", "train.epochs=10", "train.eval_tokens=0", NULL};

static bm_value *max_pool(bm_nn *nn, bm_value *x)
{
    const bm_pool_opts o = bm_pool_opts_default(2);
    return bm_max_pool2d(bm_nn_graph(nn), x, &o);
}

/* relu or not of norm(conv x); the names are convJ and normJ, or conv and norm where j < 0. */
static bm_value *conv_norm(bm_nn *nn, bm_value *x, int64_t out, int64_t kernel, int64_t stride, int j, int training, int relu)
{
    char conv[32] = "conv", norm[32] = "norm";
    if (j >= 0) {
        snprintf(conv, sizeof conv, "conv%d", j);
        snprintf(norm, sizeof norm, "norm%d", j);
    }
    const bm_nn_conv_opts o = {.kernel = kernel, .stride = stride, .pad = kernel / 2};
    return bm_nn_batchnorm(nn, norm, bm_nn_conv(nn, conv, x, out, &o), training, relu);
}

static bm_value *lenet(bm_nn *nn, bm_value *x, int64_t width)
{
    const bm_nn_conv_opts o = {.kernel = 5, .stride = 1, .pad = 2, .bias = 1, .act = BM_ACT_RELU};
    x = max_pool(nn, bm_nn_conv(nn, "conv0", x, width, &o));
    x = max_pool(nn, bm_nn_conv(nn, "conv1", x, 2 * width, &o));
    if (!x) return NULL;
    const bm_shape *s = bm_value_shape(x);
    const int64_t in = bm_shape_elements(s) / s->dim[0];
    x = bm_reshape(bm_nn_graph(nn), x, BM_SHAPE(s->dim[0], in));
    return bm_nn_linear(nn, "fc", x, 4 * width, bm_nn_std(BM_ACT_RELU, in, 4 * width), 1, BM_ACT_RELU);
}

static bm_value *vgg(bm_nn *nn, bm_value *x, int64_t width, const int64_t *blocks, int n, int training)
{
    for (int i = 0; i < n; i++, width *= 2) {
        bm_nn_push(nn, "stage%d", i);
        for (int j = 0; j < blocks[i]; j++) x = conv_norm(nn, x, width, 3, 1, j, training, 1);
        bm_nn_pop(nn);
        x = max_pool(nn, x);
    }
    return bm_global_avg_pool(bm_nn_graph(nn), x);
}

static bm_value *residual(bm_nn *nn, bm_value *x, int64_t width, int64_t stride, int training)
{
    if (!x) return NULL;
    bm_graph *g = bm_nn_graph(nn);
    bm_value *shortcut = x;
    if (stride != 1 || bm_shape_last(bm_value_shape(x)) != width) {
        bm_nn_push(nn, "shortcut");
        shortcut = conv_norm(nn, x, width, 1, stride, -1, training, 0);
        bm_nn_pop(nn);
    }
    bm_value *y = conv_norm(nn, x, width, 3, stride, 0, training, 1);
    y = conv_norm(nn, y, width, 3, 1, 1, training, 0);
    return bm_activate(g, bm_add(g, y, shortcut), BM_ACT_RELU);
}

static bm_value *resnet(bm_nn *nn, bm_value *x, int64_t width, const int64_t *blocks, int n, int training)
{
    bm_nn_push(nn, "stem");
    x = conv_norm(nn, x, width, 3, 1, -1, training, 1);
    bm_nn_pop(nn);
    for (int i = 0; i < n; i++, width *= 2) {
        bm_nn_push(nn, "stage%d", i);
        for (int j = 0; j < blocks[i]; j++) {
            bm_nn_push(nn, "block%d", j);
            x = residual(nn, x, width, i && !j ? 2 : 1, training);
            bm_nn_pop(nn);
        }
        bm_nn_pop(nn);
    }
    return bm_global_avg_pool(bm_nn_graph(nn), x);
}

static bm_status check(const bm_config *c)
{
    int64_t blocks[BM_CONFIG_LIST_MOST], input[BM_CONFIG_LIST_MOST];
    char where[256];
    const int stages = bm_config_list(blocks, c, "model.blocks"), given = !bm_config_is_null(c, "model.input");
    if (stages < 1 || stages > 16)
        return bm_fail(BM_ERR_CONFIG, "%smodel.blocks: 1 to 16 stages, not %d", bm_config_where(c, "model.blocks", where, sizeof where), stages);
    if (given && bm_config_list(input, c, "model.input") != 3)
        return bm_fail(BM_ERR_CONFIG, "%smodel.input: samples are no images [height, width, channels]",
                       bm_config_where(c, "model.input", where, sizeof where));
    const int halvings = !strcmp(bm_config_string(c, "model.arch"), "lenet") ? 2 : !strcmp(bm_config_string(c, "model.arch"), "vgg") ? stages : 0;
    if (given && (input[0] >> halvings < 1 || input[1] >> halvings < 1))
        return bm_fail(BM_ERR_CONFIG, "model.input: images of %lld x %lld are too small to be halved %d times", (long long)input[0],
                       (long long)input[1], halvings);
    return bm_ends_check(c);
}

static bm_status fit(bm_config *c, const bm_sample_form *form)
{
    BM_TRY(bm_ends_fit(c, form));
    return check(c);
}

static bm_status build(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    int64_t blocks[BM_CONFIG_LIST_MOST];
    const int n = bm_config_list(blocks, c, "model.blocks"), training = r->mode == BM_MODEL_TRAIN;
    const int64_t width = bm_config_i64(c, "model.width");
    const char *arch = bm_config_string(c, "model.arch");
    *io = (bm_model_io){0};
    bm_value *x = bm_nn_input(io, nn, c, r);
    if (!strcmp(arch, "lenet")) x = lenet(nn, x, width);
    else if (!strcmp(arch, "vgg")) x = vgg(nn, x, width, blocks, n, training);
    else x = resnet(nn, x, width, blocks, n, training);
    x = bm_dropout(bm_nn_graph(nn), x, training ? (float)bm_config_f64(c, "model.dropout") : 0.0f, bm_rng_stream("head"));
    bm_nn_head(io, nn, x, c, r);
    return bm_graph_status(bm_nn_graph(nn));
}

const bm_model bm_model_cnn = {
    .family = {"cnn", keys, sizeof keys / sizeof keys[0], defaults},
    .check = check,
    .fit = fit,
    .build = build,
};
