#include "core/device/program.h"

#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "core/device/engine_priv.h"

/* The language every kernel is written in, whatever newer one a driver would take by default. */
#define BASE_OPTIONS "-cl-std=CL1.2"

typedef struct program {
    struct program *next;
    char *name, *options;
    cl_program cl;
} program;

struct bm_programs {
    bm_engine *engine;
    pthread_mutex_t lock; /* of all below; held while a program is built */
    program *first;
    char *log; /* of the last failed build, or NULL */
    bm_program_stats stats;
};

bm_status bm_programs_create(bm_programs **out, bm_engine *e)
{
    *out = bm_calloc(1, sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    (*out)->engine = e;
    pthread_mutex_init(&(*out)->lock, NULL);
    return BM_OK;
}

static void program_destroy(program *p)
{
    if (!p) return;
    if (p->cl) bm_cl.ReleaseProgram(p->cl);
    bm_free(p->name);
    bm_free(p->options);
    bm_free(p);
}

void bm_programs_destroy(bm_programs *p)
{
    if (!p) return;
    while (p->first) {
        program *next = p->first->next;
        program_destroy(p->first);
        p->first = next;
    }
    pthread_mutex_destroy(&p->lock);
    bm_free(p->log);
    bm_free(p);
}

/* A binary belongs to its source, its options, and the platform, device and driver that made it. */
static bm_status make_key(bm_hash128 *out, const bm_engine *e, const char *source, const char *options)
{
    bm_hasher *h = NULL;
    BM_TRY(bm_hasher_create(&h));
    const char *part[] = {e->key, options, source};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) bm_hasher_add(h, part[i], strlen(part[i]) + 1);
    *out = bm_hasher_digest(h);
    bm_hasher_destroy(h);
    return BM_OK;
}

static cl_program load_binary(const bm_engine *e, const bm_hash128 *key, const char *options)
{
    bm_cache_entry entry = bm_cache_load(e->cache_dir, key);
    if (!entry.data) return NULL;
    cl_int err = CL_SUCCESS, binary_err = CL_SUCCESS;
    cl_program cl = bm_cl.CreateProgramWithBinary(e->context, 1, &e->device, &entry.bytes, &entry.binary, &binary_err, &err);
    if (err) cl = NULL;
    if (!err && !binary_err) err = bm_cl.BuildProgram(cl, 1, &e->device, options, NULL, NULL);
    bm_free(entry.data);
    if (!err && !binary_err) return cl;
    bm_log(BM_LOG_DEBUG, "a cached program is built again: %s", bm_cl_error_name(err ? err : binary_err));
    if (cl) bm_cl.ReleaseProgram(cl);
    return NULL;
}

static void store_binary(const bm_engine *e, const bm_hash128 *key, cl_program cl)
{
    size_t bytes = 0;
    if (bm_cl.GetProgramInfo(cl, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) || bytes == 0) return;
    unsigned char *binary = bm_alloc(bytes);
    if (!binary) return;
    if (!bm_cl.GetProgramInfo(cl, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL))
        bm_cache_store(e->cache_dir, key, binary, bytes);
    bm_free(binary);
}

/* The driver's own log; the caller frees it. NULL: it has none, or no memory. */
static char *driver_log(const bm_engine *e, cl_program cl)
{
    size_t bytes = 0;
    if (bm_cl.GetProgramBuildInfo(cl, e->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) || bytes == 0) return NULL;
    char *log = bm_calloc(bytes + 1, 1);
    if (log && bm_cl.GetProgramBuildInfo(cl, e->device, CL_PROGRAM_BUILD_LOG, bytes, log, NULL)) {
        bm_free(log);
        return NULL;
    }
    return log;
}

/* The first line that tells of an error, for the one-sentence message. */
static int error_line(const char **out, const char *log)
{
    const char *at = strstr(log, "error");
    if (!at) at = log + strspn(log, " \n");
    while (at > log && at[-1] != '\n') at--;
    *out = at;
    return (int)strcspn(at, "\n");
}

static bm_status fail_build(bm_programs *p, cl_program cl, const char *name, const char *options, const char *source, cl_int err)
{
    char *log = driver_log(p->engine, cl);
    bm_str s;
    bm_str_init(&s);
    bm_str_addf(&s, "%s [%s] on %s: %s\n%s\n", name, options, p->engine->name, bm_cl_error_name(err), log ? log : "");
    bm_source_number(&s, source);
    bm_free(p->log);
    p->log = bm_str_take(&s);
    bm_str_finish(&s);

    const char *line = "the driver gave no reason";
    int n = (int)strlen(line);
    if (log && *log) n = error_line(&line, log);
    bm_status status = bm_cl_status(err) == BM_ERR_DEVICE_MEMORY ? BM_ERR_DEVICE_MEMORY : BM_ERR_BUILD;
    status = bm_fail_cl(status, err, "kernel source %s [%s] does not build: %s: %.*s", name, options, bm_cl_error_name(err), n,
                        line);
    bm_free(log);
    return status;
}

static bm_status build(cl_program *out, bm_programs *p, const char *name, const char *options, const char *source)
{
    const bm_engine *e = p->engine;
    cl_int err = CL_SUCCESS;
    bm_log(BM_LOG_PROGRESS, "building kernels: %s", name);
    cl_program cl = bm_cl.CreateProgramWithSource(e->context, 1, &source, NULL, &err);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "kernel source %s: %s", name, bm_cl_error_name(err));
    err = bm_cl.BuildProgram(cl, 1, &e->device, options, NULL, NULL);
    if (!err) {
        *out = cl;
        return BM_OK;
    }
    bm_status status = fail_build(p, cl, name, options, source, err);
    bm_cl.ReleaseProgram(cl);
    return status;
}

/* Loads or builds the program of p's name and options; p->cl is set on success. */
static bm_status make_program(bm_programs *ps, program *p)
{
    const bm_engine *e = ps->engine;
    bm_status status = BM_OK;
    char *source = NULL, *options = NULL;
    bm_hash128 key;
    bm_str s;
    bm_str_init(&s);
    bm_str_addf(&s, "%s%s%s", BASE_OPTIONS, *p->options ? " " : "", p->options);
    options = bm_str_take(&s);
    bm_str_finish(&s);
    BM_GO(options ? BM_OK : BM_ERR_MEMORY);
    BM_GO(bm_source_text(&source, &e->sources, e->cl_dir, p->name));
    if (e->keeps_programs) {
        BM_GO(make_key(&key, e, source, options));
        p->cl = load_binary(e, &key, options);
        if (p->cl) ps->stats.loaded++;
    }
    if (!p->cl) {
        if (!e->limits.compiler)
            BM_GO(bm_fail(BM_ERR_UNSUPPORTED, "%s has no compiler for kernels, and %s [%s] is not in the program cache", e->name,
                          p->name, options));
        BM_GO(build(&p->cl, ps, p->name, options, source));
        ps->stats.built++;
        if (e->keeps_programs) store_binary(e, &key, p->cl);
    }
done:
    bm_free(source);
    bm_free(options);
    return status;
}

static bm_status add_program(program **out, bm_programs *ps, const char *name, const char *options)
{
    program *p = bm_calloc(1, sizeof *p);
    if (!p) return BM_ERR_MEMORY;
    p->name = bm_strdup(name);
    p->options = bm_strdup(options);
    bm_status status = p->name && p->options ? make_program(ps, p) : BM_ERR_MEMORY;
    if (status) {
        program_destroy(p);
        return status;
    }
    p->next = ps->first;
    ps->first = p;
    *out = p;
    return BM_OK;
}

bm_status bm_program_get(cl_program *out, bm_engine *e, const char *name, const char *options)
{
    *out = NULL;
    bm_programs *ps = e->programs;
    bm_status status = BM_OK;
    pthread_mutex_lock(&ps->lock);
    program *p = ps->first;
    while (p && (strcmp(p->name, name) != 0 || strcmp(p->options, options) != 0)) p = p->next;
    if (!p) status = add_program(&p, ps, name, options);
    if (!status) *out = p->cl;
    pthread_mutex_unlock(&ps->lock);
    return status;
}

bm_status bm_kernel_create(cl_kernel *out, bm_engine *e, const char *name, const char *options, const char *kernel)
{
    *out = NULL;
    cl_program cl = NULL;
    BM_TRY(bm_program_get(&cl, e, name, options));
    cl_int err = CL_SUCCESS;
    cl_kernel k = bm_cl.CreateKernel(cl, kernel, &err);
    if (err)
        return bm_fail_cl(bm_cl_status(err), err, "kernel %s of source %s [%s]: %s", kernel, name, options, bm_cl_error_name(err));
    *out = k;
    return BM_OK;
}

const char *bm_program_log(bm_engine *e)
{
    bm_programs *ps = e->programs;
    pthread_mutex_lock(&ps->lock);
    const char *log = ps->log ? ps->log : "";
    pthread_mutex_unlock(&ps->lock);
    return log;
}

bm_status bm_program_source_hash(bm_hash128 *out, bm_engine *e, const char *name)
{
    char *text = NULL;
    BM_TRY(bm_source_text(&text, &e->sources, e->cl_dir, name));
    *out = bm_hash(text, strlen(text));
    bm_free(text);
    return BM_OK;
}

bm_program_stats bm_program_get_stats(bm_engine *e)
{
    bm_programs *ps = e->programs;
    pthread_mutex_lock(&ps->lock);
    bm_program_stats stats = ps->stats;
    pthread_mutex_unlock(&ps->lock);
    return stats;
}
