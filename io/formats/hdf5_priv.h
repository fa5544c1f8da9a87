/* What the reader of foreign HDF5 and its child say to each other. */
#ifndef BM_IO_FORMATS_HDF5_PRIV_H
#define BM_IO_FORMATS_HDF5_PRIV_H

#include <stddef.h>

#include "io/formats/hdf5.h"

typedef struct bm_hdf5_ask {
    int32_t data, type; /* of the paths; a bm_dtype */
    int64_t first, count;
} bm_hdf5_ask;

/* In front of each answer: `bytes` of it follow, after a failure those of its text. The first answer, which nobody asks
 * for, is a bm_hdf5_data for each path; without paths, those that there are, each ended by a 0. */
typedef struct bm_hdf5_answer {
    int32_t status;
    int64_t bytes;
} bm_hdf5_answer;

#define BM_HDF5_MOST_LISTED ((int64_t)8 << 20) /* bytes of paths */

/* All of it, whatever interrupts: 0, or -1 where the other end is gone. */
int bm_hdf5_send(int fd, const void *data, size_t bytes);
int bm_hdf5_receive(int fd, void *data, size_t bytes);

/* The child's life: opens the file, answers until the socket is closed, and ends the process. */
_Noreturn void bm_hdf5_serve(int fd, const char *file, int64_t file_bytes, const char *const *paths, int n);

#endif
