/* Linear models: linear, logistic and softmax regression.
 *
 *     y = x W^T + b                                        [B, D]
 *
 * task regression: y are numbers, the loss is the mean of (y - t)^2 over all elements (Hastie, Tibshirani & Friedman 2009, "The
 * Elements of Statistical Learning", section 3.2); binary: p(class 1) = sigmoid(y), D = 1 (section 4.4); classes: p = softmax(y).
 * x is a sample with its elements in a row, F of them. train.l2 makes it ridge regression, train.l1 the lasso.
 *
 * Parameters (row-major, f32)
 *     head/weight   [D, F]   N(0, 1 / sqrt(F))
 *     head/bias     [D]      0
 *
 * Its defaults are full-batch gradient descent: optimizer sgd, lr 0.1, schedule constant, no warm-up, no clipping, batch all, 1000
 * epochs.
 */
#include "models/nn/ends.h"

static const bm_config_key keys[] = {BM_ENDS_KEYS("regression|binary|classes"), BM_INPUT_KEY};

static const char *const defaults[] = {"train.optimizer=sgd", "train.lr=0.1", "train.schedule=constant", "train.warmup=0",
                                       "train.clip=0", "train.batch=all", "train.micro_batch=65536", "train.epochs=1000",
                                       "train.eval_tokens=0", NULL};

static bm_status build(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    *io = (bm_model_io){0};
    bm_nn_head(io, nn, bm_nn_rows(io, nn, c, r), c, r);
    return bm_graph_status(bm_nn_graph(nn));
}

const bm_model bm_model_linear = {
    .family = {"linear", keys, sizeof keys / sizeof keys[0], defaults},
    .check = bm_ends_check,
    .fit = bm_ends_fit,
    .build = build,
};
