#include "io/media/input_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"

enum { BLOCK = 1 << 16 };

typedef struct input {
    bm_input base;
    char *path;
    int fd;
    int64_t bytes;
    int packed, ended;
    int in_member; /* of gzip: its end has not been seen */
    z_stream z;
    unsigned char raw[BLOCK], block[BLOCK];
} input;

bm_status bm_open_regular(int *fd, int64_t *bytes, const char *path)
{
    struct stat st;
    bm_status status;
    do *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0) return bm_fail_errno(errno, path, "open");
    if (fstat(*fd, &st) != 0) status = bm_fail_errno(errno, path, "stat");
    else if (!S_ISREG(st.st_mode)) status = bm_fail(BM_ERR_REFUSED, "%s: not a regular file", path);
    else status = BM_OK;
    *bytes = (int64_t)st.st_size;
    if (status) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

static voidpf z_alloc(voidpf unused, uInt count, uInt bytes) { return (void)unused, bm_calloc(count, bytes); }
static void z_free(voidpf unused, voidpf p) { (void)unused, bm_free(p); }

/* Reads into a block; *got is 0 at the end of the file. */
static bm_status read_block(input *in, unsigned char *data, size_t *got)
{
    ssize_t n;
    do n = read(in->fd, data, BLOCK);
    while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    return n < 0 ? bm_fail_errno(errno, in->path, "read") : BM_OK;
}

static bm_status fill_plain(input *in)
{
    size_t got;
    BM_TRY(read_block(in, in->block, &got));
    in->base.at = in->block;
    in->base.end = in->block + got;
    in->ended = got == 0;
    return BM_OK;
}

static bm_status more_raw(input *in)
{
    size_t got;
    if (in->z.avail_in > 0) return BM_OK;
    BM_TRY(read_block(in, in->raw, &got));
    if (got == 0 && in->in_member) return bm_fail(BM_ERR_DAMAGED, "%s: the gzip data is cut off", in->path);
    in->ended = got == 0;
    in->z.next_in = in->raw;
    in->z.avail_in = (uInt)got;
    return BM_OK;
}

/* One step of inflate; leaves block with what it gave. */
static bm_status inflate_step(input *in)
{
    if (!in->in_member) {
        if (in->z.next_in[0] != 0x1f) return bm_fail(BM_ERR_DAMAGED, "%s: other bytes follow the gzip data", in->path);
        inflateReset(&in->z);
        in->in_member = 1;
    }
    in->z.next_out = in->block;
    in->z.avail_out = BLOCK;
    int r = inflate(&in->z, Z_NO_FLUSH);
    in->base.at = in->block;
    in->base.end = in->z.next_out;
    if (r == Z_STREAM_END) in->in_member = 0;
    else if (r == Z_MEM_ERROR) return bm_fail(BM_ERR_MEMORY, "%s: no memory to unpack it", in->path);
    else if (r != Z_OK && r != Z_BUF_ERROR)
        return bm_fail(BM_ERR_DAMAGED, "%s: the gzip data is damaged: %s", in->path, in->z.msg ? in->z.msg : "no reason given");
    return BM_OK;
}

static bm_status fill_packed(input *in)
{
    while (in->base.at == in->base.end) {
        BM_TRY(more_raw(in));
        if (in->ended) break;
        BM_TRY(inflate_step(in));
    }
    return BM_OK;
}

int bm_input_fill(bm_input *base)
{
    input *in = (input *)base;
    if (base->at < base->end) return 1;
    if (base->status || in->ended) return 0;
    base->at = base->end = in->block;
    base->status = in->packed ? fill_packed(in) : fill_plain(in);
    if (base->status) base->at = base->end; /* what came before the damage is not handed out */
    return base->at < base->end;
}

bm_status bm_input_read(bm_input *in, void *data, size_t bytes, size_t *got)
{
    size_t done = 0;
    while (done < bytes && bm_input_fill(in)) {
        size_t n = (size_t)(in->end - in->at);
        if (n > bytes - done) n = bytes - done;
        memcpy((char *)data + done, in->at, n);
        in->at += n;
        done += n;
    }
    if (got) *got = done;
    return in->status;
}

int64_t bm_input_bytes(const bm_input *base)
{
    const input *in = (const input *)base;
    return in->packed ? -1 : in->bytes;
}

static bm_status start(input *in)
{
    size_t got;
    BM_TRY(bm_open_regular(&in->fd, &in->bytes, in->path));
    BM_TRY(read_block(in, in->raw, &got));
    in->packed = got >= 2 && in->raw[0] == 0x1f && in->raw[1] == 0x8b;
    in->z.next_in = in->raw;
    in->z.avail_in = (uInt)got;
    if (!in->packed) {
        memcpy(in->block, in->raw, got);
        in->base.at = in->block;
        in->base.end = in->block + got;
        return BM_OK;
    }
    in->z.zalloc = z_alloc;
    in->z.zfree = z_free;
    in->in_member = 1;
    return inflateInit2(&in->z, 15 + 16) == Z_OK ? BM_OK : bm_fail(BM_ERR_MEMORY, "%s: no memory to unpack it", in->path);
}

bm_status bm_input_open(bm_input **out, const char *path)
{
    input *in = bm_calloc(1, sizeof *in);
    bm_status status;
    *out = NULL;
    if (!in) return BM_ERR_MEMORY;
    in->fd = -1;
    in->path = bm_strdup(path);
    status = in->path ? start(in) : BM_ERR_MEMORY;
    if (status) bm_input_close(&in->base);
    else *out = &in->base;
    return status;
}

void bm_input_close(bm_input *base)
{
    input *in = (input *)base;
    if (!in) return;
    if (in->fd >= 0) close(in->fd);
    if (in->packed) inflateEnd(&in->z);
    bm_free(in->path);
    bm_free(in);
}
