#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/convert/names_priv.h"

const bm_names *bm_names_of(const bm_model *m, const bm_config *c, bm_names_file file)
{
    char key[64];
    for (const bm_names *f = m->names; f && f->project; f++) {
        const int length = f->when ? (int)strcspn(f->when, "=") : 0;
        if (f->file != file) continue;
        if (f->when) snprintf(key, sizeof key, "model.%.*s", length, f->when);
        if (!f->when || !strcmp(bm_config_string(c, key), f->when + length + 1)) return f;
    }
    return NULL;
}

/* The layer that `name` stands for when it fits `pattern` ("h%d/norm1/bias"), -1 for a pattern without %d, -2 if it
 * does not fit. */
static long match(const char *pattern, const char *name)
{
    const char *hole = strstr(pattern, "%d");
    if (!hole) return strcmp(pattern, name) ? -2 : -1;
    size_t head = (size_t)(hole - pattern);
    if (strncmp(pattern, name, head) || name[head] < '0' || name[head] > '9') return -2;
    char *end;
    long layer = strtol(name + head, &end, 10);
    return strcmp(hole + 2, end) ? -2 : layer;
}

static void fill(char buf[BM_NAME_BYTES], const char *pattern, long layer)
{
    char number[24] = "";
    const char *hole = strchr(pattern, '%');
    if (!hole)
        hole = pattern + strlen(pattern);
    else if (hole[1] == 'd')
        snprintf(number, sizeof number, "%ld", layer);
    else if (layer)
        snprintf(number, sizeof number, "_%ld", layer);
    snprintf(buf, BM_NAME_BYTES, "%.*s%s%s", (int)(hole - pattern), pattern, number, *hole ? hole + 2 : "");
}

const bm_name_map *bm_names_next(char buf[BM_NAME_BYTES], const bm_names *f, const char *ours, const bm_name_map *after)
{
    for (const bm_name_map *row = after ? after + 1 : f->map; row->ours; row++) {
        const long layer = match(row->ours, ours);
        if (layer == -2) continue;
        fill(buf, row->theirs, layer);
        return row;
    }
    return NULL;
}

/* What of a name counts where modules are named as their user likes. */
static const char *behind_dot(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Bytes of the prefix that a name has and may leave out. */
static size_t prefix_of(const bm_names *f, const char *theirs)
{
    const size_t n = f->prefix ? strlen(f->prefix) : 0;
    return n && !strncmp(theirs, f->prefix, n) ? n : 0;
}

int bm_names_fit(const bm_names *f, const char *theirs, const char *name)
{
    if (f->any_module) return !strcmp(behind_dot(theirs), behind_dot(name));
    return !strcmp(theirs, name) || !strcmp(theirs + prefix_of(f, theirs), name);
}

int bm_names_is_extra(const bm_names *f, const char *name)
{
    for (const char *const *p = f->extras; p && *p; p++) {
        const size_t n = strlen(*p);
        if ((*p)[n - 1] == '*' && !strncmp(*p, name, n - 1)) return 1;
        if (match(*p, name) != -2 || match(*p + prefix_of(f, *p), name) != -2) return 1;
    }
    return 0;
}

void bm_names_transpose(float *y, const float *x, long rows, long cols)
{
    enum { TILE = 32 };
    for (long i0 = 0; i0 < rows; i0 += TILE)
        for (long j0 = 0; j0 < cols; j0 += TILE)
            for (long i = i0; i < rows && i < i0 + TILE; i++)
                for (long j = j0; j < cols && j < j0 + TILE; j++) y[j * rows + i] = x[i * cols + j];
}
