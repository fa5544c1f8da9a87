/* Losses, those of rows and gradients against what PyTorch computed in float64 (tests/fixtures/loss.h5). A number may differ by
 * c 2^-24 of its own size, or of what it is a difference of. */
/* ctest: rusticl/plain */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cl/ops/ops.h"
#include "core/graph/scalars.h"
#include "tests/lib/h5fixture.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static h5fixture *fixture;

static void open_fixture(void) { fixture = h5fixture_open("loss.h5"); }
static void close_fixture(void) { h5fixture_close(fixture); }

static float attribute(const char *group, const char *name) { return (float)h5fixture_attr(fixture, group, name); }

/* in: x, targets, then weights or lengths where the fixture has them. */
static bm_value *mse(bm_graph *g, bm_value **rows, bm_value **in, const char *group)
{
    (void)group;
    return bm_mse(g, rows, in[0], in[1]);
}
static bm_value *mae(bm_graph *g, bm_value **rows, bm_value **in, const char *group)
{
    (void)group;
    return bm_mae(g, rows, in[0], in[1]);
}
static bm_value *huber(bm_graph *g, bm_value **rows, bm_value **in, const char *group)
{
    return bm_huber(g, rows, in[0], in[1], attribute(group, "delta"));
}
static bm_value *bce(bm_graph *g, bm_value **rows, bm_value **in, const char *group)
{
    (void)group;
    return bm_bce_logits(g, rows, in[0], in[1]);
}
static bm_value *xent(bm_graph *g, bm_value **rows, bm_value **in, const char *group)
{
    const bm_xent_opts opts = {.label_smoothing = attribute(group, "smoothing")};
    return bm_softmax_xent(g, rows, in[0], in[1], in[2], &opts);
}
static bm_value *ctc(bm_graph *g, bm_value **rows, bm_value **in, const char *group)
{
    (void)group;
    return bm_ctc(g, rows, in[0], in[1], in[2]);
}

/* c: of rows and of gradients, in units of 2^-24. Logits around 100 have steps of 64 units, those around 50 of 32, which 17 steps of
 * a sequence add up. */
static const struct loss {
    const char *group, *third;
    bm_value *(*build)(bm_graph *g, bm_value **rows, bm_value **in, const char *group);
    int rank;
    bm_dtype targets;
    double c_rows, c_dx;
} losses[] = {
    {"/mse", NULL, mse, 2, BM_F32, 16, 8},
    {"/mae", NULL, mae, 2, BM_F32, 16, 0},
    {"/huber", NULL, huber, 2, BM_F32, 16, 8},
    {"/bce", NULL, bce, 1, BM_I32, 8, 8},
    {"/xent_weights", "weights", xent, 2, BM_I32, 128, 32},
    {"/xent_smooth", NULL, xent, 2, BM_I32, 128, 32},
    {"/xent_both", "weights", xent, 2, BM_I32, 128, 32},
    {"/ctc", "lengths", ctc, 3, BM_I32, 64, 256},
    {"/ctc_short", "lengths", ctc, 3, BM_I32, 64, 256},
};
#define LOSSES ((int)(sizeof losses / sizeof *losses))

static const char *path(const char *group, const char *name)
{
    static char text[64];
    snprintf(text, sizeof text, "%s/%s", group, name);
    return text;
}

static bm_value *input(bm_graph *g, void **data, const char *group, const char *name, bm_dtype type, int rank)
{
    int64_t dim[BM_MAX_RANK];
    for (int i = 0; i < rank; i++) dim[i] = h5fixture_dim(fixture, path(group, name), i);
    *data = type == BM_F32 ? (void *)h5fixture_f32(fixture, path(group, name), NULL)
                           : (void *)h5fixture_i32(fixture, path(group, name), NULL);
    return bm_graph_input(g, name, type, bm_shape_of(rank, dim));
}

static void compare(const struct loss *l, bm_plan *plan, const bm_value *v, const char *name, double c, double floor)
{
    int64_t n;
    float *want = h5fixture_f32(fixture, path(l->group, name), &n), *got = calloc((size_t)n, sizeof *got);
    ck_assert_int_eq(n, bm_shape_elements(bm_value_shape(v)));
    test_ok(bm_plan_read(plan, v, got));
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs((double)got[i] - (double)want[i]), most = c * 0x1p-24 * fmax(fabs((double)want[i]), floor);
        const int same = isnan(want[i]) ? isnan(got[i]) : isinf(want[i]) ? got[i] == want[i] : off <= most;
        test_that(same, "%s/%s[%lld] is %.9g, not %.9g: off by %.1f 2^-24", l->group, name, (long long)i, (double)got[i],
                  (double)want[i], off / fmax(fabs((double)want[i]), floor) / 0x1p-24);
    }
    free(want);
    free(got);
}

static void check(const struct loss *l, bm_form form)
{
    bm_graph *g = NULL;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_plan *plan = NULL;
    bm_value *in[3] = {NULL}, *rows = NULL;
    void *data[3] = {NULL};
    const float scale = attribute(l->group, "scale");
    test_ok(bm_graph_create(&g, &opts));
    in[0] = input(g, &data[0], l->group, "x", BM_F32, l->rank);
    in[1] = input(g, &data[1], l->group, "targets", l->targets, l->rank == 1 || l->build == xent ? 1 : 2);
    if (l->third) in[2] = input(g, &data[2], l->group, l->third, l->build == xent ? BM_F32 : BM_I32, 1);
    bm_graph_want_gradient(g, in[0]);
    bm_value *loss = bm_graph_output(g, l->build(g, &rows, in, l->group), "loss");
    bm_graph_output(g, rows, "rows");
    test_ok(bm_graph_gradients(g, loss));
    bm_value *dx = bm_graph_output(g, bm_graph_gradient(g, in[0]), "dx");
    test_ok(bm_graph_status(g));
    test_ok(bm_plan_create(&plan, optest_engine(form), g, NULL));
    bm_plan_set_f32(plan, BM_RT_LOSS_SCALE, scale);
    for (int i = 0; i < 3 && in[i]; i++) test_ok(bm_plan_write(plan, in[i], data[i]));
    test_ok(bm_plan_run(plan));
    compare(l, plan, rows, "rows", l->c_rows, 1);
    compare(l, plan, dx, "dx", l->c_dx, (double)scale);
    compare(l, plan, loss, "loss", l->c_rows, 1);
    bm_plan_destroy(plan);
    bm_graph_destroy(g);
    for (int i = 0; i < 3; i++) free(data[i]);
}

START_TEST(losses_and_gradients_are_those_of_pytorch)
{
    EACH_FORM(form) check(&losses[_i], (bm_form)form);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/ops/loss_torch");
    TCase *t = optest_tcase(s, "PyTorch");
    tcase_add_checked_fixture(t, open_fixture, close_fixture);
    tcase_add_loop_test(t, losses_and_gradients_are_those_of_pytorch, 0, LOSSES);
    return test_run(s);
}
