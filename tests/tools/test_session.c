#include "tools/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device/device.h"
#include "tests/lib/test.h"
#include "tools/bench_device.h"

/* A session with a cache of this test's own, in which no rate is kept. */
static void open_session(bm_session *s, const char *cache)
{
    const bm_session_opts o = {.device = NULL};
    setenv("BM_CACHE_DIR", test_path(cache), 1);
    test_ok(bm_session_open(s, &o));
    char name[200];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/gemm-rate-%s%s.txt", cache, i ? "bf16-" : "", bm_engine_key(s->engine));
        unlink(test_path(name));
    }
}

static const bm_device *device_of(const bm_session *s)
{
    char key[33];
    for (int i = 0; i < bm_device_list_count(s->list); i++) {
        const bm_device *d = bm_device_list_at(s->list, i);
        if (!bm_device_key(key, d) && !strcmp(key, bm_engine_key(s->engine))) return d;
    }
    ck_abort_msg("the session's device is not in its list");
    return NULL;
}

START_TEST(rates_are_kept_apart_by_type)
{
    bm_session s;
    char name[200];
    open_session(&s, "apart");
    const bm_device *d = device_of(&s);
    ck_assert(bm_session_kept_gemm(d, BM_F32) == 0);
    bm_session_keep_gemm(&s, BM_F32, 1.5e11);
    ck_assert(bm_session_kept_gemm(d, BM_F32) == 1.5e11);
    ck_assert(bm_session_kept_gemm(d, BM_BF16) == 0);
    bm_session_keep_gemm(&s, BM_BF16, 4e11);
    bm_session_keep_gemm(&s, BM_BF16, 0); /* nothing was measured */
    ck_assert(bm_session_kept_gemm(d, BM_F32) == 1.5e11);
    ck_assert(bm_session_kept_gemm(d, BM_BF16) == 4e11);
    ck_assert(bm_session_gemm_flops(&s, BM_F32) == 1.5e11);
    ck_assert(bm_session_gemm_flops(&s, BM_BF16) == 4e11);
    snprintf(name, sizeof name, "apart/gemm-rate-%s.txt", bm_engine_key(s.engine));
    ck_assert(!access(test_path(name), R_OK));
    snprintf(name, sizeof name, "apart/gemm-rate-bf16-%s.txt", bm_engine_key(s.engine));
    ck_assert(!access(test_path(name), R_OK));
    bm_session_close(&s);
}
END_TEST

START_TEST(a_rate_that_is_not_kept_is_measured_and_kept)
{
    static const bm_dtype types[] = {BM_BF16, BM_F32};
    bm_session s;
    open_session(&s, "measured");
    for (int i = 0; i < 2; i++) {
        const double rate = bm_session_gemm_flops(&s, types[i]);
        ck_assert(isfinite(rate) && rate > 0);
        ck_assert_double_eq_tol(bm_session_kept_gemm(device_of(&s), types[i]), rate, 1e-5 * rate);
    }
    bm_session_close(&s);
}
END_TEST

START_TEST(bandwidth_is_measured_in_three_ways)
{
    bm_session s;
    bm_bandwidth b;
    open_session(&s, "bandwidth");
    test_ok(bm_bench_bandwidth(&b, s.engine, 4 * 100003));
    ck_assert(isfinite(b.read) && b.read > 0);
    ck_assert(isfinite(b.write) && b.write > 0);
    ck_assert(isfinite(b.copy) && b.copy > 0);
    bm_session_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tools/session");
    TCase *t = tcase_create("session");
    tcase_add_test(t, rates_are_kept_apart_by_type);
    tcase_add_test(t, a_rate_that_is_not_kept_is_measured_and_kept);
    tcase_add_test(t, bandwidth_is_measured_in_three_ways);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
