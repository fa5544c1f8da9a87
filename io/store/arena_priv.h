/* Many small objects with one end of life. */
#ifndef BM_IO_STORE_ARENA_PRIV_H
#define BM_IO_STORE_ARENA_PRIV_H

#include <stddef.h>

typedef struct bm_arena {
    struct bm_arena_block *block; /* the newest */
} bm_arena;                       /* {0} is an empty one */

void bm_arena_finish(bm_arena *a);
/* Zeroed, aligned for any type; NULL: no memory. */
void *bm_arena_alloc(bm_arena *a, size_t bytes);
/* The n bytes at s, and a NUL. */
char *bm_arena_text(bm_arena *a, const char *s, size_t n);

#endif
