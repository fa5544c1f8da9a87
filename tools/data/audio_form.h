/* How a data set of sounds was made: its encoding, {"kind": "audio", "features": "logmel" or "mfcc", "rate", "n_fft",
 * "window", "hop", "mels", "coefficients", "trim_db", "top_db", "centre", "frames", "letters", "mean", "scale", "classes"} (trim_db,
 * top_db and centre only where they are not 0 and false). A sample is [frames, width], each frame (features - mean) / scale, those beyond its length zeros. With `letters` targets are spelled,
 * [letters] i32, class 0 the blank. */
#ifndef BM_TOOLS_DATA_AUDIO_FORM_H
#define BM_TOOLS_DATA_AUDIO_FORM_H

#include "io/media/features.h"
#include "tools/data/class_list.h"

typedef struct bm_audio_form {
    bm_features_opts features; /* rate 0: not known yet */
    double trim_db;            /* quiet ends that are cut off; 0: none */
    int64_t frames;            /* of a sample; 0: not known yet */
    int64_t letters;           /* of a spelled target; 0: a class for each sound */
    float *mean, *scale;       /* of each number of a frame; NULL: not known yet */
} bm_audio_form;

/* Numbers of a frame. */
int64_t bm_audio_form_width(const bm_audio_form *f);
/* Window and hop at a rate that has become known, n_fft the least power of two that holds the window. BM_ERR_USAGE
 * where they come to nothing or are too long. */
bm_status bm_audio_form_rate(bm_audio_form *f, int rate, double window_ms, double hop_ms);
/* Of --like's; `from` is its name. */
bm_status bm_audio_form_parse(bm_audio_form *f, const json_t *encoding, const char *from);
/* The encoding; freed by bm_free. */
bm_status bm_audio_form_text(char **out, const bm_audio_form *f, const bm_class_list *classes);
void bm_audio_form_finish(bm_audio_form *f); /* zeros are fine */

#endif
