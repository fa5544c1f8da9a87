/* Texts as the letters that they are spelled with, for CTC: class 0 is the blank, the others the characters that the
 * texts have, in the order of their codes. */
#ifndef BM_TOOLS_DATA_SPELLING_H
#define BM_TOOLS_DATA_SPELLING_H

#include "io/media/folder.h"
#include "tools/data/class_list.h"

#define BM_SPELLING_BLANK "<blank>"

/* The classes that the texts of a folder's table need. */
bm_status bm_spelling_classes(bm_class_list *c, const bm_folder *texts);
/* Characters of the longest of them. */
int64_t bm_spelling_longest(const bm_folder *texts);
/* The classes of a text's characters into letters [most], -1 beyond its end, where CTC has `frames` frames to align them
 * with: BM_ERR_CONFIG for a text that is too long for either, and naming a character that is not among the classes. */
bm_status bm_spelling_target(int32_t *letters, int64_t most, const bm_class_list *c, const char *text, int64_t frames);

#endif
