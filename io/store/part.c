#include "io/store/part_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "io/store/h5_priv.h"

#define PARTS "/splits/"

static int path_of(char *out, size_t room, const char *name)
{
    int n = snprintf(out, room, PARTS "%s", name);
    return n > 0 && (size_t)n < room;
}

bm_status bm_part_write(bm_writer *w, const char *name, int64_t start, int64_t count)
{
    char group[300];
    path_of(group, sizeof group, name);
    BM_TRY(bm_writer_group(w, group));
    BM_TRY(bm_writer_attr_u64(w, group, "start", (uint64_t)start));
    return bm_writer_attr_u64(w, group, "count", (uint64_t)count);
}

static bm_status read_part(int64_t *start, int64_t *count, const bm_store *s, const char *group, int64_t all)
{
    uint64_t a, n, most = (uint64_t)all;
    BM_TRY(bm_store_attr_u64(&a, s, group, "start"));
    BM_TRY(bm_store_attr_u64(&n, s, group, "count"));
    if (a > most || n > most - a)
        return bm_refuse(BM_RULE_IDS, "%s: %" PRIu64 " from %" PRIu64 " on; there are %" PRIu64, group, n, a, most);
    *start = (int64_t)a;
    *count = (int64_t)n;
    return BM_OK;
}

bm_status bm_part_check(const bm_store *s, int64_t all)
{
    int64_t start, count;
    for (int64_t i = 0; i < bm_store_group_count(s); i++) {
        const char *group = bm_store_group_at(s, i);
        if (!strncmp(group, PARTS, strlen(PARTS))) BM_TRY(read_part(&start, &count, s, group, all));
    }
    return BM_OK;
}

int bm_part_has(const bm_store *s, const char *name)
{
    char path[300];
    return path_of(path, sizeof path, name) && bm_store_has_group(s, path);
}

bm_status bm_part_find(int64_t *start, int64_t *count, const bm_store *s, const char *name, int64_t all)
{
    char path[300];
    *start = *count = 0;
    if (bm_part_has(s, name) && path_of(path, sizeof path, name)) return read_part(start, count, s, path, all);
    bm_str list;
    bm_str_init(&list);
    for (int64_t i = 0; i < bm_store_group_count(s); i++) {
        const char *group = bm_store_group_at(s, i);
        if (!strncmp(group, PARTS, strlen(PARTS))) bm_str_addf(&list, "%s%s", list.length ? ", " : "", group + strlen(PARTS));
    }
    bm_status status = bm_fail(BM_ERR_NOT_FOUND, "%s: it has no part \"%s\" (it has: %s)", bm_store_path(s), name,
                               list.length ? bm_str_text(&list) : "none");
    bm_str_finish(&list);
    return status;
}
