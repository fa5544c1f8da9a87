#ifndef BM_IO_STORE_DATA_PRIV_H
#define BM_IO_STORE_DATA_PRIV_H

#include "io/store/data.h"

/* One of the two. */
struct bm_data {
    bm_tokens *tokens;
    bm_samples *samples;
};

/* Takes the store over, also when it fails. */
bm_status bm_tokens_from_store(bm_tokens **out, bm_store *s);

#endif
