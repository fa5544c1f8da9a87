#include "tools/data/rows_form.h"

#include "tools/out.h"

static int read_shape(bm_shape *s, const json_t *list)
{
    *s = (bm_shape){.rank = (int)json_array_size(list)};
    if (!json_is_array(list) || s->rank > BM_MAX_RANK) return 0;
    for (int i = 0; i < s->rank; i++) s->dim[i] = json_integer_value(json_array_get(list, (size_t)i));
    return 1;
}

bm_status bm_rows_form_parse(bm_rows_form *f, bm_class_list *classes, const json_t *encoding, const char *from)
{
    const json_t *names = json_object_get(encoding, "classes");
    f->numbers = !json_is_array(names);
    if (!read_shape(&f->input, json_object_get(encoding, "input")) || !read_shape(&f->target, json_object_get(encoding, "target")))
        return bm_fail(BM_ERR_REFUSED, "%s: its encoding is not one of rows as bmtool data hdf5 makes them", from);
    return f->numbers ? BM_OK : bm_class_list_parse(classes, names, from);
}

json_t *bm_rows_form_json(const bm_rows_form *f, const bm_class_list *classes)
{
    return json_pack("{s:s, s:o, s:o, s:o}", "kind", "rows", "input", bm_json_shape(&f->input), "target", bm_json_shape(&f->target), "classes",
                     f->numbers ? json_null() : bm_class_list_json(classes));
}
