#ifndef BM_IO_STORE_STORE_PRIV_H
#define BM_IO_STORE_STORE_PRIV_H

#include <pthread.h>

#include "io/store/h5_priv.h"
#include "io/store/manifest_priv.h"
#include "io/store/store.h"

struct bm_store {
    char *path;
    int fd;
    bm_store_kind kind;
    const char *uuid; /* in the tree */
    bm_h5_tree tree;
    bm_manifest manifest;
    int64_t hidden;       /* the first of the manifest's two entries */
    pthread_mutex_t lock; /* guards map */
    void *map;
};

/* Whether data, the whole leaf, fits the leaf's hash: else BM_ERR_DAMAGED naming e and the offset. */
bm_status bm_store_check_leaf(const bm_store *s, const bm_entry *e, int64_t leaf, const void *data);

/* The place of e in the tree. */
static inline int64_t bm_store_place(const bm_store *s, const bm_entry *e) { return e - s->tree.entry; }

#endif
