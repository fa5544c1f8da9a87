#ifndef BM_IO_TEXT_TOKENIZER_PRIV_H
#define BM_IO_TEXT_TOKENIZER_PRIV_H

#include "io/text/bpe_priv.h"
#include "io/text/tokenizer.h"

struct bm_tokenizer {
    bm_tokenizer_kind kind;
    uint32_t vocab_size;
    bm_bpe bpe; /* `byte` is one without merges, each byte with its own id, that cuts nothing */
};

#endif
