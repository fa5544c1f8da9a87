/* Learning rates. Steps count from 1. */
#ifndef BM_MODELS_TRAIN_SCHEDULE_H
#define BM_MODELS_TRAIN_SCHEDULE_H

#include "models/config/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The learning rate of step n under train.{schedule, lr, min_lr, warmup, steps, ...}: lr n / warmup while n <= warmup, then
 *   cosine    min_lr + (lr - min_lr) (1 + cos(pi (n - warmup) / (steps - warmup))) / 2     (Loshchilov & Hutter 2017, eq. 5)
 *   linear    lr + (min_lr - lr) (n - warmup) / (steps - warmup)
 *   constant  lr; plateau too, but for what bm_course_lr makes of it
 *   step      lr gamma^floor((n - warmup - 1) / step_every)
 *   wsd       lr; in the last decay_steps steps, of those after the warm-up, min_lr + (lr - min_lr) (1 - sqrt(k / decay_steps)), k
 *             the how manieth (warm-up, stable, decay: Hu et al. 2024, "MiniCPM"; the root: Haegele et al. 2024, "Scaling Laws and
 *             Compute-Optimal Training Beyond Fixed Training Durations")
 * one_cycle has no such warm-up: from lr / div_factor to lr at pct_start of the steps, then to lr / (div_factor final_div_factor)
 * at the last, both along half a cosine (Smith & Topin 2017, "Super-Convergence"; the points as PyTorch's OneCycleLR has them). */
BM_API double bm_schedule_lr(const bm_config *c, int64_t n);

/* How the validation losses of a run go, and what comes of it. */
typedef struct bm_course {
    double best;      /* the lowest; NaN: none yet */
    int64_t best_step;
    int64_t stale;    /* evaluations since then */
    double reference; /* plateau: the lowest that was lower by 1e-4 of the one before; NaN: none yet */
    int64_t waiting;  /* plateau: evaluations since then, or since lr fell */
    double factor;    /* plateau: of lr */
} bm_course;
BM_API bm_course bm_course_start(void);
/* A loss that is not finite is no evaluation. */
BM_API void bm_course_see(bm_course *o, const bm_config *c, int64_t step, double val_loss);
/* Whether train.early_stop evaluations in a row were no better than the best. */
BM_API int bm_course_stops(const bm_course *o, const bm_config *c);
/* bm_schedule_lr, and for `plateau` what is left of it: lr gamma^k after k times of plateau_patience + 1 evaluations in a row without a
 * new reference, not less than min_lr (as PyTorch's ReduceLROnPlateau has it, without a cooldown). */
BM_API double bm_course_lr(const bm_course *o, const bm_config *c, int64_t n);

/* What a checkpoint says of it: {"type": "cosine", "lr": ..., "min_lr": ..., "warmup": ..., "steps": ...} and the numbers
 * that its type alone reads. The text is the caller's (bm_free). */
BM_API bm_status bm_schedule_to_json(char **out, const bm_config *c);

#ifdef __cplusplus
}
#endif
#endif
