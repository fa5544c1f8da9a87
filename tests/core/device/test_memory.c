/* ctest: rusticl */
/* ctest: oclgrind */
#include <stdlib.h>
#include <string.h>

#include "core/device/cl_api.h"
#include "core/device/memory.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static bm_engine *engine;

static void open_engine(void) { engine = test_engine_open(); }
static void close_engine(void) { bm_engine_close(engine); }

/* Sizes from which on a CPU's slabs are pages of the host's are megabytes, and minutes for Oclgrind. */
static int small(void) { return getenv("BM_TEST_OCLGRIND") != NULL; }

static bm_status make_region(void *arg)
{
    (void)arg;
    bm_region *r = NULL;
    cl_mem a = NULL, b = NULL;
    int64_t align = bm_engine_limits(engine)->align_bytes;
    int64_t bytes[] = {4 * align, 7, small() ? 9 : (int64_t)3 << 20};
    bm_status status = bm_region_create(&r, engine, "weights", bytes, 3, 1);
    ck_assert((status == BM_OK) == (r != NULL));
    if (!status) status = bm_region_piece(&a, r, 0, align, align);
    if (!status) status = bm_region_piece(&b, r, 0, 2 * align, align);
    bm_region_destroy(r);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    return status;
}

START_TEST(create_survives_failing_allocations) { test_fail_allocations(make_region, NULL); }
END_TEST

START_TEST(create_survives_failing_calls) { test_fail_calls(make_region, NULL, CL_OUT_OF_HOST_MEMORY); }
END_TEST

START_TEST(each_slab_is_one_buffer_and_is_counted)
{
    const layer_api *layer = test_layer();
    layer->reset();
    int64_t before = layer->stats().buffer_bytes;
    bm_region *r = NULL;
    int64_t bytes[] = {4096, 1, 1000};
    test_ok(bm_region_create(&r, engine, "state", bytes, 3, 0));
    ck_assert_str_eq(bm_region_name(r), "state");
    ck_assert_int_eq(bm_region_slabs(r), 3);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(bm_region_slab_bytes(r, i), bytes[i]);
    ck_assert_int_eq(layer->stats().buffers_made, 3);
    ck_assert_int_eq(layer->stats().buffer_bytes - before, 5097);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 5097);
    bm_region_destroy(r);
    ck_assert_int_eq(layer->stats().buffer_bytes, before);
    ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    ck_assert_int_eq(bm_engine_peak_bytes(engine), 5097);
    bm_region_destroy(NULL);
}
END_TEST

START_TEST(a_region_is_zeroed_to_its_last_byte)
{
    enum { MOST = (2 << 20) + 4097 };
    static const int64_t sizes[] = {1, 2, 3, 4, 15, 16, 17, 255, 4096, 10007, 1 << 20, MOST};
    unsigned char *seen = malloc(MOST), *ones = malloc(MOST);
    memset(ones, 0xAA, MOST);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] - (small() ? 2 : 0); i++) {
        bm_region *r = NULL;
        cl_mem m = NULL;
        memset(seen, 0xAA, MOST);
        test_ok(bm_region_create(&r, engine, "r", &sizes[i], 1, 1));
        test_ok(bm_region_piece(&m, r, 0, 0, sizes[i]));
        test_ok(bm_queue_read(bm_engine_queue(engine), m, 0, seen, sizes[i]));
        for (int64_t k = 0; k < sizes[i]; k++)
            if (seen[k]) ck_abort_msg("byte %d of %d", (int)k, (int)sizes[i]);
        ck_assert_mem_eq(seen + sizes[i], ones, (size_t)(MOST - sizes[i]));
        test_ok(bm_queue_write(bm_engine_queue(engine), m, 0, ones, sizes[i])); /* what the next region may get */
        bm_region_destroy(r);
    }
    test_ok(bm_queue_finish(bm_engine_queue(engine))); /* the last write has passed: `ones` may go */
    free(seen);
    free(ones);
}
END_TEST

START_TEST(equal_pieces_are_one_object)
{
    const layer_api *layer = test_layer();
    int64_t align = bm_engine_limits(engine)->align_bytes;
    int64_t bytes[] = {64 * align, 64 * align};
    bm_region *r = NULL;
    test_ok(bm_region_create(&r, engine, "r", bytes, 2, 0));
    layer->reset();
    cl_mem first[2][64], again = NULL;
    for (int round = 0; round < 2; round++)
        for (int i = 63; i >= 0; i--) { /* against the order they are kept in */
            for (int s = 0; s < 2; s++) {
                test_ok(bm_region_piece(&again, r, s, i * align, align));
                if (round == 0) first[s][i] = again;
                else ck_assert_ptr_eq(again, first[s][i]);
            }
        }
    ck_assert_int_eq(layer->calls("CreateSubBuffer"), 128);
    for (int i = 0; i < 128; i++)
        for (int k = 0; k < i; k++) ck_assert_ptr_ne(first[i / 64][i % 64], first[k / 64][k % 64]);
    /* The same place with another length is another piece; the whole slab is the slab. */
    test_ok(bm_region_piece(&again, r, 0, 0, align - 1));
    ck_assert_ptr_ne(again, first[0][0]);
    test_ok(bm_region_piece(&again, r, 1, 0, 64 * align));
    ck_assert_int_eq(layer->calls("CreateSubBuffer"), 129);
    bm_region_destroy(r);
}
END_TEST

START_TEST(a_piece_is_its_place_in_the_slab)
{
    int64_t align = bm_engine_limits(engine)->align_bytes;
    int64_t bytes[] = {3 * align};
    bm_queue *q = bm_engine_queue(engine);
    bm_region *r = NULL;
    cl_mem whole = NULL, middle = NULL;
    test_ok(bm_region_create(&r, engine, "r", bytes, 1, 1));
    test_ok(bm_region_piece(&whole, r, 0, 0, 3 * align));
    test_ok(bm_region_piece(&middle, r, 0, align, align));
    test_ok(bm_queue_fill(q, middle, 0, align, 0x01020304));
    uint32_t *seen = calloc(3, (size_t)align);
    ck_assert_ptr_nonnull(seen);
    test_ok(bm_queue_read(q, whole, 0, seen, 3 * align));
    for (int64_t i = 0; i < 3 * align / 4; i++)
        ck_assert_uint_eq(seen[i], i >= align / 4 && i < 2 * align / 4 ? 0x01020304u : 0u);
    free(seen);
    bm_region_destroy(r);
}
END_TEST

START_TEST(what_is_outside_or_not_aligned_is_refused)
{
    int64_t align = bm_engine_limits(engine)->align_bytes;
    int64_t bytes[] = {4 * align};
    bm_region *r = NULL;
    cl_mem m = NULL;
    test_ok(bm_region_create(&r, engine, "gradients", bytes, 1, 0));
    const struct {
        int slab;
        int64_t offset, bytes;
    } outside[] = {{1, 0, 4},  {-1, 0, 4},         {0, -align, 4},     {0, 0, 4 * align + 1}, {0, align, 3 * align + 1},
                   {0, 0, 0}, {0, 4 * align, 1}, {0, INT64_MAX, 1}, {0, 0, INT64_MAX},     {0, align, INT64_MAX}};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        test_fails(bm_region_piece(&m, r, outside[i].slab, outside[i].offset, outside[i].bytes), BM_ERR_USAGE, "gradients");
        ck_assert_ptr_null(m);
    }
    test_fails(bm_region_piece(&m, r, 0, 4, 4), BM_ERR_USAGE, "multiple");
    bm_region_destroy(r);

    bytes[0] = 0;
    test_fails(bm_region_create(&r, engine, "gradients", bytes, 1, 0), BM_ERR_USAGE, "gradients");
    ck_assert_ptr_null(r);
}
END_TEST

START_TEST(a_slab_beyond_the_limit_is_refused_by_name)
{
    bm_engine_opts opts = test_engine_opts();
    opts.max_alloc_bytes = 1 << 20;
    bm_engine *small = test_engine_open_with(&opts);
    bm_region *r = NULL;
    int64_t fits[] = {1 << 20, 1 << 20}, not[] = {1 << 20, (1 << 20) + 1};
    test_ok(bm_region_create(&r, small, "activations", fits, 2, 0));
    bm_region_destroy(r);
    test_fails(bm_region_create(&r, small, "activations", not, 2, 0), BM_ERR_DEVICE_MEMORY,
               "region \"activations\" needs 2.0 MiB");
    test_text_holds(bm_error_text(BM_ERR_DEVICE_MEMORY), bm_engine_device_name(small));
    test_text_holds(bm_error_text(BM_ERR_DEVICE_MEMORY), "memory");
    ck_assert_ptr_null(r);
    bm_engine_close(small);
}
END_TEST

START_TEST(more_than_the_device_has_is_refused_before_it_is_taken)
{
    const layer_api *layer = test_layer();
    layer->reset();
    int64_t each = bm_engine_limits(engine)->max_alloc_bytes;
    int64_t slabs[4096];
    int n = 0;
    for (int64_t sum = 0; sum <= bm_engine_limits(engine)->global_bytes && n < 4096; sum += each) slabs[n++] = each;
    bm_region *r = NULL;
    test_fails(bm_region_create(&r, engine, "weights", slabs, n, 1), BM_ERR_DEVICE_MEMORY, "region \"weights\"");
    ck_assert_int_eq(layer->calls("CreateBuffer"), 0);
    slabs[0] = INT64_MAX;
    test_fails(bm_region_create(&r, engine, "weights", slabs, 2, 1), BM_ERR_DEVICE_MEMORY, "region \"weights\"");
}
END_TEST

START_TEST(what_a_driver_cannot_give_names_the_region)
{
    static const struct {
        const char *call;
        int code;
    } failure[] = {{"CreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE},
                   {"CreateBuffer", CL_OUT_OF_RESOURCES},
                   {"EnqueueFillBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE}, /* drivers that wait for the first use */
                   {"Finish", CL_OUT_OF_RESOURCES}};
    const layer_api *layer = test_layer();
    for (size_t i = 0; i < sizeof failure / sizeof failure[0]; i++) {
        layer->fail_nth(failure[i].call, 1, failure[i].code, 0);
        bm_region *r = NULL;
        test_fails(bm_region_create(&r, engine, "optimizer", (int64_t[]){1000000}, 1, 0), BM_ERR_DEVICE_MEMORY,
                   "region \"optimizer\" needs 1.0 MiB");
        ck_assert(layer->fired());
        ck_assert_int_eq(bm_last_error()->cl_code, failure[i].code);
        ck_assert_int_eq(bm_engine_live_bytes(engine), 0);
    }
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/device/memory");
    TCase *c = tcase_create("memory");
    tcase_add_checked_fixture(c, open_engine, close_engine);
    tcase_add_test(c, create_survives_failing_allocations);
    tcase_add_test(c, create_survives_failing_calls);
    tcase_add_test(c, each_slab_is_one_buffer_and_is_counted);
    tcase_add_test(c, a_region_is_zeroed_to_its_last_byte);
    tcase_add_test(c, equal_pieces_are_one_object);
    tcase_add_test(c, a_piece_is_its_place_in_the_slab);
    tcase_add_test(c, what_is_outside_or_not_aligned_is_refused);
    tcase_add_test(c, a_slab_beyond_the_limit_is_refused_by_name);
    tcase_add_test(c, more_than_the_device_has_is_refused_before_it_is_taken);
    tcase_add_test(c, what_a_driver_cannot_give_names_the_region);
    suite_add_tcase(s, c);
    return test_run(s);
}
