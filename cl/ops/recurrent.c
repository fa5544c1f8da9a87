#include "cl/gemm/gemm.h"
#include "cl/ops/ops_priv.h"
#include "core/base/checked.h"

#define SOURCE "ops/recurrent"

/* Of recurrent.cl. */
enum { FIRST = 1, FINAL = 2, REVERSE = 4 };
#define PACK_RUN 256

/* In the cpu form one launch does all steps, but where there is a single row to a core and W is larger than a core's caches: then
 * it is better read once by all cores together, in a product for each step. (Zen 4, two cores, LSTM, forward, 1 row of 64 steps:
 * H = 128 0.20 ms against 0.24 by steps, 256 0.81 against 0.80, 512 3.4 against 2.1. Backward by steps gains nothing.) */
#define LARGE_W (2 << 20)
#define MOST_TILE_ROWS 8

typedef struct attrs {
    bm_cell cell;
    int reverse;
} attrs;

/* Operands and results by position; cached: IN_H and IN_C instead of IN_LENGTHS, OUT_H and OUT_C behind y. */
enum { IN_X, IN_W, IN_B, IN_LENGTHS, IN_H, IN_C, N_IN };
enum { OUT_Y, OUT_LAST, OUT_GATES, OUT_CELLS };
enum { OUT_H = 1, OUT_C };
enum { BACK_DY, BACK_DLAST, BACK_W, BACK_Y, BACK_GATES, BACK_CELLS, BACK_LENGTHS, N_BACK };
enum { OUT_DX, OUT_PREV, OUT_HIDDEN };

static int gates_of(bm_cell cell)
{
    return cell == BM_CELL_LSTM ? 4 : cell == BM_CELL_GRU ? 3 : 1;
}

typedef struct sizes {
    int64_t B, T, H, gates; /* gates: G H */
    bm_cell cell;
    bm_dtype type, w_type;
} sizes;

/* v is x or y, w the weight. */
static sizes sizes_of(const bm_node *n, const bm_value *v, const bm_value *w)
{
    const bm_cell cell = ((const attrs *)n->attrs)->cell;
    const int64_t H = w->shape.dim[1];
    return (sizes){v->shape.dim[0], v->shape.dim[1], H, gates_of(cell) * H, cell, v->dtype, w->dtype};
}

/* ---- shape rules ---- */

static bm_status check_operands(const bm_node *n)
{
    const bm_value *x = n->inputs[IN_X], *w = n->inputs[IN_W], *b = n->inputs[IN_B];
    const bm_cell cell = ((const attrs *)n->attrs)->cell;
    char text[BM_SHAPE_TEXT];
    if (cell < BM_CELL_RNN || cell > BM_CELL_GRU) return bm_fail(BM_ERR_USAGE, "there is no recurrent cell %d", (int)cell);
    const int64_t G = gates_of(cell);
    BM_TRY(bm_ops_want_float(x));
    BM_TRY(bm_ops_want_float(w));
    if (x->shape.rank != 3 || x->shape.dim[1] < 1 || x->shape.dim[2] < 1 || x->shape.dim[2] % G)
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [B, T, %d x H] with T, H >= 1", x->name,
                       bm_shape_text(&x->shape, text, sizeof text), (int)G);
    const int64_t H = x->shape.dim[2] / G;
    if (w->shape.rank != 2 || w->shape.dim[0] != G * H || w->shape.dim[1] != H)
        return bm_fail(BM_ERR_SHAPE, "%s is %s, not [%lld, %lld]", w->name, bm_shape_text(&w->shape, text, sizeof text),
                       (long long)(G * H), (long long)H);
    if (b) BM_TRY(bm_ops_want_type(b, x->dtype));
    if (b) BM_TRY(bm_ops_want_vector(b, G * H));
    return BM_OK;
}

static bm_status infer(bm_graph *g, bm_node *n)
{
    BM_TRY(check_operands(n));
    const bm_value *lengths = n->inputs[IN_LENGTHS], *x = n->inputs[IN_X];
    const sizes s = sizes_of(n, x, n->inputs[IN_W]);
    if (lengths) BM_TRY(bm_ops_want_type(lengths, BM_I32));
    if (lengths) BM_TRY(bm_ops_want_vector(lengths, s.B));
    bm_node_output(g, n, s.type, BM_SHAPE(s.B, s.T, s.H));
    bm_node_output_optional(g, n, s.type, BM_SHAPE(s.B, s.H));
    if (s.cell == BM_CELL_RNN) return bm_graph_status(g);
    bm_node_output_optional(g, n, s.type, x->shape);
    bm_node_output_optional(g, n, s.type, BM_SHAPE(s.B, s.T, s.H));
    bm_node_inplace(n, OUT_GATES, IN_X, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

static bm_status infer_cached(bm_graph *g, bm_node *n)
{
    BM_TRY(check_operands(n));
    const sizes s = sizes_of(n, n->inputs[IN_X], n->inputs[IN_W]);
    if ((s.cell == BM_CELL_LSTM) != (n->inputs[IN_C] != NULL))
        return bm_fail(BM_ERR_SHAPE, s.cell == BM_CELL_LSTM ? "an LSTM has two states, h and c: c is missing"
                                                            : "only an LSTM has a state c besides h");
    bm_node_output(g, n, s.type, BM_SHAPE(s.B, s.T, s.H));
    for (int i = IN_H; i <= IN_C; i++) {
        bm_value *state = n->inputs[i];
        if (!state) continue;
        char text[BM_SHAPE_TEXT];
        BM_TRY(bm_ops_want_type(state, BM_F32));
        if (state->shape.rank != 2 || state->shape.dim[0] != s.B || state->shape.dim[1] != s.H)
            return bm_fail(BM_ERR_SHAPE, "%s is %s, not [%lld, %lld]", state->name,
                           bm_shape_text(&state->shape, text, sizeof text), (long long)s.B, (long long)s.H);
        bm_node_output(g, n, BM_F32, state->shape);
        bm_node_inplace(n, OUT_H + i - IN_H, i, BM_INPLACE_MUST);
    }
    return bm_graph_status(g);
}

static bm_status infer_backward(bm_graph *g, bm_node *n)
{
    const bm_value *y = n->inputs[BACK_Y];
    const sizes s = sizes_of(n, y, n->inputs[BACK_W]);
    if (n->inputs[BACK_DY]) BM_TRY(bm_ops_want_same(y, n->inputs[BACK_DY]));
    if (n->inputs[BACK_DLAST]) BM_TRY(bm_ops_want_type(n->inputs[BACK_DLAST], s.type));
    bm_node_output(g, n, s.type, BM_SHAPE(s.B, s.T, s.gates));
    bm_node_output_optional(g, n, s.type, y->shape);
    if (s.cell == BM_CELL_GRU) bm_node_output_optional(g, n, s.type, BM_SHAPE(s.B, s.T, s.gates));
    bm_node_inplace(n, OUT_DX, s.cell == BM_CELL_RNN ? BACK_DY : BACK_GATES, BM_INPLACE_MAY);
    return bm_graph_status(g);
}

/* ---- costs: a product for each step but the first; exp and tanh count 8 and 10 ---- */

static bm_cost cost_steps(const bm_node *n, const sizes *s, int64_t products, double each)
{
    bm_cost c = bm_ops_cost(n, each);
    c.flops = (double)s->B * ((double)products * 2.0 * (double)s->gates * (double)s->H + (double)s->T * (double)s->H * each);
    return c;
}

static bm_cost cost(const bm_node *n)
{
    static const double each[] = {12, 66, 44}; /* operations for an element of y */
    const sizes s = sizes_of(n, n->inputs[IN_X], n->inputs[IN_W]);
    return cost_steps(n, &s, n->inputs[IN_H] ? s.T : s.T - 1, each[s.cell]);
}

static bm_cost cost_backward(const bm_node *n)
{
    static const double each[] = {4, 40, 18};
    const sizes s = sizes_of(n, n->inputs[BACK_Y], n->inputs[BACK_W]);
    return cost_steps(n, &s, s.T - 1, each[s.cell]);
}

/* ---- how the work is shared out ---- */

/* A product of one step and where things lie in the node's scratch. */
typedef struct way {
    int whole;                 /* one launch for all steps */
    int vector, tile_rows;     /* of recurrent.cl */
    int64_t each, groups;      /* rows of a work-item */
    int64_t ld;                /* of the product */
    int64_t product, h, c;     /* bytes from which on each lies; backward: h is the product's other operand */
    int64_t rest;              /* packed W, or what the GEMM needs */
    int64_t panels_bytes;
    bm_gemm_desc gemm;
} way;

static int64_t place(int64_t *end, int64_t floats, const bm_limits *limits)
{
    const int64_t at = *end;
    *end += bm_round_up(4 * floats, limits->align_bytes);
    return at;
}

/* The product [B, n] of a step. */
static way way_of(bm_form form, const sizes *s, const bm_limits *limits, int backward)
{
    const int64_t units = limits->compute_units > 0 ? limits->compute_units : 1;
    const int64_t n = backward ? s->H : s->gates, k = backward ? s->gates : s->H;
    way w = {.vector = limits->float_width >= 16 ? 16 : 8, .ld = bm_round_up(n, 32)};
    w.each = bm_ceil_div(s->B, units);
    w.groups = w.each ? bm_ceil_div(s->B, w.each) : 0;
    w.panels_bytes = 4 * k * bm_round_up(n, 2 * w.vector);
    w.whole = form == BM_FORM_CPU && s->B > 0 && s->T > 1 && (backward || w.each > 1 || w.panels_bytes < LARGE_W);
    const int64_t most = w.vector == 16 ? MOST_TILE_ROWS : 6;
    w.tile_rows = w.whole ? (int)bm_ceil_div(w.each, bm_ceil_div(w.each, most)) : 1;
    w.product = place(&w.rest, s->B * w.ld, limits);
    w.h = place(&w.rest, s->B * k, limits);
    w.c = place(&w.rest, s->cell == BM_CELL_LSTM ? s->B * s->H : 0, limits);
    w.gemm = bm_gemm_desc_default(s->B, n, k);
    w.gemm.trans_b = !backward;
    w.gemm.type_b = s->w_type;
    w.gemm.ldd = w.ld;
    w.gemm.beta = backward && s->cell == BM_CELL_GRU ? 1.0f : 0.0f;
    return w;
}

static bm_status scratch_of(int64_t *bytes, bm_launcher *l, const sizes *s, const bm_limits *limits, int backward)
{
    const way w = way_of(bm_launcher_engine(l) ? bm_launcher_form(l) : bm_limits_form(limits), s, limits, backward);
    int64_t rest = w.panels_bytes;
    *bytes = 0;
    if (s->B && !w.whole) BM_TRY(bm_gemm_scratch(&rest, l, &w.gemm, limits));
    if (s->B) *bytes = w.rest + rest;
    return BM_OK;
}

static bm_status scratch(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    const sizes s = sizes_of(n, n->inputs[IN_X], n->inputs[IN_W]);
    return scratch_of(bytes, l, &s, limits, 0);
}

static bm_status scratch_backward(int64_t *bytes, bm_launcher *l, const bm_node *n, const bm_limits *limits)
{
    const sizes s = sizes_of(n, n->inputs[BACK_Y], n->inputs[BACK_W]);
    return scratch_of(bytes, l, &s, limits, 1);
}

/* ---- launches ---- */

#define MOST_ARGS 24

/* The launches of a pass: `args` are those of a step, with room for what follows them. */
typedef struct pass {
    const sizes *s;
    const way *w;
    const char *step, *all, *pack; /* kernels */
    cl_mem weight, product, operand; /* product = operand times W */
    bm_arg args[MOST_ARGS];
    int n_args, flags;
    int first_product; /* the first step has a product: it begins with a state */
    int cached;
    int after;         /* products follow their step instead of going before it */
    int down;          /* from the last step to the first */
} pass;

static const char *options_of(char buf[BM_OPS_OPTIONS], const bm_launcher *l, const pass *p)
{
    return bm_ops_options_with(buf, l, p->s->type, " -DWSTORAGE=%d -DCELL=%d -DCACHED=%d -DVECTOR=%d -DTILE_ROWS=%d", (int)p->s->w_type,
                               (int)p->s->cell, p->cached, p->w->vector, p->w->tile_rows);
}

static void launch_whole(bm_launcher *l, pass *p)
{
    char options[BM_OPS_OPTIONS];
    const bm_gemm_desc *d = &p->w->gemm;
    const bm_arg panels = bm_arg_mem(bm_launcher_scratch(l, p->w->rest, p->w->panels_bytes));
    const bm_arg pack[] = {bm_arg_mem(p->weight), panels, bm_arg_i64(d->n), bm_arg_i64(d->k)};
    bm_kernel_launch k = {.source = SOURCE, .kernel = p->pack, .options = options_of(options, l, p), .args = pack, .n_args = 4};
    k.dims = 2;
    k.local[0] = k.local[1] = 1;
    k.global[0] = (size_t)bm_ceil_div(d->n, 2 * p->w->vector);
    k.global[1] = (size_t)bm_ceil_div(d->k, PACK_RUN);
    bm_launcher_kernel(l, &k);
    p->args[p->n_args++] = bm_arg_i32(p->flags);
    p->args[p->n_args++] = panels;
    p->args[p->n_args++] = bm_arg_i64(p->s->B);
    p->args[p->n_args++] = bm_arg_i64(p->w->each);
    k.kernel = p->all;
    k.args = p->args;
    k.n_args = p->n_args;
    bm_ops_launch_groups(l, &k, p->w->groups);
}

static void launch_steps(bm_launcher *l, pass *p)
{
    char options[BM_OPS_OPTIONS];
    const int64_t T = p->s->T;
    const bm_gemm_args product = {.a = p->operand, .b = p->weight, .d = p->product};
    bm_kernel_launch k = {.source = SOURCE, .kernel = p->step, .options = options_of(options, l, p), .args = p->args};
    k.n_args = p->n_args + 2;
    for (int64_t step = 0; step < T && !bm_launcher_status(l); step++) {
        const int first = step == 0, last = step + 1 == T;
        if (!p->after && (!first || p->first_product)) bm_gemm_launch(l, &p->w->gemm, &product, p->w->rest);
        p->args[p->n_args] = bm_arg_i32((p->flags & REVERSE) | (first ? p->flags & FIRST : 0) | (last ? FINAL : 0));
        p->args[p->n_args + 1] = bm_arg_i64(p->down ? T - 1 - step : step);
        bm_ops_launch_groups(l, &k, p->s->B);
        if (p->after && !last) bm_gemm_launch(l, &p->w->gemm, &product, p->w->rest);
    }
}

static bm_status launch_pass(bm_launcher *l, pass *p)
{
    if (p->w->whole) launch_whole(l, p);
    else launch_steps(l, p);
    return bm_launcher_status(l);
}

static bm_arg output(bm_launcher *l, const bm_node *n, int i)
{
    return bm_arg_mem(i < n->n_outputs ? bm_launcher_mem(l, n->outputs[i]) : NULL);
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const sizes s = sizes_of(n, n->inputs[IN_X], n->inputs[IN_W]);
    const int cached = n->inputs[IN_H] != NULL, reverse = ((const attrs *)n->attrs)->reverse;
    if (!s.B) return BM_OK;
    const way w = way_of(bm_launcher_form(l), &s, bm_launcher_limits(l), 0);
    const cl_mem z = bm_launcher_scratch(l, w.product, 4 * s.B * w.ld);
    const cl_mem h = cached ? bm_launcher_mem(l, n->inputs[IN_H]) : bm_launcher_scratch(l, w.h, 4 * s.B * s.H);
    cl_mem c = cached ? bm_launcher_mem(l, n->inputs[IN_C]) : NULL;
    if (!cached && s.cell == BM_CELL_LSTM) c = bm_launcher_scratch(l, w.c, 4 * s.B * s.H);
    const bm_arg none = bm_arg_mem(NULL);
    pass p = {.s = &s, .w = &w, .step = "forward_step", .all = "forward", .pack = "pack_forward", .n_args = 13,
              .weight = bm_launcher_mem(l, n->inputs[IN_W]), .product = z, .operand = h,
              .flags = (reverse ? REVERSE : 0) | FIRST, .first_product = cached, .cached = cached, .down = reverse,
              .args = {bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_X])), bm_arg_mem(bm_launcher_mem(l, n->inputs[IN_B])),
                       bm_arg_mem(cached ? bm_launcher_scalars(l) : bm_launcher_mem(l, n->inputs[IN_LENGTHS])), bm_arg_mem(z), bm_arg_mem(h), bm_arg_mem(c),
                       output(l, n, OUT_Y), cached ? none : output(l, n, OUT_GATES), cached ? none : output(l, n, OUT_CELLS),
                       cached ? none : output(l, n, OUT_LAST), bm_arg_i64(s.T), bm_arg_i64(s.H), bm_arg_i64(w.ld)}};
    return launch_pass(l, &p);
}

static bm_status launch_backward(bm_launcher *l, const bm_node *n)
{
    const sizes s = sizes_of(n, n->inputs[BACK_Y], n->inputs[BACK_W]);
    const int reverse = ((const attrs *)n->attrs)->reverse;
    if (!s.B) return BM_OK;
    const way w = way_of(bm_launcher_form(l), &s, bm_launcher_limits(l), 1);
    const cl_mem dh = bm_launcher_scratch(l, w.product, 4 * s.B * w.ld), dz = bm_launcher_scratch(l, w.h, 4 * s.B * s.gates);
    const cl_mem dc = s.cell == BM_CELL_LSTM ? bm_launcher_scratch(l, w.c, 4 * s.B * s.H) : NULL;
    pass p = {.s = &s, .w = &w, .step = "backward_step", .all = "backward", .pack = "pack_backward", .n_args = 15,
              .weight = bm_launcher_mem(l, n->inputs[BACK_W]), .product = dh, .operand = dz, .flags = reverse ? REVERSE : 0,
              .after = 1, .down = !reverse,
              .args = {bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DY])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_DLAST])),
                       bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_GATES])),
                       bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_CELLS])), bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_Y])),
                       bm_arg_mem(bm_launcher_mem(l, n->inputs[BACK_LENGTHS])), bm_arg_mem(dz), bm_arg_mem(dh), bm_arg_mem(dc),
                       output(l, n, OUT_DX), output(l, n, OUT_HIDDEN), output(l, n, OUT_PREV), bm_arg_i64(s.T),
                       bm_arg_i64(s.H), bm_arg_i64(w.ld)}};
    return launch_pass(l, &p);
}

/* ---- the ops ---- */

static const bm_op op_backward = {.name = "recurrent_backward", .attrs_bytes = sizeof(attrs), .infer = infer_backward,
                                  .cost = cost_backward, .scratch = scratch_backward, .launch = launch_backward};

static void gradient(bm_graph *g, bm_node *n)
{
    const int keeps = n->n_outputs > OUT_GATES;
    bm_value *w = n->inputs[IN_W], *b = n->inputs[IN_B];
    bm_value *in[N_BACK] = {bm_grad_of(g, n->outputs[OUT_Y]), bm_grad_of(g, n->outputs[OUT_LAST]), w, n->outputs[OUT_Y],
                            keeps ? n->outputs[OUT_GATES] : NULL, keeps ? n->outputs[OUT_CELLS] : NULL, n->inputs[IN_LENGTHS]};
    const unsigned optional = ~(1u << BACK_W | 1u << BACK_Y);
    bm_node *d = bm_node_create(g, &op_backward, n->attrs, in, N_BACK, optional);
    if (!d) return;
    bm_value *hidden = d->outputs[d->n_outputs > OUT_HIDDEN ? OUT_HIDDEN : OUT_DX];
    bm_grad_add(g, n->inputs[IN_X], d->outputs[OUT_DX]);
    bm_ops_grad_matrix(g, w, hidden, d->outputs[OUT_PREV]);
    if (b) bm_ops_grad_rows(g, b, hidden);
}

static const bm_op op_recurrent = {.name = "recurrent", .attrs_bytes = sizeof(attrs), .infer = infer, .gradient = gradient,
                                   .cost = cost, .scratch = scratch, .launch = launch};
static const bm_op op_cached = {.name = "recurrent_cached", .attrs_bytes = sizeof(attrs), .infer = infer_cached, .cost = cost,
                                .scratch = scratch, .launch = launch};

bm_value *bm_recurrent(bm_graph *g, bm_value **last, bm_cell cell, bm_value *x, bm_value *w, bm_value *b, bm_value *lengths,
                       int reverse)
{
    const attrs a = {cell, reverse != 0};
    bm_value *const in[N_IN] = {x, w, b, lengths};
    bm_node *n = bm_node_create(g, &op_recurrent, &a, in, N_IN, ~(1u << IN_X | 1u << IN_W));
    if (last) *last = n ? n->outputs[OUT_LAST] : NULL;
    return bm_node_first(n);
}

bm_value *bm_recurrent_cached(bm_graph *g, bm_cell cell, bm_value *x, bm_value *w, bm_value *b, bm_value *h_state,
                              bm_value *c_state)
{
    const attrs a = {cell, 0};
    bm_value *const in[N_IN] = {x, w, b, NULL, h_state, c_state};
    return bm_node_first(bm_node_create(g, &op_cached, &a, in, N_IN, ~(1u << IN_X | 1u << IN_W | 1u << IN_H)));
}
