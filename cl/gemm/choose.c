/* Which backend takes a product: a forced one, the choice made before, one measured now, or the default. */
#include <stdio.h>
#include <string.h>

#include "cl/gemm/trial_priv.h"
#include "cl/gemm/tuning_priv.h"
#include "core/base/log.h"

#define RUNS 5
#define ENOUGH_S 0.25 /* of timing for one backend */
#define LEAD 0.97     /* another than the default must be this much faster: the clock is noisy, the default well tested */
#define MOST_CANDIDATES 4

/* A forced backend is an error where it does not take the product, but for storage types: only f32 is in every backend, and a
 * model in 16-bit storage must still run under each. */
static bm_status forced_choice(const bm_gemm_backend **out, bm_engine *e, const bm_limits *limits, const bm_gemm_desc *d,
                               const char *name)
{
    const bm_gemm_backend *b = bm_gemm_backend_find(name);
    if (!b) return bm_fail(BM_ERR_USAGE, "no GEMM backend is called \"%s\"; there are clblast, packed, packed_ab and tiled", name);
    const char *why = NULL;
    if (b == &bm_gemm_packed_ab && !b->takes(d, e, limits, &why)) b = &bm_gemm_packed; /* which it differs from in a few products */
    if (b->takes(d, e, limits, &why)) {
        *out = b;
        return BM_OK;
    }
    char text[BM_GEMM_TEXT];
    bm_gemm_text(d, text, sizeof text);
    if (d->type_a == BM_F32 && d->type_b == BM_F32 && d->type_d == BM_F32)
        return bm_fail(BM_ERR_UNSUPPORTED, "GEMM backend %s does not take %s: %s", name, text, why);
    *out = bm_gemm_default(d, e, limits);
    char once[64];
    snprintf(once, sizeof once, "gemm %s does not take", name);
    bm_log_once(once, BM_LOG_INFO, "GEMM backend %s does not take %s (%s): %s runs it", name, text, why, (*out)->name);
    return BM_OK;
}

typedef struct candidate {
    const bm_gemm_backend *backend;
    bm_gemm_bound *bound;
    double best_s;
} candidate;

/* The default first. `tiled` only where it is the default: elsewhere it is the slow reference. */
static int list_candidates(candidate c[MOST_CANDIDATES], bm_engine *e, const bm_gemm_desc *d)
{
    const bm_limits *limits = bm_engine_limits(e);
    const bm_gemm_backend *const all[] = {bm_gemm_default(d, e, limits), &bm_gemm_clblast, &bm_gemm_packed, &bm_gemm_packed_ab};
    const int cpu = limits->type == BM_DEVICE_CPU;
    const char *why;
    int n = 0;
    memset(c, 0, MOST_CANDIDATES * sizeof *c);
    for (int i = 0; i < MOST_CANDIDATES; i++) {
        if (i && (all[i] == all[0] || (all[i] != &bm_gemm_clblast && !cpu) || !all[i]->takes(d, e, limits, &why))) continue;
        c[n++].backend = all[i];
    }
    return n;
}

/* Binds and checks a candidate. One that fails is set aside, and said once; lack of memory is the caller's. */
static bm_status admit(candidate *c, bm_gemm_trial *t, bm_engine *e, const bm_gemm_desc *d)
{
    bm_status s = bm_gemm_trial_bind(&c->bound, t, c->backend);
    if (!s && c->backend != &bm_gemm_tiled) s = bm_gemm_trial_check(t, c->bound);
    if (!s || s == BM_ERR_MEMORY || s == BM_ERR_DEVICE_MEMORY) return s;
    char text[BM_GEMM_TEXT], once[64];
    snprintf(once, sizeof once, "gemm %s set aside", c->backend->name);
    bm_log_once(once, BM_LOG_WARN, "GEMM backend %s is set aside for %s on %s: %s", c->backend->name,
                bm_gemm_text(d, text, sizeof text), bm_engine_device_name(e), bm_error_text(s));
    bm_gemm_bound_destroy(c->bound);
    c->bound = NULL;
    return BM_OK;
}

/* Their runs alternate, so that a busy moment of the machine meets all. */
static bm_status time_all(candidate *c, int n, bm_gemm_trial *t)
{
    double spent = 0;
    for (int run = 0; run < RUNS && spent < ENOUGH_S * n; run++)
        for (int i = 0; i < n; i++) {
            double s = 0;
            if (!c[i].bound) continue;
            BM_TRY(bm_gemm_trial_time(&s, t, c[i].bound));
            if (!run || s < c[i].best_s) c[i].best_s = s;
            spent += s;
        }
    return BM_OK;
}

static const bm_gemm_backend *fastest(const candidate *c, int n)
{
    const candidate *best = NULL;
    for (int i = 0; i < n; i++) {
        if (!c[i].bound) continue;
        if (!best || c[i].best_s < LEAD * best->best_s) best = &c[i];
    }
    return best ? best->backend : &bm_gemm_tiled;
}

/* Whether the operands of a trial leave most of the device's memory alone. */
static int trial_fits(const bm_gemm_desc *d, const bm_limits *l)
{
    const double a = (double)bm_gemm_extent(d->trans_a ? d->k : d->m, d->trans_a ? d->m : d->k, d->lda, d->batch, d->stride_a);
    const double b = (double)bm_gemm_extent(d->trans_b ? d->n : d->k, d->trans_b ? d->k : d->n, d->ldb, d->batch, d->stride_b);
    const double out = (double)bm_gemm_extent(d->m, d->n, d->ldd, d->batch, d->stride_d);
    return 4 * (a + b + (2 + !!d->has_pre) * out) <= (double)l->global_bytes / 4;
}

static bm_status measure(const bm_gemm_backend **out, bm_engine *e, const bm_gemm_desc *given)
{
    bm_gemm_desc d = *given;
    d.offset_a = d.offset_b = d.offset_d = 0;
    candidate c[MOST_CANDIDATES];
    const int n = list_candidates(c, e, &d);
    *out = c[0].backend;
    if (c[0].backend == &bm_gemm_tiled && n == 1) return BM_OK;
    bm_status status = BM_OK;
    bm_gemm_trial *t = NULL;
    if (!trial_fits(&d, bm_engine_limits(e))) return BM_OK;
    char text[BM_GEMM_TEXT];
    bm_log(BM_LOG_PROGRESS, "measuring GEMM backends: %s", bm_gemm_text(&d, text, sizeof text));
    BM_GO(bm_gemm_trial_create(&t, e, &d));
    for (int i = 0; i < n; i++) BM_GO(admit(&c[i], t, e, &d));
    BM_GO(time_all(c, n, t));
    *out = fastest(c, n);
done:
    for (int i = 0; i < n; i++) bm_gemm_bound_destroy(c[i].bound);
    bm_gemm_trial_destroy(t);
    return status == BM_ERR_DEVICE_MEMORY ? BM_OK : status; /* no room for a trial: the default */
}

bm_status bm_gemm_foresee(const bm_gemm_backend **out, const bm_limits *limits, const bm_gemm_desc *d, const char *forced)
{
    *out = NULL;
    if (forced && d->k) return forced_choice(out, NULL, limits, d, forced);
    *out = bm_gemm_default(d, NULL, limits);
    return BM_OK;
}

bm_status bm_gemm_choose(const bm_gemm_backend **out, bm_engine *e, const bm_gemm_desc *d, const char *forced)
{
    *out = NULL;
    if (forced && d->k) return forced_choice(out, e, bm_engine_limits(e), d, forced);
    *out = bm_gemm_default(d, e, bm_engine_limits(e));
    if (!d->k) return BM_OK;
    bm_gemm_tuning *t = bm_gemm_tuning_lock(e);
    if (!t) return BM_OK;
    char key[BM_GEMM_KEY], text[BM_GEMM_TEXT];
    bm_gemm_key(d, key, sizeof key);
    const bm_gemm_backend *chosen = bm_gemm_tuning_find(t, key);
    const char *why = NULL;
    bm_status s = BM_OK;
    if (chosen && !chosen->takes(d, e, bm_engine_limits(e), &why))
        s = bm_fail(BM_ERR_UNSUPPORTED, "the choices of this run name GEMM backend %s for %s: %s", chosen->name,
                    bm_gemm_text(d, text, sizeof text), why);
    if (!chosen && bm_gemm_tuning_measures(t)) {
        s = measure(&chosen, e, d);
        if (!s) s = bm_gemm_tuning_add(t, key, chosen);
    }
    bm_gemm_tuning_unlock(t);
    if (!s && chosen) *out = chosen;
    return s;
}
