/* Classes from folders and from tables: the order depends on names alone, and what is wrong is named. */
#include "io/media/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/packed.h"
#include "tests/lib/test.h"

static const char *const endings[] = {".png", ".jpg", NULL};
static const bm_folder_opts pictures = {.endings = endings};

/* A fresh folder with these files (and folders, which end in /); its path. */
static const char *make(const char *name, const char *const *files)
{
    static char root[4096];
    char command[5000], path[512];
    snprintf(root, sizeof root, "%s", test_path(name));
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
    test_ok(bm_folder_create(root));
    for (; *files; files++) {
        snprintf(path, sizeof path, "%s/%s", name, *files);
        char *folder = bm_path_folder(test_path(path));
        test_ok(bm_folder_create(folder));
        bm_free(folder);
        if (path[strlen(path) - 1] == '/') test_ok(bm_folder_create(test_path(path)));
        else text_file(path, "x");
    }
    return root;
}

/* "class: file file | class: ..." with the paths from the root. */
static void check(const bm_folder *f, const char *root, const char *expected)
{
    bm_str s;
    int64_t at = 0;
    bm_str_init(&s);
    for (int64_t k = 0; k < bm_folder_classes(f); k++) {
        bm_str_addf(&s, "%s%s:", k ? " | " : "", bm_folder_class_at(f, k));
        for (; at < bm_folder_count(f) && bm_folder_at(f, at)->label == k; at++)
            bm_str_addf(&s, " %s", bm_folder_at(f, at)->path + strlen(root) + 1);
    }
    ck_assert_int_eq(at, bm_folder_count(f));
    ck_assert_str_eq(bm_str_text(&s), expected);
    bm_str_finish(&s);
}

START_TEST(a_folder_is_a_class)
{
    static const char *const files[] = {"dog/b.png", "dog/a.PNG", "dog/deep/er/c.jpg", "cat/9.jpg", "cat/10.jpg", "cat/note.txt",
                                        "cat/.hidden.png", ".git/x.png", "README", NULL};
    const char *root = make("animals", files);
    bm_folder *f;
    ck_assert_int_eq(symlink("../dog", test_path("animals/cat/loop")), 0);
    test_ok(bm_folder_open(&f, root, &pictures));
    check(f, root, "cat: cat/10.jpg cat/9.jpg | dog: dog/a.PNG dog/b.png dog/deep/er/c.jpg");
    bm_folder_close(f);
}
END_TEST

static const struct {
    const char *files[4];
    const char *words;
} bad[] = {
    {{"a/x.png", "b/", NULL}, "the class \"b\" has no files of the kind"},
    {{"a/x.png", "b/x.gif", NULL}, "the class \"b\" has no files of the kind"},
    {{"a/x.png", "b/x.png", "c.png", NULL}, "c.png: lies in no folder of a class"},
    {{"a/x.png", NULL}, "one class only, \"a\""},
    {{"readme", NULL}, "no classes in it"},
    {{"a/x.png", "\xff/x.png", NULL}, "not UTF-8"},
    {{"a/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/x.png", NULL}, "deeper than 16"},
};

START_TEST(what_is_no_class_is_named)
{
    bm_folder *f;
    test_fails(bm_folder_open(&f, make("bad", bad[_i].files), &pictures), BM_ERR_CONFIG, bad[_i].words);
    ck_assert_ptr_null(f);
}
END_TEST

START_TEST(what_is_no_folder_is_named)
{
    bm_folder *f;
    test_fails(bm_folder_open(&f, test_path("nowhere"), &pictures), BM_ERR_NOT_FOUND, "nowhere: open the folder");
}
END_TEST

static const char *const words[] = {"w/1.wav", "w/2.wav", "w/3.wav", NULL};
static const struct {
    const char *table, *expected, *wrong;
} tables[] = {
    {"file,word\nw/2.wav,yes\nw/1.wav,no\nw/3.wav,yes\n", "no: w/1.wav | yes: w/2.wav w/3.wav", NULL},
    {"w/2.wav,yes\nw/1.wav,no\n", "no: w/1.wav | yes: w/2.wav", NULL}, /* no header, though it could be one */
    {"file,word,voice\nw/2.wav,2,x\nw/1.wav,10,y\n", "10: w/1.wav | 2: w/2.wav", NULL},
    {"file,word\nw/2.wav,yes\nw/4.wav,no\n", NULL, "t.csv:3: there is no file"},
    {"file,word\nw/2.wav,yes\nw,no\n", NULL, "t.csv:3: there is no file"},
    {"file,word\nw/2.wav,yes\nw/1.wav,\n", NULL, "t.csv:3: no class"},
    {"file,word\nw/2.wav,yes\n,no\n", NULL, "t.csv:3: no file"},
    {"file,word\nw/2.wav,yes\nw/1.wav,no\nw/2.wav,no\n", NULL, "stands in line 2 already"},
    {"file,word\nw/2.wav,yes\nw/1.wav,yes\n", NULL, "one class only, \"yes\""},
    {"label,part,file\nyes,train,w/2.wav\nno,train,w/1.wav\n", "no: w/1.wav | yes: w/2.wav", NULL},
    {"file,label,part\nw/2.wav,yes,val\nw/1.wav,no,test\n", NULL, "t.csv:3: part \"test\": there is train and val"},
    {"file\nw/2.wav\n", NULL, "needs two columns"},
    {"", NULL, "needs two columns"},
};

START_TEST(a_table_says_what_is_what)
{
    const char *root = make("words", words), *table = text_file("t.csv", tables[_i].table);
    const bm_folder_opts opts = {.table = table};
    bm_folder *f;
    if (tables[_i].wrong) {
        test_fails(bm_folder_open(&f, root, &opts), BM_ERR_CONFIG, tables[_i].wrong);
        return;
    }
    test_ok(bm_folder_open(&f, root, &opts));
    check(f, root, tables[_i].expected);
    bm_folder_close(f);
}
END_TEST

START_TEST(parts_and_texts_stand_in_tables)
{
    const char *root = make("words", words), *table = text_file("t.csv", "file,text,part\nw/1.wav,so,train\nw/3.wav,so,val\n");
    const bm_folder_opts opts = {.table = table, .texts = 1}, bare = {.table = text_file("u.csv", "w/1.wav,so\n"), .texts = 1};
    bm_folder *f;
    test_ok(bm_folder_open(&f, root, &opts));
    check(f, root, "so: w/1.wav w/3.wav");
    ck_assert_int_eq(bm_folder_has_parts(f), 1);
    ck_assert_int_eq(bm_folder_at(f, 0)->validation, 0);
    ck_assert_int_eq(bm_folder_at(f, 1)->validation, 1);
    bm_folder_close(f);
    test_ok(bm_folder_open(&f, root, &bare));
    ck_assert_int_eq(bm_folder_has_parts(f), 0);
    bm_folder_close(f);
    const bm_folder_opts none = {.endings = (const char *const[]){".wav", NULL}, .texts = 1};
    test_ok(bm_folder_open(&f, root, &none));
    ck_assert_int_eq(bm_folder_count(f), 3);
    ck_assert_int_eq(bm_folder_at(f, 2)->label, -1);
    bm_folder_close(f);
}
END_TEST

/* Given classes: their order stands, files may be of none and classes without files, and others are named. */
START_TEST(classes_may_be_given)
{
    static const char *const files[] = {"dog/a.png", "new.png", NULL}, *const given[] = {"dog", "cat", "ant"};
    const bm_folder_opts opts = {.endings = endings, .classes = given, .n_classes = 3}, fewer = {.endings = endings, .classes = given + 1, .n_classes = 2};
    const char *root = make("given", files);
    bm_folder *f;
    test_ok(bm_folder_open(&f, root, &opts));
    ck_assert_int_eq(bm_folder_classes(f), 3);
    ck_assert_str_eq(bm_folder_class_at(f, 2), "ant");
    ck_assert_int_eq(bm_folder_count(f), 2);
    ck_assert_int_eq(bm_folder_at(f, 0)->label, -1);
    ck_assert_int_eq(bm_folder_at(f, 1)->label, 0);
    bm_folder_close(f);
    test_fails(bm_folder_open(&f, root, &fewer), BM_ERR_CONFIG, "\"dog\" is none of the 2 classes");
}
END_TEST

static bm_status open_folder(void *path)
{
    bm_folder *f;
    bm_status status = bm_folder_open(&f, path, &pictures);
    bm_folder_close(f);
    return status;
}

static bm_status open_table(void *path)
{
    bm_folder *f;
    const bm_folder_opts opts = {.table = test_path("t.csv"), .classes = (const char *const[]){"no", "yes"}, .n_classes = 2};
    bm_status status = bm_folder_open(&f, path, &opts);
    bm_folder_close(f);
    return status;
}

START_TEST(failing_memory_is_reported_and_nothing_leaks)
{
    static const char *const files[] = {"a/x.png", "b/y.png", NULL};
    test_fail_allocations(open_folder, (void *)make("memory", files));
    text_file("t.csv", "w/2.wav,yes\nw/1.wav,no\n");
    test_fail_allocations(open_table, (void *)make("words", words));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("folder");
    TCase *t = tcase_create("folder");
    tcase_add_test(t, a_folder_is_a_class);
    tcase_add_loop_test(t, what_is_no_class_is_named, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, what_is_no_folder_is_named);
    tcase_add_loop_test(t, a_table_says_what_is_what, 0, sizeof tables / sizeof *tables);
    tcase_add_test(t, parts_and_texts_stand_in_tables);
    tcase_add_test(t, classes_may_be_given);
    tcase_add_test(t, failing_memory_is_reported_and_nothing_leaks);
    suite_add_tcase(s, t);
    return test_run(s);
}
