/* bmtool stats: what values the tensors have. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/table.h"
#include "tools/tensor_stats.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool stats runs/a                          every parameter of the newest checkpoint\n"
    "  bmtool stats step-00000500.h5 'params/h0/*'  those that fit a pattern\n"
    "  bmtool stats step-00000500.h5 params/token --histogram\n"
    "\n"
    "usage: bmtool stats FILE|RUN [PATTERN...] [--histogram] [--json]\n"
    "\n"
    "Per tensor: least, greatest, mean, standard deviation, root mean square, and how many elements are zero, NaN or "
    "infinite\n"
    "(these two are counted and left out of the rest). Without a pattern: /params, or all of a dataset. Every byte "
    "read is\n"
    "checked against its hash.\n"
    "\n"
    "  --histogram   twenty equal steps from the least to the greatest value\n"
    "  --json        {\"schema\", \"path\", \"tensors\": [{\"path\", \"count\", \"min\", \"max\", \"mean\", \"std\", "
    "\"rms\",\n"
    "                \"zeros\", \"nan\", \"inf\"}]}\n";

enum { BINS = 20 };

typedef bm_tensor_stats stats;

static double deviation(const stats *s) { return s->finite ? sqrt(s->m2 / (double)s->finite) : (double)NAN; }
static double root_mean_square(const stats *s)
{
    return s->finite ? sqrt(s->m2 / (double)s->finite + s->mean * s->mean) : (double)NAN;
}
static double if_any(const stats *s, double x) { return s->finite ? x : (double)NAN; }

static json_t *stats_json(const bm_entry *e, const stats *s, int histogram)
{
    json_t *bins = histogram ? json_array() : NULL;
    for (int i = 0; histogram && i < BINS; i++) json_array_append_new(bins, json_integer(s->bin[i]));
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o*}", "path", e->path, "dtype",
                     bm_dtype_name(e->dtype), "count", (json_int_t)s->count, "min", bm_json_real(if_any(s, s->least)),
                     "max", bm_json_real(if_any(s, s->greatest)), "mean", bm_json_real(if_any(s, s->mean)), "std",
                     bm_json_real(deviation(s)), "rms", bm_json_real(root_mean_square(s)), "zeros",
                     (json_int_t)s->zeros, "nan", (json_int_t)s->nans, "inf", (json_int_t)s->infs, "histogram", bins);
}

static void add_number(bm_table *t, double x)
{
    char number[40];
    bm_table_add(t, "%s", bm_format_f64(number, sizeof number, x, 4));
}

static void add_row(bm_table *t, const bm_entry *e, const stats *s)
{
    bm_table_add(t, "%s", e->path);
    bm_table_add(t, "%" PRId64, s->count);
    add_number(t, if_any(s, s->least));
    add_number(t, if_any(s, s->greatest));
    add_number(t, if_any(s, s->mean));
    add_number(t, deviation(s));
    add_number(t, root_mean_square(s));
    bm_table_add(t, "%" PRId64, s->zeros);
    bm_table_add(t, "%" PRId64, s->nans);
    bm_table_add(t, "%" PRId64, s->infs);
}

static void print_histogram(const bm_entry *e, const stats *s)
{
    static const char bar[] = "##################################################";
    int64_t most = 1;
    bm_str name;
    bm_str_init(&name);
    bm_str_add_shown(&name, e->path, strlen(e->path));
    printf("\n%s\n", bm_str_text(&name));
    bm_str_finish(&name);
    for (int i = 0; i < BINS; i++)
        if (s->bin[i] > most) most = s->bin[i];
    for (int i = 0; i < BINS && s->finite; i++) {
        char from[40];
        bm_format_f64(from, sizeof from, s->least + (s->greatest - s->least) * i / BINS, 4);
        printf("  from %11s  %-50.*s %" PRId64 "\n", from, (int)(50 * s->bin[i] / most), bar, s->bin[i]);
    }
}

static bm_status run_on(const bm_store *store, const bm_entry *const *list, int64_t n, json_t *tensors, int histogram)
{
    static const char *const heads[] = {"tensor", ">count", ">min", ">max", ">mean", ">std",
                                        ">rms",   ">zeros", ">nan", ">inf", NULL};
    stats *s = bm_calloc((size_t)n + 1, sizeof *s);
    bm_table *t = NULL;
    if (!s) return BM_ERR_MEMORY;
    bm_status status = bm_table_create(&t, heads);
    for (int64_t i = 0; i < n && !status; i++) {
        bm_out_progress(list[i]->path);
        status = bm_tensor_measure(s + i, store, list[i], histogram ? BINS : 0);
        if (status) break;
        if (tensors)
            json_array_append_new(tensors, stats_json(list[i], s + i, histogram));
        else
            add_row(t, list[i], s + i);
    }
    bm_out_progress("");
    if (!status && !tensors) status = bm_table_print(t, stdout);
    for (int64_t i = 0; i < n && !status && !tensors && histogram; i++) print_histogram(list[i], s + i);
    bm_table_destroy(t);
    bm_free(s);
    return status;
}

static int run(int argc, char **argv)
{
    static const char *const params[] = {"/params"};
    int as_json = 0, histogram = 0;
    const bm_opt opts[] = {{"json", 'j', BM_OPT_FLAG, &as_json, 0},
                           {"histogram", 0, BM_OPT_FLAG, &histogram, 0},
                           {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_stats, opts, 1, 1 << 20);
    if (code >= 0) return code;
    bm_store *s = NULL;
    const bm_entry **list = NULL;
    int64_t n = 0;
    json_t *tensors = as_json ? json_array() : NULL;
    bm_status status = bm_view_open(&s, argv[0]);
    if (!status)
        status = argc > 1 || bm_store_get_kind(s) == BM_STORE_DATASET
                     ? bm_view_select(&list, &n, s, (const char *const *)argv + 1, argc - 1)
                     : bm_view_select(&list, &n, s, params, 1);
    if (!status) status = run_on(s, list, n, tensors, histogram);
    code = 0;
    if (!status && as_json)
        code = bm_out_json(json_pack("{s:i, s:o, s:O}", "schema", BM_VIEW_SCHEMA, "path",
                                     bm_json_shown(bm_store_path(s)), "tensors", tensors));
    json_decref(tensors);
    bm_free(list);
    bm_store_close(s);
    return status ? bm_out_error(status) : code;
}

const bm_cmd bm_cmd_stats = {"stats", "look into checkpoints", "least, greatest, mean and spread of tensors", help,
                             run};
