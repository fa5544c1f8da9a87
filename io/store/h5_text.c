/* Names, refusals and the checksum of HDF5 metadata. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/bytes_priv.h"
#include "io/store/h5_priv.h"
#include "io/text/utf8.h"

bm_status bm_refuse_at(bm_rule rule, const char *file, int line, const char *fmt, ...)
{
    const char *name = "";
    switch (rule) {
#define RULE_CASE(id, number, text)                                                                                    \
    case id: name = text; break;
        BM_RULE_LIST(RULE_CASE)
#undef RULE_CASE
    }
    char text[800];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return bm_fail_at(BM_ERR_REFUSED, 0, file, line, "refused by rule %d (%s): %s", (int)rule, name, text);
}

void *bm_grow(void *array, size_t *room, int64_t count, size_t bytes)
{
    if ((size_t)count < *room) return array;
    size_t more = *room ? *room * 2 : 16;
    void *p = bm_realloc(array, more, bytes);
    if (p) *room = more;
    return p;
}

static uint32_t rotate(uint32_t x, int k) { return x << k | x >> (32 - k); }

/* Bob Jenkins, lookup3.c, 2006 (public domain): hashlittle() on bytes, initial value 0. */
uint32_t bm_h5_checksum(const void *data, size_t bytes)
{
    const uint8_t *k = data;
    uint32_t a, b, c;
    a = b = c = 0xdeadbeefu + (uint32_t)bytes;
    for (; bytes > 12; bytes -= 12, k += 12) {
        a += bm_get_u32(k);
        b += bm_get_u32(k + 4);
        c += bm_get_u32(k + 8);
        a -= c, a ^= rotate(c, 4), c += b;
        b -= a, b ^= rotate(a, 6), a += c;
        c -= b, c ^= rotate(b, 8), b += a;
        a -= c, a ^= rotate(c, 16), c += b;
        b -= a, b ^= rotate(a, 19), a += c;
        c -= b, c ^= rotate(b, 4), b += a;
    }
    if (!bytes) return c;
    uint8_t last[12] = {0};
    memcpy(last, k, bytes);
    a += bm_get_u32(last);
    b += bm_get_u32(last + 4);
    c += bm_get_u32(last + 8);
    c ^= b, c -= rotate(b, 14);
    a ^= c, a -= rotate(c, 11);
    b ^= a, b -= rotate(a, 25);
    c ^= b, c -= rotate(b, 16);
    a ^= c, a -= rotate(c, 4);
    b ^= a, b -= rotate(a, 14);
    c ^= b, c -= rotate(b, 24);
    return c;
}

static int is_control(uint8_t c) { return c < 0x20 || c == 0x7f; }

int bm_h5_name_valid(const char *name, size_t n)
{
    if (n < 1 || n > BM_H5_MOST_NAME || !bm_utf8_valid(name, n)) return 0;
    if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'))) return 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)name[i];
        if (is_control(c) || c == '/') return 0;
        if (c == 0xc2 && (uint8_t)name[i + 1] < 0xa0) return 0; /* C1 control characters */
    }
    return 1;
}

char *bm_h5_escape(char *buf, size_t room, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *s = (const uint8_t *)text;
    size_t used = 0;
    for (size_t i = 0; i < n && used + 5 < room;) {
        int k = bm_utf8_length(s + i, n - i);
        int control = k == 1 ? is_control(s[i]) : k == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0;
        if (k > 0 && !control) {
            memcpy(buf + used, s + i, (size_t)k);
            used += (size_t)k;
            i += (size_t)k;
        } else {
            buf[used++] = '\\';
            buf[used++] = 'x';
            buf[used++] = hex[s[i] >> 4];
            buf[used++] = hex[s[i] & 15];
            i++;
        }
    }
    buf[used] = 0;
    return buf;
}
