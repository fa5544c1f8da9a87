#include "tools/session.h"

#include <stdlib.h>
#include <string.h>

#include "cl/gemm/gemm.h"
#include "cl/sources.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tools/out.h"

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
    BM_GO(bm_device_list_create(&s->list));
    BM_GO(bm_device_select(&device, &n, 1, s->list, choose_spec(opts)));
    BM_GO(bm_engine_open(&s->engine, device, &e));
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
