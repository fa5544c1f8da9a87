/* What a model is, as files of other projects come with it: the transformers library's config.json, or bm's own
 * configuration. */
#ifndef BM_MODELS_CONVERT_CONFIG_PRIV_H
#define BM_MODELS_CONVERT_CONFIG_PRIV_H

#include "models/convert/foreign_priv.h"

/* The configuration in `file`; without one (NULL) that in the metadata of the weights' file, or that of a GPT-2 read
 * off the shapes. */
bm_status bm_convert_read_config(bm_config **out, const bm_foreign *s, const char *file);
/* What belongs to a file of the model's weights, as JSON; *json by bm_free. */
bm_status bm_convert_write_config(char **json, const bm_model *m, const bm_config *c);

#endif
