/* Resizing by the triangle filter in the fixed point of Pillow (src/libImaging/Resample.c): an output pixel is a weighted sum
 * of the input pixels around its centre, weights normalised and rounded to 22 bits behind the point. */
#include <math.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "io/media/picture_priv.h"

enum { BITS = 22 };

/* The weights of one axis: output pixel i is the sum of weight[i * taps + k] * input[first[i] + k], k < count[i]. */
typedef struct axis {
    int64_t *first, *count, taps;
    int32_t *weight;
} axis;

static void axis_finish(axis *a)
{
    bm_free(a->first);
    bm_free(a->count);
    bm_free(a->weight);
}

static double triangle(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static void weigh(axis *a, int64_t i, double centre, double filter_scale, int64_t in, double *w)
{
    const double support = filter_scale;
    double sum = 0;
    int64_t first = (int64_t)(centre - support + 0.5), last = (int64_t)(centre + support + 0.5);
    if (first < 0) first = 0;
    if (last > in) last = in;
    a->first[i] = first;
    a->count[i] = last - first;
    for (int64_t k = 0; k < last - first; k++) {
        w[k] = triangle(((double)(k + first) - centre + 0.5) * (1 / filter_scale));
        sum += w[k];
    }
    for (int64_t k = 0; k < last - first; k++)
        a->weight[i * a->taps + k] = (int32_t)(0.5 + w[k] / sum * (1 << BITS));
}

/* From the part [begin, end) of `in` pixels to `out` pixels; in f32, as Pillow has the bounds. */
static bm_status axis_init(axis *a, int64_t in, float begin, float end, int64_t out)
{
    const double scale = (double)(end - begin) / (double)out, filter_scale = scale < 1 ? 1 : scale;
    bm_status status = BM_OK;
    double *w = NULL;
    size_t n;
    *a = (axis){.taps = (int64_t)ceil(filter_scale) * 2 + 1};
    if (bm_mul_size(&n, (size_t)out, (size_t)a->taps)) return bm_fail(BM_ERR_MEMORY, "a picture too large to resize");
    a->first = bm_calloc((size_t)out, sizeof *a->first);
    a->count = bm_calloc((size_t)out, sizeof *a->count);
    a->weight = bm_calloc(n, sizeof *a->weight);
    w = bm_calloc((size_t)a->taps, sizeof *w);
    if (!a->first || !a->count || !a->weight || !w) status = BM_ERR_MEMORY;
    for (int64_t i = 0; !status && i < out; i++) weigh(a, i, (double)begin + ((double)i + 0.5) * scale, filter_scale, in, w);
    bm_free(w);
    return status;
}

static uint8_t clip(int64_t sum) { return (uint8_t)(sum < 0 ? 0 : sum >> BITS > 255 ? 255 : sum >> BITS); }

/* `rows` rows of one axis: element (r, i, c) of the output from (r, first + k, c) of the input, whose neighbours along the
 * axis are `step` bytes apart. */
static void apply(uint8_t *out, const uint8_t *in, const axis *a, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t *w = a->weight + i * a->taps;
        for (int64_t c = 0; c < step; c++) {
            const uint8_t *from = in + a->first[i] * step + c;
            int64_t sum = 1 << (BITS - 1);
            for (int64_t k = 0; k < a->count[i]; k++) sum += (int64_t)w[k] * from[k * step];
            out[i * step + c] = clip(sum);
        }
    }
}

/* The part of the input that has the new shape, in the middle. */
static void crop_box(double *top, double *left, double *height, double *width, const bm_picture *in, double ratio)
{
    const double h = (double)in->height, w = (double)in->width;
    *height = h;
    *width = w;
    if (w / h >= ratio) *width = ratio * h;
    else *height = w / ratio;
    *left = (w - *width) * 0.5;
    *top = (h - *height) * 0.5;
}

bm_status bm_picture_resize(bm_picture *out, const bm_picture *in, int64_t height, int64_t width, int crop)
{
    const int64_t c = in->channels;
    double top = 0, left = 0, h = (double)in->height, w = (double)in->width;
    axis across = {0}, down = {0};
    uint8_t *middle = NULL;
    bm_status status;
    *out = (bm_picture){0};
    if (height < 1 || width < 1 || height > 65535 || width > 65535)
        return bm_fail(BM_ERR_USAGE, "a picture of %lld x %lld pixels", (long long)width, (long long)height);
    if (crop) crop_box(&top, &left, &h, &w, in, (double)width / (double)height);
    BM_GO(axis_init(&across, in->width, (float)left, (float)(left + w), width));
    BM_GO(axis_init(&down, in->height, (float)top, (float)(top + h), height));
    middle = bm_alloc((size_t)in->height * (size_t)width * (size_t)c);
    out->pixels = bm_alloc((size_t)height * (size_t)width * (size_t)c);
    if (!middle || !out->pixels) BM_GO(BM_ERR_MEMORY);
    for (int64_t y = 0; y < in->height; y++) apply(middle + y * width * c, in->pixels + y * in->width * c, &across, width, c);
    apply(out->pixels, middle, &down, height, width * c);
    out->height = height;
    out->width = width;
    out->channels = c;
done:
    axis_finish(&across);
    axis_finish(&down);
    bm_free(middle);
    if (status) bm_picture_finish(out);
    return status;
}
