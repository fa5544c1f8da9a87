/* GPT-2's vocabulary files. vocab.bpe: a line "#version: ..." and one merge a line, two tokens with a space between;
 * encoder.json: token -> id. Tokens are written with one character for each byte: printable bytes of Latin-1 are themselves,
 * the others U+0100 and on, in their order (bytes_to_unicode of GPT-2's encoder.py). */
#include <jansson.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/text/intern_priv.h"
#include "io/text/tokenizer_priv.h"

#define MOST_BYTES ((size_t)256 << 20)

typedef struct importer {
    const char *json_path, *merges_path;
    json_t *ids;                   /* encoder.json */
    char *text;                    /* vocab.bpe */
    uint16_t character[256];       /* of a byte */
    int16_t byte_of[512];          /* of a character; -1: none */
    uint32_t byte_id[256];
    bm_intern tokens;              /* in bytes: the 256 bytes in their own order, then the merges' results */
    uint32_t *merges;
    size_t n_merges;
} importer;

static int is_printable(int b) { return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae; }

static void map_bytes(importer *m)
{
    uint16_t next = 256;
    for (int c = 0; c < 512; c++) m->byte_of[c] = -1;
    for (int b = 0; b < 256; b++) {
        m->character[b] = is_printable(b) ? (uint16_t)b : next++;
        m->byte_of[m->character[b]] = (int16_t)b;
    }
}

/* Characters of U+0000 to U+01FF into bytes, in place; -1 when one stands for none. */
static int64_t to_bytes(const importer *m, char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned c = (unsigned char)text[i];
        if (c >= 0x80) {
            if (c < 0xc2 || c > 0xc7 || i + 1 == n || ((unsigned char)text[i + 1] & 0xc0) != 0x80) return -1;
            c = (c & 0x1f) << 6 | ((unsigned char)text[++i] & 0x3f);
        }
        if (m->byte_of[c] < 0) return -1;
        text[used++] = (char)m->byte_of[c];
    }
    return (int64_t)used;
}

static bm_status find_id(uint32_t *out, const importer *m, const char *token)
{
    const json_t *id = json_object_get(m->ids, token);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= UINT32_MAX)
        return bm_fail(BM_ERR_DAMAGED, "%s: no id for the token \"%.80s\"", m->json_path, token);
    *out = (uint32_t)json_integer_value(id);
    return BM_OK;
}

static bm_status read_bytes(importer *m)
{
    for (int b = 0; b < 256; b++) {
        unsigned c = m->character[b];
        unsigned char byte = (unsigned char)b;
        uint32_t number;
        char token[3] = {(char)c};
        if (c >= 0x80) {
            token[0] = (char)(0xc0 | c >> 6);
            token[1] = (char)(0x80 | (c & 0x3f));
        }
        BM_TRY(find_id(&m->byte_id[b], m, token));
        BM_TRY(bm_intern_add(&number, &m->tokens, &byte, 1));
    }
    return BM_OK;
}

static uint32_t id_of(const importer *m, uint32_t number) { return number < 256 ? m->byte_id[number] : number; }

/* One line "LEFT RIGHT", which is changed. */
static bm_status read_merge(importer *m, char *line, size_t n, size_t line_number)
{
    char *space = memchr(line, ' ', n), joined[2048];
    size_t left_n = space ? (size_t)(space - line) : 0, right_n = space ? n - left_n - 1 : 0;
    int64_t left_bytes, right_bytes;
    uint32_t id, left, right, number;
    if (!left_n || !right_n || memchr(space + 1, ' ', right_n) || n > sizeof joined)
        return bm_fail(BM_ERR_DAMAGED, "%s:%zu: not two tokens with a space between", m->merges_path, line_number);
    memcpy(joined, line, left_n);
    memcpy(joined + left_n, space + 1, right_n);
    joined[n - 1] = '\0';
    BM_TRY(find_id(&id, m, joined));
    if (id != 256 + m->n_merges)
        return bm_fail(BM_ERR_DAMAGED, "%s:%zu: \"%.80s\" has the id %u in %s; merge %zu must make %zu", m->merges_path, line_number,
                       joined, id, m->json_path, m->n_merges, 256 + m->n_merges);
    left_bytes = to_bytes(m, line, left_n);
    right_bytes = to_bytes(m, space + 1, right_n);
    left = left_bytes < 0 ? BM_INTERN_NONE : bm_intern_find(&m->tokens, line, (size_t)left_bytes);
    right = right_bytes < 0 ? BM_INTERN_NONE : bm_intern_find(&m->tokens, space + 1, (size_t)right_bytes);
    if (left == BM_INTERN_NONE || right == BM_INTERN_NONE)
        return bm_fail(BM_ERR_DAMAGED, "%s:%zu: joins a token that no line before it makes", m->merges_path, line_number);
    memmove(line + left_bytes, space + 1, (size_t)right_bytes);
    BM_TRY(bm_intern_add(&number, &m->tokens, line, (size_t)(left_bytes + right_bytes)));
    if (number != 256 + m->n_merges)
        return bm_fail(BM_ERR_DAMAGED, "%s:%zu: makes a token that is there already", m->merges_path, line_number);
    m->merges[2 * m->n_merges] = id_of(m, left);
    m->merges[2 * m->n_merges + 1] = id_of(m, right);
    m->n_merges++;
    return BM_OK;
}

static bm_status read_merges(importer *m, size_t bytes)
{
    size_t lines = 1, line_number = 0;
    for (size_t i = 0; i < bytes; i++) lines += m->text[i] == '\n';
    m->merges = bm_calloc(lines, 2 * sizeof *m->merges);
    if (!m->merges) return BM_ERR_MEMORY;
    for (char *line = m->text, *end; line < m->text + bytes; line = end + 1) {
        size_t n;
        end = memchr(line, '\n', (size_t)(m->text + bytes - line));
        if (!end) end = m->text + bytes;
        n = (size_t)(end - line);
        line_number++;
        if (n && line[n - 1] == '\r') n--;
        if (n == 0 || (line_number == 1 && strncmp(line, "#version", 8) == 0)) continue;
        BM_TRY(read_merge(m, line, n, line_number));
    }
    return BM_OK;
}

static bm_status read_ids(importer *m)
{
    json_error_t error;
    char *text;
    size_t bytes;
    BM_TRY(bm_file_read(&text, &bytes, m->json_path, MOST_BYTES));
    m->ids = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    bm_free(text);
    if (!m->ids) return bm_fail(BM_ERR_DAMAGED, "%s:%d: not valid JSON: %s", m->json_path, error.line, error.text);
    if (!json_is_object(m->ids)) return bm_fail(BM_ERR_DAMAGED, "%s: not an object of tokens and ids", m->json_path);
    return BM_OK;
}

/* What the merges do not make: end-of-text, the last id, and nothing else. */
static bm_status check_rest(const importer *m)
{
    uint32_t eot;
    BM_TRY(find_id(&eot, m, BM_END_OF_TEXT));
    if (eot != 256 + m->n_merges)
        return bm_fail(BM_ERR_DAMAGED, "%s: %s has the id %u; after %zu merges it must have %zu", m->json_path, BM_END_OF_TEXT, eot,
                       m->n_merges, 256 + m->n_merges);
    if (json_object_size(m->ids) != 257 + m->n_merges)
        return bm_fail(BM_ERR_DAMAGED, "%s: %zu tokens, but the merges of %s make %zu", m->json_path, json_object_size(m->ids),
                       m->merges_path, 257 + m->n_merges);
    return BM_OK;
}

bm_status bm_tokenizer_import_gpt2(bm_tokenizer **out, const char *encoder_json, const char *vocab_bpe)
{
    importer m = {.json_path = encoder_json, .merges_path = vocab_bpe};
    size_t bytes;
    bm_status status;
    *out = NULL;
    bm_intern_init(&m.tokens);
    map_bytes(&m);
    BM_GO(read_ids(&m));
    BM_GO(bm_file_read(&m.text, &bytes, vocab_bpe, MOST_BYTES));
    BM_GO(read_bytes(&m));
    BM_GO(read_merges(&m, bytes));
    BM_GO(check_rest(&m));
    BM_GO(bm_tokenizer_create_bpe(out, m.byte_id, m.merges, m.n_merges));
done:
    json_decref(m.ids);
    bm_intern_finish(&m.tokens);
    bm_free(m.text);
    bm_free(m.merges);
    return status;
}
