/* bmtool data verify: every byte of a dataset, and every token id. */
#include <inttypes.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "io/store/data.h"
#include "tools/out.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool data verify kjv.h5\n"
    "\n"
    "usage: bmtool data verify D.h5... [--json]\n"
    "\n"
    "Checks every byte of datasets against the manifest in each file, then that every token lies in the vocabulary, or that\n"
    "every sample has a class that there is.\n"
    "\n"
    "  --json    {\"schema\", \"sound\", \"files\": [{\"path\", \"sound\", \"tokens\", \"error\", \"damage\": "
    "[...]}]}\n"
    "\n"
    "Exit code: 0 all sound, 1 damaged, 3 not a dataset of bm, 4 cannot be read; of several files that of the first\n"
    "bad one.\n";

#define PIECE ((int64_t)1 << 16)

static bm_status check_ids(const bm_tokens *t)
{
    bm_status status = BM_OK;
    int32_t *ids = bm_alloc((size_t)PIECE * sizeof *ids);
    if (!ids) return BM_ERR_MEMORY;
    for (int64_t at = 0, n = bm_tokens_count(t); at < n && !status; at += PIECE)
        status = bm_tokens_read(t, ids, at, n - at < PIECE ? n - at : PIECE);
    bm_free(ids);
    return status;
}

/* Every sample as it is read for training: its classes, ids and length. */
static bm_status check_samples(const bm_samples *s)
{
    bm_batch b;
    const bm_sample_form f = bm_samples_form(s);
    bm_status status = bm_batch_create(&b, &f, 1);
    void *raw = status ? NULL : bm_alloc(bm_samples_raw_bytes(s));
    if (!status && !raw) status = BM_ERR_MEMORY;
    for (int64_t i = 0; i < bm_samples_count(s) && !status; i++) {
        status = bm_samples_read(s, raw, i);
        if (!status) status = bm_samples_decode(s, &b, 0, raw, i, NULL, 0);
    }
    bm_free(raw);
    bm_batch_finish(&b);
    return status;
}

static void say_sound(const char *path, const bm_data *d)
{
    char size[BM_OUT_NUMBER], count[BM_OUT_NUMBER];
    const bm_sample_form f = bm_data_form(d, 1);
    printf("%s: sound: %s, %s %s", path, bm_out_bytes(size, bm_store_bytes(bm_data_store(d))), bm_out_count(count, bm_data_count(d)),
           bm_data_tokens(d) ? "tokens" : "samples");
    if (bm_data_tokens(d)) printf(", all inside the vocabulary of %" PRId64 "\n", f.vocab);
    else if (f.classes) printf(", all of %" PRId64 " classes\n", f.classes);
    else printf("\n");
}

static bm_status verify_file(json_t *files, const char *path)
{
    bm_data *d = NULL;
    json_t *damage = files ? json_array() : NULL;
    bm_status status = bm_data_open(&d, path), inside = BM_OK;
    if (!status) status = bm_view_verify(bm_data_store(d), damage, files != NULL);
    if (!status) status = inside = bm_data_tokens(d) ? check_ids(bm_data_tokens(d)) : check_samples(bm_data_samples(d));
    if (files) {
        json_array_append_new(
            files, json_pack("{s:o, s:b, s:o, s:o, s:o}", "path", bm_json_shown(path), "sound", status == BM_OK,
                             d && bm_data_samples(d) ? "samples" : "tokens", d ? json_integer(bm_data_count(d)) : json_null(), "error",
                             status ? bm_json_shown(bm_error_text(status)) : json_null(), "damage", damage));
    } else if (!status) {
        say_sound(path, d);
    } else if (!d || inside) {
        bm_out_error(status); /* what is damaged inside was printed already */
    }
    bm_data_close(d);
    return status;
}

static int run(int argc, char **argv)
{
    int as_json = 0;
    const bm_opt opts[] = {{"json", 'j', BM_OPT_FLAG, &as_json, 0}, {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_verify, opts, 1, 1 << 20), first = 0;
    if (code >= 0) return code;
    json_t *files = as_json ? json_array() : NULL;
    for (int i = 0; i < argc; i++) {
        bm_status status = verify_file(files, argv[i]);
        if (status && !first) first = bm_status_exit_code(status);
    }
    if (as_json) {
        code = bm_out_json(json_pack("{s:i, s:b, s:o}", "schema", BM_VIEW_SCHEMA, "sound", first == 0, "files", files));
        if (code) return code;
    }
    return first;
}

const bm_cmd bm_cmd_data_verify = {"data verify", "make data", "check every byte and every token of datasets", help,
                                   run};
