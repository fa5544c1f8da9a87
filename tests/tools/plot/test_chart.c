/* Ticks, means, extents, and charts as text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"
#include "tools/plot/chart.h"

START_TEST(ticks_are_round_and_within)
{
    static const struct {
        double low, high;
        int log, most, n;
        double due[8];
    } cases[] = {
        {0, 1, 0, 5, 6, {0, 0.2, 0.4, 0.6, 0.8, 1}}, {-0.31, 0.29, 0, 3, 3, {-0.2, 0, 0.2}},  {3, 997, 0, 4, 3, {0, 500}},
        {1e-4, 1e-1, 1, 4, 4, {1e-4, 1e-3, 1e-2, 0.1}}, {0.9, 110, 1, 8, 7, {1, 2, 5, 10, 20, 50, 100}}, {2, 4, 1, 4, 5, {2, 2.5, 3, 3.5, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double t[BM_TICKS];
        const int n = bm_chart_ticks(t, cases[i].low, cases[i].high, cases[i].log, cases[i].most);
        if (i == 2) { /* 500 alone */
            ck_assert_int_eq(n, 1);
            ck_assert(fabs(t[0] - 500) < 1e-9);
            continue;
        }
        ck_assert_msg(n == cases[i].n, "case %zu: %d ticks", i, n);
        for (int k = 0; k < n; k++) ck_assert_msg(fabs(t[k] - cases[i].due[k]) <= 1e-9 * (1 + fabs(t[k])), "case %zu: %g", i, t[k]);
    }
    double t[BM_TICKS];
    ck_assert_int_le(bm_chart_ticks(t, 1e-300, 1e300, 1, 9), BM_TICKS);
    char text[BM_TICK_TEXT];
    ck_assert_str_eq(bm_tick_text(text, 0.0025), "0.0025");
    ck_assert_str_eq(bm_tick_text(text, 99999), "99999");
    ck_assert_str_eq(bm_tick_text(text, 1.5e6), "1.5M");
    ck_assert_str_eq(bm_tick_text(text, -2e5), "-200k");
}
END_TEST

START_TEST(means_keep_what_few_points_say)
{
    bm_chart *c = bm_chart_create("");
    bm_panel *p = bm_chart_panel(c, "x", "y");
    bm_line *l = bm_panel_line(p, "", BM_MARK_LINE, 0);
    for (int i = 0; i < 4; i++) bm_line_add(p, l, i, i == 2 ? NAN : 10 * i);
    bm_line_thin(l, 4);
    ck_assert_int_eq(l->n, 3);
    ck_assert(l->x[2] == 3 && l->y[2] == 30);
    for (int i = 4; i < 9; i++) bm_line_add(p, l, i, 10 * i); /* 0 1 | 3 4 | 5 6 | 7 8 */
    bm_line_thin(l, 4);
    ck_assert_int_eq(l->n, 4);
    ck_assert(l->x[0] == 0.5 && l->y[0] == 5 && l->x[1] == 3.5 && l->y[3] == 75);
    bm_line_add(p, l, 0, 0);
    bm_extent e;
    ck_assert(bm_panel_extent(&e, p) && e.x0 == 0 && e.x1 == 7.5 && e.y0 == 0 && e.y1 == 75);
    p->log_y = 1; /* 0 cannot be drawn */
    ck_assert(bm_panel_extent(&e, p) && e.x0 == 0.5 && e.y0 == 5);
    bm_chart_destroy(c);
}
END_TEST

/* A falling line with a point in the middle. */
static bm_chart *example(void)
{
    bm_chart *c = bm_chart_create("a\033[31mb");
    bm_panel *p = bm_chart_panel(c, "step", "loss");
    bm_line *fall = bm_panel_line(p, "fall", BM_MARK_LINE, 0), *dot = bm_panel_line(p, "dot", BM_MARK_DOTS, 1);
    for (int i = 0; i <= 30; i++) bm_line_add(p, fall, i, 30 - i);
    bm_line_add(p, dot, 15, 30);
    if (c) {
        c->width = 41; /* 31 columns for the plot */
        c->height = 7;
    }
    return c;
}

static void print(char *out, size_t bytes, bm_chart *c, int unicode)
{
    FILE *f = tmpfile();
    ck_assert_ptr_nonnull(f);
    test_ok(bm_chart_print(c, f, unicode));
    rewind(f);
    out[fread(out, 1, bytes - 1, f)] = 0;
    fclose(f);
}

START_TEST(text_in_ascii)
{
    char out[4096];
    bm_chart *c = example();
    print(out, sizeof out, c, 0);
    ck_assert_str_eq(out, "          a\\x1b[31mb\n"
                          "          loss\n"
                          "      30 |aaa            B\n"
                          "         |   aaaaa\n"
                          "      20 |        aaaaa\n"
                          "         |             aaaaa\n"
                          "      10 |                  aaaaa\n"
                          "         |                       aaaaa\n"
                          "       0 |                            aaa\n"
                          "         +-------------------------------\n"
                          "          0        10        20        30\n"
                          "                       step\n"
                          "          a fall   B dot   \n");
    bm_chart_destroy(c);
}
END_TEST

START_TEST(text_in_braille)
{
    char out[4096];
    bm_chart *c = example();
    print(out, sizeof out, c, 1);
    test_text_holds(out, "      30 \xe2\x94\xa4\xe2\xa0\x91\xe2\xa0\xa2\xe2\xa2\x84");
    test_text_holds(out, "\xe2\x97\x8f\n");                                         /* the dot */
    test_text_holds(out, "       0 \xe2\x94\xa4");
    test_text_holds(out, "\xe2\x94\x94\xe2\x94\x80\xe2\x94\x80");
    ck_assert_ptr_null(strchr(out, '\033'));
    bm_chart_destroy(c);
}
END_TEST

START_TEST(nothing_and_words_are_drawn)
{
    char out[4096];
    bm_chart *c = bm_chart_create("");
    bm_chart_panel(c, "x", "empty");
    bm_panel *p = bm_chart_panel(c, "optimizer", "loss");
    bm_panel_word(p, "adam");
    bm_panel_word(p, "sgd");
    bm_line *l = bm_panel_line(p, "", BM_MARK_DOTS, 0);
    bm_line_add(p, l, 0, 1);
    bm_line_add(p, l, 1, NAN);
    c->width = 50;
    print(out, sizeof out, c, 0);
    test_text_holds(out, "(nothing to draw)");
    test_text_holds(out, "adam");
    test_text_holds(out, "sgd");
    bm_chart_destroy(c);
}
END_TEST

static bm_status build_and_print(void *arg)
{
    bm_chart *c = example();
    bm_status status = bm_chart_print(c, arg, 1);
    bm_chart_destroy(c);
    return status;
}

START_TEST(no_memory)
{
    FILE *f = fopen("/dev/null", "w");
    test_fail_allocations(build_and_print, f);
    fclose(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chart");
    TCase *t = tcase_create("chart");
    tcase_add_test(t, ticks_are_round_and_within);
    tcase_add_test(t, means_keep_what_few_points_say);
    tcase_add_test(t, text_in_ascii);
    tcase_add_test(t, text_in_braille);
    tcase_add_test(t, nothing_and_words_are_drawn);
    tcase_add_test(t, no_memory);
    suite_add_tcase(s, t);
    return test_run(s);
}
