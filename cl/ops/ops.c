#include "cl/ops/ops_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"

bm_graph_opts bm_graph_opts_with_ops(void)
{
    bm_graph_opts opts = {.add = bm_add, .copy = bm_copy};
    return opts;
}

bm_status bm_ops_want_float(const bm_value *v)
{
    if (v->dtype == BM_F32 || v->dtype == BM_F16 || v->dtype == BM_BF16) return BM_OK;
    return bm_fail(BM_ERR_SHAPE, "%s is %s; this op takes f32, f16 and bf16", v->name, bm_dtype_name(v->dtype));
}

bm_status bm_ops_want_float_or_scaled(const bm_value *v)
{
    return v->scale ? BM_OK : bm_ops_want_float(v);
}

int bm_ops_ends_gradient(bm_graph *g, const bm_value *v)
{
    if (v->scale) bm_graph_fail(g, bm_fail(BM_ERR_UNSUPPORTED, "%s is kept in 8 bits: there is no gradient through it", v->name));
    return v->scale != NULL;
}

bm_status bm_ops_want_type(const bm_value *v, bm_dtype t)
{
    if (v->dtype == t) return BM_OK;
    return bm_fail(BM_ERR_SHAPE, "%s is %s, not %s", v->name, bm_dtype_name(v->dtype), bm_dtype_name(t));
}

bm_status bm_ops_want_same(const bm_value *a, const bm_value *b)
{
    BM_TRY(bm_ops_want_type(b, a->dtype));
    if (bm_shape_equal(&a->shape, &b->shape)) return BM_OK;
    char x[BM_SHAPE_TEXT], y[BM_SHAPE_TEXT];
    return bm_fail(BM_ERR_SHAPE, "%s is %s and %s is %s", a->name, bm_shape_text(&a->shape, x, sizeof x), b->name,
                   bm_shape_text(&b->shape, y, sizeof y));
}

bm_status bm_ops_want_vector(const bm_value *v, int64_t n)
{
    if (v->shape.rank == 1 && v->shape.dim[0] == n) return BM_OK;
    char x[BM_SHAPE_TEXT];
    return bm_fail(BM_ERR_SHAPE, "%s is %s, not [%lld]", v->name, bm_shape_text(&v->shape, x, sizeof x), (long long)n);
}

bm_cost bm_ops_cost(const bm_node *n, double each)
{
    bm_cost c = {.flops = each * (double)bm_ops_elements(n->outputs[0])};
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i]) c.bytes += (double)bm_shape_bytes(&n->inputs[i]->shape, n->inputs[i]->dtype);
    for (int i = 0; i < n->n_outputs; i++)
        if (!n->outputs[i]->optional || n->outputs[i]->used)
            c.bytes += (double)bm_shape_bytes(&n->outputs[i]->shape, n->outputs[i]->dtype);
    return c;
}

const char *bm_ops_options(char buf[BM_OPS_OPTIONS], const bm_launcher *l, bm_dtype storage)
{
    snprintf(buf, BM_OPS_OPTIONS, "-DCPU=%d -DSTORAGE=%d", bm_launcher_form(l) == BM_FORM_CPU, (int)storage);
    return buf;
}

const char *bm_ops_options_with(char buf[BM_OPS_OPTIONS], const bm_launcher *l, bm_dtype storage, const char *fmt, ...)
{
    const size_t n = strlen(bm_ops_options(buf, l, storage));
    va_list args;
    va_start(args, fmt);
    vsnprintf(buf + n, BM_OPS_OPTIONS - n, fmt, args);
    va_end(args);
    return buf;
}

/* FLAT_BLOCK of cl/lib/grid.clh. */
static int64_t flat_block(const bm_launcher *l)
{
    return bm_launcher_form(l) == BM_FORM_CPU ? 4096 : 4;
}

static size_t group_items(const bm_launcher *l)
{
    return bm_launcher_form(l) == BM_FORM_CPU ? 1 : 64;
}

void bm_ops_launch_flat(bm_launcher *l, bm_kernel_launch *k, int64_t n)
{
    bm_ops_launch_groups(l, k, bm_ceil_div(n, flat_block(l) * (int64_t)group_items(l)));
}

void bm_ops_launch_groups(bm_launcher *l, bm_kernel_launch *k, int64_t groups)
{
    k->dims = 1;
    k->local[0] = group_items(l);
    k->global[0] = (size_t)groups * k->local[0];
    bm_launcher_kernel(l, k);
}

int64_t bm_ops_rows_each(const bm_launcher *l, int64_t n)
{
    return bm_launcher_form(l) == BM_FORM_CPU && n < 4096 ? 4096 / (n > 0 ? n : 1) : 1;
}
