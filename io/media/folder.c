#include "io/media/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/media/csv.h"
#include "io/text/utf8.h"

enum { MOST_DEPTH = 16, MOST_CLASSES = 1 << 24 };

/* A file, and for its class the index of its name in the list of names, in the order that they were met. */
typedef struct entry {
    bm_folder_file file;
    int64_t line; /* of the table */
} entry;

struct bm_folder {
    char *path;
    bm_folder_opts opts; /* while it is opened */
    int parts;
    char **classes;
    int64_t n_classes, classes_room;
    entry *entries;
    int64_t n, room;
};

/* ---- collecting ---- */

static bm_status add_class(bm_folder *f, const char *name)
{
    if (!bm_utf8_valid(name, strlen(name))) return bm_fail(BM_ERR_CONFIG, "%s: the name of a class is not UTF-8", f->path);
    if (f->n_classes == MOST_CLASSES) return bm_fail(BM_ERR_CONFIG, "%s: more than %d classes", f->path, MOST_CLASSES);
    if (f->n_classes == f->classes_room) {
        int64_t room = f->classes_room ? 2 * f->classes_room : 16;
        char **classes = bm_realloc(f->classes, (size_t)room, sizeof *classes);
        if (!classes) return BM_ERR_MEMORY;
        f->classes = classes;
        f->classes_room = room;
    }
    f->classes[f->n_classes] = bm_strdup(name);
    if (!f->classes[f->n_classes]) return BM_ERR_MEMORY;
    f->n_classes++;
    return BM_OK;
}

/* Takes the path over. */
static bm_status add_file(bm_folder *f, char *path, int64_t label, int validation, int64_t line)
{
    if (f->n == f->room) {
        int64_t room = f->room ? 2 * f->room : 64;
        entry *entries = bm_realloc(f->entries, (size_t)room, sizeof *entries);
        if (!entries) {
            bm_free(path);
            return BM_ERR_MEMORY;
        }
        f->entries = entries;
        f->room = room;
    }
    f->entries[f->n++] = (entry){{path, (int32_t)label, validation}, line};
    return BM_OK;
}

static int ends_as_asked(const bm_folder *f, const char *name)
{
    const size_t n = strlen(name);
    for (const char *const *e = f->opts.endings; *e; e++) {
        const size_t m = strlen(*e);
        if (n > m && strcasecmp(name + n - m, *e) == 0) return 1;
    }
    return 0;
}

static bm_status walk(bm_folder *f, const char *folder, int depth, int64_t label);

/* One name of a folder; at depth 0 folders are classes. Takes the path over. */
static bm_status visit(bm_folder *f, char *path, const char *name, int depth, int64_t label)
{
    struct stat st;
    bm_status status = BM_OK;
    if (lstat(path, &st) != 0) status = bm_fail_errno(errno, path, "stat");
    else if (S_ISDIR(st.st_mode) && depth == 0 && !f->opts.texts) {
        status = add_class(f, name);
        if (!status) status = walk(f, path, depth + 1, f->n_classes - 1);
    } else if (S_ISDIR(st.st_mode)) status = walk(f, path, depth + 1, label);
    else if (!ends_as_asked(f, name)) status = BM_OK;
    else if (depth == 0 && !f->opts.classes && !f->opts.texts) status = bm_fail(BM_ERR_CONFIG, "%s: lies in no folder of a class", path);
    else return add_file(f, path, label, 0, 0);
    bm_free(path);
    return status;
}

static bm_status walk(bm_folder *f, const char *folder, int depth, int64_t label)
{
    bm_status status = BM_OK;
    if (depth > MOST_DEPTH) return bm_fail(BM_ERR_CONFIG, "%s: folders lie deeper than %d in each other", folder, MOST_DEPTH);
    DIR *d = opendir(folder);
    if (!d) return bm_fail_errno(errno, folder, "open the folder");
    while (!status) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e && errno) status = bm_fail_errno(errno, folder, "read the folder");
        if (!e) break;
        if (e->d_name[0] == '.') continue;
        char *path = bm_path_join(folder, e->d_name);
        status = path ? visit(f, path, e->d_name, depth, label) : BM_ERR_MEMORY;
    }
    closedir(d);
    return status;
}

/* ---- the order ---- */

typedef struct named {
    char *name;
    int64_t met; /* its index before */
} named;

static int by_name(const void *a, const void *b) { return strcmp(((const named *)a)->name, ((const named *)b)->name); }

static int by_label(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->file.label != y->file.label) return x->file.label < y->file.label ? -1 : 1;
    return strcmp(x->file.path, y->file.path);
}

static void relabel(bm_folder *f, const int32_t *label)
{
    for (int64_t i = 0; i < f->n; i++)
        if (f->entries[i].file.label >= 0) f->entries[i].file.label = label[f->entries[i].file.label];
}

/* Sorts the classes, joining equal ones, and gives the files their labels. */
static bm_status sort_classes(bm_folder *f)
{
    named *order = bm_calloc((size_t)f->n_classes + 1, sizeof *order);
    int32_t *label = bm_calloc((size_t)f->n_classes + 1, sizeof *label);
    bm_status status = order && label ? BM_OK : BM_ERR_MEMORY;
    int64_t kept = 0;
    for (int64_t i = 0; !status && i < f->n_classes; i++) order[i] = (named){f->classes[i], i};
    if (!status) qsort(order, (size_t)f->n_classes, sizeof *order, by_name);
    for (int64_t i = 0; !status && i < f->n_classes; i++) {
        if (kept > 0 && strcmp(f->classes[kept - 1], order[i].name) == 0) bm_free(order[i].name);
        else f->classes[kept++] = order[i].name;
        label[order[i].met] = (int32_t)kept - 1;
    }
    if (!status) f->n_classes = kept;
    if (!status) relabel(f, label);
    bm_free(order);
    bm_free(label);
    return status;
}

/* Puts the classes that were given in place of those met, all of which are among them. `order`: room for them. */
static bm_status use_given(bm_folder *f, named *order, int32_t *label)
{
    const bm_folder_opts *o = &f->opts;
    for (int64_t i = 0; i < o->n_classes; i++) order[i] = (named){(char *)o->classes[i], i};
    qsort(order, (size_t)o->n_classes, sizeof *order, by_name);
    for (int64_t k = 0; k < f->n_classes; k++) {
        const named want = {f->classes[k], 0}, *found = bsearch(&want, order, (size_t)o->n_classes, sizeof *order, by_name);
        const char *near = found ? NULL : bm_nearest(f->classes[k], o->classes, (size_t)o->n_classes);
        if (!found)
            return bm_fail(BM_ERR_CONFIG, "%s: \"%.200s\" is none of the %lld classes%s%.200s%s", f->path, f->classes[k],
                           (long long)o->n_classes, near ? " (is it \"" : "", near ? near : "", near ? "\"?)" : "");
        label[k] = (int32_t)found->met;
    }
    relabel(f, label);
    for (int64_t k = 0; k < f->n_classes; k++) bm_free(f->classes[k]);
    f->n_classes = 0;
    for (int64_t i = 0; i < o->n_classes; i++) BM_TRY(add_class(f, o->classes[i]));
    return BM_OK;
}

static bm_status take_given(bm_folder *f)
{
    named *order = bm_calloc((size_t)f->opts.n_classes + 1, sizeof *order);
    int32_t *label = bm_calloc((size_t)f->n_classes + 1, sizeof *label);
    bm_status status = order && label ? use_given(f, order, label) : BM_ERR_MEMORY;
    bm_free(order);
    bm_free(label);
    return status;
}

static bm_status finish(bm_folder *f)
{
    int64_t at = 0;
    BM_TRY(sort_classes(f));
    if (f->opts.classes) BM_TRY(take_given(f));
    if (f->n) qsort(f->entries, (size_t)f->n, sizeof *f->entries, by_label);
    if (f->opts.classes || f->opts.texts)
        return f->n ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: no files of the kind in it", f->opts.table ? f->opts.table : f->path);
    if (f->n_classes == 0) return bm_fail(BM_ERR_CONFIG, "%s: no classes in it", f->path);
    if (f->n_classes == 1)
        return bm_fail(BM_ERR_CONFIG, "%s: one class only, \"%.200s\": there is nothing to learn", f->path, f->classes[0]);
    for (int64_t k = 0; k < f->n_classes; k++) {
        const int64_t first = at;
        while (at < f->n && f->entries[at].file.label == k) at++;
        if (at == first) return bm_fail(BM_ERR_CONFIG, "%s: the class \"%.200s\" has no files of the kind", f->path, f->classes[k]);
    }
    return BM_OK;
}

/* ---- a table ---- */

static int by_path(const void *a, const void *b)
{
    const entry *const *x = a, *const *y = b;
    const int order = strcmp((*x)->file.path, (*y)->file.path);
    return order ? order : ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static bm_status check_twins(const bm_folder *f, const char *table)
{
    const entry **order = bm_calloc((size_t)f->n + 1, sizeof *order);
    bm_status status = BM_OK;
    if (!order) return BM_ERR_MEMORY;
    for (int64_t i = 0; i < f->n; i++) order[i] = &f->entries[i];
    qsort(order, (size_t)f->n, sizeof *order, by_path);
    for (int64_t i = 1; !status && i < f->n; i++)
        if (strcmp(order[i - 1]->file.path, order[i]->file.path) == 0)
            status = bm_fail(BM_ERR_CONFIG, "%s:%lld: %s stands in line %lld already", table, (long long)order[i]->line,
                             order[i]->file.path, (long long)order[i - 1]->line);
    bm_free(order);
    return status;
}

/* The places of the columns in a table; -1: there is none. */
typedef struct places {
    int64_t file, label, part;
} places;

static places find_places(const bm_csv *csv)
{
    places p = {-1, -1, -1};
    for (int64_t i = 0; i < bm_csv_count(csv); i++) {
        const char *name = bm_csv_named(csv) ? bm_csv_column_at(csv, i)->name : "";
        if (p.file < 0 && !strcasecmp(name, "file")) p.file = i;
        if (p.label < 0 && (!strcasecmp(name, "label") || !strcasecmp(name, "class") || !strcasecmp(name, "text"))) p.label = i;
        if (p.part < 0 && !strcasecmp(name, "part")) p.part = i;
    }
    if (p.file < 0) p.file = p.label == 0;
    if (p.label < 0) p.label = p.file == 1 ? 0 : 1;
    return p;
}

static bm_status read_part(int *validation, const places *p, const bm_csv *csv, const bm_csv_field *x)
{
    *validation = 0;
    if (p->part < 0) return BM_OK;
    *validation = !strcmp(x[p->part].text, "val");
    if (*validation || !strcmp(x[p->part].text, "train")) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s:%lld: part \"%.100s\": there is train and val", bm_csv_path(csv), (long long)bm_csv_line(csv),
                   x[p->part].text);
}

static bm_status read_line(bm_folder *f, const places *p, const bm_csv *csv, const bm_csv_field *x)
{
    struct stat st;
    int validation;
    const long long line = (long long)bm_csv_line(csv);
    const bm_csv_field *file = &x[p->file], *label = &x[p->label];
    if (file->missing) return bm_fail(BM_ERR_CONFIG, "%s:%lld: no file", bm_csv_path(csv), line);
    if (label->missing && !f->opts.classes) return bm_fail(BM_ERR_CONFIG, "%s:%lld: no class", bm_csv_path(csv), line);
    BM_TRY(read_part(&validation, p, csv, x));
    if (!label->missing && (f->n_classes == 0 || strcmp(f->classes[f->n_classes - 1], label->text))) BM_TRY(add_class(f, label->text));
    char *path = bm_path_join(f->path, file->text);
    if (!path) return BM_ERR_MEMORY;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        bm_status status = bm_fail(BM_ERR_CONFIG, "%s:%lld: there is no file %s", bm_csv_path(csv), line, path);
        bm_free(path);
        return status;
    }
    return add_file(f, path, label->missing ? -1 : f->n_classes - 1, validation, line);
}

/* Whether what was taken for the name of the first column is a file: then the table has no header. */
static bm_status names_a_file(int *yes, const bm_folder *f, const bm_csv *csv)
{
    *yes = 0;
    if (!bm_csv_named(csv)) return BM_OK;
    char *path = bm_path_join(f->path, bm_csv_column_at(csv, 0)->name);
    if (!path) return BM_ERR_MEMORY;
    *yes = bm_path_exists(path);
    bm_free(path);
    return BM_OK;
}

static bm_status open_table(bm_csv **out, const bm_folder *f, const char *table)
{
    bm_csv_opts opts = bm_csv_opts_default();
    int bare = 0;
    BM_TRY(bm_csv_open(out, table, NULL));
    bm_status status = bm_csv_count(*out) >= 2 ? BM_OK : bm_fail(BM_ERR_CONFIG, "%s: needs two columns, file and class", table);
    if (!status) status = names_a_file(&bare, f, *out);
    if (status || bare) {
        bm_csv_close(*out);
        *out = NULL;
    }
    opts.header = BM_CSV_HEADER_NO;
    return bare ? bm_csv_open(out, table, &opts) : status;
}

static bm_status read_table(bm_folder *f, const char *table)
{
    bm_csv *csv;
    const bm_csv_field *x;
    bm_status status;
    BM_TRY(open_table(&csv, f, table));
    const places p = find_places(csv);
    f->parts = p.part >= 0;
    for (int64_t i = 0; bm_csv_named(csv) && i < bm_csv_count(csv); i++)
        if (i != p.file && i != p.label && i != p.part)
            bm_log(BM_LOG_WARN, "%s: the column \"%.200s\" is not read: there is file, label and part", table, bm_csv_column_at(csv, i)->name);
    while (!(status = bm_csv_next(csv, &x)) && x && !(status = read_line(f, &p, csv, x))) continue;
    bm_csv_close(csv);
    return status ? status : check_twins(f, table);
}

/* ---- the object ---- */

static bm_status fill(bm_folder *f, const char *path)
{
    f->path = bm_strdup(path);
    if (!f->path) return BM_ERR_MEMORY;
    BM_TRY(f->opts.table ? read_table(f, f->opts.table) : walk(f, path, 0, -1));
    return finish(f);
}

bm_status bm_folder_open(bm_folder **out, const char *path, const bm_folder_opts *opts)
{
    bm_folder *f = bm_calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return BM_ERR_MEMORY;
    f->opts = *opts;
    bm_status status = fill(f, path);
    if (status) bm_folder_close(f);
    else *out = f;
    return status;
}

void bm_folder_close(bm_folder *f)
{
    if (!f) return;
    for (int64_t i = 0; i < f->n; i++) bm_free((char *)f->entries[i].file.path);
    for (int64_t k = 0; k < f->n_classes; k++) bm_free(f->classes[k]);
    bm_free(f->entries);
    bm_free(f->classes);
    bm_free(f->path);
    bm_free(f);
}

int64_t bm_folder_classes(const bm_folder *f) { return f->n_classes; }
const char *bm_folder_class_at(const bm_folder *f, int64_t i) { return f->classes[i]; }
int bm_folder_has_parts(const bm_folder *f) { return f->parts; }
int64_t bm_folder_count(const bm_folder *f) { return f->n; }
const bm_folder_file *bm_folder_at(const bm_folder *f, int64_t i) { return &f->entries[i].file; }
