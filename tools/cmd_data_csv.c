#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/base/json_priv.h"
#include "core/base/mem.h"
#include "io/media/columns.h"
#include "tools/cmd.h"
#include "tools/data/samples_out.h"
#include "tools/opt.h"
#include "tools/out.h"
#include "tools/output_file.h"
#include "tools/signals.h"

#define MOST_FEATURES 4096
#define ROWS 256 /* encoded together */

typedef struct job {
    const char *input, *target, *features, *categories, *type, *missing, *delimiter, *header;
    int standardize;
    bm_samples_out to;
    bm_csv_opts csv;
    char *names, *category_names; /* the lists, cut into pieces */
    const char *feature[MOST_FEATURES], *category[MOST_FEATURES];
    int64_t n_features, n_categories;
    int64_t rows; /* of the file */
    bm_columns *columns;
    char *encoding;
} job;

/* Cuts "A,B" into names, of which some may stand in quotes; how many, or -1 when they are too many. */
static int64_t cut(char **copy, const char **name, const char *list)
{
    int64_t n = 0;
    if (!list) return 0;
    if (!(*copy = bm_strdup(list))) return -1;
    for (char *at = *copy, *end; *at; at = end) {
        const int quoted = *at == '"' && strchr(at + 1, '"');
        at += quoted;
        end = at + strcspn(at, quoted ? "\"" : ",");
        if (n == MOST_FEATURES) return -1;
        if (end > at) name[n++] = at;
        while (*end && strchr(quoted ? "\"," : ",", *end)) *end++ = 0;
    }
    return n;
}

/* Rows of the validation part have no say in means and scales. */
static int counts(void *user, int64_t row)
{
    const job *j = user;
    return !bm_samples_is_validation(j->rows, j->to.val_fraction, (uint64_t)j->to.split_seed, row);
}

static bm_columns_opts options(job *j, bm_column_kind kind)
{
    bm_columns_opts o = bm_columns_opts_default();
    o.target = j->target;
    o.target_kind = kind;
    o.features = j->n_features ? j->feature : NULL;
    o.n_features = j->n_features;
    o.categories = j->category;
    o.n_categories = j->n_categories;
    o.refuse_missing = !strcmp(j->missing, "refuse");
    o.refuse_nan = strcmp(j->missing, "mean") != 0;
    o.csv = j->csv;
    return o;
}

/* Whether the categories are the numbers 0 .. C-1 or 1 .. C, several rows of each: classes, not measurements. */
static int is_classes(const bm_column *c, int64_t rows)
{
    double x, first = 0;
    for (int64_t i = 0; i < c->n_categories; i++) {
        if (!bm_csv_number(&x, c->categories[i])) return 1;
        if (!i) first = x;
        if ((first != 0 && first != 1) || x != first + (double)i) return 0;
    }
    return rows >= 5 * c->n_categories;
}

/* The kind of the target, and how many rows there are. */
static bm_status look_at(bm_column_kind *kind, job *j)
{
    bm_columns *t = NULL;
    *kind = !j->type || !strcmp(j->type, "auto") ? BM_COLUMN_AUTO : !strcmp(j->type, "number") ? BM_COLUMN_NUMBER : BM_COLUMN_CATEGORY;
    bm_columns_opts o = options(j, *kind == BM_COLUMN_AUTO ? BM_COLUMN_CATEGORY : *kind);
    bm_status status = bm_columns_fit(&t, j->input, &o);
    if (!status && *kind == BM_COLUMN_AUTO)
        *kind = is_classes(bm_columns_target(t), bm_columns_rows(t)) ? BM_COLUMN_CATEGORY : BM_COLUMN_NUMBER;
    if (status && *kind == BM_COLUMN_AUTO) { /* too many values for categories: numbers, or wrong in another way */
        o = options(j, BM_COLUMN_AUTO);
        status = bm_columns_fit(&t, j->input, &o);
        if (!status) *kind = bm_columns_target(t)->kind;
    }
    if (!status) j->rows = bm_columns_rows(t);
    bm_columns_destroy(t);
    return status;
}

/* The columns' JSON with the names of the classes. */
static bm_status add_classes(char **out, const char *columns)
{
    json_error_t e;
    json_t *j = json_loads(columns, 0, &e), *target = json_object_get(j, "target"), *names = json_object_get(target, "categories");
    if (names) json_object_set(j, "classes", names);
    bm_status status = bm_json_text(out, j, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    json_decref(j);
    return status;
}

static void say_missing(const job *j)
{
    for (int64_t i = 0; i < bm_columns_count(j->columns); i++) {
        const bm_column *c = bm_columns_at(j->columns, i);
        if (c->missing)
            bm_out_note("column \"%s\": %lld missing, the first on line %lld: the mean stands there, and a further column tells", c->name,
                        (long long)c->missing, (long long)c->missing_line);
    }
}

static bm_status fit(job *j)
{
    bm_column_kind kind;
    char *text = NULL;
    BM_TRY(look_at(&kind, j));
    bm_columns_opts o = options(j, kind);
    o.standardize = o.standardize_target = j->standardize;
    o.counts = counts;
    o.user = j;
    BM_TRY(bm_columns_fit(&j->columns, j->input, &o));
    say_missing(j);
    BM_TRY(bm_columns_to_json(&text, j->columns));
    bm_status status = add_classes(&j->encoding, text);
    bm_free(text);
    return status;
}

static bm_status take_encoding(job *j)
{
    BM_TRY(bm_samples_encoding_of(&j->encoding, j->to.like));
    BM_TRY(bm_columns_from_json(&j->columns, j->encoding, j->to.like));
    return bm_columns_target(j->columns) ? BM_OK : bm_fail(BM_ERR_REFUSED, "%s has no target column", j->to.like);
}

/* Whether the file has the target: one that predictions are made for need not. */
static bm_status has_target(int *out, const job *j)
{
    bm_csv *c;
    *out = 0;
    BM_TRY(bm_csv_open(&c, j->input, &j->csv));
    for (int64_t i = 0; i < bm_csv_count(c); i++) *out |= !strcmp(bm_csv_column_at(c, i)->name, bm_columns_target(j->columns)->name);
    bm_csv_close(c);
    return BM_OK;
}

static bm_status open_writer(job *j)
{
    const bm_column *target = bm_columns_target(j->columns);
    const int classes = target->kind == BM_COLUMN_CATEGORY;
    const bm_samples_opts form = {.kind = "rows",
                                  .input = BM_F32,
                                  .input_shape = BM_SHAPE(bm_columns_width(j->columns)),
                                  .target = classes ? BM_I32 : BM_F32,
                                  .target_shape = classes ? (bm_shape){0} : BM_SHAPE(1),
                                  .classes = target->n_categories,
                                  .encoding_json = j->encoding};
    return bm_samples_out_open(&j->to, &form, &j->input, 1);
}

static bm_status write_rows(job *j, bm_rows *r, int targets)
{
    int64_t n, width = bm_columns_width(j->columns);
    float numbers[ROWS];
    int32_t classes[ROWS];
    bm_status status = BM_OK;
    float *x = bm_calloc((size_t)(ROWS * width), sizeof *x);
    if (!x) return BM_ERR_MEMORY;
    const int of_classes = bm_columns_target(j->columns)->kind == BM_COLUMN_CATEGORY;
    for (int64_t i = 0; i < ROWS; i++) {
        numbers[i] = NAN;
        classes[i] = -1;
    }
    do {
        BM_GO(bm_rows_next(r, &n, x, !targets ? NULL : of_classes ? (void *)classes : numbers, ROWS));
        for (int64_t i = 0; i < n; i++)
            BM_GO(bm_samples_writer_add(j->to.writer, x + i * width, of_classes ? (void *)(classes + i) : numbers + i, 0));
        BM_GO(bm_out_step("%lld rows", (long long)bm_samples_writer_count(j->to.writer)));
    } while (n);
    BM_GO(bm_samples_out_commit(&j->to));
done:
    bm_free(x);
    return status;
}

static bm_status write_all(job *j)
{
    int targets;
    bm_status status;
    bm_rows *r = NULL;
    BM_GO(has_target(&targets, j));
    if (!targets) bm_out_note("%s has no column \"%s\": its rows are for predictions", j->input, bm_columns_target(j->columns)->name);
    BM_GO(bm_rows_open(&r, j->columns, j->input, &j->csv, targets));
    BM_GO(open_writer(j));
    BM_GO(write_rows(j, r, targets));
done:
    bm_rows_close(r);
    return status;
}

/* The options that are words: 0, or prints the mistake and returns 2. */
static int read_words(job *j)
{
    if (!strcmp(j->input, "-")) return bm_out_usage(&bm_cmd_data_csv, "a table is read several times: it cannot come from standard input");
    if (j->type && strcmp(j->type, "auto") && strcmp(j->type, "number") && strcmp(j->type, "category"))
        return bm_out_usage(&bm_cmd_data_csv, "--target-type %s: there is auto, number and category", j->type);
    if (strcmp(j->missing, "auto") && strcmp(j->missing, "mean") && strcmp(j->missing, "refuse"))
        return bm_out_usage(&bm_cmd_data_csv, "--missing %s: there is auto, mean and refuse", j->missing);
    if (j->delimiter && strcmp(j->delimiter, ",") && strcmp(j->delimiter, ";") && strcmp(j->delimiter, "tab"))
        return bm_out_usage(&bm_cmd_data_csv, "--delimiter %s: there is , ; and tab", j->delimiter);
    if (j->delimiter) j->csv.delimiter = !strcmp(j->delimiter, "tab") ? '\t' : j->delimiter[0];
    if (j->header && strcmp(j->header, "auto") && strcmp(j->header, "yes") && strcmp(j->header, "no"))
        return bm_out_usage(&bm_cmd_data_csv, "--header %s: there is auto, yes and no", j->header);
    if (j->header) j->csv.header = !strcmp(j->header, "yes") ? BM_CSV_HEADER_YES : !strcmp(j->header, "no") ? BM_CSV_HEADER_NO : BM_CSV_HEADER_AUTO;
    if (!(j->to.val_fraction >= 0 && j->to.val_fraction < 1)) return bm_out_usage(&bm_cmd_data_csv, "--val-fraction is at least 0 and below 1");
    if (!j->to.like == !j->target) return bm_out_usage(&bm_cmd_data_csv, "one of --target COLUMN and --like DATA is needed");
    if (j->to.like && (j->features || j->categories || j->type || j->standardize))
        return bm_out_usage(&bm_cmd_data_csv, "--like says how the columns are encoded: no --features, --categories, --target-type, --standardize");
    j->n_features = cut(&j->names, j->feature, j->features);
    j->n_categories = cut(&j->category_names, j->category, j->categories);
    if (j->n_features < 0 || j->n_categories < 0) return bm_out_usage(&bm_cmd_data_csv, "more than %d columns are named", MOST_FEATURES);
    return 0;
}

static int run(int argc, char **argv)
{
    job *j = bm_calloc(1, sizeof *j);
    if (!j) return bm_out_error(BM_ERR_MEMORY);
    j->to = (bm_samples_out)BM_SAMPLES_OUT_NONE;
    j->missing = "auto";
    j->csv = bm_csv_opts_default();
    const bm_opt opts[] = {
        {"output", 'o', BM_OPT_STRING, &j->to.path, 1},
        {"target", 't', BM_OPT_STRING, &j->target, 0},
        {"features", 0, BM_OPT_STRING, &j->features, 0},
        {"categories", 0, BM_OPT_STRING, &j->categories, 0},
        {"target-type", 0, BM_OPT_STRING, &j->type, 0},
        {"missing", 0, BM_OPT_STRING, &j->missing, 0},
        {"standardize", 0, BM_OPT_FLAG, &j->standardize, 0},
        {"delimiter", 0, BM_OPT_STRING, &j->delimiter, 0},
        {"header", 0, BM_OPT_STRING, &j->header, 0},
        BM_SAMPLES_OUT_OPTS(&j->to),
        {NULL, 0, BM_OPT_FLAG, NULL, 0},
    };
    bm_status status = BM_OK;
    int code = bm_opt_parse(&argc, argv, &bm_cmd_data_csv, opts, 1, 1);
    if (code >= 0) goto end;
    if (isnan(j->to.val_fraction)) j->to.val_fraction = j->to.like ? 0 : 0.2;
    j->input = argv[0];
    if ((code = read_words(j))) goto end;
    bm_signals_watch("\nbmtool: stopping\n");
    BM_GO(bm_output_check(j->to.path, j->to.replace, (const char *const[]){j->input, j->to.like}, 2));
    BM_GO(j->to.like ? take_encoding(j) : fit(j));
    BM_GO(write_all(j));
done:
    code = bm_out_error(status);
end:
    bm_samples_out_finish(&j->to);
    bm_columns_destroy(j->columns);
    bm_free(j->encoding);
    bm_free(j->names);
    bm_free(j->category_names);
    bm_free(j);
    return code;
}

const bm_cmd bm_cmd_data_csv = {
    .name = "data csv",
    .group = "make data",
    .summary = "make a data set of a table, CSV or ARFF",
    .help = "Examples:\n"
            "  bmtool data csv iris.csv -o iris.h5 --target species --standardize\n"
            "  bmtool data csv houses.csv.gz -o houses.h5 --target price --features rooms,area,city\n"
            "  bmtool data csv new.csv -o new.h5 --like runs/houses\n"
            "\n"
            "usage: bmtool data csv FILE -o OUT.h5 --target COLUMN [options]\n"
            "\n"
            "  FILE                    a table; gzip is read as well, and ARFF where the name ends in .arff\n"
            "  -o, --output OUT.h5     the data set\n"
            "  -t, --target COLUMN     what is to be told from the others; its number, from 1, where there is no header\n"
            "      --features A,B      the columns to tell it from (default: all others); one with a comma\n"
            "                          in it stands in double quotes\n"
            "      --categories A,B    columns that are categories though their values are numbers\n"
            "      --target-type T     number, category, or auto: categories are texts, and whole numbers 0, 1, ... C - 1 or\n"
            "                          1, 2, ... C of which each stands in several rows\n"
            "      --missing M         mean: a missing value (empty, NA, NaN, ?, null) is its column's mean, with a further column\n"
            "                          that says so; refuse: it is an error; auto: mean, but a NaN is an error\n"
            "      --standardize       numbers get mean 0 and standard deviation 1 over the training part; predictions are\n"
            "                          told in the target's own units again\n"
            "      --like DATA         encode as a data set, checkpoint or run has it; the target may be missing then, and\n"
            "                          the validation fraction is 0\n"
            "      --val-fraction F    the share of rows that is kept for validation (0.2)\n"
            "      --split-seed N      which rows those are (1)\n"
            "      --delimiter D       , ; or tab (default: what the first line has most of)\n"
            "      --header H          auto, yes or no\n"
            "      --licence L         the data's licence: it stays with what is trained on them\n"
            "  -f, --force             replace an output that exists\n"
            "  -j, --json              report on standard output as JSON\n"
            "\n"
            "Categories become a column for each of their values.\n",
    .run = run,
};
