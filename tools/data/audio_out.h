/* A data set of sounds that is made. Frames wait in a file beside it until all are read: only then is it known which
 * sounds are learned from, and so what numbers are normalised by, and how long the longest is. */
#ifndef BM_TOOLS_DATA_AUDIO_OUT_H
#define BM_TOOLS_DATA_AUDIO_OUT_H

#include "io/store/spool_priv.h"
#include "tools/data/audio_form.h"
#include "tools/data/samples_out.h"

typedef struct bm_audio_sound {
    int64_t frames;
    int32_t label;  /* -1: none */
    int validation; /* whether it is for that */
} bm_audio_sound;

typedef struct bm_audio_out {
    bm_audio_form *form; /* borrowed */
    bm_spool spool;      /* of each sound its letters, where targets are spelled, and its frames */
    bm_audio_sound *sounds;
    int64_t count;
    int32_t *letters; /* of one sound, and its frames */
    float *frames;
} bm_audio_out;

#define BM_AUDIO_OUT_NONE                                                                                              \
    {                                                                                                                  \
        .spool = BM_SPOOL_NONE                                                                                         \
    }

/* For `most` sounds, whose number of letters the form knows. */
bm_status bm_audio_out_open(bm_audio_out *o, bm_audio_form *form, const char *path, int64_t most);
/* Its letters, where targets are spelled, and frames [sound->frames, width]. */
bm_status bm_audio_out_add(bm_audio_out *o, const bm_audio_sound *sound, const int32_t *letters, const float *frames);
/* After all are added, where there is no --like: mean and deviation of each number over the frames of the training
 * part, and the frames of the longest, become the form's. */
bm_status bm_audio_out_measure(bm_audio_out *o);
/* Creates the writer and adds all, the training part first where `parts` are given and not to be drawn. */
bm_status bm_audio_out_write(bm_samples_out *to, bm_audio_out *o, const bm_class_list *classes, const char *source,
                             int parts);
void bm_audio_out_finish(bm_audio_out *o); /* BM_AUDIO_OUT_NONE is fine */

#endif
