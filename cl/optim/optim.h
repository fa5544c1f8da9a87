/* Optimizers: updates of whole banks by the rules of a table, one launch for each group of the parameters and slab. */
#ifndef BM_CL_OPTIM_OPTIM_H
#define BM_CL_OPTIM_OPTIM_H

#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The numbers of all rules. A rule reads those that bm_optim_hyper() names, and clip; cl/optim/RULE.cl has its formula. 1 - beta
 * and 1 - alpha are taken before they are rounded to f32. */
typedef struct bm_optim_opts {
    double beta1, beta2; /* adamw, adam, lion */
    double alpha;        /* rmsprop */
    double eps;
    double momentum;     /* sgd, rmsprop */
    double weight_decay; /* adamw, lion: decoupled */
    int nesterov;        /* sgd */
    int centered;        /* rmsprop */
    double clip;         /* 0: off */
} bm_optim_opts;

enum { BM_OPTIM_MOST_STATES = 3, BM_OPTIM_MOST_HYPER = 8 };

/* How many numbers the rule keeps for each weight, in STATE0, STATE1, ..., and what a checkpoint calls them; -1 where there is no
 * such rule. Rules: cl/optim/rules.def. */
BM_API int bm_optim_states(const char *names[BM_OPTIM_MOST_STATES], const char *rule, const bm_optim_opts *opts);
/* The names of the numbers in opts that the rule reads, NULL after the last; NULL where there is no such rule. */
BM_API const char *const *bm_optim_hyper(const char *rule);

/* One step of a rule for one group of the parameters declared so far: the gradient in GRAD, times min(1, clip / (norm + 1e-6)),
 * updates WEIGHT, the states, and HALF where the group has copies. The learning rate and Adam's bias corrections are run-time
 * scalars (BM_RT_LR, BM_RT_BIAS1, BM_RT_BIAS2); norm [1] f32 may be NULL when clip is 0. Errors: BM_ERR_USAGE; BM_ERR_SHAPE
 * for a group of several types or a norm of another shape. */
BM_API bm_status bm_optim_step(bm_graph *g, int group, bm_value *norm, const char *rule, const bm_optim_opts *opts);

/* Adds the gradient of l1 sum |w| + l2 sum w^2 over the weights of a group to GRAD, before its norm is taken. Nothing where both
 * are 0. */
BM_API bm_status bm_optim_penalty(bm_graph *g, int group, double l1, double l2);

/* Limits the norm of each row [out, ..] of the weights of a group, after their update: cl/optim/max_norm.cl. Nothing where `most` is
 * 0. */
BM_API bm_status bm_optim_max_norm(bm_graph *g, int group, double most);

/* The exponential moving average of the weights of a group, in AVERAGE, after their update: cl/optim/average.cl. BM_RT_STEP counts
 * the updates. decay in [0, 1); at 0 the averages are the weights. */
BM_API bm_status bm_optim_average(bm_graph *g, int group, double decay);

#ifdef __cplusplus
}
#endif
#endif
