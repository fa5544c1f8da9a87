#include "io/store/json_priv.h"

#include <string.h>

#include "core/base/str.h"
#include "io/store/h5_priv.h"

#define MOST_DEPTH 16

/* Looked at before it is parsed: brackets outside strings. */
static int too_deep(const char *p)
{
    int depth = 0, quoted = 0;
    for (; *p; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && (*p == '{' || *p == '['))
            depth++;
        else if (!quoted && (*p == '}' || *p == ']'))
            depth--;
        if (depth > MOST_DEPTH) return 1;
    }
    return 0;
}

bm_status bm_json_parse(json_t **out, const char *text, const char *what)
{
    json_error_t error;
    *out = NULL;
    if (too_deep(text)) return bm_refuse(BM_RULE_SCHEMA, "%s is nested deeper than %d", what, MOST_DEPTH);
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        if (!error.text[0] || json_error_code(&error) == json_error_out_of_memory)
            return bm_fail(BM_ERR_MEMORY, "%s: no memory to read it", what);
        return bm_refuse(BM_RULE_SCHEMA, "%s is not JSON: line %d: %s", what, error.line, error.text);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return bm_refuse(BM_RULE_SCHEMA, "%s is not a JSON object", what);
    }
    *out = value;
    return BM_OK;
}
