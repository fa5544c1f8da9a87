/* Sound: WAV, FLAC, Ogg and whatever else libsndfile reads, as one channel of f32 in [-1, 1] (full scale), the channels
 * averaged.
 *
 * BM_ERR_DAMAGED for a file that is cut off (a WAV shorter than its header says, a stream that ends before its own length) or
 * that cannot be decoded; BM_ERR_REFUSED for one beyond the limits, before anything is allocated for it; BM_ERR_UNSUPPORTED
 * for another format. */
#ifndef BM_IO_MEDIA_SOUND_H
#define BM_IO_MEDIA_SOUND_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bm_sound {
    float *samples; /* owned */
    int64_t count;
    int rate; /* Hz */
} bm_sound;

typedef struct bm_sound_opts {
    int rate;      /* Hz that it is resampled to; 0: the file's own */
    double most_s; /* seconds; 600 */
} bm_sound_opts;
BM_API bm_sound_opts bm_sound_opts_default(void);

/* opts NULL: the defaults. On failure *out is empty. */
BM_API bm_status bm_sound_read(bm_sound *out, const char *path, const bm_sound_opts *opts);
BM_API void bm_sound_finish(bm_sound *s);
/* Another rate, 1 to 1,000,000 Hz and at most 256 times more or less: ceil(count * rate / in->rate) samples, by
 * libsamplerate's sinc of medium quality (band limit 90 %, 121 dB). */
BM_API bm_status bm_sound_resample(bm_sound *out, const bm_sound *in, int rate);
/* Cuts off, at both ends, blocks of `block` samples whose mean square is more than db decibels below that of the loudest. */
BM_API void bm_sound_trim(bm_sound *s, int64_t block, double db);

#ifdef __cplusplus
}
#endif
#endif
