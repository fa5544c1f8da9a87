/* Files that released versions wrote are read for ever. Each lies in tests/fuzz/corpus/store; BM_TEST_GOLDEN=FOLDER
 * makes those of this version there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/checkpoint.h"
#include "io/store/dataset.h"
#include "tests/lib/h5py.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

static const double loss[2] = {2.5, 1.25};
static const uint64_t step[2] = {1, 2}, rng[4] = {1, 2, 3, 4};
static const bm_ckpt_column column = {"loss", "nats", loss};

/* Element i of a tensor is 0, 1, 2, ... as f32. */
static bm_status fill(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    (void)user, (void)t;
    for (int64_t i = 0; i < count; i++) ((float *)data)[i] = (float)(first + i);
    return BM_OK;
}

static bm_status take(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    (void)t;
    for (int64_t i = 0; i < count; i++) ck_assert(((const float *)data)[i] == (float)(first + i));
    *(int64_t *)user += count;
    return BM_OK;
}

static bm_status make(const char *folder)
{
    char path[4096];
    bm_ckpt_param param[2] = {{"wte/weight", BM_F32, BM_SHAPE(3, 2), "embedding", 1, NULL},
                              {"head/weight", BM_F32, BM_SHAPE(3, 2), "embedding", 1, "wte/weight"}};
    bm_ckpt_optim optim = {.name = "adamw", .type = "adamw", .t = 2, .slot = {"m", "v"}, .slots = 2};
    bm_ckpt_desc d = bm_ckpt_desc_default();
    d.config_json = "{\"model\": {\"family\": \"gpt\"}}";
    d.tokenizer_json = "{\"type\": \"byte\"}";
    d.param = param;
    d.params = 2;
    d.optim = &optim;
    d.optims = 1;
    d.state = (bm_ckpt_state){2, 20, 2, 0, 1.25, rng, 1, "8b8be1f4-0000-4000-8000-000000000000", 1, 0, 2, 1};
    d.history = (bm_ckpt_history){2, step, &column, 1};
    snprintf(path, sizeof path, "%s/checkpoint-1.0.h5", folder);
    BM_TRY(bm_checkpoint_write(NULL, path, &d, fill, NULL, NULL));

    bm_tokens_opts o = bm_tokens_opts_default();
    bm_tokens_writer *w;
    uint32_t ids[20];
    for (uint32_t i = 0; i < 20; i++) ids[i] = i % 2 ? i : 256 - i;
    o.vocab_size = 257;
    o.eot_id = 256;
    o.val_fraction = 0.25;
    o.tokenizer_json = d.tokenizer_json;
    snprintf(path, sizeof path, "%s/tokens-1.0.h5", folder);
    o.tokenizer_blob = "";
    BM_TRY(bm_tokens_writer_create(&w, path, &o));
    bm_status status = bm_tokens_writer_add(w, ids, 20);
    if (!status) status = bm_tokens_writer_commit(NULL, w);
    bm_tokens_writer_destroy(w);
    return status;
}

START_TEST(a_checkpoint_of_1_0_is_read)
{
    bm_checkpoint *c;
    int64_t elements = 0;
    const char *path = test_source("tests/fuzz/corpus/store/checkpoint-1.0.h5");
    test_ok(test_store_sound(path));
    test_ok(bm_checkpoint_open(&c, path));
    const bm_ckpt_desc *d = bm_checkpoint_desc(c);
    test_ok(bm_checkpoint_read_all(c, take, &elements));
    ck_assert_int_eq(elements, 18);
    ck_assert(d->params == 2 && d->optim[0].t == 2 && d->state.step == 2 && d->state.best_metric == 1.25 &&
              d->state.rng[3] == 4);
    ck_assert(d->history.rows == 2 && d->history.column[0].value[1] == 1.25);
    ck_assert_str_eq(d->param[bm_checkpoint_find(c, "head/weight")].tied_to, "wte/weight");
    ck_assert_str_eq(d->config_json, "{\"model\": {\"family\": \"gpt\"}}");
    bm_checkpoint_close(c);
}
END_TEST

START_TEST(a_dataset_of_1_0_is_read)
{
    bm_tokens *t;
    int32_t ids[20];
    int64_t start, count;
    const char *path = test_source("tests/fuzz/corpus/store/tokens-1.0.h5");
    test_ok(test_store_sound(path));
    test_ok(bm_tokens_open(&t, path));
    ck_assert(bm_tokens_count(t) == 20 && bm_tokens_vocab(t) == 257 && bm_tokens_eot(t) == 256 &&
              bm_tokens_documents(t) == 1);
    test_ok(bm_tokens_read(t, ids, 0, 20));
    for (int32_t i = 0; i < 20; i++) ck_assert_int_eq(ids[i], i % 2 ? i : 256 - i);
    test_ok(bm_tokens_split(&start, &count, t, "val"));
    ck_assert(start == 15 && count == 5);
    bm_tokens_close(t);
}
END_TEST

int main(void)
{
    const char *folder = getenv("BM_TEST_GOLDEN");
    if (folder) {
        if (make(folder)) fprintf(stderr, "%s\n", bm_last_error()->text);
        return bm_last_error()->status != BM_OK;
    }
    Suite *suite = suite_create("io/store/golden");
    TCase *t = tcase_create("golden");
    tcase_add_test(t, a_checkpoint_of_1_0_is_read);
    tcase_add_test(t, a_dataset_of_1_0_is_read);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
