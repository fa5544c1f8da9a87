/* What is to be learned from what: a configuration with its model and data, resolved and checked, before any device is opened. */
#ifndef BM_MODELS_TRAIN_TASK_H
#define BM_MODELS_TRAIN_TASK_H

#include "core/base/dtype.h"
#include "io/store/checkpoint.h"
#include "io/store/data.h"
#include "models/config/config.h"
#include "models/nn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_task {
    bm_config *config;     /* borrowed */
    const bm_model *model;
    bm_data *data;         /* NULL when opened without */
    bm_sample_form form;          /* of its samples */
} bm_task;

/* Opens the data, fills in what it and the model decide (data.content_id, model.vocab, train.steps of epochs, ...), and checks what
 * must fit together: BM_ERR_CONFIG naming the key. A content id that is set already (a resumed run) must be the data's: else
 * BM_ERR_DIFFERS. With `no_data` nothing is opened, and keys such as model.vocab must be given (for planning). */
BM_API bm_status bm_task_open(bm_task *t, bm_config *c, int no_data);
BM_API void bm_task_close(bm_task *t); /* a task of zeros is fine */

/* Whether a checkpoint's weights are of the model that a configuration describes, whose keys but for dropout must be
 * equal: weights of the right shapes still say nothing to other heads or another activation. BM_ERR_CONFIG names the
 * key. */
BM_API bm_status bm_task_check_weights(const bm_config *c, const bm_checkpoint *from);
/* Whether a data set means what a checkpoint has learned: made by the same tokenizer or encoding, where both have one, and of
 * images normalised by the checkpoint's numbers from here on. BM_ERR_CONFIG. */
BM_API bm_status bm_task_check_data(const bm_config *c, const bm_checkpoint *from, bm_data *data);

#ifdef __cplusplus
}
#endif
#endif
