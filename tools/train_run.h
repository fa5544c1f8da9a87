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
    double share;                /* of its steps after which it pauses, as after a signal, with exit code 0; 0: it goes on to the end */
} bm_train_run;

/* What to go on with in the folder of a run: the configuration of its newest checkpoint, *from; of a run that ended before its first one,
 * config.yaml, *from NULL. */
bm_status bm_train_run_load(bm_config *c, bm_checkpoint **from, const char *run);

/* Whether the checkpoint is at the last step already; says so, and how to go on. `from` NULL: it is not. */
int bm_train_run_finished(const bm_config *c, const bm_checkpoint *from, const char *run);

/* Trains to the end or a signal; returns bmtool's exit code. */
int bm_train_run_do(const bm_train_run *r);

#endif
