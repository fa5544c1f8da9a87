/* A data set of images that is made, whatever they are read from. */
#ifndef BM_TOOLS_DATA_IMAGES_OUT_H
#define BM_TOOLS_DATA_IMAGES_OUT_H

#include <jansson.h>

#include "tools/data/class_list.h"
#include "tools/data/samples_out.h"

typedef struct bm_images_out {
    int64_t height, width, channels; /* 0: not known yet */
    int crop;                        /* pictures were cut to their new shape, not stretched */
    bm_class_list classes;
    bm_samples_out *to; /* borrowed */
    json_t *encoding;   /* of --like, or what was made */
    uint8_t *planes;    /* room for an image */
} bm_images_out;

/* What a data set, checkpoint or run has learned from: the sizes, the classes and what pixels are normalised by. */
bm_status bm_images_out_like(bm_images_out *o, const char *like);
/* BM_ERR_CONFIG where the images are of another size than those of --like; else takes theirs. */
bm_status bm_images_out_size(bm_images_out *o, const char *file, int64_t height, int64_t width, int64_t channels);

/* Begins to write, from n sources; sizes and classes are known. */
bm_status bm_images_out_open(bm_images_out *o, bm_samples_out *to, const char *const *sources, int n);
/* An image u8 [H, W, C], or [C, H, W], and its class, -1 for none. */
bm_status bm_images_out_add(bm_images_out *o, const uint8_t *pixels, int channels_first, int64_t label);
/* Zeros are fine. */
void bm_images_out_finish(bm_images_out *o);

#endif
