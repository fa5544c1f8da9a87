#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/store/dataset.h"
#include "io/text/utf8.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"
#include "tools/tokenizer_arg.h"

typedef struct job {
    const char *output, *spec, *licence; /* as given to -o, --tokenizer and --licence (NULL: not) */
    double val_fraction;
    int force, json;
    bm_text_inputs *in;
    bm_tokenizer *tokenizer;
    bm_encoder *encoder;
    bm_tokens_writer *writer;
    bm_content_id content_id;
} job;

static bm_status take_ids(void *user, const uint32_t *ids, size_t n)
{
    return bm_tokens_writer_add(((job *)user)->writer, ids, (int64_t)n);
}

static bm_status take_text(void *user, const void *text, size_t bytes)
{
    return bm_encoder_feed(((job *)user)->encoder, text, bytes);
}

static bm_status make_tokenizer(job *j)
{
    int64_t vocab;
    if (!bm_tokenizer_arg_is_training(&vocab, j->spec)) return bm_tokenizer_arg(&j->tokenizer, j->spec);
    return bm_tokenizer_arg_train(&j->tokenizer, j->in, vocab);
}

/* Text as it may be shown to a terminal; NULL: no memory. */
static json_t *shown(const char *text)
{
    bm_str s;
    bm_str_init(&s);
    bm_str_add_shown(&s, text, strlen(text));
    json_t *json = bm_str_status(&s) ? NULL : json_string(bm_str_text(&s));
    bm_str_finish(&s);
    return json;
}

/* {"source": [names], "licence": text or null, "tokenizer": spec}: what the data set says about where it is from; freed by bm_free. */
static bm_status make_meta(char **out, const job *j)
{
    int bad = 0;
    json_t *sources = json_array();
    for (int i = 0; i < bm_text_inputs_count(j->in); i++)
        bad |= json_array_append_new(sources, shown(bm_text_inputs_name(j->in, i)));
    json_t *meta = json_pack("{s:o, s:s?, s:o}", "source", sources, "licence", j->licence, "tokenizer", shown(j->spec));
    bm_status status = bm_json_text(out, bad ? NULL : meta, 0);
    json_decref(meta);
    return status;
}

static bm_status open_writer(job *j)
{
    bm_tokens_opts opts = bm_tokens_opts_default();
    char *json = NULL, *meta = NULL;
    void *blob = NULL;
    bm_status status;
    BM_GO(bm_tokenizer_to_parts(&json, &blob, &opts.tokenizer_blob_bytes, j->tokenizer));
    BM_GO(make_meta(&meta, j));
    opts.vocab_size = bm_tokenizer_vocab_size(j->tokenizer);
    opts.eot_id = bm_tokenizer_eot(j->tokenizer);
    opts.val_fraction = j->val_fraction;
    opts.meta_json = meta;
    opts.tokenizer_json = json;
    opts.tokenizer_blob = blob;
    opts.replace = j->force;
    BM_GO(bm_tokens_writer_create(&j->writer, j->output, &opts));
done:
    bm_free(json);
    bm_free(meta);
    bm_free(blob);
    return status;
}

/* A document for each text: its ids, then end-of-text. */
static bm_status write_documents(job *j)
{
    uint32_t eot = bm_tokenizer_eot(j->tokenizer);
    BM_TRY(bm_encoder_create(&j->encoder, j->tokenizer, NULL, take_ids, j));
    for (int i = 0; i < bm_text_inputs_count(j->in); i++) {
        BM_TRY(bm_text_inputs_read(j->in, i, "encoding", take_text, j));
        BM_TRY(bm_encoder_finish(j->encoder));
        BM_TRY(bm_tokens_writer_add(j->writer, &eot, 1));
        BM_TRY(bm_tokens_writer_end_document(j->writer));
    }
    bm_out_progress("");
    return bm_tokens_writer_commit(&j->content_id, j->writer);
}

/* Reads the file that was written, and says what it holds. */
static bm_status report(const job *j)
{
    bm_tokens *t = NULL;
    int64_t start, train = 0, val = 0, bytes = 0;
    char a[BM_OUT_NUMBER], b[BM_OUT_NUMBER], hex[65];
    bm_status status;
    BM_GO(bm_tokens_open(&t, j->output));
    BM_GO(bm_tokens_split(&start, &train, t, "train"));
    if (bm_tokens_has_split(t, "val")) BM_GO(bm_tokens_split(&start, &val, t, "val"));
    for (int i = 0; i < bm_text_inputs_count(j->in); i++) bytes += bm_text_inputs_bytes(j->in, i);
    bm_content_id_hex(hex, &j->content_id);
    if (j->json) {
        json_t *o = json_object();
        json_object_set_new(o, "schema", json_integer(1));
        json_object_set_new(o, "output", bm_json_shown(j->output));
        json_object_set_new(o, "bytes", json_integer(bytes));
        json_object_set_new(o, "tokens", json_integer(bm_tokens_count(t)));
        json_object_set_new(o, "documents", json_integer(bm_tokens_documents(t)));
        json_object_set_new(o, "vocab_size", json_integer(bm_tokens_vocab(t)));
        json_object_set_new(o, "eot_id", json_integer(bm_tokens_eot(t)));
        json_object_set_new(o, "train_tokens", json_integer(train));
        json_object_set_new(o, "val_tokens", json_integer(val));
        json_object_set_new(o, "content_id", json_string(hex));
        bm_out_json(o);
    }
    bm_out_note("%s: %" PRId64 " tokens of %" PRId64 " bytes, vocabulary %" PRId64 "; %s to learn from, %s for validation",
                j->output, bm_tokens_count(t), bytes, bm_tokens_vocab(t), bm_out_count(a, train), bm_out_count(b, val));
done:
    bm_tokens_close(t);
    return status;
}

static int run(int argc, char **argv)
{
    job j = {.val_fraction = 0.1};
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j.output, 1},
        {"tokenizer", 't', BM_OPT_STRING, &j.spec, 1},
        {"val-fraction", 0, BM_OPT_F64, &j.val_fraction, 0},
        {"licence", 0, BM_OPT_STRING, &j.licence, 0},
        {"force", 'f', BM_OPT_FLAG, &j.force, 0},
        {"json", 'j', BM_OPT_FLAG, &j.json, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int64_t vocab;
    bm_status status;
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_text, opts, 1, INT32_MAX);
    if (code >= 0) return code;
    if (!(j.val_fraction >= 0 && j.val_fraction < 1))
        return bm_out_usage(&bm_cmd_data_text, "--val-fraction is at least 0 and below 1");
    if (j.licence && !bm_utf8_valid(j.licence, strlen(j.licence)))
        return bm_out_usage(&bm_cmd_data_text, "--licence is not UTF-8");
    bm_signals_watch("\nbmtool: stopping\n");
    BM_GO(bm_output_check(j.output, j.force, (const char *const *)argv, argc));
    BM_GO(bm_text_inputs_create(&j.in, argv, argc, bm_tokenizer_arg_is_training(&vocab, j.spec)));
    BM_GO(make_tokenizer(&j));
    BM_GO(open_writer(&j));
    BM_GO(write_documents(&j));
    BM_GO(report(&j));
done:
    code = bm_out_error(status);
    bm_tokens_writer_destroy(j.writer);
    bm_encoder_destroy(j.encoder);
    bm_tokenizer_destroy(j.tokenizer);
    bm_text_inputs_destroy(j.in);
    return code;
}

const bm_cmd bm_cmd_data_text = {
    .name = "data text",
    .group = "make data",
    .summary = "make a data set of token ids from texts",
    .help = "Examples:\n"
            "  bmtool data text book.txt -o book.h5 --tokenizer byte\n"
            "  bmtool data text docs/*.txt -o docs.h5 --tokenizer bpe:8192 --val-fraction 0.05\n"
            "  zcat web.gz | bmtool data text - -o web.h5 --tokenizer gpt2.json\n"
            "\n"
            "usage: bmtool data text FILE... -o OUT.h5 --tokenizer byte|bpe:N|TOKENIZER [options]\n"
            "\n"
            "  FILE                    a text in any encoding, one document each; - is standard input\n"
            "  -o, --output OUT.h5     the data set\n"
            "  -t, --tokenizer T       byte: a token for each byte, 257 ids\n"
            "                          bpe:N: a byte-level BPE of N ids, trained on these texts first\n"
            "                          else a tokenizer's file, or a data set or checkpoint that holds one\n"
            "      --val-fraction F    the share of tokens, at the end, that is kept for validation (0.1)\n"
            "      --licence L         the texts' licence, in words or as SPDX has it: it stays with what is trained on them\n"
            "  -f, --force             replace an output that exists\n"
            "      --json              report on standard output as JSON\n"
            "\n"
            "Each document ends with the end-of-text token. Texts are read as a stream and may be larger than memory; "
            "what is\n"
            "no file (a pipe) is copied to a temporary file when it must be read twice, for bpe:N.\n",
    .run = run,
};
