#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS and madvise */
#include "core/base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/checked.h"

static atomic_llong live;
static atomic_llong calls;
static atomic_llong fail_at; /* the number of the call to fail, counted as `calls` does; 0: none */
static atomic_int fail_sticky;
static atomic_int failed;

/* Counts a call; whether it may go on. */
static int admit(void)
{
    long long n = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
    long long at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    if (at == 0 || n < at || (n > at && !atomic_load_explicit(&fail_sticky, memory_order_relaxed))) return 1;
    atomic_store_explicit(&failed, 1, memory_order_relaxed);
    return 0;
}

/* Counts a new block; sets the error of the thread where there is none. */
static void *account(void *p, size_t bytes)
{
    if (p)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    else
        (void)bm_fail(BM_ERR_MEMORY, "out of host memory: %zu bytes asked for", bytes);
    return p;
}

static void *fail_count(size_t count, size_t bytes)
{
    (void)bm_fail(BM_ERR_MEMORY, "out of host memory: %zu times %zu bytes do not fit an address", count, bytes);
    return NULL;
}

void *bm_alloc(size_t bytes) { return account(admit() ? malloc(bytes ? bytes : 1) : NULL, bytes); }

void *bm_calloc(size_t count, size_t bytes)
{
    size_t total;
    if (bm_mul_size(&total, count, bytes)) return fail_count(count, bytes);
    return account(admit() ? calloc(total ? total : 1, 1) : NULL, total);
}

void *bm_realloc(void *p, size_t count, size_t bytes)
{
    size_t total;
    if (bm_mul_size(&total, count, bytes)) return fail_count(count, bytes);
    if (!p) return bm_alloc(total);
    void *q = admit() ? realloc(p, total ? total : 1) : NULL;
    if (!q) (void)bm_fail(BM_ERR_MEMORY, "out of host memory: %zu bytes asked for", total);
    return q;
}

void bm_free(void *p)
{
    if (!p) return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(p);
}

char *bm_strdup(const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = bm_alloc(bytes);
    if (copy) memcpy(copy, s, bytes);
    return copy;
}

void *bm_alloc_aligned(size_t align, size_t bytes)
{
    void *p = NULL;
    if (align < sizeof(void *)) align = sizeof(void *);
    if (!admit() || posix_memalign(&p, align, bytes ? bytes : 1) != 0) p = NULL;
    return account(p, bytes);
}

void bm_free_aligned(void *p) { bm_free(p); }

/* Maps a huge page more than is asked for, and gives back what lies before and behind an aligned block. */
static void *map_pages(size_t bytes)
{
    const size_t page = (size_t)2 << 20;
    size_t room;
    if (bm_add_size(&room, bytes, page)) return NULL;
    char *all = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return NULL;
    const size_t unit = (size_t)sysconf(_SC_PAGESIZE), head = -(uintptr_t)all & (page - 1);
    const size_t kept = (bytes + unit - 1) & ~(unit - 1);
    if (head) munmap(all, head);
    if (room > head + kept) munmap(all + head + kept, room - head - kept);
#ifdef MADV_HUGEPAGE
    madvise(all + head, kept, MADV_HUGEPAGE); /* where it is refused, pages are small */
#endif
    return all + head;
}

void *bm_pages_alloc(size_t bytes) { return account(admit() ? map_pages(bytes) : NULL, bytes); }

void bm_pages_free(void *p, size_t bytes)
{
    if (!p) return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    munmap(p, bytes);
}

bm_status bm_mem_check(int64_t bytes)
{
#ifdef _SC_PHYS_PAGES
    const double mib = 1 << 20, have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (have > 0 && (double)bytes > have)
        return bm_fail(BM_ERR_MEMORY, "%.1f MiB of host memory are needed, the machine has %.1f MiB",
                       (double)bytes / mib, have / mib);
#endif
    (void)bytes;
    return BM_OK;
}

bm_mem_stats bm_mem_get_stats(void)
{
    return (bm_mem_stats){.live = atomic_load_explicit(&live, memory_order_relaxed),
                          .calls = atomic_load_explicit(&calls, memory_order_relaxed)};
}

void bm_mem_fail_nth(int64_t n, int sticky)
{
    atomic_store_explicit(&failed, 0, memory_order_relaxed);
    atomic_store_explicit(&fail_sticky, sticky, memory_order_relaxed);
    atomic_store_explicit(&fail_at, n > 0 ? atomic_load_explicit(&calls, memory_order_relaxed) + n : 0,
                          memory_order_relaxed);
}

int bm_mem_failed(void) { return atomic_load_explicit(&failed, memory_order_relaxed); }
