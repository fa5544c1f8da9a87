#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/text/utf8.h"
#include "models/convert/convert.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"

static bm_status show_progress(void *user, const char *tensor)
{
    (void)user;
    return bm_out_step("%s", tensor);
}

static int is_named_safetensors(const char *path)
{
    size_t n = strlen(path);
    return n > 12 && !strcmp(path + n - 12, ".safetensors");
}

/* The name of the output says what it is to be. */
static bm_status check_output(const char *out, int import)
{
    int safetensors = is_named_safetensors(out);
    if (import && safetensors)
        return bm_fail(BM_ERR_USAGE, "%s: the input is another project's already; a checkpoint's name ends in .h5", out);
    if (!import && !safetensors && strcmp(out, "-"))
        return bm_fail(BM_ERR_USAGE, "%s: a checkpoint becomes a safetensors file, whose name ends in .safetensors",
                       out);
    return BM_OK;
}

static int run_convert(int argc, char **argv)
{
    int force = 0, print = 0;
    const char *config = NULL, *licence = NULL;
    const bm_opt opts[] = {
        {"config", 'c', BM_OPT_STRING, &config, 0},
        {"print-config", 0, BM_OPT_FLAG, &print, 0},
        {"licence", 0, BM_OPT_STRING, &licence, 0},
        {"force", 'f', BM_OPT_FLAG, &force, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_convert, opts, 1, 2);
    if (code >= 0) return code;
    if (licence && !bm_utf8_valid(licence, strlen(licence))) return bm_out_usage(&bm_cmd_convert, "--licence is not UTF-8");
    if (argc == 1 && !print) return bm_out_usage(&bm_cmd_convert, "IN and OUT are wanted");
    const char *in = argv[0], *out = argc == 2 ? argv[1] : NULL;
    char *json = NULL;
    bm_status s = BM_OK;
    bm_convert_opts o = {.config = config, .licence = licence, .replace = force, .progress = show_progress};
    bm_signals_watch("\nbmtool: stopping\n");
    int import = 0;
    s = bm_convert_is_foreign(&import, in);
    import |= is_named_safetensors(in); /* of one that only has the name, what is wrong is told */
    if (!s && licence && !import) return bm_out_usage(&bm_cmd_convert, "--licence is for a checkpoint made of another project's weights");
    if (!s && out) s = check_output(out, import);
    if (!s && out) s = bm_output_check(out, force, (const char *const[]){in, config}, 2);
    if (!s && out) s = import ? bm_convert_import(in, out, &o) : bm_convert_export(in, out, &o);
    bm_out_progress("");
    /* The configuration is that of the checkpoint, whichever side it is on. */
    if (!s && print) s = bm_convert_config(&json, out && import ? out : in);
    if (json) printf("%s\n", json);
    bm_free(json);
    if (s) return bm_out_error(s);
    if (out) bm_out_note("wrote %s", out);
    return 0;
}

const bm_cmd bm_cmd_convert = {
    .name = "convert",
    .group = "change checkpoints",
    .summary = "checkpoints from and to safetensors; from Keras' weights",
    .help = "Examples:\n"
            "  bmtool convert model.safetensors gpt2.h5 --config config.json\n"
            "  bmtool convert lstm.safetensors lstm.h5 --config lstm.yaml     # an nn.LSTM of PyTorch\n"
            "  bmtool convert tagger.weights.h5 tagger.h5 --config gru.yaml   # model.save_weights(...) of Keras 3\n"
            "  bmtool convert runs/gpt model.safetensors --print-config > config.json\n"
            "\n"
            "usage: bmtool convert IN OUT [options]   IN: weights of another project, a checkpoint or a run folder\n"
            "  -c, --config FILE    what model IN is: the config.json of the transformers library, or a configuration of bm's:\n"
            "                       model: {family: rnn, cell: gru, layers: 2, width: 64, bidirectional: true, task: classes,\n"
            "                               vocab: 5000, embedding: 32, outputs: 4}   (features: N instead of vocab for numbers)\n"
            "                       data: {window: 100}                               (places of a sample, for eval and predict)\n"
            "      --print-config   print the config.json that belongs to the checkpoint (OUT may be left out); for rnn bm's\n"
            "      --licence L      the weights' licence, in words or as SPDX has it, for a checkpoint made of them\n"
            "  -f, --force          replace OUT when it exists\n"
            "\n"
            "What IN is, its content says. Families:\n"
            "  gpt   names and layouts of GPT-2 in the transformers library, read with or without \"transformer.\" and written\n"
            "        with it; there is no lm_head when it is tied\n"
            "  rnn   PyTorch: weight_ih_l0, ... in any module; the embedding is the one .weight without a .bias beside it, the\n"
            "        head the one with. Keras 3: Embedding, SimpleRNN, LSTM, GRU (reset_after=True), Bidirectional, Dense.\n"
            "        Activations are taken to be the defaults of both. Written are PyTorch's names\n"
            "What a file written here is, its metadata say: it needs no --config. Only OUT is written.\n",
    .run = run_convert,
};
