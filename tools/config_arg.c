#include "tools/config_arg.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

#define MOST_BYTES ((size_t)1 << 20)

static bm_status load_standard_input(bm_config *c)
{
    char *text = NULL;
    size_t bytes;
    bm_status status = bm_fail_prefix(bm_file_read(&text, &bytes, "/dev/stdin", MOST_BYTES), "standard input");
    if (!status) status = bm_config_load_text(c, text, bytes, "standard input", ".");
    bm_free(text);
    return status;
}

bm_status bm_config_arg(bm_config *c, const char *path, const bm_opt_list *sets)
{
    /* The file's keys of the model need a family, which may only be set. */
    for (int i = 0; i < sets->count; i++)
        if (!strncmp(sets->item[i], "model.family=", 13)) BM_TRY(bm_config_set(c, sets->item[i]));
    if (path) BM_TRY(strcmp(path, "-") ? bm_config_load(c, path) : load_standard_input(c));
    for (int i = 0; i < sets->count; i++) BM_TRY(bm_config_set(c, sets->item[i]));
    return BM_OK;
}
