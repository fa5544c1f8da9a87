#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "io/store/runfolder.h"
#include "models/train/learner.h"
#include "models/train/task.h"
#include "tools/config_arg.h"
#include "tools/out.h"
#include "tools/search/study_priv.h"

enum { SCHEMA = 1, WAIT_S = 60, MOST_TRIALS = 100000 };

static char *path_in(const bm_study *s, const char *fmt, int64_t number)
{
    char name[64];
    snprintf(name, sizeof name, fmt, (long long)number);
    return bm_path_join(s->folder, name);
}

char *bm_study_run(const bm_study *s, int64_t trial) { return path_in(s, "trial-%04lld", trial); }
char *bm_study_log(const bm_study *s, int64_t trial) { return path_in(s, "logs/trial-%04lld.log", trial); }

/* ---- configurations ---- */

/* Relative paths start at the folder of CONFIG, or at `folder` where they do not matter. */
static bm_status config_of(bm_config **out, const json_t *head, const char *folder)
{
    size_t n, i;
    const json_t *set;
    bm_opt_list sets = {.count = 0};
    const bm_config_family *const *families = bm_model_families(&n);
    const char *text = json_string_value(json_object_get(head, "config")), *name = json_string_value(json_object_get(head, "name"));
    *out = NULL;
    if (!text || !name) return bm_fail(BM_ERR_DAMAGED, "study.json: holds no configuration");
    json_array_foreach(json_object_get(head, "set"), i, set)
        if (sets.count < BM_OPT_LIST_MAX && json_is_string(set)) sets.item[sets.count++] = json_string_value(set);
    BM_TRY(bm_config_create(out, families, n));
    bm_status status = bm_config_arg_text(*out, text, name, folder ? folder : json_string_value(json_object_get(head, "folder")), &sets);
    if (status) {
        bm_config_destroy(*out);
        *out = NULL;
    }
    return status;
}

json_t *bm_study_values(const bm_study *s, int64_t trial)
{
    const bm_space_key *k;
    char value[BM_SPACE_VALUE];
    json_t *o = json_object();
    const size_t n = bm_config_space(&k, s->config);
    for (size_t i = 0; i < n; i++)
        if (json_object_set_new(o, k[i].name, json_string(bm_space_draw(value, &k[i], (uint64_t)s->seed, (uint32_t)trial)))) {
            json_decref(o);
            return NULL;
        }
    return o;
}

bm_status bm_study_config(bm_config **out, const bm_study *s, int64_t trial)
{
    const char *key;
    json_t *value, *values = trial ? bm_study_values(s, trial) : json_object();
    bm_status status = config_of(out, s->head, NULL);
    if (!status && !values) status = BM_ERR_MEMORY;
    json_object_foreach(values, key, value) {
        bm_str set;
        bm_str_init(&set);
        bm_str_addf(&set, "%s=%s", key, json_string_value(value));
        if (!status) status = bm_str_status(&set);
        if (!status) status = bm_config_set(*out, bm_str_text(&set));
        bm_str_finish(&set);
    }
    json_decref(values);
    if (status) {
        bm_config_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* Whether data and model fit together as far as CONFIG goes, and what evaluations take. */
static bm_status check_task(bm_study *s)
{
    int64_t count = 0;
    bm_task task = {0};
    bm_config *c = NULL;
    const bm_space_key *keys;
    if (!bm_config_space(&keys, s->config))
        return bm_fail(BM_ERR_CONFIG, "%s: has no section search; `bmtool search --help` shows one", json_string_value(json_object_get(s->head, "name")));
    bm_status status = bm_study_config(&c, s, 0);
    if (!status) status = bm_task_open(&task, c, 0);
    if (!status) {
        s->eval_tokens = bm_config_i64(c, "train.eval_tokens");
        if (bm_data_has_part(task.data, "val")) status = bm_data_part(&count, task.data, "val", bm_window_of(c));
        if (!status && !count) status = bm_fail(BM_ERR_CONFIG, "%s: has no validation part, which trials are compared on", bm_config_string(c, "data.path"));
    }
    bm_task_close(&task);
    bm_config_destroy(c);
    return status;
}

/* ---- files ---- */

static bm_status read_json(json_t **out, const bm_study *s, const char *name)
{
    size_t bytes;
    json_error_t e;
    char *path = bm_path_join(s->folder, name), *text = NULL;
    bm_status status = path ? bm_file_read(&text, &bytes, path, BM_STUDY_MOST_BYTES) : BM_ERR_MEMORY;
    if (!status) *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &e);
    if (!status && !*out) status = bm_fail(BM_ERR_DAMAGED, "%s:%d: %s", path, e.line, e.text);
    bm_free(text);
    bm_free(path);
    return status;
}

bm_status bm_study_write(const bm_study *s, const char *name, const char *text, size_t bytes)
{
    char *path = bm_path_join(s->folder, name);
    bm_status status = path ? bm_file_replace(path, text, bytes) : BM_ERR_MEMORY;
    bm_free(path);
    return status;
}

static bm_status write_head(const bm_study *s)
{
    char *text = NULL;
    bm_status status = bm_json_text(&text, s->head, JSON_INDENT(1));
    if (!status) status = bm_study_write(s, "study.json", text, strlen(text));
    bm_free(text);
    return status;
}

/* Whether the process that wrote its number into the lock lives. */
static int owner_lives(int fd, long *pid)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    int64_t number = 0;
    *pid = n > 0 && !bm_parse_i64(&number, text) ? (long)number : 0;
    return *pid > 0 && (!kill((pid_t)*pid, 0) || errno == EPERM);
}

/* A search that was killed leaves a trial that finishes its step and saves: that is waited for. */
static bm_status take_lock(bm_study *s)
{
    char text[24], *path = bm_path_join(s->folder, "lock");
    const struct timespec pause = {0, 100000000};
    long pid = 0;
    bm_status status = path ? BM_OK : BM_ERR_MEMORY;
    if (!status) s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (!status && s->lock < 0) status = bm_fail_errno(errno, path, "open");
    for (int i = 0; !status && flock(s->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; i++) {
        if (owner_lives(s->lock, &pid) || i == WAIT_S * 10)
            status = bm_fail(BM_ERR_REFUSED, "%s: another process (%ld) is working at this study", s->folder, pid);
        if (i == 5) bm_out_note("waiting for a trial to stop whose search is gone");
        nanosleep(&pause, NULL);
    }
    if (!status) {
        const int n = snprintf(text, sizeof text, "%ld", (long)getpid());
        if (ftruncate(s->lock, 0) || pwrite(s->lock, text, (size_t)n, 0) != n) status = bm_fail_errno(errno, path, "write");
    }
    bm_free(path);
    return status;
}

/* Whether there is nothing in the folder but what a study has before its study.json. */
static int is_bare(const char *folder)
{
    int others = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        others += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "lock") && strcmp(e->d_name, "logs") &&
                  strncmp(e->d_name, "study.json.", 11);
    if (d) closedir(d);
    return !others;
}

/* ---- opening ---- */

static bm_status make_head(json_t **out, const bm_study_opts *o)
{
    const char *name;
    char *text = NULL, *folder = NULL;
    json_t *sets = json_array();
    bm_status status = bm_config_arg_read(&text, &folder, &name, o->config);
    for (int i = 0; o->sets && i < o->sets->count; i++) json_array_append_new(sets, json_string(o->sets->item[i]));
    if (!status) {
        *out = json_pack("{s:i, s:s, s:s, s:s, s:O, s:I, s:I, s:s, s:I, s:s, s:s?, s:s?}", "schema", SCHEMA, "name", name, "folder", folder, "config",
                         text, "set", sets, "seed", (json_int_t)(o->seed < 0 ? 1 : o->seed), "trials", (json_int_t)(o->trials < 0 ? 20 : o->trials),
                         "method", o->method ? o->method : "random", "eta", (json_int_t)(o->eta < 0 ? 3 : o->eta), "metric",
                         o->metric ? o->metric : "val_loss", "device", o->device, "gemm", o->gemm);
        if (!*out) status = bm_fail(BM_ERR_CONFIG, "%s: is no UTF-8, or there is no memory", name);
    }
    json_decref(sets);
    bm_free(text);
    bm_free(folder);
    return status;
}

static bm_status differs(const bm_study *s, const char *what, const char *now, const char *then)
{
    return bm_fail(BM_ERR_DIFFERS, "%s: its %s is %s, not %s: begin another study with --study", s->folder, what, then, now);
}

/* CONFIG is given again: it must say the same. */
static bm_status check_config(const bm_study *s, const bm_study_opts *o)
{
    json_t *head = NULL;
    bm_config *c = NULL;
    char *now = NULL, *then = NULL;
    bm_status status = make_head(&head, o);
    if (!status) status = config_of(&c, head, NULL);
    if (!status) status = bm_config_to_json(&now, c);
    if (!status) status = bm_config_to_json(&then, s->config);
    if (!status && (strcmp(now, then) || !bm_config_same_space(c, s->config)))
        status = bm_fail(BM_ERR_DIFFERS, "%s: this study was begun with another configuration than %s says now: go on without it, or begin "
                                         "another with --study", s->folder, o->config);
    bm_free(now);
    bm_free(then);
    bm_config_destroy(c);
    json_decref(head);
    return status;
}

static bm_status check_number(const bm_study *s, const char *what, int64_t now)
{
    char a[24], b[24];
    const int64_t then = json_integer_value(json_object_get(s->head, what));
    if (now < 0 || now == then) return BM_OK;
    snprintf(a, sizeof a, "%lld", (long long)now);
    snprintf(b, sizeof b, "%lld", (long long)then);
    return differs(s, what, a, b);
}

/* What is given again must be what it was; more trials, and another metric, are what a random search can take. */
static bm_status check_opts(int *changed, bm_study *s, const bm_study_opts *o)
{
    const char *method = json_string_value(json_object_get(s->head, "method")), *metric = json_string_value(json_object_get(s->head, "metric"));
    const int random = method && !strcmp(method, "random");
    if (!o->config && o->sets && o->sets->count) return bm_fail(BM_ERR_USAGE, "--set counts at the start of a study only");
    if (o->config) BM_TRY(check_config(s, o));
    BM_TRY(check_number(s, "seed", o->seed));
    BM_TRY(check_number(s, "eta", o->eta));
    if (o->method && (!method || strcmp(o->method, method))) return differs(s, "method", o->method, method ? method : "?");
    if (!random) BM_TRY(check_number(s, "trials", o->trials));
    if (!random && o->metric && (!metric || strcmp(o->metric, metric))) return differs(s, "metric", o->metric, metric ? metric : "?");
    if (o->trials > json_integer_value(json_object_get(s->head, "trials")))
        *changed |= !json_object_set_new(s->head, "trials", json_integer(o->trials));
    if (o->metric && (!metric || strcmp(o->metric, metric))) *changed |= !json_object_set_new(s->head, "metric", json_string(o->metric));
    return BM_OK;
}

static bm_status read_head(bm_study *s, const bm_study_opts *o)
{
    const char *method = json_string_value(json_object_get(s->head, "method")), *metric = json_string_value(json_object_get(s->head, "metric"));
    const int64_t eta = json_integer_value(json_object_get(s->head, "eta"));
    s->trials = json_integer_value(json_object_get(s->head, "trials"));
    s->seed = json_integer_value(json_object_get(s->head, "seed"));
    if (json_integer_value(json_object_get(s->head, "schema")) != SCHEMA || !method || !metric || s->trials < 1 || s->trials > MOST_TRIALS || eta < 2 ||
        eta > 1000 || s->seed < 0 || bm_metric_rises(metric) < 0)
        return bm_fail(BM_ERR_DAMAGED, "%s: study.json is not as bmtool search writes it", s->folder);
    s->metric = metric;
    s->rises = bm_metric_rises(metric);
    s->plan = bm_halving_make(s->trials, strcmp(method, "halving") ? 0 : (int)eta);
    s->device = o->device ? o->device : json_string_value(json_object_get(s->head, "device"));
    s->gemm = o->gemm ? o->gemm : json_string_value(json_object_get(s->head, "gemm"));
    return BM_OK;
}

/* Relative paths of the configuration start at its folder. */
static bm_status check_folder(const bm_study *s)
{
    const char *folder = json_string_value(json_object_get(s->head, "folder"));
    if (!folder || bm_path_exists(folder)) return BM_OK;
    return bm_fail(BM_ERR_NOT_FOUND,
                   "%s/study.json: its \"folder\", where paths of the configuration start, is %s, which is gone: move it back, or write "
                   "there where it is now",
                   s->folder, folder);
}

/* A study that is there. */
static bm_status load(bm_study *s, const bm_study_opts *o)
{
    int changed = 0;
    if (!o->look) BM_TRY(take_lock(s));
    BM_TRY(read_json(&s->head, s, "study.json"));
    if (!o->look) BM_TRY(check_folder(s));
    BM_TRY(config_of(&s->config, s->head, o->look ? s->folder : NULL));
    BM_TRY(check_opts(&changed, s, o));
    BM_TRY(read_head(s, o));
    BM_TRY(bm_study_read_outcomes(s));
    BM_TRY(bm_study_rescore(s));
    if (!o->look) BM_TRY(check_task(s));
    return changed ? write_head(s) : BM_OK;
}

/* A new one: nothing is made before it is known to be sound. */
static bm_status begin(bm_study *s, const bm_study_opts *o)
{
    if (!o->config) return bm_fail(BM_ERR_NOT_FOUND, "%s: there is no such study", s->folder);
    if (bm_path_exists(s->folder) && !is_bare(s->folder)) return bm_fail(BM_ERR_EXISTS, "%s: exists, and is no study", s->folder);
    BM_TRY(make_head(&s->head, o));
    BM_TRY(config_of(&s->config, s->head, NULL));
    BM_TRY(read_head(s, o));
    BM_TRY(check_task(s));
    char *logs = bm_path_join(s->folder, "logs");
    bm_status status = logs ? bm_folder_create(logs) : BM_ERR_MEMORY;
    bm_free(logs);
    if (!status) status = take_lock(s);
    return status ? status : write_head(s);
}

bm_status bm_study_open(bm_study **out, const bm_study_opts *o)
{
    bm_status status = BM_ERR_MEMORY;
    char *path = NULL;
    bm_study *s = bm_calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return BM_ERR_MEMORY;
    s->lock = -1;
    s->folder = bm_strdup(o->folder);
    s->outcomes = json_array();
    path = bm_path_join(o->folder, "study.json");
    if (!s->folder || !s->outcomes || !path) goto done;
    BM_GO(bm_path_exists(path) ? load(s, o) : begin(s, o));
    *out = s;
    s = NULL;
done:
    bm_free(path);
    bm_study_close(s);
    return status;
}

void bm_study_close(bm_study *s)
{
    if (!s) return;
    if (s->lock >= 0) close(s->lock);
    bm_config_destroy(s->config);
    json_decref(s->head);
    json_decref(s->outcomes);
    bm_free(s->folder);
    bm_free(s);
}
