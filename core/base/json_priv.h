/* JSON values as text in bm's memory, whichever allocator jansson was given. */
#ifndef BM_CORE_BASE_JSON_PRIV_H
#define BM_CORE_BASE_JSON_PRIV_H

#include <jansson.h>

#include "core/base/status.h"

/* `flags` as json_dumps takes them; *out by bm_free. NULL as the value is out of memory, as it is for jansson's makers. */
bm_status bm_json_text(char **out, const json_t *value, size_t flags);

#endif
