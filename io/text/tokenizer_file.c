/* The stored forms of a tokenizer. The JSON is {"format": "bm-tokenizer", "version": 1, "kind": "bpe", "split": "gpt2",
 * "vocab_size": N, "eot_id": N - 1}. Beside it lies a blob of little-endian u32: the ids of the 256 bytes, then left and right
 * of each merge. In a file of its own the JSON holds these too, as "byte_ids" and "merges". */
#include <jansson.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/text/tokenizer_priv.h"

#define FORMAT "bm-tokenizer"
#define MOST_JSON_BYTES ((size_t)512 << 20)

static void put_u32(unsigned char *at, uint32_t x)
{
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(x >> 8 * i);
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bm_status make_blob(unsigned char **out, size_t *bytes, const bm_tokenizer *t)
{
    size_t n = t->kind == BM_TOKENIZER_BPE ? BM_BPE_BYTES + 2 * t->bpe.n_merges : 0;
    unsigned char *blob = bm_calloc(n + 1, 4);
    *out = blob;
    *bytes = 4 * n;
    if (!blob) return BM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++)
        put_u32(blob + 4 * i, i < BM_BPE_BYTES ? t->bpe.byte_id[i] : t->bpe.merges[i - BM_BPE_BYTES]);
    return BM_OK;
}

static void add_head(bm_str *text, const bm_tokenizer *t)
{
    bm_str_addf(text, "{\"format\": \"%s\", \"version\": 1, \"kind\": \"%s\"", FORMAT, bm_tokenizer_kind_name(t));
    if (t->kind == BM_TOKENIZER_BPE) bm_str_add(text, ", \"split\": \"gpt2\"");
    bm_str_addf(text, ", \"vocab_size\": %u, \"eot_id\": %u", t->vocab_size, bm_tokenizer_eot(t));
}

bm_status bm_tokenizer_to_parts(char **json, void **blob, size_t *blob_bytes, const bm_tokenizer *t)
{
    bm_str text;
    bm_status status;
    unsigned char *bytes = NULL;
    *json = NULL;
    *blob = NULL;
    bm_str_init(&text);
    add_head(&text, t);
    bm_str_add(&text, "}");
    BM_GO(bm_str_status(&text));
    BM_GO(make_blob(&bytes, blob_bytes, t));
    *json = bm_str_take(&text);
    *blob = bytes;
done:
    bm_str_finish(&text);
    return status;
}

bm_status bm_tokenizer_to_text(char **out, const bm_tokenizer *t)
{
    bm_str text;
    bm_str_init(&text);
    add_head(&text, t);
    if (t->kind == BM_TOKENIZER_BPE) {
        bm_str_add(&text, ",\n\"byte_ids\": [");
        for (int i = 0; i < 256; i++) bm_str_addf(&text, "%s%u", i ? ", " : "", t->bpe.byte_id[i]);
        bm_str_add(&text, "],\n\"merges\": [");
        for (size_t k = 0; k < t->bpe.n_merges; k++)
            bm_str_addf(&text, "%s[%u, %u]", k ? ",\n" : "\n", t->bpe.merges[2 * k], t->bpe.merges[2 * k + 1]);
        bm_str_add(&text, "]");
    }
    bm_str_add(&text, "}\n");
    bm_status status = bm_str_status(&text);
    *out = bm_str_take(&text);
    bm_str_finish(&text);
    return status;
}

bm_status bm_tokenizer_save(const bm_tokenizer *t, const char *path)
{
    char *text;
    BM_TRY(bm_tokenizer_to_text(&text, t));
    bm_status status = bm_file_replace(path, text, strlen(text));
    bm_free(text);
    return status;
}

/* An integer member in [0, most]. */
static bm_status get_id(uint32_t *out, const json_t *object, const char *key, uint32_t most)
{
    const json_t *value = json_object_get(object, key);
    *out = 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > (json_int_t)most)
        return bm_fail(BM_ERR_DAMAGED, "\"%s\" is not a number from 0 to %u", key, most);
    *out = (uint32_t)json_integer_value(value);
    return BM_OK;
}

static bm_status check_text(const json_t *object, const char *key, const char *expected)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || strcmp(value, expected) != 0) return bm_fail(BM_ERR_DAMAGED, "\"%s\" is not \"%s\"", key, expected);
    return BM_OK;
}

static int json_u32(uint32_t *out, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX) return 1;
    *out = (uint32_t)json_integer_value(value);
    return 0;
}

/* "byte_ids" and "merges" of a file into numbers as a blob holds them. */
static bm_status read_arrays(uint32_t **out, size_t *count, const json_t *object)
{
    const json_t *bytes = json_object_get(object, "byte_ids"), *merges = json_object_get(object, "merges");
    size_t n = json_array_size(merges);
    uint32_t *numbers;
    *out = NULL;
    *count = 0;
    if (json_array_size(bytes) != BM_BPE_BYTES || !json_is_array(merges))
        return bm_fail(BM_ERR_DAMAGED, "it needs \"byte_ids\" with 256 numbers, and \"merges\"");
    numbers = bm_calloc(BM_BPE_BYTES + 2 * n, sizeof *numbers);
    if (!numbers) return BM_ERR_MEMORY;
    *out = numbers;
    *count = BM_BPE_BYTES + 2 * n;
    for (size_t i = 0; i < BM_BPE_BYTES; i++) {
        if (json_u32(&numbers[i], json_array_get(bytes, i))) return bm_fail(BM_ERR_DAMAGED, "\"byte_ids\": entry %zu", i);
    }
    for (size_t k = 0; k < n; k++) {
        const json_t *pair = json_array_get(merges, k);
        uint32_t *to = numbers + BM_BPE_BYTES + 2 * k;
        if (json_array_size(pair) != 2 || json_u32(to, json_array_get(pair, 0)) || json_u32(to + 1, json_array_get(pair, 1)))
            return bm_fail(BM_ERR_DAMAGED, "\"merges\": entry %zu is not a pair of ids", k);
    }
    return BM_OK;
}

static bm_status read_blob(uint32_t **out, size_t *count, const unsigned char *blob, size_t bytes)
{
    size_t n = bytes / 4;
    *out = NULL;
    *count = 0;
    if (bytes % 8 || n < BM_BPE_BYTES) return bm_fail(BM_ERR_DAMAGED, "its blob of %zu bytes is not one of a tokenizer", bytes);
    *out = bm_calloc(n, sizeof **out);
    if (!*out) return BM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) (*out)[i] = get_u32(blob + 4 * i);
    *count = n;
    return BM_OK;
}

/* The parsed JSON; the numbers come from it (blob NULL) or from the blob. */
static bm_status build(bm_tokenizer **out, const json_t *object, const unsigned char *blob, size_t blob_bytes)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    uint32_t version, vocab, eot, *numbers = NULL;
    size_t n = 0, n_merges;
    bm_status status = check_text(object, "format", FORMAT);
    if (status) return status;
    BM_TRY(get_id(&version, object, "version", UINT32_MAX));
    if (version != 1) return bm_fail(BM_ERR_UNSUPPORTED, "a tokenizer of version %u; this program reads version 1", version);
    BM_TRY(get_id(&vocab, object, "vocab_size", UINT32_MAX));
    BM_TRY(get_id(&eot, object, "eot_id", UINT32_MAX));
    if (kind && strcmp(kind, "byte") == 0) {
        if (vocab != 257 || eot != 256 || blob_bytes) return bm_fail(BM_ERR_DAMAGED, "a byte tokenizer has 257 ids, no more");
        return bm_tokenizer_create_byte(out);
    }
    if (!kind || strcmp(kind, "bpe") != 0)
        return bm_fail(BM_ERR_UNSUPPORTED, "a tokenizer of kind \"%.40s\" (there are byte and bpe)", kind ? kind : "");
    BM_TRY(check_text(object, "split", "gpt2"));
    BM_GO(blob ? read_blob(&numbers, &n, blob, blob_bytes) : read_arrays(&numbers, &n, object));
    n_merges = (n - BM_BPE_BYTES) / 2;
    if (vocab != BM_BPE_BYTES + n_merges + 1 || eot != vocab - 1)
        BM_GO(bm_fail(BM_ERR_DAMAGED, "%zu merges do not make a vocabulary of %u that ends with %u", n_merges, vocab, eot));
    BM_GO(bm_tokenizer_create_bpe(out, numbers, numbers + BM_BPE_BYTES, n_merges));
done:
    bm_free(numbers);
    return status;
}

static bm_status parse(bm_tokenizer **out, const char *json, size_t json_bytes, const void *blob, size_t blob_bytes)
{
    json_error_t error;
    json_t *object = json_loadb(json, json_bytes, JSON_REJECT_DUPLICATES, &error);
    bm_status status;
    if (!object) return bm_fail(BM_ERR_DAMAGED, "not a tokenizer: line %d: %s", error.line, error.text);
    status = json_is_object(object) ? build(out, object, blob, blob_bytes) : bm_fail(BM_ERR_DAMAGED, "not a tokenizer");
    json_decref(object);
    return status;
}

bm_status bm_tokenizer_from_parts(bm_tokenizer **out, const char *json, size_t json_bytes, const void *blob, size_t blob_bytes,
                                  const char *name)
{
    *out = NULL;
    return bm_fail_prefix(parse(out, json, json_bytes, blob ? blob : "", blob_bytes), "%s", name);
}

bm_status bm_tokenizer_load(bm_tokenizer **out, const char *path)
{
    char *text;
    size_t bytes;
    bm_status status;
    *out = NULL;
    BM_TRY(bm_file_read(&text, &bytes, path, MOST_JSON_BYTES));
    status = bm_fail_prefix(parse(out, text, bytes, NULL, 0), "%s", path);
    bm_free(text);
    return status;
}

bm_status bm_tokenizer_hash(bm_hash128 *out, const bm_tokenizer *t)
{
    unsigned char *blob;
    size_t bytes;
    bm_status status = make_blob(&blob, &bytes, t);
    if (!status) *out = bm_hash(blob, bytes);
    bm_free(blob);
    return status;
}
