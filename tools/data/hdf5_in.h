/* Data sets in an HDF5 file of one's own, and what they are as samples: images or rows, with classes or numbers. */
#ifndef BM_TOOLS_DATA_HDF5_IN_H
#define BM_TOOLS_DATA_HDF5_IN_H

#include "io/formats/hdf5.h"
#include "tools/data/class_list.h"
#include "tools/data/rows_form.h"

enum { BM_HDF5_TOGETHER = 4096 }; /* rows that are read together at most */

/* A part of the data: its data sets' numbers among those that are open, -1 where it has none. */
typedef struct bm_hdf5_part {
    const char *inputs_path, *targets_path; /* as given; NULL: not */
    int inputs, targets;
} bm_hdf5_part;

typedef struct bm_hdf5_in {
    const char *file, *layout, *type; /* as given; NULL: not */
    bm_hdf5_part train, val;
    bm_hdf5 *h;
    int images;         /* else rows */
    int channels_first; /* of images */
    bm_rows_form rows;  /* its targets are those of images too */
} bm_hdf5_in;

/* Opens the file and finds out what the data sets are. BM_ERR_CONFIG where they do not go together, BM_ERR_USAGE for a
 * --layout of what are no images. */
bm_status bm_hdf5_in_open(bm_hdf5_in *in);
/* The size [H, W, C] of images: BM_ERR_USAGE where it does not tell which dimension is that of channels. */
bm_status bm_hdf5_in_image(bm_shape *size, bm_hdf5_in *in);
/* Counts the targets of each class: those of a list that is empty are numbered first. With `all`, BM_ERR_CONFIG for a
 * class that the training part has none of. */
bm_status bm_hdf5_in_classes(bm_class_list *c, const bm_hdf5_in *in, int all);

#endif
