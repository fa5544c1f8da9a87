#include "cl/gemm/tuning_priv.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/json_priv.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/device/program.h"

/* The file: {"format": "bm gemm tuning 1", "devices": {KEY: {"device": NAME, "driver": TEXT, "choices": {PRODUCT: BACKEND}}}}.
 * KEY names device and driver, and the kernels' sources: with other kernels other choices may be right. */
#define FORMAT "bm gemm tuning 1"
#define MOST_BYTES ((size_t)16 << 20)

typedef struct choice {
    char *key;
    const bm_gemm_backend *backend;
} choice;

struct bm_gemm_tuning {
    bm_engine *engine;
    pthread_mutex_t lock;
    int open; /* choices may be measured */
    char *path;
    char device[72];
    choice *choices;
    size_t n, capacity;
};

static const char engine_key = 0;
static pthread_mutex_t creation = PTHREAD_MUTEX_INITIALIZER; /* two threads asking an engine for its first tuning */

static void destroy(void *object)
{
    bm_gemm_tuning *t = object;
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) bm_free(t->choices[i].key);
    bm_free(t->choices);
    bm_free(t->path);
    pthread_mutex_destroy(&t->lock);
    bm_free(t);
}

/* The engine's key and a hash of the kernels that the choice is among, of how many backends there are, and of which forms `packed` has. */
static bm_status device_key(char out[72], bm_engine *e)
{
    static const char *const sources[] = {"gemm/packed", "gemm/few", "gemm/tiled", "gemm/epilogue"};
    bm_hash128 all[5] = {{{0}}};
    all[4].byte[0] = bm_engine_limits(e)->bf16_dot != 0;
    all[4].byte[1] = bm_engine_limits(e)->i8_dot != 0;
    for (const char *const *name = bm_gemm_backends(); *name; name++) all[4].byte[2]++;
    for (int i = 0; i < 4; i++) BM_TRY(bm_program_source_hash(&all[i], e, sources[i]));
    bm_hash128 h = bm_hash(all, sizeof all);
    char hex[33];
    bm_hash_hex(hex, &h);
    snprintf(out, 72, "%s-%s", bm_engine_key(e), hex);
    return BM_OK;
}

/* The engine's tuning, made when first asked for. */
static bm_status tuning_of(bm_gemm_tuning **out, bm_engine *e)
{
    bm_status status = BM_OK;
    bm_gemm_tuning *made = NULL;
    pthread_mutex_lock(&creation);
    *out = bm_engine_attached(e, &engine_key);
    if (*out) goto done;
    made = bm_calloc(1, sizeof *made);
    BM_GO(made ? BM_OK : BM_ERR_MEMORY);
    made->engine = e;
    pthread_mutex_init(&made->lock, NULL);
    BM_GO(device_key(made->device, e));
    BM_GO(bm_engine_attach(e, &engine_key, made, destroy));
    *out = made;
    made = NULL;
done:
    pthread_mutex_unlock(&creation);
    destroy(made);
    return status;
}

char *bm_gemm_key(const bm_gemm_desc *d, char *buf, size_t bytes)
{
    bm_gemm_text(d, buf, bytes);
    const bm_gemm_desc f = bm_gemm_desc_full(d);
    size_t n = strlen(buf);
    if (f.lda != (f.trans_a ? f.m : f.k) || f.ldb != (f.trans_b ? f.k : f.n) || f.ldd != f.n)
        snprintf(buf + n, bytes - n, " ld %lld %lld %lld", (long long)f.lda, (long long)f.ldb, (long long)f.ldd);
    n = strlen(buf);
    snprintf(buf + n, bytes - n, "%s%s", f.has_scale ? " scaled" : "", f.beta != 0.0f ? " +D" : "");
    return buf;
}

static const bm_gemm_backend *find(const bm_gemm_tuning *t, const char *key)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->choices[i].key, key)) return t->choices[i].backend;
    return NULL;
}

/* A choice that is there already stays, unless it is to be replaced. */
static bm_status keep(bm_gemm_tuning *t, const char *key, const bm_gemm_backend *b, int replace)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->choices[i].key, key)) {
            if (replace) t->choices[i].backend = b;
            return BM_OK;
        }
    if (t->n == t->capacity) {
        const size_t more = t->capacity ? 2 * t->capacity : 16;
        choice *c = bm_realloc(t->choices, more, sizeof *c);
        if (!c) return BM_ERR_MEMORY;
        t->choices = c;
        t->capacity = more;
    }
    char *copy = bm_strdup(key);
    if (!copy) return BM_ERR_MEMORY;
    t->choices[t->n++] = (choice){copy, b};
    return BM_OK;
}

/* ---- JSON ---- */

static json_t *choices_to_json(const bm_gemm_tuning *t)
{
    json_t *o = json_object();
    for (size_t i = 0; o && i < t->n; i++)
        if (json_object_set_new(o, t->choices[i].key, json_string(t->choices[i].backend->name))) {
            json_decref(o);
            return NULL;
        }
    return o;
}

/* Choices for backends that this build does not have are left out: they are measured again. */
static bm_status choices_from_json(bm_gemm_tuning *t, json_t *o, int replace)
{
    const char *key;
    json_t *value;
    if (!json_is_object(o)) return bm_fail(BM_ERR_DAMAGED, "\"choices\" is not an object");
    json_object_foreach(o, key, value)
    {
        if (!json_is_string(value)) return bm_fail(BM_ERR_DAMAGED, "the choice for \"%s\" is not a name", key);
        const bm_gemm_backend *b = bm_gemm_backend_find(json_string_value(value));
        if (b) BM_TRY(keep(t, key, b, replace));
    }
    return BM_OK;
}

/* The file as JSON; *out NULL when there is none. */
static bm_status read_file(json_t **out, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    json_error_t error;
    *out = NULL;
    bm_status status = bm_file_read(&text, &bytes, path, MOST_BYTES);
    if (status == BM_ERR_NOT_FOUND) return BM_OK;
    BM_GO(status);
    *out = json_loadb(text, bytes, 0, &error);
    if (!*out) BM_GO(bm_fail(BM_ERR_DAMAGED, "%s: line %d: %s", path, error.line, error.text));
    const char *format = json_string_value(json_object_get(*out, "format"));
    if (!format || strcmp(format, FORMAT) || !json_is_object(json_object_get(*out, "devices"))) {
        json_decref(*out);
        *out = NULL;
        BM_GO(bm_fail(BM_ERR_DAMAGED, "%s: no tuning file (\"format\" is not \"%s\")", path, FORMAT));
    }
done:
    bm_free(text);
    return status;
}

static bm_status load(bm_gemm_tuning *t)
{
    json_t *root = NULL;
    BM_TRY(read_file(&root, t->path));
    json_t *mine = json_object_get(json_object_get(root, "devices"), t->device);
    bm_status s = mine ? choices_from_json(t, json_object_get(mine, "choices"), 0) : BM_OK;
    if (s) s = bm_fail_prefix(s, "%s", t->path);
    json_decref(root);
    return s;
}

/* What is in the file already stays as it is there; one that cannot be read is replaced. */
static bm_status save(bm_gemm_tuning *t)
{
    bm_status status = BM_OK;
    json_t *root = NULL;
    char *text = NULL, *folder = NULL;
    if (read_file(&root, t->path) || !root) root = json_pack("{s:s, s:{}}", "format", FORMAT, "devices");
    json_t *mine = json_pack("{s:s, s:s, s:o?}", "device", bm_engine_device_name(t->engine), "driver", bm_engine_driver(t->engine),
                             "choices", choices_to_json(t));
    json_t *devices = json_object_get(root, "devices"), *there = json_object_get(json_object_get(devices, t->device), "choices");
    json_t *choices = json_object_get(mine, "choices");
    if (!choices || (there && json_object_update(choices, there)) || json_object_set_new(devices, t->device, mine))
        BM_GO(BM_ERR_MEMORY);
    BM_GO(bm_json_text(&text, root, JSON_INDENT(1) | JSON_SORT_KEYS));
    folder = bm_path_folder(t->path);
    BM_GO(folder ? BM_OK : BM_ERR_MEMORY);
    BM_GO(bm_folder_create(folder));
    BM_GO(bm_file_replace(t->path, text, strlen(text)));
done:
    json_decref(root);
    bm_free(text);
    bm_free(folder);
    return status;
}

/* ---- what choose.c uses ---- */

bm_gemm_tuning *bm_gemm_tuning_lock(bm_engine *e)
{
    bm_gemm_tuning *t = bm_engine_attached(e, &engine_key);
    if (t) pthread_mutex_lock(&t->lock);
    return t;
}

void bm_gemm_tuning_unlock(bm_gemm_tuning *t)
{
    if (t) pthread_mutex_unlock(&t->lock);
}

int bm_gemm_tuning_measures(const bm_gemm_tuning *t)
{
    return t->open;
}

const bm_gemm_backend *bm_gemm_tuning_find(bm_gemm_tuning *t, const char *key)
{
    return find(t, key);
}

bm_status bm_gemm_tuning_add(bm_gemm_tuning *t, const char *key, const bm_gemm_backend *b)
{
    BM_TRY(keep(t, key, b, 0));
    bm_status s = t->path ? save(t) : BM_OK;
    if (s == BM_ERR_MEMORY) return s;
    if (s) bm_log_once("gemm tuning file, writing", BM_LOG_WARN, "the GEMM choices are not kept: %s", bm_error_text(s));
    return BM_OK;
}

/* ---- public ---- */

bm_status bm_gemm_tuning_open(bm_engine *e, const char *path)
{
    bm_gemm_tuning *t = NULL;
    BM_TRY(tuning_of(&t, e));
    char *copy = path ? bm_strdup(path) : NULL;
    if (path && !copy) return BM_ERR_MEMORY;
    pthread_mutex_lock(&t->lock);
    bm_free(t->path);
    t->path = copy;
    t->open = 1;
    bm_status s = path ? load(t) : BM_OK;
    pthread_mutex_unlock(&t->lock);
    if (s == BM_ERR_MEMORY) return s;
    if (s) bm_log_once("gemm tuning file, reading", BM_LOG_WARN, "the GEMM choices are measured again: %s", bm_error_text(s));
    return BM_OK;
}

bm_status bm_gemm_tuning_to_json(bm_engine *e, char **out)
{
    *out = NULL;
    bm_gemm_tuning *t = NULL;
    BM_TRY(tuning_of(&t, e));
    pthread_mutex_lock(&t->lock);
    json_t *root = json_pack("{s:s, s:s, s:o?}", "format", FORMAT, "device", t->device, "choices", choices_to_json(t));
    pthread_mutex_unlock(&t->lock);
    bm_status status = bm_json_text(out, root, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(root);
    return status;
}

bm_status bm_gemm_tuning_from_json(bm_engine *e, const char *text)
{
    bm_gemm_tuning *t = NULL;
    BM_TRY(tuning_of(&t, e));
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    if (!root) return bm_fail(BM_ERR_DAMAGED, "GEMM choices: line %d: %s", error.line, error.text);
    const char *format = json_string_value(json_object_get(root, "format"));
    bm_status s = BM_OK;
    if (!format || strcmp(format, FORMAT)) s = bm_fail(BM_ERR_DAMAGED, "GEMM choices: \"format\" is not \"%s\"", FORMAT);
    pthread_mutex_lock(&t->lock);
    if (!s) s = choices_from_json(t, json_object_get(root, "choices"), 1);
    pthread_mutex_unlock(&t->lock);
    json_decref(root);
    return s;
}
