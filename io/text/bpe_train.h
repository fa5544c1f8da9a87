/* Training of a byte-level BPE: text goes in as a stream, distinct pretokens are counted, then the most frequent pair of
 * neighbours is joined again and again; ties go to the smaller pair (left id, then right). The result depends on the text
 * and its order alone.
 *
 * Memory: the text itself is not kept. At most 2^20 distinct pretokens of 6 MiB together are counted; when a text has more,
 * the rarest are dropped (said once in the log), which leaves frequent merges as they are. Training then takes up to about
 * 25 bytes for each byte of distinct pretokens, and 50 for each distinct pair. Pretokens longer than 32 KiB are counted in
 * pieces of that size.
 */
#ifndef BM_IO_TEXT_BPE_TRAIN_H
#define BM_IO_TEXT_BPE_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/text/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_bpe_train_opts {
    uint32_t vocab_size; /* 256 bytes, the merges, end-of-text: 257 or more */
    /* Called after each hundredth merge; nonzero stops with BM_ERR_STOPPED. NULL: none. */
    int (*progress)(void *user, uint32_t merges, uint32_t of);
    void *user;
} bm_bpe_train_opts;
BM_API bm_bpe_train_opts bm_bpe_train_opts_default(void); /* vocab_size 4096 */

typedef struct bm_bpe_trainer bm_bpe_trainer;
BM_API bm_status bm_bpe_trainer_create(bm_bpe_trainer **out, const bm_bpe_train_opts *opts);
BM_API void bm_bpe_trainer_destroy(bm_bpe_trainer *t);
BM_API bm_status bm_bpe_trainer_feed(bm_bpe_trainer *t, const void *text, size_t bytes);
BM_API bm_status bm_bpe_trainer_end_document(bm_bpe_trainer *t);
/* Uses up what was counted: only destroy is of use after it. BM_ERR_USAGE when the text has too few pairs for the
 * vocabulary, with the largest that it has. */
BM_API bm_status bm_bpe_trainer_train(bm_tokenizer **out, bm_bpe_trainer *t);

#ifdef __cplusplus
}
#endif
#endif
