/* A spool: bytes that wait in an unnamed file beside the target until their number is known. Appended through a buffer, then
 * read from the beginning. */
#ifndef BM_IO_STORE_SPOOL_PRIV_H
#define BM_IO_STORE_SPOOL_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/store/writer.h"

typedef struct bm_spool {
    int fd;              /* -1: not open */
    const char *path;    /* the target, for messages; borrowed */
    int64_t bytes, read; /* appended, those in the buffer included; read since the rewind */
    uint8_t *buffer;
    size_t used, filled; /* of the buffer: appended and not yet written; read and not yet taken */
} bm_spool;

#define BM_SPOOL_NONE {.fd = -1}

bm_status bm_spool_open(bm_spool *s, const char *target);
void bm_spool_close(bm_spool *s); /* BM_SPOOL_NONE is fine */
bm_status bm_spool_add(bm_spool *s, const void *data, size_t bytes);
/* Goes to the beginning; nothing is added after this. */
bm_status bm_spool_rewind(bm_spool *s);
/* The next `bytes` bytes, which are there. */
bm_status bm_spool_take(bm_spool *s, void *data, size_t bytes);
/* All of it into a writer's dataset, whose elements are `size` bytes. Rewinds. */
bm_status bm_spool_put(bm_spool *s, bm_writer *w, int64_t index, size_t size);

#endif
