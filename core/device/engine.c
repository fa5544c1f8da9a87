#include "core/device/engine_priv.h"

#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/device_priv.h"

bm_engine_opts bm_engine_opts_default(void) { return (bm_engine_opts){.form = BM_FORM_AUTO}; }

/* Drivers explain here what an error code cannot say; it may come from a thread of theirs. */
static void CL_CALLBACK on_driver_message(const char *text, const void *info, size_t info_bytes, void *user)
{
    (void)info;
    (void)info_bytes;
    (void)user;
    bm_log(BM_LOG_DEBUG, "OpenCL driver: %s", text);
}

static bm_status copy_text(char **out, const char *text)
{
    *out = text ? bm_strdup(text) : NULL;
    return text && !*out ? BM_ERR_MEMORY : BM_OK;
}

static bm_status create_context(bm_engine *e, cl_platform_id platform)
{
    cl_context_properties property[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
    cl_int err = CL_SUCCESS;
    e->context = bm_cl.CreateContext(property, 1, &e->device, on_driver_message, NULL, &err);
    if (!err) return BM_OK;
    e->context = NULL;
    return bm_fail_cl(bm_cl_status(err), err, "%s cannot be opened: %s", e->name, bm_cl_error_name(err));
}

/* The platform's id; the device itself says it, so that `d` needs no list here. */
static bm_status platform_of(cl_platform_id *out, cl_device_id d)
{
    cl_int err = bm_cl.GetDeviceInfo(d, CL_DEVICE_PLATFORM, sizeof *out, out, NULL);
    return err ? bm_fail_cl(bm_cl_status(err), err, "clGetDeviceInfo(platform): %s", bm_cl_error_name(err)) : BM_OK;
}

bm_status bm_engine_open(bm_engine **out, const bm_device *d, const bm_engine_opts *opts)
{
    *out = NULL;
    BM_TRY(bm_cl_load());
    bm_engine *e = bm_calloc(1, sizeof *e);
    if (!e) return BM_ERR_MEMORY;

    bm_status status = BM_OK;
    cl_platform_id platform = NULL;
    pthread_mutex_init(&e->lock, NULL);
    e->device = d->id;
    e->limits = d->limits;
    if (opts->max_alloc_bytes > 0 && opts->max_alloc_bytes < e->limits.max_alloc_bytes)
        e->limits.max_alloc_bytes = opts->max_alloc_bytes;
    if (opts->no_dots) e->limits.bf16_dot = e->limits.i8_dot = 0;
    e->form = opts->form == BM_FORM_AUTO ? bm_limits_form(&d->limits) : opts->form;
    e->sources = opts->sources;
    e->keeps_programs = opts->cache_dir && (opts->cache_always || strcmp(d->platform_name, "Portable Computing Language") != 0);
    BM_GO(copy_text(&e->name, d->name));
    BM_GO(copy_text(&e->driver, d->driver));
    BM_GO(copy_text(&e->platform, d->platform_name));
    BM_GO(copy_text(&e->cl_dir, opts->cl_dir));
    BM_GO(copy_text(&e->cache_dir, opts->cache_dir));
    BM_GO(bm_device_key(e->key, d));
    BM_GO(platform_of(&platform, d->id));
    BM_GO(create_context(e, platform));
    BM_GO(bm_queue_create(&e->queue, e, opts->profile));
    BM_GO(bm_programs_create(&e->programs, e));
    *out = e;
    e = NULL;
done:
    bm_engine_close(e);
    return status;
}

void bm_engine_close(bm_engine *e)
{
    if (!e) return;
    while (e->attachments) {
        bm_attachment *a = e->attachments;
        e->attachments = a->next;
        if (a->destroy) a->destroy(a->object);
        bm_free(a);
    }
    bm_queue_destroy(e->queue);
    bm_programs_destroy(e->programs);
    if (e->context) bm_cl.ReleaseContext(e->context);
    pthread_mutex_destroy(&e->lock);
    bm_free(e->name);
    bm_free(e->driver);
    bm_free(e->platform);
    bm_free(e->cl_dir);
    bm_free(e->cache_dir);
    bm_free(e);
}

const bm_limits *bm_engine_limits(const bm_engine *e) { return &e->limits; }
bm_form bm_engine_form(const bm_engine *e) { return e->form; }
const char *bm_engine_device_name(const bm_engine *e) { return e->name; }
const char *bm_engine_driver(const bm_engine *e) { return e->driver; }
const char *bm_engine_platform_name(const bm_engine *e) { return e->platform; }
const char *bm_engine_key(const bm_engine *e) { return e->key; }
const char *bm_engine_cache_dir(const bm_engine *e) { return e->cache_dir; }
cl_context bm_engine_context(const bm_engine *e) { return e->context; }
cl_device_id bm_engine_cl_device(const bm_engine *e) { return e->device; }
bm_queue *bm_engine_queue(bm_engine *e) { return e->queue; }

int64_t bm_engine_live_bytes(const bm_engine *e) { return atomic_load(&e->live_bytes); }
int64_t bm_engine_peak_bytes(const bm_engine *e) { return atomic_load(&e->peak_bytes); }

void bm_engine_count_bytes(bm_engine *e, int64_t bytes)
{
    int64_t live = atomic_fetch_add(&e->live_bytes, bytes) + bytes;
    int64_t peak = atomic_load(&e->peak_bytes);
    while (live > peak && !atomic_compare_exchange_weak(&e->peak_bytes, &peak, live)) {}
}

static bm_attachment *attachment(const bm_engine *e, const void *key)
{
    bm_attachment *a = e->attachments;
    while (a && a->key != key) a = a->next;
    return a;
}

bm_status bm_engine_attach(bm_engine *e, const void *key, void *object, void (*destroy)(void *object))
{
    bm_attachment *a = bm_calloc(1, sizeof *a);
    if (!a) return BM_ERR_MEMORY;
    *a = (bm_attachment){.key = key, .object = object, .destroy = destroy};
    pthread_mutex_lock(&e->lock);
    int taken = attachment(e, key) != NULL;
    if (!taken) {
        a->next = e->attachments;
        e->attachments = a;
    }
    pthread_mutex_unlock(&e->lock);
    if (!taken) return BM_OK;
    bm_free(a);
    return bm_fail(BM_ERR_USAGE, "an object is attached to this engine under that key already");
}

void *bm_engine_attached(const bm_engine *e, const void *key)
{
    bm_engine *locked = (bm_engine *)e; /* the lock changes, the engine does not */
    pthread_mutex_lock(&locked->lock);
    const bm_attachment *a = attachment(e, key);
    void *object = a ? a->object : NULL;
    pthread_mutex_unlock(&locked->lock);
    return object;
}
