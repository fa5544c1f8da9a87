/* The numbers of a run: one row for each logged step, in memory (for checkpoints) and as lines of metrics.jsonl. */
#ifndef BM_MODELS_TRAIN_HISTORY_H
#define BM_MODELS_TRAIN_HISTORY_H

#include <stdint.h>

#include "core/base/status.h"
#include "io/store/checkpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_metrics {
    int64_t step;
    double loss;         /* mean nats over the step's tokens, before its update */
    double val_loss;     /* NaN: not measured */
    double lr;
    double grad_norm;    /* before clipping */
    int64_t tokens;      /* seen so far */
    double tokens_per_s;
    double ms;           /* from completion to completion */
    double mfu;          /* share of the measured GEMM rate */
    int64_t mem_bytes;   /* live device buffers */
} bm_metrics;

typedef struct bm_history bm_history;

/* Room for `rows` rows, allocated here so that adding one allocates nothing. */
BM_API bm_status bm_history_create(bm_history **out, int64_t rows);
BM_API void bm_history_destroy(bm_history *h);
BM_API bm_status bm_history_add(bm_history *h, const bm_metrics *m);
BM_API void bm_history_view(bm_ckpt_history *out, const bm_history *h); /* borrowed until the next add */
/* Rows of a checkpoint, before any is added. */
BM_API bm_status bm_history_load(bm_history *h, const bm_ckpt_history *from);

/* metrics.jsonl: opened for appending, cut back to lines whose step is at most `step` (0: empty). Open, it is locked:
 * BM_ERR_REFUSED, with nothing changed, while another process has it open, for two would spoil each other's run. */
typedef struct bm_metrics_file bm_metrics_file;
BM_API bm_status bm_metrics_open(bm_metrics_file **out, const char *path, int64_t step);
BM_API void bm_metrics_close(bm_metrics_file *f);
/* One line, written whole. Allocates nothing. */
BM_API bm_status bm_metrics_write(bm_metrics_file *f, const bm_metrics *m);
/* The line as it is written, without the newline. */
BM_API char *bm_metrics_text(const bm_metrics *m, char *buf, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
