/* bmtool: finds the command and runs it. */
#include <stdio.h>
#include <string.h>

#include "tools/commands.h"

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "bmtool: no command given (bmtool --help lists them)\n");
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) return printf("bmtool %s\n", BM_VERSION) < 0 ? 4 : 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        bm_commands_print(stdout);
        return 0;
    }
    int words;
    const bm_cmd *cmd = bm_command_find(&words, argc - 1, argv + 1);
    if (cmd) return cmd->run(argc - words, argv + words);
    fprintf(stderr, "bmtool: no command \"%s\" (bmtool --help lists them)\n", argv[1]);
    return 2;
}
