/* Sounds read as frames of features, all at one rate. */
#ifndef BM_TOOLS_DATA_AUDIO_IN_H
#define BM_TOOLS_DATA_AUDIO_IN_H

#include "tools/data/audio_form.h"

typedef struct bm_audio_in {
    bm_audio_form *form;      /* gets the rate of the first sound, where it has none */
    double window_ms, hop_ms; /* for that */
    int resample;             /* whether others are brought to the form's rate, not refused */
    double most_s;            /* of a sound; 0: any */
    int cut;                  /* longer ones are cut, not refused */
    const char *first;        /* whose rate it is; borrowed */
    bm_features *features;
    float *frames;       /* [count, width] of the last sound */
    int64_t count, room; /* room: numbers in `frames` */
} bm_audio_in;

/* BM_ERR_CONFIG naming a file whose rate is another one, that is too short, or beyond the form's frames. */
bm_status bm_audio_in_read(bm_audio_in *in, const char *path);
void bm_audio_in_finish(bm_audio_in *in);

#endif
