/* ctest: oclgrind rusticl */
#include <math.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/scalars.h"
#include "tests/lib/optest.h"
#include "tests/lib/test.h"

static void build(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_embedding(g, in[0], in[1]);
}

static void reference(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = bm_shape_elements(&t->in[1].shape), C = t->in[0].shape.dim[1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < C; c++) out[0][r * C + c] = in[0][(int64_t)in[1][r] * C + c];
}

/* The same table twice: gradients of both uses meet. */
static void build_tied(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_embedding(g, in[0], in[1]);
    out[1] = bm_embedding(g, in[0], in[2]);
}

static void reference_tied(double *const *out, const double *const *in, const optest *t)
{
    const double *second[] = {in[0], in[2]};
    reference(out, in, t);
    reference(&out[1], second, t);
}

/* Forward copies: no error at all. A gradient adds as many rows as an id has, `repeats` or so. */
static void check(const char *name, int64_t V, int64_t C, int64_t rows, double repeats)
{
    optest t = {.name = name, .n_in = 2, .n_out = 1, .build = build, .reference = reference, .c = 0, .grad_c = 2};
    t.in[0] = (optest_input){.shape = BM_SHAPE(V, C), .place = BM_PLACE_WEIGHT, .gradient = rows > 0};
    t.in[1] = (optest_input){.shape = BM_SHAPE(rows), .fill = OPTEST_INDEX, .low = 0, .high = (double)V};
    t.grad_length = repeats;
    optest_check(&t);
    if (rows) optest_check_accumulate(&t);
    t.in[2] = t.in[1];
    t.n_in = 3;
    t.n_out = 2;
    t.build = build_tied;
    t.reference = reference_tied;
    t.grad_length = 2 * repeats;
    optest_check(&t);
}

START_TEST(embedding_copies_rows_and_scatters_gradients)
{
    check("no ids", 5, 7, 0, 1);
    check("one", 1, 1, 1, 1);
    check("few ids, often", 3, 17, 61, 30);
    check("one column more than a group's", 11, 65, 13, 4);
    if (optest_small()) return;
    check("many short rows", 100, 3, 2000, 40);
    check("a prime of ids", 1009, 64, 131, 2);
    check("wide rows", 50, 768, 97, 6);
}
END_TEST

typedef struct place {
    uint32_t offset;
} place;

static void prepare(bm_plan *p, const optest *t)
{
    bm_plan_set_u32(p, BM_RT_POSITION, ((const place *)t->with)->offset);
}

static void build_positions(bm_graph *g, bm_value **out, bm_value *const *in, const optest *t)
{
    (void)t;
    out[0] = bm_embedding_positions(g, in[0], in[1], in[2], bm_value_dtype(in[0]));
    out[1] = bm_embedding_positions(g, in[0], in[1], in[2], BM_F32); /* of tables of any type */
}

static void reference_positions(double *const *out, const double *const *in, const optest *t)
{
    const int64_t rows = bm_shape_elements(&t->in[2].shape), C = t->in[0].shape.dim[1], T = t->in[2].shape.dim[1];
    const int64_t offset = ((const place *)t->with)->offset;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < C; c++)
            out[1][r * C + c] = out[0][r * C + c] = in[0][(int64_t)in[2][r] * C + c] + in[1][(offset + r % T) * C + c];
}

static void check_positions(const char *name, int64_t P, int64_t C, int64_t B, int64_t T, uint32_t offset)
{
    const int64_t V = 13;
    const place with = {offset};
    optest t = {.name = name, .n_in = 3, .n_out = 2, .build = build_positions, .reference = reference_positions,
                .with = &with, .prepare = prepare, .c = 1, .grad_c = 2};
    t.in[0] = (optest_input){.shape = BM_SHAPE(V, C), .place = BM_PLACE_WEIGHT, .gradient = B * T > 0};
    t.in[1] = (optest_input){.shape = BM_SHAPE(P, C), .place = BM_PLACE_WEIGHT, .gradient = B * T > 0};
    t.in[2] = (optest_input){.shape = BM_SHAPE(B, T), .fill = OPTEST_INDEX, .low = 0, .high = (double)V};
    t.grad_length = 2 * ((double)(B * T) / (double)V + (double)B);
    optest_check(&t);
    if (B * T > 0) optest_check_accumulate(&t);
}

START_TEST(embedding_adds_the_row_of_the_position)
{
    check_positions("no batch", 5, 7, 0, 3, 0);
    check_positions("one token", 1, 1, 1, 1, 0);
    check_positions("decoding", 9, 17, 3, 1, 8);
    check_positions("part of the positions", 31, 33, 2, 11, 0);
    if (optest_small()) return;
    check_positions("a chunk of a prompt", 100, 65, 2, 37, 63);
    check_positions("all positions", 64, 768, 4, 64, 0);
}
END_TEST

/* ids V and -1 and position 5 are outside: NaN comes out, and the gradient changes nothing but what it should. In the
 * banks each table has a neighbour right behind its last row, which nothing writes. */
static void check_outside(bm_form form, int positions)
{
    enum { V = 7, P = 5, C = 32, T = 6 };
    static const char *const names[] = {"0 token", "1 behind token", "2 position", "3 behind position"};
    const int32_t ids[T] = {0, V, 6, -1, 2, 3}; /* the last stands at position 5 */
    const int64_t rows[4] = {V, 4, P, 4};
    float data[4][V * C], grad[4][V * C], y[T * C];
    bm_engine *e = optest_engine(form);
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    bm_plan *p = NULL;
    bm_layout *layout = NULL;
    bm_bank *banks[2] = {NULL, NULL};
    bm_value *w[4];
    test_ok(bm_graph_create(&g, &opts));
    for (int i = 0; i < 4; i++) w[i] = bm_graph_param(g, names[i], BM_F32, BM_SHAPE(rows[i], C), 0);
    bm_value *at = bm_graph_input(g, "ids", BM_I32, BM_SHAPE(1, T));
    bm_value *out = positions ? bm_embedding_positions(g, w[0], w[2], at, BM_F32) : bm_embedding(g, w[0], at);
    bm_graph_output(g, out, "y");
    test_ok(bm_graph_gradients(g, bm_sum(g, out)));
    test_ok(bm_layout_create(&layout, g, BM_PLACE_WEIGHT, bm_engine_limits(e)));
    for (int i = 0; i < 2; i++) test_ok(bm_bank_create(&banks[i], e, layout, i ? BM_PLACE_GRAD : BM_PLACE_WEIGHT));
    for (int i = 0; i < 4; i++) {
        const bm_tensor *t = bm_layout_find(layout, names[i]);
        for (int k = 0; k < rows[i] * C; k++) data[i][k] = (float)(i * 1000 + k);
        test_ok(bm_bank_write(banks[0], t, 0, data[i], t->bytes));
    }
    test_ok(bm_plan_create(&p, e, g, &(bm_plan_opts){.banks = banks, .n_banks = 2}));
    test_ok(bm_plan_write(p, at, ids));
    test_ok(bm_plan_run(p));
    test_ok(bm_plan_read(p, out, y));
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++) {
            const int known = ids[t] >= 0 && ids[t] < V && (!positions || t < P);
            const float want = known ? data[0][ids[t] * C + c] + (positions ? data[2][t * C + c] : 0) : NAN;
            const float got = y[t * C + c];
            ck_assert_msg(known ? got == want : isnan(got), "row %d, column %d: %g", t, c, (double)got);
        }
    for (int i = 0; i < 4; i++) {
        const bm_tensor *t = bm_layout_find(layout, names[i]);
        test_ok(bm_bank_read(banks[1], t, 0, grad[i], t->bytes));
    }
    const float want[V] = {1, 0, 1, 1, 0, 0, 1};
    for (int k = 0; k < V * C; k++) ck_assert_float_eq(grad[0][k], want[k / C]);
    for (int k = 0; positions && k < P * C; k++) ck_assert_float_eq(grad[2][k], 1);
    for (int k = 0; k < 4 * C; k++) ck_assert(grad[1][k] == 0 && grad[3][k] == 0);
    bm_plan_destroy(p);
    for (int i = 0; i < 2; i++) bm_bank_destroy(banks[i]);
    bm_layout_destroy(layout);
    bm_graph_destroy(g);
}

START_TEST(numbers_outside_the_tables_are_seen_and_touch_nothing)
{
    EACH_FORM(form)
    for (int positions = 0; positions < 2; positions++) check_outside(form, positions);
}
END_TEST

START_TEST(tables_that_do_not_fit_are_refused)
{
    bm_graph_opts opts = bm_graph_opts_with_ops();
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, &opts));
    bm_value *token = bm_graph_input(g, "token", BM_F32, BM_SHAPE(5, 4)), *ids = bm_graph_input(g, "ids", BM_I32, BM_SHAPE(2, 3));
    ck_assert_ptr_null(bm_embedding_positions(g, token, bm_graph_input(g, "position", BM_F32, BM_SHAPE(9, 3)), ids, BM_F32));
    ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
    bm_graph_destroy(g);
    test_ok(bm_graph_create(&g, &opts));
    token = bm_graph_input(g, "token", BM_F32, BM_SHAPE(5, 4));
    ck_assert_ptr_null(bm_embedding(g, token, bm_graph_input(g, "ids", BM_U32, BM_SHAPE(3))));
    ck_assert_int_eq(bm_graph_status(g), BM_ERR_SHAPE);
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("embedding");
    TCase *c = optest_tcase(s, "embedding");
    tcase_add_test(c, embedding_copies_rows_and_scatters_gradients);
    tcase_add_test(c, embedding_adds_the_row_of_the_position);
    tcase_add_test(c, numbers_outside_the_tables_are_seen_and_touch_nothing);
    tcase_add_test(c, tables_that_do_not_fit_are_refused);
    return test_run(s);
}
