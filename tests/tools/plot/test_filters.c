/* plot --filters: pixels against the weights that a checkpoint was made with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/media/picture.h"
#include "io/store/checkpoint.h"
#include "tests/lib/test.h"
#include "tools/plot/plot.h"

static double weight(int64_t param, int64_t i) { return param ? 1 : sin(0.7 * (double)i) * (1 + (double)(i % 5)); }

static bm_status fill(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    (void)user;
    for (int64_t i = 0; i < count; i++) ((float *)data)[i] = (float)weight(t->param, first + i);
    return BM_OK;
}

/* A checkpoint with a first layer of this shape, and a head. */
static const char *make(const char *name, const char *config, const char *layer, bm_shape shape)
{
    bm_ckpt_param param[2] = {{layer, BM_F32, shape, "weight", 1, NULL}, {"zhead/weight", BM_F32, {2, {3, 5}}, "weight", 1, NULL}};
    bm_ckpt_desc d = bm_ckpt_desc_default();
    d.config_json = config;
    d.provenance_json = "{}";
    d.param = param;
    d.params = 2;
    d.state.dataset_uuid = "";
    bm_ckpt_write_opts o = bm_ckpt_write_opts_default();
    o.replace = 1;
    test_ok(bm_checkpoint_write(NULL, test_path(name), &d, fill, NULL, &o));
    return test_path(name);
}

static bm_picture draw(const char *ckpt, const char *name)
{
    bm_picture out;
    const char *path[] = {ckpt, name};
    const bm_plot p = {.path = path, .paths = name ? 2 : 1, .output = test_path("f.png")};
    test_ok(bm_plot_filters(&p));
    test_ok(bm_picture_read(&out, p.output, &(bm_picture_opts){.channels = 3, .most_pixels = 1 << 24, .most_bytes = 1 << 24}));
    return out;
}

static const uint8_t *pixel(const bm_picture *p, int64_t x, int64_t y) { return p->pixels + (y * p->width + x) * 3; }

START_TEST(one_channel_is_blue_and_red)
{
    /* 5 filters of 4 x 6 (height, width): scale 64 / 6 = 10, across ceil(sqrt(5 4 / 6)) = 2 */
    const char *ckpt = make("grey.h5", "{\"model\": {\"input\": [8, 9, 1]}}", "conv0/weight", (bm_shape){4, {5, 4, 6, 1}});
    bm_picture p = draw(ckpt, NULL);
    ck_assert_int_eq(p.width, 2 * (60 + 4) + 4);
    ck_assert_int_eq(p.height, 3 * (40 + 4) + 4);
    for (int64_t k = 0; k < 5; k++) {
        double most = 0;
        for (int64_t i = 0; i < 24; i++) most = fmax(most, fabs(weight(0, k * 24 + i)));
        for (int64_t i = 0; i < 24; i++) {
            const double v = weight(0, k * 24 + i) / most;
            const uint8_t *at = pixel(&p, 4 + k % 2 * 64 + i % 6 * 10 + 5, 4 + k / 2 * 44 + i / 6 * 10 + 5);
            ck_assert_msg(v > 0 ? at[0] >= at[2] : at[2] >= at[0], "filter %lld, element %lld: %g is %d %d %d", (long long)k, (long long)i, v,
                          at[0], at[1], at[2]);
            /* green falls from 255 to 0x66 and to 0x18 */
            ck_assert_int_le(abs(at[1] - (int)lround(255 - fabs(v) * (v < 0 ? 255 - 0x66 : 255 - 0x18))), 1);
        }
    }
    ck_assert_int_eq(pixel(&p, 1, 1)[0], 0xdd);
    ck_assert_int_eq(pixel(&p, p.width - 10, p.height - 10)[0], 0xdd); /* there is no sixth filter */
    bm_picture_finish(&p);
}
END_TEST

START_TEST(three_channels_are_colours)
{
    const char *ckpt = make("rgb.h5", "{\"model\": {\"input\": [32, 32, 3]}}", "stem/conv/weight", (bm_shape){4, {4, 3, 3, 3}});
    bm_picture p = draw(ckpt, "stem/conv/weight");
    ck_assert_int_eq(p.width, 2 * (63 + 4) + 4);
    double most = 0;
    for (int64_t i = 0; i < 27; i++) most = fmax(most, fabs(weight(0, 27 + i)));
    for (int64_t i = 0; i < 9; i++)
        for (int64_t d = 0; d < 3; d++) {
            const int due = (int)lround(127.5 + 127.5 * weight(0, 27 + i * 3 + d) / most);
            ck_assert_int_le(abs(pixel(&p, 4 + 67 + i % 3 * 21 + 9, 4 + i / 3 * 21 + 9)[d] - due), 1);
        }
    bm_picture_finish(&p);
}
END_TEST

START_TEST(rows_are_pictures_where_the_input_is_one)
{
    const char *ckpt = make("rows.h5", "{\"model\": {\"input\": [4, 6]}}", "layer0/weight", (bm_shape){2, {5, 24}});
    bm_picture p = draw(ckpt, NULL), same = draw(make("grey.h5", "{\"model\": {\"input\": [8, 9, 1]}}", "conv0/weight", (bm_shape){4, {5, 4, 6, 1}}), NULL);
    ck_assert_int_eq(p.width, same.width);
    ck_assert_int_eq(p.height, same.height);
    ck_assert_mem_eq(p.pixels, same.pixels, (size_t)(p.width * p.height * 3));
    bm_picture_finish(&p);
    bm_picture_finish(&same);
}
END_TEST

START_TEST(what_reads_no_pictures_is_refused)
{
    const char *path[] = {make("table.h5", "{\"model\": {\"input\": [24]}}", "layer0/weight", (bm_shape){2, {5, 24}}), "layer0/weight"};
    bm_plot p = {.path = path, .paths = 1, .output = test_path("none.png")};
    test_fails(bm_plot_filters(&p), BM_ERR_REFUSED, "no tensor reads pictures");
    p.paths = 2;
    test_fails(bm_plot_filters(&p), BM_ERR_REFUSED, "layer0/weight reads no pictures");
    path[1] = "layer9/weight";
    test_fails(bm_plot_filters(&p), BM_ERR_NOT_FOUND, "layer9/weight");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("filters");
    TCase *t = tcase_create("filters");
    tcase_add_test(t, one_channel_is_blue_and_red);
    tcase_add_test(t, three_channels_are_colours);
    tcase_add_test(t, rows_are_pictures_where_the_input_is_one);
    tcase_add_test(t, what_reads_no_pictures_is_refused);
    suite_add_tcase(s, t);
    return test_run(s);
}
