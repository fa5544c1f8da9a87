/* A kernel source as it was embedded at build: core is handed a table of these and never knows what is in it. */
#ifndef BM_CORE_BASE_SOURCE_H
#define BM_CORE_BASE_SOURCE_H

#include <stddef.h>

typedef struct bm_source {
    const char *name; /* "ops/norm": the path below cl/ without ".cl" */
    const char *text; /* OpenCL C with its .clh expanded */
} bm_source;

typedef struct bm_source_table {
    const bm_source *entries;
    size_t count;
} bm_source_table;

#endif
