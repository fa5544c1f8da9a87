/* The dataset of samples that lie in arrays, all of one size: tables, images, frames. And the making of one.
 *
 * In the file, `kind` images: /images/data u8[N, C, H, W], /images/label i32[N]; attributes of /images: layout "NCHW", n_classes
 * u64, mean and std f32[C], of the training part, in units of 255. `kind` rows: /rows/inputs f32 or i32 [N, ...], /rows/targets
 * i32[N], i32[N, L] or f32[N, D], and where samples are of unequal length /rows/lengths i32[N]; attributes of /rows: n_classes u64, 0
 * where targets are numbers, and vocab_size u64 where inputs are ids. Both: /splits/train, /splits/val with attributes start, count u64
 * in samples; /encoding/json u8[n], how samples were made from what they stand for (names of columns and classes, means and scales),
 * which checkpoints keep; /meta/json u8[n] (source, licence; the writer adds counts). */
#ifndef BM_IO_STORE_SAMPLES_H
#define BM_IO_STORE_SAMPLES_H

#include "io/store/batch.h"
#include "io/store/store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_samples bm_samples;

/* Takes the store over, also when it fails: BM_ERR_REFUSED. */
BM_API bm_status bm_samples_open(bm_samples **out, bm_store *s);
BM_API void bm_samples_close(bm_samples *s);
/* Whether there are samples in it. */
BM_API int bm_samples_is(const bm_store *s);
BM_API const bm_store *bm_samples_store(const bm_samples *s); /* borrowed */
BM_API int64_t bm_samples_count(const bm_samples *s);
BM_API bm_sample_form bm_samples_form(const bm_samples *s);
/* "images" or "rows" */
BM_API const char *bm_samples_kind(const bm_samples *s);
BM_API const char *bm_samples_encoding(const bm_samples *s); /* the JSON text; "" for none */
BM_API const char *bm_samples_meta(const bm_samples *s);
/* Targets [first, first + count) of all, as they lie one after the other, i32: BM_ERR_DAMAGED for a class that there is not. */
BM_API bm_status bm_samples_read_targets(const bm_samples *s, int32_t *targets, int64_t first, int64_t count);
/* Lengths of samples [first, first + count): all places where the file has no lengths. */
BM_API bm_status bm_samples_read_lengths(const bm_samples *s, int32_t *lengths, int64_t first, int64_t count);
enum { BM_MOST_CHANNELS = 64 }; /* of images */
/* What images are normalised by: (x / 255 - mean) / std, C of each; NULL where there are none. */
BM_API const float *bm_samples_mean(const bm_samples *s);
BM_API const float *bm_samples_std(const bm_samples *s);
/* Other numbers than the file's: those that a model has learned with. */
BM_API void bm_samples_normalise(bm_samples *s, const float *mean, const float *std);

/* What is done to an image each time that it is drawn. */
typedef struct bm_augment {
    int flip;       /* mirrored left to right, by a coin */
    int64_t shift;  /* moved by up to so many pixels each way; black comes in */
    uint64_t seed;
} bm_augment;

/* A sample as it lies in the file: bm_samples_raw_bytes of them. Reading may run in several threads. */
BM_API size_t bm_samples_raw_bytes(const bm_samples *s);
BM_API bm_status bm_samples_read(const bm_samples *s, void *raw, int64_t sample);
/* Row `row` of a batch from it; `augment` may be NULL. BM_ERR_DAMAGED for a class, an id or a length that there is not. */
BM_API bm_status bm_samples_decode(const bm_samples *s, bm_batch *b, int64_t row, const void *raw, int64_t sample,
                                   const bm_augment *augment, uint64_t epoch);

/* ---- making one ---- */

typedef struct bm_samples_opts {
    const char *kind;             /* "images" or "rows" */
    bm_dtype input, target;       /* images: BM_U8, BM_I32; rows: BM_F32 or BM_I32 */
    bm_shape input_shape, target_shape; /* of one sample; images: [C, H, W] and [] */
    int64_t vocab, classes;       /* as bm_sample_form has them */
    int lengths;
    double val_fraction;          /* [0, 1): a sample is drawn for the validation part by split_seed and its number alone */
    uint64_t split_seed;
    const char *meta_json, *encoding_json; /* objects; NULL: {}, none. Of images the encoding gets mean and std, or
                                              * says which they are */
    int replace;
} bm_samples_opts;

/* Whether sample number `sample` of n is of the validation part that `fraction` and the seed draw: floor(fraction n) of them are. */
BM_API int bm_samples_is_validation(int64_t n, double fraction, uint64_t seed, int64_t sample);

typedef struct bm_samples_writer bm_samples_writer;

/* Samples wait in unnamed files in the target's folder until commit (so the folder needs room for them twice). The options'
 * texts are copied. */
BM_API bm_status bm_samples_writer_create(bm_samples_writer **out, const char *path, const bm_samples_opts *opts);
BM_API void bm_samples_writer_destroy(bm_samples_writer *w); /* abandons what was not committed */
/* One sample; `length` where samples have lengths. BM_ERR_CONFIG when a target is no class, an input no id or the length not within it:
 * naming the sample's number. */
BM_API bm_status bm_samples_writer_add(bm_samples_writer *w, const void *input, const void *target, int32_t length);
/* What is added from here on is the validation part, whatever val_fraction says. */
BM_API void bm_samples_writer_validation(bm_samples_writer *w);
BM_API int64_t bm_samples_writer_count(const bm_samples_writer *w);
/* BM_ERR_CONFIG when there are no samples. */
BM_API bm_status bm_samples_writer_commit(bm_content_id *id, bm_samples_writer *w);

#ifdef __cplusplus
}
#endif
#endif
