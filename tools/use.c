#include "tools/use.h"

#include <string.h>

#include "models/nn/network.h"
#include "models/train/saver.h"
#include "tools/out.h"

bm_status bm_use_open(bm_use *u, const char *path)
{
    bm_status status;
    size_t n;
    memset(u, 0, sizeof *u);
    const bm_config_family *const *families = bm_model_families(&n);
    BM_GO(bm_checkpoint_open(&u->checkpoint, path));
    const char *json = bm_checkpoint_desc(u->checkpoint)->config_json;
    BM_GO(bm_config_create(&u->config, families, n));
    BM_GO(bm_config_from_json(u->config, json, strlen(json), bm_checkpoint_path(u->checkpoint)));
    BM_GO(bm_config_check(u->config));
    u->model = bm_model_find(bm_config_get_family(u->config)->name);
    BM_GO(u->model->check(u->config, 0));
done:
    if (status) bm_use_close(u);
    return status;
}

int bm_use_weights(bm_dtype *out, const bm_cmd *cmd, const char *text)
{
    static const struct {
        const char *name;
        bm_dtype type;
    } kinds[] = {{"f32", BM_F32}, {"f16", BM_F16}, {"bf16", BM_BF16}, {"int8", BM_I8}};
    *out = BM_F32;
    if (!text) return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(text, kinds[i].name)) {
            *out = kinds[i].type;
            return 0;
        }
    return bm_out_usage(cmd, "--weights %s: there is f32, f16, bf16 and int8", text);
}

bm_status bm_use_load(bm_use *u, const char *device, const char *gemm, bm_dtype weights)
{
    bm_network p = {0};
    bm_session_opts so = {.device = device, .config = bm_config_string(u->config, "device")};
    u->gemm = gemm;
    bm_status status = bm_session_open(&u->session, &so);
    if (status) return status;
    /* One window is enough to know the parameters. */
    bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = 1, .stored = weights};
    bm_params_opts po = {0};
    BM_GO(bm_network_build(&p, u->model, u->config, &r, 0));
    BM_GO(bm_params_create(&u->params, u->session.engine, p.nn, p.graph, &po));
    BM_GO(bm_params_load(u->params, u->checkpoint, NULL));
done:
    bm_network_finish(&p);
    return status;
}

void bm_use_close(bm_use *u)
{
    bm_params_destroy(u->params);
    bm_session_close(&u->session);
    bm_config_destroy(u->config);
    bm_checkpoint_close(u->checkpoint);
    memset(u, 0, sizeof *u);
}
