/* The safetensors container: named tensors in one file, and a map of strings.
 *
 *   u64 little-endian: n; n bytes of JSON: {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
 *   "__metadata__": {"KEY": "TEXT", ...}}; then the data, which the offsets tile exactly.
 *   (https://github.com/huggingface/safetensors, "Format")
 *
 * The reader believes nothing: BM_ERR_REFUSED names what is not as the format says, BM_ERR_DAMAGED a file that is cut off.
 */
#ifndef BM_IO_FORMATS_SAFETENSORS_H
#define BM_IO_FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- reading ---- */

typedef struct bm_safetensors bm_safetensors;

typedef struct bm_safetensor {
    const char *name; /* 1 to 1024 bytes of UTF-8 without control characters */
    const char *type; /* as stored: "F32", "BF16", "BOOL", "F8_E4M3", ... */
    bm_dtype dtype;   /* BM_DTYPE_COUNT where bm has no such type: its bytes can be read all the same */
    bm_shape shape;
    int64_t offset;   /* of its bytes in the file */
    int64_t bytes;
} bm_safetensor;

BM_API bm_status bm_safetensors_open(bm_safetensors **out, const char *path);
BM_API void bm_safetensors_close(bm_safetensors *s);
BM_API int64_t bm_safetensors_count(const bm_safetensors *s);
/* In the order of their bytes. Borrowed until close. */
BM_API const bm_safetensor *bm_safetensors_at(const bm_safetensors *s, int64_t i);
BM_API const bm_safetensor *bm_safetensors_find(const bm_safetensors *s, const char *name); /* NULL: none */
BM_API const char *bm_safetensors_meta(const bm_safetensors *s, const char *key); /* borrowed; NULL: none */
/* Elements [first, first + count) of a tensor whose dtype bm has; blocks. Any number of threads may read. */
BM_API bm_status bm_safetensors_read(const bm_safetensors *s, const bm_safetensor *t, void *data, int64_t first, int64_t count);

/* Whether a file begins as a safetensors file does: a header length that fits the file, and a '{'. */
BM_API int bm_safetensors_is(const char *path);

/* ---- writing ---- */

/*   create -> meta, add ... -> put ... -> commit: only then is the file at its path, whole. */
typedef struct bm_safetensors_writer bm_safetensors_writer;

/* BM_ERR_EXISTS when there is a file at the path, unless `replace`. */
BM_API bm_status bm_safetensors_writer_create(bm_safetensors_writer **out, const char *path, int replace);
BM_API void bm_safetensors_writer_destroy(bm_safetensors_writer *w); /* a file not committed is removed */
BM_API bm_status bm_safetensors_writer_meta(bm_safetensors_writer *w, const char *key, const char *text);
/* *index is what put takes. The bytes are laid out by the size of the type, the largest first, so that all are aligned. */
BM_API bm_status bm_safetensors_writer_add(bm_safetensors_writer *w, int64_t *index, const char *name, bm_dtype dtype,
                                           const bm_shape *shape);
/* `count` elements of a tensor from `first` on. No tensor can be added after the first put. */
BM_API bm_status bm_safetensors_writer_put(bm_safetensors_writer *w, int64_t index, const void *data, int64_t first,
                                           int64_t count);
/* BM_ERR_USAGE when a tensor has not got as many elements as it holds. */
BM_API bm_status bm_safetensors_writer_commit(bm_safetensors_writer *w);

#ifdef __cplusplus
}
#endif
#endif
