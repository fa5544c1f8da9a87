#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/tokenizer_arg.h"

/* Numbers out of a stream of text; a number may be cut by the end of a piece. */
typedef struct reader {
    const bm_tokenizer *tokenizer;
    uint64_t id;
    int digits;
    int64_t count;
} reader;

static bm_status end_number(reader *r)
{
    size_t n;
    uint32_t id = r->id > UINT32_MAX ? UINT32_MAX : (uint32_t)r->id;
    const unsigned char *text = bm_tokenizer_token(r->tokenizer, id, &n);
    if (!r->digits) return BM_OK;
    r->count++;
    if (!text)
        return bm_fail(BM_ERR_SHAPE, "id %" PRIu64 " (number %" PRId64 ") is outside the vocabulary of %u", r->id, r->count,
                       bm_tokenizer_vocab_size(r->tokenizer));
    if (id != bm_tokenizer_eot(r->tokenizer)) fwrite(text, 1, n, stdout);
    r->id = 0;
    r->digits = 0;
    return BM_OK;
}

static bm_status feed(void *user, const void *text, size_t bytes)
{
    reader *r = user;
    const unsigned char *p = text;
    for (size_t i = 0; i < bytes; i++) {
        if (isdigit(p[i])) {
            if (r->id < UINT32_MAX) r->id = r->id * 10 + (uint64_t)(p[i] - '0');
            r->digits = 1;
        } else if (p[i] == ',' || isspace(p[i])) {
            BM_TRY(end_number(r));
        } else {
            return bm_fail(BM_ERR_USAGE, "after %" PRId64 " ids: expected numbers with spaces or commas between, found byte 0x%02x",
                           r->count, p[i]);
        }
    }
    return BM_OK;
}

static int run(int argc, char **argv)
{
    const bm_opt opts[] = {{NULL, 0, BM_OPT_FLAG, NULL, 0}};
    char *standard_input[] = {"-"};
    bm_tokenizer *t = NULL;
    bm_text_inputs *in = NULL;
    reader r = {0};
    bm_status status;
    int code = bm_opt_parse(&argc, argv, &bm_cmd_tokenizer_decode, opts, 1, 2);
    if (code >= 0) return code;
    BM_GO(bm_tokenizer_arg(&t, argv[0]));
    BM_GO(bm_text_inputs_create(&in, argc > 1 ? argv + 1 : standard_input, 1, 0));
    r.tokenizer = t;
    BM_GO(bm_text_inputs_read(in, 0, "decoding", feed, &r));
    BM_GO(end_number(&r));
done:
    code = bm_out_error(status);
    bm_text_inputs_destroy(in);
    bm_tokenizer_destroy(t);
    return code;
}

const bm_cmd bm_cmd_tokenizer_decode = {
    .name = "tokenizer decode",
    .group = "make data",
    .summary = "turn token ids back into the text",
    .help = "Examples:\n"
            "  echo 818 262 3726 | bmtool tokenizer decode gpt2.json\n"
            "  bmtool tokenizer encode gpt2.json book.txt --ids | bmtool tokenizer decode gpt2.json | cmp - book.txt\n"
            "\n"
            "usage: bmtool tokenizer decode TOKENIZER [FILE]\n"
            "\n"
            "  TOKENIZER   byte, a tokenizer's file, or a data set, checkpoint or run that holds one\n"
            "  FILE        ids with spaces, commas or new lines between; standard input when missing or -\n"
            "\n"
            "The bytes come out as they are, with no new line added; end-of-text stands for no bytes.\n",
    .run = run,
};
