#include "io/store/arena_priv.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "core/base/mem.h"

#define BLOCK_BYTES ((size_t)16 << 10)

struct bm_arena_block {
    struct bm_arena_block *next;
    size_t used, room;
    alignas(max_align_t) unsigned char data[];
};

void bm_arena_finish(bm_arena *a)
{
    while (a->block) {
        struct bm_arena_block *next = a->block->next;
        bm_free(a->block);
        a->block = next;
    }
}

void *bm_arena_alloc(bm_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) bytes = SIZE_MAX / 4; /* refused by bm_calloc */
    bytes = (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (!a->block || a->block->room - a->block->used < bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        struct bm_arena_block *b = bm_calloc(1, sizeof *b + room);
        if (!b) return NULL;
        b->room = room;
        b->next = a->block;
        a->block = b;
    }
    void *p = a->block->data + a->block->used;
    a->block->used += bytes;
    return p;
}

char *bm_arena_text(bm_arena *a, const char *s, size_t n)
{
    char *p = bm_arena_alloc(a, n + 1);
    if (p) memcpy(p, s, n);
    return p;
}
