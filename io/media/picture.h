/* Pictures: PNG (libpng) and JPEG (libjpeg-turbo), told by their first bytes, as 8-bit rows.
 *
 * Whatever the file holds comes out as [H, W, C] u8 with C 1 or 3: palettes are looked up, 16 bits scaled to 8, what is
 * transparent lies on white, grey is repeated in three channels or colour becomes grey by ITU-R BT.601's luma, rounded
 * (0.299 R + 0.587 G + 0.114 B). Colour profiles, gamma and the orientation of EXIF are not looked at; of an animation the
 * first picture is read.
 *
 * The header is checked before anything is allocated for the picture: BM_ERR_REFUSED for one beyond the limits. BM_ERR_DAMAGED
 * for a file that is cut off or that the library has any complaint about; BM_ERR_UNSUPPORTED for another format and for CMYK. */
#ifndef BM_IO_MEDIA_PICTURE_H
#define BM_IO_MEDIA_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_picture {
    int64_t height, width, channels;
    uint8_t *pixels; /* [H, W, C], row-major; owned */
} bm_picture;

typedef struct bm_picture_opts {
    int channels;        /* 1 or 3; 0: 1 for a grey file, else 3 */
    int64_t most_pixels; /* H * W; 64 Mi */
    int64_t most_bytes;  /* of the file; 256 MiB */
} bm_picture_opts;
BM_API bm_picture_opts bm_picture_opts_default(void);

/* Reads a file whole; opts NULL: the defaults. On failure *out is empty. */
BM_API bm_status bm_picture_read(bm_picture *out, const char *path, const bm_picture_opts *opts);
/* The same from the file's bytes; `name` is what messages call it. */
BM_API bm_status bm_picture_decode(bm_picture *out, const void *data, size_t bytes, const char *name,
                                   const bm_picture_opts *opts);
BM_API void bm_picture_finish(bm_picture *p);

/* A picture of another size: the triangle filter, as wide as a pixel of the smaller of the two (antialiased bilinear:
 * averaging when it shrinks, bilinear when it grows), across first, each pass rounded to 8 bits. Bit for bit what Pillow's
 * BILINEAR gives, and torchvision's with antialias to a rounding. With `crop` the largest part in the middle that has the new
 * shape is taken (Pillow's ImageOps.fit), else all of it is stretched. */
BM_API bm_status bm_picture_resize(bm_picture *out, const bm_picture *in, int64_t height, int64_t width, int crop);

#ifdef __cplusplus
}
#endif
#endif
