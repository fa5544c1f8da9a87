#include "models/infer/sampler.h"

#include <math.h>

#include "tests/lib/test.h"

#define V 5
static const float logits[V] = {1.0f, 3.0f, 2.0f, -1.0f, 3.0f};

static int64_t pick(const bm_sampler_opts *o, int64_t n)
{
    bm_sampler *s = NULL;
    int64_t id = -1;
    test_ok(bm_sampler_create(&s, V, o));
    test_ok(bm_sampler_pick(&id, s, logits, n));
    bm_sampler_destroy(s);
    return id;
}

START_TEST(temperature_zero_takes_the_first_of_the_largest)
{
    bm_sampler_opts o = bm_sampler_opts_default();
    o.temperature = 0;
    for (int64_t n = 0; n < 20; n++) ck_assert_int_eq(pick(&o, n), 1);
    o.banned = 1;
    ck_assert_int_eq(pick(&o, 0), 4);
}
END_TEST

START_TEST(a_draw_depends_on_seed_and_position_alone)
{
    bm_sampler_opts o = bm_sampler_opts_default();
    int differs = 0;
    for (int64_t n = 0; n < 50; n++) ck_assert_int_eq(pick(&o, n), pick(&o, n));
    bm_sampler_opts other = o;
    other.seed = 2;
    for (int64_t n = 0; n < 50; n++) differs |= pick(&o, n) != pick(&other, n);
    ck_assert(differs);
}
END_TEST

/* Frequencies of 20,000 draws against softmax(logits / temperature), within five standard deviations. */
START_TEST(draws_follow_the_softmax)
{
    enum { N = 20000 };
    bm_sampler_opts o = bm_sampler_opts_default();
    o.temperature = 0.7;
    int64_t count[V] = {0};
    double all = 0;
    bm_sampler *s = NULL;
    test_ok(bm_sampler_create(&s, V, &o));
    for (int64_t n = 0; n < N; n++) {
        int64_t id;
        test_ok(bm_sampler_pick(&id, s, logits, n));
        count[id]++;
    }
    bm_sampler_destroy(s);
    for (int i = 0; i < V; i++) all += exp(logits[i] / 0.7);
    for (int i = 0; i < V; i++) {
        double p = exp(logits[i] / 0.7) / all;
        ck_assert_double_eq_tol((double)count[i] / N, p, 5 * sqrt(p * (1 - p) / N));
    }
}
END_TEST

/* Probabilities are 0.0537, 0.3966, 0.1459, 0.0073, 0.3966: ranks 1, 4, 2, 0, 3. */
START_TEST(top_k_and_top_p_keep_the_likeliest)
{
    bm_sampler_opts k = bm_sampler_opts_default(), p = k, both = k;
    k.top_k = 3;
    p.top_p = 0.9;
    both.top_k = 4;
    both.top_p = 0.35;
    int seen2 = 0;
    for (int64_t n = 0; n < 500; n++) {
        int64_t id = pick(&k, n);
        ck_assert(id == 1 || id == 4 || id == 2);
        id = pick(&p, n);
        ck_assert(id == 1 || id == 4 || id == 2);
        seen2 |= id == 2;
        ck_assert_int_eq(pick(&both, n), 1);
    }
    ck_assert(seen2);
}
END_TEST

START_TEST(the_banned_id_is_never_drawn)
{
    bm_sampler_opts o = bm_sampler_opts_default();
    o.banned = 4;
    o.temperature = 100;
    for (int64_t n = 0; n < 500; n++) ck_assert_int_ne(pick(&o, n), 4);
}
END_TEST

START_TEST(options_out_of_range_and_broken_logits_are_refused)
{
    bm_sampler *s = NULL;
    bm_sampler_opts o = bm_sampler_opts_default();
    o.temperature = -1;
    test_fails(bm_sampler_create(&s, V, &o), BM_ERR_USAGE, "temperature");
    o = bm_sampler_opts_default();
    o.top_p = 0;
    test_fails(bm_sampler_create(&s, V, &o), BM_ERR_USAGE, "top-p");
    o = bm_sampler_opts_default();
    o.top_k = -3;
    test_fails(bm_sampler_create(&s, V, &o), BM_ERR_USAGE, "top-k");
    o = bm_sampler_opts_default();
    test_ok(bm_sampler_create(&s, V, &o));
    const float bad[V] = {0, NAN, 0, 0, 0}, none[V] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    int64_t id;
    test_fails(bm_sampler_pick(&id, s, bad, 0), BM_ERR_NOT_FINITE, "not finite");
    test_fails(bm_sampler_pick(&id, s, none, 0), BM_ERR_NOT_FINITE, "not finite");
    bm_sampler_destroy(s);
}
END_TEST

static bm_status create(void *arg)
{
    bm_sampler *s;
    bm_sampler_opts o = bm_sampler_opts_default();
    (void)arg;
    BM_TRY(bm_sampler_create(&s, V, &o));
    bm_sampler_destroy(s);
    return BM_OK;
}

START_TEST(a_sampler_survives_failing_allocations)
{
    test_fail_allocations(create, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/infer/sampler");
    TCase *t = tcase_create("sampler");
    tcase_add_test(t, temperature_zero_takes_the_first_of_the_largest);
    tcase_add_test(t, a_draw_depends_on_seed_and_position_alone);
    tcase_add_test(t, draws_follow_the_softmax);
    tcase_add_test(t, top_k_and_top_p_keep_the_likeliest);
    tcase_add_test(t, the_banned_id_is_never_drawn);
    tcase_add_test(t, options_out_of_range_and_broken_logits_are_refused);
    tcase_add_test(t, a_sampler_survives_failing_allocations);
    suite_add_tcase(s, t);
    return test_run(s);
}
