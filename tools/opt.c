#include "tools/opt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "tools/out.h"

enum { MAX_OPTS = 64 };

typedef struct parser {
    const bm_cmd *cmd;
    const bm_opt *opts;
    int argc, next; /* next argument to read */
    char **argv;
    int kept;            /* arguments that are no options, moved to the front of argv */
    uint64_t given;      /* bit i: opts[i] was there */
    const char *written; /* the option as the user wrote it, for messages */
} parser;

static const bm_opt *find_long(const parser *p, const char *name, size_t length)
{
    for (const bm_opt *o = p->opts; o->name; o++)
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    return NULL;
}

static int unknown_long(const parser *p, const char *name, size_t length)
{
    char word[64];
    const char *names[MAX_OPTS + 1] = {"help"};
    size_t n = 1;
    for (const bm_opt *o = p->opts; o->name && n <= MAX_OPTS; o++) names[n++] = o->name;
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    const char *nearest = bm_nearest(word, names, n);
    if (nearest) return bm_out_usage(p->cmd, "unknown option --%s (did you mean --%s?)", word, nearest);
    return bm_out_usage(p->cmd, "unknown option --%s", word);
}

/* Stores one value; -1, or the exit code after a mistake. */
static int take(parser *p, const bm_opt *o, const char *value)
{
    switch (o->type) {
    case BM_OPT_FLAG: *(int *)o->value = 1; break;
    case BM_OPT_STRING: *(const char **)o->value = value; break;
    case BM_OPT_I64:
        if (bm_parse_i64(o->value, value))
            return bm_out_usage(p->cmd, "%s takes a whole number, not \"%s\"", p->written, value);
        break;
    case BM_OPT_F64:
        if (bm_parse_f64(o->value, value))
            return bm_out_usage(p->cmd, "%s takes a number, not \"%s\"", p->written, value);
        break;
    case BM_OPT_LIST: {
        bm_opt_list *list = o->value;
        if (list->count == BM_OPT_LIST_MAX)
            return bm_out_usage(p->cmd, "%s is given more than %d times", p->written, BM_OPT_LIST_MAX);
        list->item[list->count++] = value;
        break;
    }
    }
    p->given |= (uint64_t)1 << (o - p->opts);
    return -1;
}

/* Takes an option whose value, if it came in the same word, is `attached`. */
static int take_option(parser *p, const bm_opt *o, const char *attached)
{
    if (o->type == BM_OPT_FLAG) {
        if (attached) return bm_out_usage(p->cmd, "%s takes no value", p->written);
        return take(p, o, NULL);
    }
    if (!attached) {
        if (p->next == p->argc) return bm_out_usage(p->cmd, "%s needs a value", p->written);
        attached = p->argv[p->next++];
    }
    return take(p, o, attached);
}

static int parse_long(parser *p, const char *word)
{
    char written[80];
    const size_t length = strcspn(word, "=");
    const char *value = word[length] ? word + length + 1 : NULL;
    if (length == 4 && strncmp(word, "help", 4) == 0 && !value) return bm_out_help(p->cmd);
    const bm_opt *o = find_long(p, word, length);
    if (!o) return unknown_long(p, word, length);
    snprintf(written, sizeof written, "--%s", o->name);
    p->written = written;
    return take_option(p, o, value);
}

/* -j, -jk for two flags, -n5, -n 5. */
static int parse_short(parser *p, const char *letters)
{
    for (const char *l = letters; *l; l++) {
        const bm_opt *o = p->opts;
        const char written[3] = {'-', *l, '\0'};
        p->written = written;
        while (o->name && o->letter != *l) o++;
        if (!o->name && *l == 'h') return bm_out_help(p->cmd);
        if (!o->name) return bm_out_usage(p->cmd, "unknown option %s", written);
        const char *attached = o->type != BM_OPT_FLAG && l[1] ? l + 1 : NULL;
        int code = take_option(p, o, attached);
        if (code >= 0 || o->type != BM_OPT_FLAG) return code;
    }
    return -1;
}

/* Moves the argument just read in front of argv[0] and the options there. */
static void keep(parser *p)
{
    char *word = p->argv[p->next - 1];
    for (int i = p->next - 1; i > p->kept; i--) p->argv[i] = p->argv[i - 1];
    p->argv[p->kept++] = word;
}

int bm_opt_parse(int *argc, char **argv, const bm_cmd *cmd, const bm_opt *opts, int least, int most)
{
    parser p = {.cmd = cmd, .opts = opts, .argc = *argc, .next = 1, .argv = argv};
    int code = -1, only_arguments = 0;
    while (code < 0 && p.next < p.argc) {
        char *word = argv[p.next++];
        if (only_arguments || word[0] != '-' || !word[1])
            keep(&p);
        else if (strcmp(word, "--") == 0)
            only_arguments = 1;
        else
            code = word[1] == '-' ? parse_long(&p, word + 2) : parse_short(&p, word + 1);
    }
    if (code >= 0) return code;
    *argc = p.kept;
    for (const bm_opt *o = opts; o->name; o++)
        if (o->required && !(p.given >> (o - opts) & 1u)) return bm_out_usage(cmd, "--%s is needed", o->name);
    if (p.kept > most) return bm_out_usage(cmd, "\"%s\" is one argument too many", argv[most]);
    if (p.kept < least)
        return bm_out_usage(cmd, "%d argument%s needed, %d given", least, least == 1 ? " is" : "s are", p.kept);
    return -1;
}

int bm_opt_range_i64(const bm_cmd *cmd, const char *name, int64_t x, int64_t least, int64_t most)
{
    if (x >= least && x <= most) return 0;
    if (most == INT64_MAX) return bm_out_usage(cmd, "--%s must be %" PRId64 " or more, not %" PRId64, name, least, x);
    return bm_out_usage(cmd, "--%s must be from %" PRId64 " to %" PRId64 ", not %" PRId64, name, least, most, x);
}
