/* The weights of a layer that reads pictures, as a sheet of small pictures: a convolution's [O, kh, kw, I], or the rows [O, H W C] of a
 * layer of whole pictures. */
#include <jansson.h>
#include <math.h>
#include <png.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/plot/plot.h"
#include "tools/tensor.h"
#include "tools/view.h"

enum { GAP = 4, TILE = 64 /* pixels, about */, MOST_TILES = 4096, MOST_SIDE = 1 << 16, GREY = 0xdd };
#define MOST_BYTES ((int64_t)1 << 30)
#define MOST_PIXELS ((int64_t)1 << 28)

typedef struct sheet {
    int64_t filters, height, width, channels; /* the tensor's */
    int rgb;                                  /* three channels are one coloured tile, others a tile each */
    int64_t tiles, across, down, scale;
    int64_t pixels_x, pixels_y;
    unsigned char *pixel; /* [y, x, 3] */
} sheet;

/* model.input of the checkpoint, [H, W] or [H, W, C]; 0 where it is no picture. */
static int picture_of(int64_t input[3], const bm_checkpoint *c)
{
    json_error_t e;
    json_t *root = json_loads(bm_checkpoint_desc(c)->config_json, 0, &e), *list = json_object_get(json_object_get(root, "model"), "input");
    const size_t rank = json_array_size(list);
    int picture = rank == 2 || rank == 3;
    for (size_t i = 0; i < 3; i++) {
        input[i] = i < rank ? json_integer_value(json_array_get(list, i)) : 1;
        picture = picture && input[i] > 0 && input[i] <= MOST_SIDE;
    }
    json_decref(root);
    return picture;
}

/* Whether a tensor reads such a picture, and how its filters look. */
static int reads_pictures(sheet *s, const bm_shape *shape, const int64_t input[3], int any)
{
    const int64_t *d = shape->dim;
    if (!bm_shape_elements(shape)) return 0;
    if (shape->rank == 4) *s = (sheet){.filters = d[0], .height = d[1], .width = d[2], .channels = d[3]};
    else *s = (sheet){.filters = d[0], .height = input[0], .width = input[1], .channels = input[2]};
    if (shape->rank == 4) return any || d[3] == input[2];
    return shape->rank == 2 && d[1] == input[0] * input[1] * input[2];
}

/* The tensor of that name, or the first that reads the model's input. */
static bm_status find_tensor(const bm_entry **out, sheet *s, const bm_checkpoint *c, const bm_plot *p)
{
    int64_t input[3], n = 0;
    const bm_entry **list = NULL;
    const char *name = p->paths > 1 ? p->path[1] : NULL;
    const int picture = picture_of(input, c);
    BM_TRY(bm_plot_select(&list, &n, bm_checkpoint_store(c), p, "/params/*/weight"));
    *out = NULL;
    for (int64_t i = 0; i < n && !*out; i++)
        if ((picture || (name && list[i]->shape.rank == 4)) && reads_pictures(s, &list[i]->shape, input, name != NULL)) *out = list[i];
    bm_free(list);
    if (*out) return BM_OK;
    return bm_fail(BM_ERR_REFUSED, "%s: %s%s pictures: a convolution's [O, kh, kw, I] does, and rows [O, H W C] where model.input is "
                                   "[H, W, C]", bm_checkpoint_path(c), name ? name : "no tensor", name ? " reads no" : " reads");
}

static bm_status make_sheet(sheet *s)
{
    s->rgb = s->channels == 3;
    int64_t tiles = s->rgb ? s->filters : s->filters * s->channels;
    if (tiles > MOST_TILES) {
        bm_out_note("the first %d of %lld filters are drawn", MOST_TILES, (long long)tiles);
        tiles = MOST_TILES;
    }
    const int64_t longest = s->height > s->width ? s->height : s->width;
    s->tiles = tiles;
    s->scale = longest < TILE ? TILE / longest : 1;
    s->across = (int64_t)ceil(sqrt((double)(tiles * s->height) / (double)s->width));
    if (s->channels > 1 && !s->rgb && s->channels <= 64) s->across = s->channels; /* a row for each filter */
    s->down = bm_ceil_div(tiles, s->across);
    s->pixels_x = s->across * (s->width * s->scale + GAP) + GAP;
    s->pixels_y = s->down * (s->height * s->scale + GAP) + GAP;
    if (s->pixels_x > MOST_PIXELS / s->pixels_y)
        return bm_fail(BM_ERR_REFUSED, "a picture of %lld x %lld pixels is too large", (long long)s->pixels_x, (long long)s->pixels_y);
    s->pixel = bm_alloc((size_t)(s->pixels_x * s->pixels_y * 3));
    if (!s->pixel) return BM_ERR_MEMORY;
    memset(s->pixel, GREY, (size_t)(s->pixels_x * s->pixels_y * 3));
    return BM_OK;
}

/* From -1, blue, over white to 1, red. */
static void paint_signed(unsigned char rgb[3], double x)
{
    static const double blue[3] = {0x21, 0x66, 0xac}, red[3] = {0xb2, 0x18, 0x2b};
    for (int i = 0; i < 3; i++) rgb[i] = (unsigned char)lround(255 + fabs(x) * ((x < 0 ? blue[i] : red[i]) - 255));
}

/* Tile k: the picture at `first`, elements `step` apart, `depth` of them a pixel. */
static void paint_tile(sheet *s, int64_t k, const void *data, bm_dtype dtype, int64_t first, int64_t step, int depth)
{
    double most = 0;
    const int64_t n = s->height * s->width;
    for (int64_t i = 0; i < n; i++)
        for (int d = 0; d < depth; d++) most = fmax(most, fabs(bm_element_f64(data, dtype, first + i * step + d)));
    if (!(most > 0) || !isfinite(most)) most = 1;
    const int64_t x0 = GAP + k % s->across * (s->width * s->scale + GAP), y0 = GAP + k / s->across * (s->height * s->scale + GAP);
    for (int64_t y = 0; y < s->height * s->scale; y++)
        for (int64_t x = 0; x < s->width * s->scale; x++) {
            const int64_t at = first + (y / s->scale * s->width + x / s->scale) * step;
            unsigned char *rgb = &s->pixel[((y0 + y) * s->pixels_x + x0 + x) * 3];
            double v[3] = {0};
            for (int d = 0; d < depth; d++) v[d] = fmax(-1, fmin(1, bm_element_f64(data, dtype, at + d) / most));
            if (depth == 1) paint_signed(rgb, v[0]);
            else
                for (int d = 0; d < 3; d++) rgb[d] = (unsigned char)lround(127.5 + 127.5 * v[d]);
        }
}

static void paint(sheet *s, const void *data, bm_dtype dtype)
{
    const int64_t size = s->height * s->width * s->channels;
    for (int64_t k = 0; k < s->tiles; k++) {
        const int64_t filter = s->rgb ? k : k / s->channels, channel = s->rgb ? 0 : k % s->channels;
        paint_tile(s, k, data, dtype, filter * size + channel, s->channels, s->rgb ? 3 : 1);
    }
}

static bm_status write_png(const char *path, const sheet *s)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)s->pixels_x, .height = (png_uint_32)s->pixels_y, .format = PNG_FORMAT_RGB};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *png = bm_alloc(bytes);
    if (!png) return BM_ERR_MEMORY;
    bm_status status = png_image_write_to_memory(&image, png, &bytes, 0, s->pixel, 0, NULL)
                           ? bm_file_replace(path, png, bytes)
                           : bm_fail(BM_ERR_MEMORY, "%s: PNG: %s", path, image.message);
    bm_free(png);
    return status;
}

bm_status bm_plot_filters(const bm_plot *p)
{
    bm_status status;
    bm_checkpoint *c = NULL;
    const bm_entry *e;
    sheet s = {0};
    void *data = NULL;
    if (p->paths > 2) return bm_fail(BM_ERR_USAGE, "--filters draws one tensor");
    BM_GO(bm_checkpoint_open(&c, p->path[0]));
    BM_GO(find_tensor(&e, &s, c, p));
    BM_GO(make_sheet(&s));
    BM_GO(bm_store_load(&data, bm_checkpoint_store(c), e, MOST_BYTES));
    paint(&s, data, e->dtype);
    BM_GO(write_png(p->output, &s));
    bm_out_note("wrote %s: %s, %lld filters of %lld x %lld x %lld, %lld in a row", p->output, e->path, (long long)s.filters,
                (long long)s.height, (long long)s.width, (long long)s.channels, (long long)s.across);
done:
    bm_free(data);
    bm_free(s.pixel);
    bm_checkpoint_close(c);
    return status;
}
