/* What is to be learned from what: a configuration with its model and data, resolved and checked, before any device is opened. */
#ifndef BM_MODELS_TRAIN_TASK_H
#define BM_MODELS_TRAIN_TASK_H

#include "core/base/dtype.h"
#include "io/store/checkpoint.h"
#include "io/store/dataset.h"
#include "models/config/config.h"
#include "models/nn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_task {
    bm_config *config;     /* borrowed */
    const bm_model *model;
    bm_tokens *data;       /* NULL when opened without */
    int64_t window;        /* tokens of a training window */
} bm_task;

/* Opens the data, fills in model.vocab, data.content_id and train.weight_decay (bm_optimizer_check), and checks what must fit
 * together: BM_ERR_CONFIG naming the key. A content id that is set already (a resumed run) must be the data's: else
 * BM_ERR_DIFFERS. With `no_data` nothing is opened, and model.vocab must be given (for planning). */
BM_API bm_status bm_task_open(bm_task *t, bm_config *c, int no_data);
BM_API void bm_task_close(bm_task *t); /* a task of zeros is fine */

/* Whether a checkpoint's weights are of the model that a configuration describes, whose keys but for dropout must be
 * equal: weights of the right shapes still say nothing to other heads or another activation. BM_ERR_CONFIG names the
 * key. */
BM_API bm_status bm_task_check_weights(const bm_config *c, const bm_checkpoint *from);
/* Whether a data set's ids mean what a checkpoint has learned: as many as model.vocab at most, and by the same
 * tokenizer, where both have one. BM_ERR_CONFIG. */
BM_API bm_status bm_task_check_tokens(const bm_config *c, const bm_checkpoint *from, const bm_tokens *data);

#ifdef __cplusplus
}
#endif
#endif
