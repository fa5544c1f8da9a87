/* libFuzzer: any bytes as text. The ids decode to the very bytes, and do not depend on how the text was fed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct check {
    const uint32_t *ids;
    size_t n, at;
} check;

static bm_status compare(void *user, const uint32_t *ids, size_t n)
{
    check *c = user;
    if (n > c->n - c->at || memcmp(c->ids + c->at, ids, n * sizeof *ids) != 0) abort();
    c->at += n;
    return BM_OK;
}

static bm_tokenizer *create(void)
{
    static const uint32_t merges[] = {'a', 'a', 256, 256, ' ', 'a', ' ', ' ', 259, 259, 't', 'h', 261, 'e', ' ', 262, 0xc3, 0xa9, '\n', '\n'};
    uint32_t byte_id[256];
    bm_tokenizer *t;
    for (uint32_t i = 0; i < 256; i++) byte_id[i] = i;
    if (bm_tokenizer_create_bpe(&t, byte_id, merges, sizeof merges / sizeof *merges / 2)) abort();
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bm_tokenizer *t = create();
    bm_encoder *e;
    uint32_t *ids;
    char *back;
    size_t n, bytes, piece = size ? 1 + data[0] % 7u : 1;
    check c;
    if (bm_tokenizer_encode(&ids, &n, t, data, size)) abort();
    if (bm_tokenizer_decode(&back, &bytes, t, ids, n) || bytes != size || (size && memcmp(back, data, size) != 0)) abort();
    c = (check){ids, n, 0};
    if (bm_encoder_create(&e, t, NULL, compare, &c)) abort();
    for (size_t at = 0; at < size; at += piece) {
        if (bm_encoder_feed(e, data + at, piece < size - at ? piece : size - at)) abort();
    }
    if (bm_encoder_finish(e) || c.at != n) abort();
    bm_encoder_destroy(e);
    bm_free(ids);
    bm_free(back);
    bm_tokenizer_destroy(t);
    return 0;
}
