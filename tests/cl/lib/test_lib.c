/* The headers that kernels share: storage types against core/base/dtype.h, and exp, tanh, erf, activations against libm in
 * double. */
/* ctest: oclgrind rusticl */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/activation_kind.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/device/cl_api.h"
#include "core/device/memory.h"
#include "core/device/program.h"
#include "core/device/queue.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

/* Each work-item maps 16 elements: by one call for all, or one for each eight, four or one. */
static const char kernel_text[] =
    "#include \"act.clh\"\n"
    "__kernel void map16(__global const float *x, __global float *y)\n"
    "{\n"
    "    const size_t i = 16 * get_global_id(0);\n"
    "    vstore16(F16(vload16(0, x + i)), 0, y + i);\n"
    "}\n"
    "__kernel void map8(__global const float *x, __global float *y)\n"
    "{\n"
    "    for (size_t i = 16 * get_global_id(0), n = 0; n < 16; n += 8) vstore8(F8(vload8(0, x + i + n)), 0, y + i + n);\n"
    "}\n"
    "__kernel void map4(__global const float *x, __global float *y)\n"
    "{\n"
    "    for (size_t i = 16 * get_global_id(0), n = 0; n < 16; n += 4) vstore4(F4(vload4(0, x + i + n)), 0, y + i + n);\n"
    "}\n"
    "__kernel void map1(__global const float *x, __global float *y)\n"
    "{\n"
    "    for (size_t i = 16 * get_global_id(0), n = 0; n < 16; n++) y[i + n] = F1(x[i + n]);\n"
    "}\n"
    "#define KERNELS(n) \\\n"
    "__kernel void load_##n(__global const stored *x, __global float *y) \\\n"
    "{ \\\n"
    "    for (size_t i = 16 * get_global_id(0), k = 0; k < 16; k += n) store##n##_0(load##n(x, i + k), y, i + k); \\\n"
    "} \\\n"
    "STORE_KERNEL(n)\n"
    "#define STORE_KERNEL(n) \\\n"
    "__kernel void store_##n(__global const float *x, __global stored *y) \\\n"
    "{ \\\n"
    "    for (size_t i = 16 * get_global_id(0), k = 0; k < 16; k += n) store##n(load##n##_0(x, i + k), y, i + k); \\\n"
    "}\n"
    "#if STORAGE == 4\n"
    "#undef STORE_KERNEL\n"
    "#define STORE_KERNEL(n)\n"
    "#endif\n"
    "KERNELS(1)\n"
    "KERNELS(4)\n"
    "KERNELS(8)\n"
    "KERNELS(16)\n";

static bm_engine *engine;

/* The options for function `name` in its four widths (PoCL has macros called exp and so on: the name alone would not do). */
static const char *options_for(const char *name, const char *more)
{
    static char text[160];
    snprintf(text, sizeof text, "-DF1=%s1 -DF4=%s4 -DF8=%s8 -DF16=%s16 %s", name, name, name, name, more);
    return text;
}

static void copy_header(const char *name)
{
    char from[100], to[100], *text = NULL;
    size_t bytes;
    snprintf(from, sizeof from, "cl/lib/%s", name);
    snprintf(to, sizeof to, "cl/lib/%s", name);
    test_ok(bm_file_read(&text, &bytes, test_source(from), 1 << 20));
    test_ok(bm_file_replace(test_path(to), text, bytes));
    bm_free(text);
}

static void setup(void)
{
    if (engine) return;
    test_ok(bm_folder_create(test_path("cl/lib")));
    copy_header("types.clh");
    copy_header("math.clh");
    copy_header("act.clh");
    test_ok(bm_file_replace(test_path("cl/lib.cl"), kernel_text, strlen(kernel_text)));
    bm_engine_opts opts = test_engine_opts();
    opts.cl_dir = test_path("cl");
    engine = test_engine_open_with(&opts);
}
static void close_engine(void)
{
    bm_engine_close(engine);
    engine = NULL;
}

/* y = kernel(x) over n elements, a multiple of 16. */
static void run(const char *options, const char *name, const void *x, size_t x_bytes, void *y, size_t y_bytes, size_t n)
{
    const int64_t bytes[2] = {(int64_t)x_bytes, (int64_t)y_bytes};
    bm_region *r = NULL;
    cl_mem in = NULL, out = NULL;
    cl_kernel k = NULL;
    bm_queue *q = bm_engine_queue(engine);
    test_ok(bm_region_create(&r, engine, "lib", bytes, 2, 1));
    test_ok(bm_region_piece(&in, r, 0, 0, bytes[0]));
    test_ok(bm_region_piece(&out, r, 1, 0, bytes[1]));
    test_ok(bm_kernel_create(&k, engine, "lib", options, name));
    ck_assert_int_eq(bm_cl.SetKernelArg(k, 0, sizeof in, &in), CL_SUCCESS);
    ck_assert_int_eq(bm_cl.SetKernelArg(k, 1, sizeof out, &out), CL_SUCCESS);
    test_ok(bm_queue_write(q, in, 0, x, bytes[0]));
    const size_t global = n / 16;
    test_ok(bm_queue_launch(q, k, 1, &global, NULL, name));
    test_ok(bm_queue_read(q, out, 0, y, bytes[1]));
    bm_cl.ReleaseKernel(k);
    bm_region_destroy(r);
}

static size_t points(void)
{
    return getenv("BM_TEST_OCLGRIND") ? 4096 : 1 << 16;
}

/* ---- functions ---- */

typedef struct function {
    const char *name;
    double low, high;
    double ulps, absolute; /* an error within either is fine */
    double (*reference)(double);
} function;

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

static const function functions[] = {
    {"exp", -87, 88.7, 1.5, 0, exp},           {"tanh", -10, 10, 2, 0, tanh},
    {"tanh", -0.01, 0.01, 2, 0, tanh},         {"erf", -5, 5, 1.5, 0, erf},
    {"erfc", -5, 2, 1.5, 1.5e-7, erfc},        {"erfc", 2, 12, 0, 4e-8, erfc},
    {"sigmoid", -80, 20, 3.5, 0, logistic},
};

static double ulps(double got, double want)
{
    const float w = fabsf((float)want);
    return fabs(got - want) / ((double)nextafterf(w, INFINITY) - (double)w);
}

START_TEST(functions_are_within_their_bounds)
{
    const function *f = &functions[_i];
    static const char *const forms[] = {"map1", "map4", "map8", "map16"};
    const size_t n = points();
    float *x = bm_calloc(n, sizeof *x), *y = bm_calloc(n, sizeof *y);
    ck_assert(x && y);
    const char *options = options_for(f->name, "");
    for (size_t i = 0; i < n; i++) x[i] = (float)(f->low + (f->high - f->low) * (double)i / (double)(n - 1));
    for (int form = 0; form < 4; form++) {
        run(options, forms[form], x, n * sizeof *x, y, n * sizeof *y, n);
        for (size_t i = 0; i < n; i++) {
            const double want = f->reference(x[i]), got = y[i];
            test_that(ulps(got, want) <= f->ulps || fabs(got - want) <= f->absolute, "%s %s(%.9g) = %.9g, not %.9g", forms[form],
                          f->name, (double)x[i], got, want);
        }
    }
    bm_free(x);
    bm_free(y);
}
END_TEST

START_TEST(infinities_and_nan)
{
    static const struct {
        const char *name;
        double at_minus, at_plus;
    } ends[] = {{"exp", 0, INFINITY}, {"tanh", -1, 1}, {"erf", -1, 1}, {"erfc", 2, 0}, {"sigmoid", 0, 1}};
    float x[16] = {-INFINITY, INFINITY, NAN, -1e30f, 1e30f, 0.0f, -0.0f}, y[16];
    for (int i = 0; i < 5; i++) {
        run(options_for(ends[i].name, ""), "map16", x, sizeof x, y, sizeof y, 16);
        for (int k = 0; k < 4; k += 3) test_that(y[k] == ends[i].at_minus, "%s(%g) = %g", ends[i].name, x[k], y[k]);
        for (int k = 1; k < 5; k += 3) test_that(y[k] == ends[i].at_plus, "%s(%g) = %g", ends[i].name, x[k], y[k]);
        test_that(isnan(y[2]), "%s(NaN) = %g", ends[i].name, (double)y[2]);
        if (i == 1 || i == 2) test_that(y[5] == 0 && y[6] == 0, "%s(0) is %g and %g", ends[i].name, (double)y[5], (double)y[6]);
    }
}
END_TEST

/* ---- activations ---- */

static double activation(double x, int act)
{
    switch (act) {
    case BM_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case BM_ACT_GELU: return 0.5 * x * erfc(-x * 0.70710678118654752440);
    case BM_ACT_RELU: return x > 0 ? x : 0;
    case BM_ACT_SILU: return x * logistic(x);
    case BM_ACT_TANH: return tanh(x);
    case BM_ACT_SIGMOID: return logistic(x);
    default: return x;
    }
}

START_TEST(activations_and_their_derivatives)
{
    static const char *const forms[] = {"map1", "map16"};
    const size_t n = points() / 16;
    float *x = bm_calloc(n, sizeof *x), *y = bm_calloc(n, sizeof *y);
    ck_assert(x && y);
    /* Never 0, where the derivative of ReLU jumps. */
    for (size_t i = 0; i < n; i++) x[i] = (float)(-12 + 24 * ((double)i + 0.5) / (double)n);
    char act[16];
    snprintf(act, sizeof act, "-DACT=%d", _i);
    for (int form = 0; form < 2; form++) {
        run(options_for("act", act), forms[form], x, n * sizeof *x, y, n * sizeof *y, n);
        for (size_t i = 0; i < n; i++) {
            const double want = activation(x[i], _i);
            test_that(fabs(y[i] - want) <= 4e-7 * fmax(1, fabs(want)), "act %d of %g is %.9g, not %.9g", _i, (double)x[i], y[i], want);
        }
        run(options_for("act_grad", act), forms[form], x, n * sizeof *x, y, n * sizeof *y, n);
        const double h = 1e-5;
        for (size_t i = 0; i < n; i++) {
            const double want = (activation(x[i] + h, _i) - activation(x[i] - h, _i)) / (2 * h);
            test_that(fabs(x[i]) < 2 * h || fabs(y[i] - want) <= 2e-6, "act %d has derivative %.9g at %g, not %.9g", _i, y[i],
                          (double)x[i], want);
        }
    }
    bm_free(x);
    bm_free(y);
}
END_TEST

/* ---- storage ---- */

static const int widths[] = {1, 4, 8, 16};

START_TEST(every_16_bit_pattern_is_read_right)
{
    const size_t n = getenv("BM_TEST_OCLGRIND") ? 4096 : 65536;
    uint16_t *x = bm_calloc(n, sizeof *x);
    float *y = bm_calloc(n, sizeof *y);
    ck_assert(x && y);
    for (size_t i = 0; i < n; i++) x[i] = (uint16_t)(i * (65536 / n));
    for (int w = 0; w < 4; w++) {
        char storage[16], name[16];
        snprintf(storage, sizeof storage, "-DSTORAGE=%d", _i);
        snprintf(name, sizeof name, "load_%d", widths[w]);
        run(options_for("exp", storage), name, x, n * sizeof *x, y, n * sizeof *y, n);
        for (size_t i = 0; i < n; i++) {
            const float want = _i == 1 ? bm_f16_to_f32(x[i]) : bm_bf16_to_f32(x[i]);
            if (want != 0 && fabsf(want) < 1.17549435e-38f && y[i] == 0) continue; /* a device may flush subnormals of f32 */
            test_that(isnan(want) ? isnan(y[i]) : y[i] == want, "%s: %04x is %g, not %g", name, x[i], (double)y[i], (double)want);
        }
    }
    bm_free(x);
    bm_free(y);
}
END_TEST

START_TEST(every_whole_number_of_8_bits_is_read_right)
{
    int8_t x[256];
    float y[256];
    for (int i = 0; i < 256; i++) x[i] = (int8_t)(i - 128);
    for (int w = 0; w < 4; w++) {
        char name[16];
        snprintf(name, sizeof name, "load_%d", widths[w]);
        run(options_for("exp", "-DSTORAGE=4"), name, x, sizeof x, y, sizeof y, 256);
        for (int i = 0; i < 256; i++) test_that(y[i] == (float)(i - 128), "%s: %d is %g", name, i - 128, (double)y[i]);
    }
}
END_TEST

START_TEST(stores_round_to_nearest_even)
{
    const size_t n = points() / 4;
    float *x = bm_calloc(n, sizeof *x);
    uint16_t *y = bm_calloc(n, sizeof *y);
    ck_assert(x && y);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = bm_rng_at(3, 1, 0, i);
        if (i % 3 == 0) bits = (bits & 0x83ffffffu) | 0x38000000u; /* magnitudes that f16 holds */
        if (i % 4 == 1) bits = (bits & ~0xffffu) | 0x8000u;        /* halfway between two of bf16 */
        if (i % 4 == 2) bits = (bits & ~0x1fffu) | 0x1000u;        /* halfway between two of f16 */
        memcpy(&x[i], &bits, sizeof bits);
    }
    x[0] = NAN;
    x[1] = INFINITY;
    x[2] = -INFINITY;
    x[3] = 65520.0f; /* f16: the first that overflows */
    for (int w = 0; w < 4; w++) {
        char storage[16], name[16];
        snprintf(storage, sizeof storage, "-DSTORAGE=%d", _i);
        snprintf(name, sizeof name, "store_%d", widths[w]);
        run(options_for("exp", storage), name, x, n * sizeof *x, y, n * sizeof *y, n);
        for (size_t i = 0; i < n; i++) {
            const uint16_t want = _i == 1 ? bm_f32_to_f16(x[i]) : bm_f32_to_bf16(x[i]);
            const float got = _i == 1 ? bm_f16_to_f32(y[i]) : bm_bf16_to_f32(y[i]);
            if (isnan(x[i])) {
                test_that(isnan(got), "%s: NaN became %g", name, (double)got);
                continue;
            }
            if (x[i] != 0 && fabsf(x[i]) < 1.17549435e-38f && got == 0) continue;
            test_that(y[i] == want, "%s: %.9g became %04x, not %04x", name, (double)x[i], y[i], want);
        }
    }
    bm_free(x);
    bm_free(y);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cl/lib/lib");
    TCase *t = tcase_create("lib");
    test_together(t, close_engine);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_loop_test(t, functions_are_within_their_bounds, 0, (int)(sizeof functions / sizeof functions[0]));
    tcase_add_test(t, infinities_and_nan);
    tcase_add_loop_test(t, activations_and_their_derivatives, BM_ACT_NONE, BM_ACT_SIGMOID + 1);
    tcase_add_test(t, every_whole_number_of_8_bits_is_read_right);
    tcase_add_loop_test(t, every_16_bit_pattern_is_read_right, 1, 3);
    tcase_add_loop_test(t, stores_round_to_nearest_even, 1, 3);
    suite_add_tcase(s, t);
    return test_run(s);
}
