#include "io/media/features.h"

#include <kiss_fftr.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"

enum { MOST_FFT = 1 << 16, MOST_MELS = 4096 };
static const double floor_of_log = 1e-6, pi = 3.14159265358979323846;

/* One triangle of the bank: `count` weights from bin `first` on. */
typedef struct triangle {
    int64_t first, count, at; /* of its weights in the bank */
} triangle;

struct bm_features {
    bm_features_opts opts;
    kiss_fftr_cfg fft;
    float *window, *frame; /* [n_fft] */
    kiss_fft_cpx *spectrum;
    double *power;     /* [n_fft / 2 + 1] */
    triangle *mels;
    double *bank;
    double *energies;  /* [frames, mels] */
    int64_t room;      /* frames that they have room for */
    double *dct;       /* [mfcc, mels] */
};

bm_features_opts bm_features_opts_default(void)
{
    return (bm_features_opts){.rate = 16000, .n_fft = 512, .window = 400, .hop = 160, .mels = 40};
}

static double to_mel(double hz, bm_mel_scale scale)
{
    if (scale == BM_MEL_HTK) return 2595 * log10(1 + hz / 700);
    return hz < 1000 ? hz * 3 / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

static double to_hz(double mel, bm_mel_scale scale)
{
    if (scale == BM_MEL_HTK) return 700 * (pow(10, mel / 2595) - 1);
    return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

/* The weight of bin k in the triangle over edge[0] < edge[1] < edge[2] Hz. */
static double weight_of(const bm_features_opts *o, const double *edge, int64_t k)
{
    const double hz = (double)k * o->rate / o->n_fft;
    const double up = (hz - edge[0]) / (edge[1] - edge[0]), down = (edge[2] - hz) / (edge[2] - edge[1]);
    const double w = up < down ? up : down;
    return w <= 0 ? 0 : o->normalize ? w * 2 / (edge[2] - edge[0]) : w;
}

/* A bin lies in two triangles at most. */
static bm_status make_bank(bm_features *f)
{
    const bm_features_opts *o = &f->opts;
    const int64_t bins = o->n_fft / 2 + 1;
    const double low = to_mel(o->low, o->scale), step = (to_mel(o->high, o->scale) - low) / (o->mels + 1);
    int64_t used = 0;
    f->mels = bm_calloc((size_t)o->mels, sizeof *f->mels);
    f->bank = bm_calloc(2 * (size_t)bins, sizeof *f->bank);
    if (!f->mels || !f->bank) return BM_ERR_MEMORY;
    for (int m = 0; m < o->mels; m++) {
        triangle *t = &f->mels[m];
        double edge[3];
        for (int i = 0; i < 3; i++) edge[i] = to_hz(low + step * (m + i), o->scale);
        t->at = used;
        for (int64_t k = 0; k < bins; k++) {
            const double w = weight_of(o, edge, k);
            if (w <= 0) continue;
            if (t->count == 0) t->first = k;
            t->count++;
            f->bank[used++] = w;
        }
    }
    return BM_OK;
}

static bm_status make_window(bm_features *f)
{
    const bm_features_opts *o = &f->opts;
    const int before = (o->n_fft - o->window) / 2;
    f->window = bm_calloc((size_t)o->n_fft, sizeof *f->window);
    if (!f->window) return BM_ERR_MEMORY;
    for (int n = 0; n < o->window; n++) {
        const double s = sin(pi * n / o->window);
        f->window[before + n] = (float)(s * s);
    }
    return BM_OK;
}

static bm_status make_dct(bm_features *f)
{
    const int n = f->opts.mels;
    f->dct = bm_calloc((size_t)f->opts.mfcc * (size_t)n + 1, sizeof *f->dct);
    if (!f->dct) return BM_ERR_MEMORY;
    for (int i = 0; i < f->opts.mfcc; i++)
        for (int m = 0; m < n; m++) f->dct[i * n + m] = sqrt((i ? 2.0 : 1.0) / n) * cos(pi * i * (m + 0.5) / n);
    return BM_OK;
}

static bm_status make_fft(bm_features *f)
{
    size_t bytes = 0;
    kiss_fftr_alloc(f->opts.n_fft, 0, NULL, &bytes);
    f->fft = bm_alloc(bytes);
    f->frame = bm_calloc((size_t)f->opts.n_fft, sizeof *f->frame);
    f->spectrum = bm_calloc((size_t)f->opts.n_fft / 2 + 1, sizeof *f->spectrum);
    f->power = bm_calloc((size_t)f->opts.n_fft / 2 + 1, sizeof *f->power);
    if (!f->fft || !f->frame || !f->spectrum || !f->power) return BM_ERR_MEMORY;
    kiss_fftr_alloc(f->opts.n_fft, 0, f->fft, &bytes);
    return BM_OK;
}

static bm_status check(bm_features_opts *o)
{
    if (o->high == 0) o->high = o->rate / 2.0;
    if (o->n_fft < 2 || o->n_fft > MOST_FFT || o->n_fft % 2 || o->window < 1 || o->window > o->n_fft || o->hop < 1)
        return bm_fail(BM_ERR_USAGE, "a window of %d in %d samples every %d: n_fft is even and at most %d, the window not longer",
                       o->window, o->n_fft, o->hop, MOST_FFT);
    if (o->mels < 1 || o->mels > MOST_MELS || o->mfcc < 0 || o->mfcc > o->mels)
        return bm_fail(BM_ERR_USAGE, "%d coefficients of %d mels", o->mfcc, o->mels);
    if (!(o->low >= 0) || !(o->high > o->low) || !(o->high <= o->rate / 2.0))
        return bm_fail(BM_ERR_USAGE, "mels from %g to %g Hz: they rise from 0 to at most half the rate of %d Hz", o->low, o->high,
                       o->rate);
    if (!(o->top_db >= 0)) return bm_fail(BM_ERR_USAGE, "what is %g dB below the loudest is not quieter", o->top_db);
    return BM_OK;
}

bm_status bm_features_create(bm_features **out, const bm_features_opts *opts)
{
    bm_features *f = bm_calloc(1, sizeof *f);
    bm_status status;
    *out = NULL;
    if (!f) return BM_ERR_MEMORY;
    f->opts = opts ? *opts : bm_features_opts_default();
    BM_GO(check(&f->opts));
    BM_GO(make_window(f));
    BM_GO(make_bank(f));
    BM_GO(make_dct(f));
    BM_GO(make_fft(f));
    *out = f;
done:
    if (status) bm_features_destroy(f);
    return status;
}

void bm_features_destroy(bm_features *f)
{
    if (!f) return;
    bm_free(f->fft);
    bm_free(f->window);
    bm_free(f->frame);
    bm_free(f->spectrum);
    bm_free(f->power);
    bm_free(f->mels);
    bm_free(f->bank);
    bm_free(f->energies);
    bm_free(f->dct);
    bm_free(f);
}

int64_t bm_features_width(const bm_features *f) { return f->opts.mfcc ? f->opts.mfcc : f->opts.mels; }

int64_t bm_features_frames(const bm_features *f, int64_t samples)
{
    return samples > f->opts.n_fft / 2 ? 1 + samples / f->opts.hop : 0;
}

/* A place outside the signal, mirrored into it. */
static int64_t mirrored(int64_t i, int64_t n)
{
    if (i < 0) i = -i;
    return i < n ? i : 2 * (n - 1) - i;
}

/* The energies [mels] of the frame around sample `centre`. */
static void compute_energies(double *out, bm_features *f, const float *samples, int64_t n, int64_t centre)
{
    const int size = f->opts.n_fft;
    for (int i = 0; i < size; i++) f->frame[i] = samples[mirrored(centre - size / 2 + i, n)] * f->window[i];
    kiss_fftr(f->fft, f->frame, f->spectrum);
    for (int k = 0; k <= size / 2; k++) {
        const double re = f->spectrum[k].r, im = f->spectrum[k].i;
        f->power[k] = re * re + im * im;
    }
    for (int m = 0; m < f->opts.mels; m++) {
        const triangle *t = &f->mels[m];
        double sum = 0;
        for (int64_t k = 0; k < t->count; k++) sum += f->bank[t->at + k] * f->power[t->first + k];
        out[m] = log(sum + floor_of_log);
    }
}

/* What is far below the loudest, to where it is just that far. */
static void raise_quiet(double *x, int64_t n, double top_db)
{
    double loudest = -INFINITY;
    for (int64_t i = 0; i < n; i++) loudest = fmax(loudest, x[i]);
    for (int64_t i = 0; i < n; i++) x[i] = fmax(x[i], loudest - top_db * log(10) / 10);
}

/* A frame's energies as what is wanted of them. */
static void write_frame(float *out, const bm_features *f, const double *energies)
{
    const int mels = f->opts.mels;
    for (int m = 0; !f->opts.mfcc && m < mels; m++) out[m] = (float)energies[m];
    for (int i = 0; i < f->opts.mfcc; i++) {
        double sum = 0;
        for (int m = 0; m < mels; m++) sum += f->dct[i * mels + m] * energies[m];
        out[i] = (float)sum;
    }
}

static void centre_frames(float *x, int64_t frames, int64_t width)
{
    for (int64_t i = 0; i < width; i++) {
        double sum = 0;
        for (int64_t t = 0; t < frames; t++) sum += x[t * width + i];
        for (int64_t t = 0; t < frames; t++) x[t * width + i] -= (float)(sum / (double)frames);
    }
}

static bm_status make_room(bm_features *f, int64_t frames)
{
    if (frames <= f->room) return BM_OK;
    double *more = bm_realloc(f->energies, (size_t)frames, (size_t)f->opts.mels * sizeof *more);
    if (!more) return BM_ERR_MEMORY;
    f->energies = more;
    f->room = frames;
    return BM_OK;
}

bm_status bm_features_compute(bm_features *f, float *out, const float *samples, int64_t n)
{
    const int64_t frames = bm_features_frames(f, n), width = bm_features_width(f);
    const int mels = f->opts.mels;
    if (frames == 0)
        return bm_fail(BM_ERR_CONFIG, "%lld samples are too few for frames of %d (%d at least)", (long long)n, f->opts.n_fft,
                       f->opts.n_fft / 2 + 1);
    BM_TRY(make_room(f, frames));
    for (int64_t t = 0; t < frames; t++) compute_energies(f->energies + t * mels, f, samples, n, t * f->opts.hop);
    if (f->opts.top_db > 0) raise_quiet(f->energies, frames * mels, f->opts.top_db);
    for (int64_t t = 0; t < frames; t++) write_frame(out + t * width, f, f->energies + t * mels);
    if (f->opts.centre) centre_frames(out, frames, width);
    return BM_OK;
}
