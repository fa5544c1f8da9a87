#include "tools/session.h"

#include <stdlib.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "cl/gemm/measure.h"
#include "cl/sources.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tools/out.h"
#include "tools/threads.h"

static const char *environment(const char *name)
{
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

/* The folder of caches, or NULL when there is nowhere to put one. */
static char *find_cache_dir(void)
{
    const char *dir = environment("BM_CACHE_DIR"), *xdg = environment("XDG_CACHE_HOME"), *home = environment("HOME");
    if (dir) return bm_strdup(dir);
    if (xdg) return bm_path_join(xdg, "bm");
    return home ? bm_path_join(home, ".cache/bm") : NULL;
}

static const char *choose_spec(const bm_session_opts *o)
{
    if (o->device) return o->device;
    if (o->config && strcmp(o->config, "auto") != 0) return o->config;
    const char *spec = environment("BM_DEVICE");
    return spec ? spec : "auto";
}

/* The file that keeps this device's measured choices. */
static bm_status open_tuning(bm_session *s)
{
    if (!s->cache_dir) return bm_gemm_tuning_open(s->engine, NULL);
    char name[64];
    snprintf(name, sizeof name, "gemm-%s.json", bm_engine_key(s->engine));
    char *path = bm_path_join(s->cache_dir, name);
    bm_status status = path ? bm_gemm_tuning_open(s->engine, path) : BM_ERR_MEMORY;
    bm_free(path);
    return status;
}

bm_status bm_session_open(bm_session *s, const bm_session_opts *opts)
{
    bm_status status;
    const bm_device *device = NULL;
    int n = 0;
    memset(s, 0, sizeof *s);
    bm_engine_opts e = bm_engine_opts_default();
    s->cache_dir = find_cache_dir();
    e.sources = bm_cl_sources;
    e.cl_dir = environment("BM_CL_DIR");
    e.cache_dir = s->cache_dir;
    e.profile = opts->profile;
    BM_GO(bm_threads_tell());
    BM_GO(bm_device_list_create(&s->list));
    BM_GO(bm_device_select(&device, &n, 1, s->list, choose_spec(opts)));
    BM_GO(bm_engine_open(&s->engine, device, &e));
    BM_GO(open_tuning(s));
done:
    if (status) bm_session_close(s);
    return status;
}

void bm_session_close(bm_session *s)
{
    bm_engine_close(s->engine);
    bm_device_list_destroy(s->list);
    bm_free(s->cache_dir);
    memset(s, 0, sizeof *s);
}

/* The file that keeps the GEMM rate of the device with this key, gemm-rate-KEY.txt or gemm-rate-bf16-KEY.txt; NULL: none. */
static char *rate_file(const char *cache_dir, bm_dtype t, const char *key)
{
    char name[80];
    if (!cache_dir) return NULL;
    snprintf(name, sizeof name, "gemm-rate-%s%s%s.txt", t == BM_F32 ? "" : bm_dtype_name(t), t == BM_F32 ? "" : "-", key);
    return bm_path_join(cache_dir, name);
}

/* The rate kept in a file, 0 for none. */
static double read_rate(const char *path)
{
    char *text = NULL;
    size_t bytes;
    double rate = 0;
    if (!path || bm_file_read(&text, &bytes, path, 64)) return 0;
    if (bytes && text[bytes - 1] == '\n') text[bytes - 1] = 0;
    if (bm_parse_f64(&rate, text) || !(rate > 0)) rate = 0;
    bm_free(text);
    return rate;
}

/* FLOP/s of one backend: the best of some medians, so that a busy moment of the machine does not count. */
static double backend_rate(bm_engine *e, const char *backend, const bm_gemm_desc *d)
{
    const char *why;
    double best = 0, seconds;
    if (!bm_gemm_backend_takes(backend, e, d, &why)) return 0;
    for (int i = 0; i < 5 && !bm_gemm_measure(&seconds, e, backend, d, 3); i++)
        if (bm_gemm_flops(d) / seconds > best) best = bm_gemm_flops(d) / seconds;
    return best;
}

double bm_session_measure_gemm(bm_session *s, bm_dtype t)
{
    bm_gemm_desc d = bm_gemm_desc_default(1024, 1024, 1024);
    const int cpu = bm_engine_form(s->engine) == BM_FORM_CPU;
    double best = 0;
    d.trans_b = 1;
    d.type_a = d.type_b = d.type_d = t;
    bm_log(BM_LOG_PROGRESS, "measuring the GEMM rate in %s", bm_dtype_name(t));
    /* tiled, which is slow on a CPU, counts there only where nothing else runs. */
    for (int slow = 0; slow < 2 && best == 0; slow++)
        for (const char *const *b = bm_gemm_backends(); *b; b++) {
            double rate = (cpu && strcmp(*b, "tiled") == 0) == slow ? backend_rate(s->engine, *b, &d) : 0;
            if (rate > best) best = rate;
        }
    bm_session_keep_gemm(s, t, best);
    return best;
}

void bm_session_keep_gemm(bm_session *s, bm_dtype t, double rate)
{
    char *path = rate_file(s->cache_dir, t, bm_engine_key(s->engine)), text[48];
    if (path && rate > 0) {
        strcat(bm_format_f64(text, sizeof text - 1, rate, 6), "\n");
        if (bm_folder_create(s->cache_dir) || bm_file_replace(path, text, strlen(text)))
            bm_log_once("gemm-rate", BM_LOG_WARN, "%s; the GEMM rate is measured again next time", bm_last_error()->text);
    }
    bm_free(path);
}

double bm_session_gemm_flops(bm_session *s, bm_dtype t)
{
    char *path = rate_file(s->cache_dir, t, bm_engine_key(s->engine));
    double rate = read_rate(path);
    bm_free(path);
    return rate > 0 ? rate : bm_session_measure_gemm(s, t);
}

double bm_session_kept_gemm(const bm_device *d, bm_dtype t)
{
    char key[33], *dir = find_cache_dir(), *path = bm_device_key(key, d) ? NULL : rate_file(dir, t, key);
    double rate = read_rate(path);
    bm_free(path);
    bm_free(dir);
    return rate;
}

int bm_session_check_gemm(const bm_cmd *cmd, const char *backend)
{
    if (!backend) return 0;
    bm_str names;
    bm_str_init(&names);
    for (const char *const *b = bm_gemm_backends(); *b; b++) {
        if (!strcmp(*b, backend)) {
            bm_str_finish(&names);
            return 0;
        }
        bm_str_addf(&names, ", %s", *b);
    }
    bm_out_usage(cmd, "--gemm %s: there is auto%s", backend, bm_str_text(&names));
    bm_str_finish(&names);
    return 2;
}
