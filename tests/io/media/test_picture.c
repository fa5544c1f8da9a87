/* Pictures against Pillow (tests/fixtures/make_media_fixture.py), each cut at every length and with bytes turned; limits. */
#include "io/media/picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tests/lib/fixture.h"
#include "tests/lib/packed.h"
#include "tests/lib/test.h"

/* A dataset of media.h5 as bytes; free(). */
static unsigned char *bytes_of(int64_t *n, const char *group, const char *name, const char *dataset)
{
    char path[128];
    snprintf(path, sizeof path, "/%s%s%s%s%s", group, *name ? "/" : "", name, *dataset ? "/" : "", dataset);
    double *x = fixture_read(n, "media.h5", path);
    unsigned char *bytes = malloc((size_t)*n + 1);
    ck_assert_ptr_nonnull(bytes);
    for (int64_t i = 0; i < *n; i++) bytes[i] = (unsigned char)x[i];
    free(x);
    return bytes;
}

static const struct {
    const char *name;
    int64_t height, width, channels;
} pictures[] = {
    {"png_rgb", 19, 23, 3}, {"png_grey", 17, 13, 1}, {"png_bit", 17, 13, 1}, {"png_palette", 19, 23, 3},
    {"png_palette_clear", 19, 23, 3}, {"png_alpha", 11, 12, 3}, {"png_grey_alpha", 11, 12, 1}, {"png_16_bits", 7, 9, 3},
    {"png_interlaced", 10, 11, 3}, {"jpeg_rgb", 19, 23, 3}, {"jpeg_grey", 17, 13, 1}, {"jpeg_progressive", 19, 23, 3},
};
#define N_PICTURES (sizeof pictures / sizeof *pictures)

START_TEST(pixels_are_those_of_pillow)
{
    int64_t bytes, n;
    unsigned char *file = bytes_of(&bytes, "pictures", pictures[_i].name, "file");
    unsigned char *pixels = bytes_of(&n, "pictures", pictures[_i].name, "pixels");
    bm_picture p;
    test_ok(bm_picture_read(&p, file_of("picture", file, (size_t)bytes), NULL));
    ck_assert(p.height == pictures[_i].height && p.width == pictures[_i].width && p.channels == pictures[_i].channels);
    ck_assert_int_eq(n, p.height * p.width * p.channels);
    ck_assert_mem_eq(p.pixels, pixels, (size_t)n);
    bm_picture_finish(&p);
    free(file);
    free(pixels);
}
END_TEST

START_TEST(channels_can_be_asked_for)
{
    int64_t bytes, n;
    unsigned char *file = bytes_of(&bytes, "pictures", pictures[_i].name, "file");
    unsigned char *pixels = bytes_of(&n, "pictures", pictures[_i].name, "pixels");
    bm_picture_opts o = bm_picture_opts_default();
    bm_picture p;
    for (o.channels = 1; o.channels <= 3; o.channels += 2) {
        test_ok(bm_picture_decode(&p, file, (size_t)bytes, "picture", &o));
        ck_assert_int_eq(p.channels, o.channels);
        for (int64_t i = 0; i < p.height * p.width; i++) {
            const int64_t from = pictures[_i].channels;
            const unsigned char *x = pixels + i * from;
            for (int64_t c = 0; c < o.channels; c++) {
                double want = o.channels == 3 || from == 1 ? x[from == 3 ? c : 0] : 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2];
                test_that(want - p.pixels[i * o.channels + c] < 0.51 && p.pixels[i * o.channels + c] - want < 0.51, "pixel %d", (int)i);
            }
        }
        bm_picture_finish(&p);
    }
    o.channels = 2;
    test_fails(bm_picture_decode(&p, file, (size_t)bytes, "picture", &o), BM_ERR_USAGE, "1 or 3 channels");
    free(file);
    free(pixels);
}
END_TEST

START_TEST(what_is_cut_or_turned_is_seen)
{
    int64_t bytes;
    unsigned char *file = bytes_of(&bytes, "pictures", pictures[_i].name, "file");
    const int is_png = file[0] == 0x89;
    const int64_t live = bm_mem_get_stats().live;
    bm_picture p;
    for (int64_t cut = 4; cut < bytes; cut++) {
        unsigned char *part = malloc((size_t)cut); /* of that size, so that the sanitizer sees a read beyond it */
        memcpy(part, file, (size_t)cut);
        bm_status s = bm_picture_decode(&p, part, (size_t)cut, "part", NULL);
        ck_assert_msg(s == BM_ERR_DAMAGED, "cut at %d of %d: %s", (int)cut, (int)bytes, bm_status_name(s));
        ck_assert_ptr_null(p.pixels);
        free(part);
    }
    for (int64_t at = 8; at < bytes; at++) { /* a PNG has check sums over all but its signature */
        file[at] ^= 0x10;
        bm_status s = bm_picture_decode(&p, file, (size_t)bytes, "turned", NULL);
        ck_assert_msg(s || !is_png, "byte %d turned", (int)at);
        bm_picture_finish(&p);
        file[at] ^= 0x10;
    }
    ck_assert_int_eq(bm_mem_get_stats().live, live);
    free(file);
}
END_TEST

START_TEST(sizes_are_checked_before_anything_is_allocated)
{
    int64_t bytes;
    bm_picture_opts o = bm_picture_opts_default();
    bm_picture p;
    unsigned char *jpeg = bytes_of(&bytes, "pictures", "jpeg_rgb", "file");
    o.most_pixels = 19 * 23;
    test_ok(bm_picture_decode(&p, jpeg, (size_t)bytes, "x", &o));
    bm_picture_finish(&p);
    o.most_pixels--;
    test_fails(bm_picture_decode(&p, jpeg, (size_t)bytes, "some.jpg", &o), BM_ERR_REFUSED, "some.jpg: 23 x 19 pixels; at most 436");
    /* the header of openclipart's 20990 x 29700 */
    static const unsigned char png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0x51, 0xfe,
                                        0, 0, 0x74, 4, 8, 6, 0, 0, 0, 0x0f, 0x88, 0x74, 0xf2, 0, 0, 0, 1, 'I', 'D', 'A', 'T'};
    test_fails(bm_picture_decode(&p, png, sizeof png, "huge.png", NULL), BM_ERR_REFUSED, "huge.png: 20990 x 29700 pixels");
    o = bm_picture_opts_default();
    o.most_bytes = bytes - 1;
    test_fails(bm_picture_read(&p, file_of("large.jpg", jpeg, (size_t)bytes), &o), BM_ERR_IO, "more than the 929");
    free(jpeg);
}
END_TEST

START_TEST(other_formats_are_refused)
{
    int64_t bytes;
    unsigned char *cmyk = bytes_of(&bytes, "cmyk", "", "");
    bm_picture p;
    test_fails(bm_picture_decode(&p, cmyk, (size_t)bytes, "print.jpg", NULL), BM_ERR_UNSUPPORTED, "print.jpg: JPEG: colours of print");
    test_fails(bm_picture_decode(&p, "GIF89a", 6, "x.gif", NULL), BM_ERR_UNSUPPORTED, "x.gif: neither PNG nor JPEG");
    test_fails(bm_picture_decode(&p, "", 0, "empty", NULL), BM_ERR_UNSUPPORTED, "neither");
    test_fails(bm_picture_read(&p, test_path("none.png"), NULL), BM_ERR_NOT_FOUND, "none.png");
    free(cmyk);
}
END_TEST

static const struct {
    const char *name;
    int64_t height, width, channels, new_height, new_width;
} sizes[] = {
    {"down", 37, 41, 3, 8, 8}, {"up", 5, 7, 1, 28, 28}, {"both", 9, 50, 3, 20, 20},
    {"same", 12, 12, 1, 12, 12}, {"crop_wide", 20, 61, 3, 16, 16}, {"crop_tall", 63, 20, 1, 10, 15},
};

START_TEST(sizes_change_as_in_pillow)
{
    char group[64];
    int64_t n;
    unsigned char *out = bytes_of(&n, "resize", sizes[_i].name, "out");
    bm_picture p = {sizes[_i].height, sizes[_i].width, sizes[_i].channels, bytes_of(&n, "resize", sizes[_i].name, "in")}, q;
    snprintf(group, sizeof group, "/resize/%s", sizes[_i].name);
    ck_assert_int_eq(n, p.height * p.width * p.channels);
    test_ok(bm_picture_resize(&q, &p, sizes[_i].new_height, sizes[_i].new_width, (int)fixture_attribute("media.h5", group, "crop")));
    ck_assert(q.height == sizes[_i].new_height && q.width == sizes[_i].new_width && q.channels == p.channels);
    ck_assert_mem_eq(q.pixels, out, (size_t)(q.height * q.width * q.channels));
    bm_picture_finish(&q);
    test_fails(bm_picture_resize(&q, &p, 0, 5, 0), BM_ERR_USAGE, "5 x 0");
    free(p.pixels);
    free(out);
}
END_TEST

static bm_status read_and_resize(void *path)
{
    bm_picture p, q = {0};
    bm_status status = bm_picture_read(&p, path, NULL);
    if (!status) status = bm_picture_resize(&q, &p, 4, 40, 0);
    bm_picture_finish(&p);
    bm_picture_finish(&q);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    int64_t bytes;
    unsigned char *file = bytes_of(&bytes, "pictures", pictures[_i].name, "file");
    test_fail_allocations(read_and_resize, (void *)file_of("memory", file, (size_t)bytes));
    free(file);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("picture");
    TCase *t = tcase_create("picture");
    tcase_add_loop_test(t, pixels_are_those_of_pillow, 0, N_PICTURES);
    tcase_add_loop_test(t, channels_can_be_asked_for, 0, N_PICTURES);
    tcase_add_loop_test(t, what_is_cut_or_turned_is_seen, 0, N_PICTURES);
    tcase_add_test(t, sizes_are_checked_before_anything_is_allocated);
    tcase_add_test(t, other_formats_are_refused);
    tcase_add_loop_test(t, sizes_change_as_in_pillow, 0, sizeof sizes / sizeof *sizes);
    tcase_add_loop_test(t, failing_memory_is_reported_and_nothing_leaks, 0, N_PICTURES);
    suite_add_tcase(s, t);
    return test_run(s);
}
