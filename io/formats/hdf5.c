#include "io/formats/hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/formats/hdf5_priv.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

struct bm_hdf5 {
    char *file;
    pid_t child; /* 0: none */
    int fd;      /* -1: none */
    int n;
    bm_hdf5_data data[BM_HDF5_MOST_PATHS];
};

int bm_hdf5_send(int fd, const void *data, size_t bytes)
{
    for (const char *at = data; bytes;) {
        const ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int bm_hdf5_receive(int fd, void *data, size_t bytes)
{
    for (char *at = data; bytes;) {
        const ssize_t n = recv(fd, at, bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int wait_for(pid_t child)
{
    int how = 0;
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    return how;
}

/* The child is gone, or does not keep to what was agreed. */
static bm_status is_gone(bm_hdf5 *h)
{
    kill(h->child, SIGKILL);
    const int how = wait_for(h->child), signal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    h->child = 0;
    if (signal == SIGXCPU)
        return bm_fail(BM_ERR_REFUSED, "%s: reading it took more time than a file of its size may need", h->file);
    if (signal && signal != SIGKILL)
        return bm_fail(BM_ERR_DAMAGED, "%s: libhdf5 crashed on it (signal %d): it is damaged or was made to do harm",
                       h->file, signal);
    return bm_fail(BM_ERR_DAMAGED, "%s: the process that read it with libhdf5 ended", h->file);
}

/* The head of the next answer: how many bytes follow, which are `least` to `most`. */
static bm_status receive_head(int64_t *bytes, bm_hdf5 *h, int64_t least, int64_t most)
{
    char text[sizeof bm_last_error()->text];
    bm_hdf5_answer a;
    if (!h->child) return bm_fail(BM_ERR_DAMAGED, "%s: it could not be read before", h->file);
    if (bm_hdf5_receive(h->fd, &a, sizeof a)) return is_gone(h);
    *bytes = a.bytes;
    if (!a.status && a.bytes >= least && a.bytes <= most) return BM_OK;
    if (!a.status || a.bytes < 0 || a.bytes >= (int64_t)sizeof text || bm_hdf5_receive(h->fd, text, (size_t)a.bytes))
        return is_gone(h);
    text[a.bytes] = 0;
    return bm_fail(a.status, "%s: %s", h->file, text);
}

/* The next answer, of so many bytes. */
static bm_status receive(bm_hdf5 *h, void *to, int64_t bytes)
{
    BM_TRY(receive_head(&bytes, h, bytes, bytes));
    return bm_hdf5_receive(h->fd, to, (size_t)bytes) ? is_gone(h) : BM_OK;
}

static bm_status check(const bm_hdf5 *h, const char *const *paths)
{
    for (int i = 0; i < h->n; i++) {
        const bm_hdf5_data *d = &h->data[i];
        if (d->shape.rank < 1) return bm_fail(BM_ERR_REFUSED, "%s: %s is a single number", h->file, paths[i]);
        BM_TRY(bm_fail_prefix(bm_shape_check(&d->shape, BM_I64), "%s: %s", h->file, paths[i]));
    }
    return BM_OK;
}

static bm_status start(bm_hdf5 *h, const char *const *paths)
{
    int pair[2];
    struct stat st;
    if (stat(h->file, &st)) return bm_fail_errno(errno, h->file, "open");
    if (!S_ISREG(st.st_mode)) return bm_fail(BM_ERR_REFUSED, "%s: not a regular file", h->file);
    if (access(h->file, R_OK)) return bm_fail_errno(errno, h->file, "open");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return bm_fail_errno(errno, h->file, "make a socket to read it");
    h->child = fork();
    if (!h->child) {
        close(pair[0]);
        bm_hdf5_serve(pair[1], h->file, (int64_t)st.st_size, paths, h->n);
    }
    close(pair[1]);
    h->fd = pair[0];
    fcntl(h->fd, F_SETFD, FD_CLOEXEC);
    if (h->child > 0) return BM_OK;
    h->child = 0;
    return bm_fail_errno(errno, h->file, "make a process to read it");
}

/* A child for the file, which has no answer from it yet. */
static bm_status create(bm_hdf5 **out, const char *file, const char *const *paths, int n)
{
    bm_hdf5 *h = *out = bm_calloc(1, sizeof *h);
    if (!h) return BM_ERR_MEMORY;
    h->n = n;
    h->fd = -1;
    return (h->file = bm_strdup(file)) ? start(h, paths) : BM_ERR_MEMORY;
}

bm_status bm_hdf5_open(bm_hdf5 **out, const char *file, const char *const *paths, int n)
{
    bm_hdf5 *h = NULL;
    bm_status status;
    *out = NULL;
    if (n < 1 || n > BM_HDF5_MOST_PATHS)
        return bm_fail(BM_ERR_USAGE, "%s: %d paths; 1 to %d are read", file, n, BM_HDF5_MOST_PATHS);
    BM_GO(create(&h, file, paths, n));
    BM_GO(receive(h, h->data, n * (int64_t)sizeof *h->data));
    BM_GO(check(h, paths));
    *out = h;
    return BM_OK;
done:
    bm_hdf5_close(h);
    return status;
}

bm_status bm_hdf5_list(char **paths, size_t *bytes, const char *file)
{
    bm_hdf5 *h = NULL;
    char *text = NULL;
    int64_t n = 0;
    bm_status status;
    *paths = NULL;
    *bytes = 0;
    BM_GO(create(&h, file, NULL, 0));
    BM_GO(receive_head(&n, h, 0, BM_HDF5_MOST_LISTED));
    if (!(text = bm_calloc((size_t)n + 1, 1))) BM_GO(BM_ERR_MEMORY);
    if (bm_hdf5_receive(h->fd, text, (size_t)n) || (n && text[n - 1])) BM_GO(is_gone(h));
    *paths = text;
    *bytes = (size_t)n;
    text = NULL;
done:
    bm_free(text);
    bm_hdf5_close(h);
    return status;
}

void bm_hdf5_close(bm_hdf5 *h)
{
    if (!h) return;
    if (h->fd >= 0) close(h->fd);
    if (h->child) {
        kill(h->child, SIGKILL);
        wait_for(h->child);
    }
    bm_free(h->file);
    bm_free(h);
}

const bm_hdf5_data *bm_hdf5_at(const bm_hdf5 *h, int i) { return &h->data[i]; }

int64_t bm_hdf5_row(const bm_hdf5 *h, int i)
{
    int64_t n = 1;
    for (int k = 1; k < h->data[i].shape.rank; k++) n *= h->data[i].shape.dim[k];
    return n;
}

bm_status bm_hdf5_read(bm_hdf5 *h, int i, bm_dtype type, void *to, int64_t first, int64_t count)
{
    int64_t bytes = 0;
    const bm_hdf5_ask ask = {i, type, first, count};
    const int64_t all = h->data[i].shape.dim[0];
    if (first < 0 || count < 0 || first > all || count > all - first ||
        (type != BM_U8 && type != BM_I64 && type != BM_F32) || bm_mul_i64(&bytes, bm_hdf5_row(h, i), count) ||
        bm_mul_i64(&bytes, bytes, (int64_t)bm_dtype_size(type)) || bytes > BM_HDF5_MOST_BYTES)
        return bm_fail(BM_ERR_USAGE, "%s: rows %" PRId64 " and %" PRId64 " more of %" PRId64 " cannot be read together",
                       h->file, first, count, all);
    if (h->child && bm_hdf5_send(h->fd, &ask, sizeof ask)) return is_gone(h);
    return receive(h, to, bytes);
}
