/* How a data set of rows was made of arrays: its encoding, {"kind": "rows", "input": [shape], "target": [shape],
 * "classes": [names] or null}. */
#ifndef BM_TOOLS_DATA_ROWS_FORM_H
#define BM_TOOLS_DATA_ROWS_FORM_H

#include "core/base/shape.h"
#include "tools/data/class_list.h"

typedef struct bm_rows_form {
    bm_shape input, target; /* of a row; a target of rank 0 is a class */
    int numbers;            /* whether targets are numbers, not classes */
} bm_rows_form;

/* Of --like's, whose name is `from`; its classes, where there are, into the list. */
bm_status bm_rows_form_parse(bm_rows_form *f, bm_class_list *classes, const json_t *encoding, const char *from);
/* The encoding; NULL: no memory. */
json_t *bm_rows_form_json(const bm_rows_form *f, const bm_class_list *classes);

#endif
