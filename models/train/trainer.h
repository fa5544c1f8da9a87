/* The training loop: data -> learner -> metrics, evaluation, checkpoints; stop at any instant and resume.
 *
 * The run folder: config.yaml (resolved), gemm.json (the GEMM backend and choices it began with), metrics.jsonl, checkpoints/step-%08d.h5, LATEST.
 * It is made when the first step has gone well, so that a run which fails before leaves nothing. */
#ifndef BM_MODELS_TRAIN_TRAINER_H
#define BM_MODELS_TRAIN_TRAINER_H

#include "core/device/engine.h"
#include "io/store/checkpoint.h"
#include "models/train/history.h"
#include "models/train/task.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_trainer bm_trainer;

typedef struct bm_trainer_opts {
    const char *run;             /* the run folder; must not exist for a new run */
    int restart;                 /* a new run in a folder that exists: it ended before its first checkpoint */
    const char *gemm;            /* a forced GEMM backend, or NULL: the measured choice, or what the checkpoint had */
    const bm_checkpoint *resume; /* go on from here; NULL: a new run */
    const char *flags_json;      /* what the command line said, a JSON array, for the checkpoints' provenance; NULL: [] */
    const bm_checkpoint *init;   /* weights to start from (config.init); NULL: random ones */
    double gemm_flops;           /* the device's measured GEMM rate, FLOP/s, for mfu; 0: unknown */
    /* Called on the calling thread; each may be NULL. */
    int (*stop)(void *user);                                  /* asked after every step */
    void (*on_metrics)(void *user, const bm_metrics *m);      /* every step, logged or not */
    void (*on_checkpoint)(void *user, const char *path);      /* it is on the disk (called by the next step or the end) */
    void *user;
} bm_trainer_opts;

/* Plans, allocates, fills the parameters. Everything in opts and the task are borrowed. */
BM_API bm_status bm_trainer_create(bm_trainer **out, bm_engine *e, bm_task *task, const bm_trainer_opts *opts);
BM_API void bm_trainer_destroy(bm_trainer *t);
/* Trains to train.steps. BM_ERR_STOPPED after a stop: the state is in a checkpoint. BM_ERR_NOT_FINITE: the loss of a step was
 * not finite; nothing of it was saved, and the detail names the step and the first op whose result was not finite. */
BM_API bm_status bm_trainer_run(bm_trainer *t);
BM_API int64_t bm_trainer_step(const bm_trainer *t); /* updates made so far */
BM_API int64_t bm_trainer_parameters(const bm_trainer *t);

#ifdef __cplusplus
}
#endif
#endif
