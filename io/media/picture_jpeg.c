#include <setjmp.h>
#include <stdio.h> /* jpeglib.h uses FILE and includes nothing */

#include <jpeglib.h>

#include "core/base/mem.h"
#include "io/media/picture_priv.h"

/* A progressive file may ask for any number of passes over all of its pixels; real ones have about ten. */
enum { MOST_SCANS = 200 };

typedef struct reader {
    const bm_picture_source *source;
    bm_picture *out;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    unsigned char *row;
    bm_status status;
    jmp_buf jump; /* libjpeg calls back on faults, and must not go on */
} reader;

static _Noreturn void leave(reader *r, bm_status status)
{
    r->status = status;
    longjmp(r->jump, 1);
}

static void on_error(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    leave(r, bm_fail(BM_ERR_DAMAGED, "%s: JPEG: %s", r->source->name, text));
}

/* Below 0 are faults that libjpeg would mend by inventing pixels. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level < 0) on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    if (r->jpeg.input_scan_number > MOST_SCANS)
        leave(r, bm_fail(BM_ERR_REFUSED, "%s: JPEG: more than %d scans", r->source->name, MOST_SCANS));
}

static void decode(reader *r)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    bm_status status;
    jpeg_mem_src(j, r->source->data, (unsigned long)r->source->bytes);
    jpeg_read_header(j, TRUE);
    if (j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK)
        leave(r, bm_fail(BM_ERR_UNSUPPORTED, "%s: JPEG: colours of print (CMYK): save it as RGB", r->source->name));
    const int channels = j->jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
    status = bm_picture_start(r->out, r->source, j->image_height, j->image_width, channels == 3);
    if (status) leave(r, status);
    r->row = bm_alloc((size_t)r->out->width * (size_t)channels);
    if (!r->row) leave(r, BM_ERR_MEMORY);
    j->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(j);
    while (j->output_scanline < j->output_height) {
        const int64_t y = j->output_scanline;
        jpeg_read_scanlines(j, &r->row, 1);
        bm_picture_row(r->out, y, r->row, channels);
    }
    jpeg_finish_decompress(j);
}

/* Everything that may jump; what it changes is reached through r. */
static void guarded(reader *r)
{
    if (setjmp(r->jump)) return;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->jpeg.client_data = r;
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    jpeg_create_decompress(&r->jpeg);
    r->progress.progress_monitor = on_progress;
    r->jpeg.progress = &r->progress;
    decode(r);
}

bm_status bm_jpeg_decode(bm_picture *out, const bm_picture_source *s)
{
    reader r = {.source = s, .out = out};
    guarded(&r);
    jpeg_destroy_decompress(&r.jpeg);
    bm_free(r.row);
    return r.status;
}
