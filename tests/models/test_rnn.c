/* Recurrent networks against PyTorch, and their decoding against the forward pass. */
#include <math.h>
#include <stdio.h>

#include "core/graph/scalars.h"
#include "models/nn/network.h"
#include "models/nn/params.h"
#include "models/train/task.h"
#include "tests/lib/device.h"
#include "tests/lib/family.h"
#include "tests/lib/test.h"

static const char *const cases[] = {
    "rnn_classes", "rnn_tags", "lstm_classes", "lstm_tags", "gru_classes", "gru_tags", "rnn_regression", "rnn_lm", "rnn_ctc",
};

/* ---- decoding ---- */

enum { T = 9, VOCAB = 13, PIECE = 4, LENGTHS = 2 };
static const int64_t lengths[LENGTHS] = {1, PIECE};
static const int32_t ids[T] = {3, 1, 4, 1, 5, 9, 2, 6, 12};

typedef struct decoder {
    bm_engine *engine;
    bm_config *config;
    bm_task task;
    bm_network forward, step[LENGTHS];
    bm_params *params;
    bm_layout *layout;
    bm_bank *banks[4];
    int n_banks;
    float want[T * VOCAB]; /* of the forward pass */
} decoder;

static void configure(decoder *d, const char *cell)
{
    static const char *const sets[] = {"model.family=rnn", "model.task=lm", "model.vocab=13", "model.outputs=13", "model.layers=2", "model.width=5",
                                       "model.embedding=7", "model.lengths=false", "data.path=none", "data.window=9"};
    char text[64];
    size_t n;
    const bm_config_family *const *families = bm_model_families(&n);
    test_ok(bm_config_create(&d->config, families, n));
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) test_ok(bm_config_set(d->config, sets[i]));
    snprintf(text, sizeof text, "model.cell=%s", cell);
    test_ok(bm_config_set(d->config, text));
    test_ok(bm_task_open(&d->task, d->config, 1));
}

static void run_forward(decoder *d)
{
    const bm_model_request r = {.mode = BM_MODEL_EVAL, .batch = 1, .window = T};
    test_ok(bm_network_build(&d->forward, d->task.model, d->config, &r, 0));
    bm_graph_output(d->forward.graph, d->forward.io.logits, "logits");
    test_ok(bm_params_create(&d->params, d->engine, d->forward.nn, d->forward.graph, &(bm_params_opts){0}));
    test_ok(bm_params_init(d->params, 5));
    bm_bank *const *weights = bm_params_banks(d->params, &d->n_banks);
    for (int i = 0; i < d->n_banks; i++) d->banks[i] = weights[i];
    const bm_plan_opts o = {.gemm = "tiled", .banks = d->banks, .n_banks = d->n_banks};
    test_ok(bm_network_plan(&d->forward, d->engine, &o));
    test_ok(bm_plan_write(d->forward.plan, d->forward.io.inputs, ids));
    test_ok(bm_plan_write(d->forward.plan, d->forward.io.targets, ids));
    test_ok(bm_plan_run(d->forward.plan));
    test_ok(bm_plan_read(d->forward.plan, d->forward.io.logits, d->want));
}

static void plan_steps(decoder *d)
{
    for (int i = 0; i < LENGTHS; i++) {
        const bm_model_request r = {.mode = BM_MODEL_DECODE, .batch = 1, .window = lengths[i]};
        test_ok(bm_network_build(&d->step[i], d->task.model, d->config, &r, 0));
    }
    test_ok(bm_layout_create(&d->layout, d->step[0].graph, BM_PLACE_CACHE, bm_engine_limits(d->engine)));
    test_ok(bm_bank_create(&d->banks[d->n_banks++], d->engine, d->layout, BM_PLACE_CACHE));
    const bm_plan_opts o = {.gemm = "tiled", .banks = d->banks, .n_banks = d->n_banks};
    for (int i = 0; i < LENGTHS; i++) test_ok(bm_network_plan(&d->step[i], d->engine, &o));
}

/* Reads ids [at, at + n) and compares the logits after them: order of sums apart, those of the forward pass. */
static void read_piece(decoder *d, int at, int n)
{
    const bm_network *p = &d->step[n > 1];
    int32_t input[PIECE] = {7, 7, 7, 7}; /* what is beyond n does not matter */
    float got[VOCAB], most = 0;
    const float *want = d->want + (at + n - 1) * VOCAB;
    for (int i = 0; i < n; i++) input[i] = ids[at + i];
    bm_plan_set_u32(p->plan, BM_RT_POSITION, (uint32_t)at);
    bm_plan_set_u32(p->plan, BM_RT_LENGTH, (uint32_t)n);
    test_ok(bm_plan_write(p->plan, p->io.inputs, input));
    test_ok(bm_plan_run(p->plan));
    test_ok(bm_plan_read(p->plan, p->io.logits, got));
    for (int i = 0; i < VOCAB; i++) most = fmaxf(most, fabsf(want[i]));
    for (int i = 0; i < VOCAB; i++)
        test_that(fabsf(got[i] - want[i]) <= 0x1p-18f * most, "%s: logit %d after %d ids is %.9g, not %.9g", bm_config_string(d->config, "model.cell"),
                  i, at + n, (double)got[i], (double)want[i]);
}

START_TEST(decoding_goes_on_from_the_states_of_the_forward_pass)
{
    static const char *const cells[] = {"rnn", "lstm", "gru"};
    static const int pieces[][6] = {{4, 1, 3, 1}, {1, 1, 2, 4, 1}, {3, 4, 2}};
    decoder d = {.engine = test_engine_open()};
    configure(&d, cells[_i]);
    run_forward(&d);
    plan_steps(&d);
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) /* each begins anew at 0 */
        for (int i = 0, at = 0; at < T; at += pieces[k][i++]) read_piece(&d, at, pieces[k][i]);
    for (int i = 0; i < LENGTHS; i++) bm_network_finish(&d.step[i]);
    bm_network_finish(&d.forward);
    bm_bank_destroy(d.banks[d.n_banks - 1]);
    bm_layout_destroy(d.layout);
    bm_params_destroy(d.params);
    bm_task_close(&d.task);
    bm_config_destroy(d.config);
    bm_engine_close(d.engine);
}
END_TEST

int main(void)
{
    Suite *s = family_suite("models/rnn", cases, sizeof cases / sizeof *cases);
    TCase *t = tcase_create("decoding");
    tcase_add_loop_test(t, decoding_goes_on_from_the_states_of_the_forward_pass, 0, 3);
    suite_add_tcase(s, t);
    return test_run(s);
}
