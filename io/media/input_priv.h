/* The bytes of a regular file in order; what is gzip (RFC 1952, members one after the other) comes out unpacked. Of gzip, the
 * check sums and lengths are checked; BM_ERR_DAMAGED where it is cut off or damaged, or other bytes follow it. */
#ifndef BM_IO_MEDIA_INPUT_PRIV_H
#define BM_IO_MEDIA_INPUT_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct bm_input bm_input;
struct bm_input {
    const unsigned char *at, *end; /* what was unpacked and is not taken yet */
    bm_status status;              /* the failure that ended it */
};

bm_status bm_input_open(bm_input **out, const char *path);
void bm_input_close(bm_input *in);
/* The file's size in bytes when what is in it is not packed, else -1. */
int64_t bm_input_bytes(const bm_input *in);
/* Makes at < end; 0 at the end of the file or after a failure. */
int bm_input_fill(bm_input *in);
/* Up to `bytes` bytes, fewer only at the end; *got may be NULL. */
bm_status bm_input_read(bm_input *in, void *data, size_t bytes, size_t *got);

/* The next byte, or -1 as bm_input_fill gives 0. */
static inline int bm_input_next(bm_input *in) { return in->at < in->end || bm_input_fill(in) ? *in->at++ : -1; }
/* The same, left where it is. */
static inline int bm_input_peek(bm_input *in) { return in->at < in->end || bm_input_fill(in) ? *in->at : -1; }

/* An open descriptor of a regular file and its size; BM_ERR_REFUSED for any other kind, and nothing waits. */
bm_status bm_open_regular(int *fd, int64_t *bytes, const char *path);

#endif
