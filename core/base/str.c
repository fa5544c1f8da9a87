#include "core/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/locale_priv.h"
#include "core/base/mem.h"

void bm_str_init(bm_str *s) { *s = (bm_str){.text = NULL}; }

void bm_str_finish(bm_str *s)
{
    bm_free(s->text);
    bm_str_init(s);
}

void bm_str_clear(bm_str *s)
{
    s->length = 0;
    if (s->text) s->text[0] = '\0';
}

/* Room for `more` bytes and the terminator; whether there is. */
static int reserve(bm_str *s, size_t more)
{
    size_t needed;
    if (s->status) return 0;
    if (bm_add_size(&needed, s->length, more) || bm_add_size(&needed, needed, 1)) {
        s->status = bm_fail(BM_ERR_MEMORY, "out of host memory: a text of %zu and %zu bytes", s->length, more);
        return 0;
    }
    if (needed <= s->capacity) return 1;
    size_t capacity = s->capacity < 32 ? 64 : s->capacity;
    while (capacity < needed) capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    char *text = bm_realloc(s->text, capacity, 1);
    if (!text) {
        s->status = BM_ERR_MEMORY;
        return 0;
    }
    s->text = text;
    s->capacity = capacity;
    return 1;
}

void bm_str_add_bytes(bm_str *s, const void *data, size_t bytes)
{
    if (!reserve(s, bytes)) return;
    if (bytes > 0) memcpy(s->text + s->length, data, bytes);
    s->length += bytes;
    s->text[s->length] = '\0';
}

void bm_str_add(bm_str *s, const char *text) { bm_str_add_bytes(s, text, strlen(text)); }

void bm_str_addf(bm_str *s, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = bm_vformat(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        if (!s->status) s->status = bm_fail(BM_ERR_USAGE, "a text that cannot be formatted: %s", fmt);
    } else if (reserve(s, (size_t)n)) {
        (void)bm_vformat(s->text + s->length, (size_t)n + 1, fmt, again);
        s->length += (size_t)n;
    }
    va_end(again);
}

bm_status bm_str_status(const bm_str *s) { return s->status; }

const char *bm_str_text(const bm_str *s) { return s->text ? s->text : ""; }

char *bm_str_take(bm_str *s)
{
    char *text = NULL;
    if (reserve(s, 0)) {
        text = s->text;
        text[s->length] = '\0';
        bm_str_init(s);
    }
    return text;
}

enum { MAX_WORD = 64 };

static size_t least3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap neighbours) from a to b, at most MAX_WORD letters each: three rows of the
 * table of optimal string alignment (Damerau 1964; Wagner and Fischer 1974). */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[3][MAX_WORD + 1];
    for (size_t j = 0; j <= nb; j++) row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        const size_t *above = row[(i - 1) % 3], *two_above = row[(i + 1) % 3];
        size_t *here = row[i % 3];
        here[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            here[j] = least3(above[j] + 1, here[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < here[j])
                here[j] = two_above[j - 2] + 1;
        }
    }
    return row[na % 3][nb];
}

const char *bm_nearest(const char *word, const char *const *names, size_t n)
{
    const size_t length = strlen(word);
    size_t best = length / 3 < 1 ? 1 : length / 3 > 3 ? 3 : length / 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t other = strlen(names[i]);
        if (length > MAX_WORD || other > MAX_WORD) continue;
        size_t d = edit_distance(word, length, names[i], other);
        if (d > best || (nearest && d == best)) continue;
        best = d;
        nearest = names[i];
    }
    return nearest;
}

int bm_parse_i64(int64_t *out, const char *text)
{
    char *end;
    if (!isdigit((unsigned char)text[text[0] == '-' || text[0] == '+'])) return 1;
    errno = 0;
    long long x = strtoll(text, &end, 10);
    if (*end || errno) return 1;
    *out = x;
    return 0;
}

int bm_parse_f64(double *out, const char *text)
{
    char *end;
    if (!text[0] || isspace((unsigned char)text[0])) return 1;
    double x = bm_strtod(text, &end);
    if (*end || end == text) return 1;
    if (isinf(x) && strpbrk(text, "0123456789")) return 1; /* too large; "inf" itself is a number */
    *out = x;
    return 0;
}

static BM_PRINTF(3, 4) void format_c(char *buf, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)bm_vformat(buf, bytes, fmt, args);
    va_end(args);
}

char *bm_format_f64(char *buf, size_t bytes, double x, int digits)
{
    format_c(buf, bytes, "%.*g", digits, x);
    return buf;
}
