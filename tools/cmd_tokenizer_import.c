#include <string.h>

#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/tokenizer_arg.h"

static int run(int argc, char **argv)
{
    const char *vocab_json = NULL, *merges = NULL, *output = NULL;
    int force = 0, code;
    const bm_opt opts[] = {
        {"vocab-json", 0, BM_OPT_STRING, &vocab_json, 1},
        {"merges", 0, BM_OPT_STRING, &merges, 1},
        {"output", 'o', BM_OPT_STRING, &output, 1},
        {"force", 'f', BM_OPT_FLAG, &force, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    bm_tokenizer *t = NULL;
    bm_status status;
    code = bm_opt_parse(&argc, argv, &bm_cmd_tokenizer_import, opts, 0, 0);
    if (code >= 0) return code;
    if (strcmp(output, "-")) BM_GO(bm_output_check(output, force, (const char *const[]){vocab_json, merges}, 2));
    BM_GO(bm_tokenizer_import_gpt2(&t, vocab_json, merges));
    BM_GO(bm_tokenizer_arg_save(t, output));
    bm_out_note("%s: a BPE tokenizer of %u ids, end-of-text is %u", output, bm_tokenizer_vocab_size(t), bm_tokenizer_eot(t));
done:
    code = bm_out_error(status);
    bm_tokenizer_destroy(t);
    return code;
}

const bm_cmd bm_cmd_tokenizer_import = {
    .name = "tokenizer import",
    .group = "make data",
    .summary = "take over GPT-2's vocabulary files",
    .help = "Examples:\n"
            "  bmtool tokenizer import --vocab-json encoder.json --merges vocab.bpe -o gpt2.json\n"
            "\n"
            "usage: bmtool tokenizer import --vocab-json FILE --merges FILE -o TOKENIZER.json [--force]\n"
            "\n"
            "      --vocab-json FILE   token -> id, also known as vocab.json\n"
            "      --merges FILE       one merge a line, also known as merges.txt\n"
            "  -o, --output FILE       where the tokenizer goes; - is standard output\n"
            "  -f, --force             replace an output that exists\n"
            "\n"
            "Every merge is checked against the ids: byte tokens 0 to 255, then the merges in their order, end-of-text "
            "last.\n",
    .run = run,
};
