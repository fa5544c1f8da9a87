/* Host memory: every allocation of bm goes through here, so that it can be counted and made to fail.
 * On failure these set the thread's error to BM_ERR_MEMORY and return NULL. */
#ifndef BM_CORE_BASE_MEM_H
#define BM_CORE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

BM_API void *bm_alloc(size_t bytes);
/* Zeroed; count * bytes is checked. */
BM_API void *bm_calloc(size_t count, size_t bytes);
/* Resizes to count * bytes (checked); on failure `p` is left as it was. */
BM_API void *bm_realloc(void *p, size_t count, size_t bytes);
BM_API void bm_free(void *p); /* accepts NULL */
BM_API char *bm_strdup(const char *s);
/* Aligned to `align` (a power of two); freed by bm_free_aligned. Not zeroed. */
BM_API void *bm_alloc_aligned(size_t align, size_t bytes);
BM_API void bm_free_aligned(void *p);

/* For large blocks: zeroed, in huge pages where the system gives such to who asks, and taken from it page by page when they are
 * first touched, by the thread that does. bytes > 0, the same for both. */
BM_API void *bm_pages_alloc(size_t bytes);
BM_API void bm_pages_free(void *p, size_t bytes); /* accepts NULL */

/* Whether the machine has that much memory at all: BM_ERR_MEMORY when not. Systems that hand out memory they have not
 * got end the process when it is touched, so sizes that a user chose are held against this before they are asked for.
 */
BM_API bm_status bm_mem_check(int64_t bytes);

typedef struct bm_mem_stats {
    int64_t live;  /* blocks allocated and not yet freed */
    int64_t calls; /* allocations asked for since the process began, failed ones included */
} bm_mem_stats;
BM_API bm_mem_stats bm_mem_get_stats(void);

/* Makes the n-th allocation from now fail (1 = the next); 0 turns it off. With `sticky`, all later ones fail too. */
BM_API void bm_mem_fail_nth(int64_t n, int sticky);
/* Whether the failure asked for has happened. */
BM_API int bm_mem_failed(void);

#ifdef __cplusplus
}
#endif
#endif
