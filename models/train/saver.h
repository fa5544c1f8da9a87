/* Checkpoints of a run: a snapshot of the parameters in host memory, written while training goes on; and back. */
#ifndef BM_MODELS_TRAIN_SAVER_H
#define BM_MODELS_TRAIN_SAVER_H

#include "io/store/checkpoint.h"
#include "models/nn/params.h"
#include "models/train/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Checkpoints of a training that keeps averages of its weights have these as their parameters: they are the model. The weights that
 * the training goes on with lie among the optimizer's states, as "raw". */

/* Fills the weights and, where they are kept, averages (with an optimizer, its states and the raw weights, too) from a checkpoint
 * whose parameters must be the model's, but that f32 is narrowed to matrices kept in 16 bits and to i8 with scaled rows
 * (bm_row_to_i8): BM_ERR_SHAPE names the first that differs. Blocks. */
BM_API bm_status bm_params_load(bm_params *p, const bm_checkpoint *from, const bm_optimizer *optimizer);

typedef struct bm_saver bm_saver;
/* Host memory for one snapshot is allocated here: weights and `optimizer`'s states. Borrows both. */
BM_API bm_status bm_saver_create(bm_saver **out, bm_params *params, const bm_optimizer *optimizer);
BM_API void bm_saver_destroy(bm_saver *s); /* waits */

/* Takes the snapshot (blocks for it) and writes `path` in the background. The texts and arrays of desc must stay until
 * bm_saver_wait; its params and optims are filled in here. `done` (may be NULL) runs on the writing thread after the file is
 * there. Waits for a write under way, and returns its failure. */
BM_API bm_status bm_saver_save(bm_saver *s, const char *path, const bm_ckpt_desc *desc, bm_status (*done)(void *user), void *user);
/* Whether no write is under way any more: bm_saver_wait would not wait. */
BM_API int bm_saver_finished(const bm_saver *s);
/* Waits for the write under way; its status, each once. */
BM_API bm_status bm_saver_wait(bm_saver *s);

#ifdef __cplusplus
}
#endif
#endif
