/* bmtool: finds the command and runs it. */
#include <stdio.h>
#include <string.h>

#include "tools/cmd.h"

static const bm_cmd *const commands[] = {
#define BM_CMD(id) &bm_cmd_##id,
#include "tools/commands.def"
#undef BM_CMD
    NULL,
};

static int print_usage(void)
{
    const char *group = "";
    printf("usage: bmtool COMMAND [options]\n       bmtool COMMAND --help\n       bmtool --version\n");
    for (const bm_cmd *const *c = commands; *c; c++) {
        if (strcmp(group, (*c)->group) != 0) printf("\n%s:\n", (*c)->group);
        group = (*c)->group;
        printf("  %-18s %s\n", (*c)->name, (*c)->summary);
    }
    return 0;
}

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

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) return printf("bmtool %s\n", BM_VERSION) < 0 ? 4 : 0;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) return print_usage();
    for (const bm_cmd *const *c = commands; argc > 1 && *c; c++) {
        int words = match_words((*c)->name, argc - 1, argv + 1);
        if (words > 0) return (*c)->run(argc - words, argv + words);
    }
    if (argc > 1)
        fprintf(stderr, "bmtool: no command \"%s\" (bmtool --help lists them)\n", argv[1]);
    else
        fprintf(stderr, "bmtool: no command given (bmtool --help lists them)\n");
    return 2;
}
