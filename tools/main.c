/* bmtool: finds the command and runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "tools/commands.h"
#include "tools/out.h"

/* BM_LOG=debug or info shows more than warnings and the work under way. */
static bm_log_level log_level(void)
{
    const char *wanted = getenv("BM_LOG");
    if (wanted && strcmp(wanted, "debug") == 0) return BM_LOG_DEBUG;
    if (wanted && strcmp(wanted, "info") == 0) return BM_LOG_INFO;
    return BM_LOG_PROGRESS;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "bmtool: no command given (bmtool --help lists them)\n");
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("bmtool %s\n", BM_VERSION);
        return 0;
    }
    int help = strcmp(argv[1], "help") == 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (help && argc == 2)) {
        bm_commands_print(stdout);
        return 0;
    }
    if (help) return bm_command_help(argc - 2, argv + 2);
    int words;
    const bm_cmd *cmd = bm_command_find(&words, argc - 1, argv + 1);
    if (cmd) return cmd->run(argc - words, argv + words);
    return bm_command_unknown(argc - 1, argv + 1);
}

/* A file must not get the number of a stream that came closed: messages would be written into it. What stands in for
 * such a stream fails as a closed one does. */
static void hold_standard_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0) _Exit(4);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    json_set_alloc_funcs(bm_alloc, bm_free);
    bm_log_set(bm_out_log, NULL, log_level());
    return bm_out_finish(run(argc, argv));
}
