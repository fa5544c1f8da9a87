/* Which device a word means, on machines written by hand and on this one. */
#include <stdlib.h>
#include <string.h>

#include "core/device/device_priv.h"
#include "tests/lib/test.h"

/* A workstation: two discrete GPUs of one maker, an integrated one, its CPU twice over, an FPGA without a compiler, and a
 * platform without devices. */
enum { NV0, NV1, IGPU, POCL, INTEL_CPU, FPGA, N_DEVICES };

static bm_platform platforms[] = {
    {.name = "NVIDIA CUDA", .version = "OpenCL 3.0 CUDA", .vendor = "NVIDIA Corporation"},
    {.name = "Clover", .version = "OpenCL 1.1 Mesa", .vendor = "Mesa"},
    {.name = "Intel(R) OpenCL Graphics", .version = "OpenCL 3.0", .vendor = "Intel(R) Corporation"},
    {.name = "Portable Computing Language", .version = "OpenCL 1.2 pocl", .vendor = "The pocl project"},
    {.name = "Intel(R) OpenCL", .version = "OpenCL 3.0", .vendor = "Intel(R) Corporation"},
    {.name = "Intel(R) FPGA SDK for OpenCL(TM)", .version = "OpenCL 1.0", .vendor = "Intel(R) Corporation"},
};

#define DEVICE(p, n, v, t, units, clock, width, unified, compiler_)                                                    \
    {.platform = (p), .name = (n), .vendor = (v), .version = "", .c_version = "", .driver = "", .extensions = "",      \
     .limits = {.type = (t), .compute_units = (units), .clock_mhz = (clock), .float_width = (width),                   \
                .unified_memory = (unified), .compiler = (compiler_)}}

static bm_device devices[N_DEVICES] = {
    [NV0] = DEVICE(0, "GeForce GT 710", "NVIDIA Corporation", BM_DEVICE_GPU, 1, 954, 1, 0, 1),
    [NV1] = DEVICE(0, "GeForce GTX 1080", "NVIDIA Corporation", BM_DEVICE_GPU, 20, 1733, 1, 0, 1),
    [IGPU] = DEVICE(2, "UHD Graphics 770", "Intel(R) Corporation", BM_DEVICE_GPU, 32, 1550, 1, 1, 1),
    [POCL] = DEVICE(3, "pthread-haswell-Core i9", "GenuineIntel", BM_DEVICE_CPU, 24, 3200, 8, 1, 1),
    [INTEL_CPU] = DEVICE(4, "Core i9", "Intel(R) Corporation", BM_DEVICE_CPU, 24, 3000, 8, 1, 1),
    [FPGA] = DEVICE(5, "pac_a10", "Intel(R) Corporation", BM_DEVICE_ACCELERATOR, 1, 1000, 1, 0, 0),
};

static bm_device_list machine = {platforms, sizeof platforms / sizeof platforms[0], devices, N_DEVICES};

static void name_machine(void) { bm_device_list_name(&machine); }

static const bm_device *one(const char *spec)
{
    const bm_device *d = NULL;
    int n = -1;
    test_ok(bm_device_select(&d, &n, 1, &machine, spec));
    ck_assert_int_eq(n, 1);
    return d;
}

#define picks(spec, which) ck_assert_str_eq(one(spec)->short_name, devices[which].short_name)

#define refuses(spec, most, code, words)                                                                               \
    do {                                                                                                               \
        const bm_device *d_[8];                                                                                        \
        int n_ = -1;                                                                                                   \
        test_fails(bm_device_select(d_, &n_, (most), &machine, (spec)), (code), (words));                              \
        ck_assert_int_eq(n_, 0);                                                                                       \
    } while (0)

START_TEST(short_names_tell_platforms_apart)
{
    const char *const want[N_DEVICES] = {"nvidia:0", "nvidia:1", "intel-gpu:0", "pocl:0", "intel:0", "intel-2:0"};
    for (int i = 0; i < N_DEVICES; i++) {
        ck_assert_str_eq(devices[i].short_name, want[i]);
        picks(want[i], i); /* each is a SPEC */
    }
}
END_TEST

START_TEST(auto_prefers_discrete_gpus_then_integrated_then_cpus)
{
    picks("auto", NV1); /* the faster of the two */
    picks("auto:1", NV0);
    picks("auto:2", IGPU);
    picks("auto:3", POCL); /* 3200 MHz before 3000 */
    picks("auto:4", INTEL_CPU);
    refuses("auto:5", 1, BM_ERR_NO_DEVICE, "auto:5"); /* the FPGA has no compiler */
}
END_TEST

START_TEST(an_index_counts_in_the_order_of_the_list)
{
    picks("gpu", NV1);
    picks("gpu:0", NV0);
    picks("gpu:1", NV1);
    picks("gpu:2", IGPU);
    picks("cpu", POCL);
    picks("cpu:1", INTEL_CPU);
    picks("fpga", FPGA);
    picks("all:3", POCL);
}
END_TEST

START_TEST(a_name_is_part_of_a_platforms_vendors_or_devices_name)
{
    picks("nvidia", NV1);
    picks("NVIDIA:0", NV0);
    picks("gtx 1080", NV1);
    picks("genuineintel", POCL);
    picks("portable", POCL);
    picks("GPU", NV1);
    /* A platform's own short name shuts out those that merely contain it. */
    picks("intel", INTEL_CPU);
    picks("pocl", POCL);
}
END_TEST

START_TEST(several_are_joined_by_plus)
{
    const bm_device *d[8];
    int n = 0;
    test_ok(bm_device_select(d, &n, 8, &machine, "gpu:0+gpu:1+cpu"));
    ck_assert_int_eq(n, 3);
    ck_assert_ptr_eq(d[0], &devices[NV0]);
    ck_assert_ptr_eq(d[1], &devices[NV1]);
    ck_assert_ptr_eq(d[2], &devices[POCL]);
    test_ok(bm_device_select(d, &n, 8, &machine, "all"));
    ck_assert_int_eq(n, N_DEVICES);
    for (int i = 0; i < N_DEVICES; i++) ck_assert_ptr_eq(d[i], &devices[i]);
}
END_TEST

START_TEST(what_cannot_be_had_is_refused)
{
    refuses("radeon", 1, BM_ERR_NO_DEVICE, "pocl:0 (cpu, pthread-haswell-Core i9)");
    refuses("gpu:3", 1, BM_ERR_NO_DEVICE, "\"gpu:3\"");
    refuses("clover", 1, BM_ERR_NO_DEVICE, "clover");
    refuses("gpu:0+cpu", 1, BM_ERR_USAGE, "more than 1 device");
    refuses("all", 2, BM_ERR_USAGE, "more than 2 devices");
    refuses("gpu+nvidia:1", 8, BM_ERR_USAGE, "nvidia:1 is named twice");
    refuses("cpu/2", 8, BM_ERR_UNSUPPORTED, "/2");
    refuses("gpu:0+cpu:1/4", 8, BM_ERR_UNSUPPORTED, "/4");
}
END_TEST

START_TEST(bad_grammar_is_a_mistake_of_use)
{
    static const char *const bad[] = {"",     "+",     "gpu+",   "+gpu",   ":0",    "/2",        "gpu:",      "gpu:x",
                                      "gpu:-1", "gpu: 1", "gpu:+1", "cpu/",  "cpu/0", "cpu/x",    "gpu:0:1",   "cpu/2/2",
                                      "cpu/2:0", "gpu++cpu", "gpu:99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) refuses(bad[i], 8, BM_ERR_USAGE, "device \"");
    char endless[200];
    memset(endless, 'a', sizeof endless);
    endless[sizeof endless - 1] = '\0';
    refuses(endless, 8, BM_ERR_USAGE, "too long");
}
END_TEST

START_TEST(a_machine_without_devices_names_its_platforms)
{
    bm_platform clover[] = {{.name = "Clover"}, {.name = "rusticl"}};
    bm_device_list empty = {clover, 2, NULL, 0};
    bm_device_list_name(&empty);
    const bm_device *d = NULL;
    int n = -1;
    test_fails(bm_device_select(&d, &n, 1, &empty, "auto"), BM_ERR_NO_DEVICE, "no device at all: Clover, rusticl have none");
    test_fails(bm_device_select(&d, &n, 1, &empty, "all"), BM_ERR_NO_DEVICE, "no device at all");
    empty.n_platforms = 1;
    test_fails(bm_device_select(&d, &n, 1, &empty, "cpu"), BM_ERR_NO_DEVICE, "Clover has none");
}
END_TEST

START_TEST(platforms_of_one_name_get_a_number)
{
    bm_platform same[] = {{.name = "ACME OpenCL"}, {.name = "ACME OpenCL"}, {.name = "(unnamed)"}, {.name = ""}};
    bm_device_list l = {same, 4, NULL, 0};
    bm_device_list_name(&l);
    ck_assert_str_eq(same[0].short_name, "acme");
    ck_assert_str_eq(same[1].short_name, "acme-2");
    ck_assert_str_eq(same[2].short_name, "platform");
    ck_assert_str_eq(same[3].short_name, "platform-2");
}
END_TEST

START_TEST(every_device_here_is_found_by_its_short_name)
{
    bm_device_list *l = NULL;
    test_ok(bm_device_list_create(&l));
    ck_assert_int_gt(bm_device_list_count(l), 0);
    for (int i = 0; i < bm_device_list_count(l); i++) {
        const bm_device *d = NULL, *want = bm_device_list_at(l, i);
        int n = 0;
        test_ok(bm_device_select(&d, &n, 1, l, bm_device_short_name(want)));
        ck_assert_ptr_eq(d, want);
    }
    bm_device_list_destroy(l);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/device/select");
    TCase *c = tcase_create("select");
    tcase_add_checked_fixture(c, name_machine, NULL);
    tcase_add_test(c, short_names_tell_platforms_apart);
    tcase_add_test(c, auto_prefers_discrete_gpus_then_integrated_then_cpus);
    tcase_add_test(c, an_index_counts_in_the_order_of_the_list);
    tcase_add_test(c, a_name_is_part_of_a_platforms_vendors_or_devices_name);
    tcase_add_test(c, several_are_joined_by_plus);
    tcase_add_test(c, what_cannot_be_had_is_refused);
    tcase_add_test(c, bad_grammar_is_a_mistake_of_use);
    tcase_add_test(c, a_machine_without_devices_names_its_platforms);
    tcase_add_test(c, platforms_of_one_name_get_a_number);
    tcase_add_test(c, every_device_here_is_found_by_its_short_name);
    suite_add_tcase(s, c);
    return test_run(s);
}
