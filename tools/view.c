#include "tools/view.h"

#include <ctype.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "tools/out.h"

bm_status bm_view_open(bm_store **out, const char *path)
{
    char *file;
    *out = NULL;
    BM_TRY(bm_run_resolve(&file, path));
    bm_status status = bm_store_open(out, file);
    bm_free(file);
    return status;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* The digits at p without leading zeros, and how many. */
static const char *digits(size_t *n, const char *p)
{
    while (*p == '0' && is_digit(p[1])) p++;
    for (*n = 0; is_digit(p[*n]);) ++*n;
    return p;
}

int bm_view_compare(const char *a, const char *b)
{
    while (*a && *b) {
        if (is_digit(*a) && is_digit(*b)) {
            size_t na, nb;
            a = digits(&na, a);
            b = digits(&nb, b);
            if (na != nb) return na < nb ? -1 : 1;
            int order = strncmp(a, b, na);
            if (order) return order;
            a += na;
            b += nb;
        } else if (*a != *b) {
            return (unsigned char)*a - (unsigned char)*b;
        } else {
            a++;
            b++;
        }
    }
    return (unsigned char)*a - (unsigned char)*b;
}

int bm_view_matches(const char *path, const char *const *patterns, int n)
{
    for (int i = 0; i < n; i++) {
        const char *pattern = patterns[i], *name = pattern[0] == '/' ? path : path + 1;
        size_t length = strlen(pattern);
        while (length > 1 && pattern[length - 1] == '/') length--;
        if (!fnmatch(pattern, name, 0)) return 1;
        if (!strncmp(name, pattern, length) && (name[length] == '/' || pattern[length - 1] == '/')) return 1;
    }
    return n == 0;
}

static int by_path(const void *a, const void *b)
{
    return bm_view_compare((*(const bm_entry *const *)a)->path, (*(const bm_entry *const *)b)->path);
}

bm_status bm_view_select(const bm_entry ***out, int64_t *count, const bm_store *s, const char *const *patterns, int n)
{
    const bm_entry **list = bm_alloc((size_t)(bm_store_count(s) + 1) * sizeof *list);
    *out = NULL;
    *count = 0;
    if (!list) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < bm_store_count(s); i++)
        if (bm_view_matches(bm_store_at(s, i)->path, patterns, n)) list[(*count)++] = bm_store_at(s, i);
    if (n && !*count) {
        bm_free(list);
        return bm_fail(BM_ERR_NOT_FOUND, "%s: no dataset fits \"%s\" (bmtool ls lists them)", bm_store_path(s),
                       patterns[0]);
    }
    if (*count) qsort(list, (size_t)*count, sizeof *list, by_path);
    *out = list;
    return BM_OK;
}

/* Whether two names are the same but for the numbers in the first part between slashes that has any. */
static int same_pattern(const char *a, const char *b)
{
    int part = 0; /* 1: inside that part, 2: behind it */
    while (*a || *b) {
        if (part < 2 && is_digit(*a) && is_digit(*b)) {
            while (is_digit(*a)) a++;
            while (is_digit(*b)) b++;
            part = 1;
            continue;
        }
        if (*a != *b) return 0;
        if (part == 1 && *a == '/') part = 2;
        a++;
        b++;
    }
    return 1;
}

/* "h0..h11/bias" from "h0/bias" and "h11/bias". */
static char *range_name(const char *first, const char *last)
{
    bm_str s;
    bm_str_init(&s);
    while (*first || *last) {
        size_t a = strcspn(first, "/"), b = strcspn(last, "/");
        bm_str_add_shown(&s, first, a);
        if (a != b || strncmp(first, last, a)) {
            bm_str_add(&s, "..");
            bm_str_add_shown(&s, last, b);
        }
        first += a;
        last += b;
        if (*first) bm_str_add(&s, "/");
        first += *first != 0;
        last += *last != 0;
    }
    char *name = bm_str_take(&s);
    bm_str_finish(&s);
    return name;
}

bm_status bm_view_collapse(bm_view_group **out, int64_t *groups, const bm_entry *const *entries, int64_t n, size_t skip)
{
    bm_view_group *g = bm_calloc((size_t)n + 1, sizeof *g);
    const bm_entry **last = bm_alloc((size_t)(n + 1) * sizeof *last);
    int64_t count = 0;
    bm_status status = g && last ? BM_OK : BM_ERR_MEMORY;
    for (int64_t i = 0; i < n && !status; i++) {
        const bm_entry *e = entries[i];
        int64_t k = 0;
        while (k < count && !(same_pattern(g[k].entry->path, e->path) && g[k].entry->dtype == e->dtype &&
                              bm_shape_equal(&g[k].entry->shape, &e->shape)))
            k++;
        if (k == count) g[count++].entry = e;
        g[k].count++;
        g[k].bytes += e->bytes;
        last[k] = e;
    }
    for (int64_t k = 0; k < count && !status; k++)
        if (!(g[k].name = range_name(g[k].entry->path + skip, last[k]->path + skip))) status = BM_ERR_MEMORY;
    bm_free(last);
    if (status) {
        bm_view_groups_free(g, count);
        g = NULL;
    }
    *out = g;
    *groups = g ? count : 0;
    return status;
}

void bm_view_groups_free(bm_view_group *groups, int64_t n)
{
    for (int64_t i = 0; groups && i < n; i++) bm_free(groups[i].name);
    bm_free(groups);
}

typedef struct verifying {
    const bm_store *store;
    json_t *damage;
    int quiet;
    double start_s, shown_s;
} verifying;

static void show_damage(void *user, const char *path, int64_t offset, int64_t bytes, const char *what)
{
    verifying *v = user;
    if (v->damage)
        json_array_append_new(v->damage, json_pack("{s:s?, s:I, s:I, s:s}", "dataset", path, "offset",
                                                   (json_int_t)offset, "bytes", (json_int_t)bytes, "what", what));
    if (v->quiet) return;
    bm_out_progress("");
    printf("%s: damaged: %s: the %" PRId64 " bytes at %" PRId64 ": %s\n", bm_store_path(v->store),
           path ? path : "metadata", bytes, offset, what);
}

static bm_status show_progress(void *user, int64_t done, int64_t all)
{
    verifying *v = user;
    char line[200], size[BM_OUT_NUMBER];
    double now = bm_now_s();
    if (now - v->shown_s < 0.1) return BM_OK;
    v->shown_s = now;
    snprintf(line, sizeof line, "verify %3.0f %% of %s, %.2f GB/s", 100.0 * (double)done / (double)all,
             bm_out_bytes(size, all), (double)done / (now - v->start_s) * 1e-9);
    bm_out_progress(line);
    return BM_OK;
}

bm_status bm_view_verify(const bm_store *s, json_t *damage, int quiet)
{
    verifying v = {s, damage, quiet, bm_now_s(), bm_now_s()};
    bm_verify_opts opts = {show_damage, show_progress, &v};
    bm_status status = bm_store_verify(s, &opts);
    bm_out_progress("");
    return status;
}

static void add_list(bm_str *s, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        bm_str_addf(s, "%s%" JSON_INTEGER_FORMAT, i ? ", " : "[", json_integer_value(json_array_get(list, i)));
    bm_str_add(s, "]");
}

void bm_view_add_members(bm_str *s, const json_t *object)
{
    const char *key;
    json_t *value;
    char number[40];
    int first = 1;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_null(value) || json_is_object(value) || (json_is_array(value) && !json_is_integer(json_array_get(value, 0)))) continue;
        bm_str_add(s, first ? "" : ", ");
        bm_str_add_shown(s, key, strlen(key));
        bm_str_add(s, " ");
        if (json_is_array(value))
            add_list(s, value);
        else if (json_is_string(value))
            bm_str_add_shown(s, json_string_value(value), json_string_length(value));
        else if (json_is_integer(value))
            bm_str_addf(s, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            bm_str_add(s, bm_format_f64(number, sizeof number, json_real_value(value), 6));
        else
            bm_str_add(s, json_is_true(value) ? "yes" : "no");
        first = 0;
    }
}

void bm_view_print_file(const bm_store *s)
{
    char text[200], bytes[BM_OUT_NUMBER], id[65];
    const char *created = "";
    bm_store_attr_text(&created, s, "/", "created_utc");
    snprintf(text, sizeof text, "%s, made %s, uuid %s", bm_out_bytes(bytes, bm_store_bytes(s)), created, bm_store_uuid(s));
    bm_out_field("file", text);
    bm_content_id_hex(id, bm_store_content_id(s));
    bm_out_field("content id", id);
}

void bm_view_print_about(const char *meta)
{
    bm_str members;
    json_t *object = *meta ? json_loads(meta, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bm_str_init(&members);
    if (object) bm_view_add_members(&members, object);
    bm_out_field("about", bm_str_text(&members));
    bm_str_finish(&members);
    json_decref(object);
}
