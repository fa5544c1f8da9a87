#include "core/device/device_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/cl_api.h"

/* An unsigned number of 4 or 8 bytes, as the driver has it. */
static cl_int device_number(int64_t *out, cl_device_id d, cl_device_info what)
{
    union {
        cl_uint u32;
        cl_ulong u64;
    } value = {.u64 = 0};
    size_t bytes = 0;
    cl_int err = bm_cl.GetDeviceInfo(d, what, sizeof value, &value, &bytes);
    if (err) return err;
    cl_ulong v = bytes == sizeof value.u32 ? value.u32 : value.u64;
    *out = v > INT64_MAX ? INT64_MAX : (int64_t)v;
    return CL_SUCCESS;
}

/* Trims the spaces that some drivers pad their names with. */
static void trim(char *s)
{
    size_t start = strspn(s, " \t"), n = strlen(s + start);
    memmove(s, s + start, n + 1);
    while (n > 0 && isspace((unsigned char)s[n - 1])) s[--n] = '\0';
}

static bm_status device_text(char **out, cl_device_id d, cl_device_info what)
{
    size_t bytes = 0;
    cl_int err = bm_cl.GetDeviceInfo(d, what, 0, NULL, &bytes);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "clGetDeviceInfo(0x%x): %s", what, bm_cl_error_name(err));
    char *text = bm_calloc(bytes + 1, 1);
    if (!text) return BM_ERR_MEMORY;
    err = bm_cl.GetDeviceInfo(d, what, bytes, text, NULL);
    if (err) {
        bm_free(text);
        return bm_fail_cl(bm_cl_status(err), err, "clGetDeviceInfo(0x%x): %s", what, bm_cl_error_name(err));
    }
    trim(text);
    *out = text;
    return BM_OK;
}

static bm_status platform_text(char **out, cl_platform_id p, cl_platform_info what)
{
    size_t bytes = 0;
    cl_int err = bm_cl.GetPlatformInfo(p, what, 0, NULL, &bytes);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "clGetPlatformInfo(0x%x): %s", what, bm_cl_error_name(err));
    char *text = bm_calloc(bytes + 1, 1);
    if (!text) return BM_ERR_MEMORY;
    err = bm_cl.GetPlatformInfo(p, what, bytes, text, NULL);
    if (err) {
        bm_free(text);
        return bm_fail_cl(bm_cl_status(err), err, "clGetPlatformInfo(0x%x): %s", what, bm_cl_error_name(err));
    }
    trim(text);
    *out = text;
    return BM_OK;
}

/* Whether a space-separated list holds exactly this word. */
static int has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = strstr(list, word); p; p = strstr(p + n, word))
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) return 1;
    return 0;
}

/* A device that is several types at once is the first of these: its CPU form runs anywhere. */
static bm_device_type device_type(int64_t bits)
{
    if (bits & CL_DEVICE_TYPE_CPU) return BM_DEVICE_CPU;
    if (bits & CL_DEVICE_TYPE_GPU) return BM_DEVICE_GPU;
    if (bits & CL_DEVICE_TYPE_ACCELERATOR) return BM_DEVICE_ACCELERATOR;
    return BM_DEVICE_OTHER;
}

static bm_status work_item_sizes(int64_t out[3], cl_device_id d)
{
    size_t size[16] = {0};
    size_t bytes = 0;
    cl_int err = bm_cl.GetDeviceInfo(d, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof size, size, &bytes);
    if (err) return bm_fail_cl(bm_cl_status(err), err, "clGetDeviceInfo(work-item sizes): %s", bm_cl_error_name(err));
    for (int i = 0; i < 3; i++) out[i] = size[i] > INT64_MAX ? INT64_MAX : (int64_t)size[i];
    return BM_OK;
}

/* Some drivers crash in clCreateSubDevices when this property is missing, so it decides. */
static int partitions_by_counts(cl_device_id d)
{
    cl_device_partition_property property[16] = {0};
    size_t bytes = 0;
    cl_int err = bm_cl.GetDeviceInfo(d, CL_DEVICE_PARTITION_PROPERTIES, sizeof property, property, &bytes);
    if (err) return 0;
    for (size_t i = 0; i < bytes / sizeof property[0]; i++)
        if (property[i] == CL_DEVICE_PARTITION_BY_COUNTS) return 1;
    return 0;
}

static bm_status read_limits(bm_limits *l, cl_device_id d, const char *extensions)
{
    int64_t type = 0, align_bits = 0, units = 0, clock = 0, width = 0, unified = 0, compiler = 0, exec = 0;
    const struct {
        cl_device_info what;
        int64_t *to;
    } number[] = {
        {CL_DEVICE_TYPE, &type},
        {CL_DEVICE_GLOBAL_MEM_SIZE, &l->global_bytes},
        {CL_DEVICE_MAX_MEM_ALLOC_SIZE, &l->max_alloc_bytes},
        {CL_DEVICE_LOCAL_MEM_SIZE, &l->local_bytes},
        {CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, &l->constant_bytes},
        {CL_DEVICE_MEM_BASE_ADDR_ALIGN, &align_bits},
        {CL_DEVICE_MAX_WORK_GROUP_SIZE, &l->max_work_group},
        {CL_DEVICE_MAX_COMPUTE_UNITS, &units},
        {CL_DEVICE_MAX_CLOCK_FREQUENCY, &clock},
        {CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, &width},
        {CL_DEVICE_HOST_UNIFIED_MEMORY, &unified},
        {CL_DEVICE_COMPILER_AVAILABLE, &compiler},
        {CL_DEVICE_EXECUTION_CAPABILITIES, &exec},
    };
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
        cl_int err = device_number(number[i].to, d, number[i].what);
        if (err)
            return bm_fail_cl(bm_cl_status(err), err, "clGetDeviceInfo(0x%x): %s", number[i].what, bm_cl_error_name(err));
    }
    BM_TRY(work_item_sizes(l->max_work_item, d));
    l->type = device_type(type);
    l->align_bytes = align_bits >= 8 ? align_bits / 8 : 1;
    l->compute_units = (int)units;
    l->clock_mhz = (int)clock;
    l->float_width = width > 0 ? (int)width : 1;
    l->unified_memory = unified != 0;
    l->compiler = compiler != 0;
    l->native_kernel = (exec & CL_EXEC_NATIVE_KERNEL) != 0;
    l->fp16 = has_word(extensions, "cl_khr_fp16");
    l->fp64 = has_word(extensions, "cl_khr_fp64");
    l->partition_counts = partitions_by_counts(d);
    return BM_OK;
}

/* Whether the CPU that runs this has AVX512_BF16 and AVX512_VNNI, and the operating system keeps the registers they need. Intel 64
 * manual, volume 2A, CPUID: leaf 1 ECX bit 27 (XGETBV may be asked), leaf 7 EBX bit 16 (AVX512F) and ECX bit 11, leaf 7.1 EAX
 * bit 5; volume 1, 13.1: XCR0 bits 1, 2, 5, 6, 7 are XMM, YMM, opmask and both parts of ZMM. */
static void ask_host_for_dots(bm_limits *l)
{
#if defined(__x86_64__)
    const unsigned saved = 0xe6;
    unsigned a = 0, b = 0, c = 0, d = 0, low = 0, high = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & saved) != saved) return;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 16 & 1)) return;
    l->i8_dot = c >> 11 & 1;
    l->bf16_dot = a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
#else
    (void)l;
#endif
}

/* PoCL names its drivers for the CPU it runs on so ("pthread-skylake-avx512-..."), and those of other devices otherwise. */
static int is_pocl_on_host(const char *platform, const bm_device *d)
{
    static const char *const driver[] = {"cpu", "pthread", "basic"};
    if (strcmp(platform, "Portable Computing Language") != 0 || d->limits.type != BM_DEVICE_CPU) return 0;
    for (size_t i = 0; i < sizeof driver / sizeof driver[0]; i++) {
        const size_t n = strlen(driver[i]);
        if (!strncmp(d->name, driver[i], n) && (d->name[n] == '-' || d->name[n] == '\0')) return 1;
    }
    return 0;
}

bm_limits bm_limits_default(bm_device_type type, int64_t global_bytes)
{
    int cpu = type == BM_DEVICE_CPU;
    return (bm_limits){
        .type = type,
        .global_bytes = global_bytes,
        .max_alloc_bytes = global_bytes / 4, /* the least that OpenCL 1.2 lets a device offer */
        .local_bytes = 32 << 10,
        .constant_bytes = 64 << 10,
        .align_bytes = 128,
        .max_work_group = cpu ? 4096 : 256,
        .max_work_item = {cpu ? 4096 : 256, cpu ? 4096 : 256, cpu ? 4096 : 256},
        .compute_units = cpu ? 2 : 16,
        .clock_mhz = cpu ? 2500 : 1500,
        .float_width = cpu ? 8 : 1,
        .unified_memory = cpu,
        .compiler = 1,
    };
}

bm_form bm_limits_form(const bm_limits *l)
{
    return l->type == BM_DEVICE_CPU && l->float_width > 1 ? BM_FORM_CPU : BM_FORM_PLAIN;
}

/* Platforms whose name's first word would not tell; the first entry that begins the name counts. */
static const struct {
    const char *begins, *short_name;
} known_platform[] = {
    {"Portable Computing Language", "pocl"},
    {"Intel(R) FPGA Emulation", "intel-fpga"},
    {"Intel(R) OpenCL Graphics", "intel-gpu"},
    {"Intel(R) OpenCL HD Graphics", "intel-gpu"},
    {"AMD Accelerated Parallel Processing", "amd"},
    {"ARM Platform", "arm"},
};

static void platform_short_name(char *out, size_t most, const char *name)
{
    for (size_t i = 0; i < sizeof known_platform / sizeof known_platform[0]; i++)
        if (!strncmp(name, known_platform[i].begins, strlen(known_platform[i].begins))) {
            snprintf(out, most, "%s", known_platform[i].short_name);
            return;
        }
    size_t n = 0;
    for (; n + 1 < most && isalnum((unsigned char)name[n]); n++) out[n] = (char)tolower((unsigned char)name[n]);
    out[n] = '\0';
    if (n == 0) snprintf(out, most, "platform");
}

static int short_name_taken(const bm_device_list *l, int before, const char *name)
{
    for (int i = 0; i < before; i++)
        if (!strcmp(l->platforms[i].short_name, name)) return 1;
    return 0;
}

void bm_device_list_name(bm_device_list *l)
{
    for (int i = 0; i < l->n_platforms; i++) {
        char base[sizeof l->platforms[i].short_name - 12];
        platform_short_name(base, sizeof base, l->platforms[i].name);
        snprintf(l->platforms[i].short_name, sizeof l->platforms[i].short_name, "%s", base);
        for (int k = 2; short_name_taken(l, i, l->platforms[i].short_name); k++)
            snprintf(l->platforms[i].short_name, sizeof l->platforms[i].short_name, "%s-%d", base, k);
    }
    for (int i = 0, k = 0; i < l->n_devices; i++, k++) {
        bm_device *d = &l->devices[i];
        if (i > 0 && d->platform != l->devices[i - 1].platform) k = 0;
        d->platform_name = l->platforms[d->platform].name;
        snprintf(d->short_name, sizeof d->short_name, "%s:%d", l->platforms[d->platform].short_name, k);
    }
}

static void device_finish(bm_device *d)
{
    bm_free(d->name);
    bm_free(d->vendor);
    bm_free(d->version);
    bm_free(d->c_version);
    bm_free(d->driver);
    bm_free(d->extensions);
}

static bm_status device_init(bm_device *d, cl_device_id id, int platform, const char *platform_name)
{
    memset(d, 0, sizeof *d);
    d->id = id;
    d->platform = platform;
    const struct {
        char **to;
        cl_device_info what;
    } text[] = {
        {&d->name, CL_DEVICE_NAME},       {&d->vendor, CL_DEVICE_VENDOR},
        {&d->version, CL_DEVICE_VERSION}, {&d->c_version, CL_DEVICE_OPENCL_C_VERSION},
        {&d->driver, CL_DRIVER_VERSION},  {&d->extensions, CL_DEVICE_EXTENSIONS},
    };
    bm_status status = BM_OK;
    for (size_t i = 0; !status && i < sizeof text / sizeof text[0]; i++) status = device_text(text[i].to, id, text[i].what);
    if (!status) status = read_limits(&d->limits, id, d->extensions);
    if (!status && is_pocl_on_host(platform_name, d)) ask_host_for_dots(&d->limits);
    if (status) device_finish(d);
    return status;
}

/* A platform or device that cannot be asked is left out with a warning: the others of the machine are still of use. */
static void warn_left_out(const char *what, const char *why)
{
    char key[300];
    snprintf(key, sizeof key, "device-list:%s", what);
    bm_log_once(key, BM_LOG_WARN, "%s: left out: %s", what, why);
}

static bm_status add_devices(bm_device_list *l, int platform)
{
    const bm_platform *p = &l->platforms[platform];
    cl_uint n = 0;
    cl_int err = bm_cl.GetDeviceIDs(p->id, CL_DEVICE_TYPE_ALL, 0, NULL, &n);
    if (err == CL_DEVICE_NOT_FOUND || (!err && n == 0)) return BM_OK;
    cl_device_id *ids = NULL;
    if (!err) {
        ids = bm_calloc(n, sizeof *ids);
        bm_device *grown = ids ? bm_realloc(l->devices, (size_t)l->n_devices + n, sizeof *grown) : NULL;
        if (!grown) {
            bm_free(ids);
            return BM_ERR_MEMORY;
        }
        l->devices = grown;
        err = bm_cl.GetDeviceIDs(p->id, CL_DEVICE_TYPE_ALL, n, ids, NULL);
    }
    if (err) warn_left_out(p->name, bm_cl_error_name(err));

    bm_status status = BM_OK;
    for (cl_uint i = 0; !err && i < n; i++) {
        status = device_init(&l->devices[l->n_devices], ids[i], platform, p->name);
        if (!status) {
            l->n_devices++;
        } else if (status == BM_ERR_MEMORY) {
            break;
        } else {
            warn_left_out(p->name, bm_error_text(status));
            status = BM_OK;
        }
    }
    bm_free(ids);
    return status;
}

static bm_status platform_init(bm_platform *p, cl_platform_id id)
{
    p->id = id;
    BM_TRY(platform_text(&p->name, id, CL_PLATFORM_NAME));
    BM_TRY(platform_text(&p->version, id, CL_PLATFORM_VERSION));
    return platform_text(&p->vendor, id, CL_PLATFORM_VENDOR);
}

bm_status bm_device_list_create(bm_device_list **out)
{
    *out = NULL;
    BM_TRY(bm_cl_load());
    cl_uint n = 0;
    cl_int err = bm_cl.GetPlatformIDs(0, NULL, &n);
    if ((!err && n == 0) || bm_cl_status(err) == BM_ERR_NO_DEVICE)
        return bm_fail_cl(BM_ERR_NO_DEVICE, err,
                          "there is no OpenCL platform: install a driver (Debian, for the CPU: pocl-opencl-icd; "
                          "`clinfo -l` shows what is found)");
    if (err) return bm_fail_cl(bm_cl_status(err), err, "clGetPlatformIDs: %s", bm_cl_error_name(err));

    bm_status status = BM_OK;
    cl_platform_id *ids = NULL;
    bm_device_list *l = bm_calloc(1, sizeof *l);
    if (l) l->platforms = bm_calloc(n, sizeof *l->platforms);
    if (l && l->platforms) ids = bm_calloc(n, sizeof *ids);
    BM_GO(ids ? BM_OK : BM_ERR_MEMORY);
    err = bm_cl.GetPlatformIDs(n, ids, NULL);
    BM_GO(err ? bm_fail_cl(bm_cl_status(err), err, "clGetPlatformIDs: %s", bm_cl_error_name(err)) : BM_OK);

    for (cl_uint i = 0; i < n; i++) {
        l->n_platforms = (int)i + 1; /* a half-made platform is released as well */
        BM_GO(platform_init(&l->platforms[i], ids[i]));
        BM_GO(add_devices(l, (int)i));
    }
    bm_device_list_name(l);
    *out = l;
    l = NULL;
done:
    bm_free(ids);
    bm_device_list_destroy(l);
    return status;
}

void bm_device_list_destroy(bm_device_list *l)
{
    if (!l) return;
    for (int i = 0; i < l->n_devices; i++) device_finish(&l->devices[i]);
    for (int i = 0; i < l->n_platforms; i++) {
        bm_free(l->platforms[i].name);
        bm_free(l->platforms[i].version);
        bm_free(l->platforms[i].vendor);
    }
    bm_free(l->devices);
    bm_free(l->platforms);
    bm_free(l);
}

int bm_device_list_platforms(const bm_device_list *l) { return l->n_platforms; }
const char *bm_device_list_platform_name(const bm_device_list *l, int platform) { return l->platforms[platform].name; }
const char *bm_device_list_platform_version(const bm_device_list *l, int platform) { return l->platforms[platform].version; }
int bm_device_list_count(const bm_device_list *l) { return l->n_devices; }
const bm_device *bm_device_list_at(const bm_device_list *l, int i) { return &l->devices[i]; }

const char *bm_device_name(const bm_device *d) { return d->name; }
const char *bm_device_vendor(const bm_device *d) { return d->vendor; }
const char *bm_device_version(const bm_device *d) { return d->version; }
const char *bm_device_c_version(const bm_device *d) { return d->c_version; }
const char *bm_device_driver(const bm_device *d) { return d->driver; }
const char *bm_device_extensions(const bm_device *d) { return d->extensions; }
const char *bm_device_platform_name(const bm_device *d) { return d->platform_name; }
const char *bm_device_short_name(const bm_device *d) { return d->short_name; }
int bm_device_platform(const bm_device *d) { return d->platform; }
const bm_limits *bm_device_limits(const bm_device *d) { return &d->limits; }

bm_status bm_device_key(char out[33], const bm_device *d)
{
    bm_hasher *h = NULL;
    BM_TRY(bm_hasher_create(&h));
    const char *part[] = {d->platform_name, d->name, d->vendor, d->version, d->driver};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) bm_hasher_add(h, part[i], strlen(part[i]) + 1);
    bm_hash128 digest = bm_hasher_digest(h);
    bm_hasher_destroy(h);
    bm_hash_hex(out, &digest);
    return BM_OK;
}
