#include "cl/optim/optim.h"

#include <stdio.h>
#include <string.h>

#include "cl/ops/ops_priv.h"

enum { MOST_SCALARS = 6, COMMON_ARGS = 7 };

typedef struct update update;

typedef struct rule {
    bm_op op;           /* its name is the rule's */
    const char *kernel; /* in optim/KERNEL.cl */
    double flops;       /* of an element */
    const char *hyper[BM_OPTIM_MOST_HYPER];
    /* What the kernel is built with and takes after UPDATE_ARGS: states, then scalars. */
    void (*set)(update *u, const bm_optim_opts *o);
} rule;

struct update {
    const rule *rule;
    bm_ops_group group;
    float clip;
    const char *state[BM_OPTIM_MOST_STATES]; /* NULL: the kernel's argument is a null pointer */
    float scalar[MOST_SCALARS];
    int states, scalars;
    char options[40];
};

/* ---- the rules ---- */

static void add_state(update *u, const char *name) { u->state[u->states++] = name; }
static void add_scalar(update *u, double x) { u->scalar[u->scalars++] = (float)x; }
/* What is kept of a mean at each step, and what is new. */
static void add_decay(update *u, double beta) { add_scalar(u, beta), add_scalar(u, 1 - beta); }

static void set_adam(update *u, const bm_optim_opts *o)
{
    add_state(u, "m");
    add_state(u, "v");
    add_decay(u, o->beta1);
    add_decay(u, o->beta2);
    add_scalar(u, o->eps);
    add_scalar(u, 0);
}

static void set_adamw(update *u, const bm_optim_opts *o)
{
    set_adam(u, o);
    u->scalar[u->scalars - 1] = (float)o->weight_decay;
}

static void set_sgd(update *u, const bm_optim_opts *o)
{
    add_state(u, o->momentum > 0 ? "m" : NULL);
    add_scalar(u, o->momentum);
    snprintf(u->options, sizeof u->options, " -DMOMENTUM=%d -DNESTEROV=%d", o->momentum > 0, o->nesterov && o->momentum > 0);
}

static void set_adagrad(update *u, const bm_optim_opts *o)
{
    add_state(u, "s");
    add_scalar(u, o->eps);
}

static void set_rmsprop(update *u, const bm_optim_opts *o)
{
    add_state(u, "v");
    add_state(u, o->centered ? "u" : NULL);
    add_state(u, o->momentum > 0 ? "m" : NULL);
    add_decay(u, o->alpha);
    add_scalar(u, o->eps);
    add_scalar(u, o->momentum);
    snprintf(u->options, sizeof u->options, " -DCENTERED=%d -DMOMENTUM=%d", o->centered, o->momentum > 0);
}

static void set_lion(update *u, const bm_optim_opts *o)
{
    add_state(u, "m");
    add_decay(u, o->beta1);
    add_decay(u, o->beta2);
    add_scalar(u, o->weight_decay);
}

static bm_status infer(bm_graph *g, bm_node *n);
static bm_cost cost(const bm_node *n);
static bm_status launch(bm_launcher *l, const bm_node *n);

#define BM_RULE(name_, kernel_, flops_, set_, ...)                                                                                \
    {.op = {.name = #name_, .attrs_bytes = sizeof(update), .infer = infer, .cost = cost, .launch = launch, .effects = 1},         \
     .kernel = #kernel_, .flops = flops_, .hyper = {__VA_ARGS__}, .set = set_},
static const rule rules[] = {
#include "cl/optim/rules.def"
};

static const rule *find(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (!strcmp(rules[i].op.name, name)) return &rules[i];
    return NULL;
}

int bm_optim_states(const char *names[BM_OPTIM_MOST_STATES], const char *name, const bm_optim_opts *opts)
{
    update u = {.rule = find(name)};
    int n = 0;
    if (!u.rule) return -1;
    u.rule->set(&u, opts);
    for (int i = 0; i < u.states; i++)
        if (u.state[i]) names[n++] = u.state[i];
    return n;
}

const char *const *bm_optim_hyper(const char *name)
{
    const rule *r = find(name);
    return r ? r->hyper : NULL;
}

/* ---- the op ---- */

static bm_status infer(bm_graph *g, bm_node *n)
{
    (void)g;
    if (n->inputs[0]) {
        BM_TRY(bm_ops_want_type(n->inputs[0], BM_F32));
        BM_TRY(bm_ops_want_vector(n->inputs[0], 1));
    }
    return BM_OK;
}

/* The gradient is read, weights and states are read and written, the copies are written. */
static bm_cost cost(const bm_node *n)
{
    const update *u = n->attrs;
    const bm_ops_group *a = &u->group;
    size_t moves = 3;
    for (int i = 0; i < u->states; i++) moves += u->state[i] ? 2 : 0;
    const size_t bytes = moves * bm_dtype_size(a->dtype) + (a->half == BM_F32 ? 0 : bm_dtype_size(a->half));
    return (bm_cost){.flops = u->rule->flops * (double)a->elements, .bytes = (double)a->elements * (double)bytes};
}

static int arguments(bm_arg *args, bm_launcher *l, const bm_node *n, int slab, int64_t count)
{
    const update *u = n->attrs;
    const int group = u->group.index, halves = u->group.half != BM_F32;
    int k = 0, kept = 0;
    args[k++] = bm_arg_mem(bm_launcher_scalars(l));
    args[k++] = bm_arg_mem(bm_launcher_mem(l, n->inputs[0]));
    args[k++] = bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_WEIGHT, group, slab));
    args[k++] = bm_arg_mem(bm_launcher_bank_mem(l, BM_PLACE_GRAD, group, slab));
    args[k++] = bm_arg_mem(halves ? bm_launcher_bank_mem(l, BM_PLACE_HALF, group, slab) : NULL);
    args[k++] = bm_arg_i64(count);
    args[k++] = bm_arg_f32(u->clip);
    for (int i = 0; i < u->states; i++) {
        const bm_place place = (bm_place)(BM_PLACE_STATE0 + kept);
        args[k++] = bm_arg_mem(u->state[i] ? bm_launcher_bank_mem(l, place, group, slab) : NULL);
        kept += u->state[i] != NULL;
    }
    for (int i = 0; i < u->scalars; i++) args[k++] = bm_arg_f32(u->scalar[i]);
    return k;
}

static bm_status launch(bm_launcher *l, const bm_node *n)
{
    const update *u = n->attrs;
    char options[BM_OPS_OPTIONS], source[32];
    snprintf(source, sizeof source, "optim/%s", u->rule->kernel);
    bm_ops_options_with(options, l, u->group.dtype, " -DHALF=%d%s", (int)u->group.half, u->options);
    for (int slab = 0; slab < bm_launcher_bank_slabs(l, u->group.index); slab++) {
        const int64_t count = bm_launcher_bank_bytes(l, u->group.index, slab) / (int64_t)bm_dtype_size(u->group.dtype);
        bm_arg args[COMMON_ARGS + BM_OPTIM_MOST_STATES + MOST_SCALARS];
        bm_kernel_launch k = {.source = source, .kernel = u->rule->kernel, .options = options, .args = args};
        k.n_args = arguments(args, l, n, slab, count);
        bm_ops_launch_flat(l, &k, count);
    }
    return bm_launcher_status(l);
}

bm_status bm_optim_step(bm_graph *g, int group, bm_value *norm, const char *name, const bm_optim_opts *opts)
{
    update u = {.rule = find(name), .clip = (float)opts->clip};
    bm_status s = u.rule ? bm_ops_group_of(&u.group, g, group) : bm_fail(BM_ERR_USAGE, "there is no optimizer %s", name);
    if (!s && opts->clip > 0 && !norm)
        s = bm_fail(BM_ERR_USAGE, "%s: clipping at %g needs the norm of the gradients", name, opts->clip);
    if (s) {
        bm_graph_fail(g, s);
        return bm_graph_status(g);
    }
    u.rule->set(&u, opts);
    bm_node_create(g, &u.rule->op, &u, &norm, 1, 1u << 0);
    return bm_graph_status(g);
}
