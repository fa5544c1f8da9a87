/* Samples as graphs read them: the form of one, and a batch of several. */
#ifndef BM_IO_STORE_BATCH_H
#define BM_IO_STORE_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"
#include "core/base/shape.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Inputs: ids i32 [T]; or numbers f32, a row [F], a sequence of frames [T, F] or an image [H, W, C]. Targets: classes i32, one a
 * sample [] or several [T]; or numbers f32 [D]. Classes below zero and numbers that are NaN do not count. */
typedef struct bm_sample_form {
    bm_dtype input, target; /* BM_I32 or BM_F32 */
    bm_shape input_shape, target_shape;
    int64_t vocab;   /* of ids; 0: numbers */
    int64_t classes; /* of the targets, the next token's id too; 0: numbers */
    int lengths;     /* whether samples say how many of their T places count */
} bm_sample_form;

/* Windows of tokens and the tokens after them. */
BM_API bm_sample_form bm_sample_tokens(int64_t window, int64_t vocab);
/* Places of a sequence; 1 where a sample is none. */
BM_API int64_t bm_sample_places(const bm_sample_form *f);
/* Bytes of a sample in a batch. */
BM_API int64_t bm_sample_bytes(const bm_sample_form *f);
/* "f32 [28, 28, 1] -> class of 10" into buf; returns it. */
#define BM_SAMPLE_TEXT 512
BM_API char *bm_sample_text(const bm_sample_form *f, char buf[BM_SAMPLE_TEXT]);

typedef struct bm_batch {
    bm_sample_form form;
    int64_t size;
    void *input;      /* [size, input_shape] */
    void *target;     /* [size, target_shape] */
    int32_t *lengths; /* [size], or NULL */
} bm_batch;

/* Zeroed memory, checked against what there is: BM_ERR_MEMORY. */
BM_API bm_status bm_batch_create(bm_batch *b, const bm_sample_form *f, int64_t size);
BM_API void bm_batch_finish(bm_batch *b); /* zeros are fine */
/* A batch in the caller's memory: there is nothing to finish. */
BM_API bm_batch bm_batch_of(const bm_sample_form *f, int64_t size, void *input, void *target, int32_t *lengths);
/* Rows [first, first + rows) of another batch, without memory of its own. */
BM_API bm_batch bm_batch_rows(const bm_batch *b, int64_t first, int64_t rows);
/* Fills `to` with the rows of `from`, which may be fewer: the others do not count. */
BM_API void bm_batch_copy(bm_batch *to, const bm_batch *from);
/* Rows from `first` on do not count. */
BM_API void bm_batch_void(bm_batch *b, int64_t first);
/* How many targets count; and the sum of what each counts for by its class, [classes]. */
BM_API int64_t bm_batch_counted(const bm_batch *b);
BM_API double bm_batch_weight(const bm_batch *b, const float *weights);

#ifdef __cplusplus
}
#endif
#endif
