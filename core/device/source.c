/* Kernel sources: embedded ones, and those of a folder that replace them while kernels are being written. */
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/device/engine_priv.h"

#define MOST_BYTES ((size_t)16 << 20)
#define MOST_NESTED 16

typedef struct expansion {
    const char *dir;
    bm_str text;
    bm_str seen; /* headers that are in already, each as "\nNAME\n" */
} expansion;

/* The name in `#include "NAME"` if that is what the line is. */
static int include_name(char *out, size_t most, const char *line, size_t bytes)
{
    const char *end = line + bytes, *p = line + strspn(line, " \t");
    if (p >= end || *p != '#') return 0;
    p++;
    p += strspn(p, " \t");
    if (strncmp(p, "include", 7) != 0) return 0;
    p += 7;
    p += strspn(p, " \t");
    if (*p != '"') return 0;
    size_t n = strcspn(++p, "\"\n");
    if (p[n] != '"' || n >= most) return 0;
    memcpy(out, p, n);
    out[n] = '\0';
    return 1;
}

/* Appends a file below x->dir, headers expanded once each, #line kept. */
static bm_status expand(expansion *x, const char *file, int depth)
{
    if (depth == MOST_NESTED) return bm_fail(BM_ERR_USAGE, "%s/%s: headers nest too deeply", x->dir, file);
    bm_status status = BM_OK;
    char *text = NULL, *path = bm_path_join(x->dir, file);
    size_t bytes = 0;
    BM_GO(path ? BM_OK : BM_ERR_MEMORY);
    BM_GO(bm_file_read(&text, &bytes, path, MOST_BYTES));

    bm_str_addf(&x->text, "#line 1 \"%s\"\n", file);
    int line = 1;
    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n");
        char name[128], header[140], mark[140];
        if (include_name(name, sizeof name, p, n)) {
            /* A header that C shares is beside the folder, any other in its lib/. */
            snprintf(header, sizeof header, "%s%s", strncmp(name, "core/", 5) ? "lib/" : "../", name);
            snprintf(mark, sizeof mark, "\n%s\n", name);
            if (!strstr(bm_str_text(&x->seen), mark)) {
                bm_str_add(&x->seen, mark);
                BM_GO(bm_str_status(&x->seen));
                BM_GO(expand(x, header, depth + 1));
            }
            bm_str_addf(&x->text, "#line %d \"%s\"\n", line + 1, file);
        } else {
            bm_str_add_bytes(&x->text, p, n);
            bm_str_add(&x->text, "\n");
        }
        p += n + (p[n] == '\n');
    }
    status = bm_str_status(&x->text);
done:
    bm_free(text);
    bm_free(path);
    return status;
}

static bm_status from_folder(char **out, const char *dir, const char *file)
{
    expansion x = {.dir = dir};
    bm_str_init(&x.text);
    bm_str_init(&x.seen);
    bm_status status = expand(&x, file, 0);
    if (!status) {
        *out = bm_str_take(&x.text);
        if (!*out) status = BM_ERR_MEMORY;
    }
    bm_str_finish(&x.seen);
    bm_str_finish(&x.text);
    return status;
}

/* Whether the folder has the file; *file is its path below the folder, the caller's to free. */
static bm_status in_folder(int *found, char **file, const char *dir, const char *name)
{
    bm_str s;
    bm_str_init(&s);
    bm_str_addf(&s, "%s.cl", name);
    *file = bm_str_take(&s);
    bm_str_finish(&s);
    char *path = *file ? bm_path_join(dir, *file) : NULL;
    if (!path) return BM_ERR_MEMORY;
    *found = bm_path_exists(path);
    bm_free(path);
    return BM_OK;
}

bm_status bm_source_text(char **out, const bm_source_table *t, const char *dir, const char *name)
{
    *out = NULL;
    if (dir) {
        char *file = NULL;
        int found = 0;
        bm_status status = in_folder(&found, &file, dir, name);
        if (!status && found) status = from_folder(out, dir, file);
        bm_free(file);
        if (status || found) return status;
    }
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->entries[i].name, name)) {
            *out = bm_strdup(t->entries[i].text);
            return *out ? BM_OK : BM_ERR_MEMORY;
        }
    return bm_fail(BM_ERR_NOT_FOUND, "there is no kernel source \"%s\"", name);
}

void bm_source_number(bm_str *s, const char *text)
{
    long line = 1;
    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n");
        long next = 0;
        if (sscanf(p, "#line %ld", &next) == 1) {
            bm_str_add_bytes(s, p, n);
            line = next - 1;
        } else {
            bm_str_addf(s, "%5ld  ", line);
            bm_str_add_bytes(s, p, n);
        }
        bm_str_add(s, "\n");
        p += n + (p[n] == '\n');
    }
}
