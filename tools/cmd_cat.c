/* bmtool cat: the values of one dataset. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/tensor.h"
#include "tools/view.h"

static const char help[] =
    "Examples:\n"
    "  bmtool cat runs/a /params/norm/weight              one row a line\n"
    "  bmtool cat runs/a params/token/weight --slice 0:2,:8 the first 8 columns of rows 0 and 1\n"
    "  bmtool cat runs/a config/json                      JSON as it is stored\n"
    "  bmtool cat runs/a params/token/weight --npy -o token.npy\n"
    "  bmtool cat kjv.h5 tokens/ids --raw | od -An -tu2\n"
    "\n"
    "usage: bmtool cat FILE|RUN DATASET [--slice ...] [--raw | --npy] [-o FILE [--force]]\n"
    "\n"
    "  --slice A:B,C:D,...   elements from A to before B of each dimension; A, B or later dimensions may be left out,\n"
    "                        a single number is one element\n"
    "  --raw                 the bytes as they are stored, row-major, little-endian\n"
    "  --npy                 a NumPy file (bf16 becomes f32)\n"
    "  -o, --output FILE     there instead of to standard output (- is standard output)\n"
    "  --force               FILE may be replaced\n"
    "\n"
    "What is printed was checked against its hash.\n";

typedef enum form { FORM_TEXT, FORM_RAW, FORM_NPY, FORM_STORED } form;

typedef struct slice {
    int64_t from[BM_MAX_RANK], to[BM_MAX_RANK];
} slice;

/* "2", "2:5", ":5", "2:", ":" of a dimension of n; 0 when it is none of them. */
static int parse_range(int64_t *from, int64_t *to, char *text, int64_t n)
{
    char *colon = strchr(text, ':');
    *from = 0;
    *to = n;
    if (colon) *colon = 0;
    if (*text && bm_parse_i64(from, text)) return 0;
    if (!colon) {
        *to = *from + 1;
        if (!*text) return 0;
    } else if (colon[1] && bm_parse_i64(to, colon + 1)) {
        return 0;
    }
    return *from >= 0 && *from <= *to && *to <= n;
}

static bm_status parse_slice(slice *s, const bm_entry *e, const char *text)
{
    bm_status status = BM_OK;
    char shape[BM_SHAPE_TEXT], *copy = bm_strdup(text ? text : ""), *next = copy;
    if (!copy) return BM_ERR_MEMORY;
    for (int i = 0; i < e->shape.rank; i++) {
        s->from[i] = 0;
        s->to[i] = e->shape.dim[i];
    }
    for (int i = 0; *next && !status; i++) {
        char *comma = strchr(next, ',');
        if (comma) *comma = 0;
        if (i >= e->shape.rank || !parse_range(&s->from[i], &s->to[i], next, e->shape.dim[i]))
            status = bm_fail(BM_ERR_USAGE, "--slice %s does not fit %s %s", text, e->path,
                             bm_shape_text(&e->shape, shape, sizeof shape));
        next = comma ? comma + 1 : next + strlen(next);
    }
    bm_free(copy);
    return status;
}

/* One dataset on its way out. */
typedef struct printing {
    const bm_store *store;
    const bm_entry *entry;
    slice slice;
    form form;
    FILE *out;
    const char *to; /* what out is called in messages */
    void *piece; /* PIECE elements */
} printing;

enum { PIECE = 1 << 15 };

static void print_values(const printing *p, int64_t n, int ends_row)
{
    char text[BM_ELEMENT_TEXT];
    for (int64_t i = 0; i < n; i++) {
        size_t k = bm_element_text(text, p->piece, p->entry->dtype, i);
        fwrite(text, 1, k, p->out);
        putc(i + 1 < n || !ends_row ? ' ' : '\n', p->out);
    }
}

static void print_bytes(const printing *p, int64_t n)
{
    if (p->form == FORM_NPY && p->entry->dtype == BM_BF16) {
        for (int64_t i = 0; i < n; i++) {
            float x = bm_bf16_to_f32(((const uint16_t *)p->piece)[i]);
            fwrite(&x, sizeof x, 1, p->out);
        }
    } else {
        fwrite(p->piece, bm_dtype_size(p->entry->dtype), (size_t)n, p->out);
    }
}

/* `count` elements from `first` on, which lie together: a row of the slice. */
static bm_status print_run(const printing *p, int64_t first, int64_t count)
{
    for (int64_t done = 0; done < count;) {
        int64_t n = count - done < PIECE ? count - done : PIECE;
        BM_TRY(bm_store_read(p->store, p->entry, p->piece, first + done, n));
        done += n;
        if (p->form == FORM_TEXT)
            print_values(p, n, done == count);
        else
            print_bytes(p, n);
        if (ferror(p->out)) return bm_fail_errno(errno, p->to, "cannot write it");
    }
    return BM_OK;
}

/* Rows of the slice in row-major order: an odometer over all dimensions but the last. */
static bm_status print_rows(const printing *p)
{
    const bm_shape *shape = &p->entry->shape;
    int64_t at[BM_MAX_RANK];
    int last = shape->rank - 1;
    if (last < 0) return print_run(p, 0, 1);
    for (int i = 0; i <= last; i++) {
        if (p->slice.from[i] == p->slice.to[i]) return BM_OK;
        at[i] = p->slice.from[i];
    }
    for (;;) {
        int64_t first = 0;
        for (int i = 0; i <= last; i++) first = first * shape->dim[i] + at[i];
        BM_TRY(print_run(p, first, p->slice.to[last] - p->slice.from[last]));
        int i = last - 1;
        while (i >= 0 && ++at[i] == p->slice.to[i]) {
            at[i] = p->slice.from[i];
            i--;
        }
        if (i < 0) return BM_OK;
    }
}

/* NumPy's format, version 1.0: magic, a Python dictionary padded with spaces to a multiple of 64. */
static void print_npy_header(const printing *p)
{
    static const char *const names[BM_DTYPE_COUNT] = {
        [BM_F32] = "<f4", [BM_F16] = "<f2", [BM_BF16] = "<f4", [BM_F64] = "<f8", [BM_I8] = "|i1",  [BM_U8] = "|u1",
        [BM_I16] = "<i2", [BM_U16] = "<u2", [BM_I32] = "<i4",  [BM_U32] = "<u4", [BM_I64] = "<i8", [BM_U64] = "<u8"};
    char text[400];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", names[p->entry->dtype]);
    for (int i = 0; i < p->entry->shape.rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%" PRId64 ",", p->slice.to[i] - p->slice.from[i]);
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    int length = (10 + n + 1 + 63) / 64 * 64 - 10;
    fwrite("\x93NUMPY\x01\x00", 1, 8, p->out);
    putc(length & 255, p->out);
    putc(length >> 8, p->out);
    fprintf(p->out, "%-*s\n", length - 1, text);
}

static bm_status print_dataset(printing *p)
{
    p->piece = bm_alloc((size_t)PIECE * 8);
    if (!p->piece) return BM_ERR_MEMORY;
    if (p->form == FORM_NPY) print_npy_header(p);
    bm_status status = print_rows(p);
    size_t n = strlen(p->entry->path);
    if (!status && p->form == FORM_STORED && n > 5 && !strcmp(p->entry->path + n - 5, "/json")) putc('\n', p->out);
    if (!status && fflush(p->out)) status = bm_fail_errno(errno, p->to, "cannot write it");
    bm_free(p->piece);
    return status;
}

/* To a file under another name first, so that a failure leaves what was there. */
static bm_status print_to_file(printing *p, const char *path, int force)
{
    bm_str temp;
    bm_status status;
    BM_TRY(bm_output_check(path, force, (const char *const[]){bm_store_path(p->store)}, 1));
    bm_str_init(&temp);
    bm_str_addf(&temp, "%s.%ld-0.tmp", path, (long)getpid());
    BM_GO(bm_str_status(&temp));
    p->to = path;
    p->out = fopen(bm_str_text(&temp), "wb");
    if (!p->out) {
        status = bm_fail_errno(errno, path, "cannot write it");
        goto done;
    }
    status = print_dataset(p);
    if (fclose(p->out) && !status) status = bm_fail_errno(errno, path, "write");
    if (!status && rename(bm_str_text(&temp), path)) status = bm_fail_errno(errno, path, "rename");
    if (status) remove(bm_str_text(&temp));
done:
    bm_str_finish(&temp);
    return status;
}

static bm_status cat(const char *file, const char *path, const char *slice_text, form how, const char *output,
                     int force)
{
    bm_store *s = NULL;
    bm_status status;
    bm_str name;
    bm_str_init(&name);
    BM_GO(bm_view_open(&s, file));
    bm_str_addf(&name, "%s%s", path[0] == '/' ? "" : "/", path);
    BM_GO(bm_str_status(&name));
    printing p = {
        .store = s, .entry = bm_store_find(s, bm_str_text(&name)), .form = how, .out = stdout, .to = "standard output"};
    if (!p.entry) {
        status = bm_fail(BM_ERR_NOT_FOUND, "%s: there is no dataset %s (bmtool ls lists them)", bm_store_path(s),
                         bm_str_text(&name));
        goto done;
    }
    if (how == FORM_TEXT && p.entry->dtype == BM_U8 && p.entry->shape.rank == 1 && !slice_text &&
        strstr(p.entry->path, "/json"))
        p.form = FORM_STORED;
    BM_GO(parse_slice(&p.slice, p.entry, slice_text));
    status = output && strcmp(output, "-") ? print_to_file(&p, output, force) : print_dataset(&p);
done:
    bm_str_finish(&name);
    bm_store_close(s);
    return status;
}

static int run(int argc, char **argv)
{
    int raw = 0, npy = 0, force = 0;
    const char *slice_text = NULL, *output = NULL;
    const bm_opt opts[] = {{"slice", 0, BM_OPT_STRING, &slice_text, 0},
                           {"raw", 0, BM_OPT_FLAG, &raw, 0},
                           {"npy", 0, BM_OPT_FLAG, &npy, 0},
                           {"output", 'o', BM_OPT_STRING, &output, 0},
                           {"force", 'f', BM_OPT_FLAG, &force, 0},
                           {NULL, 0, BM_OPT_FLAG, NULL, 0}};
    int code = bm_opt_parse(&argc, argv, &bm_cmd_cat, opts, 2, 2);
    if (code >= 0) return code;
    if (raw && npy) return bm_out_usage(&bm_cmd_cat, "--raw and --npy exclude each other");
    return bm_out_error(cat(argv[0], argv[1], slice_text, raw ? FORM_RAW : npy ? FORM_NPY : FORM_TEXT, output, force));
}

const bm_cmd bm_cmd_cat = {"cat", "look into checkpoints", "print the values of a dataset", help, run};
