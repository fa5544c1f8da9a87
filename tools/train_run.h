/* What train and resume share: progress, stopping, and the words around them. */
#ifndef BM_TOOLS_TRAIN_RUN_H
#define BM_TOOLS_TRAIN_RUN_H

#include "io/store/checkpoint.h"
#include "models/config/config.h"
#include "tools/cmd.h"

typedef struct bm_train_run {
    const bm_cmd *cmd;
    bm_config *config;
    const char *run;             /* folder */
    char *const *flags;          /* the options as given, up to a NULL: what the checkpoints remember */
    const char *device;          /* --device, or NULL */
    const char *gemm;            /* --gemm; NULL: measured */
    const bm_checkpoint *resume; /* or NULL */
    int restart;                 /* the run folder exists, but has no checkpoint */
} bm_train_run;

/* Trains to the end or a signal; returns bmtool's exit code. */
int bm_train_run_do(const bm_train_run *r);

#endif
