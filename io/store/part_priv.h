/* The parts of a data set: groups /splits/NAME with attributes start, count u64, in tokens or samples. */
#ifndef BM_IO_STORE_PART_PRIV_H
#define BM_IO_STORE_PART_PRIV_H

#include "io/store/store.h"
#include "io/store/writer.h"

bm_status bm_part_write(bm_writer *w, const char *name, int64_t start, int64_t count);
/* Every part lies within `all`: else BM_ERR_REFUSED. */
bm_status bm_part_check(const bm_store *s, int64_t all);
int bm_part_has(const bm_store *s, const char *name);
/* BM_ERR_NOT_FOUND naming the parts there are. */
bm_status bm_part_find(int64_t *start, int64_t *count, const bm_store *s, const char *name, int64_t all);

#endif
