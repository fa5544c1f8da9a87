#ifndef BM_CORE_DEVICE_ENGINE_PRIV_H
#define BM_CORE_DEVICE_ENGINE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/base/str.h"
#include "core/device/engine.h"
#include "core/device/program.h"
#include "core/device/queue.h"

typedef struct bm_programs bm_programs; /* program.c */

typedef struct bm_attachment {
    struct bm_attachment *next;
    const void *key;
    void *object;
    void (*destroy)(void *object);
} bm_attachment;

struct bm_engine {
    bm_limits limits;
    bm_form form;
    cl_device_id device;
    cl_context context;
    bm_queue *queue;
    char *name, *driver, *platform;
    char *cl_dir, *cache_dir; /* or NULL */
    char key[33];
    bm_source_table sources;
    int keeps_programs; /* on disk, in cache_dir */

    bm_programs *programs;
    pthread_mutex_t lock; /* of attachments */
    bm_attachment *attachments; /* the last one first */
    _Atomic int64_t live_bytes, peak_bytes;
};

bm_status bm_queue_create(bm_queue **out, bm_engine *e, int profile);
void bm_queue_destroy(bm_queue *q); /* finishes what is enqueued */

bm_status bm_programs_create(bm_programs **out, bm_engine *e);
void bm_programs_destroy(bm_programs *p);

/* Counts device memory as it comes (bytes > 0) and goes (bytes < 0). */
void bm_engine_count_bytes(bm_engine *e, int64_t bytes);

/* cache.c: binaries on disk. Nothing here fails: what cannot be read, or does not hold what it should, is not there, and what
 * cannot be written is said once. */
typedef struct bm_cache_entry {
    char *data; /* the whole file; NULL: not there */
    const unsigned char *binary; /* within data */
    size_t bytes;
} bm_cache_entry;
bm_cache_entry bm_cache_load(const char *folder, const bm_hash128 *key);
void bm_cache_store(const char *folder, const bm_hash128 *key, const void *binary, size_t bytes);

/* source.c: the text of a kernel source: DIR/NAME.cl if there is one (dir NULL: none), its `#include "x.clh"` lines replaced by
 * DIR/lib/x.clh and `#include "core/..."` by what is beside DIR, else the one of the table. The caller frees it. */
bm_status bm_source_text(char **out, const bm_source_table *t, const char *dir, const char *name);
/* Appends `text` with each line numbered as compilers count them, #line directives followed. */
void bm_source_number(bm_str *s, const char *text);

#endif
