/* Other projects' names of parameters (models/nn/model.h). */
#ifndef BM_MODELS_CONVERT_NAMES_PRIV_H
#define BM_MODELS_CONVERT_NAMES_PRIV_H

#include <stddef.h>

#include "models/nn/model.h"

#define BM_NAME_BYTES 256

/* The names in files of a kind for a model of this configuration; NULL: there are none. */
const bm_names *bm_names_of(const bm_model *m, const bm_config *c, bm_names_file file);
/* The row for our parameter, after `after` (NULL: the first), and its name in it into buf; NULL: no more. */
const bm_name_map *bm_names_next(char buf[BM_NAME_BYTES], const bm_names *f, const char *ours,
                                 const bm_name_map *after);
/* Whether a tensor's name is that one, which a row gave. */
int bm_names_fit(const bm_names *f, const char *theirs, const char *name);
int bm_names_is_extra(const bm_names *f, const char *name);

/* y [cols, rows] = x [rows, cols] transposed. */
void bm_names_transpose(float *y, const float *x, long rows, long cols);

#endif
