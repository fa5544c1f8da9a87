/* A sound file with bytes changed and checksums put right: refused by its rule, whatever the bytes say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/store/bytes_priv.h"
#include "io/store/h5_priv.h"
#include "io/store/manifest_priv.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

typedef struct patch {
    unsigned char *data;
    size_t n;
    bm_h5_tree tree;
} patch;

static void patch_start(patch *p)
{
    bm_store *s;
    test_ok(test_store_write(NULL, test_path("sound.h5"), 1, 1));
    test_ok(bm_store_open(&s, test_path("sound.h5")));
    bm_store_close(s);
    p->data = test_read_file(&p->n, test_path("sound.h5"));
}

static uint64_t root_of(const patch *p) { return bm_get_u64(p->data + 36); }

/* The bytes before the messages of the header at `at`, and the bytes of messages. */
static size_t header_body(const patch *p, uint64_t at, size_t *bytes)
{
    const unsigned char *h = p->data + at;
    size_t width = (size_t)1 << (h[5] & 3), before = 6 + (h[5] & 16 ? 4 : 0);
    *bytes = 0;
    ck_assert_int_eq(memcmp(h, "OHDR", 4), 0);
    for (size_t i = 0; i < width; i++) *bytes |= (size_t)h[before + i] << 8 * i;
    return before + width;
}

static void seal(patch *p, uint64_t at)
{
    size_t bytes, before = header_body(p, at, &bytes);
    bm_put_u32(p->data + at + before + bytes, bm_h5_checksum(p->data + at, before + bytes));
}

/* The n-th message of a type in the header at `at`: its place in the file. */
static uint64_t message(const patch *p, uint64_t at, unsigned type, int n)
{
    size_t bytes, before = header_body(p, at, &bytes);
    for (size_t i = before; i + 4 <= before + bytes;) {
        const unsigned char *m = p->data + at + i;
        if (m[0] == type && n-- == 0) return at + i;
        i += 4 + bm_get_u16(m + 1);
    }
    ck_abort_msg("no such message");
    return 0;
}

/* The object header that the n-th link of the group at `at` names. */
static uint64_t linked(const patch *p, uint64_t at, int n)
{
    uint64_t m = message(p, at, 6, n);
    return bm_get_u64(p->data + m + 4 + bm_get_u16(p->data + m + 1) - 8);
}

/* The header of the object at a path. */
static uint64_t object(const patch *p, const char *path)
{
    uint64_t at = root_of(p);
    for (const char *name = path + 1; *name;) {
        size_t k = strcspn(name, "/");
        for (int i = 0;; i++) {
            uint64_t m = message(p, at, 6, i);
            const unsigned char *link = p->data + m + 4; /* version, flags, [charset], length, name */
            size_t skip = link[1] & 16 ? 3 : 2;
            if (link[skip] == k && !memcmp(link + skip + 1, name, k)) {
                at = linked(p, at, i);
                break;
            }
        }
        name += k + (name[k] == '/');
    }
    return at;
}

static void patched_is_refused(patch *p, const char *words)
{
    test_write_file(test_path("patched.h5"), p->data, p->n);
    test_store_refused(test_path("patched.h5"), words);
    free(p->data);
}

START_TEST(huge_dimensions_are_refused)
{
    patch p;
    for (int i = 0; i < 2; i++) {
        patch_start(&p);
        uint64_t at = object(&p, "/params/block/h0/weight"), space = message(&p, at, 1, 0);
        int fields = p.data[space + 4 + 2] & 1 ? 2 : 1;
        for (int k = 0; k < fields; k++)
            bm_put_u64(p.data + space + 8 + 16 * k, i ? (uint64_t)1 << 46 : UINT64_MAX / 2);
        seal(&p, at);
        patched_is_refused(&p, "rule 6");
    }
    patch_start(&p); /* and the stored length with them */
    uint64_t at = object(&p, "/params/block/h1/bias"), space = message(&p, at, 1, 0), layout = message(&p, at, 8, 0);
    for (int k = 0; k < (p.data[space + 6] & 1 ? 2 : 1); k++) bm_put_u64(p.data + space + 8 + 8 * k, (uint64_t)1 << 40);
    bm_put_u64(p.data + layout + 4 + 10, (uint64_t)1 << 43);
    seal(&p, at);
    patched_is_refused(&p, "outside the file");
}
END_TEST

START_TEST(overlapping_extents_are_refused)
{
    patch p;
    patch_start(&p);
    uint64_t a = object(&p, "/state/f"), b = object(&p, "/params/block/h1/bias");
    uint64_t la = message(&p, a, 8, 0), lb = message(&p, b, 8, 0);
    bm_put_u64(p.data + la + 6, bm_get_u64(p.data + lb + 6) + 8);
    seal(&p, a);
    patched_is_refused(&p, "overlap");
    patch_start(&p); /* and on the metadata */
    bm_put_u64(p.data + la + 6, 48);
    seal(&p, a);
    patched_is_refused(&p, "overlap");
}
END_TEST

START_TEST(duplicate_names_and_objects_are_refused)
{
    patch p;
    patch_start(&p);
    uint64_t g = object(&p, "/state"), m = message(&p, g, 6, 0), next = message(&p, g, 6, 1);
    size_t skip = p.data[m + 5] & 16 ? 4 : 3; /* to the name: one letter each */
    p.data[next + 4 + skip] = p.data[m + 4 + skip];
    seal(&p, g);
    patched_is_refused(&p, "two objects are named \"/state/a\"");
    patch_start(&p);
    memcpy(p.data + next + 4 + skip + 1, p.data + m + 4 + skip + 1, 8);
    seal(&p, g);
    patched_is_refused(&p, "second name");
    patch_start(&p); /* a group that holds the root */
    bm_put_u64(p.data + m + 4 + skip + 1, root_of(&p));
    seal(&p, g);
    patched_is_refused(&p, "second name");
}
END_TEST

/* A nil message is made the continuation of the header's own first piece, and of a loop of pieces. */
START_TEST(continuation_loops_are_refused)
{
    patch p;
    bm_store *s;
    for (int loop = 0; loop < 2; loop++) {
        patch_start(&p);
        uint64_t g = object(&p, "/alone"), hole = message(&p, g, 0, 0), block = p.n;
        for (int k = 1; bm_get_u16(p.data + hole + 1) < 20; k++) hole = message(&p, g, 0, k);
        size_t rest = bm_get_u16(p.data + hole + 1);
        p.data[hole] = 16;
        p.data[hole + 1] = 16;
        p.data[hole + 2] = 0;
        bm_put_u64(p.data + hole + 4, loop ? block : g);
        bm_put_u64(p.data + hole + 12, 64);
        memset(p.data + hole + 20, 0, rest - 16);
        p.data[hole + 21] = (unsigned char)(rest - 20);
        p.data[hole + 22] = (unsigned char)((rest - 20) >> 8);
        if (loop) { /* a piece at the end of the file that names itself */
            p.data = realloc(p.data, p.n + 64);
            unsigned char *c = p.data + block;
            memset(c, 0, 64);
            memcpy(c, "OCHK", 4);
            c[4] = 16;
            c[5] = 16;
            bm_put_u64(c + 8, block);
            bm_put_u64(c + 16, 64);
            c[25] = 64 - 24 - 4 - 4;
            bm_put_u32(c + 60, bm_h5_checksum(c, 60));
            p.n += 64;
            bm_put_u64(p.data + 28, p.n);
            bm_put_u32(p.data + 44, bm_h5_checksum(p.data, 44));
        }
        seal(&p, g);
        test_write_file(test_path("patched.h5"), p.data, p.n);
        free(p.data);
        ck_assert_int_eq(bm_store_open(&s, test_path("patched.h5")), BM_ERR_REFUSED);
        test_text_holds(bm_error_text(BM_ERR_REFUSED), loop ? "comes back to where it was" : "no continuation");
    }
}
END_TEST

START_TEST(broken_messages_are_refused)
{
    static const struct {
        unsigned type, at, value;
        const char *words;
    } change[] = {
        {1, 4, 3, "rule 3"},     /* dataspace version */
        {1, 5, 9, "rule 6"},     /* rank */
        {1, 6, 2, "rule 3"},     /* flags */
        {1, 1, 200, "rule 3"},   /* length of the message */
        {3, 4, 0x41, "rule 5"},  /* datatype version */
        {3, 8, 3, "rule 5"},     /* size */
        {8, 4, 4, "rule 3"},     /* layout version */
        {8, 5, 0, "rule 3"},     /* compact */
        {5, 4, 2, "fill"},       /* fill value version */
        {12, 4, 1, "rule 3"},    /* attribute version */
        {12, 5, 1, "shared"},    /* shared type */
        {12, 13, '/', "rule 4"}, /* its name */
        {12, 6, 1, "rule "},     /* length of its name */
        {21, 5, 1, "creation order"},
        {3, 3, 2, "shared"},
        {1, 0, 0x0b, "filters"}, /* another type of message */
        {1, 0, 0x30, "unknown"},
    };
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        patch p;
        patch_start(&p);
        uint64_t at = object(&p, "/params/block/h0/weight"), m = message(&p, at, change[i].type, 0);
        p.data[m + change[i].at] = (unsigned char)change[i].value;
        seal(&p, at);
        patched_is_refused(&p, change[i].words);
    }
}
END_TEST

START_TEST(a_wrong_manifest_is_refused)
{
    for (int what = 0; what < 6; what++) {
        patch p;
        patch_start(&p);
        uint64_t lh = message(&p, object(&p, "/manifest/head"), 8, 0),
                 ll = message(&p, object(&p, "/manifest/leaves"), 8, 0);
        uint64_t head = bm_get_u64(p.data + lh + 6), leaves = bm_get_u64(p.data + ll + 6),
                 bytes = bm_get_u64(p.data + ll + 14);
        unsigned char *leaf = p.data + leaves;
        if (what == 0) bm_put_u64(leaf + 8, bm_get_u64(leaf + 8) - 1); /* a gap */
        if (what == 1) bm_put_u32(leaf + 64, BM_LEAF_MANIFEST);        /* "do not look here" */
        if (what == 2) leaf[100] = 1;
        if (what == 3) bm_put_u32(p.data + head + 8, 2); /* version */
        if (what == 4) bm_put_u32(p.data + head + 12, 0x7fffffff);
        if (what == 5) p.data[head + 80] ^= 1; /* content id */
        bm_hash128 root = bm_hash(leaf, bytes);
        memcpy(p.data + head + 28, root.byte, 16);
        bm_put_u32(p.data + head + 4092, bm_crc32c(0, p.data + head, 4092));
        patched_is_refused(&p, "rule 7 (manifest)");
    }
}
END_TEST

START_TEST(a_newer_version_is_refused)
{
    patch p;
    patch_start(&p);
    size_t bytes, before = header_body(&p, root_of(&p), &bytes);
    unsigned char *h = p.data + root_of(&p);
    for (size_t i = before; i + 20 < before + bytes; i++)
        if (!memcmp(h + i, "bm_version_major", 17)) {
            uint64_t m = 0; /* the value is the last two bytes of that message */
            for (int k = 0; !m; k++) {
                uint64_t c = message(&p, root_of(&p), 12, k);
                if (!memcmp(p.data + c + 13, "bm_version_major", 17)) m = c;
            }
            p.data[m + 4 + bm_get_u16(p.data + m + 1) - 2] = 9;
            break;
        }
    seal(&p, root_of(&p));
    patched_is_refused(&p, "version 9.0; this bm reads 1.0");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/patched");
    TCase *t = tcase_create("patched");
    tcase_add_test(t, huge_dimensions_are_refused);
    tcase_add_test(t, overlapping_extents_are_refused);
    tcase_add_test(t, duplicate_names_and_objects_are_refused);
    tcase_add_test(t, continuation_loops_are_refused);
    tcase_add_test(t, broken_messages_are_refused);
    tcase_add_test(t, a_wrong_manifest_is_refused);
    tcase_add_test(t, a_newer_version_is_refused);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
