/* libFuzzer: any bytes as a safetensors file. What is accepted must read to its last element. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "io/formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void remove_file(void) { unlink(path); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    bm_safetensors *s;
    if (fd < 0) {
        /* in memory where that can be had: a disk would be most of the time */
        snprintf(path, sizeof path, "%s/fuzz_safetensors.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        fd = mkstemp(path);
        if (fd < 0) abort();
        atexit(remove_file);
    }
    if (ftruncate(fd, 0) != 0 || bm_pwrite_all(fd, data, size, 0, path)) abort();
    if (bm_safetensors_open(&s, path)) return 0;
    for (int64_t i = 0; i < bm_safetensors_count(s); i++) {
        const bm_safetensor *t = bm_safetensors_at(s, i);
        void *bytes;
        if (t->offset < 8 || t->bytes < 0 || (uint64_t)(t->offset + t->bytes) > size) abort();
        if (bm_safetensors_find(s, t->name) != t) abort();
        if (t->dtype == BM_DTYPE_COUNT) continue;
        bytes = malloc((size_t)t->bytes + 1);
        if (bm_safetensors_read(s, t, bytes, 0, t->bytes / (int64_t)bm_dtype_size(t->dtype))) abort();
        if (memcmp(bytes, data + t->offset, (size_t)t->bytes) != 0) abort();
        free(bytes);
    }
    bm_safetensors_close(s);
    return 0;
}
