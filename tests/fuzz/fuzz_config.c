/* libFuzzer: any bytes as a configuration. What is accepted must survive being written and read again, in both forms. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "models/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const bm_config_key keys[] = {
    {"layers", BM_CONFIG_I64, "6", "[1, 1000]", "a number"}, {"dropout", BM_CONFIG_F64, "0.0", "[0, 1)", "a share"},
    {"tied", BM_CONFIG_BOOL, "true", NULL, "a choice"},      {"ffn", BM_CONFIG_I64, "null", "[1, inf)", "may be null"},
    {"norm", BM_CONFIG_CHOICE, "a", "a|b", "one of two"},
};
static const bm_config_family family = {"gpt", keys, sizeof keys / sizeof *keys, NULL};
static const bm_config_family *const families[] = {&family};

static bm_config *create(void)
{
    bm_config *c;
    if (bm_config_create(&c, families, 1)) abort();
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bm_config *c = create(), *d = create(), *e = create();
    if (bm_config_load_text(c, (const char *)data, size, "fuzz.yaml", NULL) == BM_OK) {
        char *yaml, *json, *again;
        if (bm_config_to_yaml(&yaml, c) || bm_config_load_text(d, yaml, strlen(yaml), "again.yaml", NULL)) abort();
        if (bm_config_to_yaml(&again, d) || strcmp(yaml, again) != 0) abort();
        bm_free(again);
        if (bm_config_to_json(&json, c) || bm_config_from_json(e, json, strlen(json), "json")) abort();
        if (bm_config_to_yaml(&again, e) || strcmp(yaml, again) != 0) abort();
        bm_free(again);
        bm_free(yaml);
        bm_free(json);
    }
    bm_config_destroy(c);
    bm_config_destroy(d);
    bm_config_destroy(e);
    c = create();
    (void)bm_config_from_json(c, (const char *)data, size, "fuzz.json");
    bm_config_destroy(c);
    return 0;
}
