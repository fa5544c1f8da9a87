/* What launcher.c, plan.c and run.c share. */
#ifndef BM_CORE_GRAPH_PLAN_PRIV_H
#define BM_CORE_GRAPH_PLAN_PRIV_H

#include "core/device/memory.h"
#include "core/graph/launch.h"
#include "core/graph/memplan.h"
#include "core/graph/plan.h"
#include "core/graph/scalars.h"

/* One launch with its arguments bound: a kernel, or a call that enqueues by itself. */
typedef struct bm_launch {
    cl_kernel kernel;
    int dims;
    size_t global[3], local[3];
    int has_local;
    bm_call_fn run;
    void *ctx;
    void (*destroy)(void *ctx);
    const bm_node *node;
} bm_launch;

/* Staging memory of one run that may be under way. */
typedef struct bm_plan_slot {
    bm_ticket *ticket;
    char *inputs; /* laid out as the input region */
} bm_plan_slot;

struct bm_plan {
    bm_engine *engine;
    bm_queue *queue;
    bm_graph *graph;
    bm_bank **banks;
    int n_banks;
    bm_memplan *memory;
    bm_region *temps; /* owned unless temps_shared */
    int temps_shared;
    bm_region *inputs;     /* the run-time scalars at offset 0, then the inputs */
    int64_t *input_offset; /* value id -> offset in the input region, -1 for none */
    bm_launch *launches;
    int n_launches, cap_launches;

    bm_plan_slot slots[BM_PLAN_AHEAD];
    int slot;      /* the one being filled */
    int slot_open; /* its last run is known to be over */
    uint32_t scalars[BM_RT_SLOTS];
};

struct bm_launcher {
    bm_plan *plan;
    bm_engine *engine;
    const bm_node *node;
    const char *gemm;
    bm_status status;
};

/* The memory of a value; *m NULL when it has none. */
bm_status bm_plan_mem(cl_mem *m, bm_plan *p, const bm_value *v);
bm_status bm_plan_slot_open(bm_plan *p);

#endif
