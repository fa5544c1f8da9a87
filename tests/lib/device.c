#include "tests/lib/device.h"

#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/sources.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/test.h"

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
    opts.no_dots = getenv("BM_TEST_NO_DOTS") != NULL;
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

static bm_engine *shared;

static void close_shared(void)
{
    bm_engine_close(shared);
    shared = NULL;
}

void test_together(TCase *t, void (*close)(void))
{
    if (getenv("BM_TEST_OCLGRIND")) {
        tcase_add_checked_fixture(t, NULL, close);
        return;
    }
    setenv("CK_FORK", "no", 0);
    tcase_add_unchecked_fixture(t, NULL, close);
}

void test_share_engine(TCase *t) { test_together(t, close_shared); }

bm_engine *test_engine_shared(void)
{
    if (!shared) shared = test_engine_open();
    return shared;
}

void test_copy_kernel(const char *folder, const char *name, const char *from, const char *to)
{
    char path[600], source[300], *text = NULL;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(source, sizeof source, "cl/%s", name);
    test_ok(bm_file_read(&text, &bytes, test_source(source), 1 << 20));
    bm_str s;
    bm_str_init(&s);
    char *at = *from ? strstr(text, from) : NULL;
    ck_assert_msg(!*from || at, "%s does not hold \"%s\"", name, from);
    if (at) {
        bm_str_add_bytes(&s, text, (size_t)(at - text));
        bm_str_addf(&s, "%s%s", to, at + strlen(from));
    } else {
        bm_str_add(&s, text);
    }
    test_ok(bm_str_status(&s));
    test_ok(bm_file_replace(path, bm_str_text(&s), strlen(bm_str_text(&s))));
    bm_str_finish(&s);
    bm_free(text);
}

void test_copy_headers(const char *folder)
{
    char path[600];
    glob_t headers;
    snprintf(path, sizeof path, "%s/lib", folder);
    test_ok(bm_folder_create(path));
    ck_assert_int_eq(glob(test_source("cl/lib/*.clh"), 0, NULL, &headers), 0);
    for (size_t i = 0; i < headers.gl_pathc; i++) {
        snprintf(path, sizeof path, "lib/%s", strrchr(headers.gl_pathv[i], '/') + 1);
        test_copy_kernel(folder, path, "", "");
    }
    globfree(&headers);
}
