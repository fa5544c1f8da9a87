#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/graph/bank.h"
#include "core/graph/graph_priv.h"

typedef struct slab {
    int group;
    int64_t bytes;
} slab;

struct bm_layout {
    bm_tensor *tensors;
    int n_tensors;
    slab *slabs;
    int n_slabs;
    char *names; /* all of them, one after another */
};

/* Puts a tensor behind the last one of its group, in a new slab when it does not fit. */
static bm_status place(bm_layout *l, bm_tensor *t, const bm_limits *limits)
{
    int64_t align = 2 * limits->align_bytes > BM_TENSOR_ALIGN ? 2 * limits->align_bytes : BM_TENSOR_ALIGN;
    int64_t most = limits->max_alloc_bytes / align * align;
    if (t->bytes > most || most == 0)
        return bm_fail(BM_ERR_DEVICE_MEMORY,
                       "the parameter %s needs %.1f MiB of memory in one piece; the device gives at most %.1f MiB: use a smaller "
                       "model.width or model.vocab, or another device",
                       t->name, (double)t->bytes / 1048576.0, (double)most / 1048576.0);
    int64_t bytes = bm_round_up(t->bytes > 0 ? t->bytes : 1, align);
    slab *s = l->n_slabs ? &l->slabs[l->n_slabs - 1] : NULL;
    if (!s || s->group != t->group || s->bytes + bytes > most) {
        s = &l->slabs[l->n_slabs++];
        s->group = t->group;
        s->bytes = 0;
    }
    t->slab = l->n_slabs - 1;
    t->offset = s->bytes;
    s->bytes += bytes;
    return BM_OK;
}

static int is_tensor(const bm_value *v, bm_place place)
{
    return v->place == place && !v->node && !v->view_of;
}

static int last_group(const bm_graph *g, bm_place place)
{
    int last = 0;
    for (int i = 0; i < g->n_values; i++)
        if (is_tensor(g->values[i], place) && g->values[i]->group > last) last = g->values[i]->group;
    return last;
}

bm_status bm_layout_create(bm_layout **out, const bm_graph *g, bm_place which, const bm_limits *limits)
{
    *out = NULL;
    if (g->error.status) return bm_error_restore(&g->error);
    bm_status status = BM_ERR_MEMORY;
    size_t count = 0, name_bytes = 0;
    for (int i = 0; i < g->n_values; i++) {
        if (!is_tensor(g->values[i], which)) continue;
        count++;
        name_bytes += strlen(g->values[i]->name) + 1;
    }
    bm_layout *l = bm_calloc(1, sizeof *l);
    if (!l) return BM_ERR_MEMORY;
    l->tensors = bm_calloc(count + 1, sizeof *l->tensors);
    l->slabs = bm_calloc(count + 1, sizeof *l->slabs);
    char *name = l->names = bm_calloc(name_bytes + 1, 1);
    if (!l->tensors || !l->slabs || !l->names) goto done;
    int groups = last_group(g, which) + 1;
    for (int group = 0; group < groups; group++)
        for (int i = 0; i < g->n_values; i++) {
            const bm_value *v = g->values[i];
            if (!is_tensor(v, which) || v->group != group) continue;
            bm_tensor *t = &l->tensors[l->n_tensors++];
            strcpy(name, v->name);
            *t = (bm_tensor){.name = name, .dtype = v->dtype, .shape = v->shape, .group = group,
                             .bytes = (int64_t)bm_shape_bytes(&v->shape, v->dtype)};
            name += strlen(name) + 1;
            BM_GO(place(l, t, limits));
        }
    status = BM_OK;
done:
    if (status) bm_layout_destroy(l);
    else *out = l;
    return status;
}

void bm_layout_destroy(bm_layout *l)
{
    if (!l) return;
    bm_free(l->tensors);
    bm_free(l->slabs);
    bm_free(l->names);
    bm_free(l);
}

int bm_layout_count(const bm_layout *l)
{
    return l->n_tensors;
}

const bm_tensor *bm_layout_at(const bm_layout *l, int i)
{
    return &l->tensors[i];
}

const bm_tensor *bm_layout_find(const bm_layout *l, const char *name)
{
    for (int i = 0; i < l->n_tensors; i++)
        if (!strcmp(l->tensors[i].name, name)) return &l->tensors[i];
    return NULL;
}

int bm_layout_slabs(const bm_layout *l)
{
    return l->n_slabs;
}

int bm_layout_slab_group(const bm_layout *l, int i)
{
    return l->slabs[i].group;
}

int64_t bm_layout_slab_bytes(const bm_layout *l, int i)
{
    return l->slabs[i].bytes;
}

int64_t bm_layout_bytes(const bm_layout *l)
{
    int64_t sum = 0;
    for (int i = 0; i < l->n_slabs; i++) sum += l->slabs[i].bytes;
    return sum;
}

int64_t bm_layout_elements(const bm_layout *l)
{
    int64_t sum = 0;
    for (int i = 0; i < l->n_tensors; i++) sum += bm_shape_elements(&l->tensors[i].shape);
    return sum;
}
