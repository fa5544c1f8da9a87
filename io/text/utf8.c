#include "io/text/utf8.h"

int bm_utf8_length(const unsigned char *text, size_t n)
{
    unsigned char lead = text[0], low = 0x80, high = 0xbf; /* bounds of the second byte: RFC 3629, section 4 */
    int length;
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == n) return -1;
        if (text[i] < low || text[i] > high) return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

int bm_utf8_valid(const void *text, size_t n)
{
    const unsigned char *p = text;
    while (n > 0) {
        int k = bm_utf8_length(p, n);
        if (k <= 0) return 0;
        p += k;
        n -= (size_t)k;
    }
    return 1;
}
