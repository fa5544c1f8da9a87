/* Looking at devices, and what is said where there is none. */
/* ctest: rusticl */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/device/cl_api_priv.h"
#include "core/device/device.h"
#include "tests/lib/layer.h"
#include "tests/lib/test.h"

static bm_status look(void *arg)
{
    (void)arg;
    bm_device_list *l = NULL;
    bm_status status = bm_device_list_create(&l);
    ck_assert((status == BM_OK) == (l != NULL));
    bm_device_list_destroy(l);
    return status;
}

START_TEST(limits_are_within_what_opencl_promises)
{
    bm_device_list *l = NULL;
    test_ok(bm_device_list_create(&l));
    ck_assert_int_gt(bm_device_list_count(l), 0);
    for (int i = 0; i < bm_device_list_count(l); i++) {
        const bm_device *d = bm_device_list_at(l, i);
        const bm_limits *m = bm_device_limits(d);
        /* OpenCL 1.2, table 4.3: the least values of a full profile. */
        ck_assert_int_ge(m->max_alloc_bytes, 128 << 20);
        ck_assert_int_ge(m->max_alloc_bytes, m->global_bytes / 4 < (1 << 30) ? m->global_bytes / 4 : 0);
        ck_assert_int_le(m->max_alloc_bytes, m->global_bytes);
        ck_assert_int_ge(m->local_bytes, 32 << 10);
        ck_assert_int_ge(m->constant_bytes, 64 << 10);
        ck_assert_int_ge(m->align_bytes, 128); /* sizeof(long16) */
        ck_assert_int_eq(m->align_bytes & (m->align_bytes - 1), 0);
        ck_assert_int_ge(m->max_work_group, 1);
        for (int k = 0; k < 3; k++) ck_assert_int_ge(m->max_work_item[k], 1);
        ck_assert_int_ge(m->compute_units, 1);
        ck_assert(strncmp(bm_device_version(d), "OpenCL ", 7) == 0);
        ck_assert(strncmp(bm_device_c_version(d), "OpenCL C ", 9) == 0);
        ck_assert_str_ne(bm_device_name(d), "");
        ck_assert_str_ne(bm_device_driver(d), "");
        ck_assert_int_lt(bm_device_platform(d), bm_device_list_platforms(l));
        ck_assert_str_eq(bm_device_platform_name(d), bm_device_list_platform_name(l, bm_device_platform(d)));
    }
    bm_device_list_destroy(l);
}
END_TEST

/* llvmpipe says that it is a CPU, but takes work-items for lanes. */
START_TEST(the_cpu_form_is_for_cpus_with_vectors)
{
    static const struct {
        bm_device_type type;
        int width;
        bm_form form;
    } cases[] = {{BM_DEVICE_CPU, 16, BM_FORM_CPU},
                 {BM_DEVICE_CPU, 4, BM_FORM_CPU},
                 {BM_DEVICE_CPU, 1, BM_FORM_PLAIN},
                 {BM_DEVICE_GPU, 4, BM_FORM_PLAIN},
                 {BM_DEVICE_ACCELERATOR, 16, BM_FORM_PLAIN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bm_limits m = {.type = cases[i].type, .float_width = cases[i].width};
        ck_assert_int_eq(bm_limits_form(&m), cases[i].form);
    }
    bm_limits unnamed = bm_limits_default(BM_DEVICE_CPU, 1 << 30);
    ck_assert_int_eq(bm_limits_form(&unnamed), BM_FORM_CPU);

    bm_device_list *l = NULL;
    test_ok(bm_device_list_create(&l));
    for (int i = 0; i < bm_device_list_count(l); i++) {
        const bm_device *d = bm_device_list_at(l, i);
        const bm_form form = bm_limits_form(bm_device_limits(d));
        if (!strcmp(bm_device_platform_name(d), "rusticl")) ck_assert_int_eq(form, BM_FORM_PLAIN);
#if defined(__x86_64__) || defined(__aarch64__)
        if (!strncmp(bm_device_short_name(d), "pocl", 4)) ck_assert_int_eq(form, BM_FORM_CPU);
#endif
    }
    bm_device_list_destroy(l);
}
END_TEST

/* Linux says by itself what the CPU has; only PoCL's driver for the CPU is known to take the instruction. */
START_TEST(bf16_and_int8_products_are_features_of_pocl_on_a_cpu_that_has_them)
{
    bm_device_list *l = NULL;
    test_ok(bm_device_list_create(&l));
    for (int i = 0; i < bm_device_list_count(l); i++) {
        const bm_device *d = bm_device_list_at(l, i);
        const int pairs = bm_device_limits(d)->bf16_dot, bytes = bm_device_limits(d)->i8_dot;
        if (strncmp(bm_device_short_name(d), "pocl", 4) || bm_device_limits(d)->type != BM_DEVICE_CPU) {
            ck_assert_msg(!pairs && !bytes, "%s", bm_device_name(d));
            continue;
        }
#if defined(__linux__)
        char word[64] = "";
        int has_pairs = 0, has_bytes = 0;
        FILE *f = fopen("/proc/cpuinfo", "r");
        if (!f) continue;
        while (fscanf(f, "%63s", word) == 1) {
            has_pairs |= !strcmp(word, "avx512_bf16");
            has_bytes |= !strcmp(word, "avx512_vnni");
        }
        fclose(f);
        ck_assert_int_eq(pairs, has_pairs);
        ck_assert_int_eq(bytes, has_bytes);
#endif
    }
    bm_device_list_destroy(l);
}
END_TEST

START_TEST(looking_makes_no_opencl_object)
{
    const layer_api *layer = test_layer();
    layer->reset();
    test_ok(look(NULL));
    layer_stats s = layer->stats();
    ck_assert_int_gt(s.calls, 0);
    ck_assert_int_eq(s.contexts + s.queues + s.buffers + s.programs, 0);
    ck_assert_int_eq(layer->calls("CreateContext"), 0);
}
END_TEST

START_TEST(looking_survives_failing_allocations) { test_fail_allocations(look, NULL); }
END_TEST

START_TEST(looking_survives_failing_calls) { test_fail_calls(look, NULL, CL_OUT_OF_HOST_MEMORY); }
END_TEST

START_TEST(a_device_that_cannot_be_asked_is_left_out)
{
    const layer_api *layer = test_layer();
    bm_device_list *l = NULL;
    test_ok(bm_device_list_create(&l));
    int count = bm_device_list_count(l), platforms = bm_device_list_platforms(l);
    bm_device_list_destroy(l);
    layer->fail_nth("GetDeviceInfo", 5, CL_OUT_OF_HOST_MEMORY, 0);
    test_ok(bm_device_list_create(&l));
    ck_assert(layer->fired());
    ck_assert_int_eq(bm_device_list_count(l), count - 1);
    ck_assert_int_eq(bm_device_list_platforms(l), platforms);
    bm_device_list_destroy(l);
}
END_TEST

static void count_lines(void *user, bm_log_level level, const char *line)
{
    (void)level;
    (void)line;
    ++*(int *)user;
}

START_TEST(a_platform_without_devices_is_listed)
{
    int said = 0; /* nothing: that is no fault of the machine */
    bm_log_set(count_lines, &said, BM_LOG_DEBUG);
    const layer_api *layer = test_layer();
    /* Every platform says that it has none, as drivers do on a machine without their hardware. */
    layer->fail_nth("GetDeviceIDs", 1, CL_DEVICE_NOT_FOUND, 1);
    bm_device_list *l = NULL;
    test_ok(bm_device_list_create(&l));
    ck_assert(layer->fired());
    ck_assert_int_ge(bm_device_list_platforms(l), 1);
    ck_assert_int_eq(bm_device_list_count(l), 0);
    ck_assert_str_ne(bm_device_list_platform_name(l, 0), "");
    ck_assert_int_eq(said, 0);
    bm_log_set(NULL, NULL, BM_LOG_WARN);
    const bm_device *d = NULL;
    int n = -1;
    test_fails(bm_device_select(&d, &n, 1, l, "auto"), BM_ERR_NO_DEVICE, bm_device_list_platform_name(l, 0));
    ck_assert_int_eq(n, 0);
    bm_device_list_destroy(l);
}
END_TEST

START_TEST(no_platform_is_refused_with_the_remedy)
{
    /* A child of its own: this process may have asked the loader before. */
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const char *empty = test_path("no-vendors");
        mkdir(empty, 0777);
        setenv("OCL_ICD_VENDORS", empty, 1);
        unsetenv("OPENCL_LAYERS");
        bm_device_list *l = NULL;
        bm_status s = bm_device_list_create(&l);
        const char *text = bm_error_text(s);
        int right = s == BM_ERR_NO_DEVICE && !l && strstr(text, "no OpenCL platform") && strstr(text, "install");
        if (!right) fprintf(stderr, "%s: %s\n", bm_status_name(s), text);
        _exit(right ? 0 : 1);
    }
    int state = 0;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
}
END_TEST

START_TEST(no_loader_is_refused_with_the_remedy)
{
    bm_cl_table t;
    test_fails(bm_cl_table_load(&t, "libOpenCL-that-is-not-there.so.1"), BM_ERR_NO_DEVICE, "install an OpenCL loader");
    ck_assert(t.GetPlatformIDs == NULL);
    /* A library that is no loader names the function it lacks. */
    test_fails(bm_cl_table_load(&t, "libm.so.6"), BM_ERR_NO_DEVICE, "clGetPlatformIDs");
    ck_assert(t.GetPlatformIDs == NULL);
}
END_TEST

START_TEST(errors_have_names_and_kinds)
{
    ck_assert_str_eq(bm_cl_error_name(CL_SUCCESS), "CL_SUCCESS");
    ck_assert_str_eq(bm_cl_error_name(CL_OUT_OF_RESOURCES), "CL_OUT_OF_RESOURCES");
    ck_assert_str_eq(bm_cl_error_name(CL_INVALID_WORK_GROUP_SIZE), "CL_INVALID_WORK_GROUP_SIZE");
    ck_assert_str_eq(bm_cl_error_name(CL_INVALID_DEVICE_PARTITION_COUNT), "CL_INVALID_DEVICE_PARTITION_COUNT");
    ck_assert_str_eq(bm_cl_error_name(-9999), "CL error -9999");
    ck_assert_int_eq(bm_cl_status(CL_SUCCESS), BM_OK);
    ck_assert_int_eq(bm_cl_status(CL_MEM_OBJECT_ALLOCATION_FAILURE), BM_ERR_DEVICE_MEMORY);
    ck_assert_int_eq(bm_cl_status(CL_BUILD_PROGRAM_FAILURE), BM_ERR_BUILD);
    ck_assert_int_eq(bm_cl_status(CL_INVALID_KERNEL_ARGS), BM_ERR_DEVICE);
    ck_assert_int_eq(bm_cl_status(-9999), BM_ERR_DEVICE);
}
END_TEST

int main(void)
{
    test_layer_use();
    Suite *s = suite_create("core/device/device");
    TCase *c = tcase_create("device");
    tcase_add_test(c, limits_are_within_what_opencl_promises);
    tcase_add_test(c, the_cpu_form_is_for_cpus_with_vectors);
    tcase_add_test(c, bf16_and_int8_products_are_features_of_pocl_on_a_cpu_that_has_them);
    tcase_add_test(c, looking_makes_no_opencl_object);
    tcase_add_test(c, looking_survives_failing_allocations);
    tcase_add_test(c, looking_survives_failing_calls);
    tcase_add_test(c, a_device_that_cannot_be_asked_is_left_out);
    tcase_add_test(c, a_platform_without_devices_is_listed);
    tcase_add_test(c, no_platform_is_refused_with_the_remedy);
    tcase_add_test(c, no_loader_is_refused_with_the_remedy);
    tcase_add_test(c, errors_have_names_and_kinds);
    suite_add_tcase(s, c);
    return test_run(s);
}
