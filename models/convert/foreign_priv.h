/* A file of another project as named tensors: safetensors, or Keras' weights in HDF5. */
#ifndef BM_MODELS_CONVERT_FOREIGN_PRIV_H
#define BM_MODELS_CONVERT_FOREIGN_PRIV_H

#include "core/base/shape.h"
#include "io/formats/safetensors.h"
#include "models/nn/model.h"

typedef struct bm_foreign {
    const char *path; /* borrowed */
    bm_names_file file;
    bm_safetensors *safetensors; /* of that kind, else NULL */
    char *paths;                 /* of Keras' */
    int64_t n;
    const char **name; /* [n] */
} bm_foreign;

/* BM_ERR_REFUSED says what to do where it is another file of Keras'. */
bm_status bm_foreign_open(bm_foreign *s, const char *path);
void bm_foreign_close(bm_foreign *s); /* zeros are fine */
/* The index of a tensor; -1: none. */
int64_t bm_foreign_find(const bm_foreign *s, const char *name);
/* What a tensor of floating numbers is; of others BM_ERR_UNSUPPORTED. */
bm_status bm_foreign_look(bm_shape *shape, const bm_foreign *s, int64_t i);
/* Elements [first, first + n) of a tensor of that shape as f32; whole entries of its first dimension. */
bm_status bm_foreign_read(float *out, const bm_foreign *s, int64_t i, int64_t first, int64_t n);

#endif
