/* The configuration that a command is given: a file or "-", and keys set on top. */
#ifndef BM_TOOLS_CONFIG_ARG_H
#define BM_TOOLS_CONFIG_ARG_H

#include "models/config/config.h"
#include "tools/opt.h"

/* `path` may be "-", standard input, whose relative paths start in the working folder, or NULL: no file. */
bm_status bm_config_arg(bm_config *c, const char *path, const bm_opt_list *sets);
/* The same from the text of a file. */
bm_status bm_config_arg_text(bm_config *c, const char *text, const char *name, const char *folder, const bm_opt_list *sets);
/* The text of such a file, and the folder, absolute, where its relative paths start; bm_free. `name` is what messages call it. */
bm_status bm_config_arg_read(char **text, char **folder, const char **name, const char *path);

#endif
