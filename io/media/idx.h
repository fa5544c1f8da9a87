/* IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist): two zero bytes, the type, the rank, each dimension as a
 * big-endian u32, then the elements, row-major. Plain or gzip. Type 0x08 (u8) and ranks 1 to 4 are read: labels [N], images
 * [N, H, W] or [N, H, W, C].
 *
 * BM_ERR_DAMAGED where the file holds fewer bytes than its sizes say or more, of a plain file at once, of a packed one when
 * its end is read; BM_ERR_REFUSED where the beginning is not as described; BM_ERR_UNSUPPORTED for another type. */
#ifndef BM_IO_MEDIA_IDX_H
#define BM_IO_MEDIA_IDX_H

#include <stdint.h>

#include "core/base/shape.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_idx bm_idx;

BM_API bm_status bm_idx_open(bm_idx **out, const char *path);
BM_API void bm_idx_close(bm_idx *x);
BM_API const bm_shape *bm_idx_shape(const bm_idx *x); /* no dimension is 0 but the first may be; borrowed */
BM_API int64_t bm_idx_item_bytes(const bm_idx *x);    /* of one of the N */
/* The next *got <= most items into `data`, most * item_bytes bytes; 0 at the end. */
BM_API bm_status bm_idx_next(bm_idx *x, int64_t *got, uint8_t *data, int64_t most);

#ifdef __cplusplus
}
#endif
#endif
