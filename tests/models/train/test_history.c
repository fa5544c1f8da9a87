#include "models/train/history.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tests/lib/test.h"

static bm_metrics row(int64_t step)
{
    return (bm_metrics){.step = step, .loss = 2.5 / (double)step, .val_loss = step % 2 ? NAN : 1.25, .lr = 1e-3, .grad_norm = 0.5,
                        .tokens = 100 * step, .tokens_per_s = 1234.5, .ms = 81, .mfu = 0.75, .mem_bytes = 4096};
}

static void assert_file(const char *path, const char *want)
{
    char *text;
    size_t bytes;
    test_ok(bm_file_read(&text, &bytes, path, 1 << 20));
    ck_assert_str_eq(text, want);
    bm_free(text);
}

START_TEST(a_line_has_the_keys_that_scripts_rely_on)
{
    char buf[512];
    bm_metrics m = row(1);
    ck_assert_str_eq(bm_metrics_text(&m, buf, sizeof buf),
                     "{\"step\": 1, \"loss\": 2.5, \"val_loss\": null, \"lr\": 0.001, \"grad_norm\": 0.5, \"tokens\": 100, "
                     "\"tokens_per_s\": 1234.5, \"ms\": 81, \"mfu\": 0.75, \"mem_bytes\": 4096}");
    m.loss = 1.0 / 3;
    m.mfu = NAN;
    bm_metrics_text(&m, buf, sizeof buf);
    test_text_holds(buf, "\"loss\": 0.333333333,");
    test_text_holds(buf, "\"mfu\": null");
}
END_TEST

START_TEST(more_rows_than_the_machine_holds_are_refused)
{
    bm_history *h;
    test_fails(bm_history_create(&h, (int64_t)1 << 58), BM_ERR_MEMORY, "host memory");
    test_fails(bm_history_create(&h, (int64_t)1 << 50), BM_ERR_MEMORY, "the machine has");
    ck_assert_ptr_null(h);
}
END_TEST

/* What a killed run leaves behind: later steps and half a line. */
START_TEST(reopening_cuts_back_to_the_checkpoint)
{
    const char *path = test_path("metrics.jsonl");
    bm_metrics_file *f;
    test_ok(bm_metrics_open(&f, path, 0));
    for (int64_t i = 1; i <= 5; i++) {
        bm_metrics m = row(i);
        test_ok(bm_metrics_write(f, &m));
    }
    bm_metrics_close(f);
    FILE *raw = fopen(path, "a");
    fputs("{\"step\": 6, \"lo", raw);
    fclose(raw);
    test_ok(bm_metrics_open(&f, path, 3));
    bm_metrics m = row(4);
    test_ok(bm_metrics_write(f, &m));
    bm_metrics_close(f);
    char want[2048] = "", line[512];
    for (int64_t i = 1; i <= 4; i++) {
        m = row(i);
        strcat(strcat(want, bm_metrics_text(&m, line, sizeof line)), "\n");
    }
    assert_file(path, want);
    test_ok(bm_metrics_open(&f, path, 4));
    bm_metrics_file *other; /* as a second process would, which would cut it back */
    test_fails(bm_metrics_open(&other, path, 0), BM_ERR_REFUSED, "another process is training this run");
    ck_assert_ptr_null(other);
    assert_file(path, want);
    bm_metrics_close(f);
    test_ok(bm_metrics_open(&f, path, 0));
    bm_metrics_close(f);
    assert_file(path, "");
}
END_TEST

START_TEST(history_goes_through_a_checkpoint_and_back)
{
    bm_history *a, *b;
    bm_ckpt_history va, vb;
    test_ok(bm_history_create(&a, 3));
    test_ok(bm_history_create(&b, 3));
    for (int64_t i = 1; i <= 3; i++) {
        bm_metrics m = row(i);
        test_ok(bm_history_add(a, &m));
    }
    bm_metrics m = row(4);
    test_fails(bm_history_add(a, &m), BM_ERR_USAGE, "3 rows");
    bm_history_view(&va, a);
    test_ok(bm_history_load(b, &va));
    bm_history_view(&vb, b);
    ck_assert_int_eq(vb.rows, 3);
    ck_assert_mem_eq(vb.step, va.step, 3 * sizeof *va.step);
    for (int64_t i = 0; i < va.columns; i++) {
        ck_assert_str_eq(va.column[i].name, vb.column[i].name);
        ck_assert_mem_eq(va.column[i].value, vb.column[i].value, 3 * sizeof(double));
    }
    bm_history_destroy(a);
    test_ok(bm_history_create(&a, 2));
    test_fails(bm_history_load(a, &vb), BM_ERR_REFUSED, "3 rows");
    bm_history_destroy(a);
    bm_history_destroy(b);
}
END_TEST

static bm_status create(void *arg)
{
    bm_history *h;
    (void)arg;
    BM_TRY(bm_history_create(&h, 10));
    bm_history_destroy(h);
    return BM_OK;
}

static bm_status open_file(void *arg)
{
    bm_metrics_file *f;
    BM_TRY(bm_metrics_open(&f, arg, 1));
    bm_metrics_close(f);
    return BM_OK;
}

START_TEST(constructors_survive_failing_allocations)
{
    char path[256];
    snprintf(path, sizeof path, "%s", test_path("m.jsonl"));
    test_fail_allocations(create, NULL);
    test_fail_allocations(open_file, path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("models/train/history");
    TCase *t = tcase_create("history");
    tcase_add_test(t, a_line_has_the_keys_that_scripts_rely_on);
    tcase_add_test(t, reopening_cuts_back_to_the_checkpoint);
    tcase_add_test(t, more_rows_than_the_machine_holds_are_refused);
    tcase_add_test(t, history_goes_through_a_checkpoint_and_back);
    tcase_add_test(t, constructors_survive_failing_allocations);
    suite_add_tcase(s, t);
    return test_run(s);
}
