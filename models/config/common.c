/* The keys that every family has. */
#include "models/config/config_priv.h"

/* Choices, "|NAME" for each. */
static const char losses[] =
#define BM_LOSS(name, ...) "|" #name
#include "models/nn/losses.def"
    ;
static const char optimizers[] =
#define BM_RULE(name, ...) "|" #name
#include "cl/optim/rules.def"
    ;
static const char schedules[] =
#define BM_SCHEDULE(name, ...) "|" #name
#include "models/train/schedules.def"
    ;

static const bm_config_key data_keys[] = {
    {"path", BM_CONFIG_PATH, NULL, NULL, "the data set to learn from, as `bmtool data` writes it"},
    {"window", BM_CONFIG_I64, "null", "[1, inf)", "tokens of a training window; null: the model's context"},
    {"shuffle", BM_CONFIG_BOOL, "true", NULL, "a new order of the windows in each epoch; false: file order"},
    {"flip", BM_CONFIG_BOOL, "false", NULL, "training images are mirrored by a coin each time"},
    {"shift", BM_CONFIG_I64, "0", "[0, 1024]", "training images are moved by up to so many pixels each way"},
    {"content_id", BM_CONFIG_STRING, "null", NULL, NULL},
};

static const bm_config_key train_keys[] = {
    {"steps", BM_CONFIG_I64, "500", "[1, inf)", "updates to make"},
    {"epochs", BM_CONFIG_I64, "null", "[1, inf)", "passes over the training part, in the place of steps"},
    {"batch", BM_CONFIG_COUNT, "12", "[1, inf)", "samples of one update; all: the whole training part"},
    {"micro_batch", BM_CONFIG_I64, "12", "[1, inf)", "samples on a device at a time; gradients add up over the batch"},
    {"loss", BM_CONFIG_CHOICE, "null", losses + 1, "null: what suits model.task"},
    {"huber_delta", BM_CONFIG_F64, "1.0", "(0, inf)", "where the huber loss turns from square to straight"},
    {"label_smoothing", BM_CONFIG_F64, "0.0", "[0, 1)", "share of a target given to all classes (cross_entropy)"},
    {"class_weights", BM_CONFIG_NUMBERS, "null", "[0, inf)|balanced", "in training, by class: [1, 2.5]; balanced: rare ones more (cross_entropy)"},
    {"optimizer", BM_CONFIG_CHOICE, "adamw", optimizers + 1, "update rule"},
    {"lr", BM_CONFIG_F64, "1e-3", "[0, inf)", "learning rate after the warm-up"},
    {"min_lr", BM_CONFIG_F64, "1e-4", "[0, inf)", "learning rate at the end of the schedule (cosine, linear, plateau, wsd)"},
    {"beta1", BM_CONFIG_F64, "0.9", "[0, 1)", "decay of the mean gradient (adamw, adam, lion)"},
    {"beta2", BM_CONFIG_F64, "0.99", "[0, 1)", "decay of the mean squared gradient (adamw, adam), of the mean (lion)"},
    {"eps", BM_CONFIG_F64, "1e-8", "(0, inf)", "added to the root of the mean squared gradient"},
    {"alpha", BM_CONFIG_F64, "0.99", "[0, 1)", "decay of the mean squared gradient (rmsprop)"},
    {"momentum", BM_CONFIG_F64, "0.0", "[0, 1)", "share of the last move that is made again (sgd, rmsprop)"},
    {"nesterov", BM_CONFIG_BOOL, "false", NULL, "look ahead along the momentum (sgd)"},
    {"centered", BM_CONFIG_BOOL, "false", NULL, "divide by the gradient's deviation, not its mean square (rmsprop)"},
    {"weight_decay", BM_CONFIG_F64, "0.1", "[0, inf)", "decoupled decay of tensors of rank 2 and more (adamw, lion; others: 0)"},
    {"l1", BM_CONFIG_F64, "0.0", "[0, inf)", "factor of sum |w|, w of rank 2 and more, added to the loss for its gradient"},
    {"l2", BM_CONFIG_F64, "0.0", "[0, inf)", "factor of sum w^2, likewise; clipping sees both, the loss told has neither"},
    {"schedule", BM_CONFIG_CHOICE, "cosine", schedules + 1, "how lr falls after the warm-up"},
    {"gamma", BM_CONFIG_F64, "0.1", "(0, 1]", "what lr is multiplied by (step, plateau)"},
    {"step_every", BM_CONFIG_I64, "100", "[1, inf)", "steps between those falls (step)"},
    {"plateau_patience", BM_CONFIG_I64, "10", "[0, inf)", "evaluations that may be no better before lr falls (plateau)"},
    {"decay_steps", BM_CONFIG_I64, "100", "[1, inf)", "steps at the end in which lr falls to min_lr (wsd)"},
    {"pct_start", BM_CONFIG_F64, "0.3", "(0, 1)", "share of the steps in which lr rises (one_cycle)"},
    {"div_factor", BM_CONFIG_F64, "25.0", "[1, inf)", "lr over the rate of the first step (one_cycle)"},
    {"final_div_factor", BM_CONFIG_F64, "1e4", "[1, inf)", "the rate of the first step over that of the last (one_cycle)"},
    {"warmup", BM_CONFIG_I64, "50", "[0, inf)", "steps in which lr rises from 0; one_cycle has none but its own"},
    {"clip", BM_CONFIG_F64, "1.0", "[0, inf)", "largest norm of the whole gradient; 0: no clipping"},
    {"max_norm", BM_CONFIG_F64, "0.0", "[0, inf)", "largest norm of what a unit reads, a row of its matrix; 0: off"},
    {"ema", BM_CONFIG_F64, "0.0", "[0, 1)", "decay of the mean of the weights that is evaluated and saved; 0: off"},
    {"early_stop", BM_CONFIG_I64, "0", "[0, inf)", "evaluations in a row no better than the best that end the run; 0: off"},
    {"seed", BM_CONFIG_I64, "1", "[0, inf)", "seed of weights, order of the data, dropout"},
    {"dtype", BM_CONFIG_CHOICE, "f32", "f32|bf16", "of activations, and of weights as layers read them: they are kept in f32"},
    {"recompute", BM_CONFIG_BOOL, "false", NULL, "compute blocks again in the gradient: less memory"},
    {"eval_every", BM_CONFIG_I64, "100", "[0, inf)", "steps between evaluations; 0: never"},
    {"eval_tokens", BM_CONFIG_I64, "65536", "[0, inf)", "tokens of an evaluation; 0: the whole validation part"},
    {"checkpoint_every", BM_CONFIG_I64, "100", "[0, inf)", "steps between checkpoints; 0: at the end only"},
    {"keep_last", BM_CONFIG_I64, "3", "[1, inf)", "checkpoints kept, besides the best"},
    {"log_every", BM_CONFIG_I64, "1", "[1, inf)", "steps between lines of metrics.jsonl"},
};

static const bm_config_key top_keys[] = {
    {"device", BM_CONFIG_STRING, "auto", NULL, "auto, cpu, gpu, gpu:1, pocl:0, ...: what --device takes"},
    {"init", BM_CONFIG_PATH, "null", NULL, "a checkpoint whose weights to start from"},
    {"init_content_id", BM_CONFIG_STRING, "null", NULL, NULL},
};

#define SECTION(name, keys) {name, keys, sizeof(keys) / sizeof((keys)[0])}
const bm_config_section bm_config_common[BM_CONFIG_N_COMMON] = {
    SECTION("data", data_keys),
    SECTION("train", train_keys),
    SECTION("", top_keys),
};
