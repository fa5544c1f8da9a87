#include "models/nn/params.h"

#include "cl/optim/optim.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/graph/scalars.h"

struct bm_params {
    bm_engine *engine;
    bm_layout *layout;
    bm_init *inits;         /* of each tensor of the layout */
    bm_semantic *semantics;
    const bm_tensor **scales; /* of their rows; NULL */
    bm_nn_tie *ties;
    int n_ties;
    bm_dtype stored;        /* of tensors of rank 2 and more */
    int averages;           /* there is a bank of them */
    bm_dtype half;          /* the type of the layers' copies; BM_F32: there are none */
    bm_bank *banks[BM_PLACE_COUNT];
    int n_banks;
};

bm_status bm_params_create(bm_params **out, bm_engine *e, const bm_nn *nn, const bm_graph *g, const bm_params_opts *opts)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    bm_params *p = bm_calloc(1, sizeof *p);
    if (!p) return BM_ERR_MEMORY;
    p->engine = e;
    p->averages = opts->average;
    BM_GO(bm_layout_create(&p->layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    size_t n = (size_t)bm_layout_count(p->layout);
    status = BM_ERR_MEMORY;
    p->inits = bm_calloc(n + 1, sizeof *p->inits);
    p->semantics = bm_calloc(n + 1, sizeof *p->semantics);
    p->scales = bm_calloc(n + 1, sizeof *p->scales);
    p->ties = bm_calloc((size_t)bm_nn_ties(nn) + 1, sizeof *p->ties);
    if (!p->inits || !p->semantics || !p->scales || !p->ties) goto done;
    for (size_t i = 0; i < n; i++) {
        const bm_value *half = bm_graph_half_find(g, bm_layout_at(p->layout, (int)i)->name);
        if (half) p->half = bm_value_dtype(half);
        const bm_tensor *t = bm_layout_at(p->layout, (int)i);
        if (t->shape.rank >= 2 && t->dtype != BM_F32) p->stored = t->dtype;
        const bm_value *scale = bm_value_scale(bm_graph_param_find(g, t->name));
        if (scale) p->scales[i] = bm_layout_find(p->layout, bm_value_name(scale));
        const bm_nn_param *q = bm_nn_find(nn, bm_layout_at(p->layout, (int)i)->name);
        if (!q) continue;
        p->inits[i] = q->init;
        p->semantics[i] = q->semantic;
    }
    for (int i = 0; i < bm_nn_ties(nn); i++) {
        p->ties[i] = *bm_nn_tie_at(nn, i);
        p->ties[i].to = bm_layout_find(p->layout, p->ties[i].to)->name;
    }
    p->n_ties = bm_nn_ties(nn);
    for (int place = BM_PLACE_WEIGHT; place <= BM_PLACE_HALF; place++) {
        int wanted = place == BM_PLACE_WEIGHT || (place == BM_PLACE_GRAD && opts->gradients) ||
                     (place == BM_PLACE_HALF && p->half != BM_F32) || (place == BM_PLACE_AVERAGE && p->averages) ||
                     (place >= BM_PLACE_STATE0 && place <= BM_PLACE_STATE2 && place - BM_PLACE_STATE0 < opts->states);
        if (!wanted) continue;
        status = bm_bank_create(&p->banks[p->n_banks], e, p->layout, (bm_place)place);
        if (status == BM_ERR_DEVICE_MEMORY) {
            bm_error why = *bm_last_error();
            status = bm_fail_cl(status, why.cl_code, "%s; use a smaller model.width or model.layers, or another device",
                                why.text);
        }
        if (status) goto done;
        p->n_banks++;
    }
    status = BM_OK;
done:
    if (status) bm_params_destroy(p);
    else *out = p;
    return status;
}

void bm_params_destroy(bm_params *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_banks; i++) bm_bank_destroy(p->banks[i]);
    bm_layout_destroy(p->layout);
    bm_free(p->inits);
    bm_free(p->semantics);
    bm_free(p->scales);
    bm_free(p->ties);
    bm_free(p);
}

/* Runs `build` over the banks that there are. */
static bm_status run_over(bm_params *p, bm_status (*build)(bm_graph *g, const bm_params *p), uint64_t seed)
{
    bm_status status;
    bm_graph *g = NULL;
    bm_plan *plan = NULL;
    const bm_graph_opts opts = bm_graph_opts_with_ops();
    const bm_plan_opts o = {.banks = p->banks, .n_banks = p->n_banks};
    BM_GO(bm_graph_create(&g, &opts));
    BM_GO(build(g, p));
    BM_GO(bm_plan_create(&plan, p->engine, g, &o));
    bm_plan_set_u32(plan, BM_RT_SEED_LO, (uint32_t)seed);
    bm_plan_set_u32(plan, BM_RT_SEED_HI, (uint32_t)(seed >> 32));
    status = bm_plan_run(plan);
done:
    bm_plan_destroy(plan); /* waits */
    bm_graph_destroy(g);
    return status;
}

static bm_status build_halves(bm_graph *g, const bm_params *p)
{
    int groups = 0;
    for (int i = 0; i < bm_layout_count(p->layout); i++) {
        const bm_tensor *t = bm_layout_at(p->layout, i);
        bm_graph_half(g, bm_graph_param(g, t->name, t->dtype, t->shape, t->group), p->half);
        if (t->group >= groups) groups = t->group + 1;
    }
    for (int i = 0; i < groups; i++) bm_copy_halves(g, i);
    return bm_graph_status(g);
}

bm_status bm_params_written(bm_params *p)
{
    return p->half == BM_F32 ? BM_OK : run_over(p, build_halves, 0);
}

/* One op for each tensor, whose draws are addressed by element. Averages begin with them. */
static bm_status build_init(bm_graph *g, const bm_params *p)
{
    for (int i = 0; i < bm_layout_count(p->layout); i++) {
        const bm_tensor *t = bm_layout_at(p->layout, i);
        const bm_init *init = &p->inits[i];
        const int drawn = init->kind == BM_INIT_NORMAL;
        bm_value *v = bm_graph_param(g, t->name, t->dtype, t->shape, t->group);
        bm_normal(g, v, drawn ? 0 : init->value, drawn ? init->value : 0, bm_rng_stream(t->name));
    }
    for (int group = 0; p->averages && group <= BM_NN_BUFFERS; group++) bm_optim_average(g, group, 0);
    return bm_graph_status(g);
}

bm_status bm_params_init(bm_params *p, uint64_t seed)
{
    BM_TRY(run_over(p, build_init, seed));
    return bm_params_written(p);
}

const bm_layout *bm_params_layout(const bm_params *p)
{
    return p->layout;
}

bm_dtype bm_params_stored(const bm_params *p)
{
    return p->stored;
}

bm_semantic bm_params_semantic(const bm_params *p, int i)
{
    return p->semantics[i];
}

const bm_tensor *bm_params_scale(const bm_params *p, int i)
{
    return p->scales[i];
}

int bm_params_ties(const bm_params *p)
{
    return p->n_ties;
}

const bm_nn_tie *bm_params_tie_at(const bm_params *p, int i)
{
    return &p->ties[i];
}

bm_bank *bm_params_bank(bm_params *p, bm_place place)
{
    for (int i = 0; i < p->n_banks; i++)
        if (bm_bank_place(p->banks[i]) == place) return p->banks[i];
    return NULL;
}

bm_bank *const *bm_params_banks(bm_params *p, int *n)
{
    *n = p->n_banks;
    return p->banks;
}
