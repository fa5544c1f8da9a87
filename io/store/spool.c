#include "io/store/spool_priv.h"

#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/tempfile_priv.h"

#define BUFFER ((size_t)1 << 20)

bm_status bm_spool_open(bm_spool *s, const char *target)
{
    *s = (bm_spool)BM_SPOOL_NONE;
    s->path = target;
    if (!(s->buffer = bm_alloc(BUFFER))) return BM_ERR_MEMORY;
    return bm_temp_create_unnamed(&s->fd, target);
}

void bm_spool_close(bm_spool *s)
{
    if (s->fd >= 0) close(s->fd);
    bm_free(s->buffer);
    *s = (bm_spool)BM_SPOOL_NONE;
}

static bm_status flush(bm_spool *s)
{
    BM_TRY(bm_pwrite_all(s->fd, s->buffer, s->used, s->bytes - (int64_t)s->used, s->path));
    s->used = 0;
    return BM_OK;
}

bm_status bm_spool_add(bm_spool *s, const void *data, size_t bytes)
{
    const uint8_t *from = data;
    while (bytes) {
        size_t n = BUFFER - s->used < bytes ? BUFFER - s->used : bytes;
        memcpy(s->buffer + s->used, from, n);
        s->used += n;
        s->bytes += (int64_t)n;
        from += n;
        bytes -= n;
        if (s->used == BUFFER) BM_TRY(flush(s));
    }
    return BM_OK;
}

bm_status bm_spool_rewind(bm_spool *s)
{
    BM_TRY(flush(s));
    s->read = 0;
    s->filled = 0;
    return BM_OK;
}

bm_status bm_spool_take(bm_spool *s, void *data, size_t bytes)
{
    uint8_t *to = data;
    while (bytes) {
        if (!s->filled) {
            const int64_t left = s->bytes - s->read;
            s->filled = left < (int64_t)BUFFER ? (size_t)left : BUFFER;
            BM_TRY(bm_pread_all(s->fd, s->buffer + (BUFFER - s->filled), s->filled, s->read, s->path));
            s->read += (int64_t)s->filled;
        }
        size_t n = s->filled < bytes ? s->filled : bytes;
        memcpy(to, s->buffer + (BUFFER - s->filled), n);
        s->filled -= n;
        to += n;
        bytes -= n;
    }
    return BM_OK;
}

bm_status bm_spool_put(bm_spool *s, bm_writer *w, int64_t index, size_t size)
{
    BM_TRY(bm_spool_rewind(s));
    const int64_t most = (int64_t)(BUFFER / size), all = s->bytes / (int64_t)size;
    for (int64_t done = 0; done < all;) {
        const int64_t n = all - done < most ? all - done : most;
        BM_TRY(bm_pread_all(s->fd, s->buffer, (size_t)n * size, done * (int64_t)size, s->path));
        BM_TRY(bm_writer_put(w, index, s->buffer, done, n));
        done += n;
    }
    return BM_OK;
}
