#include "io/store/tempfile_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#define MOST_NAME 200 /* of the target's, so that the whole fits a folder's entry */

bm_status bm_random_bytes(void *data, size_t bytes)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return bm_fail_errno(errno, "/dev/urandom", "open");
    bm_status status = bm_pread_all(fd, data, bytes, 0, "/dev/urandom");
    close(fd);
    return status;
}

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bm_status bm_temp_create(char **path, int *fd, const char *target)
{
    bm_status status;
    bm_str name;
    char *folder = bm_path_folder(target);
    *path = NULL;
    *fd = -1;
    bm_str_init(&name);
    if (!folder) return BM_ERR_MEMORY;
    for (int i = 0; i < 16 && *fd < 0; i++) {
        uint32_t r;
        BM_GO(bm_random_bytes(&r, sizeof r));
        bm_str_clear(&name);
        bm_str_addf(&name, "%s/.%.*s.tmp.%ld.%08" PRIx32, folder, MOST_NAME, last_name(target), (long)getpid(), r);
        BM_GO(bm_str_status(&name));
        do *fd = open(bm_str_text(&name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        while (*fd < 0 && errno == EINTR);
        if (*fd < 0 && errno != EEXIST) break;
    }
    if (*fd < 0) {
        status = bm_fail_errno(errno, target, "cannot make a file beside it");
        goto done;
    }
    (void)flock(*fd, LOCK_EX | LOCK_NB); /* where there are no locks, the process number alone protects it */
    *path = bm_str_take(&name);
done:
    bm_str_finish(&name);
    bm_free(folder);
    return status;
}

bm_status bm_temp_create_unnamed(int *fd, const char *target)
{
    char *path;
    BM_TRY(bm_temp_create(&path, fd, target));
    unlink(path);
    bm_free(path);
    return BM_OK;
}

/* The process of a name that has one of the two forms; 0: neither. */
static long owner_of(const char *name)
{
    const char *mark = strstr(name, ".tmp.");
    char *end;
    if (name[0] == '.' && mark) {
        for (const char *next; (next = strstr(mark + 1, ".tmp.")); mark = next) continue;
        long pid = strtol(mark + 5, &end, 10);
        return *end == '.' && strspn(end + 1, "0123456789abcdef") == 8 && !end[9] ? pid : 0;
    }
    size_t n = strlen(name);
    if (n < 8 || strcmp(name + n - 4, ".tmp")) return 0;
    size_t dot = n - 4;
    while (dot > 0 && strchr("0123456789-", name[dot - 1])) dot--;
    if (!dot || name[dot - 1] != '.') return 0;
    long pid = strtol(name + dot, &end, 10);
    if (*end != '-') return 0;
    strtol(end + 1, &end, 10);
    return end == name + n - 4 ? pid : 0;
}

static int is_abandoned(const char *path, long pid)
{
    if (kill((pid_t)pid, 0) == 0 || errno != ESRCH) return 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return 0;
    int held = flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; /* by a process with another view of numbers */
    close(fd);
    return !held;
}

bm_status bm_temp_clean(const char *folder)
{
    bm_status status = BM_OK;
    DIR *d = opendir(folder);
    if (!d) return bm_fail_errno(errno, folder, "cannot list it");
    for (struct dirent *e; (e = readdir(d));) {
        long pid = owner_of(e->d_name);
        if (pid <= 0) continue;
        char *path = bm_path_join(folder, e->d_name);
        if (!path) {
            status = BM_ERR_MEMORY;
            break;
        }
        if (is_abandoned(path, pid) && unlink(path) == 0) bm_log(BM_LOG_INFO, "%s: removed, its process is gone", path);
        bm_free(path);
    }
    closedir(d);
    return status;
}
