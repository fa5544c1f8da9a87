/* What the measurements of tests/bench share: a device that times its commands, a graph with plan and memory, and the
 * best time of some of its ops. A failure ends the program with its reason. */
#ifndef BM_TESTS_LIB_BENCH_H
#define BM_TESTS_LIB_BENCH_H

#include "core/device/engine.h"
#include "core/graph/bank.h"
#include "core/graph/plan.h"

void bench_must(bm_status s);

/* The device SPEC with profiling, kernels from BM_CL_DIR where that is set. Closed by the caller. */
bm_engine *bench_open(const char *spec);

enum { BENCH_OPS = 3 };

typedef struct bench_run {
    bm_engine *engine;
    bm_graph *graph;
    bm_layout *layout;
    bm_bank *banks[4]; /* weights, gradients and two states, where the graph has parameters */
    int n_banks;
    bm_plan *plan;
    bm_dtype type;             /* of inputs; f32 until it is set */
    const char *op[BENCH_OPS]; /* the names of the ops that are timed; NULL ends them */
    double best_s[BENCH_OPS];
} bench_run;

/* An empty graph on e, to be built upon. */
void bench_begin(bench_run *r, bm_engine *e, const char *first, const char *second);
/* A graph of one product of type t whose three sizes are `size`, as the rate that others are held against; planned. */
void bench_begin_gemm(bench_run *r, bm_engine *e, bm_dtype t, int64_t size);
/* An input of r->type of what is being built. */
bm_value *bench_input(bench_run *r, const char *name, bm_shape shape);
/* Makes banks and the plan of what was built, and writes numbers into every input: of both signs where they are floats,
 * else whole numbers below their count. */
void bench_plan(bench_run *r);
void bench_end(bench_run *r);

/* Forgets the best times. */
void bench_reset(bench_run *r);
/* One run; keeps the times of the ops where they are better. */
void bench_measure(bench_run *r);

#endif
