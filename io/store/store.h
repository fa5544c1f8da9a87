/* bm_store: an open file of the HDF5 profile.
 *
 * The reader is strict: it parses exactly the HDF5 that bm writes, with its own code, and never runs libhdf5 on the
 * file. Anything else is refused, and the message names the rule. Once open, all that is not tensor data has been
 * checked against the manifest; tensor data are when they are first read. An open store never changes and may be shared
 * between threads.
 *
 * Errors of opening: BM_ERR_NOT_FOUND; BM_ERR_DAMAGED (truncated, a checksum or hash that does not fit); BM_ERR_REFUSED
 * (not HDF5, outside the profile, a newer major version); BM_ERR_IO. */
#ifndef BM_IO_STORE_STORE_H
#define BM_IO_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"
#include "io/store/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BM_STORE_VERSION_MAJOR 1
#define BM_STORE_VERSION_MINOR 0

typedef enum bm_store_kind { BM_STORE_CHECKPOINT, BM_STORE_DATASET } bm_store_kind;

typedef struct bm_store bm_store;

/* A dataset of the file; its strings belong to the store. */
typedef struct bm_entry {
    const char *path; /* "/params/h0/attn/qkv/weight" */
    bm_dtype dtype;
    bm_shape shape;
    int64_t offset; /* of its bytes in the file; 0 when it has none */
    int64_t bytes;
} bm_entry;

/* An attribute: numbers (little-endian, of `dtype`) or one text. Belongs to the store. */
typedef struct bm_attr {
    const char *object; /* the path it stands on; "/" is the root */
    const char *name;
    int is_text;
    bm_dtype dtype;   /* of numbers */
    bm_shape shape;   /* of numbers; rank 0 is one number */
    const void *data; /* numbers; or the text, terminated */
    size_t bytes;
} bm_attr;

BM_API bm_status bm_store_open(bm_store **out, const char *path);
BM_API void bm_store_close(bm_store *s);

BM_API const char *bm_store_path(const bm_store *s); /* as it was given */
BM_API bm_store_kind bm_store_get_kind(const bm_store *s);
BM_API int64_t bm_store_bytes(const bm_store *s);    /* of the whole file */
BM_API const char *bm_store_uuid(const bm_store *s); /* 36 characters */
BM_API const bm_content_id *bm_store_content_id(const bm_store *s);

/* The datasets in the order of their paths (by bytes), without the manifest's own, and the groups likewise. */
BM_API int64_t bm_store_count(const bm_store *s);
BM_API const bm_entry *bm_store_at(const bm_store *s, int64_t i);
BM_API int64_t bm_store_group_count(const bm_store *s);
BM_API const char *bm_store_group_at(const bm_store *s, int64_t i);
/* NULL / 0 when there is none. */
BM_API const bm_entry *bm_store_find(const bm_store *s, const char *path);
BM_API int bm_store_has_group(const bm_store *s, const char *path);
/* The dataset, which must have this type and, where shape is not NULL, this shape: else BM_ERR_REFUSED naming both. */
BM_API bm_status bm_store_require(const bm_entry **out, const bm_store *s, const char *path, bm_dtype dtype,
                                  const bm_shape *shape);
/* The hash of path, type, shape and content (manifest.h). */
BM_API bm_hash128 bm_store_tensor_hash(const bm_store *s, const bm_entry *e);

/* Attributes, ordered by object, then name. */
BM_API int64_t bm_store_attr_count(const bm_store *s);
BM_API const bm_attr *bm_store_attr_at(const bm_store *s, int64_t i);
BM_API const bm_attr *bm_store_attr(const bm_store *s, const char *object, const char *name);
/* One number or text that must be there: BM_ERR_REFUSED when it is missing or of another type. Unsigned types widen to
 * u64, floating ones to f64. */
BM_API bm_status bm_store_attr_u64(uint64_t *out, const bm_store *s, const char *object, const char *name);
BM_API bm_status bm_store_attr_f64(double *out, const bm_store *s, const char *object, const char *name);
BM_API bm_status bm_store_attr_text(const char **out, const bm_store *s, const char *object, const char *name);

/* Elements [first, first + count) into data, by pread; BM_ERR_USAGE when they are not all there. A leaf of 16 MiB is
 * checked against its hash when a byte of it is first asked for: BM_ERR_DAMAGED names dataset and offset. So the first
 * read of a leaf costs the whole of it, later ones nothing more than pread. */
BM_API bm_status bm_store_read(const bm_store *s, const bm_entry *e, void *data, int64_t first, int64_t count);

/* Hands over the whole of e in pieces, in order: elements [first, first + count) at data, which is valid during the
 * call. Each piece was checked against its leaf before it is handed over: BM_ERR_DAMAGED names dataset and offset. A
 * failure of `take` ends it. `buffer` holds at least BM_LEAF_MOST bytes, or is NULL: then one is allocated. */
typedef bm_status (*bm_store_take)(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count);
BM_API bm_status bm_store_stream(const bm_store *s, const bm_entry *e, void *buffer, bm_store_take take, void *user);
/* The whole of a small one, NUL-terminated beyond its bytes; bm_free. Refuses more than `most` bytes. */
BM_API bm_status bm_store_load(void **out, const bm_store *s, const bm_entry *e, int64_t most);

/* A read-only view of e's bytes, checked before; 4096-aligned for 4 KiB and more; valid until the store is closed. NULL
 * when e is empty. A read error of the disk becomes SIGBUS: where that must not be, read. */
BM_API bm_status bm_store_map(const void **out, bm_store *s, const bm_entry *e);

/* Every byte of the file against its leaf. `damage` is called for each damaged piece (path
 * NULL: not of a dataset), `progress` now and then; either may be NULL, and progress ends it by a status. Returns
 * BM_ERR_DAMAGED when there was any, with the first as its detail. */
typedef struct bm_verify_opts {
    void (*damage)(void *user, const char *path, int64_t offset, int64_t bytes, const char *what);
    bm_status (*progress)(void *user, int64_t done_bytes, int64_t all_bytes);
    void *user;
} bm_verify_opts;
BM_API bm_verify_opts bm_verify_opts_default(void);
BM_API bm_status bm_store_verify(const bm_store *s, const bm_verify_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
