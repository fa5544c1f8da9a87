/* Sound: a WAV written down byte by byte, the other formats through libsndfile, resampling against the sine that it should be. */
#include "io/media/sound.h"

#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/lib/packed.h"
#include "tests/lib/test.h"

static const double pi = 3.14159265358979323846;

/* 3 frames of 2 channels, 16 bits, 8 kHz */
static const unsigned char wav[] = {'R', 'I', 'F', 'F', 48, 0, 0, 0, 'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16, 0, 0, 0, 1, 0, 2, 0,
                                    0x40, 0x1f, 0, 0, 0, 0x7d, 0, 0, 4, 0, 16, 0, 'd', 'a', 't', 'a', 12, 0, 0, 0,
                                    0, 0x40, 0, 0, 0, 0x80, 0, 0x80, 0, 0x20, 0, 0x60};

START_TEST(channels_are_averaged)
{
    bm_sound s;
    test_ok(bm_sound_read(&s, file_of("two.wav", wav, sizeof wav), NULL));
    ck_assert(s.count == 3 && s.rate == 8000);
    ck_assert(s.samples[0] == 0.25f && s.samples[1] == -1 && s.samples[2] == 0.5f);
    bm_sound_finish(&s);
}
END_TEST

START_TEST(what_is_cut_is_refused)
{
    bm_sound s;
    for (size_t cut = 0; cut < sizeof wav; cut++) {
        bm_status status = bm_sound_read(&s, file_of("cut.wav", wav, cut), NULL);
        ck_assert_msg(status == BM_ERR_DAMAGED || (status == BM_ERR_UNSUPPORTED && cut < 12), "cut at %zu: %s", cut, bm_status_name(status));
        ck_assert_ptr_null(s.samples);
    }
    test_fails(bm_sound_read(&s, file_of("cut.wav", wav, 50), NULL), BM_ERR_DAMAGED, "cut.wav: cut off: 50 bytes, where its header says 56");
}
END_TEST

START_TEST(other_files_are_refused)
{
    bm_sound s;
    bm_sound_opts o = bm_sound_opts_default();
    test_fails(bm_sound_read(&s, text_file("x.wav", "no sound at all, only text"), NULL), BM_ERR_UNSUPPORTED, "x.wav: no sound file");
    test_fails(bm_sound_read(&s, test_path("none.wav"), NULL), BM_ERR_NOT_FOUND, "none.wav");
    test_fails(bm_sound_read(&s, test_folder(), NULL), BM_ERR_REFUSED, "not a regular file");
    o.most_s = 2.0 / 8000;
    test_fails(bm_sound_read(&s, file_of("long.wav", wav, sizeof wav), &o), BM_ERR_REFUSED, "at most 0.0 s are read");
}
END_TEST

/* One second of a sine. */
static const char *sine_file(const char *name, int format, int rate, double hz)
{
    const char *path = test_path(name);
    SF_INFO info = {.samplerate = rate, .channels = 1, .format = format};
    float *x = malloc((size_t)rate * sizeof *x);
    for (int i = 0; i < rate; i++) x[i] = (float)(0.5 * sin(2 * pi * hz * i / rate));
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    ck_assert_msg(f != NULL, "%s", sf_strerror(NULL));
    ck_assert_int_eq(sf_writef_float(f, x, rate), rate);
    sf_close(f);
    free(x);
    return path;
}

/* The worst error against the sine, away from the ends, where a filter sees the signal begin. */
static double error_of(const bm_sound *s, double hz, int64_t margin)
{
    double worst = 0;
    for (int64_t i = margin; i < s->count - margin; i++)
        worst = fmax(worst, fabs(s->samples[i] - 0.5 * sin(2 * pi * hz * (double)i / s->rate)));
    return worst;
}

static const struct {
    const char *name;
    int format;
    double error; /* 16 bits round to 2^-16; Vorbis loses */
} formats[] = {
    {"sine.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 4e-5},
    {"sine.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 4e-5},
    {"sine.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0.05},
};

START_TEST(formats_are_read_and_resampled)
{
    static const int rates[] = {22050, 16000, 44100};
    const char *path = sine_file(formats[_i].name, formats[_i].format, 22050, 440);
    for (int k = 0; k < 3; k++) {
        bm_sound s;
        test_ok(bm_sound_read(&s, path, &(bm_sound_opts){rates[k], 1}));
        ck_assert(s.rate == rates[k] && s.count == rates[k]);
        const double error = error_of(&s, 440, 1000);
        ck_assert_msg(error < formats[_i].error, "%s at %d Hz: %g", formats[_i].name, rates[k], error);
        bm_sound_finish(&s);
    }
}
END_TEST

START_TEST(a_stream_that_ends_early_is_refused)
{
    const char *path = sine_file("whole.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 8000, 440);
    FILE *f = fopen(path, "rb");
    unsigned char bytes[1 << 15];
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    bm_sound s;
    fclose(f);
    ck_assert_uint_gt(n, 1000);
    for (size_t cut = 0; cut < n; cut++) {
        bm_status status = bm_sound_read(&s, file_of("cut.flac", bytes, cut), NULL);
        ck_assert_msg(status == BM_ERR_DAMAGED || (status == BM_ERR_UNSUPPORTED && cut < 100), "cut at %zu: %s", cut, bm_status_name(status));
        ck_assert_ptr_null(s.samples);
    }
}
END_TEST

START_TEST(what_is_beyond_the_new_band_goes)
{
    bm_sound s, t;
    test_ok(bm_sound_read(&s, sine_file("high.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 5000), NULL));
    test_ok(bm_sound_resample(&t, &s, 8000));
    ck_assert_int_eq(t.count, 8000);
    for (int64_t i = 500; i < 7500; i++) test_that(fabsf(t.samples[i]) < 1e-4f, "sample %d: %g", (int)i, (double)t.samples[i]);
    bm_sound_finish(&t);
    test_fails(bm_sound_resample(&t, &s, 50), BM_ERR_USAGE, "from 16000 Hz to 50 Hz");
    test_fails(bm_sound_resample(&t, &s, 0), BM_ERR_USAGE, "not a rate");
    bm_sound_finish(&s);
}
END_TEST

static bm_status read_sound(void *path)
{
    bm_sound s;
    bm_status status = bm_sound_read(&s, path, &(bm_sound_opts){16000, 1});
    bm_sound_finish(&s);
    return status;
}

/* Blocks of 4: noise, noise, 20 dB below the loudest, the loudest, 20 dB below, noise and half a block of it. */
START_TEST(quiet_ends_are_cut)
{
    static const float level[] = {0.001f, 0.002f, 0.05f, -0.5f, 0.05f, 0.001f, 0.001f};
    float x[26];
    for (int i = 0; i < 26; i++) x[i] = level[i / 4];
    for (int i = 0; i < 3; i++) {
        const double db[] = {30, 10, 60};
        const int64_t first[] = {8, 12, 0}, count[] = {12, 4, 26};
        float own[26];
        memcpy(own, x, sizeof x);
        bm_sound s = {own, 26, 8000};
        bm_sound_trim(&s, 4, db[i]);
        ck_assert_int_eq(s.count, count[i]);
        ck_assert(!memcmp(own, x + first[i], (size_t)count[i] * sizeof *own));
    }
    bm_sound silent = {(float[5]){0}, 5, 8000};
    bm_sound_trim(&silent, 2, 30);
    ck_assert_int_eq(silent.count, 5);
}
END_TEST

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    test_fail_allocations(read_sound, (void *)file_of("memory.wav", wav, sizeof wav));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sound");
    TCase *t = tcase_create("sound");
    tcase_add_test(t, channels_are_averaged);
    tcase_add_test(t, what_is_cut_is_refused);
    tcase_add_test(t, other_files_are_refused);
    tcase_add_loop_test(t, formats_are_read_and_resampled, 0, sizeof formats / sizeof *formats);
    tcase_add_test(t, a_stream_that_ends_early_is_refused);
    tcase_add_test(t, what_is_beyond_the_new_band_goes);
    tcase_add_test(t, quiet_ends_are_cut);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
