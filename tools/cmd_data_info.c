/* bmtool data info: what a dataset holds. */
#include "tools/out.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool data info kjv.h5\n"
    "  bmtool data info kjv.h5 --json\n"
    "\n"
    "usage: bmtool data info D.h5 [--bigrams] [--json]\n"
    "\n"
    "Samples or tokens, parts, classes, columns, vocabulary, tokenizer and content id of a dataset. Does not read the\n"
    "samples (bmtool data verify does), but for the classes of each.\n"
    "\n"
    "  --bigrams  also the entropy of a token when the one before it is known: reads the tokens\n"
    "  --json     {\"schema\", \"kind\", \"tokens\", \"documents\", \"vocab_size\", \"eot_id\", \"splits\", ...}\n";

static int run(int argc, char **argv)
{
    int as_json = 0, bigrams = 0;
    const bm_opt opts[] = {{"json", 'j', BM_OPT_FLAG, &as_json, 0},
                           {"bigrams", 0, BM_OPT_FLAG, &bigrams, 0},
                           {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_info, opts, 1, 1);
    return code >= 0 ? code : bm_view_dataset(argv[0], -1, bigrams, as_json);
}

const bm_cmd bm_cmd_data_info = {"data info", "make data", "what a dataset holds", help, run};
