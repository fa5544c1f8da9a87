/* bm_loader: turns (data set, part, seed, cursor) into batches, ahead of the device.
 *
 * Of tokens, sample i of a part of n is the window of inputs ids[i W .. i W + W), targets one later, across document ends; there are
 * floor((n - 1) / W). With `shuffle` each epoch takes all samples once in the order of a keyed bijection (bm_permute);
 * else in file order. Batches run on over the end of an epoch. What the k-th batch from a cursor holds depends on the
 * data set, part, window, seed and cursor alone, never on the number of threads. Reader threads pread raw samples at
 * recorded offsets into a ring; bm_loader_next decodes them into the caller's batch and allocates nothing. A loader
 * belongs to one thread at a time. */
#ifndef BM_IO_STORE_LOADER_H
#define BM_IO_STORE_LOADER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/store/data.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where in the data: the next sample to hand out is number `sample` of its epoch, both from 0. */
typedef struct bm_cursor {
    uint64_t epoch;
    uint64_t sample;
} bm_cursor;

typedef struct bm_loader_opts {
    const char *split; /* "train" */
    int64_t window;    /* W, of tokens; required there */
    int64_t batch;     /* samples a call of bm_loader_next; required */
    int shuffle;
    uint64_t seed;
    bm_cursor start;
    int once;      /* one pass: stop at the end of the epoch, with a short last batch */
    int64_t limit; /* use only the first `limit` samples of the part; 0: all */
    int threads;   /* readers, 0 .. 64; the caller reads what none of them has begun */
    int ahead;     /* batches in the ring, 1 .. 1024 */
    bm_augment augment; /* of images */
} bm_loader_opts;
BM_API bm_loader_opts bm_loader_opts_default(void);

typedef struct bm_loader bm_loader;

/* The data set is borrowed and must outlive the loader. BM_ERR_CONFIG when the part holds no sample. */
BM_API bm_status bm_loader_create(bm_loader **out, const bm_data *data, const bm_loader_opts *opts);
BM_API void bm_loader_destroy(bm_loader *l);
BM_API int64_t bm_loader_samples(const bm_loader *l); /* an epoch */

/* The next batch, into one of the data's form and the loader's size. *rows (may be NULL without `once`) is the number of rows filled;
 * 0 at the end of a single pass; rows beyond it do not count. Blocks until the batch was read.
 * BM_ERR_DAMAGED for an id or a class that there is not. */
BM_API bm_status bm_loader_next(bm_loader *l, bm_batch *b, int64_t *rows);

/* The cursor after the batches handed out so far (what was read ahead does not count). */
BM_API bm_cursor bm_loader_get_cursor(const bm_loader *l);
/* Goes on from there; a sample beyond the epoch is BM_ERR_USAGE. */
BM_API bm_status bm_loader_set_cursor(bm_loader *l, bm_cursor at);

/* The keyed bijection of [0, n): a Feistel network of four rounds on the least even number of bits that holds n - 1,
 * its round function Philox4x32-10 (key: seed; counter: half, round, epoch), repeated while the result is n or more
 * (cycle-walking; Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, section 3). n > 0, i < n. */
BM_API uint64_t bm_permute(uint64_t n, uint64_t seed, uint64_t epoch, uint64_t i);

#ifdef __cplusplus
}
#endif
#endif
