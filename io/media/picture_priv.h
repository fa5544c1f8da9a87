/* What the decoders share. */
#ifndef BM_IO_MEDIA_PICTURE_PRIV_H
#define BM_IO_MEDIA_PICTURE_PRIV_H

#include "io/media/picture.h"

typedef struct bm_picture_source {
    const unsigned char *data;
    size_t bytes;
    const char *name;
    bm_picture_opts opts;
} bm_picture_source;

/* Checks the size that a header tells, and allocates the picture; `colour`: whether the file has any. */
bm_status bm_picture_start(bm_picture *out, const bm_picture_source *s, int64_t height, int64_t width, int colour);
/* One decoded row into the picture: `channels` 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. */
void bm_picture_row(bm_picture *out, int64_t y, const unsigned char *row, int channels);

/* On failure *out may hold memory, for the caller to free. */
bm_status bm_png_decode(bm_picture *out, const bm_picture_source *s);
bm_status bm_jpeg_decode(bm_picture *out, const bm_picture_source *s);

#endif
