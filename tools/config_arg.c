#include "tools/config_arg.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"

#define MOST_BYTES ((size_t)1 << 20)

bm_status bm_config_arg_read(char **text, char **folder, const char **name, const char *path)
{
    size_t bytes;
    const int standard = !strcmp(path, "-");
    *text = *folder = NULL;
    *name = standard ? "standard input" : path;
    char *above = standard ? bm_strdup(".") : bm_path_folder(path);
    bm_status status = above ? BM_OK : BM_ERR_MEMORY;
    if (!status) status = bm_fail_prefix(bm_file_read(text, &bytes, standard ? "/dev/stdin" : path, MOST_BYTES), "%s", *name);
    if (!status && strlen(*text) != bytes) status = bm_fail(BM_ERR_CONFIG, "%s: a NUL character in it", *name);
    if (!status) status = bm_path_real(folder, above);
    bm_free(above);
    return status;
}

/* The file's keys of the model need a family, which may only be set. */
static bm_status set_family(bm_config *c, const bm_opt_list *sets)
{
    for (int i = 0; i < sets->count; i++)
        if (!strncmp(sets->item[i], "model.family=", 13)) BM_TRY(bm_config_set(c, sets->item[i]));
    return BM_OK;
}

static bm_status set_all(bm_config *c, const bm_opt_list *sets)
{
    for (int i = 0; i < sets->count; i++) BM_TRY(bm_config_set(c, sets->item[i]));
    return BM_OK;
}

bm_status bm_config_arg_text(bm_config *c, const char *text, const char *name, const char *folder, const bm_opt_list *sets)
{
    BM_TRY(set_family(c, sets));
    BM_TRY(bm_config_load_text(c, text, strlen(text), name, folder));
    return set_all(c, sets);
}

bm_status bm_config_arg(bm_config *c, const char *path, const bm_opt_list *sets)
{
    const char *name;
    char *text = NULL, *folder = NULL;
    if (!path) {
        BM_TRY(set_family(c, sets));
        return set_all(c, sets);
    }
    bm_status status = bm_config_arg_read(&text, &folder, &name, path);
    if (!status) status = bm_config_arg_text(c, text, name, folder, sets);
    bm_free(text);
    bm_free(folder);
    return status;
}
