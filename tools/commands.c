#include "tools/commands.h"

#include <string.h>

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
