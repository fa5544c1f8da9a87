/* bmtool devices: what OpenCL offers on this machine, and what --device takes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/device/device.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/table.h"
#include "tools/threads.h"

static const char help[] =
    "Examples:\n"
    "  bmtool devices                 one line a device; * marks what --device auto picks\n"
    "  bmtool devices --all           everything about each: limits, features, extensions\n"
    "  bmtool devices --device gpu:0  which device a SPEC means\n"
    "  bmtool devices --json\n"
    "\n"
    "usage: bmtool devices [--device SPEC] [--all] [--json]\n"
    "\n"
    "Lists every OpenCL platform and device, without opening any.\n"
    "\n"
    "  --all          the details of each device\n"
    "  --device SPEC  only the devices that SPEC means\n"
    "  --json         {\"schema\", \"auto\", \"platforms\": [{\"name\", \"devices\": [{\"device\", \"type\", ...}]}]}\n"
    "\n"
    "SPEC is what every --device takes: auto, cpu, gpu, fpga, all, or a name: the first column, or a part of a\n"
    "platform's, vendor's or device's name; then \":N\" for the N-th of several, from 0; joined by \"+\" for several\n"
    "devices. auto is the best of: discrete GPUs, integrated GPUs, CPUs, others; of two alike the one with more\n"
    "lanes times clock.\n"
    "\n"
    "Exit code: 0, or 5 when there is no device.\n";

enum { MOST = 64 };

/* What is asked for, of the whole list. */
typedef struct view {
    bm_device_list *list;
    const bm_device *automatic; /* NULL: none */
    const bm_device *shown[MOST];
    int n_shown;
} view;

static const char *type_name(bm_device_type t)
{
    switch (t) {
    case BM_DEVICE_CPU: return "cpu";
    case BM_DEVICE_GPU: return "gpu";
    case BM_DEVICE_ACCELERATOR: return "accelerator";
    default: return "other";
    }
}

/* "1.2" of "OpenCL C 1.2 pocl". */
static void c_version(char out[16], const bm_device *d)
{
    const char *text = bm_device_c_version(d);
    if (sscanf(text, "OpenCL C %15[0-9.]", out) != 1) snprintf(out, 16, "?");
}

static bm_status view_open(view *v, const char *spec)
{
    int n = 0;
    BM_TRY(bm_threads_tell());
    BM_TRY(bm_device_list_create(&v->list));
    if (bm_device_select(&v->automatic, &n, 1, v->list, "auto")) v->automatic = NULL;
    return bm_device_select(v->shown, &v->n_shown, MOST, v->list, spec ? spec : "all");
}

static int devices_of(const view *v, int platform)
{
    int n = 0;
    for (int i = 0; i < bm_device_list_count(v->list); i++) n += bm_device_platform(bm_device_list_at(v->list, i)) == platform;
    return n;
}

static void print_empty_platforms(const view *v)
{
    for (int i = 0; i < bm_device_list_platforms(v->list); i++)
        if (devices_of(v, i) == 0)
            printf("%s (%s) has no device.\n", bm_device_list_platform_name(v->list, i),
                   bm_device_list_platform_version(v->list, i));
}

static bm_status print_table(const view *v)
{
    static const char *const heads[] = {"", "DEVICE", "TYPE", ">MEMORY", ">AT ONCE", ">UNITS", ">MHZ", "C", "NAME", NULL};
    bm_table *t = NULL;
    BM_TRY(bm_table_create(&t, heads));
    for (int i = 0; i < v->n_shown; i++) {
        const bm_device *d = v->shown[i];
        const bm_limits *m = bm_device_limits(d);
        char memory[BM_OUT_NUMBER], once[BM_OUT_NUMBER], c[16];
        c_version(c, d);
        bm_table_add(t, "%s", d == v->automatic ? "*" : "");
        bm_table_add(t, "%s", bm_device_short_name(d));
        bm_table_add(t, "%s", type_name(m->type));
        bm_table_add(t, "%s", bm_out_bytes(memory, m->global_bytes));
        bm_table_add(t, "%s", bm_out_bytes(once, m->max_alloc_bytes));
        bm_table_add(t, "%d", m->compute_units);
        bm_table_add(t, "%d", m->clock_mhz);
        bm_table_add(t, "%s", c);
        bm_table_add(t, "%s", bm_device_name(d));
    }
    bm_status status = bm_table_print(t, stdout);
    bm_table_destroy(t);
    return status;
}

static void print_features(const bm_limits *m)
{
    const struct {
        int has;
        const char *name;
    } feature[] = {{m->fp16, "fp16 arithmetic"},          {m->fp64, "fp64"},
                   {m->unified_memory, "shares the host's memory"}, {m->native_kernel, "native kernels"},
                   {m->partition_counts, "can be split"}, {m->bf16_dot, "bf16 products (vdpbf16ps)"},
                   {m->i8_dot, "int8 products (vpdpbusd)"},
                   {!m->compiler, "no compiler: needs prebuilt kernels"}};
    const char *comma = "";
    printf("    features     ");
    for (size_t i = 0; i < sizeof feature / sizeof feature[0]; i++) {
        if (!feature[i].has) continue;
        printf("%s%s", comma, feature[i].name);
        comma = ", ";
    }
    printf("%s\n", *comma ? "" : "none beyond OpenCL 1.2");
}

/* Names come from drivers: shown, not sent. */
static bm_status print_text(const char *label, const char *text)
{
    bm_str s;
    bm_str_init(&s);
    bm_str_add_shown(&s, text, strlen(text));
    bm_status status = bm_str_status(&s);
    if (!status) printf("    %-12s %s\n", label, bm_str_text(&s));
    bm_str_finish(&s);
    return status;
}

static bm_status print_details(const view *v)
{
    for (int i = 0; i < v->n_shown; i++) {
        const bm_device *d = v->shown[i];
        const bm_limits *m = bm_device_limits(d);
        char a[BM_OUT_NUMBER], b[BM_OUT_NUMBER], c[BM_OUT_NUMBER];
        printf("%s%s%s\n", i ? "\n" : "", bm_device_short_name(d), d == v->automatic ? "  (auto)" : "");
        BM_TRY(print_text("name", bm_device_name(d)));
        BM_TRY(print_text("vendor", bm_device_vendor(d)));
        BM_TRY(print_text("platform", bm_device_platform_name(d)));
        BM_TRY(print_text("version", bm_device_version(d)));
        BM_TRY(print_text("OpenCL C", bm_device_c_version(d)));
        BM_TRY(print_text("driver", bm_device_driver(d)));
        printf("    type         %s\n", type_name(m->type));
        printf("    memory       %s, at most %s at once, aligned to %s\n", bm_out_bytes(a, m->global_bytes),
               bm_out_bytes(b, m->max_alloc_bytes), bm_out_bytes(c, m->align_bytes));
        printf("    local        %s a work-group; constants %s\n", bm_out_bytes(a, m->local_bytes),
               bm_out_bytes(b, m->constant_bytes));
        printf("    units        %d at %d MHz, vectors of %d float\n", m->compute_units, m->clock_mhz, m->float_width);
        printf("    work-group   %" PRId64 " items, %" PRId64 " x %" PRId64 " x %" PRId64 "\n", m->max_work_group,
               m->max_work_item[0], m->max_work_item[1], m->max_work_item[2]);
        print_features(m);
        BM_TRY(print_text("extensions", bm_device_extensions(d)));
    }
    return BM_OK;
}

static json_t *extensions_json(const bm_device *d)
{
    json_t *a = json_array();
    for (const char *p = bm_device_extensions(d); *p;) {
        size_t n = strcspn(p, " ");
        if (n > 0) json_array_append_new(a, json_stringn(p, n));
        p += n + (p[n] == ' ');
    }
    return a;
}

static json_t *device_json(const bm_device *d)
{
    const bm_limits *m = bm_device_limits(d);
    return json_pack("{ss ss ss ss ss ss ss sI sI sI sI sI sI s[III] si si si sb sb sb sb sb sb sb sb so}",
                     "device", bm_device_short_name(d), "type", type_name(m->type), "name", bm_device_name(d),
                     "vendor", bm_device_vendor(d), "version", bm_device_version(d), "c_version", bm_device_c_version(d),
                     "driver", bm_device_driver(d),
                     "memory_bytes", (json_int_t)m->global_bytes, "max_alloc_bytes", (json_int_t)m->max_alloc_bytes,
                     "local_bytes", (json_int_t)m->local_bytes, "constant_bytes", (json_int_t)m->constant_bytes,
                     "align_bytes", (json_int_t)m->align_bytes, "max_work_group", (json_int_t)m->max_work_group,
                     "max_work_item", (json_int_t)m->max_work_item[0], (json_int_t)m->max_work_item[1],
                     (json_int_t)m->max_work_item[2],
                     "compute_units", m->compute_units, "clock_mhz", m->clock_mhz, "float_width", m->float_width,
                     "unified_memory", m->unified_memory, "fp16", m->fp16, "fp64", m->fp64, "compiler", m->compiler,
                     "native_kernel", m->native_kernel, "partition_counts", m->partition_counts,
                     "bf16_dot", m->bf16_dot, "i8_dot", m->i8_dot,
                     "extensions", extensions_json(d));
}

static int print_json(const view *v)
{
    json_t *platforms = json_array();
    for (int p = 0; p < bm_device_list_platforms(v->list); p++) {
        json_t *devices = json_array();
        for (int i = 0; i < v->n_shown; i++)
            if (bm_device_platform(v->shown[i]) == p) json_array_append_new(devices, device_json(v->shown[i]));
        json_array_append_new(platforms, json_pack("{ss ss so}", "name", bm_device_list_platform_name(v->list, p), "version",
                                                   bm_device_list_platform_version(v->list, p), "devices", devices));
    }
    return bm_out_json(json_pack("{si ss? so}", "schema", 1, "auto", v->automatic ? bm_device_short_name(v->automatic) : NULL,
                                 "platforms", platforms));
}

static int run(int argc, char **argv)
{
    int json = 0, all = 0;
    const char *spec = NULL;
    const bm_opt opts[] = {
        {"json", 'j', BM_OPT_FLAG, &json, 0},
        {"all", 0, BM_OPT_FLAG, &all, 0},
        {"device", 0, BM_OPT_STRING, &spec, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_devices, opts, 0, 0);
    if (code >= 0) return code;

    view v = {0};
    bm_status status = view_open(&v, spec);
    const bm_error error = *bm_last_error();
    code = 0;
    if (v.list && json) {
        code = print_json(&v);
    } else if (v.list) {
        bm_status printed = all ? print_details(&v) : v.n_shown > 0 ? print_table(&v) : BM_OK;
        code = bm_out_error(printed);
        if (!spec) print_empty_platforms(&v);
    }
    if (status) code = bm_out_error(bm_error_restore(&error));
    bm_device_list_destroy(v.list);
    return code;
}

const bm_cmd bm_cmd_devices = {"devices", "look at the machine", "what OpenCL offers here, and what --device takes", help, run};
