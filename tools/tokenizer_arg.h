/* The tokenizer that a command line names. */
#ifndef BM_TOOLS_TOKENIZER_ARG_H
#define BM_TOOLS_TOKENIZER_ARG_H

#include <stdint.h>

#include "io/text/tokenizer.h"
#include "tools/text_input.h"

/* "byte", a tokenizer's file, or a data set, checkpoint or run folder that holds one. */
bm_status bm_tokenizer_arg(bm_tokenizer **out, const char *spec);
/* Whether spec is "bpe:N", and N (0 when it is no number). */
int bm_tokenizer_arg_is_training(int64_t *vocab_size, const char *spec);
/* A BPE of that vocabulary from all the texts, with progress; a signal stops it with BM_ERR_STOPPED. */
bm_status bm_tokenizer_arg_train(bm_tokenizer **out, bm_text_inputs *in, int64_t vocab_size);
/* Into a file, or for "-" on standard output. */
bm_status bm_tokenizer_arg_save(const bm_tokenizer *t, const char *output);

#endif
