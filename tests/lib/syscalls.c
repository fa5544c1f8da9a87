#undef _FILE_OFFSET_BITS /* pwrite and pwrite64 are two names here */
#define _GNU_SOURCE
#include "tests/lib/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma GCC visibility push(default) /* libhdf5 is to find these too */

static atomic_int calls, target;
static sys_action action;
static int error_code, reads_count, recording, op_count;
static const char *hit;
static int64_t free_bytes = -1;
static sys_op ops[4096];

void test_sys_arm(int n, sys_action a, int error, int with_reads)
{
    calls = 0;
    target = n;
    action = a;
    error_code = error;
    reads_count = with_reads;
    hit = NULL;
}

int test_sys_calls(void) { return calls; }
const char *test_sys_hit(void) { return hit; }
void test_sys_free(int64_t bytes) { free_bytes = bytes; }

void test_sys_record(int on)
{
    for (int i = 0; on && i < op_count; i++) free(ops[i].data);
    if (on) op_count = 0;
    recording = on;
}

const sys_op *test_sys_ops(int *count)
{
    *count = op_count;
    return ops;
}

/* What is to happen at this call. */
static sys_action next(const char *name, int is_read)
{
    if (is_read && !reads_count) return SYS_PASS;
    if (atomic_fetch_add(&calls, 1) + 1 != target) return SYS_PASS;
    hit = name;
    if (action == SYS_KILL) raise(SIGKILL);
    return action;
}

static void record(sys_kind kind, uint64_t inode, int64_t offset, const void *data, size_t bytes, const char *name)
{
    if (!recording || op_count == sizeof ops / sizeof *ops) return;
    sys_op *op = &ops[op_count++];
    *op = (sys_op){.kind = kind, .inode = inode, .offset = offset, .bytes = bytes};
    if (data) {
        op->data = malloc(bytes + 1);
        memcpy(op->data, data, bytes);
    }
    if (name) snprintf(op->name, sizeof op->name, "%s", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
}

static uint64_t inode_of(int fd, int *is_folder)
{
    struct stat st;
    if (fstat(fd, &st)) return 0;
    *is_folder = S_ISDIR(st.st_mode);
    return (uint64_t)st.st_ino;
}

static uint64_t inode_named(const char *path)
{
    struct stat st;
    return lstat(path, &st) ? 0 : (uint64_t)st.st_ino;
}

/* Around one call whose result is -1 with errno: CALL is evaluated unless the action says otherwise. */
#define AROUND(name, is_read, call)                                                                                    \
    do {                                                                                                               \
        sys_action a_ = next(name, is_read);                                                                           \
        if (a_ == SYS_FAIL) {                                                                                          \
            errno = error_code;                                                                                        \
            return -1;                                                                                                 \
        }                                                                                                              \
        if ((a_ == SYS_SHORT || a_ == SYS_KILL_HALF) && half) n /= 2;                                                  \
        result = (call);                                                                                               \
        if (a_ == SYS_KILL_HALF || a_ == SYS_KILL_AFTER) raise(SIGKILL);                                               \
    } while (0)

static ssize_t write_at(const char *name, int fd, const void *data, size_t n, int64_t offset)
{
    ssize_t result;
    int half = n > 1, folder;
    AROUND(name, 0, offset < 0 ? syscall(SYS_write, fd, data, n) : syscall(SYS_pwrite64, fd, data, n, offset));
    if (recording && result > 0) {
        if (offset < 0) offset = lseek(fd, 0, SEEK_CUR) - result;
        record(SYS_WRITE, inode_of(fd, &folder), offset, data, (size_t)result, NULL);
    }
    return result;
}

static ssize_t read_at(const char *name, int fd, void *data, size_t n, int64_t offset)
{
    ssize_t result;
    int half = n > 1;
    AROUND(name, 1, syscall(SYS_pread64, fd, data, n, offset));
    return result;
}

ssize_t write(int fd, const void *data, size_t n) { return write_at("write", fd, data, n, -1); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return write_at("pwrite", fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return write_at("pwrite", fd, data, n, at); }
ssize_t pread(int fd, void *data, size_t n, off_t at) { return read_at("pread", fd, data, n, at); }
ssize_t pread64(int fd, void *data, size_t n, off64_t at) { return read_at("pread", fd, data, n, at); }

static int resize(int fd, int64_t size)
{
    int result, folder, half = 0;
    size_t n = 0;
    AROUND("ftruncate", 0, (int)syscall(SYS_ftruncate, fd, size));
    (void)n;
    if (!result) record(SYS_RESIZE, inode_of(fd, &folder), size, NULL, 0, NULL);
    return result;
}

int ftruncate(int fd, off_t size) { return resize(fd, size); }
int ftruncate64(int fd, off64_t size) { return resize(fd, size); }

static int allocate(int fd, int64_t at, int64_t bytes)
{
    sys_action a = next("posix_fallocate", 0);
    if (a == SYS_FAIL) return error_code;
    int result = syscall(SYS_fallocate, fd, 0, at, bytes) ? errno : 0;
    if (a == SYS_KILL_AFTER || a == SYS_KILL_HALF) raise(SIGKILL);
    return result; /* the size it had is not changed: libhdf5 gave it */
}

int posix_fallocate(int fd, off_t at, off_t bytes) { return allocate(fd, at, bytes); }
int posix_fallocate64(int fd, off64_t at, off64_t bytes) { return allocate(fd, at, bytes); }

int fsync(int fd)
{
    int result, folder = 0, half = 0;
    size_t n = 0;
    uint64_t inode = inode_of(fd, &folder);
    AROUND(folder ? "fsync of the folder" : "fsync", 0, (int)syscall(SYS_fsync, fd));
    (void)n;
    if (!result) record(folder ? SYS_SYNC_FOLDER : SYS_SYNC, inode, 0, NULL, 0, NULL);
    return result;
}

int rename(const char *from, const char *to)
{
    int result, half = 0;
    size_t n = 0;
    uint64_t inode = inode_named(from);
    AROUND("rename", 0, (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
    (void)n;
    if (!result) record(SYS_NAME, inode, 0, NULL, 0, to);
    return result;
}

int link(const char *from, const char *to)
{
    int result, half = 0;
    size_t n = 0;
    uint64_t inode = inode_named(from);
    AROUND("link", 0, (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
    (void)n;
    if (!result) record(SYS_NAME, inode, 0, NULL, 0, to);
    return result;
}

int unlink(const char *path)
{
    int result, half = 0;
    size_t n = 0;
    AROUND("unlink", 0, (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0));
    (void)n;
    return result;
}

static int open_it(const char *path, int flags, mode_t mode)
{
    int result, half = 0;
    size_t n = 0;
    if (!(flags & (O_CREAT | O_TRUNC | O_RDWR | O_WRONLY)))
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    AROUND("open", 0, (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode));
    (void)n;
    if (result >= 0 && flags & O_TRUNC) record(SYS_RESIZE, inode_of(result, &half), 0, NULL, 0, NULL);
    return result;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_it(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_it(path, flags, mode);
}

static int statvfs_real(const char *path, struct statvfs *fs)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    int result = fstatvfs(fd, fs);
    close(fd);
    if (!result && free_bytes >= 0) fs->f_bavail = (fsblkcnt_t)free_bytes / (fsblkcnt_t)fs->f_frsize;
    return result;
}

int statvfs(const char *path, struct statvfs *fs) { return statvfs_real(path, fs); }
int statvfs64(const char *path, struct statvfs64 *fs)
{
    return statvfs_real(path, (struct statvfs *)fs);
} /* one layout */
