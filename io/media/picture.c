#include "io/media/picture.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/media/picture_priv.h"

bm_picture_opts bm_picture_opts_default(void)
{
    return (bm_picture_opts){.most_pixels = (int64_t)64 << 20, .most_bytes = (int64_t)256 << 20};
}

void bm_picture_finish(bm_picture *p)
{
    bm_free(p->pixels);
    *p = (bm_picture){0};
}

bm_status bm_picture_start(bm_picture *out, const bm_picture_source *s, int64_t height, int64_t width, int colour)
{
    if (height < 1 || width < 1 || height > s->opts.most_pixels / width)
        return bm_fail(BM_ERR_REFUSED, "%s: %lld x %lld pixels; at most %lld are read", s->name, (long long)width,
                       (long long)height, (long long)s->opts.most_pixels);
    out->height = height;
    out->width = width;
    out->channels = s->opts.channels ? s->opts.channels : colour ? 3 : 1;
    out->pixels = bm_alloc((size_t)height * (size_t)width * (size_t)out->channels);
    return out->pixels ? BM_OK : BM_ERR_MEMORY;
}

/* A value on white. */
static unsigned on_white(unsigned value, unsigned alpha) { return (value * alpha + 255 * (255 - alpha) + 127) / 255; }

void bm_picture_row(bm_picture *out, int64_t y, const unsigned char *row, int channels)
{
    uint8_t *to = out->pixels + y * out->width * out->channels;
    const int colours = channels < 3 ? 1 : 3;
    for (int64_t x = 0; x < out->width; x++, row += channels) {
        unsigned rgb[3];
        for (int k = 0; k < 3; k++) {
            rgb[k] = row[k < colours ? k : 0];
            if (channels > colours) rgb[k] = on_white(rgb[k], row[colours]);
        }
        if (out->channels == 3)
            for (int k = 0; k < 3; k++) *to++ = (uint8_t)rgb[k];
        else if (colours == 1)
            *to++ = (uint8_t)rgb[0];
        else
            *to++ = (uint8_t)((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16);
    }
}

bm_status bm_picture_decode(bm_picture *out, const void *data, size_t bytes, const char *name,
                            const bm_picture_opts *opts)
{
    static const unsigned char png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xff, 0xd8, 0xff};
    const bm_picture_source s = {data, bytes, name, opts ? *opts : bm_picture_opts_default()};
    bm_status status;
    *out = (bm_picture){0};
    if (s.opts.channels != 0 && s.opts.channels != 1 && s.opts.channels != 3)
        return bm_fail(BM_ERR_USAGE, "%s: pictures have 1 or 3 channels", name);
    if (bytes >= sizeof png && memcmp(data, png, sizeof png) == 0) status = bm_png_decode(out, &s);
    else if (bytes >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0) status = bm_jpeg_decode(out, &s);
    else status = bm_fail(BM_ERR_UNSUPPORTED, "%s: neither PNG nor JPEG", name);
    if (status) bm_picture_finish(out);
    return status;
}

bm_status bm_picture_read(bm_picture *out, const char *path, const bm_picture_opts *opts)
{
    const bm_picture_opts o = opts ? *opts : bm_picture_opts_default();
    char *data;
    size_t bytes;
    *out = (bm_picture){0};
    BM_TRY(bm_file_read(&data, &bytes, path, (size_t)o.most_bytes));
    bm_status status = bm_picture_decode(out, data, bytes, path, &o);
    bm_free(data);
    return status;
}
