/* Which form a product takes. Those that need an instruction of the CPU are tried on each engine before they are used. */
#include <pthread.h>
#include <string.h>

#include "cl/gemm/bound_priv.h"
#include "cl/gemm/packed_priv.h"
#include "core/base/checked.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/device/memory.h"
#include "core/device/queue.h"

#define FEW 8 /* rows that gemm_few takes */

int bm_packed_width(const bm_limits *limits)
{
    return limits->float_width >= 16 ? 16 : 8;
}

int bm_packed_is_few(const bm_gemm_desc *d)
{
    return d->m <= FEW && !d->trans_a;
}

/* few.cl: three digits of 64 k of each row, and three vectors to begin with. */
int64_t bm_packed_bytes_local(const bm_gemm_desc *d)
{
    return 3 * 64 * d->m * (1 + bm_ceil_div(d->k, 64));
}

/* ---- trials ---- */

/* A product whose rows, columns and k leave something over after every block of the form. Its elements are whole numbers up to
 * `most`, so that the sums are exact: those of bf16 in D of any type, since bf16 has every whole number up to 256 and f16 up to 2048;
 * those of bytes in f32, though A's have more than one digit. */
typedef struct trial {
    int64_t m, n, k;
    bm_dtype type[2]; /* of A and B */
    int most[2];
} trial;
static const trial trials[] = {
    [BM_PACKED_PAIRS] = {19, 37, 51, {BM_BF16, BM_BF16}, {2, 2}},
    [BM_PACKED_BYTES] = {3, 37, 147, {BM_F32, BM_I8}, {32767, 2}},
};
enum { MOST_OPERAND = 37 * 147, MOST_D = 19 * 37 };

static int whole_number(const trial *t, int operand, int64_t i)
{
    return (int)(((uint32_t)(i * 2 + operand) * 2654435761u >> 16) % (2 * (unsigned)t->most[operand] + 1)) - t->most[operand];
}

static bm_status write_numbers(cl_mem to, bm_engine *e, const trial *t, int operand, int64_t n)
{
    float x[MOST_OPERAND], stored[MOST_OPERAND];
    for (int64_t i = 0; i < n; i++) x[i] = (float)whole_number(t, operand, i);
    if (t->type[operand] == BM_I8)
        for (int64_t i = 0; i < n; i++) ((int8_t *)stored)[i] = (int8_t)x[i];
    else BM_TRY(bm_convert_floats(stored, t->type[operand], x, BM_F32, (size_t)n));
    BM_TRY(bm_queue_write(bm_engine_queue(e), to, 0, stored, n * (int64_t)bm_dtype_size(t->type[operand])));
    return bm_queue_finish(bm_engine_queue(e));
}

static bm_status compare_numbers(const float *got, const trial *t, const bm_gemm_desc *d)
{
    for (int64_t i = 0; i < d->m; i++)
        for (int64_t j = 0; j < d->n; j++) {
            int64_t want = 0;
            for (int64_t k = 0; k < d->k; k++)
                want += (int64_t)whole_number(t, 0, d->trans_a ? k * d->m + i : i * d->k + k) *
                        whole_number(t, 1, d->trans_b ? j * d->k + k : k * d->n + j);
            if (got[i * d->n + j] != (float)want)
                return bm_fail(BM_ERR_DIFFERS, "row %lld, column %lld is %g, not %lld", (long long)i, (long long)j,
                               (double)got[i * d->n + j], (long long)want);
        }
    return BM_OK;
}

#define OF_FORM(name, FORM)                                                                                            \
    static bm_status name##_scratch(int64_t *bytes, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)      \
    {                                                                                                                  \
        (void)e;                                                                                                       \
        *bytes = bm_packed_scratch(d, limits, FORM);                                                                   \
        return BM_OK;                                                                                                  \
    }                                                                                                                  \
    static void name##_launch(bm_gemm_emit *out, const bm_gemm_desc *d, const bm_gemm_args *args, int64_t offset)      \
    {                                                                                                                  \
        bm_packed_launch(out, d, args, offset, FORM);                                                                  \
    }
OF_FORM(pairs, BM_PACKED_PAIRS)
OF_FORM(bytes, BM_PACKED_BYTES)
static const bm_gemm_backend backends[] = {
    [BM_PACKED_PAIRS] = {"packed", NULL, pairs_scratch, pairs_launch},
    [BM_PACKED_BYTES] = {"packed", NULL, bytes_scratch, bytes_launch},
};

static bm_status try_form(bm_engine *e, bm_packed_form form, const bm_gemm_desc *like)
{
    const trial *t = &trials[form];
    bm_gemm_desc d = bm_gemm_desc_default(t->m, t->n, t->k);
    d.trans_a = like->trans_a;
    d.trans_b = like->trans_b;
    d.type_a = t->type[0];
    d.type_b = t->type[1];
    d.type_d = form == BM_PACKED_PAIRS ? like->type_d : BM_F32;
    d = bm_gemm_desc_full(&d);
    const int64_t elements[3] = {d.m * d.k, d.k * d.n, d.m * d.n};
    const bm_dtype type[3] = {d.type_a, d.type_b, d.type_d};
    int64_t bytes[3];
    bm_status status = BM_OK;
    bm_region *region = NULL;
    bm_gemm_bound *bound = NULL;
    cl_mem mem[3] = {NULL};
    float raw[MOST_D], got[MOST_D];
    for (int i = 0; i < 3; i++) bytes[i] = elements[i] * (int64_t)bm_dtype_size(type[i]);
    BM_GO(bm_region_create(&region, e, "trial of products", bytes, 3, 0));
    for (int i = 0; i < 3; i++) BM_GO(bm_region_piece(&mem[i], region, i, 0, bytes[i]));
    for (int i = 0; i < 2; i++) BM_GO(write_numbers(mem[i], e, t, i, elements[i]));
    BM_GO(bm_gemm_bound_create(&bound, e, &backends[form], &d, &(bm_gemm_args){.a = mem[0], .b = mem[1], .d = mem[2]}));
    BM_GO(bm_gemm_bound_run(bound));
    BM_GO(bm_queue_read(bm_engine_queue(e), mem[2], 0, raw, bytes[2]));
    BM_GO(bm_convert_floats(got, BM_F32, raw, d.type_d, (size_t)elements[2]));
    BM_GO(compare_numbers(got, t, &d));
done:
    bm_gemm_bound_destroy(bound);
    bm_region_destroy(region);
    return status;
}

/* ---- verdicts ---- */

typedef enum verdict { UNTRIED, RIGHT, WRONG } verdict;

/* Pairs by transposes and the type of D, each a program of its own. */
typedef struct verdicts {
    verdict pairs[2][2][3], bytes;
} verdicts;

static const char verdicts_key = 0;
static pthread_mutex_t verdicts_lock = PTHREAD_MUTEX_INITIALIZER; /* held during a trial: the queue sees one at a time */

static void free_verdicts(void *object)
{
    bm_free(object);
}

/* The engine's verdicts, made when first asked for. */
static bm_status verdicts_of(verdicts **out, bm_engine *e)
{
    *out = bm_engine_attached(e, &verdicts_key);
    if (*out) return BM_OK;
    verdicts *made = bm_calloc(1, sizeof *made);
    bm_status s = made ? bm_engine_attach(e, &verdicts_key, made, free_verdicts) : BM_ERR_MEMORY;
    if (s) bm_free(made);
    else *out = made;
    return s;
}

/* Lack of memory is the caller's; any other failure leaves the engine without the form, said once. */
static bm_status judge(verdict *v, bm_engine *e, bm_packed_form form, const bm_gemm_desc *d)
{
    const bm_status s = try_form(e, form, d);
    if (s == BM_ERR_MEMORY || s == BM_ERR_DEVICE_MEMORY) return s;
    *v = s ? WRONG : RIGHT;
    if (s && form == BM_PACKED_PAIRS)
        bm_log_once("gemm packed bf16", BM_LOG_WARN,
                    "%s: bf16 operands are multiplied as f32, since vdpbf16ps failed its trial: %s", bm_engine_device_name(e),
                    bm_error_text(s));
    else if (s)
        bm_log_once("gemm packed i8", BM_LOG_WARN,
                    "%s: int8 weights are multiplied as f32, since vpdpbusd failed its trial: %s", bm_engine_device_name(e),
                    bm_error_text(s));
    return BM_OK;
}

static bm_packed_form form_of(const bm_gemm_desc *d, const bm_limits *limits)
{
    if (bm_packed_width(limits) != 16) return BM_PACKED_FLOATS;
    if (bm_packed_is_few(d)) {
        const int bytes = limits->i8_dot && d->type_b == BM_I8 && d->trans_b && bm_packed_bytes_local(d) <= limits->local_bytes;
        return bytes ? BM_PACKED_BYTES : BM_PACKED_FLOATS;
    }
    return limits->bf16_dot && d->type_a == BM_BF16 && d->type_b == BM_BF16 ? BM_PACKED_PAIRS : BM_PACKED_FLOATS;
}

bm_status bm_packed_form_of(bm_packed_form *out, const bm_gemm_desc *d, bm_engine *e, const bm_limits *limits)
{
    *out = form_of(d, limits);
    if (*out == BM_PACKED_FLOATS || !e) return BM_OK;
    verdicts *all = NULL;
    pthread_mutex_lock(&verdicts_lock);
    bm_status s = verdicts_of(&all, e);
    if (!s) {
        verdict *v = *out == BM_PACKED_PAIRS ? &all->pairs[!!d->trans_a][!!d->trans_b][d->type_d] : &all->bytes;
        if (*v == UNTRIED) s = judge(v, e, *out, d);
        if (*v == WRONG) *out = BM_PACKED_FLOATS;
    }
    pthread_mutex_unlock(&verdicts_lock);
    return s;
}

bm_status bm_gemm_in_pairs(int *out, bm_engine *e)
{
    const trial *t = &trials[BM_PACKED_PAIRS];
    bm_gemm_desc d = bm_gemm_desc_default(t->m, t->n, t->k);
    bm_packed_form form;
    d.type_a = d.type_b = d.type_d = BM_BF16;
    *out = 0;
    BM_TRY(bm_packed_form_of(&form, &d, e, bm_engine_limits(e)));
    *out = form == BM_PACKED_PAIRS;
    return BM_OK;
}
