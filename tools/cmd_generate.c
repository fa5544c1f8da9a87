#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/text/tokenizer.h"
#include "models/infer/generator.h"
#include "models/infer/sampler.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/signals.h"
#include "tools/threads.h"
#include "tools/use.h"

typedef struct generate_args {
    const char *checkpoint, *prompt, *device, *gemm, *weights;
    bm_dtype type; /* of the weights */
    int64_t tokens, top_k, seed;
    double temperature, top_p;
    int stop;
} generate_args;

static bm_status open_tokenizer(bm_tokenizer **out, const bm_use *u)
{
    const bm_ckpt_desc *d = bm_checkpoint_desc(u->checkpoint);
    *out = NULL;
    if (!bm_config_has(u->config, "model.vocab") || bm_config_is_null(u->config, "model.vocab"))
        return bm_fail(BM_ERR_CONFIG, "%s: a model that has learned no language writes nothing", bm_checkpoint_path(u->checkpoint));
    if (!d->tokenizer_json)
        return bm_fail(BM_ERR_CONFIG, "%s has no tokenizer: train from it with init and a data set that has one",
                       bm_checkpoint_path(u->checkpoint));
    return bm_tokenizer_from_parts(out, d->tokenizer_json, strlen(d->tokenizer_json), d->tokenizer_blob, d->tokenizer_blob_bytes,
                                   bm_checkpoint_path(u->checkpoint));
}

/* The prompt's ids; end of text alone for an empty prompt: a document begins. */
static bm_status encode_prompt(uint32_t **ids, size_t *n, const bm_tokenizer *t, const char *prompt)
{
    if (*prompt) return bm_tokenizer_encode(ids, n, t, prompt, strlen(prompt));
    *ids = bm_calloc(1, sizeof **ids);
    if (!*ids) return BM_ERR_MEMORY;
    **ids = bm_tokenizer_eot(t);
    *n = 1;
    return BM_OK;
}

/* Reads the prompt and writes the tokens as they come; *made of them. */
static bm_status generate(const generate_args *a, bm_generator *g, bm_sampler *sampler, const bm_tokenizer *t, int64_t *made)
{
    const float *logits;
    uint32_t *ids = NULL;
    size_t n = 0;
    BM_TRY(encode_prompt(&ids, &n, t, a->prompt));
    bm_out_progress("reading the prompt");
    bm_status status = bm_generator_feed(g, (const int32_t *)ids, (int64_t)n, &logits);
    bm_out_progress("");
    bm_free(ids);
    BM_TRY(status);
    fputs(a->prompt, stdout);
    for (*made = 0; *made < a->tokens; ++*made) {
        int64_t id;
        size_t bytes;
        BM_TRY(bm_sampler_pick(&id, sampler, logits, *made));
        if (a->stop && id == (int64_t)bm_tokenizer_eot(t)) break;
        const unsigned char *text = bm_tokenizer_token(t, (uint32_t)id, &bytes);
        fwrite(text, 1, bytes, stdout);
        if (fflush(stdout)) return bm_fail_errno(errno, "standard output", "cannot write it");
        if (bm_signals_stopped()) return bm_fail(BM_ERR_STOPPED, "stopped after %lld tokens", (long long)*made + 1);
        if (*made + 1 < a->tokens) {
            int32_t next = (int32_t)id;
            BM_TRY(bm_generator_feed(g, &next, 1, &logits));
        }
    }
    return BM_OK;
}

static int do_generate(const generate_args *a)
{
    bm_status status;
    bm_use u = {0};
    bm_tokenizer *tokenizer = NULL;
    bm_generator *generator = NULL;
    bm_sampler *sampler = NULL;
    int code = 0;
    int64_t made = 0;
    BM_GO(bm_use_open(&u, a->checkpoint));
    BM_GO(open_tokenizer(&tokenizer, &u));
    bm_sampler_opts so = {.temperature = a->temperature, .top_k = a->top_k, .top_p = a->top_p, .seed = (uint64_t)a->seed,
                          .banned = a->stop ? -1 : (int64_t)bm_tokenizer_eot(tokenizer)};
    /* A model may know more ids than the tokenizer has; those are never drawn. */
    BM_GO(bm_sampler_create(&sampler, bm_tokenizer_vocab_size(tokenizer), &so));
    BM_GO(bm_use_load(&u, a->device, a->gemm, a->type));
    BM_GO(bm_generator_create(&generator, u.session.engine, u.model, u.config, u.params, a->gemm));
    bm_signals_watch("");
    signal(SIGPIPE, SIG_DFL); /* nobody reads on: nothing is left to do */
    double start = bm_now_s();
    status = generate(a, generator, sampler, tokenizer, &made);
    if (bm_out_is_terminal(stdout)) printf("\n");
    if (!status && bm_out_is_terminal(stderr) && made)
        bm_out_note("%lld tokens, %.1f a second", (long long)made, (double)made / (bm_now_s() - start));
done:
    if (status) code = bm_out_error(status);
    bm_sampler_destroy(sampler);
    bm_generator_destroy(generator);
    bm_tokenizer_destroy(tokenizer);
    bm_use_close(&u);
    return code;
}

static int run_generate(int argc, char **argv)
{
    generate_args a = {.prompt = "", .tokens = 100, .temperature = 1, .top_p = 1, .seed = 1};
    const bm_opt opts[] = {
        {"prompt", 'p', BM_OPT_STRING, &a.prompt, 0},     {"tokens", 'n', BM_OPT_I64, &a.tokens, 0},
        {"temperature", 't', BM_OPT_F64, &a.temperature, 0}, {"top-k", 0, BM_OPT_I64, &a.top_k, 0},
        {"top-p", 0, BM_OPT_F64, &a.top_p, 0},            {"seed", 0, BM_OPT_I64, &a.seed, 0},
        {"stop", 0, BM_OPT_FLAG, &a.stop, 0},             {"device", 'd', BM_OPT_STRING, &a.device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0},
        {"gemm", 0, BM_OPT_STRING, &a.gemm, 0},           {"weights", 0, BM_OPT_STRING, &a.weights, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_generate, opts, 1, 1);
    if (code >= 0) return code;
    if (a.gemm && !strcmp(a.gemm, "auto")) a.gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_generate, a.gemm))) return code;
    if ((code = bm_use_weights(&a.type, &bm_cmd_generate, a.weights))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_generate, "tokens", a.tokens, 0, INT64_MAX / 2))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_generate, "top-k", a.top_k, 0, INT64_MAX))) return code;
    if ((code = bm_opt_range_i64(&bm_cmd_generate, "seed", a.seed, 0, INT64_MAX))) return code;
    if (!(a.temperature >= 0 && isfinite(a.temperature)))
        return bm_out_usage(&bm_cmd_generate, "--temperature must be 0 or more");
    if (!(a.top_p > 0 && a.top_p <= 1)) return bm_out_usage(&bm_cmd_generate, "--top-p must be above 0 and at most 1");
    a.checkpoint = argv[0];
    return do_generate(&a);
}

const bm_cmd bm_cmd_generate = {
    .name = "generate",
    .group = "use",
    .summary = "write text with a trained model",
    .help = "Examples:\n"
            "  bmtool generate runs/gpt --prompt 'In the beginning' --tokens 200\n"
            "  bmtool generate runs/gpt -p 'And ' -n 100 --temperature 0.8 --top-k 40 --seed 7\n"
            "\n"
            "usage: bmtool generate CKPT [options]    CKPT: a checkpoint, or a run folder (its newest sound one)\n"
            "  -p, --prompt TEXT    what the text begins with (default: the beginning of a document)\n"
            "  -n, --tokens N       tokens to write (default 100)\n"
            "  -t, --temperature X  1 (default) as trained, lower is safer, 0 always takes the likeliest\n"
            "      --top-k K        draw from the K likeliest tokens only; 0 (default): from all\n"
            "      --top-p P        draw from the likeliest tokens that together have probability P; 1 (default): from all\n"
            "      --seed N         another text for each (default 1)\n"
            "      --stop           stop at the end of a document; without it, no document ends\n"
            "  -d, --device SPEC    auto, cpu, gpu, gpu:1, pocl:0, ... (bmtool devices)\n"
            "      --threads N      of a CPU (default: as many as the process may use)\n"
            "      --gemm BACKEND   auto (measured), clblast, packed, packed_ab or tiled\n"
            "      --weights TYPE   f32, f16, bf16 or int8: how matrices are kept; f16 and bf16 take half the memory,\n"
            "                       int8 a quarter, with a scale for each row (default f32)\n"
            "\n"
            "Standard output gets the prompt and the raw bytes of exactly N tokens.\n",
    .run = run_generate,
};
