#include "io/store/runfolder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/store/h5_priv.h"
#include "io/store/store.h"
#include "io/store/tempfile_priv.h"

#define FOLDER "checkpoints"

int bm_run_is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* The path without slashes at its end; bm_free. */
static char *trimmed(const char *path)
{
    char *copy = bm_strdup(path);
    for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/';) copy[--n] = 0;
    return copy;
}

/* Folders upwards from `path`: *missing is the topmost that does not exist (NULL: path exists), *there the one above
 * it. Both by bm_free. */
static bm_status find_missing(char **missing, char **there, const char *path)
{
    *missing = NULL;
    *there = trimmed(path);
    while (*there && !bm_path_exists(*there)) {
        char *above = bm_path_folder(*there);
        bm_free(*missing);
        *missing = *there;
        *there = above;
    }
    return *there ? BM_OK : BM_ERR_MEMORY;
}

bm_status bm_run_check_new(const char *run)
{
    char *missing, *there, *checkpoints = NULL;
    bm_status status = find_missing(&missing, &there, run);
    if (!status && !missing) {
        checkpoints = bm_path_join(run, FOLDER);
        if (checkpoints && bm_run_is_folder(checkpoints))
            status =
                bm_fail(BM_ERR_EXISTS,
                        "%s exists already: go on with it by `bmtool resume %s`, or name another with --run", run, run);
        else
            status = bm_fail(BM_ERR_EXISTS, "%s exists already, and is no run: name another folder with --run", run);
    } else if (!status && !bm_run_is_folder(there)) {
        status = bm_fail(BM_ERR_IO, "%s cannot be made: %s is no folder", run, there);
    } else if (!status && access(there, W_OK | X_OK)) {
        status = bm_fail_errno(errno, run, "cannot be made");
    }
    bm_free(checkpoints);
    bm_free(missing);
    bm_free(there);
    return status;
}

bm_status bm_run_create(char **made, const char *run)
{
    char *there = NULL, *above = NULL, *checkpoints = bm_path_join(run, FOLDER), *path = trimmed(run);
    bm_status status = find_missing(made, &there, run);
    if (!status) above = path ? bm_path_folder(path) : NULL;
    if (!status && (!above || !checkpoints)) status = BM_ERR_MEMORY;
    if (!status && !*made) status = bm_fail(BM_ERR_EXISTS, "%s exists already", run);
    if (!status) status = bm_folder_create(above);
    if (!status && mkdir(path, 0777)) status = bm_fail_errno(errno, path, "cannot be made");
    if (!status) status = bm_folder_create(checkpoints);
    if (status && *made && status != BM_ERR_EXISTS) bm_run_discard(run, *made);
    if (status) {
        bm_free(*made);
        *made = NULL;
    }
    bm_free(path);
    bm_free(checkpoints);
    bm_free(above);
    bm_free(there);
    return status;
}

void bm_run_discard(const char *run, const char *made)
{
    static const char *const names[] = {FOLDER, "config.yaml", "gemm.json", "metrics.jsonl"};
    char path[PATH_MAX]; /* no allocation: it may be for want of memory that this is called */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (snprintf(path, sizeof path, "%s/%s", run, names[i]) < (int)sizeof path) remove(path);
    /* A folder that is not empty, for another has put something there, stays. */
    size_t n = (size_t)snprintf(path, sizeof path, "%s", run), top = strlen(made);
    while (n < sizeof path && n >= top) {
        while (n > top && path[n - 1] == '/') n--;
        path[n] = 0;
        if (rmdir(path)) break;
        while (n > 0 && path[n - 1] != '/') n--;
    }
}

bm_status bm_run_checkpoint(char **out, const char *run, uint64_t step)
{
    bm_str path;
    bm_str_init(&path);
    bm_str_addf(&path, "%s/" FOLDER "/step-%08" PRIu64 ".h5", run, step);
    *out = bm_str_take(&path);
    bm_str_finish(&path);
    return *out ? BM_OK : BM_ERR_MEMORY;
}

/* The step of "step-00000100.h5"; 0: another name. */
static int step_of(uint64_t *step, const char *name)
{
    char back[40];
    if (strncmp(name, "step-", 5)) return 0;
    *step = strtoull(name + 5, NULL, 10);
    snprintf(back, sizeof back, "step-%08" PRIu64 ".h5", *step);
    return !strcmp(back, name);
}

static int by_step(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bm_status bm_run_steps(uint64_t **steps, int64_t *count, const char *run)
{
    uint64_t *list = NULL, step;
    int64_t n = 0;
    size_t room = 0;
    *steps = NULL;
    *count = 0;
    char *folder = bm_path_join(run, FOLDER);
    if (!folder) return BM_ERR_MEMORY;
    DIR *d = opendir(folder);
    bm_status status = d ? BM_OK : bm_fail_errno(errno, folder, "cannot list it");
    if (status == BM_ERR_NOT_FOUND)
        status = bm_fail(status, "%s: not the folder of a run: there is no %s/ in it", run, FOLDER);
    for (struct dirent *e; d && !status && (e = readdir(d));) {
        if (!step_of(&step, e->d_name)) continue;
        uint64_t *grown = bm_grow(list, &room, n, sizeof *grown);
        if (!grown) {
            status = BM_ERR_MEMORY;
            break;
        }
        list = grown;
        list[n++] = step;
    }
    if (d) closedir(d);
    bm_free(folder);
    if (status) {
        bm_free(list);
        return status;
    }
    if (n) qsort(list, (size_t)n, sizeof *list, by_step);
    *steps = list;
    *count = n;
    return BM_OK;
}

static bm_status verify_file(const char *path)
{
    bm_store *s;
    BM_TRY(bm_store_open(&s, path));
    bm_status status = bm_store_verify(s, NULL);
    bm_store_close(s);
    return status;
}

bm_status bm_run_newest(char **out, uint64_t *step, const char *run)
{
    uint64_t *steps;
    int64_t n;
    char *path = NULL;
    bm_error first = {0};
    *out = NULL;
    BM_TRY(bm_run_steps(&steps, &n, run));
    bm_status status = n ? BM_OK : bm_fail(BM_ERR_NOT_FOUND, "%s: there is no checkpoint in it", run);
    for (int64_t i = n; i-- > 0;) {
        status = bm_run_checkpoint(&path, run, steps[i]);
        if (status) break;
        status = verify_file(path);
        if (!status) {
            *out = path;
            path = NULL;
            if (step) *step = steps[i];
            break;
        }
        if (status == BM_ERR_MEMORY) break;
        bm_log(BM_LOG_WARN, "%s; %s", bm_error_text(status),
               i ? "taking the checkpoint before it" : "there is none before it");
        if (!first.status) first = *bm_last_error();
        bm_free(path);
        path = NULL;
    }
    if (status && status != BM_ERR_MEMORY && first.status)
        status = bm_fail(first.status, "%s: none of its %" PRId64 " checkpoints is sound", run, n);
    bm_free(path);
    bm_free(steps);
    return status;
}

bm_status bm_run_resolve(char **out, const char *path)
{
    if (bm_run_is_folder(path)) return bm_run_newest(out, NULL, path);
    *out = bm_strdup(path);
    return *out ? BM_OK : BM_ERR_MEMORY;
}

bm_status bm_run_set_latest(const char *run, uint64_t step)
{
    char text[64];
    char *path = bm_path_join(run, "LATEST");
    if (!path) return BM_ERR_MEMORY;
    int n = snprintf(text, sizeof text, FOLDER "/step-%08" PRIu64 ".h5\n", step);
    bm_status status = bm_file_replace(path, text, (size_t)n);
    bm_free(path);
    return status;
}

bm_status bm_run_prune(const char *run, int64_t keep, uint64_t best)
{
    uint64_t *steps;
    int64_t n;
    if (keep < 1) keep = 1;
    BM_TRY(bm_run_steps(&steps, &n, run));
    bm_status status = BM_OK;
    for (int64_t i = 0; i < n - keep && !status; i++) {
        char *path;
        if (best && steps[i] == best) continue;
        status = bm_run_checkpoint(&path, run, steps[i]);
        if (status) break;
        if (unlink(path) && errno != ENOENT) status = bm_fail_errno(errno, path, "cannot remove it");
        bm_free(path);
    }
    bm_free(steps);
    return status;
}

bm_status bm_run_clean(const char *run)
{
    BM_TRY(bm_temp_clean(run));
    char *folder = bm_path_join(run, FOLDER);
    if (!folder) return BM_ERR_MEMORY;
    bm_status status = bm_run_is_folder(folder) ? bm_temp_clean(folder) : BM_OK;
    bm_free(folder);
    return status;
}
