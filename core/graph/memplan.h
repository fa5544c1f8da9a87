/* Where every temporary of a graph lies: offsets by lifetime, in slabs that one buffer may have. Needs no device. */
#ifndef BM_CORE_GRAPH_MEMPLAN_H
#define BM_CORE_GRAPH_MEMPLAN_H

#include "core/graph/launch.h"
#include "core/graph/op.h"
#include "core/graph/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One stretch of memory, shared by the values that are updated in place and by views. */
typedef struct bm_storage {
    bm_value *root;     /* the first value; NULL for a node's scratch */
    int first, last;    /* nodes between which it is alive, both included */
    int64_t bytes;      /* rounded up to the alignment */
    int slab;
    int64_t offset;
} bm_storage;

typedef struct bm_memplan {
    bm_plan_memory sizes;
    int64_t *slab_bytes;
    int n_slabs;
    bm_storage *storages;
    int n_storages;
    int *of_value;   /* value id -> storage, -1 for none (external, unused, or a view: ask its base) */
    int *of_scratch; /* node index -> storage, -1 for none */
    bm_value **root; /* value id -> the value whose memory it is */
} bm_memplan;

BM_API bm_status bm_memplan_create(bm_memplan **out, bm_graph *g, const bm_limits *limits, bm_launcher *l);
/* The same without a device, for a forced GEMM backend (NULL: the default one). */
BM_API bm_status bm_memplan_foresee(bm_memplan **out, bm_graph *g, const bm_limits *limits, const char *gemm);
BM_API void bm_memplan_destroy(bm_memplan *p);

#ifdef __cplusplus
}
#endif
#endif
