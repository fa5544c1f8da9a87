#include "tools/data/spelling.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/text/utf8.h"
#include "models/infer/transcript.h"

enum { CODES = 0x110000 };

/* The code of the character that `text`, which is UTF-8, begins with; *bytes of it. */
static int32_t code_of(const char *text, int *bytes)
{
    const unsigned char *t = (const unsigned char *)text;
    *bytes = bm_utf8_length(t, strlen(text));
    if (*bytes <= 1) return *bytes = 1, t[0];
    int32_t code = t[0] & (0x7f >> *bytes);
    for (int i = 1; i < *bytes; i++) code = code << 6 | (t[i] & 0x3f);
    return code;
}

static void mark(uint8_t *used, const char *text)
{
    int bytes;
    for (; *text; text += bytes) {
        const int32_t code = code_of(text, &bytes);
        used[code / 8] |= (uint8_t)(1 << code % 8);
    }
}

/* A code's character as UTF-8. */
static json_t *character(int32_t code)
{
    char text[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6) text[i] = (char)(0x80 | (code & 0x3f));
    text[0] = (char)(n == 1 ? code : (0xf00 >> n & 0xff) | code);
    return json_stringn(text, n);
}

bm_status bm_spelling_classes(bm_class_list *c, const bm_folder *texts)
{
    json_t *names = json_pack("[s]", BM_SPELLING_BLANK);
    uint8_t *used = bm_calloc(CODES / 8, 1);
    bm_status status = used && names ? BM_OK : BM_ERR_MEMORY;
    for (int64_t i = 0; !status && i < bm_folder_classes(texts); i++) mark(used, bm_folder_class_at(texts, i));
    for (int32_t code = 1; !status && code < CODES; code++)
        if (used[code / 8] >> code % 8 & 1 && json_array_append_new(names, character(code))) status = BM_ERR_MEMORY;
    if (!status) status = bm_class_list_parse(c, names, "the texts");
    bm_free(used);
    json_decref(names);
    return status;
}

static int64_t count_letters(const char *text)
{
    int64_t n = 0;
    for (; *text; text++) n += (*text & 0xc0) != 0x80;
    return n;
}

int64_t bm_spelling_longest(const bm_folder *texts)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < bm_folder_classes(texts); i++) {
        const int64_t n = count_letters(bm_folder_class_at(texts, i));
        if (n > longest) longest = n;
    }
    return longest;
}

/* Classes but the blank are in the order of their bytes, which is that of their codes. */
static int32_t find(const bm_class_list *c, const char *letter)
{
    int64_t low = 1, high = c->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(c->name[middle], letter) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->n && !strcmp(c->name[low], letter) ? (int32_t)low : -1;
}

static bm_status encode(int32_t *out, const bm_class_list *c, const char *text)
{
    char letter[5] = {0};
    int bytes;
    for (; *text; text += bytes) {
        code_of(text, &bytes);
        memcpy(letter, text, (size_t)bytes);
        letter[bytes] = 0;
        if ((*out++ = find(c, letter)) < 0)
            return bm_fail(BM_ERR_CONFIG,
                           "the text has the character \"%s\", which is not among the %lld that are known", letter,
                           (long long)c->n - 1);
    }
    return BM_OK;
}

bm_status bm_spelling_target(int32_t *letters, int64_t most, const bm_class_list *c, const char *text, int64_t frames)
{
    const int64_t n = count_letters(text);
    if (n > most)
        return bm_fail(BM_ERR_CONFIG, "a text of %lld characters, where %lld are known at most", (long long)n,
                       (long long)most);
    for (int64_t i = 0; i < most; i++) letters[i] = -1;
    BM_TRY(encode(letters, c, text));
    const int64_t steps = bm_ctc_steps(letters, n);
    if (steps <= frames) return BM_OK;
    return bm_fail(BM_ERR_CONFIG,
                   "%lld frames, but CTC needs %lld to align \"%.100s\": a shorter --hop-ms, or leave it out",
                   (long long)frames, (long long)steps, text);
}
