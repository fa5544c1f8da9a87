#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/tokenizer_arg.h"

enum form { LINES, IDS, JSON };

typedef struct printer {
    const bm_tokenizer *tokenizer;
    bm_encoder *encoder;
    enum form form;
    int64_t count;
} printer;

/* A line for each token: id, tab, its bytes as they may be shown. */
static bm_status print_line(const printer *p, uint32_t id)
{
    size_t n;
    const unsigned char *text = bm_tokenizer_token(p->tokenizer, id, &n);
    bm_str shown;
    bm_status status;
    bm_str_init(&shown);
    bm_str_add_shown(&shown, text, n);
    status = bm_str_status(&shown);
    if (!status) printf("%u\t%s\n", id, bm_str_text(&shown));
    bm_str_finish(&shown);
    return status;
}

static bm_status print(void *user, const uint32_t *ids, size_t n)
{
    printer *p = user;
    for (size_t i = 0; i < n; i++, p->count++) {
        if (p->form == LINES) BM_TRY(print_line(p, ids[i]));
        else printf("%s%u", p->count == 0 ? "" : p->form == JSON ? ", " : " ", ids[i]);
    }
    return ferror(stdout) ? bm_fail_errno(errno, "standard output", "cannot write it") : BM_OK;
}

static bm_status feed(void *user, const void *text, size_t bytes) { return bm_encoder_feed(((printer *)user)->encoder, text, bytes); }

static bm_status encode(printer *p, bm_text_inputs *in, int special)
{
    bm_encoder_opts opts = bm_encoder_opts_default();
    bm_status status;
    opts.special = special;
    BM_TRY(bm_encoder_create(&p->encoder, p->tokenizer, &opts, print, p));
    if (p->form == JSON) printf("{\"ids\": [");
    BM_GO(bm_text_inputs_read(in, 0, "encoding", feed, p));
    BM_GO(bm_encoder_finish(p->encoder));
    if (p->form == JSON) printf("], \"tokens\": %" PRId64 ", \"bytes\": %" PRId64 "}", p->count, bm_text_inputs_bytes(in, 0));
    if (p->form != LINES) printf("\n");
done:
    bm_encoder_destroy(p->encoder);
    return status;
}

static int run(int argc, char **argv)
{
    int ids = 0, json = 0, special = 0, code;
    const bm_opt opts[] = {
        {"ids", 0, BM_OPT_FLAG, &ids, 0},
        {"json", 'j', BM_OPT_FLAG, &json, 0},
        {"special", 0, BM_OPT_FLAG, &special, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    char *standard_input[] = {"-"};
    bm_tokenizer *t = NULL;
    bm_text_inputs *in = NULL;
    bm_status status;
    code = bm_opt_parse(&argc, argv, &bm_cmd_tokenizer_encode, opts, 1, 2);
    if (code >= 0) return code;
    BM_GO(bm_tokenizer_arg(&t, argv[0]));
    BM_GO(bm_text_inputs_create(&in, argc > 1 ? argv + 1 : standard_input, 1, 0));
    BM_GO(encode(&(printer){t, NULL, json ? JSON : ids ? IDS : LINES, 0}, in, special));
done:
    code = bm_out_error(status);
    bm_text_inputs_destroy(in);
    bm_tokenizer_destroy(t);
    return code;
}

const bm_cmd bm_cmd_tokenizer_encode = {
    .name = "tokenizer encode",
    .group = "make data",
    .summary = "show the token ids of a text",
    .help = "Examples:\n"
            "  echo 'In the beginning' | bmtool tokenizer encode gpt2.json\n"
            "  bmtool tokenizer encode book.h5 book.txt --ids > book.ids\n"
            "\n"
            "usage: bmtool tokenizer encode TOKENIZER [FILE] [--ids | --json] [--special]\n"
            "\n"
            "  TOKENIZER     byte, a tokenizer's file, or a data set, checkpoint or run that holds one\n"
            "  FILE          the text; standard input when missing or -\n"
            "      --ids     only the ids, in one line\n"
            "      --json    {\"ids\": [...], \"tokens\": N, \"bytes\": N}\n"
            "      --special <|endoftext|> in the text is the token; else it is text like any other\n"
            "\n"
            "Without --ids and --json: one token a line, its id, a tab, and its bytes (those that cannot be shown as "
            "\\xNN).\n",
    .run = run,
};
