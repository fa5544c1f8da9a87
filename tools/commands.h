/* The list of commands: finding one, and printing them all. */
#ifndef BM_TOOLS_COMMANDS_H
#define BM_TOOLS_COMMANDS_H

#include <stdio.h>

#include "tools/cmd.h"

/* The command whose one or two words argv begins with, and how many they are; NULL if none. */
const bm_cmd *bm_command_find(int *words, int argc, char **argv);
/* Says that argv begins with no command, and what is nearest; returns 2. */
int bm_command_unknown(int argc, char **argv);
/* `bmtool help COMMAND`: the command's --help; the exit code. */
int bm_command_help(int argc, char **argv);
void bm_commands_print(FILE *out);

#endif
