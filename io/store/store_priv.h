#ifndef BM_IO_STORE_STORE_PRIV_H
#define BM_IO_STORE_STORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "io/store/h5_priv.h"
#include "io/store/manifest_priv.h"
#include "io/store/store.h"

/* Leaves of datasets are checked when they are first read. */
typedef struct bm_checker {
    pthread_mutex_t lock; /* guards hasher and buffer */
    bm_hasher *hasher;
    void *buffer;        /* [BM_PIECE_BYTES] */
    atomic_uchar *sound; /* per leaf */
} bm_checker;

struct bm_store {
    char *path;
    int fd;
    bm_store_kind kind;
    const char *uuid; /* in the tree */
    bm_h5_tree tree;
    bm_manifest manifest;
    int64_t hidden; /* the first of the manifest's two entries */
    bm_checker *checker;
    pthread_mutex_t lock; /* guards map */
    void *map;
};

bm_status bm_checker_create(bm_checker **out, int64_t leaves);
void bm_checker_destroy(bm_checker *c);
/* Whether data, the whole leaf, fits the leaf's hash: else BM_ERR_DAMAGED naming e and the offset. */
bm_status bm_store_check_leaf(const bm_store *s, const bm_entry *e, int64_t leaf, const void *data);
/* The same for the leaves that hold bytes [at, at + bytes) of e, which are read for it unless they were before. */
bm_status bm_store_check(const bm_store *s, const bm_entry *e, int64_t at, int64_t bytes);

/* The place of e in the tree. */
static inline int64_t bm_store_place(const bm_store *s, const bm_entry *e) { return e - s->tree.entry; }

#endif
