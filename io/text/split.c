#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "io/text/split_priv.h"
#include "io/text/utf8.h"

static const char pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

#define PIECE_BYTES ((size_t)64 << 10) /* taken in at a time */
#define JIT_STACK_BYTES ((size_t)1 << 20)

struct bm_splitter {
    bm_split_fn fn;
    void *user;
    pcre2_general_context *memory;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pcre2_code *code;
    pcre2_match_data *match;
    unsigned char *text; /* what is not handed over yet, as it came */
    unsigned char *seen; /* the same as the pattern sees it: bytes that are not UTF-8, and U+180E, replaced in place */
    size_t n, n_seen;    /* n - n_seen < 4: an unfinished character */
    size_t capacity;
    int no_memory;       /* an allocation of PCRE2's failed */
    size_t retry;        /* a pretoken is open at the end; looking again is worth while from this many bytes on */
};

static void *allocate(PCRE2_SIZE bytes, void *splitter)
{
    void *p = bm_alloc(bytes);
    if (!p) ((bm_splitter *)splitter)->no_memory = 1;
    return p;
}

static void release(void *p, void *unused)
{
    (void)unused;
    bm_free(p);
}

static bm_status compile(bm_splitter *s)
{
    int error;
    PCRE2_SIZE at;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK;
    pcre2_compile_context *compiler;
    s->memory = pcre2_general_context_create(allocate, release, s);
    if (!s->memory) return BM_ERR_MEMORY;
    compiler = pcre2_compile_context_create(s->memory);
    if (!compiler) return BM_ERR_MEMORY;
    s->code = pcre2_compile((PCRE2_SPTR)pattern, sizeof pattern - 1, options, &error, &at, compiler);
    pcre2_compile_context_free(compiler);
    if (!s->code && error == PCRE2_ERROR_HEAP_FAILED) return BM_ERR_MEMORY;
    if (!s->code) return bm_fail(BM_ERR_UNSUPPORTED, "PCRE2 does not take the splitting pattern (error %d at %zu)", error, at);
    s->match = pcre2_match_data_create(1, s->memory);
    s->context = pcre2_match_context_create(s->memory);
    if (!s->match || !s->context) return BM_ERR_MEMORY;
    /* where there is no JIT, or no memory may be made executable, the interpreter gives the same cuts */
    if (pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) == 0) {
        s->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_BYTES, s->memory);
        if (!s->stack) return BM_ERR_MEMORY;
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    }
    return s->no_memory ? BM_ERR_MEMORY : BM_OK;
}

bm_status bm_splitter_create(bm_splitter **out, bm_split_fn fn, void *user)
{
    bm_splitter *s = bm_calloc(1, sizeof *s);
    bm_status status;
    *out = NULL;
    if (!s) return BM_ERR_MEMORY;
    s->fn = fn;
    s->user = user;
    status = compile(s);
    if (status) bm_splitter_destroy(s);
    else *out = s;
    return status;
}

void bm_splitter_destroy(bm_splitter *s)
{
    if (!s) return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    pcre2_code_free(s->code);
    pcre2_general_context_free(s->memory);
    bm_free(s->text);
    bm_free(s->seen);
    bm_free(s);
}

static bm_status reserve(bm_splitter *s, size_t n)
{
    size_t capacity = s->capacity ? s->capacity : 2 * PIECE_BYTES;
    unsigned char *p;
    if (n <= s->capacity) return BM_OK;
    while (capacity < n) {
        if (bm_mul_size(&capacity, capacity, 2)) return bm_fail(BM_ERR_MEMORY, "a word of %zu bytes", n);
    }
    p = bm_realloc(s->text, capacity, 1);
    if (!p) return BM_ERR_MEMORY;
    s->text = p;
    p = bm_realloc(s->seen, capacity, 1);
    if (!p) return BM_ERR_MEMORY;
    s->seen = p;
    s->capacity = capacity;
    return BM_OK;
}

/* Carries `seen` on as far as characters are complete; at the end of the text, to its end. */
static void see(bm_splitter *s, int ending)
{
    static const unsigned char mongolian[] = {0xe1, 0xa0, 0x8e}, snowman[] = {0xe2, 0x98, 0x83};
    size_t i = s->n_seen;
    memcpy(s->seen + i, s->text + i, s->n - i);
    while (i < s->n) {
        int k;
        if (s->text[i] < 0x80) {
            i++;
            continue;
        }
        k = bm_utf8_length(s->text + i, s->n - i);
        if (k < 0 && !ending) break;
        if (k <= 0) {
            s->seen[i++] = '*';
            continue;
        }
        if (k == 3 && memcmp(s->text + i, mongolian, 3) == 0) memcpy(s->seen + i, snowman, 3);
        i += (size_t)k;
    }
    s->n_seen = i;
}

/* Hands over the pretokens that more text cannot change; at the end of the text, all. */
static bm_status cut(bm_splitter *s, int ending)
{
    uint32_t options = PCRE2_NO_UTF_CHECK | (ending ? 0 : PCRE2_PARTIAL_HARD);
    size_t done = 0;
    while (done < s->n_seen) {
        int found = pcre2_match(s->code, s->seen, s->n_seen, done, options, s->match, s->context);
        size_t end;
        if (found == PCRE2_ERROR_PARTIAL) break;
        if (found == PCRE2_ERROR_NOMEMORY || found == PCRE2_ERROR_HEAPLIMIT) return bm_fail(BM_ERR_MEMORY, "splitting text");
        end = found >= 0 ? pcre2_get_ovector_pointer(s->match)[1] : 0;
        if (end <= done) return bm_fail(BM_ERR_UNSUPPORTED, "PCRE2 failed in splitting text (error %d)", found);
        BM_TRY(s->fn(s->user, s->text + done, end - done));
        done = end;
    }
    if (done) {
        s->n -= done;
        s->n_seen -= done;
        memmove(s->text, s->text + done, s->n);
        memmove(s->seen, s->seen + done, s->n_seen);
    }
    /* each look goes through the whole of an open pretoken: twice as much text before the next keeps the sum linear */
    s->retry = s->n > PIECE_BYTES ? 2 * s->n : 0;
    return BM_OK;
}

bm_status bm_splitter_feed(bm_splitter *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    while (n > 0) {
        size_t k = n < PIECE_BYTES ? n : PIECE_BYTES;
        BM_TRY(reserve(s, s->n + k));
        memcpy(s->text + s->n, p, k);
        s->n += k;
        p += k;
        n -= k;
        see(s, 0);
        if (s->n >= s->retry) BM_TRY(cut(s, 0));
    }
    return BM_OK;
}

bm_status bm_splitter_finish(bm_splitter *s)
{
    if (s->n == 0) return BM_OK;
    see(s, 1);
    BM_TRY(cut(s, 1));
    s->n = s->n_seen = s->retry = 0;
    return BM_OK;
}
