/* Texts as the letters that they are spelled with, for CTC: class 0 is the blank, the others the characters that the
 * texts have, in the order of their codes. */
#ifndef BM_TOOLS_SPELLING_H
#define BM_TOOLS_SPELLING_H

#include "io/media/folder.h"
#include "tools/class_list.h"

#define BM_SPELLING_BLANK "<blank>"

/* The classes that the texts of a folder's table need. */
bm_status bm_spelling_classes(bm_class_list *c, const bm_folder *texts);
/* Characters of a text. */
int64_t bm_spelling_letters(const char *text);
/* The classes of a text's characters into out [bm_spelling_letters]: BM_ERR_CONFIG naming a character that is not among
 * them. */
bm_status bm_spelling_encode(int32_t *out, const bm_class_list *c, const char *text);

#endif
