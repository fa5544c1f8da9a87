/* A plan is a graph made ready: every temporary has an offset, every launch its arguments. The memory part is computed
 * without a device (bm_plan_memory); a plan binds it to an engine and runs. */
#ifndef BM_CORE_GRAPH_PLAN_H
#define BM_CORE_GRAPH_PLAN_H

#include "core/device/engine.h"
#include "core/device/queue.h"
#include "core/graph/bank.h"
#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the bytes of a plan go; also what `bmtool plan` prints. */
typedef struct bm_plan_memory {
    int64_t temp_bytes;    /* the slabs of temporaries, scratch included */
    int64_t temp_need;     /* the largest sum of what is alive at one node: no plan can use less */
    int64_t input_bytes;   /* inputs and run-time scalars */
    int peak_node;         /* where temp_need is reached; -1 for none */
} bm_plan_memory;
BM_API bm_status bm_plan_memory_of(bm_plan_memory *out, bm_graph *g, const bm_limits *limits);

typedef struct bm_plan bm_plan;

typedef struct bm_plan_opts {
    bm_bank *const *banks;  /* the memory of parameters and caches; tensors are found by place and name. Borrowed */
    int n_banks;
    const char *gemm;       /* a forced backend, or NULL */
    bm_plan *share_temps;   /* use the temporaries of that plan too, when they are large enough; never run at once */
} bm_plan_opts;

/* Chooses variants, allocates, builds programs, binds launches. The graph is borrowed and must outlive the plan. */
BM_API bm_status bm_plan_create(bm_plan **out, bm_engine *e, bm_graph *g, const bm_plan_opts *opts);
/* Blocks until the device has done what the plan enqueued. */
BM_API void bm_plan_destroy(bm_plan *p);
BM_API const bm_plan_memory *bm_plan_get_memory(const bm_plan *p);
BM_API int bm_plan_launches(const bm_plan *p);

/* Run-time scalars (core/graph/scalars.h); they take effect with the next bm_plan_run. */
BM_API void bm_plan_set_u32(bm_plan *p, int slot, uint32_t x);
BM_API void bm_plan_set_f32(bm_plan *p, int slot, float x);

/* Enqueues the bytes of an input; the data are copied to staging memory first, so the caller may reuse them at once.
 * Waits only when BM_PLAN_AHEAD runs are still under way. */
#define BM_PLAN_AHEAD 2
BM_API bm_status bm_plan_write(bm_plan *p, const bm_value *input, const void *data);
/* Enqueues everything; does not block, but for the wait named above. */
BM_API bm_status bm_plan_run(bm_plan *p);
/* Blocks until the value (an output of the graph, or an input) is in `data`. */
BM_API bm_status bm_plan_read(bm_plan *p, const bm_value *v, void *data);
/* Enqueues a read; complete once the ticket is. */
BM_API bm_status bm_plan_read_ticket(bm_plan *p, const bm_value *v, void *data, bm_ticket *t);

/* Runs node by node, finishing after each, and calls `check` with the node's outputs readable by bm_plan_peek: to find
 * the first op whose result is not finite. Stops at the first nonzero return, which it hands back, or at the first node
 * whose work failed, which the error names. */
typedef bm_status (*bm_plan_check_fn)(void *user, bm_plan *p, const char *node, const bm_value *output);
BM_API bm_status bm_plan_run_checked(bm_plan *p, bm_plan_check_fn check, void *user);
BM_API bm_status bm_plan_peek(bm_plan *p, const bm_value *v, int64_t offset, void *data, int64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
