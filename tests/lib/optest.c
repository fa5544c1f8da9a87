#include "tests/lib/optest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl/ops/ops.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/device/engine_priv.h"
#include "core/graph/memplan.h"
#include "tests/lib/device.h"
#include "tests/lib/test.h"

#define STEP 1e-5        /* of central differences: their own error is about STEP squared */
#define SAMPLES 64       /* elements of an input whose gradient is checked one by one */

static bm_engine *engines[2]; /* cpu, plain */

/* One case with its numbers on the host: the inputs as the reference sees them, and what it makes of them. */
typedef struct host {
    const optest *t;
    bm_dtype storage;
    double *in[OPTEST_INPUTS];
    double *out[OPTEST_OUTPUTS];
    double *weight[OPTEST_OUTPUTS]; /* r of the loss */
    int64_t n_in[OPTEST_INPUTS], n_out[OPTEST_OUTPUTS];
} host;

/* The same case on a device. */
typedef struct run {
    bm_graph *graph;
    bm_value *in[OPTEST_INPUTS], *out[OPTEST_OUTPUTS], *weight[OPTEST_OUTPUTS], *grad[OPTEST_INPUTS];
    bm_layout *layout[2];
    bm_bank *banks[3];
    int n_banks;
    bm_plan *plan;
} run;

static void *must(void *p)
{
    ck_assert_msg(p != NULL, "out of memory");
    return p;
}

static double *doubles(int64_t n)
{
    return must(calloc((size_t)n + 1, sizeof(double)));
}

/* ---- engines ---- */

bm_engine *optest_engine(bm_form form)
{
    bm_engine **e = &engines[form == BM_FORM_PLAIN];
    bm_engine_opts opts = test_engine_opts();
    opts.form = form;
    if (!*e) *e = test_engine_open_with(&opts);
    return *e;
}

static void close_engines(void)
{
    for (int i = 0; i < 2; i++) {
        bm_engine_close(engines[i]);
        engines[i] = NULL;
    }
}

TCase *optest_tcase(Suite *s, const char *name)
{
    TCase *c = tcase_create(name);
    test_together(c, close_engines);
    tcase_set_timeout(c, 900);
    suite_add_tcase(s, c);
    return c;
}

int optest_small(void)
{
    return getenv("BM_TEST_SMALL") != NULL || getenv("BM_TEST_OCLGRIND") != NULL;
}

/* ---- numbers ---- */

static double draw(const optest_input *in, bm_rng *r)
{
    double u = bm_rng_uniform(r);
    switch (in->fill) {
    case OPTEST_NORMAL: return bm_rng_normal(r);
    case OPTEST_UNIFORM: return in->low + (in->high - in->low) * u;
    case OPTEST_APART: return (bm_rng_u32(r) & 1 ? 1 : -1) * (in->low + (in->high - in->low) * u);
    case OPTEST_INDEX: return floor(in->low + (in->high - in->low) * u);
    }
    return 0;
}

static bm_dtype type_of(const optest_input *in, bm_dtype storage)
{
    return in->fill == OPTEST_INDEX ? BM_I32 : in->f32 ? BM_F32 : storage;
}

/* x as type t holds it. */
static double rounded(double x, bm_dtype t)
{
    if (t == BM_F16) return bm_f16_to_f32(bm_f32_to_f16((float)x));
    if (t == BM_BF16) return bm_bf16_to_f32(bm_f32_to_bf16((float)x));
    return t == BM_I32 ? x : (double)(float)x;
}

static void *packed(const double *x, int64_t n, bm_dtype t)
{
    char *p = must(calloc((size_t)n + 1, bm_dtype_size(t)));
    for (int64_t i = 0; i < n; i++) {
        if (t == BM_F32) ((float *)p)[i] = (float)x[i];
        if (t == BM_F16) ((uint16_t *)p)[i] = bm_f32_to_f16((float)x[i]);
        if (t == BM_BF16) ((uint16_t *)p)[i] = bm_f32_to_bf16((float)x[i]);
        if (t == BM_I32) ((int32_t *)p)[i] = (int32_t)x[i];
    }
    return p;
}

static double unpacked(const void *p, bm_dtype t, int64_t i)
{
    if (t == BM_F16) return bm_f16_to_f32(((const uint16_t *)p)[i]);
    if (t == BM_BF16) return bm_bf16_to_f32(((const uint16_t *)p)[i]);
    return t == BM_I32 ? (double)((const int32_t *)p)[i] : (double)((const float *)p)[i];
}

static void host_init(host *h, const optest *t, bm_dtype storage, bm_value *const *out)
{
    memset(h, 0, sizeof *h);
    h->t = t;
    h->storage = storage;
    for (int i = 0; i < t->n_in; i++) {
        bm_rng r = bm_rng_start(1, bm_rng_stream(t->name), (uint32_t)i);
        h->n_in[i] = bm_shape_elements(&t->in[i].shape);
        h->in[i] = doubles(h->n_in[i]);
        for (int64_t k = 0; k < h->n_in[i]; k++) h->in[i][k] = rounded(draw(&t->in[i], &r), type_of(&t->in[i], storage));
    }
    for (int j = 0; j < t->n_out; j++) {
        bm_rng r = bm_rng_start(2, bm_rng_stream(t->name), (uint32_t)j);
        h->n_out[j] = bm_shape_elements(bm_value_shape(out[j]));
        h->out[j] = doubles(h->n_out[j]);
        h->weight[j] = doubles(h->n_out[j]);
        for (int64_t k = 0; k < h->n_out[j]; k++) h->weight[j][k] = (float)(2 * bm_rng_uniform(&r) - 1);
    }
    t->reference(h->out, (const double *const *)h->in, t);
}

static void host_finish(host *h)
{
    for (int i = 0; i < OPTEST_INPUTS; i++) free(h->in[i]);
    for (int j = 0; j < OPTEST_OUTPUTS; j++) {
        free(h->out[j]);
        free(h->weight[j]);
    }
}

/* ---- comparison ---- */

static double rms(const double *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i] * x[i];
    return n ? sqrt(s / (double)n) : 0;
}

void optest_compare(const char *what, const void *got, bm_dtype t, const double *want, int64_t n, double c, double floor_)
{
    const double unit = t == BM_F16 ? 0x1p-11 : t == BM_BF16 ? 0x1p-8 : 0;
    const double tiny = t == BM_F16 ? 0x1p-25 : 0x1p-149;
    const double size = fmax(rms(want, n), floor_);
    for (int64_t i = 0; i < n; i++) {
        double x = unpacked(got, t, i), scale = fmax(fabs(want[i]), size);
        double most = (t == BM_I32 ? 0 : c * 0x1p-24 * scale + 1.001 * unit * fabs(want[i]) + tiny);
        test_that(fabs(x - want[i]) <= most, "%s: element %lld of %lld is %.9g, not %.9g: off by %.3g, at most %.3g", what,
                      (long long)i, (long long)n, x, want[i], fabs(x - want[i]), most);
    }
}

static double or_one(double x)
{
    return x > 0 ? x : 1;
}

/* How the loss changes when inputs move from `in` + step * v to `in` - step * v: dL/dv. */
static double difference(const host *h, int input, const double *v, double step)
{
    double *up[OPTEST_OUTPUTS] = {0}, *down[OPTEST_OUTPUTS] = {0}, *moved = doubles(h->n_in[input]), sum = 0;
    const double *in[OPTEST_INPUTS];
    memcpy(in, h->in, sizeof in);
    in[input] = moved;
    for (int j = 0; j < h->t->n_out; j++) {
        up[j] = doubles(h->n_out[j]);
        down[j] = doubles(h->n_out[j]);
    }
    for (int64_t k = 0; k < h->n_in[input]; k++) moved[k] = h->in[input][k] + step * v[k];
    h->t->reference(up, in, h->t);
    for (int64_t k = 0; k < h->n_in[input]; k++) moved[k] = h->in[input][k] - step * v[k];
    h->t->reference(down, in, h->t);
    for (int j = 0; j < h->t->n_out; j++) {
        for (int64_t k = 0; k < h->n_out[j]; k++) sum += h->weight[j][k] * (up[j][k] - down[j][k]);
        free(up[j]);
        free(down[j]);
    }
    free(moved);
    return sum / (2 * step);
}

/* Single elements where there are few, a sample of them where there are many; then the whole along a random direction. */
static void check_gradient(const host *h, int input, const float *got, const char *what)
{
    const optest *t = h->t;
    const int64_t n = h->n_in[input];
    const double c = (t->grad_c > 0 ? t->grad_c : t->c) * sqrt(or_one(t->grad_length > 0 ? t->grad_length : t->length));
    double *v = doubles(n), *want = doubles(SAMPLES), sum = 0, size = t->floor;
    float picked[SAMPLES] = {0};
    int m = 0;
    for (int64_t k = 0; k < n; k += n > SAMPLES ? n / SAMPLES + 1 : 1) {
        v[k] = 1;
        want[m] = difference(h, input, v, STEP);
        v[k] = 0;
        picked[m++] = got[k];
    }
    optest_compare(what, picked, BM_F32, want, m, c + 1, t->floor);
    bm_rng r = bm_rng_start(3, bm_rng_stream(t->name), (uint32_t)input);
    for (int64_t k = 0; k < n; k++) {
        v[k] = bm_rng_u32(&r) & 1 ? 1 : -1;
        sum += v[k] * got[k];
        size = fmax(size, fabs(got[k]));
    }
    double along = difference(h, input, v, STEP);
    double most = (c + 1) * 0x1p-24 * size * 4 * sqrt((double)n);
    ck_assert_msg(fabs(sum - along) <= most, "%s: along a random direction %.9g, not %.9g: off by %.3g, at most %.3g", what,
                  sum, along, fabs(sum - along), most);
    free(v);
    free(want);
}

/* ---- running ---- */

static void add_bank(run *r, bm_engine *e, int layout, bm_place at, bm_place place)
{
    if (!r->layout[layout]) test_ok(bm_layout_create(&r->layout[layout], r->graph, at, bm_engine_limits(e)));
    if (bm_layout_count(r->layout[layout])) test_ok(bm_bank_create(&r->banks[r->n_banks++], e, r->layout[layout], place));
}

static void build_inputs(run *r, const optest *t, bm_dtype storage)
{
    for (int i = 0; i < t->n_in; i++) {
        const optest_input *in = &t->in[i];
        const bm_dtype type = type_of(in, storage);
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        r->in[i] = in->place == BM_PLACE_WEIGHT  ? bm_graph_param(r->graph, name, type, in->shape, 0)
                   : in->place == BM_PLACE_CACHE ? bm_graph_cache(r->graph, name, type, in->shape)
                                                 : bm_graph_input(r->graph, name, type, in->shape);
    }
}

/* loss = sum over outputs of sum(output * r). */
static void build_loss(run *r, const optest *t)
{
    bm_value *loss = NULL;
    for (int i = 0; i < t->n_in; i++)
        if (t->in[i].gradient) bm_graph_want_gradient(r->graph, r->in[i]);
    for (int j = 0; j < t->n_out; j++) {
        char name[16];
        snprintf(name, sizeof name, "r%d", j);
        r->weight[j] = bm_graph_input(r->graph, name, BM_F32, *bm_value_shape(r->out[j]));
        bm_value *part = bm_sum(r->graph, bm_mul(r->graph, r->out[j], r->weight[j]));
        loss = loss ? bm_add(r->graph, loss, part) : part;
    }
    test_ok(bm_graph_gradients(r->graph, loss));
    for (int i = 0; i < t->n_in; i++) {
        if (!t->in[i].gradient) continue;
        r->grad[i] = bm_graph_gradient(r->graph, r->in[i]);
        ck_assert_msg(r->grad[i] != NULL, "%s: input %d has no gradient", t->name, i);
        if (t->in[i].place != BM_PLACE_WEIGHT) bm_graph_output(r->graph, r->grad[i], "gradient");
    }
}

static void run_build(run *r, const optest *t, bm_dtype storage, int gradient, int accumulate)
{
    memset(r, 0, sizeof *r);
    bm_graph_opts opts = bm_graph_opts_with_ops();
    opts.accumulate = accumulate;
    test_ok(bm_graph_create(&r->graph, &opts));
    build_inputs(r, t, storage);
    t->build(r->graph, r->out, r->in, t);
    test_ok(bm_graph_status(r->graph));
    for (int j = 0; j < t->n_out; j++) {
        ck_assert_msg(r->out[j] != NULL, "%s: output %d was not built", t->name, j);
        bm_graph_output(r->graph, r->out[j], "out");
    }
    if (gradient) build_loss(r, t);
    test_ok(bm_graph_status(r->graph));
}

static void run_plan(run *r, bm_engine *e)
{
    add_bank(r, e, 0, BM_PLACE_WEIGHT, BM_PLACE_WEIGHT);
    add_bank(r, e, 0, BM_PLACE_WEIGHT, BM_PLACE_GRAD);
    add_bank(r, e, 1, BM_PLACE_CACHE, BM_PLACE_CACHE);
    bm_plan_opts opts = {.banks = r->banks, .n_banks = r->n_banks};
    opts.gemm = bm_engine_form(e) == BM_FORM_CPU ? "packed" : "tiled"; /* the choice among backends has tests of its own */
    bm_status s = bm_plan_create(&r->plan, e, r->graph, &opts);
    ck_assert_msg(s == BM_OK, "%s", bm_error_text(s));
}

static bm_bank *bank_of(const run *r, bm_place place)
{
    for (int i = 0; i < r->n_banks; i++)
        if (bm_bank_place(r->banks[i]) == place) return r->banks[i];
    return NULL;
}

static const bm_tensor *tensor_of(const run *r, bm_place place, const bm_value *v)
{
    const bm_tensor *x = bm_layout_find(bm_bank_layout(bank_of(r, place)), bm_value_name(v));
    ck_assert(x != NULL);
    return x;
}

static void write_inputs(const run *r, const host *h)
{
    for (int i = 0; i < h->t->n_in; i++) {
        const bm_place place = h->t->in[i].place;
        void *data = packed(h->in[i], h->n_in[i], bm_value_dtype(r->in[i]));
        if (place == BM_PLACE_WEIGHT || place == BM_PLACE_CACHE) {
            const bm_tensor *x = tensor_of(r, place, r->in[i]);
            if (x->bytes) test_ok(bm_bank_write(bank_of(r, place), x, 0, data, x->bytes));
        } else {
            test_ok(bm_plan_write(r->plan, r->in[i], data));
        }
        free(data);
    }
    for (int j = 0; j < h->t->n_out; j++) {
        if (!r->weight[j]) continue;
        void *data = packed(h->weight[j], h->n_out[j], BM_F32);
        test_ok(bm_plan_write(r->plan, r->weight[j], data));
        free(data);
    }
}

static void *read_value(const run *r, const bm_value *v)
{
    void *data = must(calloc((size_t)bm_shape_elements(bm_value_shape(v)) + 1, bm_dtype_size(bm_value_dtype(v))));
    test_ok(bm_plan_read(r->plan, v, data));
    return data;
}

static void *read_gradient(const run *r, const optest *t, int input)
{
    if (t->in[input].place != BM_PLACE_WEIGHT) return read_value(r, r->grad[input]);
    const bm_tensor *x = tensor_of(r, BM_PLACE_WEIGHT, r->in[input]);
    void *data = must(calloc((size_t)x->bytes + 1, 1));
    if (x->bytes) test_ok(bm_bank_read(bank_of(r, BM_PLACE_GRAD), x, 0, data, x->bytes));
    return data;
}

static void run_once(const run *r, const host *h)
{
    write_inputs(r, h);
    if (h->t->prepare) h->t->prepare(r->plan, h->t);
    test_ok(bm_plan_run(r->plan));
}

static void run_finish(run *r)
{
    bm_plan_destroy(r->plan);
    for (int i = 0; i < r->n_banks; i++) bm_bank_destroy(r->banks[i]);
    bm_layout_destroy(r->layout[0]);
    bm_layout_destroy(r->layout[1]);
    bm_graph_destroy(r->graph);
}

static void describe(char *buf, size_t bytes, const optest *t, const char *kind, bm_dtype storage, const char *what, int i)
{
    snprintf(buf, bytes, "%s (%s, %s): %s %d", t->name, kind, bm_dtype_name(storage), what, i);
}

/* Everything that the device made: outputs, then gradients; NULL where there is none. */
static void read_all(void **all, const run *r, const optest *t, int gradient)
{
    for (int j = 0; j < t->n_out; j++) all[j] = read_value(r, r->out[j]);
    for (int i = 0; i < t->n_in; i++)
        if (gradient && t->in[i].gradient) all[OPTEST_OUTPUTS + i] = read_gradient(r, t, i);
}

static void check_same(const host *h, void *const *a, void *const *b, const run *r, const char *kind)
{
    for (int k = 0; k < OPTEST_OUTPUTS + OPTEST_INPUTS; k++) {
        if (!a[k]) continue;
        const int input = k - OPTEST_OUTPUTS;
        const bm_value *v = input < 0 ? r->out[k] : r->in[input];
        ck_assert_msg(!memcmp(a[k], b[k], bm_shape_bytes(bm_value_shape(v), bm_value_dtype(v))),
                      "%s (%s, %s): two runs differ in %s %d", h->t->name, kind, bm_dtype_name(h->storage),
                      input < 0 ? "output" : "the gradient of input", input < 0 ? k : input);
    }
}

static void check_on(bm_engine *e, const optest *t, bm_dtype storage, int gradient, const char *kind)
{
    run r;
    host h;
    void *first[OPTEST_OUTPUTS + OPTEST_INPUTS] = {0}, *second[OPTEST_OUTPUTS + OPTEST_INPUTS] = {0};
    char what[256];
    run_build(&r, t, storage, gradient, 0);
    host_init(&h, t, storage, r.out);
    run_plan(&r, e);
    run_once(&r, &h);
    read_all(first, &r, t, gradient);
    if (!getenv("BM_TEST_OCLGRIND")) run_once(&r, &h); /* that one has a single thread: nothing could differ */
    read_all(second, &r, t, gradient);
    for (int j = 0; j < t->n_out; j++) {
        describe(what, sizeof what, t, kind, storage, "output", j);
        const bm_dtype type = bm_value_dtype(r.out[j]);
        const double c = t->c * sqrt(or_one(t->length)) + (type == BM_BF16 ? t->bf16_c : 0);
        optest_compare(what, first[j], type, h.out[j], h.n_out[j], c, t->floor);
    }
    for (int i = 0; i < t->n_in; i++) {
        if (!first[OPTEST_OUTPUTS + i] || !h.n_in[i]) continue;
        describe(what, sizeof what, t, kind, storage, "gradient of input", i);
        check_gradient(&h, i, first[OPTEST_OUTPUTS + i], what);
    }
    check_same(&h, first, second, &r, kind);
    for (int k = 0; k < OPTEST_OUTPUTS + OPTEST_INPUTS; k++) {
        free(first[k]);
        free(second[k]);
    }
    host_finish(&h);
    run_finish(&r);
}

static int has_gradient(const optest *t)
{
    for (int i = 0; i < t->n_in; i++)
        if (t->in[i].gradient) return 1;
    return 0;
}

/* Bytes that one allocation must hold at least: all inputs lie in one, each tensor of a bank, and each temporary. */
static int64_t least_alloc(const optest *t)
{
    run r;
    run_build(&r, t, BM_F32, has_gradient(t), 0);
    bm_limits limits = *bm_engine_limits(optest_engine(BM_FORM_CPU));
    bm_plan_memory m;
    test_ok(bm_plan_memory_of(&m, r.graph, &limits));
    int64_t largest = 0;
    bm_memplan *p = NULL;
    test_ok(bm_memplan_foresee(&p, r.graph, &limits, "packed"));
    for (int i = 0; i < p->n_storages; i++) largest = p->storages[i].bytes > largest ? p->storages[i].bytes : largest;
    bm_memplan_destroy(p);
    run_finish(&r);
    for (int i = 0; i < t->n_in; i++) m.input_bytes += (int64_t)bm_shape_bytes(&t->in[i].shape, BM_F32);
    const int64_t least = 2 * m.input_bytes + 65536;
    return least > largest ? least : largest;
}

int optest_next_form(int form)
{
    const char *only = getenv("BM_TEST_FORM");
    do form = form == BM_FORM_AUTO ? BM_FORM_CPU : form == BM_FORM_CPU ? BM_FORM_PLAIN : 0;
    while (form && only && *only && strcmp(only, form == BM_FORM_CPU ? "cpu" : "plain") != 0);
    return form;
}

void optest_check(const optest *t)
{
    static const char *const kinds[] = {"", "cpu", "plain"};
    EACH_FORM(form) {
        bm_engine *e = optest_engine(form);
        check_on(e, t, BM_F32, has_gradient(t), kinds[form]);
        if (t->f32_only) continue;
        check_on(e, t, form == BM_FORM_CPU ? BM_BF16 : BM_F16, 0, kinds[form]);
    }
    if (optest_small()) return;
    bm_engine *small = optest_engine(BM_FORM_CPU);
    const int64_t most = small->limits.max_alloc_bytes, least = least_alloc(t);
    if (least < most) small->limits.max_alloc_bytes = least; /* an engine of its own would build all programs again */
    check_on(small, t, BM_F32, has_gradient(t), "small allocations");
    small->limits.max_alloc_bytes = most;
}

static void accumulate_on(bm_engine *e, const optest *t, const char *kind)
{
    run r;
    host h;
    char what[256];
    run_build(&r, t, BM_F32, 1, 1);
    host_init(&h, t, BM_F32, r.out);
    run_plan(&r, e);
    float *once[OPTEST_INPUTS] = {0};
    for (int times = 1; times <= 2; times++) {
        run_once(&r, &h);
        for (int i = 0; i < t->n_in; i++) {
            if (t->in[i].place != BM_PLACE_WEIGHT || !t->in[i].gradient) continue;
            float *got = read_gradient(&r, t, i);
            describe(what, sizeof what, t, kind, BM_F32, times == 1 ? "gradient" : "gathered gradient", i);
            if (times == 1) {
                once[i] = got;
                check_gradient(&h, i, got, what);
                continue;
            }
            double *want = doubles(h.n_in[i]);
            for (int64_t k = 0; k < h.n_in[i]; k++) want[k] = 2.0 * (double)once[i][k];
            const double c = or_one(t->grad_c > 0 ? t->grad_c : t->c);
            const double length = or_one(t->grad_length > 0 ? t->grad_length : t->length);
            optest_compare(what, got, BM_F32, want, h.n_in[i], 2 * c * sqrt(length), t->floor);
            free(want);
            free(got);
        }
    }
    int any = 0;
    for (int i = 0; i < t->n_in; i++) {
        any |= once[i] != NULL;
        free(once[i]);
    }
    ck_assert_msg(any, "%s has no weight with a gradient", t->name);
    host_finish(&h);
    run_finish(&r);
}

void optest_check_accumulate(const optest *t)
{
    EACH_FORM(form) accumulate_on(optest_engine(form), t, form == BM_FORM_CPU ? "cpu" : "plain");
}
