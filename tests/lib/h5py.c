#include "tests/lib/h5py.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/store/store_priv.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

static int run(const char *command)
{
    int r = system(command);
    if (r) fprintf(stderr, "%s: exit %d\n", command, r);
    return r;
}

static void compare(const bm_store *s, const bm_entry *e, FILE *f)
{
    char line[1200], due[1200];
    int n = snprintf(due, sizeof due, "%s %s", e->path, bm_dtype_name(e->dtype));
    for (int i = 0; i < e->shape.rank; i++)
        n += snprintf(due + n, sizeof due - (size_t)n, " %" PRId64, e->shape.dim[i]);
    snprintf(due + n, sizeof due - (size_t)n, " %" PRId64 "\n", e->bytes);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    ck_assert_str_eq(line, due);
    unsigned char *a = malloc((size_t)e->bytes + 1), *b = malloc((size_t)e->bytes + 1);
    ck_assert_uint_eq(fread(a, 1, (size_t)e->bytes, f), (size_t)e->bytes);
    test_ok(bm_store_read(s, e, b, 0, e->bytes / (int64_t)bm_dtype_size(e->dtype)));
    ck_assert_msg(!memcmp(a, b, (size_t)e->bytes), "%s: h5py reads other bytes", e->path);
    free(a);
    free(b);
}

int test_same_with_h5py(const char *path)
{
    char command[8192], out[4096];
    if (system("/usr/bin/python3 -c 'import h5py' 2>/dev/null")) {
        fprintf(stderr, "SKIPPED: %s is not read by h5py: there is none (tools/packages test)\n", path);
        return 0;
    }
    snprintf(out, sizeof out, "%s.h5py", path);
    snprintf(command, sizeof command, "/usr/bin/python3 '%s' '%s' '%s'", test_source("tests/io/store/read_h5.py"), path,
             out);
    ck_assert_int_eq(run(command), 0);
    snprintf(command, sizeof command, "h5ls -r '%s' >/dev/null && h5dump '%s' >/dev/null", path, path);
    ck_assert_int_eq(run(command), 0);

    bm_store *s;
    test_ok(bm_store_open(&s, path));
    FILE *f = fopen(out, "rb");
    ck_assert_ptr_nonnull(f);
    for (int64_t i = 0; i < s->tree.entries; i++) compare(s, s->tree.entry + i, f); /* the manifest's too */
    ck_assert_int_eq(fgetc(f), EOF);
    fclose(f);
    remove(out);
    bm_store_close(s);
    return 1;
}
