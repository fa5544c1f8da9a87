/* The part of the HDF5 format that bm writes, read by bm itself. Source: HDF5 File Format Specification, version 3.0.
 */
#ifndef BM_IO_STORE_H5_PRIV_H
#define BM_IO_STORE_H5_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/store/arena_priv.h"
#include "io/store/store.h"

#define BM_H5_ALIGN 4096
#define BM_H5_UNDEFINED UINT64_MAX
#define BM_H5_SUPERBLOCK_BYTES 48
#define BM_H5_MOST_OBJECTS 1000000
#define BM_H5_MOST_LINKS 4096
#define BM_H5_MOST_ATTRS 64
#define BM_H5_MOST_TEXT 4096
#define BM_H5_MOST_DEPTH 12
#define BM_H5_MOST_NAME 255

/* The rules, in the order they are checked. A refusal names its rule: "refused by rule 3 (header messages): ...". */
#define BM_RULE_LIST(X)                                                                                                \
    X(BM_RULE_FILE, 1, "file")                                                                                         \
    X(BM_RULE_SUPERBLOCK, 2, "superblock")                                                                             \
    X(BM_RULE_MESSAGES, 3, "header messages")                                                                          \
    X(BM_RULE_LINKS, 4, "links and names")                                                                             \
    X(BM_RULE_TYPES, 5, "types")                                                                                       \
    X(BM_RULE_EXTENTS, 6, "shapes and extents")                                                                        \
    X(BM_RULE_MANIFEST, 7, "manifest")                                                                                 \
    X(BM_RULE_SCHEMA, 8, "schema")                                                                                     \
    X(BM_RULE_IDS, 9, "token ids")

typedef enum bm_rule {
#define BM_RULE_ENUM(name, number, text) name = number,
    BM_RULE_LIST(BM_RULE_ENUM)
#undef BM_RULE_ENUM
} bm_rule;

#define bm_refuse(rule, ...) bm_refuse_at((rule), __FILE__, __LINE__, __VA_ARGS__)
bm_status bm_refuse_at(bm_rule rule, const char *file, int line, const char *fmt, ...) BM_PRINTF(4, 5);

/* Jenkins' lookup3 (hashlittle) as HDF5 uses it for its metadata. */
uint32_t bm_h5_checksum(const void *data, size_t bytes);

/* n bytes of UTF-8 that may name an object: no '/', control character, "." or "..". */
int bm_h5_name_valid(const char *name, size_t n);
/* Into buf with control bytes and what is not UTF-8 as \xHH; returns buf. */
char *bm_h5_escape(char *buf, size_t room, const char *text, size_t n);

/* A piece of the file that something occupies. */
typedef struct bm_h5_extent {
    int64_t offset;
    int64_t bytes;
    int64_t entry; /* whose bytes these are; -1: metadata */
} bm_h5_extent;

typedef struct bm_h5_tree {
    bm_arena arena;
    int64_t file_bytes;
    bm_entry *entry; /* by path */
    int64_t entries;
    const char **group; /* by path; "/" is the first */
    int64_t groups;
    bm_attr *attr; /* by object, then name */
    int64_t attrs;
    bm_h5_extent *extent; /* by offset; none overlap */
    int64_t extents;
    size_t entry_room, group_room, attr_room, extent_room;
} bm_h5_tree; /* {0} is an empty one */

/* Reads and checks everything but the datasets' bytes: rules 2 to 6. */
bm_status bm_h5_tree_read(bm_h5_tree *t, int fd, int64_t file_bytes);
void bm_h5_tree_finish(bm_h5_tree *t);
/* The place of a path among the entries, or -1. */
int64_t bm_h5_tree_find(const bm_h5_tree *t, const char *path);
const bm_entry *bm_h5_tree_at(const bm_h5_tree *t, const char *path); /* NULL: none */

/* Room for one more element at the end of an array; NULL: no memory. */
void *bm_grow(void *array, size_t *room, int64_t count, size_t bytes);

/* ---- between h5_tree.c and h5_message.c ---- */

typedef struct bm_h5_pending {
    const char *path;
    uint64_t address;
    int depth;
} bm_h5_pending;

/* The object being read. */
typedef struct bm_h5_object {
    bm_h5_tree *tree;
    const char *path;
    int depth;
    uint32_t seen; /* bit per message type */
    bm_dtype dtype;
    bm_shape shape;
    uint64_t data_at, data_bytes;
    int64_t links, attrs;
    bm_h5_pending *pending; /* objects still to be read; the links found go here */
    size_t pending_room;
    int64_t pendings;
    struct bm_h5_chunk {
        uint64_t at, bytes;
    } chunk[64]; /* continuations */
    int chunks;
} bm_h5_object;

bm_status bm_h5_message(bm_h5_object *o, unsigned type, unsigned flags, const uint8_t *body, size_t bytes);

#endif
