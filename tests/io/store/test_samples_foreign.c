/* Datasets of samples that bm did not write: what they lack is refused, numbers that there are not are found where they lie. */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/loader.h"
#include "io/store/writer.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

enum { T = 6, VOCAB = 50, CLASSES = 7 };

/* ---- files of others: HDF5 that bm reads, with contents that are no dataset of samples ---- */

typedef struct field {
    const char *path;
    bm_dtype dtype;
    bm_shape shape;
} field;

typedef struct foreign {
    field data[3];
    struct {
        const char *object, *name;
        bm_dtype dtype; /* u64 or f32 */
        double value;
        int64_t count;  /* of f32 */
    } attr[4];
    int64_t start, count; /* of the training part; 0, 0: there is none */
    const char *words;
} foreign;

static void make_foreign(const char *path, const foreign *f)
{
    bm_writer *w = NULL;
    static const uint8_t zeros[1 << 16];
    float numbers[256];
    test_ok(bm_writer_create(&w, path, &(bm_writer_opts){.kind = BM_STORE_DATASET, .replace = 1}));
    int64_t index[3];
    for (int i = 0; i < 3 && f->data[i].path; i++) test_ok(bm_writer_dataset(&index[i], w, f->data[i].path, f->data[i].dtype, &f->data[i].shape));
    for (int i = 0; i < 4 && f->attr[i].object; i++) {
        for (int k = 0; k < 256; k++) numbers[k] = (float)f->attr[i].value;
        const bm_shape shape = BM_SHAPE(f->attr[i].count);
        if (f->attr[i].dtype == BM_U64) test_ok(bm_writer_attr_u64(w, f->attr[i].object, f->attr[i].name, (uint64_t)f->attr[i].value));
        else test_ok(bm_writer_attr(w, f->attr[i].object, f->attr[i].name, BM_F32, &shape, numbers));
    }
    if (f->count) {
        test_ok(bm_writer_group(w, "/splits/train"));
        test_ok(bm_writer_attr_u64(w, "/splits/train", "start", (uint64_t)f->start));
        test_ok(bm_writer_attr_u64(w, "/splits/train", "count", (uint64_t)f->count));
    }
    test_ok(bm_writer_begin(w));
    for (int i = 0; i < 3 && f->data[i].path; i++) {
        const int64_t n = bm_shape_elements(&f->data[i].shape);
        if (n) test_ok(bm_writer_put(w, index[i], zeros, 0, n));
    }
    test_ok(bm_writer_commit(NULL, w));
    bm_writer_destroy(w);
}

#define DIMS(...) {.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = {__VA_ARGS__}}
#define PIXELS(...) {"/images/data", BM_U8, DIMS(__VA_ARGS__)}
#define LABELS(t, ...) {"/images/label", t, DIMS(__VA_ARGS__)}
#define INPUTS(t, ...) {"/rows/inputs", t, DIMS(__VA_ARGS__)}
#define TARGETS(t, ...) {"/rows/targets", t, DIMS(__VA_ARGS__)}
#define LENGTHS(t, ...) {"/rows/lengths", t, DIMS(__VA_ARGS__)}
#define N_CLASSES(group, n) {group, "n_classes", BM_U64, n, 0}
#define MEAN(n) {"/images", "mean", BM_F32, 0.5, n}
#define STD(v, n) {"/images", "std", BM_F32, v, n}

static const foreign foreigners[] = {
    /* as it should be, to see that the others are refused for their fault */
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, NULL},
    {{INPUTS(BM_I32, 4, 2), TARGETS(BM_I32, 4, 2), LENGTHS(BM_I32, 4)}, {N_CLASSES("/rows", 3), {"/rows", "vocab_size", BM_U64, 9, 0}}, 0, 4, NULL},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_F32, 4, 2)}, {N_CLASSES("/rows", 0)}, 1, 3, NULL},
    {{{"/images/data", BM_F32, DIMS(4, 1, 2, 2)}, LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, "u8 [N, C, H, W]"},
    {{PIXELS(4, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, "u8 [N, C, H, W]"},
    {{PIXELS(4, 65, 1, 1), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(65), STD(1, 65)}, 0, 4, "u8 [N, C, H, W]"},
    {{PIXELS(4, 0, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(0), STD(1, 0)}, 0, 4, "no samples"},
    {{PIXELS(0, 1, 2, 2), LABELS(BM_I32, 0)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 0, "no samples"},
    {{PIXELS(4, 1, 2, 2)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, "/images/label"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I64, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, "/images/label"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4, 1)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, "/images/label"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 5)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 0, 4, "4 inputs and 5 targets"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(2), STD(1, 1)}, 0, 4, "mean"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1)}, 0, 4, "std"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(0, 1)}, 0, 4, "mean or std"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(NAN, 1)}, 0, 4, "mean or std"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(INFINITY, 1)}, 0, 4, "mean or std"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {MEAN(1), STD(1, 1)}, 0, 4, "n_classes"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 0), MEAN(1), STD(1, 1)}, 0, 4, "0 classes"},
    {{PIXELS(4, 1, 2, 2), LABELS(BM_I32, 4)}, {N_CLASSES("/images", 3), MEAN(1), STD(1, 1)}, 1, 4, "rule 9"},
    {{INPUTS(BM_F64, 4, 2), TARGETS(BM_F32, 4, 2)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/inputs"},
    {{INPUTS(BM_F32, 4), TARGETS(BM_F32, 4, 2)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/inputs"},
    {{INPUTS(BM_F32, 4, 1, 1, 1, 1), TARGETS(BM_F32, 4, 2)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/inputs"},
    {{INPUTS(BM_F32, 4, 2)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/targets"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_F64, 4, 2)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/targets"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_F32, 4)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/targets"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_F32, 4, 1, 1)}, {N_CLASSES("/rows", 0)}, 0, 4, "/rows/targets"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_F32, 3, 1)}, {N_CLASSES("/rows", 0)}, 0, 3, "4 inputs and 3 targets"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_F32, 4, 1)}, {N_CLASSES("/rows", 5)}, 0, 4, "5 classes"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_I32, 4)}, {N_CLASSES("/rows", 3e9)}, 0, 4, "3000000000 classes"},
    {{INPUTS(BM_I32, 4, 2), TARGETS(BM_I32, 4)}, {N_CLASSES("/rows", 3)}, 0, 4, "vocab_size"},
    {{INPUTS(BM_I32, 4, 2), TARGETS(BM_I32, 4)}, {N_CLASSES("/rows", 3), {"/rows", "vocab_size", BM_U64, 0, 0}}, 0, 4, "vocabulary"},
    {{INPUTS(BM_I32, 4, 2), TARGETS(BM_I32, 4)}, {N_CLASSES("/rows", 3), {"/rows", "vocab_size", BM_U64, 3e9, 0}}, 0, 4, "vocabulary"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_I32, 4), LENGTHS(BM_I64, 4)}, {N_CLASSES("/rows", 3)}, 0, 4, "/rows/lengths"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_I32, 4), LENGTHS(BM_I32, 3)}, {N_CLASSES("/rows", 3)}, 0, 4, "/rows/lengths"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_I32, 4), LENGTHS(BM_I32, 4, 1)}, {N_CLASSES("/rows", 3)}, 0, 4, "/rows/lengths"},
    {{INPUTS(BM_F32, 4, 2), TARGETS(BM_I32, 4), {"/encoding/json", BM_I32, {.rank = 1, .dim = {4}}}}, {N_CLASSES("/rows", 3)}, 0, 4, "/encoding/json"},
    {{{"/something", BM_F32, {.rank = 1, .dim = {4}}}}, {{NULL, NULL, BM_U64, 0, 0}}, 0, 0, "neither tokens nor images nor rows"},
};

START_TEST(files_of_another_schema_are_refused)
{
    for (size_t i = 0; i < sizeof foreigners / sizeof *foreigners; i++) {
        bm_data *d = NULL;
        const int64_t live = bm_mem_get_stats().live;
        make_foreign(test_path("foreign.h5"), &foreigners[i]);
        const bm_status s = bm_data_open(&d, test_path("foreign.h5"));
        if (!foreigners[i].words) {
            test_ok(s);
            bm_data_close(d);
        } else {
            ck_assert_msg(s == BM_ERR_REFUSED, "case %d (%s): %s: %s", (int)i, foreigners[i].words, bm_status_name(s), bm_error_text(s));
            test_text_holds(bm_error_text(s), foreigners[i].words);
            test_text_holds(bm_error_text(s), "foreign.h5");
            ck_assert_ptr_null(d);
        }
        ck_assert_int_eq(bm_mem_get_stats().live, live);
    }
    bm_data *d = NULL;
    test_ok(test_store_write(NULL, test_path("foreign.h5"), 1, 1));
    test_fails(bm_data_open(&d, test_path("foreign.h5")), BM_ERR_REFUSED, "checkpoint");
}
END_TEST

/* Classes, ids and lengths that there are not are found when they are read. */
START_TEST(numbers_out_of_range_are_found_where_they_lie)
{
    static const struct {
        const char *field, *words;
        int32_t value;
    } bad[] = {{"/rows/targets", "sample 2: class 7 of 7", CLASSES}, {"/rows/inputs", "sample 2: id 50 of 50", VOCAB},
               {"/rows/inputs", "sample 2: id -1 of 50", -1}, {"/rows/lengths", "sample 2: length 7 of 7", T + 1},
               {"/rows/lengths", "sample 2: length -1", -1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bm_writer *w = NULL;
        bm_data *d = NULL;
        bm_loader *l = NULL;
        bm_batch b;
        int32_t data[3][4 * T] = {{0}};
        static const char *const names[3] = {"/rows/inputs", "/rows/targets", "/rows/lengths"};
        for (int k = 0; k < 3; k++)
            if (!strcmp(names[k], bad[i].field)) data[k][k < 2 ? 2 * T + 3 : 2] = bad[i].value;
        test_ok(bm_writer_create(&w, test_path("range.h5"), &(bm_writer_opts){.kind = BM_STORE_DATASET, .replace = 1}));
        int64_t index[3];
        for (int k = 0; k < 3; k++) {
            const bm_shape shape = k < 2 ? BM_SHAPE(4, T) : BM_SHAPE(4);
            test_ok(bm_writer_dataset(&index[k], w, names[k], BM_I32, &shape));
        }
        test_ok(bm_writer_attr_u64(w, "/rows", "n_classes", CLASSES));
        test_ok(bm_writer_attr_u64(w, "/rows", "vocab_size", VOCAB));
        test_ok(bm_writer_group(w, "/splits/train"));
        test_ok(bm_writer_attr_u64(w, "/splits/train", "start", 0));
        test_ok(bm_writer_attr_u64(w, "/splits/train", "count", 4));
        test_ok(bm_writer_begin(w));
        for (int k = 0; k < 3; k++) test_ok(bm_writer_put(w, index[k], data[k], 0, k < 2 ? 4 * T : 4));
        test_ok(bm_writer_commit(NULL, w));
        bm_writer_destroy(w);
        test_ok(bm_data_open(&d, test_path("range.h5")));
        bm_loader_opts o = bm_loader_opts_default();
        const bm_sample_form f = bm_data_form(d, 1);
        o.batch = 1;
        o.shuffle = 0;
        test_ok(bm_loader_create(&l, d, &o));
        test_ok(bm_batch_create(&b, &f, 1));
        for (int k = 0; k < 2; k++) test_ok(bm_loader_next(l, &b, NULL));
        for (int k = 0; k < 2; k++) test_fails(bm_loader_next(l, &b, NULL), BM_ERR_DAMAGED, bad[i].words);
        bm_batch_finish(&b);
        bm_loader_destroy(l);
        bm_data_close(d);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/samples_foreign");
    TCase *t = tcase_create("foreign");
    tcase_add_test(t, files_of_another_schema_are_refused);
    tcase_add_test(t, numbers_out_of_range_are_found_where_they_lie);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
