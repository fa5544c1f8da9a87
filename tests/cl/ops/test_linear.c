/* ctest: oclgrind rusticl unoptimized */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static double activation(double x, bm_activation act)
{
    if (act == BM_ACT_GELU_TANH) return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    return x;
}

typedef struct layer {
    bm_activation act;
    int bias;
} layer;

static void build_linear(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const layer *a = t->with;
    out[0] = bm_linear(g, in[0], in[1], a->bias ? in[2] : NULL, a->act);
}

static void ref_linear(double *const *out, const double *const *in, const optest *t)
{
    const layer *a = t->with;
    const int64_t rows = bm_shape_rows(&t->in[0].shape), k = bm_shape_last(&t->in[0].shape), n = t->in[1].shape.dim[0];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++) {
            double s = a->bias ? in[2][j] : 0;
            for (int64_t i = 0; i < k; i++) s += in[0][r * k + i] * in[1][j * k + i];
            out[0][r * n + j] = activation(s, a->act);
        }
}

/* Rows, N, K around the tiles of the products (8, 16, 32, 64), the 32 rows of a chunk, and nothing at all. */
static const int64_t sizes[][3] = {{1, 1, 1}, {0, 3, 5}, {3, 0, 5}, {3, 5, 0}, {2, 3, 17}, {33, 7, 5},
                                   {31, 67, 97}, {65, 33, 64}};

START_TEST(linear_is_the_product_with_the_transposed_weight)
{
    static const layer layers[] = {{BM_ACT_NONE, 0}, {BM_ACT_GELU_TANH, 1}};
    const layer *a = &layers[_i];
    for (int i = 0; i < (optest_small() ? 6 : 8); i++) {
        const int64_t rows = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
        if (getenv("BM_TEST_OCLGRIND") && i != 4) continue;
        optest t = {.name = "linear", .n_in = 2 + a->bias, .n_out = 1, .build = build_linear, .reference = ref_linear, .with = a,
                    .c = 6, .length = (double)(k ? k : 1), .grad_c = 12, .grad_length = (double)(rows + n + 1),
                    .floor = sqrt((double)k) + 1};
        t.in[0] = (optest_input){.shape = BM_SHAPE(rows, k), .gradient = 1};
        t.in[1] = (optest_input){.shape = BM_SHAPE(n, k), .place = BM_PLACE_WEIGHT, .gradient = 1};
        t.in[2] = (optest_input){.shape = BM_SHAPE(n), .place = BM_PLACE_WEIGHT, .gradient = 1};
        optest_check(&t);
        if (rows * n * k > 0) optest_check_accumulate(&t);
    }
}
END_TEST

/* x feeds two layers that share one weight: both gradients are gathered by the products themselves. */
static void build_shared(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    bm_value *h = bm_linear(g, in[0], in[1], NULL, BM_ACT_NONE);
    out[0] = bm_linear(g, h, in[1], NULL, BM_ACT_NONE);
    out[1] = bm_linear(g, in[0], in[2], NULL, BM_ACT_NONE);
}

static void times(double *y, const double *x, const double *w, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j++) {
            y[r * n + j] = 0;
            for (int64_t i = 0; i < n; i++) y[r * n + j] += x[r * n + i] * w[j * n + i];
        }
}

static void ref_shared(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = bm_shape_rows(&t->in[0].shape), n = bm_shape_last(&t->in[0].shape);
    double *h = malloc((size_t)(rows * n) * sizeof *h);
    times(h, in[0], in[1], rows, n);
    times(out[0], h, in[1], rows, n);
    times(out[1], in[0], in[2], rows, n);
    free(h);
}

START_TEST(gradients_of_shared_operands_add_up)
{
    optest t = {.name = "shared", .n_in = 3, .n_out = 2, .build = build_shared, .reference = ref_shared, .c = 8, .length = 256,
                .floor = 4, .grad_c = 16, .grad_length = 256, .f32_only = 1};
    t.in[0] = (optest_input){.shape = BM_SHAPE(3, 17), .gradient = 1};
    t.in[1] = (optest_input){.shape = BM_SHAPE(17, 17), .place = BM_PLACE_WEIGHT, .gradient = 1};
    t.in[2] = (optest_input){.shape = BM_SHAPE(17, 17), .place = BM_PLACE_WEIGHT, .gradient = 1};
    optest_check(&t);
    optest_check_accumulate(&t);
}
END_TEST

typedef struct flip {
    int a, b;
} flip;

static void build_matmul(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    const flip *f = t->with;
    out[0] = bm_matmul(g, in[0], in[1], f->a, f->b);
}

static void ref_matmul(double *const *out, const double *const *in, const optest *t)
{
    const flip *f = t->with;
    const bm_shape *a = &t->in[0].shape, *b = &t->in[1].shape;
    const int64_t m = a->dim[f->a ? a->rank - 1 : a->rank - 2], k = a->dim[f->a ? a->rank - 2 : a->rank - 1];
    const int64_t n = b->dim[f->b ? b->rank - 2 : b->rank - 1], batch = bm_shape_elements(a) / (m * k);
    for (int64_t z = 0; z < batch; z++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double s = 0;
                for (int64_t p = 0; p < k; p++)
                    s += in[0][z * m * k + (f->a ? p * m + i : i * k + p)] * in[1][z * k * n + (f->b ? j * k + p : p * n + j)];
                out[0][z * m * n + i * n + j] = s;
            }
}

START_TEST(matmul_takes_every_transposition)
{
    const flip f = {_i & 1, _i >> 1};
    static const int64_t mnk[][4] = {{1, 1, 1, 1}, {1, 2, 3, 17}, {3, 5, 7, 4}, {2, 33, 31, 16}, {1, 64, 65, 67}};
    for (int i = 0; i < (optest_small() ? 2 : 5); i++) {
        const int64_t z = mnk[i][0], m = mnk[i][1], n = mnk[i][2], k = mnk[i][3];
        optest t = {.name = "matmul", .n_in = 2, .n_out = 1, .build = build_matmul, .reference = ref_matmul, .with = &f, .c = 6,
                    .length = (double)k, .grad_c = 6, .grad_length = (double)(m + n), .floor = sqrt((double)k)};
        t.in[0] = (optest_input){.shape = f.a ? BM_SHAPE(z, k, m) : BM_SHAPE(z, m, k), .gradient = 1};
        t.in[1] = (optest_input){.shape = f.b ? BM_SHAPE(z, n, k) : BM_SHAPE(z, k, n), .gradient = 1};
        optest_check(&t);
    }
}
END_TEST

START_TEST(operands_that_do_not_fit_are_refused)
{
    for (int i = 0; i < 4; i++) {
        bm_graph *g = NULL;
        bm_graph_opts opts = bm_graph_opts_with_ops();
        test_ok(bm_graph_create(&g, &opts));
        bm_value *x = bm_graph_input(g, "x", BM_F32, BM_SHAPE(2, 3)), *w = bm_graph_input(g, "w", BM_F32, BM_SHAPE(5, 4));
        bm_value *v = bm_graph_input(g, "v", BM_F32, BM_SHAPE(5, 3)), *k = bm_graph_input(g, "k", BM_I32, BM_SHAPE(5, 3));
        bm_value *y = i == 0   ? bm_linear(g, x, w, NULL, BM_ACT_NONE)
                      : i == 1 ? bm_linear(g, x, v, x, BM_ACT_NONE)
                      : i == 2 ? bm_linear(g, x, k, NULL, BM_ACT_NONE)
                               : bm_matmul(g, x, w, 0, 0);
        ck_assert(y == NULL);
        test_fails(bm_graph_status(g), BM_ERR_SHAPE, i == 1 ? "x is [2, 3], not [5]" : i == 2 ? "k is i32" : "x is [2, 3] and w is [5, 4]");
        bm_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("linear");
    TCase *c = optest_tcase(s, "linear");
    tcase_add_loop_test(c, linear_is_the_product_with_the_transposed_weight, 0, 2);
    tcase_add_test(c, gradients_of_shared_operands_add_up);
    tcase_add_loop_test(c, matmul_takes_every_transposition, 0, 4);
    tcase_add_test(c, operands_that_do_not_fit_are_refused);
    return test_run(s);
}
