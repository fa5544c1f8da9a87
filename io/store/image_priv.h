/* A sparse file in memory, and the driver through which libhdf5 writes it. libhdf5 1.10 cannot close a file that it
 * failed to write, and crashes when asked again: so it only ever writes here, where nothing fails, and bm does all
 * input and output. */
#ifndef BM_IO_STORE_IMAGE_PRIV_H
#define BM_IO_STORE_IMAGE_PRIV_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#define BM_IMAGE_PAGE 4096

typedef struct bm_image_page {
    int64_t index; /* offset / BM_IMAGE_PAGE */
    uint8_t data[BM_IMAGE_PAGE];
} bm_image_page;

typedef struct bm_image {
    bm_image_page **page; /* those that were written to, in the order of the first writes */
    int64_t pages;
    size_t room;
    int64_t bytes;              /* the length of the file */
    bm_status status;           /* BM_ERR_MEMORY once a page could not be had; sticky */
    struct bm_image_file *file; /* libhdf5's handle */
} bm_image;                     /* {0} is an empty one */

void bm_image_finish(bm_image *m);
/* Makes an open file hold exactly the image; what was not written is a hole. */
bm_status bm_image_store(const bm_image *m, int fd, const char *path);

/* Makes a list of access properties use the driver on m. Called under the lock of libhdf5. Negative: failed. */
herr_t bm_image_set_driver(hid_t access, bm_image *m);

#endif
