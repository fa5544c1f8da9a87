#include "tests/lib/samplefile.h"

#include <math.h>

#include "core/base/rng.h"
#include "tests/lib/test.h"

static uint32_t draw(int sample, int k) { return bm_rng_at(5, 3, 0, (uint64_t)(sample * 1000 + k)); }
uint8_t samplefile_pixel(int sample, int k) { return (uint8_t)draw(sample, k); }
static int32_t class_of(int sample, int k) { return (int32_t)(draw(sample, 500 + k) % (CLASSES + 1)) - 1; } /* -1: none */
static int32_t length_of(int sample) { return sample % (T + 1); }
static float number(int sample, int k) { return (float)draw(sample, k) / 65536.0f; }

bm_samples_opts samplefile_form(int which)
{
    const bm_samples_opts forms[FORMS] = {
        [IMAGES] = {.kind = "images", .input = BM_U8, .target = BM_I32, .input_shape = BM_SHAPE(C, H, W), .classes = CLASSES},
        [TABLE] = {.kind = "rows", .input = BM_F32, .target = BM_F32, .input_shape = BM_SHAPE(F), .target_shape = BM_SHAPE(2)},
        [FRAMES] = {.kind = "rows", .input = BM_F32, .target = BM_I32, .input_shape = BM_SHAPE(T, F), .classes = CLASSES, .lengths = 1},
        [IDS] = {.kind = "rows", .input = BM_I32, .target = BM_I32, .input_shape = BM_SHAPE(T), .target_shape = BM_SHAPE(T), .vocab = VOCAB,
                 .classes = CLASSES, .lengths = 1},
    };
    bm_samples_opts o = forms[which];
    o.replace = 1;
    return o;
}

void samplefile_fill(samplefile_cell *in, samplefile_cell *to, const bm_samples_opts *o, int sample)
{
    for (int k = 0; k < bm_shape_elements(&o->input_shape); k++) {
        if (o->input == BM_U8) in->pixel[k] = samplefile_pixel(sample, k);
        else if (o->input == BM_F32) in->number[k] = number(sample, k);
        else in->id[k] = (int32_t)(draw(sample, k) % VOCAB);
    }
    for (int k = 0; k < bm_shape_elements(&o->target_shape); k++) {
        if (o->target == BM_F32) to->number[k] = number(sample, 100 + k);
        else to->id[k] = class_of(sample, k);
    }
}

bm_status samplefile_write(bm_content_id *id, const char *path, const bm_samples_opts *o, int validation)
{
    bm_status status;
    bm_samples_writer *w = NULL;
    BM_GO(bm_samples_writer_create(&w, path, o));
    for (int i = 0; i < N; i++) {
        samplefile_cell in, to;
        samplefile_fill(&in, &to, o, i);
        if (validation && i == validation) bm_samples_writer_validation(w);
        BM_GO(bm_samples_writer_add(w, &in, &to, length_of(i)));
    }
    status = bm_samples_writer_commit(id, w);
done:
    bm_samples_writer_destroy(w);
    return status;
}

bm_data *samplefile_make(const char *name, const bm_samples_opts *o, int validation)
{
    bm_data *d = NULL;
    test_ok(samplefile_write(NULL, test_path(name), o, validation));
    test_ok(bm_data_open(&d, test_path(name)));
    return d;
}

void samplefile_expect(const bm_batch *b, int64_t row, const bm_samples_opts *o, int sample, const float *mean, const float *std)
{
    const bm_batch one = bm_batch_rows(b, row, 1);
    samplefile_cell in, to;
    samplefile_fill(&in, &to, o, sample);
    if (o->input == BM_U8) {
        for (int c = 0; c < C; c++)
            for (int k = 0; k < H * W; k++) {
                const double want = ((double)samplefile_pixel(sample, c * H * W + k) / 255 - (double)mean[c]) / (double)std[c];
                /* Three roundings of numbers below 4. */
                test_that(fabs((double)((float *)one.input)[k * C + c] - want) < 3 * 4 * 0x1p-24 / (double)std[c], "sample %d: pixel %d of channel %d",
                          sample, k, c);
            }
    } else {
        ck_assert_mem_eq(one.input, &in, (size_t)bm_shape_elements(&o->input_shape) * 4);
    }
    ck_assert_mem_eq(one.target, &to, (size_t)bm_shape_elements(&o->target_shape) * 4);
    if (o->lengths) ck_assert_int_eq(*one.lengths, length_of(sample));
}
