/* libFuzzer: any bytes as a file of the HDF5 profile. Each input is opened as it is and with its checksums put right,
 * else hardly one would pass the first of them. What is accepted must be readable to its last element, or say that it
 * is damaged. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "io/store/bytes_priv.h"
#include "io/store/checkpoint.h"
#include "io/store/dataset.h"
#include "io/store/h5_priv.h"
#include "io/store/manifest_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bm_status take(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    int64_t *next = user, size = (int64_t)bm_dtype_size(e->dtype);
    if (first != *next || count < 1 || (first + count) * size > e->bytes) abort();
    *next += count;
    return data ? BM_OK : BM_ERR_IO;
}

static bm_status take_tensor(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    (void)user, (void)first, (void)count;
    return t && data ? BM_OK : BM_ERR_IO;
}

static void read_store(const char *path)
{
    bm_store *s;
    if (bm_store_open(&s, path)) {
        if (s) abort();
        return;
    }
    bm_store_verify(s, NULL);
    for (int64_t i = 0; i < bm_store_count(s); i++) {
        const bm_entry *e = bm_store_at(s, i);
        int64_t next = 0;
        if (bm_store_find(s, e->path) != e || e->bytes < 0 || e->offset < 0 || e->offset + e->bytes > bm_store_bytes(s))
            abort();
        bm_status status = bm_store_stream(s, e, NULL, take, &next);
        if (!status && next * (int64_t)bm_dtype_size(e->dtype) != e->bytes) abort();
    }
    for (int64_t i = 0; i < bm_store_attr_count(s); i++) {
        const bm_attr *a = bm_store_attr_at(s, i);
        if (bm_store_attr(s, a->object, a->name) != a) abort();
    }
    bm_store_close(s);
}

static void read_all(const char *path)
{
    bm_tokens *t;
    bm_checkpoint *c;
    read_store(path);
    if (!bm_tokens_open(&t, path)) {
        int32_t ids[64];
        int64_t n = bm_tokens_count(t);
        bm_tokens_read(t, ids, 0, n < 64 ? n : 64);
        bm_tokens_close(t);
    }
    if (!bm_checkpoint_open(&c, path)) {
        bm_checkpoint_read_all(c, take_tensor, NULL);
        bm_checkpoint_close(c);
    }
}

static void seal_header(uint8_t *p, size_t rest)
{
    if (rest < 16) return;
    size_t width = (size_t)1 << (p[5] & 3), before = 6 + (p[5] & 16 ? 4 : 0) + width;
    uint64_t bytes = 0;
    for (size_t i = 0; i < width && before <= 16; i++) bytes |= (uint64_t)p[before - width + i] << 8 * i;
    if (before > 16 || bytes > rest || before + bytes + 4 > rest) return;
    bm_put_u32(p + before + bytes, bm_h5_checksum(p, before + (size_t)bytes));
}

static void seal_manifest(uint8_t *data, size_t size, size_t head)
{
    if (size - head < BM_HEAD_BYTES) return;
    uint64_t leaves = bm_get_u32(data + head + 12), at = head + BM_HEAD_BYTES; /* where the writer puts them */
    if (leaves * BM_LEAF_BYTES <= size - at) {
        bm_hash128 root = bm_hash(data + at, (size_t)leaves * BM_LEAF_BYTES);
        memcpy(data + head + 28, root.byte, 16);
    }
    bm_put_u32(data + head + BM_HEAD_BYTES - 4, bm_crc32c(0, data + head, BM_HEAD_BYTES - 4));
}

static void seal(uint8_t *data, size_t size)
{
    if (size < 48) return;
    for (size_t i = 48; i + 8 < size; i++)
        if (!memcmp(data + i, "OHDR", 4)) seal_header(data + i, size - i);
    for (size_t i = 48; i + 8 < size; i++)
        if (!memcmp(data + i, "BMMANIF1", 8)) seal_manifest(data, size, i);
    bm_put_u64(data + 28, size);
    bm_put_u32(data + 44, bm_h5_checksum(data, 44));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        strcpy(path, "/tmp/fuzz_store.XXXXXX");
        fd = mkstemp(path);
        if (fd < 0) abort();
    }
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    for (int sealed = 0; sealed < 2; sealed++) {
        if (sealed) seal(copy, size);
        if (ftruncate(fd, 0) || bm_pwrite_all(fd, copy, size, 0, path)) abort();
        read_all(path);
    }
    free(copy);
    if (bm_mem_get_stats().live) abort();
    return 0;
}
