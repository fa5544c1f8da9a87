#include "tests/lib/layer.h"

#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/device/cl_api.h"
#include "tests/lib/test.h"

static const char *layer_path(void) { return getenv("BM_TEST_LAYER"); }

void test_layer_use(void)
{
    if (!layer_path() || layer_path()[0] != '/') {
        fprintf(stderr, "BM_TEST_LAYER is not the layer's full path: run the tests with ctest\n");
        exit(EXIT_FAILURE);
    }
    /* Above those that are there already: the loader puts each one over those before it. */
    const char *others = getenv("OPENCL_LAYERS");
    char all[8192];
    snprintf(all, sizeof all, "%s%s%s", others ? others : "", others && *others ? ":" : "", layer_path());
    setenv("OPENCL_LAYERS", all, 1);
}

const layer_api *test_layer(void)
{
    static const layer_api *layer;
    if (layer) return layer;
    test_ok(bm_cl_load());
    void *library = dlopen(layer_path(), RTLD_NOW | RTLD_NOLOAD);
    ck_assert_msg(library != NULL, "the OpenCL loader did not load the layer %s", layer_path());
    const layer_api *found = dlsym(library, LAYER_SYMBOL);
    ck_assert_msg(found != NULL, "%s has no %s", layer_path(), LAYER_SYMBOL);
    ck_assert_msg(found->calls("GetPlatformIDs") > 0, "the layer %s does not see OpenCL calls", layer_path());
    layer = found;
    return layer;
}

static void assert_same_alive(const layer_stats *a, const layer_stats *b, long long n)
{
    ck_assert_msg(a->contexts == b->contexts && a->queues == b->queues && a->buffers == b->buffers &&
                      a->buffer_bytes == b->buffer_bytes && a->programs == b->programs && a->kernels == b->kernels &&
                      a->events == b->events,
                  "OpenCL call %lld failed: left alive are %lld contexts, %lld queues, %lld buffers, %lld programs, %lld kernels, "
                  "%lld events",
                  n, (long long)(b->contexts - a->contexts), (long long)(b->queues - a->queues),
                  (long long)(b->buffers - a->buffers), (long long)(b->programs - a->programs),
                  (long long)(b->kernels - a->kernels), (long long)(b->events - a->events));
}

void test_fail_calls(bm_status (*fn)(void *arg), void *arg, int code)
{
    const layer_api *layer = test_layer();
    int failures = 0;
    for (int64_t n = 1;; n++) {
        const int64_t live = bm_mem_get_stats().live;
        const layer_stats before = layer->stats();
        layer->fail_nth(NULL, n, code, 0);
        bm_status s = fn(arg);
        int fired = layer->fired();
        layer->fail_nth(NULL, 0, 0, 0);
        const layer_stats after = layer->stats();
        assert_same_alive(&before, &after, (long long)n);
        ck_assert_msg(bm_mem_get_stats().live == live, "OpenCL call %lld failed: %lld host blocks leaked", (long long)n,
                      (long long)(bm_mem_get_stats().live - live));
        if (!fired) {
            test_ok(s);
            break;
        }
        failures += s != BM_OK;
    }
    ck_assert_msg(failures > 0, "no failing OpenCL call was noticed");
}
