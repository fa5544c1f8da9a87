/* libFuzzer: any bytes as CSV and as ARFF. What columns can be fitted to must be encoded row by row, in finite numbers, by them
 * and by what their JSON gives back. */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/media/columns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], paths[2][80];

static void remove_files(void)
{
    for (int i = 0; i < 2; i++) unlink(paths[i]);
    rmdir(folder);
}

static void make_folder(void)
{
    static const char *const names[] = {"x.csv", "x.arff"};
    /* in memory where that can be had: a disk would be most of the time */
    snprintf(folder, sizeof folder, "%s/fuzz_csv.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder)) abort();
    for (int i = 0; i < 2; i++) snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
    atexit(remove_files);
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || bm_pwrite_all(fd, data, size, 0, path)) abort();
    close(fd);
}

/* All records; the name of the last column, to be freed, or NULL. */
static char *read_records(const char *path)
{
    bm_csv *c;
    const bm_csv_field *f;
    char *last = NULL;
    if (bm_csv_open(&c, path, NULL)) return NULL;
    const int64_t n = bm_csv_count(c);
    while (!bm_csv_next(c, &f) && f) {
        for (int64_t i = 0; i < n; i++)
            if (strlen(f[i].text) != f[i].length) abort();
    }
    if (n) last = bm_strdup(bm_csv_column_at(c, n - 1)->name);
    bm_csv_close(c);
    return last;
}

static void encode(const bm_columns *t, const char *path, int64_t rows)
{
    const int64_t width = bm_columns_width(t);
    const int targets = bm_columns_target(t) != NULL;
    float *x = malloc((size_t)width * sizeof *x);
    int64_t got, n = 0;
    int32_t y;
    bm_rows *r;
    bm_status status;
    if (!x || bm_rows_open(&r, t, path, NULL, targets)) abort();
    while (!(status = bm_rows_next(r, &got, x, &y, 1)) && got) {
        n++;
        for (int64_t i = 0; i < width; i++)
            if (!isfinite(x[i])) abort();
    }
    if (status ? !strstr(bm_error_text(status), "too large for f32") : n != rows) abort();
    bm_rows_close(r);
    free(x);
}

static void fit(const char *path, const char *target)
{
    bm_columns_opts o = bm_columns_opts_default();
    bm_columns *t, *u;
    char *json, *again;
    o.target = target;
    o.standardize = target != NULL;
    if (bm_columns_fit(&t, path, &o)) return;
    if (bm_columns_to_json(&json, t) || bm_columns_from_json(&u, json, "json") || bm_columns_to_json(&again, u)) abort();
    if (strcmp(json, again) != 0) abort();
    encode(t, path, bm_columns_rows(t));
    encode(u, path, bm_columns_rows(t));
    bm_free(json);
    bm_free(again);
    bm_columns_destroy(t);
    bm_columns_destroy(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!folder[0]) make_folder();
    for (int i = 0; i < 2; i++) {
        write_file(paths[i], data, size);
        char *last = read_records(paths[i]);
        if (last) {
            fit(paths[i], NULL);
            fit(paths[i], last);
        }
        bm_free(last);
    }
    if (bm_mem_get_stats().live) abort();
    return 0;
}
