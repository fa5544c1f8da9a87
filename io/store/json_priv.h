/* JSON in files: rule 8 on the way in. */
#ifndef BM_IO_STORE_JSON_PRIV_H
#define BM_IO_STORE_JSON_PRIV_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/json_priv.h"
#include "core/base/status.h"

#define BM_JSON_MOST ((int64_t)16 << 20)

/* An object at most 16 deep without duplicate keys, else BM_ERR_REFUSED; `what` names it. *out with json_decref. */
bm_status bm_json_parse(json_t **out, const char *text, const char *what);

#endif
