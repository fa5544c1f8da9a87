/* Shapes: row-major, up to 8 dimensions, every product checked. Rank 0 is a scalar of one element. */
#ifndef BM_CORE_BASE_SHAPE_H
#define BM_CORE_BASE_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BM_MAX_RANK 8

typedef struct bm_shape {
    int rank;
    int64_t dim[BM_MAX_RANK]; /* dim[0] varies slowest; entries from rank on are 0 */
} bm_shape;

/* bm_shape_of(2, B, C): `rank` dimensions follow as int64_t; BM_SHAPE() writes them as they come. */
BM_API bm_shape bm_shape_of(int rank, const int64_t *dims);
#define BM_SHAPE(...)                                                                              \
    bm_shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__})

/* Rank in range, no negative dimension, elements * bytes fits int64_t. */
BM_API bm_status bm_shape_check(const bm_shape *s, bm_dtype t);
BM_API int bm_shape_equal(const bm_shape *a, const bm_shape *b);
/* Elements of a checked shape; the product of all dimensions but the last (its rows), and the last (1 for a scalar). */
BM_API int64_t bm_shape_elements(const bm_shape *s);
BM_API int64_t bm_shape_rows(const bm_shape *s);
BM_API int64_t bm_shape_last(const bm_shape *s);
BM_API size_t bm_shape_bytes(const bm_shape *s, bm_dtype t);
/* "[12, 256, 384]" into buf (always terminated); returns buf. */
#define BM_SHAPE_TEXT 192
BM_API char *bm_shape_text(const bm_shape *s, char *buf, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
