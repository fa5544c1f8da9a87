/* How often each distinct pretoken occurs in a text, within bounds of memory. */
#ifndef BM_IO_TEXT_WORD_COUNT_PRIV_H
#define BM_IO_TEXT_WORD_COUNT_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/text/intern_priv.h"

#define BM_WORD_MOST ((size_t)1 << 20)       /* distinct pretokens */
#define BM_WORD_MOST_BYTES ((size_t)6 << 20) /* of them all */
#define BM_WORD_LONGEST ((size_t)32 << 10)   /* longer ones are counted in pieces */

typedef struct bm_word_counts {
    bm_intern words;
    int64_t *count; /* of each */
    size_t capacity;
    int64_t rare;   /* counts up to this have been dropped at some time; 0: nothing was */
} bm_word_counts;

void bm_word_counts_init(bm_word_counts *c);
void bm_word_counts_finish(bm_word_counts *c);
bm_status bm_word_counts_add(bm_word_counts *c, const unsigned char *bytes, size_t n);

#endif
