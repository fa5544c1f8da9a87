/* Which backend takes a product. */
#include "cl/gemm/gemm_priv.h"
#include "core/base/log.h"

/* A forced backend is an error where it does not take the product, but for storage types: only f32 is in every backend, and a
 * model in 16-bit storage must still run under each. */
static bm_status forced_choice(const bm_gemm_backend **out, bm_engine *e, const bm_gemm_desc *d, const char *name)
{
    const bm_gemm_backend *b = bm_gemm_backend_find(name);
    if (!b) return bm_fail(BM_ERR_USAGE, "no gemm backend is called \"%s\"; there are clblast, packed and tiled", name);
    const char *why = NULL;
    if (b->takes(d, e, bm_engine_limits(e), &why)) {
        *out = b;
        return BM_OK;
    }
    char text[BM_GEMM_TEXT];
    bm_gemm_text(d, text, sizeof text);
    if (d->type_a == BM_F32 && d->type_b == BM_F32 && d->type_d == BM_F32)
        return bm_fail(BM_ERR_UNSUPPORTED, "gemm backend %s does not take %s: %s", name, text, why);
    *out = bm_gemm_default(d, e, bm_engine_limits(e));
    bm_log_once(name, BM_LOG_INFO, "gemm backend %s does not take %s (%s): %s runs it", name, text, why, (*out)->name);
    return BM_OK;
}

bm_status bm_gemm_choose(const bm_gemm_backend **out, bm_engine *e, const bm_gemm_desc *d, const char *forced)
{
    *out = NULL;
    if (forced && d->k) return forced_choice(out, e, d, forced);
    *out = bm_gemm_default(d, e, bm_engine_limits(e));
    return BM_OK;
}
