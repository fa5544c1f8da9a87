/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "cl/sources.h"
#include "core/base/rng.h"
#include "core/device/cl_api.h"
#include "core/device/program.h"
#include "core/graph/scalars.h"
#include "tests/lib/device.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

#define SEED 0x9e3779b97f4a7c15u

typedef struct drop {
    float p;
    uint32_t stream, step;
} drop;

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const drop *d = t->with;
    out[0] = bm_dropout(g, in[0], d->p, d->stream);
}

static void prepare(bm_plan *p, const optest *t)
{
    bm_plan_set_u32(p, BM_RT_SEED_LO, (uint32_t)SEED);
    bm_plan_set_u32(p, BM_RT_SEED_HI, (uint32_t)(SEED >> 32));
    bm_plan_set_u32(p, BM_RT_RNG_STEP, ((const drop *)t->with)->step);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const drop *d = t->with;
    for (int64_t i = 0; i < bm_shape_elements(&t->in[0].shape); i++) {
        const double u = (bm_rng_at(SEED, d->stream, d->step, (uint64_t)i) >> 8) * 0x1p-24;
        out[0][i] = u >= (double)d->p ? in[0][i] / (1 - (double)d->p) : 0;
    }
}

/* One product with a factor that was rounded twice. */
static void check(const char *name, int64_t n, drop d)
{
    optest t = {.name = name, .n_in = 1, .n_out = 1, .build = build, .reference = reference, .prepare = prepare, .with = &d,
                .c = 4, .grad_c = 4};
    t.in[0] = (optest_input){.shape = BM_SHAPE(n), .gradient = n > 0};
    optest_check(&t);
}

START_TEST(dropout_keeps_what_the_generator_says)
{
    check("nothing", 0, (drop){0.5f, 1, 0});
    check("one", 1, (drop){0.5f, 1, 0});
    check("three", 3, (drop){0.3f, 2, 7});
    check("a block less one", 31, (drop){0.1f, 3, 1});
    check("a block", 32, (drop){0.9f, 3, 2});
    check("a block and one", 33, (drop){0.1f, 0xffffffffu, 0xffffffffu});
    if (optest_small()) return;
    check("a work-item's share and more", 4099, (drop){0.25f, 5, 3});
    check("several shares", 65537, (drop){0.1f, 6, 4});
}
END_TEST

/* Each place of a last vector that is not full, often enough that a neighbour's number would show. */
START_TEST(the_tail_has_numbers_of_its_own)
{
    for (uint32_t stream = 0; stream < 8; stream++) check("a tail of three", 7, (drop){0.5f, stream, 1});
}
END_TEST

/* u = p stays: p is the number of an element, one in a vector and one in the tail. */
START_TEST(an_element_whose_number_is_p_stays)
{
    static const uint64_t places[] = {5, 20, 33, 34};
    for (int i = 0; i < 4; i++)
        check("p itself", 35, (drop){(float)(bm_rng_at(SEED, 9, 2, places[i]) >> 8) * 0x1p-24f, 9, 2});
}
END_TEST

START_TEST(dropout_of_nothing_is_the_value_itself)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(3));
    ck_assert_ptr_eq(bm_dropout(g, x, 0.0f, 1), x);
    ck_assert_ptr_null(bm_dropout(g, x, 1.0f, 1));
    ck_assert_int_eq(bm_graph_status(g), BM_ERR_USAGE);
    bm_graph_destroy(g);
}
END_TEST

/* Of n elements, n (1 - p) stay, give or take five standard deviations; other steps and streams keep others. */
START_TEST(dropout_keeps_its_share_and_changes_with_step_and_stream)
{
    enum { N = 1 << 18 };
    const float p = 0.2f;
    if (optest_small()) return;
    float *x = malloc(N * sizeof *x), *y[4];
    for (int i = 0; i < N; i++) x[i] = 1;
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    bm_plan *plan = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *in = bm_graph_input(g, "x", BM_F32, BM_SHAPE(N));
    bm_value *out[2] = {bm_graph_output(g, bm_dropout(g, in, p, 1), "a"), bm_graph_output(g, bm_dropout(g, in, p, 2), "b")};
    bm_plan_opts none = {0};
    test_ok(bm_plan_create(&plan, optest_engine(BM_FORM_AUTO), g, &none));
    test_ok(bm_plan_write(plan, in, x));
    for (int k = 0; k < 4; k++) {
        bm_plan_set_u32(plan, BM_RT_RNG_STEP, (uint32_t)k / 2);
        test_ok(bm_plan_run(plan));
        y[k] = malloc(N * sizeof *x);
        test_ok(bm_plan_read(plan, out[k % 2], y[k]));
        double kept = 0;
        for (int i = 0; i < N; i++) kept += y[k][i] != 0;
        ck_assert_double_eq_tol(kept, N * 0.8, 5 * sqrt(N * 0.8 * 0.2));
        for (int j = 0; j < k; j++) {
            double both = 0;
            for (int i = 0; i < N; i++) both += y[k][i] != 0 && y[j][i] != 0;
            ck_assert_double_eq_tol(both, N * 0.64, 5 * sqrt(N * 0.64 * 0.36));
        }
    }
    for (int k = 0; k < 4; k++) free(y[k]);
    free(x);
    bm_plan_destroy(plan);
    bm_graph_destroy(g);
}
END_TEST

/* The 32 draws from `block` on, as the cpu form takes them, and as the plain one does. */
static const char draws_kernels[] =
    "\n__kernel void draws(__global uint *out, uint lo, uint hi, uint stream, uint step, ulong block, int cpu)\n"
    "{\n"
    "    if (cpu) {\n"
    "        uint16 a, b;\n"
    "        draws32(&a, &b, lo, hi, stream, step, block);\n"
    "        vstore16(a, 0, out);\n"
    "        vstore16(b, 1, out);\n"
    "    } else {\n"
    "        for (int i = 0; i < 8; i++) vstore4(draws4(lo, hi, stream, step, block + i), i, out);\n"
    "    }\n"
    "}\n";

static void compare_draws(bm_engine *e, int form, uint32_t stream, uint32_t step, uint64_t block)
{
    const int64_t bytes[] = {128};
    const cl_uint words[] = {(cl_uint)SEED, (cl_uint)(SEED >> 32), stream, step};
    const cl_int cpu = form == BM_FORM_CPU;
    const size_t size = 1;
    uint32_t out[32];
    bm_region *r = NULL;
    cl_mem m = NULL;
    cl_kernel k = NULL;
    test_ok(bm_region_create(&r, e, "draws", bytes, 1, 0));
    test_ok(bm_region_piece(&m, r, 0, 0, sizeof out));
    test_ok(bm_kernel_create(&k, e, "draws", "", "draws"));
    ck_assert_int_eq(bm_cl.SetKernelArg(k, 0, sizeof m, &m), 0);
    for (cl_uint i = 0; i < 4; i++) ck_assert_int_eq(bm_cl.SetKernelArg(k, 1 + i, sizeof words[i], &words[i]), 0);
    ck_assert_int_eq(bm_cl.SetKernelArg(k, 5, sizeof block, &block), 0);
    ck_assert_int_eq(bm_cl.SetKernelArg(k, 6, sizeof cpu, &cpu), 0);
    test_ok(bm_queue_launch(bm_engine_queue(e), k, 1, &size, &size, "draws"));
    test_ok(bm_queue_read(bm_engine_queue(e), m, 0, out, sizeof out));
    for (int i = 0; i < 32; i++) ck_assert_uint_eq(out[i], bm_rng_at(SEED, stream, step, 4 * block + (uint64_t)i));
    bm_cl.ReleaseKernel(k);
    bm_region_destroy(r);
}

START_TEST(devices_draw_the_bits_of_the_host)
{
    const char *dropout = NULL;
    for (size_t i = 0; i < bm_cl_sources.count; i++)
        if (!strcmp(bm_cl_sources.entries[i].name, "ops/dropout")) dropout = bm_cl_sources.entries[i].text;
    ck_assert_ptr_nonnull(dropout);
    char *text = malloc(strlen(dropout) + sizeof draws_kernels);
    strcpy(text, dropout);
    strcat(text, draws_kernels);
    const bm_source source = {"draws", text};
    bm_engine_opts opts = test_engine_opts();
    opts.sources = (bm_source_table){&source, 1};
    opts.cl_dir = NULL;
    bm_engine *e = test_engine_open_with(&opts);
    EACH_FORM(form) {
        compare_draws(e, form, 0, 0, 0);
        compare_draws(e, form, 7, 3, 12345);
        compare_draws(e, form, 0xffffffffu, 0x80000000u, 0xfffffffcu); /* the lanes carry into the high word */
        compare_draws(e, form, 1, 2, 0x123456789abu);
    }
    bm_engine_close(e);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dropout");
    TCase *c = optest_tcase(s, "dropout");
    tcase_add_test(c, dropout_keeps_what_the_generator_says);
    tcase_add_test(c, the_tail_has_numbers_of_its_own);
    tcase_add_test(c, an_element_whose_number_is_p_stays);
    tcase_add_test(c, dropout_of_nothing_is_the_value_itself);
    tcase_add_test(c, dropout_keeps_its_share_and_changes_with_step_and_stream);
    tcase_add_test(c, devices_draw_the_bits_of_the_host);
    return test_run(s);
}
