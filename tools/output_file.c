#include "tools/output_file.h"

#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"

bm_status bm_output_check(const char *path, int force, const char *const *inputs, int n)
{
    struct stat a, b;
    if (strcmp(path, "-") == 0) return bm_fail(BM_ERR_USAGE, "the output must be a file, not standard output (-)");
    for (int i = 0; i < n; i++)
        if (inputs[i] && !stat(path, &a) && !stat(inputs[i], &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return bm_fail(BM_ERR_USAGE, "%s: is what is read; the output must be another file", path);
    if (!force && bm_path_exists(path)) return bm_fail(BM_ERR_EXISTS, "%s: exists already (--force replaces it)", path);
    if (!stat(path, &a) && !S_ISREG(a.st_mode))
        return bm_fail(BM_ERR_REFUSED, "%s: is no regular file: it is not replaced", path);
    return BM_OK;
}
