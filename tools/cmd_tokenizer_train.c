#include <string.h>

#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"
#include "tools/tokenizer_arg.h"

static int run(int argc, char **argv)
{
    const char *output = NULL;
    int64_t vocab = 0;
    int force = 0, code;
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &output, 1},
        {"vocab", 0, BM_OPT_I64, &vocab, 1},
        {"force", 'f', BM_OPT_FLAG, &force, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    bm_text_inputs *in = NULL;
    bm_tokenizer *t = NULL;
    bm_status status;
    code = bm_opt_parse(&argc, argv, &bm_cmd_tokenizer_train, opts, 1, INT32_MAX);
    if (code >= 0) return code;
    code = bm_opt_range_i64(&bm_cmd_tokenizer_train, "vocab", vocab, 257, 1 << 24);
    if (code) return code;
    bm_signals_watch("\nbmtool: stopping\n");
    if (strcmp(output, "-")) BM_GO(bm_output_check(output, force, (const char *const *)argv, argc));
    BM_GO(bm_text_inputs_create(&in, argv, argc, 0));
    BM_GO(bm_tokenizer_arg_train(&t, in, vocab));
    BM_GO(bm_tokenizer_arg_save(t, output));
    bm_out_note("%s: a BPE tokenizer of %u ids (256 bytes, %u merges, end-of-text)", output, bm_tokenizer_vocab_size(t),
                bm_tokenizer_vocab_size(t) - 257);
done:
    code = bm_out_error(status);
    bm_tokenizer_destroy(t);
    bm_text_inputs_destroy(in);
    return code;
}

const bm_cmd bm_cmd_tokenizer_train = {
    .name = "tokenizer train",
    .group = "make data",
    .summary = "train a byte-level BPE on texts",
    .help = "Examples:\n"
            "  bmtool tokenizer train book.txt -o book.json --vocab 4096\n"
            "  zcat logs.gz | bmtool tokenizer train - -o logs.json --vocab 32000\n"
            "\n"
            "usage: bmtool tokenizer train FILE... -o TOKENIZER.json --vocab N [--force]\n"
            "\n"
            "  FILE                a text in any encoding; - is standard input\n"
            "  -o, --output FILE   where the tokenizer goes; - is standard output\n"
            "      --vocab N       ids in all: 256 bytes, N - 257 merges, end-of-text\n"
            "  -f, --force         replace an output that exists\n"
            "\n"
            "Texts are cut into words as GPT-2 cuts them; the most frequent pair is merged first, and ties go to the "
            "smaller\n"
            "pair. The same texts give the same tokenizer. Texts are read as a stream and may be larger than memory.\n",
    .run = run,
};
