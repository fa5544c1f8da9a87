/* bm_writer: writes a file of the HDF5 profile. The path holds the old file or the whole new one, never anything
 * between.
 *
 *   create -> describe (group, dataset, attributes) -> begin -> put ... -> commit
 *
 * begin makes a temporary file `.NAME.tmp.PID.RAND` beside the target: libhdf5 lays out every object (in memory),
 * contiguous and 4096-aligned; its offsets are noted, and from there on bytes go straight to their places. commit
 * writes the manifest, syncs, renames and syncs the folder; only then does the file exist. Destroying a writer that was
 * not committed removes the temporary file. A writer belongs to one thread at a time, but puts into different datasets
 * may run in parallel. */
#ifndef BM_IO_STORE_WRITER_H
#define BM_IO_STORE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "io/store/manifest.h"
#include "io/store/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_writer bm_writer;

typedef struct bm_writer_opts {
    bm_store_kind kind;
    int replace; /* a file at the path may be replaced; else it is BM_ERR_EXISTS */
} bm_writer_opts;
BM_API bm_writer_opts bm_writer_opts_default(void);

/* Nothing is written yet. BM_ERR_EXISTS, BM_ERR_NOT_FOUND when the folder is missing. */
BM_API bm_status bm_writer_create(bm_writer **out, const char *path, const bm_writer_opts *opts);
BM_API void bm_writer_destroy(bm_writer *w);

/* Paths are absolute ("/params/wte/weight"), at most 12 names deep, each name 1-255 bytes of UTF-8 without '/' and
 * control characters. Parents are made as needed; naming a group twice is fine, a dataset twice BM_ERR_USAGE. *index
 * (may be NULL) is what bm_writer_put takes. */
BM_API bm_status bm_writer_group(bm_writer *w, const char *path);
BM_API bm_status bm_writer_dataset(int64_t *index, bm_writer *w, const char *path, bm_dtype dtype,
                                   const bm_shape *shape);
/* A dataset u8[n] holding these bytes, which are copied and written by commit. */
BM_API bm_status bm_writer_bytes(bm_writer *w, const char *path, const void *data, size_t bytes);
/* The same for few elements of any type: [n] of them, or a scalar where n is -1. */
BM_API bm_status bm_writer_numbers(bm_writer *w, const char *path, bm_dtype dtype, const void *data, int64_t n);

/* Attributes of an object described before ("/" is the root); at most 64 an object, texts at most 4096 bytes. */
BM_API bm_status bm_writer_attr(bm_writer *w, const char *object, const char *name, bm_dtype dtype,
                                const bm_shape *shape, const void *data);
BM_API bm_status bm_writer_attr_u32(bm_writer *w, const char *object, const char *name, uint32_t value);
BM_API bm_status bm_writer_attr_u64(bm_writer *w, const char *object, const char *name, uint64_t value);
BM_API bm_status bm_writer_attr_f64(bm_writer *w, const char *object, const char *name, double value);
BM_API bm_status bm_writer_attr_text(bm_writer *w, const char *object, const char *name, const char *text);

/* Ends the description. BM_ERR_NO_SPACE when less than 1.05 times the need is free. */
BM_API bm_status bm_writer_begin(bm_writer *w);
/* Elements [first, first + count) of a dataset; each dataset is put in order, from its first element to its last, the
 * datasets in any order. */
BM_API bm_status bm_writer_put(bm_writer *w, int64_t index, const void *data, int64_t first, int64_t count);
/* BM_ERR_USAGE when a dataset was not put to its end. After a failure only destroy is left. *id may be NULL. */
BM_API bm_status bm_writer_commit(bm_content_id *id, bm_writer *w);

#ifdef __cplusplus
}
#endif
#endif
