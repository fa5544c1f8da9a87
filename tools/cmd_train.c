#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "models/config/space.h"
#include "models/nn/model.h"
#include "tools/cmd.h"
#include "tools/config_arg.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/session.h"
#include "tools/threads.h"
#include "tools/train_run.h"

/* runs/STEM of CONFIG's name, or the first of runs/STEM-2, runs/STEM-3, ... that does not exist; bm_free. */
static char *default_run(const char *config)
{
    const char *name = strrchr(config, '/'), *dot;
    if (!strcmp(config, "-")) config = "stdin";
    name = name ? name + 1 : config;
    dot = strrchr(name, '.');
    int length = (int)(dot && dot != name ? dot - name : (long)strlen(name));
    for (int i = 1;; i++) {
        bm_str path;
        bm_str_init(&path);
        bm_str_addf(&path, i > 1 ? "runs/%.*s-%d" : "runs/%.*s", length, name, i);
        char *text = bm_str_take(&path);
        if (!text || !bm_path_exists(text)) return text;
        bm_free(text);
    }
}

static int print_help(const bm_cmd *cmd)
{
    size_t n;
    char *keys = NULL;
    const bm_config_family *const *families = bm_model_families(&n);
    bm_status s = bm_config_help(&keys, families, n);
    if (s) return bm_out_error(s);
    bm_out_help(cmd);
    printf("\nKeys of CONFIG.yaml, each also as --set KEY=VALUE:\n%s", keys);
    bm_free(keys);
    return 0;
}

static int run_train(int argc, char **argv)
{
    const char *run = NULL, *device = NULL, *gemm = NULL;
    bm_opt_list sets = {.count = 0};
    const bm_opt opts[] = {
        {"run", 'r', BM_OPT_STRING, &run, 0},      {"set", 's', BM_OPT_LIST, &sets, 0},
        {"device", 'd', BM_OPT_STRING, &device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0}, {"gemm", 0, BM_OPT_STRING, &gemm, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return print_help(&bm_cmd_train);
    int code = bm_opt_parse(&argc, argv, &bm_cmd_train, opts, 1, 1);
    if (code >= 0) return code;
    if (run && !*run) return bm_out_usage(&bm_cmd_train, "--run needs the name of a folder");
    if (gemm && !strcmp(gemm, "auto")) gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_train, gemm))) return code;
    size_t n;
    bm_status status;
    bm_config *c = NULL;
    char *folder = NULL;
    const bm_space_key *space;
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(bm_config_create(&c, families, n));
    BM_GO(bm_config_arg(c, argv[0], &sets));
    if (bm_config_space(&space, c)) bm_out_note("%s: its section search is for `bmtool search`: training leaves it aside", argv[0]);
    folder = run ? bm_strdup(run) : default_run(argv[0]);
    if (!folder) {
        status = BM_ERR_MEMORY;
        goto done;
    }
    code = bm_train_run_do(&(bm_train_run){.cmd = &bm_cmd_train, .config = c, .run = folder, .flags = argv + argc + 1, .device = device, .gemm = gemm});
done:
    if (status) code = bm_out_error(status);
    bm_free(folder);
    bm_config_destroy(c);
    return code;
}

const bm_cmd bm_cmd_train = {
    .name = "train",
    .group = "learn",
    .summary = "train a model from a configuration",
    .help =
        "Examples:\n"
        "  bmtool train gpt.yaml\n"
        "  bmtool train gpt.yaml --run runs/kjv --set train.lr=3e-4 --set model.layers=12\n"
        "  bmtool train gpt.yaml --device gpu:1\n"
        "\n"
        "usage: bmtool train CONFIG.yaml [options]     CONFIG.yaml: - is standard input\n"
        "  -r, --run DIR        folder of the run; it must not exist (default: runs/CONFIG)\n"
        "  -s, --set KEY=VALUE  set a key of the configuration; may be repeated\n"
        "  -d, --device SPEC    auto, cpu, gpu, gpu:1, pocl:0, ... (bmtool devices)\n"
        "      --threads N      of a CPU (default: as many as the process may use)\n"
        "      --gemm BACKEND   auto (measured), clblast, packed, packed_ab or tiled\n"
        "\n"
        "SIGINT or SIGTERM finishes the step, saves a checkpoint and says how to resume; the second stops at once.\n",
    .run = run_train,
};
