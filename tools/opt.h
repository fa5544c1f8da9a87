/* Options of a command, GNU style: --name value, --name=value, -n value, -nvalue, bare flags, "--" before what only
 * looks like an option. Options and arguments may come in any order. */
#ifndef BM_TOOLS_OPT_H
#define BM_TOOLS_OPT_H

#include <stdint.h>

#include "tools/cmd.h"

typedef enum bm_opt_type {
    BM_OPT_FLAG,   /* int: set to 1 */
    BM_OPT_STRING, /* const char *: borrowed from argv */
    BM_OPT_I64,    /* int64_t */
    BM_OPT_F64,    /* double */
    BM_OPT_LIST    /* bm_opt_list: every value given, in order */
} bm_opt_type;

enum { BM_OPT_LIST_MAX = 128 };

typedef struct bm_opt_list {
    const char *item[BM_OPT_LIST_MAX];
    int count;
} bm_opt_list;

typedef struct bm_opt {
    const char *name; /* without dashes; NULL ends the array */
    char letter;      /* short form, or 0 */
    bm_opt_type type;
    void *value; /* keeps what the caller put there when the option is not given */
    int required;
} bm_opt;

/* Reads argv[1..]; argv[0] is the name of the command. Afterwards argv[0 .. *argc) are the arguments that are no
 * options, of which there must be `least` to `most`; then follow the name and the options, in the order given. Returns -1 to go on; otherwise the exit code to return at once: 0
 * after --help, 2 after a mistake, which has been printed. */
int bm_opt_parse(int *argc, char **argv, const bm_cmd *cmd, const bm_opt *opts, int least, int most);

/* Whether a number is in [least, most]: 0, or prints the mistake and returns 2. */
int bm_opt_range_i64(const bm_cmd *cmd, const char *name, int64_t x, int64_t least, int64_t most);

#endif
