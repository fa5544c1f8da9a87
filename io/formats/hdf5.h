/* Data sets of HDF5 files that others have made: contiguous or chunked, packed or not. libhdf5 reads them, which a
 * hostile file can crash, so it runs in a child process that can open no other file, write none, has bounded memory and
 * processor time, and answers through a socket; should it die, that is an error of the file. Rows are read through
 * hyperslabs.
 *
 * BM_ERR_REFUSED: a link out of the file, a virtual data set, data in another file, an element that is no integer,
 * enumerated (h5py's truth values) or floating number, a filter but deflate, shuffle and fletcher32, chunks too large for
 * the child's memory, more elements than the file could hold. BM_ERR_NOT_FOUND: there is no such path, with the nearest
 * name. BM_ERR_DAMAGED: what libhdf5 cannot read.
 *
 * Opening forks: no other thread may be inside libhdf5 then. */
#ifndef BM_IO_FORMATS_HDF5_H
#define BM_IO_FORMATS_HDF5_H

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_hdf5 bm_hdf5;

typedef struct bm_hdf5_data {
    bm_shape shape; /* rank 1 or more */
    int is_float;   /* its elements; else integers */
    int is_signed;
    int bytes; /* of an element */
} bm_hdf5_data;

enum { BM_HDF5_MOST_PATHS = 8 };

/* The data sets at n paths in a file. Blocks. */
BM_API bm_status bm_hdf5_open(bm_hdf5 **out, const char *file, const char *const *paths, int n);
BM_API void bm_hdf5_close(bm_hdf5 *h);
/* The paths of all data sets in a file, "layers/dense/vars/0", in order of names, each ended by a 0: *bytes of them; bm_free. One
 * without data sets has 0 bytes. BM_ERR_REFUSED: more than 4096. Blocks. */
BM_API bm_status bm_hdf5_list(char **paths, size_t *bytes, const char *file);
BM_API const bm_hdf5_data *bm_hdf5_at(const bm_hdf5 *h, int i); /* borrowed */
/* Elements of one entry of the first dimension. */
BM_API int64_t bm_hdf5_row(const bm_hdf5 *h, int i);
/* Rows [first, first + count) of data set i as BM_U8, BM_I64 or BM_F32, row-major. Numbers beyond an integer type
 * become its nearest. At most BM_HDF5_MOST_BYTES together. Blocks. */
#define BM_HDF5_MOST_BYTES ((int64_t)256 << 20)
BM_API bm_status bm_hdf5_read(bm_hdf5 *h, int i, bm_dtype type, void *to, int64_t first, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
