/* bmtool ls: the datasets of a file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/table.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool ls runs/a                      what the newest checkpoint of the run holds\n"
    "  bmtool ls step-00000500.h5 params     all below /params\n"
    "  bmtool ls step-00000500.h5 '*/bias'   by pattern: * and ? as in the shell, * over slashes too\n"
    "  bmtool ls -c step-00000500.h5         layers that differ in a number alone on one line\n"
    "\n"
    "usage: bmtool ls FILE|RUN [PATTERN...] [--collapse] [--json]\n"
    "\n"
    "  -c, --collapse    one line for h0..h11 with the same type and shape\n"
    "  --json            {\"schema\", \"path\", \"datasets\": [{\"path\", \"dtype\", \"shape\", \"bytes\", \"offset\", "
    "\"hash\",\n"
    "                    \"attributes\"}]}\n";

static json_t *attr_json(const bm_attr *a)
{
    if (a->is_text) return json_string(a->data);
    if (a->shape.rank) return bm_json_shape(&a->shape); /* arrays by their shape */
    double x;
    if (bm_dtype_is_float(a->dtype))
        return bm_convert_floats(&x, BM_F64, a->data, a->dtype, 1) ? NULL : bm_json_real(x);
    int64_t i = 0;
    memcpy(&i, a->data, a->bytes);
    if (a->dtype == BM_I8) i = (int8_t)i;
    if (a->dtype == BM_I16) i = (int16_t)i;
    if (a->dtype == BM_I32) i = (int32_t)i;
    return json_integer((json_int_t)i);
}

static json_t *attrs_json(const bm_store *s, const char *path)
{
    json_t *all = json_object();
    for (int64_t i = 0; i < bm_store_attr_count(s); i++) {
        const bm_attr *a = bm_store_attr_at(s, i);
        if (!strcmp(a->object, path)) json_object_set_new(all, a->name, attr_json(a));
    }
    return all;
}

static json_t *list_json(const bm_store *s, const bm_entry *const *list, int64_t n)
{
    json_t *datasets = json_array();
    for (int64_t i = 0; i < n; i++) {
        const bm_entry *e = list[i];
        bm_hash128 h = bm_store_tensor_hash(s, e);
        char hex[33];
        bm_hash_hex(hex, &h);
        json_array_append_new(datasets, json_pack("{s:s, s:s, s:o, s:I, s:I, s:o, s:o}", "path", e->path, "dtype",
                                                  bm_dtype_name(e->dtype), "shape", bm_json_shape(&e->shape), "bytes",
                                                  (json_int_t)e->bytes, "offset", (json_int_t)e->offset, "hash",
                                                  json_string(hex), "attributes", attrs_json(s, e->path)));
    }
    return json_pack("{s:i, s:o, s:o}", "schema", BM_VIEW_SCHEMA, "path", bm_json_shown(bm_store_path(s)), "datasets",
                     datasets);
}

static bm_status print_list(const bm_entry *const *list, int64_t n, int collapse)
{
    static const char *const heads[] = {"dataset", "type", "shape", ">bytes", NULL};
    static const char *const group_heads[] = {"dataset", ">count", "type", "shape", ">bytes", NULL};
    bm_table *t = NULL;
    bm_view_group *groups = NULL;
    int64_t count = n, total = 0;
    bm_status status = BM_OK;
    if (collapse) BM_TRY(bm_view_collapse(&groups, &count, list, n, 0));
    BM_GO(bm_table_create(&t, collapse ? group_heads : heads));
    for (int64_t i = 0; i < count; i++) {
        const bm_entry *e = groups ? groups[i].entry : list[i];
        int64_t bytes = groups ? groups[i].bytes : e->bytes;
        char shape[BM_SHAPE_TEXT];
        bm_table_add(t, "%s", groups ? groups[i].name : e->path);
        if (groups) bm_table_add(t, "%" PRId64, groups[i].count);
        bm_table_add(t, "%s", bm_dtype_name(e->dtype));
        bm_table_add(t, "%s", bm_shape_text(&e->shape, shape, sizeof shape));
        bm_table_add(t, "%" PRId64, bytes);
        total += bytes;
    }
    BM_GO(bm_table_print(t, stdout));
    printf("%" PRId64 " datasets, %" PRId64 " bytes\n", n, total);
done:
    bm_table_destroy(t);
    bm_view_groups_free(groups, count);
    return status;
}

static int run(int argc, char **argv)
{
    int as_json = 0, collapse = 0;
    const bm_opt opts[] = {{"json", 'j', BM_OPT_FLAG, &as_json, 0},
                           {"collapse", 'c', BM_OPT_FLAG, &collapse, 0},
                           {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_ls, opts, 1, 1 << 20);
    if (code >= 0) return code;
    bm_store *s = NULL;
    const bm_entry **list = NULL;
    int64_t n = 0;
    bm_status status = bm_view_open(&s, argv[0]);
    if (!status) status = bm_view_select(&list, &n, s, (const char *const *)argv + 1, argc - 1);
    code = 0;
    if (!status && as_json)
        code = bm_out_json(list_json(s, list, n));
    else if (!status)
        status = print_list(list, n, collapse);
    bm_free(list);
    bm_store_close(s);
    return status ? bm_out_error(status) : code;
}

const bm_cmd bm_cmd_ls = {"ls", "look into checkpoints", "list the datasets of a file", help, run};
