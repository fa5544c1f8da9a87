/* A command of bmtool: one file cmd_NAME.c that defines `const bm_cmd bm_cmd_NAME`, and one line in commands.def. */
#ifndef BM_TOOLS_CMD_H
#define BM_TOOLS_CMD_H

typedef struct bm_cmd {
    const char *name;                  /* "train", or two words: "data text" */
    const char *group;                 /* heading in the list of commands */
    const char *summary;               /* one line, no full stop */
    const char *help;                  /* examples first, then options; ends with a newline */
    int (*run)(int argc, char **argv); /* argv[0] is the name; returns bmtool's exit code */
} bm_cmd;

#define BM_CMD(id) extern const bm_cmd bm_cmd_##id;
#include "tools/commands.def"
#undef BM_CMD

#endif
