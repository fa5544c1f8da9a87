/* A set of byte strings, numbered from 0 in the order they came: the caller keeps what belongs to each in arrays of its own. */
#ifndef BM_IO_TEXT_INTERN_PRIV_H
#define BM_IO_TEXT_INTERN_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct bm_intern {
    unsigned char *bytes; /* all strings, one after the other */
    size_t used, room;
    uint32_t *start;      /* [count + 1] */
    uint32_t *tag;        /* upper half of each one's hash */
    size_t count, capacity;
    uint32_t *slots;      /* number + 1, or 0; open addressing */
    size_t n_slots;       /* a power of two, or 0 */
} bm_intern;

#define BM_INTERN_NONE UINT32_MAX

void bm_intern_init(bm_intern *t);
void bm_intern_finish(bm_intern *t);
void bm_intern_clear(bm_intern *t); /* empty, memory kept */
/* Its number, or BM_INTERN_NONE. */
uint32_t bm_intern_find(const bm_intern *t, const void *bytes, size_t n);
/* Its number, added if it is new. All strings together stay below 4 GiB. */
bm_status bm_intern_add(uint32_t *out, bm_intern *t, const void *bytes, size_t n);

static inline const unsigned char *bm_intern_text(const bm_intern *t, uint32_t number, size_t *n)
{
    *n = t->start[number + 1] - t->start[number];
    return t->bytes + t->start[number];
}

#endif
