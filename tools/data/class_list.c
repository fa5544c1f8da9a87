#include "tools/data/class_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/text/utf8.h"

#define MOST_BYTES ((size_t)16 << 20) /* of a file of names */

void bm_class_list_finish(bm_class_list *c)
{
    for (int64_t i = 0; i < c->n; i++) bm_free(c->name[i]);
    bm_free(c->name);
    bm_free(c->count);
    *c = (bm_class_list){0};
}

/* Room for `most` names. */
static bm_status start(bm_class_list *c, int64_t most)
{
    bm_class_list_finish(c);
    c->name = bm_calloc((size_t)most + 1, sizeof *c->name);
    c->count = bm_calloc((size_t)most + 1, sizeof *c->count);
    return c->name && c->count ? BM_OK : BM_ERR_MEMORY;
}

static bm_status add(bm_class_list *c, const char *name, const char *from)
{
    if (!*name) return bm_fail(BM_ERR_CONFIG, "%s: class %lld has no name", from, (long long)c->n);
    if (!bm_utf8_valid(name, strlen(name)))
        return bm_fail(BM_ERR_CONFIG, "%s: the name of class %lld is not UTF-8", from, (long long)c->n);
    if (!(c->name[c->n] = bm_strdup(name))) return BM_ERR_MEMORY;
    c->n++;
    return BM_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bm_status check_names(const bm_class_list *c, const char *from)
{
    bm_status status = BM_OK;
    if (c->n < 2)
        return bm_fail(BM_ERR_CONFIG, "%s: %s: there is nothing to learn", from,
                       c->n ? "one class only" : "no classes");
    char **order = bm_calloc((size_t)c->n, sizeof *order);
    if (!order) return BM_ERR_MEMORY;
    memcpy(order, c->name, (size_t)c->n * sizeof *order);
    qsort(order, (size_t)c->n, sizeof *order, by_name);
    for (int64_t i = 1; !status && i < c->n; i++)
        if (!strcmp(order[i - 1], order[i]))
            status = bm_fail(BM_ERR_CONFIG, "%s: two classes are called \"%.200s\"", from, order[i]);
    bm_free(order);
    return status;
}

/* Names between the bytes of `ends`; an end of the text that follows one is none. */
static bm_status cut(bm_class_list *c, char *text, const char *ends, const char *from)
{
    int64_t most = 1;
    for (const char *p = text; *p; p++) most += strchr(ends, *p) != NULL;
    BM_TRY(start(c, most));
    while (*text) {
        char *end = text + strcspn(text, ends), more = *end;
        *end = 0;
        if (end > text && end[-1] == '\r') end[-1] = 0;
        BM_TRY(add(c, text, from));
        text = end + (more != 0);
    }
    return check_names(c, from);
}

bm_status bm_class_list_read(bm_class_list *c, const char *list)
{
    size_t bytes;
    char *text = NULL;
    bm_status status;
    const int file = bm_path_exists(list);
    if (file)
        BM_TRY(bm_file_read(&text, &bytes, list, MOST_BYTES));
    else if (!(text = bm_strdup(list)))
        return BM_ERR_MEMORY;
    status = cut(c, text, file ? "\n" : ",", file ? list : "--classes");
    bm_free(text);
    return status;
}

bm_status bm_class_list_number(bm_class_list *c, int64_t n)
{
    char name[24];
    BM_TRY(start(c, n));
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%lld", (long long)i);
        BM_TRY(add(c, name, ""));
    }
    return BM_OK;
}

bm_status bm_class_list_parse(bm_class_list *c, const json_t *names, const char *from)
{
    BM_TRY(start(c, (int64_t)json_array_size(names)));
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        BM_TRY(add(c, name ? name : "", from));
    }
    return check_names(c, from);
}

bm_status bm_class_list_of_folder(bm_class_list *c, const bm_folder *f, const char *from)
{
    BM_TRY(start(c, bm_folder_classes(f)));
    for (int64_t i = 0; i < bm_folder_classes(f); i++) BM_TRY(add(c, bm_folder_class_at(f, i), from));
    return check_names(c, from);
}

bm_status bm_class_list_count(bm_class_list *c, int64_t label, const char *file, int64_t item)
{
    if (label < 0 || label >= c->n)
        return bm_fail(BM_ERR_CONFIG, "%s: item %lld: class %lld: there are %lld, from 0 on", file, (long long)item,
                       (long long)label, (long long)c->n);
    c->count[label]++;
    return BM_OK;
}

bm_status bm_class_list_check(const bm_class_list *c, const char *file)
{
    for (int64_t i = 0; i < c->n; i++)
        if (!c->count[i])
            return bm_fail(BM_ERR_CONFIG, "%s: no item of class %lld, \"%.200s\", of %lld", file, (long long)i,
                           c->name[i], (long long)c->n);
    return c->n > 1 ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: one class only: there is nothing to learn", file);
}

json_t *bm_class_list_json(const bm_class_list *c)
{
    json_t *list = json_array();
    int bad = 0;
    for (int64_t i = 0; i < c->n; i++) bad |= json_array_append_new(list, json_string(c->name[i]));
    if (!bad) return list;
    json_decref(list);
    return NULL;
}
