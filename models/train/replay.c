/* When a loss is not finite: goes back to the last checkpoint, repeats the steps up to the bad one, and runs that node by node. */
#include <math.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "models/train/schedule.h"
#include "models/train/trainer_priv.h"

/* Repeats the steps from the restored state up to, but without, step `bad`. */
static bm_status repeat_until(bm_trainer *t, int64_t bad)
{
    bm_step_result r;
    while (t->step + 1 < bad) {
        int64_t n = ++t->step;
        BM_TRY(bm_loader_next(t->loader, &t->batch, NULL));
        const bm_course course = bm_trainer_course(t, n);
        BM_TRY(bm_learner_step(t->learner, n, bm_course_lr(&course, t->task->config, n), &t->batch));
        BM_TRY(bm_learner_collect(t->learner, &r));
    }
    return bm_loader_next(t->loader, &t->batch, NULL);
}

static bm_status find_node(bm_trainer *t, int64_t bad, const char **node)
{
    bm_status status;
    char *path = NULL;
    bm_checkpoint *c = NULL;
    if (t->saved >= 0) {
        BM_GO(bm_run_newest(&path, NULL, t->run));
        BM_GO(bm_checkpoint_open(&c, path));
    }
    BM_GO(bm_trainer_restore(t, c));
    BM_GO(repeat_until(t, bad));
    const bm_course course = bm_trainer_course(t, bad);
    BM_GO(bm_learner_find_not_finite(t->learner, node, bad, bm_course_lr(&course, t->task->config, bad), &t->batch));
done:
    bm_checkpoint_close(c);
    bm_free(path);
    return status;
}

bm_status bm_trainer_explain(bm_trainer *t, const bm_step_result *bad)
{
    const char *node = NULL;
    bm_step_result r;
    while (bm_learner_under_way(t->learner)) BM_TRY(bm_learner_collect(t->learner, &r));
    BM_TRY(bm_trainer_saved(t));
    int64_t saved = t->saved;
    bm_status s = find_node(t, bad->step, &node);
    char what[96];
    if (isfinite(bad->loss))
        snprintf(what, sizeof what, "the gradient's norm is %g (loss %g)", (double)bad->grad_norm, bad->loss);
    else
        snprintf(what, sizeof what, "the loss is %g", bad->loss);
    char kept[96] = "no checkpoint was made before it";
    if (saved >= 0) snprintf(kept, sizeof kept, "the checkpoint of step %lld is kept", (long long)saved);
    if (s)
        return bm_fail(BM_ERR_NOT_FINITE, "step %lld: %s; %s; repeating the step failed: %s", (long long)bad->step,
                       what, kept, bm_error_text(s));
    return bm_fail(BM_ERR_NOT_FINITE, "step %lld: %s; %s; the first result that is not finite is that of %s; %s",
                   (long long)bad->step, what, kept, node ? node : "no op when the step is repeated",
                   bad->step == 1 ? "no update was made: look at init, data and model"
                                  : "try a lower train.lr, a smaller train.clip or a longer train.warmup");
}
