/* libFuzzer: any bytes as a picture. Each input is decoded as it is and with the check sums of its PNG chunks put right. What is
 * accepted must have all its pixels, and can be resized. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "io/media/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t get_u32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void seal(uint8_t *data, size_t size)
{
    for (size_t at = 8; size > at && size - at >= 12;) {
        const size_t bytes = get_u32(data + at);
        if (bytes > size - at - 12) return;
        const uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)bytes + 4);
        for (int i = 0; i < 4; i++) data[at + 8 + bytes + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + bytes;
    }
}

static void decode(const uint8_t *data, size_t size, int channels)
{
    bm_picture_opts o = bm_picture_opts_default();
    bm_picture p, q;
    int64_t sum = 0;
    o.channels = channels;
    o.most_pixels = 1 << 14;
    if (bm_picture_decode(&p, data, size, "fuzz", &o)) {
        if (p.pixels) abort();
        return;
    }
    if (p.height < 1 || p.width < 1 || p.height * p.width > o.most_pixels || (channels && p.channels != channels)) abort();
    for (int64_t i = 0; i < p.height * p.width * p.channels; i++) sum += p.pixels[i];
    if (sum > 255 * p.height * p.width * p.channels) abort();
    if (bm_picture_resize(&q, &p, 9, 16, size & 1)) abort();
    bm_picture_finish(&q);
    bm_picture_finish(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    memcpy(copy, data, size);
    decode(copy, size, 0);
    seal(copy, size);
    decode(copy, size, size % 2 ? 3 : 1);
    free(copy);
    if (bm_mem_get_stats().live) abort();
    return 0;
}
