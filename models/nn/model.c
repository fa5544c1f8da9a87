#include "models/nn/model.h"

#include <string.h>

static const bm_model *const models[] = {
#define BM_MODEL(name) &bm_model_##name,
#include "models/models.def"
};
static const bm_config_family *const families[] = {
#define BM_MODEL(name) &bm_model_##name.family,
#include "models/models.def"
};
#define N_MODELS ((int)(sizeof models / sizeof models[0]))

int bm_model_count(void)
{
    return N_MODELS;
}

const bm_model *bm_model_at(int i)
{
    return models[i];
}

const bm_model *bm_model_find(const char *family)
{
    for (int i = 0; i < N_MODELS; i++)
        if (!strcmp(models[i]->family.name, family)) return models[i];
    return NULL;
}

const bm_config_family *const *bm_model_families(size_t *n)
{
    *n = N_MODELS;
    return families;
}

bm_status bm_model_need(const bm_config *c, const char *key)
{
    if (!bm_config_is_null(c, key)) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%s is null and there is no data set to take it from: set it", key);
}
