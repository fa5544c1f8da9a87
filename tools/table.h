/* A table with aligned columns: cells are added left to right, row after row, and printed at once. Sticky: a failure to
 * allocate is kept until bm_table_print. */
#ifndef BM_TOOLS_TABLE_H
#define BM_TOOLS_TABLE_H

#include <stdio.h>

#include "core/base/status.h"

typedef struct bm_table bm_table;

/* `heads` ends with NULL and stays the caller's; a head that begins with '>' aligns its column to the right. */
bm_status bm_table_create(bm_table **out, const char *const *heads);
void bm_table_destroy(bm_table *t);
/* The next cell; control bytes in it are shown, not sent. */
void bm_table_add(bm_table *t, const char *fmt, ...) BM_PRINTF(2, 3);
bm_status bm_table_print(const bm_table *t, FILE *out);

#endif
