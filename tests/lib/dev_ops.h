/* A few ops with kernels of their own, for tests of plans and runs: f32, element by element, kernels of the source
 * "test/plan". The source "test/broken" does not build. */
#ifndef BM_TESTS_LIB_DEV_OPS_H
#define BM_TESTS_LIB_DEV_OPS_H

#include "core/device/engine.h"
#include "core/graph/graph.h"
#include "core/graph/plan.h"

enum { DEV_N = 1000, DEV_BYTES = DEV_N * 4 };

/* The tests' device with these sources; max_alloc_bytes as in bm_engine_opts. The caller closes it. */
bm_engine *dev_open(int64_t max_alloc_bytes);
/* An empty graph that adds and copies by these ops. */
bm_graph *dev_graph(int accumulate);
bm_plan *dev_plan(bm_engine *e, bm_graph *g, bm_bank *const *banks, int n_banks);

bm_value *dev_input(bm_graph *g, const char *name); /* [DEV_N] */
/* start, start + 1, ...: DEV_N numbers (static buffer, 4 at a time). */
float *dev_ramp(float start);

bm_value *dev_affine(bm_graph *g, bm_value *x, float a, float b); /* a x + b; has a gradient */
bm_value *dev_add(bm_graph *g, bm_value *a, bm_value *b);         /* has a gradient */
bm_value *dev_copy(bm_graph *g, bm_value *a);
bm_value *dev_update(bm_graph *g, bm_value *cache, bm_value *x); /* cache += x, in place */
bm_value *dev_times_step(bm_graph *g, bm_value *x);              /* x step + lr, of the run-time scalars */
bm_value *dev_slow(bm_graph *g, bm_value *x, int rounds);        /* x, after a while; never in place */
bm_value *dev_reverse(bm_graph *g, bm_value *x);                 /* two launches, by way of scratch */
void dev_descend(bm_graph *g, int group);                        /* w -= lr dw over a group, slab by slab */

#endif
