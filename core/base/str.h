/* A growing string. Sticky: after a failed allocation calls do nothing and bm_str_status() says so. */
#ifndef BM_CORE_BASE_STR_H
#define BM_CORE_BASE_STR_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_str {
    char *text;    /* always terminated once something was added; NULL before */
    size_t length; /* without the terminator; the text may hold NULs */
    size_t capacity;
    bm_status status;
} bm_str;

BM_API void bm_str_init(bm_str *s);
BM_API void bm_str_finish(bm_str *s);
BM_API void bm_str_clear(bm_str *s); /* length 0, memory kept */
BM_API void bm_str_add(bm_str *s, const char *text);
BM_API void bm_str_add_bytes(bm_str *s, const void *data, size_t bytes);
BM_API void bm_str_addf(bm_str *s, const char *fmt, ...) BM_PRINTF(2, 3);
BM_API bm_status bm_str_status(const bm_str *s);
/* The text ("" when empty), borrowed. */
BM_API const char *bm_str_text(const bm_str *s);
/* Hands the text to the caller (bm_free) and leaves s empty; NULL after a failure. */
BM_API char *bm_str_take(bm_str *s);

/* The entry nearest to `word` by edit distance (optimal string alignment), or NULL when none is near enough
 * (more than a third of the word's length, at least 1, at most 3). */
BM_API const char *bm_nearest(const char *word, const char *const *names, size_t n);

/* Numbers as text, whatever the locale: the whole of `text` must be the number. 0 on success. */
BM_API int bm_parse_i64(int64_t *out, const char *text);
BM_API int bm_parse_f64(double *out, const char *text);
/* printf's %.*g with a point for the decimal, whatever the locale; returns buf. */
BM_API char *bm_format_f64(char *buf, size_t bytes, double x, int digits);

#ifdef __cplusplus
}
#endif
#endif
