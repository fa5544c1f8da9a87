#include "tools/commands.h"

#include <string.h>

#include "core/base/str.h"
#include "tools/out.h"

static const bm_cmd *const commands[] = {
#define BM_CMD(id) &bm_cmd_##id,
#include "tools/commands.def"
#undef BM_CMD
    NULL,
};

/* Whether the words of `name` are argv[0], argv[1] ...; their number, or 0. */
static int match_words(const char *name, int argc, char **argv)
{
    int n = 0;
    while (*name) {
        size_t length = strcspn(name, " ");
        if (n == argc || strlen(argv[n]) != length || strncmp(name, argv[n], length) != 0) return 0;
        n++;
        name += length + (name[length] == ' ');
    }
    return n;
}

const bm_cmd *bm_command_find(int *words, int argc, char **argv)
{
    for (const bm_cmd *const *c = commands; *c; c++) {
        *words = match_words((*c)->name, argc, argv);
        if (*words > 0) return *c;
    }
    return NULL;
}

/* Prints the commands whose first word is `word`; how many there are. */
static int print_family(const char *word)
{
    const size_t length = strlen(word);
    int n = 0;
    for (const bm_cmd *const *c = commands; *c; c++)
        if (strncmp((*c)->name, word, length) == 0 && (*c)->name[length] == ' ')
            fprintf(stderr, "%s%s", n++ == 0 ? "bmtool: did you mean one of: " : ", ", (*c)->name);
    if (n > 0) fputc('\n', stderr);
    return n;
}

int bm_command_help(int argc, char **argv)
{
    int words;
    char option[] = "--help", *args[] = {argv[0], option, NULL};
    const bm_cmd *cmd = bm_command_find(&words, argc, argv);
    return cmd ? cmd->run(2, args) : bm_command_unknown(argc, argv);
}

int bm_command_unknown(int argc, char **argv)
{
    char both[128];
    const char *names[sizeof commands / sizeof commands[0]];
    size_t n = 0;
    for (; commands[n]; n++) names[n] = commands[n]->name;
    snprintf(both, sizeof both, "%s %s", argv[0], argc > 1 ? argv[1] : "");
    const char *nearest = bm_nearest(argv[0], names, n);
    if (!nearest && argc > 1) nearest = bm_nearest(both, names, n);
    if (nearest)
        bm_out_note("no command \"%s\" (did you mean %s?)", argv[0], nearest);
    else
        bm_out_note("no command \"%s\" (bmtool --help lists them)", argc > 1 && print_family(argv[0]) ? both : argv[0]);
    return 2;
}

void bm_commands_print(FILE *out)
{
    const char *group = "";
    fprintf(out, "usage: bmtool COMMAND [options]\n       bmtool COMMAND --help\n       bmtool --version\n");
    for (const bm_cmd *const *c = commands; *c; c++) {
        if (strcmp(group, (*c)->group) != 0) fprintf(out, "\n%s:\n", (*c)->group);
        group = (*c)->group;
        fprintf(out, "  %-18s %s\n", (*c)->name, (*c)->summary);
    }
}
