/* Using a trained model: checkpoint -> configuration, tokenizer, device, parameters. Shared by eval, generate and predict. */
#ifndef BM_TOOLS_USE_H
#define BM_TOOLS_USE_H

#include "io/store/checkpoint.h"
#include "models/config/config.h"
#include "models/nn/model.h"
#include "models/nn/params.h"
#include "tools/cmd.h"
#include "tools/session.h"

typedef struct bm_use {
    bm_checkpoint *checkpoint;
    bm_config *config;
    const bm_model *model;
    bm_session session;
    bm_params *params;
    const char *gemm; /* as it was asked for */
} bm_use;

/* Opens the checkpoint (a file or a run folder) and its configuration: nothing of a device yet. */
bm_status bm_use_open(bm_use *u, const char *path);
/* What --weights says (NULL: f32): 0, or prints the mistake and returns 2. */
int bm_use_weights(bm_dtype *out, const bm_cmd *cmd, const char *text);
/* Opens the device and loads the weights, matrices in the type `weights`. */
bm_status bm_use_load(bm_use *u, const char *device, const char *gemm, bm_dtype weights);
void bm_use_close(bm_use *u); /* zeros are fine */

#endif
