/* Features against torch.stft and torchaudio's formulas in float64 (tests/fixtures/make_media_fixture.py). */
#include "io/media/features.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/fixture.h"
#include "tests/lib/test.h"

static const char *const names[] = {"logmel", "mfcc", "torchaudio", "slaney", "odd", "levelled"};

static bm_features_opts options(const char *name)
{
    char group[64];
    snprintf(group, sizeof group, "/features/%s", name);
#define GET(key) fixture_attribute("media.h5", group, #key)
    return (bm_features_opts){(int)GET(rate), (int)GET(n_fft), (int)GET(window), (int)GET(hop), (int)GET(mels), (int)GET(mfcc),
                              GET(low), GET(high), GET(scale) ? BM_MEL_SLANEY : BM_MEL_HTK, (int)GET(normalize), GET(top_db), (int)GET(centre)};
#undef GET
}

/* The issue of equality: 1e-4 in each logarithm; a coefficient adds them up with the weights of a unit vector. */
START_TEST(as_torchaudio_has_them)
{
    const bm_features_opts o = options(names[_i]);
    char path[64];
    int64_t n, count;
    snprintf(path, sizeof path, "/features/%s/out", names[_i]);
    double *signal = fixture_read(&n, "media.h5", "/features/signal"), *want = fixture_read(&count, "media.h5", path);
    float *x = malloc((size_t)n * sizeof *x), *got = malloc((size_t)count * sizeof *got);
    bm_features *f;
    for (int64_t i = 0; i < n; i++) x[i] = (float)signal[i];
    test_ok(bm_features_create(&f, &o));
    ck_assert_int_eq(bm_features_width(f), o.mfcc ? o.mfcc : o.mels);
    ck_assert_int_eq(bm_features_frames(f, n) * bm_features_width(f), count);
    test_ok(bm_features_compute(f, got, x, n));
    double worst = 0;
    for (int64_t i = 0; i < count; i++) worst = fmax(worst, fabs(got[i] - want[i]));
    ck_assert_msg(worst < 1e-4, "%s: off by %g", names[_i], worst);
    bm_features_destroy(f);
    free(signal);
    free(want);
    free(x);
    free(got);
}
END_TEST

START_TEST(too_few_samples_are_refused)
{
    static const float x[257] = {0};
    float out[2 * 40];
    bm_features *f;
    test_ok(bm_features_create(&f, NULL));
    ck_assert_int_eq(bm_features_frames(f, 256), 0);
    test_fails(bm_features_compute(f, out, x, 256), BM_ERR_CONFIG, "256 samples are too few for frames of 512 (257 at least)");
    ck_assert_int_eq(bm_features_frames(f, 257), 2);
    test_ok(bm_features_compute(f, out, x, 257));
    for (int i = 0; i < 2 * 40; i++) ck_assert_double_eq_tol(out[i], log(1e-6), 1e-6);
    bm_features_destroy(f);
}
END_TEST

START_TEST(options_that_do_not_fit_are_refused)
{
    bm_features *f;
    for (int i = 0; i < 10; i++) {
        bm_features_opts o = bm_features_opts_default();
        switch (i) {
        case 0: o.n_fft = 511; break;
        case 1: o.n_fft = 1 << 20; break;
        case 2: o.window = 513; break;
        case 3: o.hop = 0; break;
        case 4: o.mels = 0; break;
        case 5: o.mfcc = 41; break;
        case 6: o.high = 8001; break;
        case 7: o.low = 8000; break;
        case 8: o.top_db = -1; break;
        default: o.low = NAN;
        }
        ck_assert_int_eq(bm_features_create(&f, &o), BM_ERR_USAGE);
        ck_assert_ptr_null(f);
    }
}
END_TEST

static bm_status make(void *unused)
{
    bm_features *f;
    (void)unused;
    bm_status status = bm_features_create(&f, NULL);
    bm_features_destroy(f);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks) { test_fail_allocations(make, NULL); }
END_TEST

int main(void)
{
    Suite *s = suite_create("features");
    TCase *t = tcase_create("features");
    tcase_add_loop_test(t, as_torchaudio_has_them, 0, sizeof names / sizeof *names);
    tcase_add_test(t, too_few_samples_are_refused);
    tcase_add_test(t, options_that_do_not_fit_are_refused);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
