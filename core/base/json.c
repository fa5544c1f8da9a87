#include "core/base/json_priv.h"
#include "core/base/str.h"

static int add_piece(const char *piece, size_t bytes, void *text)
{
    bm_str_add_bytes(text, piece, bytes);
    return bm_str_status(text) ? -1 : 0;
}

bm_status bm_json_text(char **out, const json_t *value, size_t flags)
{
    bm_str text;
    bm_str_init(&text);
    int fails = !value || json_dump_callback(value, add_piece, &text, flags);
    *out = fails ? NULL : bm_str_take(&text);
    bm_str_finish(&text);
    return *out ? BM_OK : bm_fail(BM_ERR_MEMORY, "no memory to write JSON");
}
