/* bmtool search: tries values of a configuration's keys. */
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "models/train/halving.h"
#include "tools/cmd.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/search/results.h"
#include "tools/search/study.h"
#include "tools/search/trials.h"
#include "tools/session.h"
#include "tools/signals.h"
#include "tools/threads.h"

static const char help[] =
    "Examples:\n"
    "  bmtool search mlp.yaml                               20 random trials into studies/mlp\n"
    "  bmtool search mlp.yaml --method halving --trials 27 --metric accuracy --study studies/a\n"
    "  bmtool search --study studies/a                      goes on, or shows what came of it\n"
    "  bmtool plot studies/a --trials -o trials.png\n"
    "\n"
    "CONFIG.yaml is one for `bmtool train` with a section search, which says what to try (train leaves it aside):\n"
    "  search:\n"
    "    train.lr: [1e-4, 1e-2, log]            between the two, evenly in their logarithms\n"
    "    train.momentum: [0.0, 0.99, linear]    between the two, evenly\n"
    "    train.optimizer: [adam, sgd]           one of these\n"
    "    model.widths: [[32], [64, 64]]\n"
    "    train.batch: [16, 32, choice]          of two numbers it must be said what they are\n"
    "\n"
    "usage: bmtool search [CONFIG.yaml] [options]\n"
    "      --study DIR      the study's folder (default: studies/CONFIG); one that is there goes on\n"
    "      --trials N       how many (default 20); a random search that is there may get more\n"
    "      --seed N         what is drawn depends on it and the trial's number alone (default 1)\n"
    "      --method M       random (default): each trial trains to its end. halving: all train for a short time, the best\n"
    "                       1/eta go on to eta times as many steps, and so on to the end (successive halving)\n"
    "      --eta N          of halving (default 3)\n"
    "      --metric NAME    a score of `bmtool eval` on the validation part: val_loss (default), accuracy, f1_macro, r2, ...\n"
    "  -s, --set KEY=VALUE  set a key of the configuration for all trials; may be repeated\n"
    "  -d, --device SPEC    auto, cpu, gpu, gpu:1, pocl:0, ... (bmtool devices)\n"
    "      --threads N      of a CPU (default: as many as the process may use)\n"
    "      --gemm BACKEND   auto (measured), clblast, packed, packed_ab or tiled\n"
    "  -j, --json           {\"schema\", \"study\", \"method\", \"metric\", \"seed\", \"wanted\", \"best\", \"trials\": [{\"trial\", \"rung\",\n"
    "                       \"status\", \"score\", \"step\", \"seconds\", \"values\", \"scores\", \"reason\", \"run\"}]}, best first\n"
    "\n"
    "Each trial is a run, trained and measured in a process of its own; one that fails is recorded with the reason. A search\n"
    "that was stopped or killed goes on from the newest checkpoint of the trial under way. The table of trials goes to\n"
    "stdout, the best one's configuration into STUDY/best.yaml.\n";

/* studies/STEM of CONFIG's name; bm_free. */
static char *default_folder(const char *config)
{
    const char *name = strrchr(config, '/'), *dot;
    name = !strcmp(config, "-") ? "stdin" : name ? name + 1 : config;
    dot = strrchr(name, '.');
    bm_str path;
    bm_str_init(&path);
    bm_str_addf(&path, "studies/%.*s", (int)(dot && dot != name ? dot - name : (long)strlen(name)), name);
    return bm_str_take(&path);
}

static int check(const bm_study_opts *o)
{
    int code = 0;
    if (o->method && strcmp(o->method, "random") && strcmp(o->method, "halving"))
        return bm_out_usage(&bm_cmd_search, "--method %s: there is random and halving", o->method);
    if (o->metric && bm_metric_rises(o->metric) < 0) {
        const char *names[64];
        size_t n = 0;
        while (n < 64 && (names[n] = bm_metric_name((int)n))) n++;
        const char *nearest = bm_nearest(o->metric, names, n);
        return bm_out_usage(&bm_cmd_search, "--metric %s: no such score (%s%s%s)", o->metric, nearest ? "did you mean " : "there is ",
                            nearest ? nearest : "val_loss, accuracy, f1_macro, r2, ...", nearest ? "?" : "");
    }
    if (o->trials != -1) code = bm_opt_range_i64(&bm_cmd_search, "trials", o->trials, 1, 100000);
    if (!code && o->seed != -1) code = bm_opt_range_i64(&bm_cmd_search, "seed", o->seed, 0, INT64_MAX);
    if (!code && o->eta != -1) code = bm_opt_range_i64(&bm_cmd_search, "eta", o->eta, 2, 1000);
    return code ? code : bm_session_check_gemm(&bm_cmd_search, o->gemm);
}

static int do_search(const bm_study_opts *o, int json)
{
    bm_study *s = NULL;
    bm_signals_watch("\nbmtool: stopping once the trial under way has saved; once more stops at once\n");
    bm_status status = bm_study_open(&s, o);
    if (!status) status = bm_study_go(s);
    int code = bm_out_error(status);
    if (status == BM_ERR_STOPPED) {
        bm_out_note("go on with: bmtool search --study %s", o->folder);
    } else if (!status) {
        code = bm_study_print(s, json);
        if (!code) code = bm_out_error(bm_study_conclude(s));
    }
    bm_study_close(s);
    return code;
}

static int run(int argc, char **argv)
{
    bm_opt_list sets = {.count = 0};
    bm_study_opts o = {.trials = -1, .seed = -1, .eta = -1, .sets = &sets};
    int json = 0;
    const bm_opt opts[] = {
        {"study", 0, BM_OPT_STRING, &o.folder, 0},   {"trials", 0, BM_OPT_I64, &o.trials, 0},
        {"seed", 0, BM_OPT_I64, &o.seed, 0},         {"method", 0, BM_OPT_STRING, &o.method, 0},
        {"eta", 0, BM_OPT_I64, &o.eta, 0},           {"metric", 0, BM_OPT_STRING, &o.metric, 0},
        {"set", 's', BM_OPT_LIST, &sets, 0},         {"device", 'd', BM_OPT_STRING, &o.device, 0},
        {"threads", 0, BM_OPT_I64, &bm_threads, 0},  {"gemm", 0, BM_OPT_STRING, &o.gemm, 0},
        {"json", 'j', BM_OPT_FLAG, &json, 0},        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    int code = bm_opt_parse(&argc, argv, &bm_cmd_search, opts, 0, 1);
    if (code >= 0) return code;
    if (!argc && (!o.folder || !*o.folder)) return bm_out_usage(&bm_cmd_search, "CONFIG.yaml or --study is needed");
    if (o.gemm && !strcmp(o.gemm, "auto")) o.gemm = NULL;
    if ((code = check(&o))) return code;
    o.config = argc ? argv[0] : NULL;
    char *folder = o.folder && *o.folder ? bm_strdup(o.folder) : default_folder(argv[0]);
    if (!folder) return bm_out_error(BM_ERR_MEMORY);
    o.folder = folder;
    code = do_search(&o, json);
    bm_free(folder);
    return code;
}

const bm_cmd bm_cmd_search = {"search", "learn", "try values of a configuration's keys", help, run};
