#include "tools/data/images_out.h"

#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

bm_status bm_images_out_like(bm_images_out *o, const char *like)
{
    BM_TRY(bm_samples_like(&o->encoding, like, "images"));
    o->height = number(o->encoding, "height");
    o->width = number(o->encoding, "width");
    o->channels = number(o->encoding, "channels");
    o->crop = json_is_true(json_object_get(o->encoding, "crop"));
    return bm_class_list_parse(&o->classes, json_object_get(o->encoding, "classes"), like);
}

bm_status bm_images_out_size(bm_images_out *o, const char *file, int64_t height, int64_t width, int64_t channels)
{
    if (channels < 1 || channels > BM_MOST_CHANNELS)
        return bm_fail(BM_ERR_CONFIG, "%s: images of %lld channels; at most %d are read", file, (long long)channels,
                       BM_MOST_CHANNELS);
    if (o->height && (o->height != height || o->width != width || o->channels != channels))
        return bm_fail(BM_ERR_CONFIG,
                       "%s: images [%lld, %lld, %lld] (height, width, channels), where [%lld, %lld, %lld] are due",
                       file, (long long)height, (long long)width, (long long)channels, (long long)o->height,
                       (long long)o->width, (long long)o->channels);
    o->height = height;
    o->width = width;
    o->channels = channels;
    return BM_OK;
}

static bm_status make_encoding(bm_images_out *o)
{
    o->encoding = json_pack("{s:s, s:I, s:I, s:I, s:o}", "kind", "images", "height", (json_int_t)o->height, "width",
                            (json_int_t)o->width, "channels", (json_int_t)o->channels, "classes",
                            bm_class_list_json(&o->classes));
    if (o->encoding && o->crop && json_object_set_new(o->encoding, "crop", json_true())) return BM_ERR_MEMORY;
    return o->encoding ? BM_OK : BM_ERR_MEMORY;
}

bm_status bm_images_out_open(bm_images_out *o, bm_samples_out *to, const char *const *sources, int n)
{
    char *encoding;
    if (!o->encoding) BM_TRY(make_encoding(o));
    BM_TRY(bm_json_text(&encoding, o->encoding, JSON_REAL_PRECISION(9)));
    const bm_samples_opts form = {.kind = "images",
                                  .input = BM_U8,
                                  .target = BM_I32,
                                  .input_shape = BM_SHAPE(o->channels, o->height, o->width),
                                  .classes = o->classes.n,
                                  .encoding_json = encoding};
    bm_status status = bm_samples_out_open(to, &form, sources, n);
    bm_free(encoding);
    o->to = to;
    o->planes = bm_alloc((size_t)(o->channels * o->height * o->width));
    return status ? status : o->planes ? BM_OK : BM_ERR_MEMORY;
}

bm_status bm_images_out_add(bm_images_out *o, const uint8_t *pixels, int channels_first, int64_t label)
{
    const int64_t plane = o->height * o->width, c = o->channels;
    const int32_t target = (int32_t)label;
    if (channels_first || c == 1) return bm_samples_writer_add(o->to->writer, pixels, &target, 0);
    for (int64_t i = 0; i < plane; i++)
        for (int64_t k = 0; k < c; k++) o->planes[k * plane + i] = pixels[i * c + k];
    return bm_samples_writer_add(o->to->writer, o->planes, &target, 0);
}

void bm_images_out_finish(bm_images_out *o)
{
    bm_class_list_finish(&o->classes);
    json_decref(o->encoding);
    bm_free(o->planes);
    *o = (bm_images_out){0};
}
