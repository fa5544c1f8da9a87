/* UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef BM_IO_TEXT_UTF8_H
#define BM_IO_TEXT_UTF8_H

#include <stddef.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes (1 to 4) of the character that `text` begins with; 0 if it begins with none; -1 if the n bytes (n > 0) could be the
 * beginning of one that is cut off. */
BM_API int bm_utf8_length(const unsigned char *text, size_t n);
/* Whether all of it is valid. */
BM_API int bm_utf8_valid(const void *text, size_t n);

#ifdef __cplusplus
}
#endif
#endif
