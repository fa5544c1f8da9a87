/* The layer library itself: it must see what this process calls, or the tests that rest on it prove nothing. */
/* ctest: oclgrind */
#include <stdlib.h>

#include "core/device/cl_api.h"
#include "core/device/memory.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

START_TEST(buffers_are_counted_with_their_bytes)
{
    const layer_api *layer = test_layer();
    bm_engine *e = test_engine_open();
    layer->reset();
    cl_int err = CL_SUCCESS;
    cl_mem a = bm_cl.CreateBuffer(bm_engine_context(e), CL_MEM_READ_WRITE, 1000, NULL, &err);
    cl_mem b = bm_cl.CreateBuffer(bm_engine_context(e), CL_MEM_READ_WRITE, 5000, NULL, &err);
    ck_assert_int_eq(layer->stats().buffer_bytes, 6000);
    bm_cl.ReleaseMemObject(a);
    ck_assert_int_eq(layer->stats().buffer_bytes, 5000);
    ck_assert_int_eq(layer->stats().peak_bytes, 6000);
    ck_assert_int_eq(layer->stats().buffers_made, 2);
    bm_cl.ReleaseMemObject(b);
    ck_assert_int_eq(layer->stats().buffer_bytes, 0);
    bm_engine_close(e);
    ck_assert_int_eq(layer->stats().contexts, 0);
    ck_assert_int_eq(layer->stats().queues, 0);
}
END_TEST

START_TEST(a_chosen_call_fails_once)
{
    const layer_api *layer = test_layer();
    bm_engine *e = test_engine_open();
    cl_int err = CL_SUCCESS;
    ck_assert_int_eq(layer->fail_nth("CreateBuffer", 2, CL_OUT_OF_HOST_MEMORY, 0), 1);
    cl_mem a = bm_cl.CreateBuffer(bm_engine_context(e), CL_MEM_READ_WRITE, 1000, NULL, &err);
    ck_assert_int_eq(err, CL_SUCCESS);
    ck_assert_int_eq(layer->fired(), 0);
    ck_assert_ptr_null(bm_cl.CreateBuffer(bm_engine_context(e), CL_MEM_READ_WRITE, 1000, NULL, &err));
    ck_assert_int_eq(err, CL_OUT_OF_HOST_MEMORY);
    ck_assert_int_eq(layer->fired(), 1);
    cl_mem b = bm_cl.CreateBuffer(bm_engine_context(e), CL_MEM_READ_WRITE, 1000, NULL, &err);
    ck_assert_int_eq(err, CL_SUCCESS);
    bm_cl.ReleaseMemObject(a);
    bm_cl.ReleaseMemObject(b);
    bm_engine_close(e);
    ck_assert_int_eq(layer->fail_nth("CreateBufer", 1, -5, 0), 0);
    ck_assert_int_eq(layer->fail_nth("ReleaseMemObject", 1, -5, 0), 0);
}
END_TEST

START_TEST(blocking_calls_are_counted)
{
    const layer_api *layer = test_layer();
    bm_engine *e = test_engine_open();
    bm_region *r = NULL;
    test_ok(bm_region_create(&r, e, "r", (int64_t[]){4096}, 1, 1));
    cl_mem m = NULL;
    test_ok(bm_region_piece(&m, r, 0, 0, 4096));
    uint32_t word = 7;
    bm_queue *q = bm_engine_queue(e);
    layer->reset();
    test_ok(bm_queue_write(q, m, 0, &word, sizeof word));
    test_ok(bm_queue_fill(q, m, 8, 8, 1));
    test_ok(bm_queue_flush(q));
    ck_assert_int_eq(layer->stats().blocking, 0);
    ck_assert_int_eq(layer->calls("EnqueueWriteBuffer"), 1);
    ck_assert_int_eq(layer->calls("EnqueueFillBuffer"), 1);
    ck_assert_int_eq(layer->calls("Flush"), 1);
    test_ok(bm_queue_read(q, m, 0, &word, sizeof word));
    ck_assert_int_eq(layer->stats().blocking, 1);
    test_ok(bm_queue_finish(q));
    ck_assert_int_eq(layer->stats().blocking, 2);
    ck_assert_int_eq(layer->stats().calls, 5);
    ck_assert_int_eq(layer->calls("NoSuchFunction"), -1);
    bm_region_destroy(r);
    bm_engine_close(e);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/device/layer");
    TCase *c = tcase_create("layer");
    tcase_add_test(c, buffers_are_counted_with_their_bytes);
    tcase_add_test(c, a_chosen_call_fails_once);
    tcase_add_test(c, blocking_calls_are_counted);
    suite_add_tcase(s, c);
    return test_run(s);
}
