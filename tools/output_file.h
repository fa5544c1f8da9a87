/* The file that a command is asked to write. */
#ifndef BM_TOOLS_OUTPUT_FILE_H
#define BM_TOOLS_OUTPUT_FILE_H

#include "core/base/status.h"

/* Before any work: BM_ERR_USAGE for "-" (bm's files are not written from front to back) and for one of the n inputs (NULL:
 * none) itself, which no --force makes wise; BM_ERR_EXISTS for what is there already and may not be replaced; BM_ERR_REFUSED
 * for a folder, a pipe or a device, which never is. */
bm_status bm_output_check(const char *path, int force, const char *const *inputs, int n);

#endif
