/* The texts that a command is given: files, or "-" for standard input, read in pieces with a progress line. */
#ifndef BM_TOOLS_TEXT_INPUT_H
#define BM_TOOLS_TEXT_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

/* Several texts that may be read more than once: one that is no regular file (a pipe, standard input) is copied to an
 * unnamed temporary file as it is read the first time. */
typedef struct bm_text_inputs bm_text_inputs;

/* `paths` is borrowed. BM_ERR_USAGE when "-" is among them twice. */
bm_status bm_text_inputs_create(bm_text_inputs **out, char *const *paths, int count, int more_than_once);
void bm_text_inputs_destroy(bm_text_inputs *in);
int bm_text_inputs_count(const bm_text_inputs *in);
const char *bm_text_inputs_name(const bm_text_inputs *in, int i); /* "standard input" for "-" */
int64_t bm_text_inputs_bytes(const bm_text_inputs *in, int i);    /* of the last reading */

/* Hands over text i in pieces. `what` begins the progress line. BM_ERR_CONFIG when the text is empty; BM_ERR_STOPPED once a
 * signal came. */
typedef bm_status (*bm_text_take)(void *user, const void *text, size_t bytes);
bm_status bm_text_inputs_read(bm_text_inputs *in, int i, const char *what, bm_text_take take, void *user);

#endif
