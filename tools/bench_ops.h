/* Where the time of a training step goes, op by op. */
#ifndef BM_TOOLS_BENCH_OPS_H
#define BM_TOOLS_BENCH_OPS_H

#include <jansson.h>

#include "core/device/queue.h"
#include "models/train/learner.h"

enum { BM_OP_TIMES = 64 };

typedef struct bm_op_time {
    char op[40];
    int64_t calls;          /* kernels a step */
    double seconds, least;  /* a step: on the device; at the limits of it, bm_cost_least_s */
} bm_op_time;

typedef struct bm_op_times {
    bm_op_time of[BM_OP_TIMES]; /* the longest first */
    int n;
} bm_op_times;

/* From the queue's profile of `steps` steps of the learner. What a library enqueues by itself (CLBlast) is in no profile: its
 * ops show less time than they took. */
bm_status bm_op_times_of(bm_op_times *out, const bm_learner *l, bm_queue *q, int steps, double flops_per_s, double bytes_per_s);

/* `step_s` is what the whole step took. */
bm_status bm_op_times_print(const bm_op_times *t, double step_s);
json_t *bm_op_times_json(const bm_op_times *t);

#endif
