#include "tests/lib/fake_check.h"

#include <math.h>
#include <string.h>

#include "core/graph/graph_priv.h"
#include "tests/lib/test.h"

static const bm_limits limits = {.type = BM_DEVICE_CPU, .max_alloc_bytes = 1 << 20, .align_bytes = 64};

bm_memplan *fake_plan(bm_graph *g)
{
    bm_memplan *p = NULL;
    test_ok(bm_memplan_foresee(&p, g, &limits, NULL));
    return p;
}

void fake_fill(bm_rng *r, double *d, int64_t n, double most)
{
    for (int64_t i = 0; i < n; i++) d[i] = most * (2 * (double)bm_rng_uniform(r) - 1);
}

void fake_fill_store(bm_graph *g, fake_store *s, uint64_t seed)
{
    bm_rng r = bm_rng_start(seed, 77, 0);
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        if (v->node || v->view_of || v->data) continue;
        if (v->place == BM_PLACE_WEIGHT || v->place == BM_PLACE_INPUT)
            fake_fill(&r, fake_data(s, v), bm_shape_elements(&v->shape), 0.6);
    }
}

static double loss_at(fake_run *r, fake_store *s, const bm_value *loss, int n_forward)
{
    fake_run_nodes(r, s, n_forward);
    return fake_read(r, loss)[0];
}

void fake_check_leaf(fake_run *forward, fake_store *s, const bm_value *loss, int n_forward, const bm_value *leaf,
                     const double *gradient, const char *what)
{
    const double h = 1e-5;
    int64_t n = bm_shape_elements(&leaf->shape);
    double *x = fake_data(s, leaf), size = 0, error = 0;
    for (int64_t i = 0; i < n; i++) {
        double kept = x[i];
        x[i] = kept + h;
        double above = loss_at(forward, s, loss, n_forward);
        x[i] = kept - h;
        double below = loss_at(forward, s, loss, n_forward);
        x[i] = kept;
        double numeric = (above - below) / (2 * h), d = gradient[i] - numeric;
        size += numeric * numeric;
        error += d * d;
    }
    /* Truncation is of order h^2, rounding of order eps |loss| / h. */
    double most = 1e-6 * sqrt(size) + 1e-8 * (1 + fabs(loss_at(forward, s, loss, n_forward)));
    ck_assert_msg(sqrt(error) <= most, "%s: dL/d%s is off by %g of %g", what, leaf->name, sqrt(error), sqrt(size));
}

void fake_check_graph(bm_graph *g, bm_value *loss, int n_forward, uint64_t seed, const char *what)
{
    bm_memplan *plan = fake_plan(g);
    fake_store *s = fake_store_create(), *own = fake_store_create();
    fake_run *planned = fake_run_create(g, plan), *naive = fake_run_create(g, NULL);
    fake_fill_store(g, s, seed);
    fake_fill_store(g, own, seed);
    fake_run_nodes(planned, s, -1);
    fake_run_nodes(naive, own, -1);
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        if (!v->is_output) continue;
        const double *a = fake_read(planned, v), *b = fake_read(naive, v);
        ck_assert_msg(!memcmp(a, b, (size_t)bm_shape_elements(&v->shape) * sizeof *a),
                      "%s: the output %s differs by its place", what, v->name);
    }
    for (int i = 0; i < g->n_values; i++) {
        const bm_value *v = g->values[i];
        int64_t n = bm_shape_elements(&v->shape);
        if (v->place != BM_PLACE_WEIGHT || v->view_of) continue;
        const double *a = fake_grad(s, v), *b = fake_grad(own, v);
        for (int64_t j = 0; j < n; j++)
            ck_assert_msg(a[j] == b[j], "%s: dL/d%s[%d] is %.17g, not %.17g", what, v->name, (int)j, a[j], b[j]);
        fake_check_leaf(naive, own, loss, n_forward, v, b, what);
    }
    fake_run_destroy(planned);
    fake_run_destroy(naive);
    fake_store_destroy(s);
    fake_store_destroy(own);
    bm_memplan_destroy(plan);
}
