#include "models/nn/params.h"

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/device/queue.h"

#define CHUNK 65536 /* elements drawn between two writes */

struct bm_params {
    bm_layout *layout;
    bm_init *inits;         /* of each tensor of the layout */
    bm_semantic *semantics;
    bm_nn_tie *ties;
    int n_ties;
    bm_bank *banks[BM_PLACE_COUNT];
    int n_banks;
};

bm_status bm_params_create(bm_params **out, bm_engine *e, const bm_nn *nn, const bm_graph *g, const bm_params_opts *opts)
{
    *out = NULL;
    bm_status status = BM_ERR_MEMORY;
    bm_params *p = bm_calloc(1, sizeof *p);
    if (!p) return BM_ERR_MEMORY;
    BM_GO(bm_layout_create(&p->layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    size_t n = (size_t)bm_layout_count(p->layout);
    status = BM_ERR_MEMORY;
    p->inits = bm_calloc(n + 1, sizeof *p->inits);
    p->semantics = bm_calloc(n + 1, sizeof *p->semantics);
    p->ties = bm_calloc((size_t)bm_nn_ties(nn) + 1, sizeof *p->ties);
    if (!p->inits || !p->semantics || !p->ties) goto done;
    for (size_t i = 0; i < n; i++) {
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
    for (int place = BM_PLACE_WEIGHT; place <= BM_PLACE_STATE2; place++) {
        int wanted = place == BM_PLACE_WEIGHT || (place == BM_PLACE_GRAD && opts->gradients) ||
                     (place >= BM_PLACE_STATE0 && place - BM_PLACE_STATE0 < opts->states);
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
    bm_free(p->ties);
    bm_free(p);
}

/* Elements [first, first + n) of a tensor as they begin; draws are addressed by element, so chunks may come in any order. */
static void draw(float *out, int64_t first, int64_t n, bm_init init, uint64_t seed, uint32_t stream)
{
    if (init.kind == BM_INIT_CONSTANT) {
        for (int64_t i = 0; i < n; i++) out[i] = init.value;
        return;
    }
    bm_rng r = bm_rng_start(seed, stream, 0);
    r.element = 2 * (uint64_t)first; /* a normal takes two draws */
    for (int64_t i = 0; i < n; i++) out[i] = init.value * bm_rng_normal(&r);
}

bm_status bm_params_init(bm_params *p, uint64_t seed)
{
    bm_status status = BM_OK;
    bm_bank *weights = bm_params_bank(p, BM_PLACE_WEIGHT);
    float *chunk = bm_alloc(CHUNK * sizeof *chunk);
    if (!chunk) return BM_ERR_MEMORY;
    for (int i = 0; i < bm_layout_count(p->layout); i++) {
        const bm_tensor *t = bm_layout_at(p->layout, i);
        int64_t elements = bm_shape_elements(&t->shape);
        uint32_t stream = bm_rng_stream(t->name);
        for (int64_t at = 0; at < elements; at += CHUNK) {
            int64_t n = elements - at < CHUNK ? elements - at : CHUNK;
            draw(chunk, at, n, p->inits[i], seed, stream);
            BM_GO(bm_bank_write(weights, t, at * 4, chunk, n * 4));
        }
    }
done:
    bm_free(chunk);
    return status;
}

const bm_layout *bm_params_layout(const bm_params *p)
{
    return p->layout;
}

bm_semantic bm_params_semantic(const bm_params *p, int i)
{
    return p->semantics[i];
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
