/* Small files and paths. Every call retries EINTR and short transfers; errors name the path and the reason, a full disk
 * is BM_ERR_NO_SPACE, a missing file BM_ERR_NOT_FOUND, anything else BM_ERR_IO. */
#ifndef BM_CORE_BASE_FILE_H
#define BM_CORE_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The status for an errno, with "path: what: reason" as its detail. */
BM_API bm_status bm_fail_errno(int err, const char *path, const char *what);

/* The whole file, NUL-terminated beyond *bytes; the caller frees it with bm_free. Refuses more than `most` bytes. */
BM_API bm_status bm_file_read(char **out, size_t *bytes, const char *path, size_t most);
/* Old or new, never half: temp file in the same folder, fsync, rename, fsync of the folder. */
BM_API bm_status bm_file_replace(const char *path, const void *data, size_t bytes);
BM_API bm_status bm_pread_all(int fd, void *data, size_t bytes, int64_t offset, const char *path);
BM_API bm_status bm_pwrite_all(int fd, const void *data, size_t bytes, int64_t offset, const char *path);
BM_API bm_status bm_folder_sync(const char *path);
BM_API bm_status bm_folder_create(const char *path); /* with its parents; fine if there */
BM_API int bm_path_exists(const char *path);
/* The folder of a path ("." if it names none) and base joined with name (name alone if absolute); bm_free. NULL: no memory. */
BM_API char *bm_path_folder(const char *path);
BM_API char *bm_path_join(const char *base, const char *name);
/* Absolute and free of links, as realpath; the file must exist. */
BM_API bm_status bm_path_real(char **out, const char *path);

/* Seconds of a clock that never goes back. */
BM_API double bm_now_s(void);

#ifdef __cplusplus
}
#endif
#endif
