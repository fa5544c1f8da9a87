#include "tools/data/voices.h"

#include <string.h>

#include "core/base/mem.h"

/* The voice of a file, and how many bytes of its name that is. */
static size_t voice_of(const char **voice, const char *path)
{
    const char *slash = strrchr(path, '/');
    *voice = slash ? slash + 1 : path;
    const char *end = strchr(*voice, '_');
    if (!end) end = strrchr(*voice, '.');
    return end ? (size_t)(end - *voice) : strlen(*voice);
}

static bm_status hold_out(uint8_t *validation, const bm_folder *files, const char *name)
{
    const char *voice;
    int64_t found = 0;
    for (int64_t i = 0; i < bm_folder_count(files); i++) {
        const size_t n = voice_of(&voice, bm_folder_at(files, i)->path);
        if (n != strlen(name) || memcmp(voice, name, n)) continue;
        validation[i] = 1;
        found++;
    }
    if (found) return BM_OK;
    const int n = (int)voice_of(&voice, bm_folder_at(files, 0)->path);
    return bm_fail(BM_ERR_CONFIG, "--val-voices: no file's name begins with \"%s\" before a _ (the first has \"%.*s\")",
                   name, n, voice);
}

bm_status bm_voices_hold_out(uint8_t *validation, const bm_folder *files, const char *voices)
{
    char *copy = bm_strdup(voices);
    bm_status status = copy ? BM_OK : BM_ERR_MEMORY;
    for (char *at = copy ? strtok(copy, ",") : NULL; at && !status; at = strtok(NULL, ","))
        status = hold_out(validation, files, at);
    bm_free(copy);
    return status;
}
