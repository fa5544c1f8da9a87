/* Making and checking a manifest. Between store and writer. */
#ifndef BM_IO_STORE_MANIFEST_PRIV_H
#define BM_IO_STORE_MANIFEST_PRIV_H

#include "io/store/h5_priv.h"
#include "io/store/manifest.h"

#define BM_MANIFEST_LEAVES "/manifest/leaves"
#define BM_MANIFEST_HEAD "/manifest/head"
#define BM_LEAF_BYTES 128
#define BM_HEAD_BYTES 4096
#define BM_MOST_SPARE_LEAVES 4

typedef struct bm_manifest {
    bm_leaf *leaf; /* by offset */
    int64_t leaves;
    int64_t *first;     /* the first leaf of each entry of the tree, -1: it is empty */
    bm_hash128 *tensor; /* of each entry of the tree, its tensor hash; NULL until the leaves have their hashes */
    bm_hash128 root;
    bm_content_id content_id;
} bm_manifest; /* {0} is an empty one */

void bm_manifest_finish(bm_manifest *m);

/* The leaves and `first` as the tree implies them, hashes zero. */
bm_status bm_manifest_layout(bm_manifest *m, const bm_h5_tree *t);
/* Layout, and the hashes of the file: rule 7. Leaves of metadata and padding are checked against the file. */
bm_status bm_manifest_read(bm_manifest *m, const bm_h5_tree *t, bm_store_kind kind, int fd);
/* The root, and the bytes for the file: table [rows, 128], head [4096]. */
void bm_manifest_encode(uint8_t *table, uint8_t *head, bm_manifest *m, int64_t rows, int64_t file_bytes);

/* From the hashes of the leaves: the tensor hashes, and the content id. */
bm_status bm_manifest_summarise(bm_content_id *id, bm_manifest *m, const bm_h5_tree *t, bm_store_kind kind);
/* The hash of a leaf's bytes in the file, read in small pieces so that they are hashed from the cache. `buffer` has
 * BM_PIECE_BYTES. */
#define BM_PIECE_BYTES ((size_t)1 << 20)
bm_status bm_leaf_hash(bm_hash128 *out, int fd, const bm_leaf *leaf, void *buffer, bm_hasher *hasher);

#endif
