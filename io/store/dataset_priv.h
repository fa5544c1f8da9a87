#ifndef BM_IO_STORE_DATASET_PRIV_H
#define BM_IO_STORE_DATASET_PRIV_H

#include "io/store/dataset.h"

/* The error for an id outside the vocabulary, at its place in the file. */
bm_status bm_tokens_bad_id(const bm_tokens *t, int64_t id, int64_t at);

#endif
