/* What is learned from sound: frames of log-mel energies or of MFCCs, as torchaudio's MelSpectrogram and MFCC have them
 * (torchaudio.transforms, `log_mels=True`).
 *
 *   frame t    x[t hop - n_fft/2 .. t hop + n_fft/2), the signal mirrored at both ends (without its end samples twice), times
 *              the periodic Hann window w[n] = sin(pi n / window)^2 in the middle of n_fft;  T = 1 + N / hop frames
 *   power      P[k] = |sum_n x[n] exp(-2 pi i k n / n_fft)|^2,  k <= n_fft/2
 *   mel        M[m] = sum_k F[m, k] P[k], triangles between frequencies spaced evenly on the mel scale from `low` to `high`:
 *              HTK  mel = 2595 log10(1 + f/700);  Slaney  3 f / 200 below 1 kHz, 15 + 27 ln(f/1000) / ln(6.4) above
 *              (Auditory Toolbox, 1998); normalised, each triangle is divided by half its width in Hz
 *   log        L[m] = ln(M[m] + 1e-6), raised to what is `top_db` below the signal's loudest (AmplitudeToDB)
 *   MFCC       c[i] = s_i sqrt(2/mels) sum_m L[m] cos(pi i (m + 1/2) / mels),  s_0 = sqrt(1/2), else 1 (orthonormal DCT-II)
 *   centred    each number less its mean over the frames, which takes off what a channel colours (Atal 1974)
 */
#ifndef BM_IO_MEDIA_FEATURES_H
#define BM_IO_MEDIA_FEATURES_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum bm_mel_scale { BM_MEL_HTK, BM_MEL_SLANEY } bm_mel_scale;

typedef struct bm_features_opts {
    int rate;     /* Hz of the signal; 16000 */
    int n_fft;    /* even; 512 */
    int window;   /* samples, at most n_fft; 400 */
    int hop;      /* samples; 160 */
    int mels;     /* 40 */
    int mfcc;     /* coefficients, at most mels; 0: the log-mel energies */
    double low, high; /* Hz; 0 and 0: to half the rate */
    bm_mel_scale scale; /* HTK */
    int normalize;      /* the triangles; 0 */
    double top_db;      /* 0: nothing is raised */
    int centre;         /* 0 */
} bm_features_opts;
BM_API bm_features_opts bm_features_opts_default(void);

typedef struct bm_features bm_features;

/* BM_ERR_USAGE for options that do not fit together. */
BM_API bm_status bm_features_create(bm_features **out, const bm_features_opts *opts);
BM_API void bm_features_destroy(bm_features *f);
BM_API int64_t bm_features_width(const bm_features *f); /* of a frame: mfcc, or mels */
/* T of N samples; 0 when there are too few to mirror (N <= n_fft / 2). */
BM_API int64_t bm_features_frames(const bm_features *f, int64_t samples);
/* out [T, width] f32 of samples [N] f32. BM_ERR_CONFIG when T is 0. One thread at a time. */
BM_API bm_status bm_features_compute(bm_features *f, float *out, const float *samples, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
