#include "tools/tokenizer_arg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/store/runfolder.h"
#include "io/store/store.h"
#include "io/text/bpe_train.h"
#include "tools/out.h"
#include "tools/signals.h"

#define MOST_JSON_BYTES ((int64_t)16 << 20)
#define MOST_BLOB_BYTES ((int64_t)256 << 20)

static const unsigned char hdf5_signature[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

static int is_hdf5(const char *path)
{
    unsigned char head[sizeof hdf5_signature] = {0};
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(head, 1, sizeof head, f) : 0;
    if (f) fclose(f);
    return n == sizeof head && memcmp(head, hdf5_signature, n) == 0;
}

static bm_status from_store(bm_tokenizer **out, const char *path)
{
    bm_store *store = NULL;
    const bm_entry *json, *blob;
    void *text = NULL, *bytes = NULL;
    bm_status status;
    BM_GO(bm_store_open(&store, path));
    json = bm_store_find(store, "/tokenizer/json");
    blob = bm_store_find(store, "/tokenizer/blob");
    if (!json) BM_GO(bm_fail(BM_ERR_NOT_FOUND, "%s: holds no tokenizer", path));
    BM_GO(bm_store_load(&text, store, json, MOST_JSON_BYTES));
    if (blob) BM_GO(bm_store_load(&bytes, store, blob, MOST_BLOB_BYTES));
    BM_GO(bm_tokenizer_from_parts(out, text, (size_t)json->bytes, bytes, blob ? (size_t)blob->bytes : 0, path));
done:
    bm_free(text);
    bm_free(bytes);
    bm_store_close(store);
    return status;
}

static bm_status from_run(bm_tokenizer **out, const char *run)
{
    char *path;
    bm_status status = bm_run_resolve(&path, run);
    if (!status) status = from_store(out, path);
    bm_free(path);
    return status;
}

bm_status bm_tokenizer_arg(bm_tokenizer **out, const char *spec)
{
    *out = NULL;
    if (strcmp(spec, "byte") == 0) return bm_tokenizer_create_byte(out);
    if (bm_run_is_folder(spec)) return from_run(out, spec);
    if (!bm_path_exists(spec))
        return bm_fail(BM_ERR_NOT_FOUND,
                       "%s: there is no such tokenizer: byte, or a file, data set or checkpoint that holds one", spec);
    return is_hdf5(spec) ? from_store(out, spec) : bm_tokenizer_load(out, spec);
}

int bm_tokenizer_arg_is_training(int64_t *vocab_size, const char *spec)
{
    *vocab_size = 0;
    if (strncmp(spec, "bpe:", 4) != 0) return 0;
    if (bm_parse_i64(vocab_size, spec + 4)) *vocab_size = -1;
    return 1;
}

static bm_status feed(void *user, const void *text, size_t bytes) { return bm_bpe_trainer_feed(user, text, bytes); }

static int report(void *user, uint32_t merges, uint32_t of)
{
    char line[80];
    (void)user;
    snprintf(line, sizeof line, "training  %u of %u merges", merges, of);
    bm_out_progress(line);
    return bm_signals_stopped();
}

bm_status bm_tokenizer_arg_train(bm_tokenizer **out, bm_text_inputs *in, int64_t vocab_size)
{
    bm_bpe_train_opts opts = bm_bpe_train_opts_default();
    bm_bpe_trainer *trainer = NULL;
    bm_status status;
    *out = NULL;
    if (vocab_size < 0) return bm_fail(BM_ERR_USAGE, "--tokenizer bpe:N: N must be a whole number, the ids in all");
    opts.vocab_size = vocab_size < 0 || vocab_size > UINT32_MAX ? 0 : (uint32_t)vocab_size;
    opts.progress = report;
    BM_GO(bm_bpe_trainer_create(&trainer, &opts));
    for (int i = 0; i < bm_text_inputs_count(in); i++) {
        BM_GO(bm_text_inputs_read(in, i, "counting words", feed, trainer));
        BM_GO(bm_bpe_trainer_end_document(trainer));
    }
    BM_GO(bm_bpe_trainer_train(out, trainer));
done:
    bm_bpe_trainer_destroy(trainer);
    bm_out_progress("");
    return status;
}

bm_status bm_tokenizer_arg_save(const bm_tokenizer *t, const char *output)
{
    char *text = NULL;
    if (strcmp(output, "-")) return bm_tokenizer_save(t, output);
    BM_TRY(bm_tokenizer_to_text(&text, t));
    bm_status status = fputs(text, stdout) < 0 ? bm_fail_errno(errno, "standard output", "cannot write it") : BM_OK;
    bm_free(text);
    return status;
}
