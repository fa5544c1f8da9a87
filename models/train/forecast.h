/* What a training run will take, computed from its configuration without a device. */
#ifndef BM_MODELS_TRAIN_FORECAST_H
#define BM_MODELS_TRAIN_FORECAST_H

#include "core/device/device.h"
#include "models/train/task.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_forecast {
    int64_t parameters;
    int64_t weight_bytes, gradient_bytes, state_bytes, half_bytes; /* device memory of the banks */
    int64_t temp_bytes;  /* temporaries of a step (an evaluation shares them, or adds what it needs more) */
    int64_t input_bytes; /* batches and run-time scalars of all plans */
    int64_t total_bytes; /* all of the above: the buffers that a run holds */
    int64_t snapshot_bytes; /* host memory for a checkpoint being written */
    char peak[192];      /* the op at which most temporary memory is alive, "" for none */
    int64_t peak_bytes;  /* alive there */
    double flops, bytes; /* of one step: arithmetic, and memory moved when each operand passes once */
    int64_t tokens;      /* of one step */
    int64_t nodes;       /* of the forward and backward pass */
} bm_forecast;

/* task may have been opened without data: then an evaluation is assumed when train.eval_every is not 0. `gemm` is a forced
 * backend, or NULL: then the default's scratch memory is counted, and a measured choice may need a little more or less. */
BM_API bm_status bm_forecast_training(bm_forecast *out, const bm_task *task, const bm_limits *limits, const char *gemm);

#ifdef __cplusplus
}
#endif
#endif
