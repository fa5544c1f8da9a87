/* Files against the bare system calls, as ratios in one run: shuffled token windows, saving, opening, verifying.
 * usage: bench_store [FOLDER]   (about 1.5 GB there, removed afterwards). Each figure is the best of several rounds. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "io/store/loader.h"
#include "io/store/store.h"
#include "io/store/writer.h"
#include "tests/lib/bench.h"

#define MIB ((int64_t)1 << 20)

static char folder[4096] = ".";

static const char *path_of(const char *name)
{
    static char path[2][4300];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[0], "%s/%s", folder, name);
    return path[next];
}

static double least(double a, double b) { return a < b ? a : b; }

/* ---- shuffled windows ---- */

enum { TOKENS = 64 << 20, WINDOW = 1024, BATCH = 12, BATCHES = 4000 };

static void make_tokens(const char *path)
{
    enum { PIECE = 1 << 16 };
    static uint32_t ids[PIECE];
    bm_tokens_writer *w;
    bm_tokens_opts o = bm_tokens_opts_default();
    o.vocab_size = 50257;
    o.replace = 1;
    bench_must(bm_tokens_writer_create(&w, path, &o));
    for (int64_t at = 0; at < TOKENS; at += PIECE) {
        for (int64_t i = 0; i < PIECE; i++) ids[i] = (uint32_t)((at + i) * 2654435761u >> 7) % 50257;
        bench_must(bm_tokens_writer_add(w, ids, PIECE));
    }
    bench_must(bm_tokens_writer_commit(NULL, w));
    bm_tokens_writer_destroy(w);
}

/* The same bytes by pread alone; the order of the windows is worked out before the clock runs. */
static double raw_windows_s(const bm_tokens *t, const int64_t *offset, int64_t n)
{
    static uint8_t row[(WINDOW + 1) * 2];
    int fd = open(bm_store_path(bm_tokens_store(t)), O_RDONLY);
    double start = bm_now_s();
    for (int64_t i = 0; i < n; i++) bench_must(bm_pread_all(fd, row, sizeof row, offset[i], "raw"));
    double s = bm_now_s() - start;
    close(fd);
    return s;
}

static double loader_windows_s(const bm_data *d, int threads)
{
    bm_loader *l;
    bm_batch b;
    const bm_sample_form f = bm_data_form(d, WINDOW);
    bm_loader_opts o = bm_loader_opts_default();
    o.window = WINDOW;
    o.batch = BATCH;
    o.seed = 1;
    o.threads = threads;
    bench_must(bm_batch_create(&b, &f, BATCH));
    double start = bm_now_s();
    bench_must(bm_loader_create(&l, d, &o));
    for (int64_t i = 0; i < BATCHES; i++) bench_must(bm_loader_next(l, &b, NULL));
    double s = bm_now_s() - start;
    bm_loader_destroy(l);
    bm_batch_finish(&b);
    return s;
}

static void bench_windows(void)
{
    const char *path = path_of("bench_tokens.h5");
    bm_data *d;
    double raw = 1e9, ours[3] = {1e9, 1e9, 1e9};
    make_tokens(path);
    bench_must(bm_data_open(&d, path));
    const bm_tokens *t = bm_data_tokens(d);
    int64_t n = (int64_t)BATCHES * BATCH, windows = (TOKENS - 1) / WINDOW, *offset = malloc((size_t)n * sizeof *offset);
    const bm_entry *e = bm_store_find(bm_tokens_store(t), "/tokens/ids");
    for (int64_t i = 0; i < n; i++)
        offset[i] =
            e->offset +
            (int64_t)bm_permute((uint64_t)windows, 1, (uint64_t)(i / windows), (uint64_t)(i % windows)) * WINDOW * 2;
    for (int round = 0; round < 25; round++) {
        raw = least(raw, raw_windows_s(t, offset, n));
        for (int k = 0; k <= 2; k++) ours[k] = least(ours[k], loader_windows_s(d, k));
    }
    printf("%d shuffled windows of %d u16 tokens: raw pread %.2f us a window\n", (int)n, WINDOW, raw / (double)n * 1e6);
    for (int k = 0; k <= 2; k++)
        printf("  loader, %d thread%s  %.2f us   %.2f x raw\n", k, k > 1 ? "s" : " ", ours[k] / (double)n * 1e6,
               ours[k] / raw);
    free(offset);
    bm_data_close(d);
    unlink(path);
}

/* ---- saving and verifying ---- */

enum { TENSORS = 150, TENSOR_MIB = 3 };

static double raw_save_s(const uint8_t *data, size_t bytes)
{
    const char *path = path_of("bench_raw.bin");
    double start = bm_now_s();
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    for (int i = 0; i < TENSORS; i++) bench_must(bm_pwrite_all(fd, data, bytes, (int64_t)i * (int64_t)bytes, path));
    if (fsync(fd)) exit(1);
    double s = bm_now_s() - start;
    close(fd);
    unlink(path);
    return s;
}

static double save_s(const uint8_t *data, size_t bytes)
{
    bm_writer *w;
    bm_shape shape = BM_SHAPE((int64_t)bytes / 4);
    int64_t index[TENSORS];
    double start = bm_now_s();
    unlink(path_of("bench_ckpt.h5"));
    bench_must(bm_writer_create(&w, path_of("bench_ckpt.h5"), NULL));
    for (int i = 0; i < TENSORS; i++) {
        char name[64];
        snprintf(name, sizeof name, "/params/h%d/t%d", i / 12, i % 12);
        bench_must(bm_writer_dataset(&index[i], w, name, BM_F32, &shape));
        bench_must(bm_writer_attr_text(w, name, "dtype", "f32"));
    }
    bench_must(bm_writer_begin(w));
    for (int i = 0; i < TENSORS; i++) bench_must(bm_writer_put(w, index[i], data, 0, shape.dim[0]));
    bench_must(bm_writer_commit(NULL, w));
    double s = bm_now_s() - start;
    bm_writer_destroy(w);
    return s;
}

static bm_status nothing(void *user, const bm_entry *e, const void *data, int64_t first, int64_t count)
{
    (void)user, (void)e, (void)data, (void)first, (void)count;
    return BM_OK;
}

static void bench_reads(void)
{
    const char *path = path_of("bench_ckpt.h5");
    uint8_t *piece = malloc((size_t)(8 * MIB)), *leaf = malloc((size_t)BM_LEAF_MOST);
    double open_s = 1e9, raw = 1e9, verify = 1e9, stream = 1e9, map = 1e9;
    int64_t all = 0;
    for (int round = 0; round < 5; round++) {
        bm_store *s;
        double start = bm_now_s();
        bench_must(bm_store_open(&s, path));
        open_s = least(open_s, bm_now_s() - start);
        all = bm_store_bytes(s);
        int fd = open(path, O_RDONLY);
        start = bm_now_s();
        for (int64_t at = 0; at < all; at += 8 * MIB)
            bench_must(bm_pread_all(fd, piece, (size_t)(all - at < 8 * MIB ? all - at : 8 * MIB), at, path));
        raw = least(raw, bm_now_s() - start);
        close(fd);
        start = bm_now_s();
        bench_must(bm_store_verify(s, NULL));
        verify = least(verify, bm_now_s() - start);
        start = bm_now_s();
        for (int64_t i = 0; i < bm_store_count(s); i++)
            bench_must(bm_store_stream(s, bm_store_at(s, i), leaf, nothing, NULL));
        stream = least(stream, bm_now_s() - start);
        start = bm_now_s();
        for (int64_t i = 0; i < bm_store_count(s); i++) {
            const void *view;
            bench_must(bm_store_map(&view, s, bm_store_at(s, i)));
            bm_hash(view, (size_t)bm_store_at(s, i)->bytes);
        }
        map = least(map, bm_now_s() - start);
        bm_store_close(s);
    }
    printf("open of %d tensors: %.2f ms\n", TENSORS, open_s * 1e3);
    printf("%.0f MiB read, page cache warm: pread of 8 MiB %.2f GB/s\n", (double)all / (double)MIB,
           (double)all / raw * 1e-9);
    printf("  verify                 %.2f x pread's speed\n  stream, checked        %.2f x\n  map and hash           "
           "%.2f x\n",
           raw / verify, raw / stream, raw / map);
    free(piece);
    free(leaf);
}

static void bench_save(void)
{
    size_t bytes = (size_t)(TENSOR_MIB * MIB);
    uint8_t *data = malloc(bytes);
    double raw = 1e9, ours = 1e9;
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int round = 0; round < 12; round++) {
        raw = least(raw, raw_save_s(data, bytes));
        ours = least(ours, save_s(data, bytes));
    }
    printf("save of %d x %d MiB: raw write + fsync %.2f GB/s, ours %.2f x its speed\n", TENSORS, TENSOR_MIB,
           (double)bytes * TENSORS / raw * 1e-9, raw / ours);
    bench_reads();
    unlink(path_of("bench_ckpt.h5"));
    free(data);
}

int main(int argc, char **argv)
{
    if (argc > 1) snprintf(folder, sizeof folder, "%s", argv[1]);
    bench_windows();
    bench_save();
    return 0;
}
