#include "tools/data/audio_in.h"

#include "core/base/mem.h"
#include "io/media/sound.h"

static bm_status know_rate(bm_audio_in *in, const bm_sound *s, const char *path)
{
    bm_audio_form *f = in->form;
    if (!f->features.rate) {
        BM_TRY(bm_audio_form_rate(f, s->rate, in->window_ms, in->hop_ms));
        in->first = path;
    }
    if (s->rate != f->features.rate)
        return bm_fail(BM_ERR_CONFIG, "%s is of %d Hz, %s of %d Hz: --rate R brings all to one", path, s->rate,
                       in->first, f->features.rate);
    return in->features ? BM_OK : bm_features_create(&in->features, &f->features);
}

/* How many of a sound's samples are taken. */
static bm_status length(int64_t *n, const bm_audio_in *in, const bm_sound *s, const char *path)
{
    const bm_audio_form *f = in->form;
    const int64_t most = f->frames        ? f->frames * f->features.hop - 1
                         : in->most_s > 0 ? (int64_t)(in->most_s * s->rate)
                                          : s->count;
    *n = s->count < most ? s->count : most;
    if (*n == s->count || in->cut) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s: %.2f s, %lld samples; at most %lld are taken (--cut cuts)", path,
                   (double)s->count / s->rate, (long long)s->count, (long long)most);
}

static bm_status compute(bm_audio_in *in, const bm_sound *s, int64_t n, const char *path)
{
    in->count = bm_features_frames(in->features, n);
    const int64_t need = in->count * bm_features_width(in->features);
    if (need > in->room) {
        float *frames = bm_realloc(in->frames, (size_t)need, sizeof *frames);
        if (!frames) return BM_ERR_MEMORY;
        in->frames = frames;
        in->room = need;
    }
    return bm_fail_prefix(bm_features_compute(in->features, in->frames, s->samples, n), "%s", path);
}

bm_status bm_audio_in_read(bm_audio_in *in, const char *path)
{
    int64_t n;
    bm_sound s;
    bm_status status;
    bm_sound_opts opts = bm_sound_opts_default();
    if (in->resample) opts.rate = in->form->features.rate;
    in->count = 0;
    BM_TRY(bm_sound_read(&s, path, &opts));
    BM_GO(know_rate(in, &s, path));
    if (in->form->trim_db > 0) bm_sound_trim(&s, in->form->features.hop, in->form->trim_db);
    BM_GO(length(&n, in, &s, path));
    BM_GO(compute(in, &s, n, path));
done:
    bm_sound_finish(&s);
    return status;
}

void bm_audio_in_finish(bm_audio_in *in)
{
    bm_features_destroy(in->features);
    bm_free(in->frames);
    *in = (bm_audio_in){0};
}
