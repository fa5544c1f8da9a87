/* Temporary files beside their target: `.NAME.tmp.PID.RAND`, locked (flock) while their process lives. */
#ifndef BM_IO_STORE_TEMPFILE_PRIV_H
#define BM_IO_STORE_TEMPFILE_PRIV_H

#include <stddef.h>

#include "core/base/status.h"

/* Makes one for reading and writing; *path with bm_free. The caller closes and removes it. */
bm_status bm_temp_create(char **path, int *fd, const char *target);
/* The same without a name: gone when it is closed, whatever happens. */
bm_status bm_temp_create_unnamed(int *fd, const char *target);
/* Removes those in the folder whose process is gone, and those that bm_file_replace left (NAME.PID-N.tmp). */
bm_status bm_temp_clean(const char *folder);
bm_status bm_random_bytes(void *data, size_t bytes);

#endif
