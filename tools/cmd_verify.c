/* bmtool verify: every byte of a file against its manifest. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "tools/out.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool verify runs/a/checkpoints/step-00000500.h5\n"
    "  bmtool verify runs/a                  every checkpoint of the run\n"
    "  bmtool verify --json kjv.h5 runs/a\n"
    "\n"
    "usage: bmtool verify FILE|RUN... [--json]\n"
    "\n"
    "Checks every byte of checkpoints and datasets against the manifest in each file, and names every damaged dataset\n"
    "with its place in the file.\n"
    "\n"
    "  --json    {\"schema\", \"sound\", \"files\": [{\"path\", \"sound\", \"bytes\", \"content_id\", \"error\", "
    "\"damage\": [...]}]}\n"
    "\n"
    "Exit code: 0 all sound, 1 damaged, 3 not a file of bm, 4 cannot be read; of several files that of the first bad "
    "one.\n";

typedef struct verify {
    json_t *files; /* NULL: text */
    int code;      /* of the first bad file */
} verify;

static void tell_sound(const bm_store *s, double seconds)
{
    char size[BM_OUT_NUMBER], id[65];
    bm_content_id_hex(id, bm_store_content_id(s));
    printf("%s: sound: %s, %" PRId64 " datasets, %.2f GB/s, content id %.16s...\n", bm_store_path(s),
           bm_out_bytes(size, bm_store_bytes(s)), bm_store_count(s),
           (double)bm_store_bytes(s) / (seconds > 1e-9 ? seconds : 1e-9) * 1e-9, id);
}

static void verify_file(verify *v, const char *path)
{
    bm_store *s = NULL;
    json_t *damage = v->files ? json_array() : NULL;
    double start_s = bm_now_s();
    bm_status status = bm_store_open(&s, path);
    if (!status) status = bm_view_verify(s, damage, v->files != NULL);
    if (v->files) {
        char id[65] = "";
        if (s) bm_content_id_hex(id, bm_store_content_id(s));
        json_array_append_new(v->files,
                              json_pack("{s:o, s:b, s:o, s:o, s:o, s:o}", "path", bm_json_shown(path), "sound",
                                        status == BM_OK, "bytes", s ? json_integer(bm_store_bytes(s)) : json_null(),
                                        "content_id", s ? json_string(id) : json_null(), "error",
                                        status ? bm_json_shown(bm_error_text(status)) : json_null(), "damage", damage));
    } else if (!status) {
        tell_sound(s, bm_now_s() - start_s);
    } else if (!s) {
        bm_out_error(status); /* what is damaged inside was printed already */
    }
    if (status && !v->code) v->code = bm_status_exit_code(status);
    bm_store_close(s);
}

static void verify_run(verify *v, const char *run)
{
    uint64_t *steps;
    int64_t n;
    bm_status status = bm_run_steps(&steps, &n, run);
    if (!status && !n) status = bm_fail(BM_ERR_NOT_FOUND, "%s: there is no checkpoint in it", run);
    for (int64_t i = 0; i < n && !status; i++) {
        char *path;
        status = bm_run_checkpoint(&path, run, steps[i]);
        if (!status) verify_file(v, path);
        bm_free(path);
    }
    bm_free(steps);
    if (!status) return;
    bm_out_error(status);
    if (!v->code) v->code = bm_status_exit_code(status);
}

static int run(int argc, char **argv)
{
    int as_json = 0;
    const bm_opt opts[] = {{"json", 'j', BM_OPT_FLAG, &as_json, 0}, {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_verify, opts, 1, 1 << 20);
    if (code >= 0) return code;
    verify v = {as_json ? json_array() : NULL, 0};
    for (int i = 0; i < argc; i++) {
        if (bm_run_is_folder(argv[i]))
            verify_run(&v, argv[i]);
        else
            verify_file(&v, argv[i]);
    }
    if (as_json) {
        int printed =
            bm_out_json(json_pack("{s:i, s:b, s:o}", "schema", BM_VIEW_SCHEMA, "sound", v.code == 0, "files", v.files));
        if (printed) return printed;
    }
    return v.code;
}

const bm_cmd bm_cmd_verify = {"verify", "look into checkpoints", "check every byte of checkpoints and datasets", help,
                              run};
