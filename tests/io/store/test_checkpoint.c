#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "io/store/checkpoint.h"
#include "io/store/runfolder.h"
#include "tests/lib/h5py.h"
#include "tests/lib/storefile.h"
#include "tests/lib/test.h"

/* A model with a tied head, a frozen parameter and types mixed; Adam's two slots. */
static const char blob[] = "\0\1blob";
static const uint64_t rng[2][4] = {{1, 2, 3, 4}, {5, 6, UINT64_MAX, 8}};
static const uint64_t steps[3] = {10, 20, 30};
static const double loss[3] = {3.5, 2.25, 1.125}, val[3] = {NAN, 2.5, NAN};
static const bm_ckpt_number hyper[] = {{"beta1", 0.9}, {"eps", 1e-8}};
static const bm_ckpt_column column[] = {{"loss", "nats", loss}, {"val_loss", NULL, val}};

typedef struct model {
    bm_ckpt_param param[5];
    bm_ckpt_optim optim;
    bm_ckpt_desc desc;
    uint64_t seed;
} model;

static model make_model(void)
{
    model m = {
        .param = {{"wte/weight", BM_F32, {2, {50, 7}}, "embedding", 1, NULL},
                  {"h0/attn/weight", BM_BF16, {2, {9, 7}}, "weight", 1, NULL},
                  {"h0/attn/bias", BM_F16, {1, {9}}, "bias", 0, NULL},
                  {"ln/weight", BM_F32, {1, {7}}, "norm", 1, NULL},
                  {"lm_head/weight", BM_F32, {2, {50, 7}}, "embedding", 1, "wte/weight"}},
        .optim =
            {.name = "adamw", .type = "adamw", .t = 30, .slot = {"m", "v"}, .slots = 2, .hyper = hyper, .hypers = 2},
        .desc = bm_ckpt_desc_default(),
        .seed = 1000};
    m.desc.config_json = "{\"model\": {\"family\": \"gpt\"}}";
    m.desc.sched_json = "{\"last\": 3}";
    m.desc.provenance_json = "{\"gemm\": \"packed\"}";
    m.desc.tokenizer_json = "{\"type\": \"byte\"}";
    m.desc.tokenizer_blob = blob;
    m.desc.tokenizer_blob_bytes = sizeof blob;
    m.desc.params = 5;
    m.desc.optims = 1;
    m.desc.state =
        (bm_ckpt_state){30, 12345, 360, 1, 2.5, rng[0], 2, "8b8be1f4-0000-4000-8000-000000000000", 9, 1, 77, 12};
    m.desc.history = (bm_ckpt_history){3, steps, column, 2};
    return m;
}

/* The descriptions hold pointers into m itself. */
static bm_ckpt_desc *described(model *m)
{
    m->desc.param = m->param;
    m->desc.optim = &m->optim;
    return &m->desc;
}

static size_t tensor_bytes(unsigned char *out, const model *m, const bm_ckpt_tensor *t)
{
    const bm_ckpt_param *p = m->param + t->param;
    size_t n = bm_shape_bytes(&p->shape, t->optim < 0 ? p->dtype : BM_F32);
    test_bytes(out, n, m->seed + (uint64_t)t->param * 10 + (uint64_t)(t->slot + 1));
    return n;
}

static bm_status fill(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    const model *m = user;
    unsigned char whole[2000];
    size_t size = bm_dtype_size(t->optim < 0 ? m->param[t->param].dtype : BM_F32);
    tensor_bytes(whole, m, t);
    memcpy(data, whole + (size_t)first * size, (size_t)count * size);
    return BM_OK;
}

typedef struct reader {
    const model *m;
    const bm_ckpt_desc *desc;
    int tensors;
} reader;

static bm_status take(void *user, const bm_ckpt_tensor *t, const void *data, int64_t first, int64_t count)
{
    reader *r = user;
    unsigned char due[2000];
    bm_ckpt_tensor own = *t;
    own.param = 0;
    while (strcmp(r->m->param[own.param].name, r->desc->param[t->param].name)) own.param++;
    if (t->optim >= 0) ck_assert_str_eq(r->desc->optim[t->optim].slot[t->slot], r->m->optim.slot[t->slot]);
    if (r->m->param[own.param].tied_to) own.param = 0;
    size_t n = tensor_bytes(due, r->m, &own),
           size = bm_dtype_size(t->optim < 0 ? r->desc->param[t->param].dtype : BM_F32);
    ck_assert_int_eq(first, 0);
    ck_assert_uint_eq((size_t)count * size, n);
    ck_assert_int_eq(memcmp(due, data, n), 0);
    r->tensors++;
    return BM_OK;
}

static bm_status write_model(bm_content_id *id, const char *path, model *m)
{
    bm_ckpt_write_opts o = bm_ckpt_write_opts_default();
    o.replace = 1;
    o.buffer_bytes = 1; /* rounded up: tensors pass in pieces */
    return bm_checkpoint_write(id, path, described(m), fill, m, &o);
}

static void check_state(const bm_ckpt_desc *d)
{
    const bm_ckpt_state *s = &d->state;
    ck_assert(s->step == 30 && s->tokens_seen == 12345 && s->samples_seen == 360 && s->epoch == 1 &&
              s->best_metric == 2.5);
    ck_assert(s->rngs == 2 && !memcmp(s->rng, rng, sizeof rng));
    ck_assert_str_eq(s->dataset_uuid, "8b8be1f4-0000-4000-8000-000000000000");
    ck_assert(s->data_seed == 9 && s->data_epoch == 1 && s->data_sample == 77 && s->global_batch == 12);
    ck_assert_int_eq(d->history.rows, 3);
    ck_assert_int_eq(memcmp(d->history.step, steps, sizeof steps), 0);
    ck_assert_int_eq(d->history.columns, 2);
    ck_assert_str_eq(d->history.column[0].name, "loss");
    ck_assert_str_eq(d->history.column[0].units, "nats");
    ck_assert_int_eq(memcmp(d->history.column[0].value, loss, sizeof loss), 0);
    ck_assert_ptr_null(d->history.column[1].units);
    ck_assert_int_eq(memcmp(d->history.column[1].value, val, sizeof val), 0);
    ck_assert_str_eq(d->config_json, "{\"model\": {\"family\": \"gpt\"}}");
    ck_assert_str_eq(d->sched_json, "{\"last\": 3}");
    ck_assert_str_eq(d->provenance_json, "{\"gemm\": \"packed\"}");
    ck_assert_str_eq(d->tokenizer_json, "{\"type\": \"byte\"}");
    ck_assert(d->tokenizer_blob_bytes == sizeof blob && !memcmp(d->tokenizer_blob, blob, sizeof blob));
}

START_TEST(all_of_it_comes_back)
{
    model m = make_model();
    bm_checkpoint *c;
    test_ok(write_model(NULL, test_path("a.h5"), &m));
    test_ok(bm_checkpoint_open(&c, test_path("a.h5")));
    const bm_ckpt_desc *d = bm_checkpoint_desc(c);
    ck_assert_int_eq(d->params, 5);
    for (int i = 0; i < 5; i++) {
        int64_t k = bm_checkpoint_find(c, m.param[i].name);
        ck_assert_int_ge(k, 0);
        const bm_ckpt_param *a = m.param + i, *b = d->param + k;
        ck_assert(a->dtype == b->dtype && bm_shape_equal(&a->shape, &b->shape) && a->trainable == b->trainable);
        ck_assert_str_eq(a->semantic, b->semantic);
        ck_assert_int_eq(!a->tied_to, !b->tied_to);
        ck_assert_int_eq(!bm_checkpoint_entry(c, &(bm_ckpt_tensor){k, -1, -1}), a->tied_to != NULL);
    }
    ck_assert_int_eq(bm_checkpoint_find(c, "none"), -1);
    ck_assert(d->optims == 1 && d->optim[0].t == 30 && d->optim[0].slots == 2 && d->optim[0].hypers == 2);
    ck_assert_str_eq(d->optim[0].name, "adamw");
    ck_assert_str_eq(d->optim[0].hyper[1].name, "eps");
    ck_assert(d->optim[0].hyper[1].value == 1e-8);
    check_state(d);
    reader r = {&m, d, 0};
    test_ok(bm_checkpoint_read_all(c, take, &r));
    ck_assert_int_eq(r.tensors, 4 + 3 * 2);
    test_ok(bm_checkpoint_read(c, &(bm_ckpt_tensor){bm_checkpoint_find(c, "lm_head/weight"), -1, -1}, take, &r));
    ck_assert_int_eq(r.tensors, 11);
    bm_checkpoint_close(c);
    test_ok(test_store_sound(test_path("a.h5")));
    test_same_with_h5py(test_path("a.h5"));
}
END_TEST

START_TEST(content_id_is_that_of_weights_and_state)
{
    bm_content_id a, b;
    model m = make_model();
    test_ok(write_model(&a, test_path("b.h5"), &m));
    m.desc.config_json = m.desc.provenance_json = "{}";
    m.desc.history.rows = 2;
    m.desc.state.dataset_uuid = "";
    m.desc.state.best_metric = 2;
    m.desc.sched_json = NULL;
    test_ok(write_model(&b, test_path("b.h5"), &m));
    ck_assert(bm_content_id_equal(&a, &b));
    bm_ckpt_state changed[4];
    for (int i = 0; i < 4; i++) changed[i] = m.desc.state;
    changed[0].step++;
    changed[1].data_sample++;
    changed[2].rngs = 1;
    changed[3].epoch++;
    for (int i = 0; i < 4; i++) {
        m.desc.state = changed[i];
        test_ok(write_model(&b, test_path("b.h5"), &m));
        ck_assert(!bm_content_id_equal(&a, &b));
    }
    m = make_model();
    m.seed++;
    test_ok(write_model(&b, test_path("b.h5"), &m));
    ck_assert(!bm_content_id_equal(&a, &b));
}
END_TEST

START_TEST(weights_alone_are_a_checkpoint_too)
{
    model m = make_model();
    bm_checkpoint *c;
    m.desc.optims = 0;
    m.desc.tokenizer_json = m.desc.sched_json = NULL;
    m.desc.history = (bm_ckpt_history){0};
    m.desc.state = bm_ckpt_desc_default().state;
    test_ok(write_model(NULL, test_path("c.h5"), &m));
    test_ok(bm_checkpoint_open(&c, test_path("c.h5")));
    const bm_ckpt_desc *d = bm_checkpoint_desc(c);
    ck_assert(d->optims == 0 && !d->tokenizer_json && d->history.rows == 0 && d->state.rngs == 0 &&
              isnan(d->state.best_metric));
    reader r = {&m, d, 0};
    test_ok(bm_checkpoint_read_all(c, take, &r));
    ck_assert_int_eq(r.tensors, 4);
    bm_checkpoint_close(c);
}
END_TEST

static bm_status fill_fails(void *user, const bm_ckpt_tensor *t, void *data, int64_t first, int64_t count)
{
    if (t->optim >= 0) return bm_fail(BM_ERR_DEVICE, "the device is gone");
    return fill(user, t, data, first, count);
}

START_TEST(a_failing_source_leaves_the_old_file)
{
    bm_content_id a;
    bm_store *s;
    model m = make_model();
    bm_ckpt_write_opts o = {.replace = 1};
    test_ok(write_model(&a, test_path("d.h5"), &m));
    test_fails(bm_checkpoint_write(NULL, test_path("d.h5"), described(&m), fill_fails, &m, &o), BM_ERR_DEVICE, "gone");
    test_ok(bm_store_open(&s, test_path("d.h5")));
    ck_assert(bm_content_id_equal(&a, bm_store_content_id(s)));
    bm_store_close(s);
    ck_assert_int_eq(test_count_names(test_folder(), ".d.h5.tmp"), 0);
}
END_TEST

START_TEST(what_does_not_fit_the_schema_is_refused)
{
    bm_checkpoint *c;
    model m = make_model();
    test_ok(test_store_write(NULL, test_path("e.h5"), 1, 1));
    test_fails(bm_checkpoint_open(&c, test_path("e.h5")), BM_ERR_REFUSED, "/config/json");
    m.param[4].tied_to = "nothing";
    test_ok(write_model(NULL, test_path("e.h5"), &m));
    test_fails(bm_checkpoint_open(&c, test_path("e.h5")), BM_ERR_REFUSED, "tied");
    m = make_model();
    m.desc.config_json = "{\"a\": 1, \"a\": 2}";
    test_ok(write_model(NULL, test_path("e.h5"), &m));
    test_fails(bm_checkpoint_open(&c, test_path("e.h5")), BM_ERR_REFUSED, "duplicate");
    m.desc.config_json = "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]";
    test_ok(write_model(NULL, test_path("e.h5"), &m));
    test_fails(bm_checkpoint_open(&c, test_path("e.h5")), BM_ERR_REFUSED, "deeper");
    m.desc.config_json = "{";
    test_ok(write_model(NULL, test_path("e.h5"), &m));
    test_fails(bm_checkpoint_open(&c, test_path("e.h5")), BM_ERR_REFUSED, "/config/json is not JSON");
    test_fails(bm_checkpoint_open(&c, test_path("none.h5")), BM_ERR_NOT_FOUND, "none.h5");
    ck_assert_ptr_null(c);
}
END_TEST

/* The file again, without the dataset `left_out` and with a small f32 one at `added`. */
static void rewrite(const char *from, const char *to, const char *left_out, const char *added)
{
    bm_store *s;
    bm_writer *w;
    const float x[2] = {0};
    test_ok(bm_store_open(&s, from));
    test_ok(bm_writer_create(&w, to, &(bm_writer_opts){.replace = 1}));
    for (int64_t i = 0; i < bm_store_group_count(s); i++)
        if (strncmp(bm_store_group_at(s, i), "/manifest", 9)) test_ok(bm_writer_group(w, bm_store_group_at(s, i)));
    for (int64_t i = 0; i < bm_store_count(s); i++) {
        const bm_entry *e = bm_store_at(s, i);
        if (strcmp(e->path, left_out)) test_ok(bm_writer_dataset(NULL, w, e->path, e->dtype, &e->shape));
    }
    if (added[0]) test_ok(bm_writer_numbers(w, added, BM_F32, x, 2));
    for (int64_t i = 0; i < bm_store_attr_count(s); i++) {
        const bm_attr *a = bm_store_attr_at(s, i);
        if (!strcmp(a->object, "/") || !strcmp(a->object, left_out)) continue;
        test_ok(a->is_text ? bm_writer_attr_text(w, a->object, a->name, a->data)
                           : bm_writer_attr(w, a->object, a->name, a->dtype, &a->shape, a->data));
    }
    test_ok(bm_writer_begin(w));
    for (int64_t i = 0, index = 0; i < bm_store_count(s); i++) {
        const bm_entry *e = bm_store_at(s, i);
        void *data;
        if (!strcmp(e->path, left_out)) continue;
        test_ok(bm_store_load(&data, s, e, 1 << 20));
        test_ok(bm_writer_put(w, index++, data, 0, e->bytes / (int64_t)bm_dtype_size(e->dtype)));
        bm_free(data);
    }
    test_ok(bm_writer_commit(NULL, w));
    bm_writer_destroy(w);
    bm_store_close(s);
}

START_TEST(a_tensor_too_many_or_too_few_is_refused)
{
    static const struct {
        const char *left_out, *added, *words;
    } change[] = {{"", "/optim/adamw/other/m", "no parameter"},
                  {"/optim/adamw/ln/weight/v", "", "/optim/adamw/ln/weight/v"},
                  {"/optim/adamw/ln/weight/v", "/optim/adamw/ln/weight/v", "is due"}, /* of another shape */
                  {"/params/wte/weight", "", "tied"},
                  {"", "/params/new", "missing"}, /* without its attributes */
                  {"/state/step", "", "/state/step"},
                  {"/history/loss", "/history/loss", "/history/loss"},
                  {"/config/json", "", "/config/json"}};
    model m = make_model();
    bm_checkpoint *c;
    char from[4096], to[4096];
    snprintf(from, sizeof from, "%s", test_path("g.h5"));
    snprintf(to, sizeof to, "%s", test_path("h.h5"));
    test_ok(write_model(NULL, from, &m));
    rewrite(from, to, "", "");
    test_ok(bm_checkpoint_open(&c, to));
    bm_checkpoint_close(c);
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        rewrite(from, to, change[i].left_out, change[i].added);
        test_fails(bm_checkpoint_open(&c, to), BM_ERR_REFUSED, change[i].words);
    }
}
END_TEST

static bm_status write_and_read(void *path)
{
    model m = make_model();
    bm_checkpoint *c;
    reader r = {&m, NULL, 0};
    BM_TRY(write_model(NULL, path, &m));
    BM_TRY(bm_checkpoint_open(&c, path));
    r.desc = bm_checkpoint_desc(c);
    bm_status status = bm_checkpoint_read_all(c, take, &r);
    bm_checkpoint_close(c);
    return status;
}

START_TEST(every_failing_allocation_is_survived)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", test_path("f.h5"));
    test_fail_allocations(write_and_read, path);
    ck_assert_int_eq(test_count_names(test_folder(), ".f.h5.tmp"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io/store/checkpoint");
    TCase *t = tcase_create("checkpoint");
    tcase_add_test(t, all_of_it_comes_back);
    tcase_add_test(t, content_id_is_that_of_weights_and_state);
    tcase_add_test(t, weights_alone_are_a_checkpoint_too);
    tcase_add_test(t, a_failing_source_leaves_the_old_file);
    tcase_add_test(t, what_does_not_fit_the_schema_is_refused);
    tcase_add_test(t, a_tensor_too_many_or_too_few_is_refused);
    tcase_add_test(t, every_failing_allocation_is_survived);
    suite_add_tcase(suite, t);
    return test_run(suite);
}
