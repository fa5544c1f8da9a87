#include <stdint.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/hash_priv.h"
#include "tests/lib/test.h"

static const char *hex(bm_hash128 h)
{
    static char text[33];
    bm_hash_hex(text, &h);
    return text;
}

/* From `xxhsum -H2` (xxHash's own program). */
START_TEST(xxh3_prints_as_xxhsum_does)
{
    char long_text[1000];
    for (size_t i = 0; i < sizeof long_text; i++) long_text[i] = (char)('a' + i % 26);
    ck_assert_str_eq(hex(bm_hash("", 0)), "99aa06d3014798d86001c324468d497f");
    ck_assert_str_eq(hex(bm_hash("abc", 3)), "06b05ab6733a618578af5f94892f3950");
    ck_assert_str_eq(hex(bm_hash(long_text, sizeof long_text)), "b68384db4f7b6231e153425558d7da5d");
}
END_TEST

START_TEST(pieces_hash_as_the_whole)
{
    static unsigned char data[5000];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 131u >> 3);
    bm_hasher *h;
    test_ok(bm_hasher_create(&h));
    for (size_t piece = 1; piece < 700; piece += 37) {
        bm_hasher_reset(h);
        for (size_t at = 0; at < sizeof data; at += piece)
            bm_hasher_add(h, data + at, piece < sizeof data - at ? piece : sizeof data - at);
        bm_hash128 parts = bm_hasher_digest(h), whole = bm_hash(data, sizeof data);
        ck_assert(bm_hash_equal(&parts, &whole));
        bm_hasher_add(h, NULL, 0);
        parts = bm_hasher_digest(h); /* looking does not end it, nor does nothing change it */
        ck_assert(bm_hash_equal(&parts, &whole));
        bm_hasher_add(h, "x", 1);
        parts = bm_hasher_digest(h);
        ck_assert(!bm_hash_equal(&parts, &whole));
    }
    bm_hasher_destroy(h);
    bm_hasher_destroy(NULL);
}
END_TEST

static bm_status make_hasher(void *arg)
{
    (void)arg;
    bm_hasher *h;
    bm_status s = bm_hasher_create(&h);
    ck_assert_int_eq(h == NULL, s != BM_OK);
    bm_hasher_destroy(h);
    return s;
}

START_TEST(a_hasher_without_memory_is_an_error)
{
    test_fail_allocations(make_hasher, NULL);
}
END_TEST

typedef uint32_t crc_fn(uint32_t crc, const void *data, size_t bytes);
static crc_fn *const crc[] = {bm_crc32c, bm_crc32c_plain};

/* RFC 3720, appendix B.4; the bytes there are the checksum's from the least significant on. */
START_TEST(crc32c_gives_the_vectors_of_rfc_3720)
{
    unsigned char data[48] = {0};
    ck_assert_uint_eq(crc[_i](0, data, 32), 0x8a9136aau);
    memset(data, 0xff, 32);
    ck_assert_uint_eq(crc[_i](0, data, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++) data[i] = (unsigned char)i;
    ck_assert_uint_eq(crc[_i](0, data, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++) data[i] = (unsigned char)(31 - i);
    ck_assert_uint_eq(crc[_i](0, data, 32), 0x113fdb5cu);
    static const unsigned char read_command[48] = {0x01, 0xc0, 0,    0,    0,    0, 0, 0, 0,    0, 0, 0, 0,   0,
                                                   0,    0,    0x14, 0,    0,    0, 0, 0, 0x04, 0, 0, 0, 0,   0x14,
                                                   0,    0,    0,    0x18, 0x28, 0, 0, 0, 0,    0, 0, 0, 0x02};
    ck_assert_uint_eq(crc[_i](0, read_command, 48), 0xd9963a56u);
    ck_assert_uint_eq(crc[_i](0, "123456789", 9), 0xe3069283u); /* the usual check value */
}
END_TEST

/* Bit by bit, as the polynomial says, over every length and alignment around the eight-byte steps. */
START_TEST(crc32c_is_the_division_and_chains)
{
    unsigned char data[96];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 197u + 13u);
    for (size_t start = 0; start < 8; start++)
        for (size_t n = 0; n <= 40; n++) {
            uint32_t c = 0xffffffffu;
            for (size_t i = 0; i < n; i++)
                for (int bit = 0; bit < 8; bit++) {
                    uint32_t low = (c ^ data[start + i] >> bit) & 1u;
                    c = c >> 1 ^ (low ? 0x82f63b78u : 0u);
                }
            ck_assert_uint_eq(crc[_i](0, data + start, n), ~c);
            for (size_t cut = 0; cut <= n; cut += 3)
                ck_assert_uint_eq(crc[_i](crc[_i](0, data + start, cut), data + start + cut, n - cut), ~c);
        }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/base/hash");
    TCase *t = tcase_create("hash");
    tcase_add_test(t, xxh3_prints_as_xxhsum_does);
    tcase_add_test(t, pieces_hash_as_the_whole);
    tcase_add_test(t, a_hasher_without_memory_is_an_error);
    tcase_add_loop_test(t, crc32c_gives_the_vectors_of_rfc_3720, 0, 2);
    tcase_add_loop_test(t, crc32c_is_the_division_and_chains, 0, 2);
    suite_add_tcase(s, t);
    return test_run(s);
}
