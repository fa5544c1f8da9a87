#include <string.h>

#include "core/base/file.h"
#include "io/store/runfolder.h"
#include "models/nn/model.h"
#include "models/train/task.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/session.h"
#include "tools/threads.h"
#include "tools/train_run.h"

static int run_resume(int argc, char **argv)
{
    const char *device = NULL, *gemm = NULL;
    bm_opt_list sets = {.count = 0};
    const bm_opt opts[] = {
        {"set", 's', BM_OPT_LIST, &sets, 0},
        {"device", 'd', BM_OPT_STRING, &device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0},
        {"gemm", 0, BM_OPT_STRING, &gemm, 0},
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_resume, opts, 1, 1);
    if (code >= 0) return code;
    if (gemm && !strcmp(gemm, "auto")) gemm = NULL;
    if ((code = bm_session_check_gemm(&bm_cmd_resume, gemm))) return code;
    if (!bm_path_exists(argv[0])) return bm_out_error(bm_fail(BM_ERR_NOT_FOUND, "%s: there is no such run", argv[0]));
    if (!bm_run_is_folder(argv[0])) return bm_out_usage(&bm_cmd_resume, "%s is not the folder of a run", argv[0]);
    size_t n;
    bm_status status;
    bm_config *c = NULL;
    bm_checkpoint *from = NULL;
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(bm_config_create(&c, families, n));
    BM_GO(bm_train_run_load(c, &from, argv[0]));
    for (int i = 0; i < sets.count; i++) {
        if (from && !strncmp(sets.item[i], "init=", 5))
            BM_GO(bm_fail(BM_ERR_CONFIG, "init counts at the start of a run only: start another"));
        BM_GO(bm_config_set(c, sets.item[i]));
    }
    if (from) BM_GO(bm_task_check_weights(c, from));
    /* Epochs become steps once the data are open. */
    if (bm_config_is_null(c, "train.epochs") && bm_train_run_finished(c, from, argv[0])) code = 0;
    else code = bm_train_run_do(&(bm_train_run){&bm_cmd_resume, c, argv[0], argv + argc + 1, device, gemm, from, from == NULL, 0});
done:
    if (status) code = bm_out_error(status);
    bm_checkpoint_close(from);
    bm_config_destroy(c);
    return code;
}

const bm_cmd bm_cmd_resume = {
    .name = "resume",
    .group = "learn",
    .summary = "go on with a run from its newest sound checkpoint",
    .help = "Examples:\n"
            "  bmtool resume runs/gpt\n"
            "  bmtool resume runs/gpt --set train.steps=2000\n"
            "  bmtool resume runs/mlp --set train.epochs=40\n"
            "\n"
            "usage: bmtool resume RUN [options]\n"
            "  -s, --set KEY=VALUE  change a key of the run's configuration; may be repeated\n"
            "  -d, --device SPEC    another device than the configuration's\n"
            "      --threads N      of a CPU (default: as many as the process may use)\n"
            "      --gemm BACKEND   another GEMM backend than the run began with\n"
            "\n"
            "On the same device and build the result is bitwise that of a run that never stopped.\n",
    .run = run_resume,
};
