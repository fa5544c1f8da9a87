/* The description of a file to be written, between writer and skeleton. */
#ifndef BM_IO_STORE_WRITER_PRIV_H
#define BM_IO_STORE_WRITER_PRIV_H

#include "io/store/h5_priv.h"
#include "io/store/manifest_priv.h"
#include "io/store/writer.h"

typedef struct bm_node_attr {
    struct bm_node_attr *next;
    const char *name;
    int is_text;
    bm_dtype dtype;
    bm_shape shape;
    const void *data;
    size_t bytes;
} bm_node_attr;

/* A group or a dataset; lives in the writer's arena. */
typedef struct bm_node {
    const char *path, *name;
    struct bm_node *parent, *first, *last, *next;
    int depth;
    int64_t children;
    size_t name_bytes; /* of its children */
    bm_node_attr *first_attr, *last_attr;
    int attrs;
    size_t attr_bytes; /* about what they take in the header */
    int is_dataset;
    bm_dtype dtype;
    bm_shape shape;
    int64_t bytes;
    int64_t index;    /* among the datasets, in the order of description */
    const void *data; /* the bytes, when they were given with the description */
    int64_t offset;   /* as libhdf5 reports it; -1: no bytes */
} bm_node;

/* How far the puts into one dataset are. */
typedef struct bm_put_state {
    int64_t entry;     /* its place in the tree */
    int64_t done;      /* bytes */
    bm_hasher *hasher; /* of the leaf begun; NULL before the first put and after the last */
} bm_put_state;

typedef enum bm_writer_phase { BM_WRITER_DESCRIBING, BM_WRITER_PUTTING, BM_WRITER_DONE } bm_writer_phase;

struct bm_writer {
    char *path;
    bm_writer_opts opts;
    bm_writer_phase phase;
    bm_arena arena;
    bm_node *root, *leaves; /* /manifest/leaves */
    bm_node **dataset;
    int64_t datasets;
    size_t dataset_room;
    size_t meta_bytes; /* about what the headers take */
    char *temp;        /* NULL before begin and after commit */
    int fd;
    bm_h5_tree tree; /* of the temporary file, read back */
    bm_manifest manifest;
    bm_put_state *put; /* per dataset */
};

/* Finds or makes the object at a path, /manifest included; a dataset must be new. */
bm_status bm_writer_add(bm_node **out, bm_writer *w, const char *path, int is_dataset);

struct bm_image;

/* An image of the file with every object of the tree; sets the datasets' offsets. `meta_bytes` is about what the
 * headers take. The only place that calls libhdf5 for writing. */
bm_status bm_skeleton_make(struct bm_image *image, bm_node *root, size_t meta_bytes);

#endif
