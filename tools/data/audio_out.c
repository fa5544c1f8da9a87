#include "tools/data/audio_out.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/out.h"

static int64_t width(const bm_audio_out *o) { return bm_audio_form_width(o->form); }

bm_status bm_audio_out_open(bm_audio_out *o, bm_audio_form *form, const char *path, int64_t most)
{
    o->form = form;
    o->sounds = bm_calloc((size_t)most, sizeof *o->sounds);
    o->letters = bm_calloc((size_t)form->letters + 1, sizeof *o->letters);
    return o->sounds && o->letters ? bm_spool_open(&o->spool, path) : BM_ERR_MEMORY;
}

bm_status bm_audio_out_add(bm_audio_out *o, const bm_audio_sound *sound, const int32_t *letters, const float *frames)
{
    o->sounds[o->count++] = *sound;
    BM_TRY(bm_spool_add(&o->spool, letters, (size_t)o->form->letters * sizeof *letters));
    return bm_spool_add(&o->spool, frames, (size_t)(sound->frames * width(o)) * sizeof *frames);
}

/* ---- reading them again ---- */

static bm_status rewind_sounds(bm_audio_out *o)
{
    if (!o->frames) o->frames = bm_calloc((size_t)o->form->frames, (size_t)width(o) * sizeof *o->frames);
    return o->frames ? bm_spool_rewind(&o->spool) : BM_ERR_MEMORY;
}

/* The next sound, number i, into o->letters and o->frames. */
static bm_status next_sound(bm_audio_out *o, int64_t i)
{
    BM_TRY(bm_spool_take(&o->spool, o->letters, (size_t)o->form->letters * sizeof *o->letters));
    return bm_spool_take(&o->spool, o->frames, (size_t)(o->sounds[i].frames * width(o)) * sizeof *o->frames);
}

/* ---- means and scales ---- */

/* Adds up to power 1, or squares of what differs from the mean. */
static bm_status add_up(double *sum, int64_t *frames, bm_audio_out *o, const double *mean)
{
    const int64_t w = width(o);
    *frames = 0;
    BM_TRY(rewind_sounds(o));
    for (int64_t i = 0; i < o->count; i++) {
        BM_TRY(next_sound(o, i));
        if (o->sounds[i].validation) continue;
        *frames += o->sounds[i].frames;
        for (int64_t k = 0; k < o->sounds[i].frames * w; k++) {
            const double x = (double)o->frames[k] - (mean ? mean[k % w] : 0);
            sum[k % w] += mean ? x * x : x;
        }
    }
    return BM_OK;
}

bm_status bm_audio_out_measure(bm_audio_out *o)
{
    int64_t frames;
    bm_status status = BM_OK;
    bm_audio_form *f = o->form;
    const int64_t w = width(o);
    double *mean = bm_calloc((size_t)w, sizeof *mean), *squares = bm_calloc((size_t)w, sizeof *squares);
    for (int64_t i = 0; i < o->count; i++)
        if (o->sounds[i].frames > f->frames) f->frames = o->sounds[i].frames;
    f->mean = bm_calloc((size_t)w, sizeof *f->mean);
    f->scale = bm_calloc((size_t)w, sizeof *f->scale);
    if (!mean || !squares || !f->mean || !f->scale) BM_GO(BM_ERR_MEMORY);
    BM_GO(add_up(mean, &frames, o, NULL));
    for (int64_t k = 0; k < w; k++) mean[k] /= (double)frames;
    BM_GO(add_up(squares, &frames, o, mean));
    for (int64_t k = 0; k < w; k++) {
        f->mean[k] = (float)mean[k];
        f->scale[k] = (float)sqrt(squares[k] / (double)frames);
        if (!(f->scale[k] > 0)) f->scale[k] = 1;
    }
done:
    bm_free(mean);
    bm_free(squares);
    return status;
}

/* ---- writing ---- */

static bm_status open_writer(bm_samples_out *to, const bm_audio_out *o, const bm_class_list *classes,
                             const char *source)
{
    char *encoding;
    const bm_audio_form *f = o->form;
    BM_TRY(bm_audio_form_text(&encoding, f, classes));
    const bm_samples_opts form = {.kind = "rows",
                                  .input = BM_F32,
                                  .input_shape = BM_SHAPE(f->frames, width(o)),
                                  .target = BM_I32,
                                  .target_shape = f->letters ? BM_SHAPE(f->letters) : (bm_shape){0},
                                  .classes = classes->n,
                                  .lengths = 1,
                                  .encoding_json = encoding};
    bm_status status = bm_samples_out_open(to, &form, &source, 1);
    bm_free(encoding);
    return status;
}

static bm_status write_sound(bm_samples_writer *w, bm_audio_out *o, const bm_audio_sound *s)
{
    const bm_audio_form *f = o->form;
    const int64_t n = width(o), used = s->frames * n;
    for (int64_t k = 0; k < used; k++) o->frames[k] = (o->frames[k] - f->mean[k % n]) / f->scale[k % n];
    memset(o->frames + used, 0, (size_t)(f->frames * n - used) * sizeof *o->frames);
    return bm_samples_writer_add(w, o->frames, f->letters ? o->letters : &s->label, (int32_t)s->frames);
}

/* Those for validation or the others; -1: all. */
static bm_status write_part(bm_samples_writer *w, bm_audio_out *o, int validation)
{
    BM_TRY(rewind_sounds(o));
    for (int64_t i = 0; i < o->count; i++) {
        BM_TRY(next_sound(o, i));
        if (validation >= 0 && o->sounds[i].validation != validation) continue;
        BM_TRY(bm_out_step("writing %lld of %lld", (long long)bm_samples_writer_count(w), (long long)o->count));
        BM_TRY(write_sound(w, o, &o->sounds[i]));
    }
    return BM_OK;
}

bm_status bm_audio_out_write(bm_samples_out *to, bm_audio_out *o, const bm_class_list *classes, const char *source,
                             int parts)
{
    BM_TRY(open_writer(to, o, classes, source));
    BM_TRY(write_part(to->writer, o, parts ? 0 : -1));
    if (!parts) return BM_OK;
    bm_samples_writer_validation(to->writer);
    return write_part(to->writer, o, 1);
}

void bm_audio_out_finish(bm_audio_out *o)
{
    bm_spool_close(&o->spool);
    bm_free(o->sounds);
    bm_free(o->letters);
    bm_free(o->frames);
}
