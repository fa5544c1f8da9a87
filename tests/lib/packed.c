#include "tests/lib/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/lib/test.h"

const char *file_of(const char *name, const void *data, size_t bytes)
{
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert(fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
    return path;
}

const char *text_file(const char *name, const char *text) { return file_of(name, text, strlen(text)); }

unsigned char *gzip_of(size_t *bytes, const void *data, size_t n)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    const size_t room = deflateBound(&z, n);
    unsigned char *out = malloc(room);
    ck_assert_ptr_nonnull(out);
    z.next_in = (unsigned char *)data;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    *bytes = room - z.avail_out;
    deflateEnd(&z);
    return out;
}
