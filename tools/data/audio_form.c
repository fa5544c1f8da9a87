#include "tools/data/audio_form.h"

#include <math.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"

#define MOST_FRAMES ((int64_t)1 << 24)

int64_t bm_audio_form_width(const bm_audio_form *f) { return f->features.mfcc ? f->features.mfcc : f->features.mels; }

/* Milliseconds as samples, 0 where that is none or too many. */
static int samples_of(double ms, int rate)
{
    const double n = floor(ms * rate / 1000 + 0.5);
    return n >= 1 && n <= 1 << 16 ? (int)n : 0;
}

bm_status bm_audio_form_rate(bm_audio_form *f, int rate, double window_ms, double hop_ms)
{
    bm_features_opts *o = &f->features;
    o->rate = rate;
    o->window = samples_of(window_ms, rate);
    o->hop = samples_of(hop_ms, rate);
    if (!o->window || !o->hop)
        return bm_fail(BM_ERR_USAGE, "windows of %g ms every %g ms are not 1 to 65,536 samples at %d Hz", window_ms,
                       hop_ms, rate);
    for (o->n_fft = 2; o->n_fft < o->window;) o->n_fft *= 2;
    return BM_OK;
}

static int get_int(int *out, const json_t *o, const char *name, int64_t least, int64_t most)
{
    const json_t *x = json_object_get(o, name);
    *out = (int)json_integer_value(x);
    return json_is_integer(x) && json_integer_value(x) >= least && json_integer_value(x) <= most;
}

static bm_status get_floats(float **out, const json_t *list, int64_t n, const char *from)
{
    int bad = (int64_t)json_array_size(list) != n;
    *out = bm_calloc((size_t)n, sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    for (int64_t i = 0; !bad && i < n; i++) {
        (*out)[i] = (float)json_number_value(json_array_get(list, (size_t)i));
        bad = !isfinite((*out)[i]);
    }
    return bad ? bm_fail(BM_ERR_REFUSED, "%s: its encoding's means and scales are not %lld numbers", from, (long long)n)
               : BM_OK;
}

bm_status bm_audio_form_parse(bm_audio_form *f, const json_t *j, const char *from)
{
    int frames, letters;
    bm_features_opts *o = &f->features;
    *f = (bm_audio_form){0};
    if (!get_int(&o->rate, j, "rate", 1, 1000000) || !get_int(&o->n_fft, j, "n_fft", 2, 1 << 16) ||
        !get_int(&o->window, j, "window", 1, 1 << 16) || !get_int(&o->hop, j, "hop", 1, 1 << 16) ||
        !get_int(&o->mels, j, "mels", 1, 4096) || !get_int(&o->mfcc, j, "coefficients", 0, 4096) ||
        !get_int(&frames, j, "frames", 1, MOST_FRAMES) || !get_int(&letters, j, "letters", 0, MOST_FRAMES))
        return bm_fail(BM_ERR_REFUSED, "%s: its encoding is not one of sounds as bmtool data audio makes them", from);
    f->frames = frames;
    f->letters = letters;
    f->trim_db = json_number_value(json_object_get(j, "trim_db"));
    o->top_db = json_number_value(json_object_get(j, "top_db"));
    o->centre = json_is_true(json_object_get(j, "centre"));
    BM_TRY(get_floats(&f->mean, json_object_get(j, "mean"), bm_audio_form_width(f), from));
    BM_TRY(get_floats(&f->scale, json_object_get(j, "scale"), bm_audio_form_width(f), from));
    for (int64_t i = 0; i < bm_audio_form_width(f); i++)
        if (!(f->scale[i] > 0)) return bm_fail(BM_ERR_REFUSED, "%s: a scale of its encoding is not above 0", from);
    return BM_OK;
}

static json_t *floats_json(const float *x, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, json_real((double)x[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

bm_status bm_audio_form_text(char **out, const bm_audio_form *f, const bm_class_list *classes)
{
    const bm_features_opts *o = &f->features;
    const int64_t width = bm_audio_form_width(f);
    json_t *j = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:o*, s:o*, s:o*, s:I, s:I, s:o, s:o, s:o}", "kind", "audio",
        "features", o->mfcc ? "mfcc" : "logmel", "rate", o->rate, "n_fft", o->n_fft, "window", o->window, "hop", o->hop,
        "mels", o->mels, "coefficients", o->mfcc, "trim_db", f->trim_db > 0 ? json_real(f->trim_db) : NULL, "top_db",
        o->top_db > 0 ? json_real(o->top_db) : NULL, "centre", o->centre ? json_true() : NULL, "frames",
        (json_int_t)f->frames, "letters", (json_int_t)f->letters, "mean", floats_json(f->mean, width), "scale",
        floats_json(f->scale, width), "classes", bm_class_list_json(classes));
    bm_status status = bm_json_text(out, j, JSON_REAL_PRECISION(9));
    json_decref(j);
    return status;
}

void bm_audio_form_finish(bm_audio_form *f)
{
    bm_free(f->mean);
    bm_free(f->scale);
    *f = (bm_audio_form){0};
}
