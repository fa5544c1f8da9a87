/* Cuts text into pretokens with GPT-2's pattern (Radford et al. 2019; encoder.py of its release):
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * A stream: the cuts do not depend on how the text was fed. A byte that is no part of valid UTF-8 counts as a character that
 * is neither letter, number nor space; U+180E does too, as in Python, where PCRE2 takes it for a space. No byte is changed.
 */
#ifndef BM_IO_TEXT_SPLIT_PRIV_H
#define BM_IO_TEXT_SPLIT_PRIV_H

#include <stddef.h>

#include "core/base/status.h"

typedef struct bm_splitter bm_splitter;

/* Gets each pretoken in turn, 1 byte or more; the bytes are borrowed for the call. */
typedef bm_status (*bm_split_fn)(void *user, const unsigned char *bytes, size_t n);

bm_status bm_splitter_create(bm_splitter **out, bm_split_fn fn, void *user);
void bm_splitter_destroy(bm_splitter *s);
/* Memory is bounded by the longest pretoken. After a failure only destroy is of use. */
bm_status bm_splitter_feed(bm_splitter *s, const void *bytes, size_t n);
/* The end of a text: hands over what is left and is ready for the next one. */
bm_status bm_splitter_finish(bm_splitter *s);

#endif
