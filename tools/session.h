/* What every command that uses a device does first: choose it, open it, find its caches. The library reads no environment;
 * this does: BM_DEVICE, BM_CACHE_DIR (else XDG_CACHE_HOME/bm, else ~/.cache/bm), BM_CL_DIR. */
#ifndef BM_TOOLS_SESSION_H
#define BM_TOOLS_SESSION_H

#include "core/base/dtype.h"
#include "core/device/engine.h"

typedef struct bm_session {
    bm_device_list *list;
    bm_engine *engine;
    char *cache_dir; /* NULL: none */
} bm_session;

typedef struct bm_session_opts {
    const char *device; /* --device, or NULL */
    const char *config; /* what the configuration says; NULL or "auto": BM_DEVICE, else auto */
    int profile;
} bm_session_opts;

/* --device goes before the configuration, that before BM_DEVICE; else auto. */
bm_status bm_session_open(bm_session *s, const bm_session_opts *opts);
void bm_session_close(bm_session *s); /* a session of zeros is fine */
/* FLOP/s of the device's best GEMM backend on 1024 x 1024 x 1024 of storage type t (sums are f32), measured once and kept in its
 * cache; 0 when it cannot be had. */
double bm_session_gemm_flops(bm_session *s, bm_dtype t);
/* Measures it anew and keeps it. */
double bm_session_measure_gemm(bm_session *s, bm_dtype t);
/* The one kept of a device that is not opened, 0 for none. */
double bm_session_kept_gemm(const bm_device *d, bm_dtype t);
/* Keeps a better one, seen elsewhere; a cache that cannot be written is said once. */
void bm_session_keep_gemm(bm_session *s, bm_dtype t, double rate);

/* Refuses an unknown name for --gemm (NULL is fine): 0, or prints the mistake and returns 2. */
struct bm_cmd;
int bm_session_check_gemm(const struct bm_cmd *cmd, const char *backend);

#endif
