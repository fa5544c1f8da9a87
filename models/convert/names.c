#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/convert/names_priv.h"

long bm_names_match(const char *pattern, const char *name)
{
    const char *hole = strstr(pattern, "%d");
    if (!hole) return strcmp(pattern, name) ? -2 : -1;
    size_t head = (size_t)(hole - pattern);
    if (strncmp(pattern, name, head) || name[head] < '0' || name[head] > '9') return -2;
    char *end;
    long layer = strtol(name + head, &end, 10);
    return strcmp(hole + 2, end) ? -2 : layer;
}

int bm_names_theirs(char buf[BM_NAME_BYTES], int *transposed, const bm_model *m, const char *ours)
{
    for (const bm_name_map *n = m->names; n && n->ours; n++) {
        long layer = bm_names_match(n->ours, ours);
        if (layer == -2) continue;
        const char *hole = strstr(n->theirs, "%d");
        if (hole) snprintf(buf, BM_NAME_BYTES, "%.*s%ld%s", (int)(hole - n->theirs), n->theirs, layer, hole + 2);
        else snprintf(buf, BM_NAME_BYTES, "%s", n->theirs);
        *transposed = n->transposed;
        return 0;
    }
    return -1;
}

void bm_names_transpose(float *y, const float *x, long rows, long cols)
{
    enum { TILE = 32 };
    for (long i0 = 0; i0 < rows; i0 += TILE)
        for (long j0 = 0; j0 < cols; j0 += TILE)
            for (long i = i0; i < rows && i < i0 + TILE; i++)
                for (long j = j0; j < cols && j < j0 + TILE; j++) y[j * rows + i] = x[i * cols + j];
}
