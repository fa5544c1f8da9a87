/* libFuzzer: any bytes as an IDX file, packed or not. What is accepted must give the items that its sizes promise. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/media/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void remove_file(void) { unlink(path); }

static void read_items(bm_idx *x)
{
    const int64_t item = bm_idx_item_bytes(x), most = 1 + ((int64_t)1 << 20) / item;
    uint8_t *data = malloc((size_t)(most * item));
    int64_t got, n = 0;
    bm_status status;
    if (!data) abort();
    while (!(status = bm_idx_next(x, &got, data, most)) && got) n += got;
    if (!status && n != bm_idx_shape(x)->dim[0]) abort();
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    bm_idx *x;
    if (fd < 0) {
        /* in memory where that can be had: a disk would be most of the time */
        snprintf(path, sizeof path, "%s/fuzz_idx.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        fd = mkstemp(path);
        if (fd < 0) abort();
        atexit(remove_file);
    }
    if (ftruncate(fd, 0) != 0 || bm_pwrite_all(fd, data, size, 0, path)) abort();
    if (!bm_idx_open(&x, path)) {
        if (bm_idx_item_bytes(x) <= 1 << 24) read_items(x);
        bm_idx_close(x);
    }
    if (bm_mem_get_stats().live) abort();
    return 0;
}
