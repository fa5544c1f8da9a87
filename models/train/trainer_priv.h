/* What the files of the trainer share. */
#ifndef BM_MODELS_TRAIN_TRAINER_PRIV_H
#define BM_MODELS_TRAIN_TRAINER_PRIV_H

#include "io/store/loader.h"
#include "models/train/evaluate.h"
#include "models/train/learner.h"
#include "models/train/saver.h"
#include "models/train/schedule.h"
#include "models/train/trainer.h"

struct bm_trainer {
    bm_engine *engine;
    bm_task *task;
    bm_trainer_opts opts;
    bm_learner *learner;
    bm_evaluator *evaluator; /* NULL: no evaluation */
    bm_saver *saver;
    bm_loader *loader;
    bm_history *history;
    bm_metrics_file *metrics;
    bm_batch batch;
    char *run, *config_json, *sched_json, *provenance_json, *gemm_json;
    char *pending;             /* the checkpoint being written */
    uint64_t pending_step, pending_best;
    bm_error metrics_error;   /* the first failure to write metrics.jsonl: training goes on without, the end reports it */

    int64_t step;    /* updates enqueued */
    int64_t saved;   /* the newest checkpoint's step; -1 for none */
    int64_t tokens_per_step;
    double last_done_s;
    bm_course course; /* of the validation loss, up to the newest evaluation */
    bm_cursor cursor; /* of the loader, after `step` steps */
    uint64_t rng[4];  /* seed, steps, 0, 0: all that bm's random numbers depend on */
};

/* run_files.c: the folder, once the first step has gone well; the texts of checkpoints. */
bm_status bm_trainer_open_folder(bm_trainer *t);
bm_status bm_trainer_describe(bm_trainer *t);
bm_status bm_trainer_save(bm_trainer *t, int wait);
bm_status bm_trainer_saved(bm_trainer *t); /* waits for the checkpoint being written and reports it */

/* replay.c: goes back to the last checkpoint and finds the first op of a step whose result is not finite. */
bm_status bm_trainer_explain(bm_trainer *t, const bm_step_result *bad);
/* trainer.c: the course of the evaluations before step n. */
bm_course bm_trainer_course(const bm_trainer *t, int64_t n);
/* trainer.c: parameters and cursor as they were at a checkpoint (NULL: as they began). */
bm_status bm_trainer_restore(bm_trainer *t, const bm_checkpoint *from);

#endif
