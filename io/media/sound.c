#include "io/media/sound.h"

#include <math.h>
#include <samplerate.h>
#include <sndfile.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/media/input_priv.h"

enum { MOST_CHANNELS = 256, MOST_RATE = 1000000, MOST_RATIO = 256, BLOCK = 4096 };

bm_sound_opts bm_sound_opts_default(void) { return (bm_sound_opts){.rate = 0, .most_s = 600}; }

void bm_sound_finish(bm_sound *s)
{
    bm_free(s->samples);
    *s = (bm_sound){0};
}

/* A WAV says how long it is in front; libsndfile makes do with what there is. 0 and 2^32 - 1 are what streams write. */
static bm_status check_riff(int fd, int64_t bytes, const char *path)
{
    unsigned char h[12];
    if (bytes < (int64_t)sizeof h) return BM_OK;
    BM_TRY(bm_pread_all(fd, h, sizeof h, 0, path));
    if (memcmp(h, "RIFF", 4) != 0 || memcmp(h + 8, "WAVE", 4) != 0) return BM_OK;
    const int64_t said = (int64_t)h[4] | (int64_t)h[5] << 8 | (int64_t)h[6] << 16 | (int64_t)h[7] << 24;
    if (said == 0 || said == UINT32_MAX || said + 8 <= bytes) return BM_OK;
    return bm_fail(BM_ERR_DAMAGED, "%s: cut off: %lld bytes, where its header says %lld", path, (long long)bytes,
                   (long long)said + 8);
}

static bm_status check_info(const SF_INFO *info, const bm_sound_opts *opts, const char *path)
{
    if (info->channels < 1 || info->channels > MOST_CHANNELS || info->samplerate < 1 || info->samplerate > MOST_RATE)
        return bm_fail(BM_ERR_REFUSED, "%s: %d channels at %d Hz (at most %d at %d are read)", path, info->channels,
                       info->samplerate, MOST_CHANNELS, MOST_RATE);
    if (info->frames < 1) return bm_fail(BM_ERR_DAMAGED, "%s: no sound in it", path);
    if ((double)info->frames > opts->most_s * info->samplerate)
        return bm_fail(BM_ERR_REFUSED, "%s: %.1f s; at most %.1f s are read", path, (double)info->frames / info->samplerate,
                       opts->most_s);
    return BM_OK;
}

static bm_status read_frames(bm_sound *out, SNDFILE *file, const SF_INFO *info, float *block, const char *path)
{
    while (out->count < info->frames) {
        const sf_count_t n = sf_readf_float(file, block, BLOCK);
        if (n <= 0) break;
        for (sf_count_t i = 0; i < n && out->count < info->frames; i++) {
            float sum = 0;
            for (int c = 0; c < info->channels; c++) sum += block[i * info->channels + c];
            out->samples[out->count++] = sum / (float)info->channels;
        }
    }
    if (sf_error(file)) return bm_fail(BM_ERR_DAMAGED, "%s: %s", path, sf_strerror(file));
    if (out->count < info->frames)
        return bm_fail(BM_ERR_DAMAGED, "%s: cut off: %lld samples of %lld", path, (long long)out->count, (long long)info->frames);
    return BM_OK;
}

static bm_status read_open(bm_sound *out, SNDFILE *file, const SF_INFO *info, const bm_sound_opts *opts, const char *path)
{
    float *block;
    BM_TRY(check_info(info, opts, path));
    out->rate = info->samplerate;
    out->samples = bm_calloc((size_t)info->frames, sizeof *out->samples);
    block = bm_calloc((size_t)BLOCK * (size_t)info->channels, sizeof *block);
    bm_status status = out->samples && block ? read_frames(out, file, info, block, path) : BM_ERR_MEMORY;
    bm_free(block);
    return status;
}

static bm_status read_file(bm_sound *out, const char *path, const bm_sound_opts *opts)
{
    SF_INFO info = {0};
    SNDFILE *file = NULL;
    int64_t bytes;
    int fd;
    bm_status status;
    BM_TRY(bm_open_regular(&fd, &bytes, path));
    BM_GO(check_riff(fd, bytes, path));
    file = sf_open_fd(fd, SFM_READ, &info, 0);
    if (!file && sf_error(NULL) == SF_ERR_UNRECOGNISED_FORMAT)
        BM_GO(bm_fail(BM_ERR_UNSUPPORTED, "%s: no sound file that is known", path));
    if (!file) BM_GO(bm_fail(BM_ERR_DAMAGED, "%s: %s", path, sf_strerror(NULL)));
    BM_GO(read_open(out, file, &info, opts, path));
done:
    if (file) sf_close(file);
    close(fd);
    return status;
}

bm_status bm_sound_read(bm_sound *out, const char *path, const bm_sound_opts *opts)
{
    const bm_sound_opts o = opts ? *opts : bm_sound_opts_default();
    bm_sound own = {0};
    bm_status status = read_file(&own, path, &o);
    *out = (bm_sound){0};
    if (!status && o.rate && o.rate != own.rate) status = bm_fail_prefix(bm_sound_resample(out, &own, o.rate), "%s", path);
    else if (!status) *out = own, own.samples = NULL;
    bm_sound_finish(&own);
    return status;
}

bm_status bm_sound_resample(bm_sound *out, const bm_sound *in, int rate)
{
    const double ratio = (double)rate / in->rate;
    SRC_DATA d = {.data_in = in->samples, .src_ratio = ratio};
    *out = (bm_sound){0};
    if (rate < 1 || rate > MOST_RATE || ratio > MOST_RATIO || ratio * MOST_RATIO < 1)
        return bm_fail(BM_ERR_USAGE, "from %d Hz to %d Hz: not a rate, or more than %d times", in->rate, rate, MOST_RATIO);
    const int64_t count = (in->count * rate + in->rate - 1) / in->rate;
    if (in->count > INT32_MAX || count > INT32_MAX)
        return bm_fail(BM_ERR_REFUSED, "%lld samples are too many to resample", (long long)in->count);
    out->samples = bm_calloc((size_t)count + 1, sizeof *out->samples); /* what the filter does not reach stays 0 */
    if (!out->samples) return BM_ERR_MEMORY;
    d.data_out = out->samples;
    d.input_frames = (long)in->count;
    d.output_frames = (long)count;
    const int error = src_simple(&d, SRC_SINC_MEDIUM_QUALITY, 1);
    if (error) {
        bm_sound_finish(out);
        return bm_fail(BM_ERR_UNSUPPORTED, "resampling failed: %s", src_strerror(error));
    }
    out->count = count;
    out->rate = rate;
    return BM_OK;
}

/* Of the block from sample `first` on; the last may be short. */
static double mean_square(const bm_sound *s, int64_t first, int64_t block)
{
    double sum = 0;
    const int64_t n = s->count - first < block ? s->count - first : block;
    for (int64_t i = 0; i < n; i++) sum += (double)s->samples[first + i] * s->samples[first + i];
    return sum / (double)n;
}

void bm_sound_trim(bm_sound *s, int64_t block, double db)
{
    double loudest = 0;
    int64_t first = 0, last = (s->count - 1) / block;
    for (int64_t i = 0; i < s->count; i += block) loudest = fmax(loudest, mean_square(s, i, block));
    const double least = loudest * pow(10, -db / 10);
    while (first < last && mean_square(s, first * block, block) < least) first++;
    while (last > first && mean_square(s, last * block, block) < least) last--;
    if ((last + 1) * block < s->count) s->count = (last + 1) * block;
    s->count -= first * block;
    memmove(s->samples, s->samples + first * block, (size_t)s->count * sizeof *s->samples);
}
