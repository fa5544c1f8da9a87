#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/media/picture_priv.h"

typedef struct reader {
    const bm_picture_source *source;
    bm_picture *out;
    png_structp png;
    png_infop info;
    size_t at; /* in the source */
    unsigned char *rows; /* one, or all of a picture that comes in passes */
    int no_memory;
    bm_status status;
    jmp_buf jump; /* libpng calls back on faults, and must not go on */
} reader;

static _Noreturn void leave(reader *r, bm_status status)
{
    r->status = status;
    longjmp(r->jump, 1);
}

static void on_error(png_structp png, png_const_charp text)
{
    reader *r = png_get_error_ptr(png);
    leave(r, bm_fail(r->no_memory ? BM_ERR_MEMORY : BM_ERR_DAMAGED, "%s: PNG: %s", r->source->name, text));
}

/* Oddities of side chunks: profiles, times, texts. */
static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

static png_voidp on_alloc(png_structp png, png_alloc_size_t bytes)
{
    reader *r = png_get_mem_ptr(png);
    void *p = bm_alloc(bytes);
    r->no_memory |= !p;
    return p;
}

static void on_free(png_structp png, png_voidp p) { (void)png, bm_free(p); }

static void on_read(png_structp png, png_bytep data, size_t bytes)
{
    reader *r = png_get_io_ptr(png);
    if (bytes > r->source->bytes - r->at) leave(r, bm_fail(BM_ERR_DAMAGED, "%s: PNG: cut off", r->source->name));
    memcpy(data, r->source->data + r->at, bytes);
    r->at += bytes;
}

/* 8 bits, no palette; alpha where there is any transparency. Passes. */
static int set_transforms(reader *r)
{
    png_set_expand(r->png);
    png_set_scale_16(r->png);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    return passes;
}

static void decode(reader *r)
{
    bm_picture *out = r->out;
    png_read_info(r->png, r->info);
    const int64_t height = png_get_image_height(r->png, r->info), width = png_get_image_width(r->png, r->info);
    const int colour = (png_get_color_type(r->png, r->info) & PNG_COLOR_MASK_COLOR) != 0;
    const bm_status status = bm_picture_start(out, r->source, height, width, colour);
    if (status) leave(r, status);
    const int passes = set_transforms(r), channels = png_get_channels(r->png, r->info);
    const size_t bytes = png_get_rowbytes(r->png, r->info);
    r->rows = bm_calloc(passes > 1 ? (size_t)out->height : 1, bytes);
    if (!r->rows) leave(r, BM_ERR_MEMORY);
    for (int pass = 0; pass < passes; pass++) {
        for (int64_t y = 0; y < out->height; y++) {
            unsigned char *row = r->rows + (passes > 1 ? (size_t)y * bytes : 0);
            png_read_row(r->png, row, NULL);
            if (pass == passes - 1) bm_picture_row(out, y, row, channels);
        }
    }
    png_read_end(r->png, NULL);
}

/* Everything that may jump; what it changes is reached through r. */
static void guarded(reader *r)
{
    if (setjmp(r->jump)) return;
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_alloc, on_free);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->info) leave(r, bm_fail(BM_ERR_MEMORY, "%s: PNG: no memory", r->source->name));
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT); /* of side chunks too: transparency is one */
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* bm_picture_start has the limit */
    decode(r);
}

bm_status bm_png_decode(bm_picture *out, const bm_picture_source *s)
{
    reader r = {.source = s, .out = out};
    guarded(&r);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    bm_free(r.rows);
    return r.status;
}
