/* The classes of a data set that is made: their names, and how many items there are of each. */
#ifndef BM_TOOLS_DATA_CLASS_LIST_H
#define BM_TOOLS_DATA_CLASS_LIST_H

#include <jansson.h>
#include <stdint.h>

#include "io/media/folder.h"

typedef struct bm_class_list {
    char **name;
    int64_t *count; /* of items */
    int64_t n;
} bm_class_list;

/* Each makes a list anew; zeros and a list that was finished are fine.
 * From "A,B,C", or from a file with a name on each line. */
bm_status bm_class_list_read(bm_class_list *c, const char *list);
/* "0" to "n - 1". */
bm_status bm_class_list_number(bm_class_list *c, int64_t n);
/* The names that JSON has, a list of texts; `from`, for messages, is what has them. */
bm_status bm_class_list_parse(bm_class_list *c, const json_t *names, const char *from);
/* Those of a folder; `from` as above. */
bm_status bm_class_list_of_folder(bm_class_list *c, const bm_folder *f, const char *from);
void bm_class_list_finish(bm_class_list *c);

/* Counts an item: BM_ERR_CONFIG where there is no such class, naming the item as `file` and its number. */
bm_status bm_class_list_count(bm_class_list *c, int64_t label, const char *file, int64_t item);
/* After all are counted: BM_ERR_CONFIG for a class without items, and for one class only. */
bm_status bm_class_list_check(const bm_class_list *c, const char *file);
/* The names as JSON; NULL: no memory. */
json_t *bm_class_list_json(const bm_class_list *c);

#endif
