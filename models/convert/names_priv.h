/* Parameter names of the transformers library. */
#ifndef BM_MODELS_CONVERT_NAMES_PRIV_H
#define BM_MODELS_CONVERT_NAMES_PRIV_H

#include <stddef.h>

#include "models/nn/model.h"

#define BM_NAME_BYTES 256

/* Their name of our parameter into buf, without "transformer."; 0 on success, -1 when the model has no such name. */
int bm_names_theirs(char buf[BM_NAME_BYTES], int *transposed, const bm_model *m, const char *ours);
/* The layer that `name` stands for when it fits `pattern` ("h.%d.ln_1.bias"), -1 for a pattern without %d, -2 if it does not fit. */
long bm_names_match(const char *pattern, const char *name);
/* y [cols, rows] = x [rows, cols] transposed. */
void bm_names_transpose(float *y, const float *x, long rows, long cols);

#endif
