/* The two ends of a model: what samples come in, and what is learned of them, by model.task, with the loss of that, by train.loss.
 * Families with the keys of BM_ENDS_KEYS share them. */
#ifndef BM_MODELS_NN_ENDS_H
#define BM_MODELS_NN_ENDS_H

#include "models/nn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `tasks` are the choices of model.task. */
#define BM_ENDS_KEYS(tasks)                                                                                                     \
    {"task", BM_CONFIG_CHOICE, "null", tasks, "what is learned; null: as the data has it"},                        \
    {"outputs", BM_CONFIG_I64, "null", "[1, 16777216]", "numbers told, or classes; null: the data set's"}
/* Of families that take samples of one shape. */
#define BM_INPUT_KEY {"input", BM_CONFIG_LIST, "null", "[1, 16777216]", "shape of a sample; null: the data set's"}

/* model.task, which is set. */
BM_API bm_objective bm_objective_of(const bm_config *c);

/* Whether train.loss is a loss of the objective: BM_ERR_CONFIG. */
BM_API bm_status bm_loss_check(const bm_config *c, bm_objective o);
/* Whether the keys fit together, as bm_model.check and .fit have it. */
BM_API bm_status bm_ends_check(const bm_config *c);
BM_API bm_status bm_ends_fit(bm_config *c, const bm_sample_form *form);

/* io's inputs, f32 [B, model.input], as a layer of rows reads them: [B, all elements of a sample]. */
BM_API bm_value *bm_nn_rows(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r);
/* The same, as they are. */
BM_API bm_value *bm_nn_input(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r);

/* "head/weight" [outputs, C] ~ N(0, 1 / C), "head/bias" [outputs] = 0: io's targets, loss, rows, logits and hidden from x, [B, C] or
 * [B, T, C]; in DECODE mode the logits alone, of the last place. */
BM_API void bm_nn_head(bm_model_io *io, bm_nn *nn, bm_value *x, const bm_config *c, const bm_model_request *r);
/* The same from logits that a model has made, [B, D] or [B T, C]; io->objective and io->classes are set. */
BM_API void bm_nn_loss(bm_model_io *io, bm_nn *nn, bm_value *logits, const bm_config *c, const bm_model_request *r);

#ifdef __cplusplus
}
#endif
#endif
