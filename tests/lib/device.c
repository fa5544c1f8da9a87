#include "tests/lib/device.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cl/sources.h"

bm_engine_opts test_engine_opts(void)
{
    bm_engine_opts opts = bm_engine_opts_default();
    opts.sources = bm_cl_sources;
    opts.cl_dir = getenv("BM_CL_DIR");
    opts.cache_dir = getenv("BM_CACHE_DIR");
    const char *form = getenv("BM_TEST_FORM");
    if (form && *form) {
        ck_assert_msg(!strcmp(form, "cpu") || !strcmp(form, "plain"), "BM_TEST_FORM is \"%s\": cpu or plain", form);
        opts.form = !strcmp(form, "cpu") ? BM_FORM_CPU : BM_FORM_PLAIN;
    }
    return opts;
}

bm_status test_engine_try(bm_engine **out, const bm_engine_opts *opts)
{
    const char *spec = getenv("BM_TEST_DEVICE");
    bm_device_list *list = NULL;
    const bm_device *device = NULL;
    int n = 0;
    *out = NULL;
    bm_status status = bm_device_list_create(&list);
    if (!status) status = bm_device_select(&device, &n, 1, list, spec && *spec ? spec : "auto");
    if (!status) status = bm_engine_open(out, device, opts);
    bm_device_list_destroy(list);
    return status;
}

bm_engine *test_engine_open_with(const bm_engine_opts *opts)
{
    bm_engine *e = NULL;
    bm_status status = test_engine_try(&e, opts);
    ck_assert_msg(status == BM_OK, "the tests' device cannot be opened: %s", bm_error_text(status));
    return e;
}

bm_engine *test_engine_open(void)
{
    bm_engine_opts opts = test_engine_opts();
    return test_engine_open_with(&opts);
}
