/* libFuzzer: any bytes as the stored form of a tokenizer: the JSON up to the first NUL, then the blob. What is accepted must
 * give back every byte of a text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "the cat\xff\n\n and the hat ";
    const uint8_t *end = memchr(data, '\0', size);
    size_t json_bytes = end ? (size_t)(end - data) : size, n, bytes, blob_bytes;
    bm_tokenizer *t, *u;
    uint32_t *ids;
    char *back, *json;
    void *blob;
    if (bm_tokenizer_from_parts(&t, (const char *)data, json_bytes, end ? end + 1 : NULL, end ? size - json_bytes - 1 : 0, "fuzz"))
        return 0;
    if (bm_tokenizer_encode(&ids, &n, t, text, sizeof text)) abort();
    if (bm_tokenizer_decode(&back, &bytes, t, ids, n) || bytes != sizeof text || memcmp(back, text, bytes) != 0) abort();
    if (bm_tokenizer_to_parts(&json, &blob, &blob_bytes, t)) abort();
    if (bm_tokenizer_from_parts(&u, json, strlen(json), blob, blob_bytes, "again")) abort();
    if (bm_tokenizer_vocab_size(t) != bm_tokenizer_vocab_size(u)) abort();
    bm_free(ids);
    bm_free(back);
    bm_free(json);
    bm_free(blob);
    bm_tokenizer_destroy(t);
    bm_tokenizer_destroy(u);
    return 0;
}
