/* Data sets of samples for tests: each number follows from the sample's place and its own. */
#ifndef BM_TESTS_LIB_SAMPLEFILE_H
#define BM_TESTS_LIB_SAMPLEFILE_H

#include "io/store/data.h"
#include "io/store/samples.h"

/* N samples: images [C, H, W], rows [F] or [T, F] or of T ids, MOST numbers at most. */
enum { N = 23, C = 3, H = 4, W = 5, T = 6, F = 2, VOCAB = 50, CLASSES = 7, MOST = 64 };

enum { IMAGES, TABLE, FRAMES, IDS, FORMS };
bm_samples_opts samplefile_form(int which);

/* A sample as the writer takes it. */
typedef union samplefile_cell {
    float number[MOST];
    int32_t id[MOST];
    uint8_t pixel[MOST];
} samplefile_cell;
void samplefile_fill(samplefile_cell *in, samplefile_cell *to, const bm_samples_opts *o, int sample);
uint8_t samplefile_pixel(int sample, int k);

/* A file of them, those from `validation` on explicitly for validation (0: none are). */
bm_status samplefile_write(bm_content_id *id, const char *path, const bm_samples_opts *o, int validation);
/* The same in the test's folder, opened. */
bm_data *samplefile_make(const char *name, const bm_samples_opts *o, int validation);

/* What a batch must hold at `row` of sample `sample`, without augmentation. */
void samplefile_expect(const bm_batch *b, int64_t row, const bm_samples_opts *o, int sample, const float *mean, const float *std);

#endif
