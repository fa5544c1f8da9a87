#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"

bm_status bm_fail_errno(int err, const char *path, const char *what)
{
    bm_status code = BM_ERR_IO;
    if (err == ENOSPC || err == EDQUOT) code = BM_ERR_NO_SPACE;
    if (err == ENOENT || err == ENOTDIR) code = BM_ERR_NOT_FOUND;
    char reason[256];
    if (strerror_r(err, reason, sizeof reason) != 0) snprintf(reason, sizeof reason, "error %d", err);
    return bm_fail(code, "%s: %s: %s", path, what, reason);
}

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static bm_status sync_retry(int fd, const char *path)
{
    int r;
    do r = fsync(fd);
    while (r != 0 && errno == EINTR);
    return r == 0 ? BM_OK : bm_fail_errno(errno, path, "fsync");
}

/* Reads to the end of an open file into *buf, which grows from `expected` bytes. */
static bm_status read_to_end(char **buf, size_t *bytes, int fd, const char *path, size_t expected, size_t most)
{
    size_t room = expected + 1, used = 0;
    *buf = bm_alloc(room + 1);
    if (!*buf) return BM_ERR_MEMORY;
    for (;;) {
        if (used == room) {
            if (room > SIZE_MAX / 4) return bm_fail(BM_ERR_MEMORY, "%s: too large to read whole", path);
            char *larger = bm_realloc(*buf, room * 2 + 1, 1);
            if (!larger) return BM_ERR_MEMORY;
            *buf = larger;
            room *= 2;
        }
        ssize_t n = read(fd, *buf + used, room - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bm_fail_errno(errno, path, "read");
        if (n == 0) break;
        used += (size_t)n;
        if (used > most) return bm_fail(BM_ERR_IO, "%s: larger than %zu bytes, the most that is read here", path, most);
    }
    (*buf)[used] = '\0';
    *bytes = used;
    return BM_OK;
}

bm_status bm_file_read(char **out, size_t *bytes, const char *path, size_t most)
{
    bm_status status = BM_OK;
    char *buf = NULL;
    size_t used = 0;
    *out = NULL;
    *bytes = 0;
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0) return bm_fail_errno(errno, path, "open");
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = bm_fail_errno(errno, path, "stat");
        goto done;
    }
    if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > most) {
        status = bm_fail(BM_ERR_IO, "%s: %lld bytes, more than the %zu that are read here", path, (long long)st.st_size,
                         most);
        goto done;
    }
    BM_GO(read_to_end(&buf, &used, fd, path, S_ISREG(st.st_mode) ? (size_t)st.st_size : 4095, most));
    *out = buf;
    *bytes = used;
    buf = NULL;
done:
    bm_free(buf);
    close(fd);
    return status;
}

/* Makes a new file beside `path`, with the permissions of the file it will replace. */
static bm_status open_temp(int *fd, char **temp, const char *path)
{
    static atomic_uint serial;
    bm_str name;
    bm_str_init(&name);
    *fd = -1;
    *temp = NULL;
    for (int i = 0; i < 100 && *fd < 0; i++) {
        bm_str_clear(&name);
        bm_str_addf(&name, "%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&serial, 1u));
        if (bm_str_status(&name)) break;
        *fd = open_retry(bm_str_text(&name), O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (*fd < 0 && errno != EEXIST) break;
    }
    if (*fd < 0) {
        int err = errno;
        bm_status status = bm_str_status(&name);
        bm_str_finish(&name);
        return status ? status : bm_fail_errno(err, path, "create a file beside it");
    }
    struct stat st;
    if (stat(path, &st) == 0) (void)fchmod(*fd, st.st_mode & 0777);
    *temp = bm_str_take(&name); /* has its terminator: nothing is allocated */
    return BM_OK;
}

bm_status bm_file_replace(const char *path, const void *data, size_t bytes)
{
    bm_status status = BM_OK;
    char *temp = NULL, *folder = bm_path_folder(path);
    int fd = -1;
    if (!folder) return BM_ERR_MEMORY;
    BM_GO(open_temp(&fd, &temp, path));
    BM_GO(bm_pwrite_all(fd, data, bytes, 0, path));
    BM_GO(sync_retry(fd, path));
    int closed = close(fd);
    fd = -1;
    if (closed != 0 && errno != EINTR) BM_GO(bm_fail_errno(errno, path, "close"));
    if (rename(temp, path) != 0) BM_GO(bm_fail_errno(errno, path, "rename"));
    bm_free(temp);
    temp = NULL;
    BM_GO(bm_folder_sync(folder));
done:
    if (fd >= 0) close(fd);
    if (temp) unlink(temp);
    bm_free(temp);
    bm_free(folder);
    return status;
}

bm_status bm_pread_all(int fd, void *data, size_t bytes, int64_t offset, const char *path)
{
    char *p = data;
    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes < SSIZE_MAX ? bytes : SSIZE_MAX, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bm_fail_errno(errno, path, "read");
        if (n == 0)
            return bm_fail(BM_ERR_IO, "%s: ends at %lld, %zu bytes before it should", path, (long long)offset, bytes);
        p += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return BM_OK;
}

bm_status bm_pwrite_all(int fd, const void *data, size_t bytes, int64_t offset, const char *path)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = pwrite(fd, p, bytes < SSIZE_MAX ? bytes : SSIZE_MAX, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return bm_fail_errno(errno, path, "write");
        p += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return BM_OK;
}

bm_status bm_folder_sync(const char *path)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return bm_fail_errno(errno, path, "open");
    bm_status status = BM_OK;
    /* Some file systems keep no buffer for folders and say EINVAL. */
    if (fsync(fd) != 0 && errno != EINVAL && errno != EINTR) status = bm_fail_errno(errno, path, "fsync");
    close(fd);
    return status;
}

/* Makes one folder; fine if it is one already. */
static bm_status create_one(const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0) return BM_OK;
    int err = errno;
    if (err != EEXIST || stat(path, &st) != 0) return bm_fail_errno(err, path, "make folder");
    return S_ISDIR(st.st_mode) ? BM_OK : bm_fail(BM_ERR_IO, "%s: is there and is no folder", path);
}

bm_status bm_folder_create(const char *path)
{
    bm_status status = BM_OK;
    char *copy = bm_strdup(path);
    if (!copy) return BM_ERR_MEMORY;
    for (char *p = copy + (copy[0] == '/'); *p; p++) {
        if (*p != '/') continue;
        *p = '\0';
        struct stat st;
        if (stat(copy, &st) != 0 || !S_ISDIR(st.st_mode)) BM_GO(create_one(copy));
        *p = '/';
    }
    BM_GO(create_one(copy));
done:
    bm_free(copy);
    return status;
}

int bm_path_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

char *bm_path_folder(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    if (n == 0) return bm_strdup(".");
    char *folder = bm_alloc(n + 1);
    if (!folder) return NULL;
    memcpy(folder, path, n);
    folder[n] = '\0';
    return folder;
}

char *bm_path_join(const char *base, const char *name)
{
    if (name[0] == '/' || !base[0]) return bm_strdup(name);
    const size_t nb = strlen(base), nn = strlen(name);
    const size_t slash = base[nb - 1] != '/';
    char *path = bm_alloc(nb + slash + nn + 1);
    if (!path) return NULL;
    memcpy(path, base, nb);
    if (slash) path[nb] = '/';
    memcpy(path + nb + slash, name, nn + 1);
    return path;
}

bm_status bm_path_real(char **out, const char *path)
{
    char real[PATH_MAX];
    *out = NULL;
    if (!realpath(path, real)) return bm_fail_errno(errno, path, "look up");
    *out = bm_strdup(real);
    return *out ? BM_OK : BM_ERR_MEMORY;
}

double bm_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
