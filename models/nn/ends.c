#include "models/nn/ends.h"

#include <math.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/graph/op.h"

static const struct {
    const char *name;
    int sequence;     /* a class at each place */
    int numbers;      /* its targets */
    const char *loss; /* what train.loss null means */
} objectives[] = {
    [BM_OBJECTIVE_REGRESSION] = {"regression", 0, 1, "mse"}, [BM_OBJECTIVE_BINARY] = {"binary", 0, 0, "bce"},
    [BM_OBJECTIVE_CLASSES] = {"classes", 0, 0, "cross_entropy"}, [BM_OBJECTIVE_LM] = {"lm", 1, 0, "cross_entropy"},
    [BM_OBJECTIVE_TAGS] = {"tags", 1, 0, "cross_entropy"},
};
#define OBJECTIVES ((int)(sizeof objectives / sizeof objectives[0]))

/* ---- losses: the choices of train.loss ---- */

static bm_value *mse(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c)
{
    (void)c;
    return bm_mse(g, &io->rows, x, targets);
}

static bm_value *mae(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c)
{
    (void)c;
    return bm_mae(g, &io->rows, x, targets);
}

static bm_value *huber(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c)
{
    return bm_huber(g, &io->rows, x, targets, (float)bm_config_f64(c, "train.huber_delta"));
}

static bm_value *bce(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c)
{
    (void)c;
    return bm_bce_logits(g, &io->rows, x, targets);
}

static bm_value *cross_entropy(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c)
{
    const bm_xent_opts o = {.label_smoothing = (float)bm_config_f64(c, "train.label_smoothing")};
    const int64_t rows = bm_shape_rows(bm_value_shape(x));
    return bm_softmax_xent(g, &io->rows, x, bm_reshape(g, targets, BM_SHAPE(rows)), io->class_weights, &o);
}

static bm_value *ctc(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c)
{
    const bm_shape *s = bm_value_shape(x);
    const int64_t batch = bm_value_shape(targets)->dim[0];
    (void)c;
    io->aligned = 1;
    return bm_ctc(g, &io->rows, bm_reshape(g, x, BM_SHAPE(batch, s->dim[0] / batch, s->dim[1])), targets, io->lengths);
}

#define FOR(objective) (1u << BM_OBJECTIVE_##objective)
static const struct loss {
    const char *name;
    unsigned objectives; /* that it is a loss of */
    bm_value *(*build)(bm_model_io *io, bm_graph *g, bm_value *x, bm_value *targets, const bm_config *c);
} losses[] = {
#define BM_LOSS(name_, objectives_) {#name_, objectives_, name_},
#include "models/nn/losses.def"
};
#define LOSSES (sizeof losses / sizeof losses[0])

static const struct loss *loss_of(const bm_config *c, bm_objective o)
{
    const char *name = bm_config_is_null(c, "train.loss") ? objectives[o].loss : bm_config_string(c, "train.loss");
    size_t i = 0;
    while (i + 1 < LOSSES && strcmp(losses[i].name, name)) i++;
    return &losses[i];
}

/* ---- the objective ---- */

bm_objective bm_objective_of(const bm_config *c)
{
    const char *name = bm_config_string(c, "model.task");
    int i = 0;
    while (i + 1 < OBJECTIVES && strcmp(objectives[i].name, name)) i++;
    return (bm_objective)i;
}

bm_status bm_loss_check(const bm_config *c, bm_objective o)
{
    char where[256];
    if (!bm_config_is_null(c, "train.class_weights") && loss_of(c, o)->build != cross_entropy)
        return bm_fail(BM_ERR_CONFIG, "%strain.class_weights: that is for cross_entropy: set it to null",
                       bm_config_where(c, "train.class_weights", where, sizeof where));
    if (bm_config_f64(c, "train.label_smoothing") > 0 && loss_of(c, o)->build != cross_entropy)
        return bm_fail(BM_ERR_CONFIG, "%strain.label_smoothing: that is for cross_entropy: set it to 0",
                       bm_config_where(c, "train.label_smoothing", where, sizeof where));
    if (loss_of(c, o)->objectives & 1u << o) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%strain.loss: %s is no loss of model.task %s: null is %s",
                   bm_config_where(c, "train.loss", where, sizeof where), bm_config_string(c, "train.loss"), objectives[o].name,
                   objectives[o].loss);
}

bm_status bm_ends_check(const bm_config *c)
{
    return bm_config_is_null(c, "model.task") ? BM_OK : bm_loss_check(c, bm_objective_of(c));
}

static bm_status fit_input(bm_config *c, const bm_sample_form *f)
{
    int64_t have[BM_CONFIG_LIST_MOST];
    char where[256], mine[BM_SHAPE_TEXT], theirs[BM_SHAPE_TEXT];
    if (f->input != BM_F32 || f->lengths) {
        char text[BM_SAMPLE_TEXT];
        return bm_fail(BM_ERR_CONFIG, "model.family: %s does not learn from samples %s", bm_config_get_family(c)->name, bm_sample_text(f, text));
    }
    if (bm_config_is_null(c, "model.input")) return bm_config_set_list(c, "model.input", f->input_shape.dim, f->input_shape.rank);
    const int n = bm_config_list(have, c, "model.input");
    const bm_shape shape = bm_shape_of(n < BM_MAX_RANK ? n : BM_MAX_RANK, have);
    if (bm_shape_equal(&shape, &f->input_shape)) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%smodel.input: %s, but the samples of the data set are %s",
                   bm_config_where(c, "model.input", where, sizeof where), bm_shape_text(&shape, mine, sizeof mine),
                   bm_shape_text(&f->input_shape, theirs, sizeof theirs));
}

/* What targets of this form are for. */
static bm_objective objective_for(const bm_sample_form *f, int64_t places)
{
    if (f->target == BM_F32) return BM_OBJECTIVE_REGRESSION;
    if (!f->target_shape.rank) return BM_OBJECTIVE_CLASSES;
    return f->input == BM_I32 && f->vocab == f->classes && f->target_shape.dim[0] == places ? BM_OBJECTIVE_LM : BM_OBJECTIVE_TAGS;
}

bm_status bm_ends_fit(bm_config *c, const bm_sample_form *f)
{
    char where[256], text[BM_SAMPLE_TEXT];
    if (!f) {
        BM_TRY(bm_model_need(c, "model.task"));
        if (bm_config_has(c, "model.input")) BM_TRY(bm_model_need(c, "model.input"));
        return bm_model_need(c, "model.outputs");
    }
    if (bm_config_has(c, "model.input")) BM_TRY(fit_input(c, f));
    if (bm_config_is_null(c, "model.task"))
        BM_TRY(bm_config_set_string(c, "model.task", objectives[objective_for(f, bm_sample_places(f))].name));
    const bm_objective o = bm_objective_of(c);
    if (objectives[o].numbers != (f->target == BM_F32) || objectives[o].sequence != (f->target == BM_I32 && f->target_shape.rank > 0))
        return bm_fail(BM_ERR_CONFIG, "%smodel.task: %s cannot be learned from samples %s",
                       bm_config_where(c, "model.task", where, sizeof where), objectives[o].name, bm_sample_text(f, text));
    if (o == BM_OBJECTIVE_BINARY && f->classes != 2)
        return bm_fail(BM_ERR_CONFIG, "%smodel.task: binary is for 2 classes, the data set has %lld: set it to classes",
                       bm_config_where(c, "model.task", where, sizeof where), (long long)f->classes);
    BM_TRY(bm_ends_check(c));
    const int64_t need = o == BM_OBJECTIVE_REGRESSION ? bm_shape_elements(&f->target_shape) : o == BM_OBJECTIVE_BINARY ? 1 : f->classes;
    if (bm_config_is_null(c, "model.outputs")) return bm_config_set_i64(c, "model.outputs", need);
    const int64_t have = bm_config_i64(c, "model.outputs");
    if (have == need || (o != BM_OBJECTIVE_REGRESSION && have > need)) return BM_OK;
    return bm_fail(BM_ERR_CONFIG, "%smodel.outputs: %lld, but the data set needs %lld",
                   bm_config_where(c, "model.outputs", where, sizeof where), (long long)have, (long long)need);
}

/* ---- building ---- */

bm_value *bm_nn_input(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    int64_t dim[BM_CONFIG_LIST_MOST];
    const int n = bm_config_list(dim, c, "model.input");
    bm_shape shape = BM_SHAPE(r->batch);
    if (n >= BM_MAX_RANK) {
        bm_graph_fail(bm_nn_graph(nn), bm_fail(BM_ERR_CONFIG, "model.input: %d dimensions are too many", n));
        return NULL;
    }
    for (int i = 0; i < n; i++) shape.dim[shape.rank++] = dim[i];
    io->inputs = bm_graph_input(bm_nn_graph(nn), "inputs", BM_F32, shape);
    return bm_cast(bm_nn_graph(nn), io->inputs, r->dtype);
}

bm_value *bm_nn_rows(bm_model_io *io, bm_nn *nn, const bm_config *c, const bm_model_request *r)
{
    bm_value *x = bm_nn_input(io, nn, c, r);
    return x ? bm_reshape(bm_nn_graph(nn), x, BM_SHAPE(r->batch, bm_shape_elements(bm_value_shape(x)) / r->batch)) : NULL;
}

void bm_nn_loss(bm_model_io *io, bm_nn *nn, bm_value *logits, const bm_config *c, const bm_model_request *r)
{
    bm_graph *g = bm_nn_graph(nn);
    const int numbers = objectives[io->objective].numbers, sequence = objectives[io->objective].sequence;
    io->logits = logits;
    if (!logits) return;
    const struct loss *loss = loss_of(c, io->objective);
    const int fewer = loss->build == ctc && bm_config_has(c, "model.labels") && !bm_config_is_null(c, "model.labels");
    const int64_t places = fewer ? bm_config_i64(c, "model.labels") : r->window;
    const bm_shape shape = numbers ? *bm_value_shape(logits) : sequence ? BM_SHAPE(r->batch, places) : BM_SHAPE(r->batch);
    if (r->mode == BM_MODEL_TRAIN && !bm_config_is_null(c, "train.class_weights"))
        io->class_weights = bm_graph_input(g, "class_weights", BM_F32, BM_SHAPE(bm_shape_last(bm_value_shape(logits))));
    io->targets = bm_graph_input(g, "targets", numbers ? BM_F32 : BM_I32, shape);
    io->loss = loss->build(io, g, logits, io->targets, c);
}

void bm_nn_head(bm_model_io *io, bm_nn *nn, bm_value *x, const bm_config *c, const bm_model_request *r)
{
    bm_graph *g = bm_nn_graph(nn);
    if (!x) return;
    const int64_t width = bm_shape_last(bm_value_shape(x)), outputs = bm_config_i64(c, "model.outputs");
    io->objective = bm_objective_of(c);
    io->classes = io->objective == BM_OBJECTIVE_REGRESSION ? 0 : io->objective == BM_OBJECTIVE_BINARY ? 2 : outputs;
    io->hidden = x;
    if (r->mode == BM_MODEL_DECODE) x = bm_last_token(g, x);
    else if (bm_value_shape(x)->rank == 3) x = bm_reshape(g, x, BM_SHAPE(bm_shape_rows(bm_value_shape(x)), width));
    bm_value *logits = bm_nn_linear(nn, "head", x, outputs, 1.0f / sqrtf((float)width), 1, BM_ACT_NONE);
    if (r->mode == BM_MODEL_DECODE) io->logits = logits;
    else bm_nn_loss(io, nn, logits, c, r);
}
