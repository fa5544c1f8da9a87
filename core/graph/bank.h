/* Banks: named tensors in flat regions that outlive plans. A layout says where each tensor lies; weights, gradients and
 * optimizer state of a model are banks of one layout. In a HALF bank every element lies at half the offset, in 16 bits. */
#ifndef BM_CORE_GRAPH_BANK_H
#define BM_CORE_GRAPH_BANK_H

#include "core/device/engine.h"
#include "core/device/memory.h"
#include "core/device/queue.h"
#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A tensor begins at a multiple of this many bytes, or of twice the device's base alignment if that is more; what lies between
 * is zero and stays zero. */
#define BM_TENSOR_ALIGN 64

typedef struct bm_tensor {
    const char *name;
    bm_dtype dtype;
    bm_shape shape;
    int group;
    int slab;
    int64_t offset; /* bytes from the slab's begin, a multiple of twice the device's base alignment */
    int64_t bytes;
} bm_tensor;

typedef struct bm_layout bm_layout;
/* The tensors of `place` (WEIGHT or CACHE) that a graph declares, group by group, in slabs within limits->max_alloc_bytes.
 * A slab holds one group only. Computed without a device. */
BM_API bm_status bm_layout_create(bm_layout **out, const bm_graph *g, bm_place place, const bm_limits *limits);
BM_API void bm_layout_destroy(bm_layout *l);
BM_API int bm_layout_count(const bm_layout *l);
BM_API const bm_tensor *bm_layout_at(const bm_layout *l, int i);
BM_API const bm_tensor *bm_layout_find(const bm_layout *l, const char *name); /* NULL if none */
BM_API int bm_layout_slabs(const bm_layout *l);
BM_API int bm_layout_slab_group(const bm_layout *l, int slab);
BM_API int64_t bm_layout_slab_bytes(const bm_layout *l, int slab);
BM_API int64_t bm_layout_bytes(const bm_layout *l);    /* all slabs */
BM_API int64_t bm_layout_elements(const bm_layout *l); /* of the tensors, padding not counted */

/* The memory of one place under a layout, zeroed. The layout is shared and must outlive the bank. */
typedef struct bm_bank bm_bank;
BM_API bm_status bm_bank_create(bm_bank **out, bm_engine *e, const bm_layout *l, bm_place place);
/* The same memory as another place, neither of them HALF: what a plan does there it does to `of`, which must outlive the view. */
BM_API bm_status bm_bank_view(bm_bank **out, const bm_bank *of, bm_place place);
BM_API void bm_bank_destroy(bm_bank *b);
BM_API bm_place bm_bank_place(const bm_bank *b);
BM_API const bm_layout *bm_bank_layout(const bm_bank *b);
BM_API bm_region *bm_bank_region(bm_bank *b);
BM_API bm_queue *bm_bank_queue(bm_bank *b); /* its engine's */
BM_API bm_status bm_bank_clear(bm_bank *b); /* zeros; enqueues */
/* A tensor's memory, borrowed. */
BM_API bm_status bm_bank_piece(cl_mem *out, bm_bank *b, const bm_tensor *t);
/* Bytes [offset, offset + bytes) of a tensor to and from the host. Both block. */
BM_API bm_status bm_bank_read(bm_bank *b, const bm_tensor *t, int64_t offset, void *data, int64_t bytes);
BM_API bm_status bm_bank_write(bm_bank *b, const bm_tensor *t, int64_t offset, const void *data, int64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
