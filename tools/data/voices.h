/* Voices that are held out: no sound of theirs is learned from. A file's voice is its name up to the first _ or, where
 * it has none, to the last point. */
#ifndef BM_TOOLS_DATA_VOICES_H
#define BM_TOOLS_DATA_VOICES_H

#include <stdint.h>

#include "io/media/folder.h"

/* Marks the files of the voices "A,B,...", 1 of each file: BM_ERR_CONFIG naming a voice that has none. */
bm_status bm_voices_hold_out(uint8_t *validation, const bm_folder *files, const char *voices);

#endif
