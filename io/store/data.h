/* A data set of any kind as training sees it: samples in parts, all of one form. Behind it are windows of tokens (dataset.h) and
 * samples in arrays (samples.h). */
#ifndef BM_IO_STORE_DATA_H
#define BM_IO_STORE_DATA_H

#include "io/store/batch.h"
#include "io/store/dataset.h"
#include "io/store/samples.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_data bm_data;

/* By what is in the file: BM_ERR_REFUSED when it is none of these. */
BM_API bm_status bm_data_open(bm_data **out, const char *path);
BM_API void bm_data_close(bm_data *d);

BM_API const bm_store *bm_data_store(const bm_data *d); /* borrowed */
BM_API const char *bm_data_kind(const bm_data *d);      /* "tokens", "images" or "rows" */
BM_API bm_tokens *bm_data_tokens(const bm_data *d);     /* NULL where it is of another kind; so too */
BM_API bm_samples *bm_data_samples(const bm_data *d);
/* `window`: tokens of a sample; other kinds do not look at it, here and below. */
BM_API bm_sample_form bm_data_form(const bm_data *d, int64_t window);
/* How many samples a part has: BM_ERR_NOT_FOUND naming the parts there are. */
BM_API bm_status bm_data_part(int64_t *count, const bm_data *d, const char *part, int64_t window);
BM_API int bm_data_has_part(const bm_data *d, const char *part);
/* How many targets of each class a part has, [classes]; BM_ERR_CONFIG where targets are numbers. */
BM_API bm_status bm_data_class_counts(int64_t *counts, const bm_data *d, const char *part);
BM_API int64_t bm_data_count(const bm_data *d); /* tokens or samples in all */
BM_API const char *bm_data_meta(const bm_data *d);     /* the texts of /meta/json and /encoding/json; "" for none */
BM_API const char *bm_data_encoding(const bm_data *d);

#ifdef __cplusplus
}
#endif
#endif
