#include "core/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/locale_priv.h"

static _Thread_local bm_error last;

static const struct {
    bm_status status;
    int exit_code;
    const char *name;
    const char *sentence;
} statuses[] = {
#define BM_STATUS_ROW(name, code, exit_code, sentence) {name, exit_code, #name, sentence},
    BM_STATUS_LIST(BM_STATUS_ROW)
#undef BM_STATUS_ROW
};

/* The row of a status, or -1 for a number that is none. */
static int row_of(bm_status s)
{
    for (int i = 0; i < (int)(sizeof statuses / sizeof statuses[0]); i++)
        if (statuses[i].status == s) return i;
    return -1;
}

const char *bm_status_name(bm_status s)
{
    int i = row_of(s);
    return i < 0 ? "unknown status" : statuses[i].name;
}

const char *bm_status_sentence(bm_status s)
{
    int i = row_of(s);
    return i < 0 ? "unknown status" : statuses[i].sentence;
}

int bm_status_exit_code(bm_status s)
{
    int i = row_of(s);
    return i < 0 ? 1 : statuses[i].exit_code;
}

/* Shows that a text of `length` bytes did not fit. */
static void mark_cut(char *text, size_t bytes, int length)
{
    if (length >= (int)bytes) memcpy(text + bytes - 4, "...", 4);
}

bm_status bm_fail_at(bm_status code, int cl_code, const char *file, int line, const char *fmt, ...)
{
    char text[sizeof last.text]; /* the arguments may point into the last error */
    va_list args;
    va_start(args, fmt);
    int length = bm_vformat(text, sizeof text, fmt, args);
    va_end(args);
    mark_cut(text, sizeof text, length);
    last.status = code;
    last.cl_code = cl_code;
    last.file = file;
    last.line = line;
    memcpy(last.text, text, sizeof text);
    return code;
}

bm_status bm_fail_prefix(bm_status s, const char *fmt, ...)
{
    if (s == BM_OK) return s;
    char text[sizeof last.text];
    va_list args;
    va_start(args, fmt);
    int length = bm_vformat(text, sizeof text, fmt, args);
    va_end(args);
    mark_cut(text, sizeof text, length);
    const char *rest = bm_error_text(s);
    size_t used = strlen(text);
    if (!strncmp(rest, text, used) && rest[used] == ':') return s;
    length = (int)used + snprintf(text + used, sizeof text - used, ": %s", rest);
    mark_cut(text, sizeof text, length);
    if (last.status != s) last = (bm_error){.status = s}; /* what was kept belongs to another failure */
    memcpy(last.text, text, sizeof text);
    return s;
}

const bm_error *bm_last_error(void) { return &last; }

const char *bm_error_text(bm_status s) { return last.status == s && last.text[0] ? last.text : bm_status_sentence(s); }

bm_status bm_error_restore(const bm_error *e)
{
    last = *e;
    return last.status;
}
