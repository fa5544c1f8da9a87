/* The child that runs libhdf5 on bytes nobody vouches for. It reports what fails as the parent would: bm_fail, whose
 * text it sends. */
#include <hdf5.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "io/formats/hdf5_priv.h"
#include "io/formats/sandbox_priv.h"

#define MEMORY ((int64_t)3 << 30)       /* beyond what the process has */
#define MOST_CHUNK ((int64_t)512 << 20) /* bytes of a chunk, */
#define MOST_BAND ((int64_t)1 << 30)    /* and of the chunks that a row goes through, which are kept until the next ones */
#define DEFLATE_RATIO 1032           /* no byte can stand for more of them */
#define OPEN_S 60                    /* of processor time to open, and to read */
#define BYTES_PER_S 1000000          /* that are read at least */
enum { MOST_LINKS = 16, MOST_NAMES = 4097, SHOWN_NAMES = 8 };

typedef struct child {
    hid_t file;
    int64_t file_bytes;
    int n;
    hid_t data[BM_HDF5_MOST_PATHS];
    bm_hdf5_data about[BM_HDF5_MOST_PATHS];
    void *buffer;
    int64_t room; /* bytes of the buffer */
} child;

/* ---- what libhdf5 says ---- */

static herr_t note_cause(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0 && e->desc) snprintf(text, 300, "%s", e->desc);
    return 0;
}

/* The innermost message of libhdf5. */
static bm_status h5_fails(const char *what, const char *name)
{
    char cause[300] = "no cause given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_cause, cause);
    return bm_fail(BM_ERR_DAMAGED, "libhdf5 cannot %s %s: %s", what, name, cause);
}

/* ---- paths: followed here link by link, so that none leads out of the file ---- */

typedef struct names {
    char *name[MOST_NAMES];
    size_t n;
    bm_status status;
} names;

static herr_t collect(hid_t object, const char *name, const H5O_info_t *info, void *to)
{
    names *all = to;
    (void)object;
    if (info->type != H5O_TYPE_DATASET) return 0;
    bm_str s;
    bm_str_init(&s);
    bm_str_addf(&s, "/%s", name);
    all->name[all->n] = bm_str_take(&s);
    if (!all->name[all->n]) all->status = BM_ERR_MEMORY;
    return all->status || ++all->n == MOST_NAMES;
}

/* The paths of all data sets, each ended by a 0. */
static bm_status list_all(bm_str *list, const child *c)
{
    static names all;
    if (H5Ovisit2(c->file, H5_INDEX_NAME, H5_ITER_INC, collect, &all, H5O_INFO_BASIC) < 0) return h5_fails("list", "its data sets");
    BM_TRY(all.status);
    if (all.n == MOST_NAMES) return bm_fail(BM_ERR_REFUSED, "it has more than %d data sets", MOST_NAMES - 1);
    for (size_t i = 0; i < all.n; i++) bm_str_add_bytes(list, all.name[i] + 1, strlen(all.name[i]));
    if (bm_str_status(list)) return BM_ERR_MEMORY;
    return (int64_t)list->length <= BM_HDF5_MOST_LISTED ? BM_OK : bm_fail(BM_ERR_REFUSED, "the names of its data sets are too long");
}

static bm_status is_missing(const child *c, const char *path)
{
    static names all;
    bm_str list;
    H5Ovisit2(c->file, H5_INDEX_NAME, H5_ITER_INC, collect, &all, H5O_INFO_BASIC);
    const char *near = bm_nearest(path, (const char *const *)all.name, all.n);
    if (near) return bm_fail(BM_ERR_NOT_FOUND, "there is no %s; is it %s?", path, near);
    bm_str_init(&list);
    for (size_t i = 0; i < all.n && i < SHOWN_NAMES; i++) bm_str_addf(&list, "%s%.60s", i ? ", " : "", all.name[i]);
    return bm_fail(BM_ERR_NOT_FOUND, "there is no %s; it has %s%s", path, all.n ? bm_str_text(&list) : "no data sets",
                   all.n > SHOWN_NAMES ? ", ..." : "");
}

static bm_status follow(hid_t *out, const child *c, const char *path, int links);

/* A name in a path, and how many links have led to that. */
typedef struct place {
    const char *path;
    size_t at, length;
    int links;
} place;

/* What a link of another kind than an object's own says. */
static bm_status follow_link(hid_t *out, const child *c, hid_t group, const place *p, const H5L_info_t *info)
{
    char name[1024], text[4096];
    const char *file, *object;
    unsigned flags;
    bm_str s;
    snprintf(name, sizeof name, "%.*s", (int)p->length, p->path + p->at);
    if (info->type != H5L_TYPE_SOFT && info->type != H5L_TYPE_EXTERNAL)
        return bm_fail(BM_ERR_REFUSED, "%s is a link of an unknown kind", p->path);
    if (info->u.val_size >= sizeof text || H5Lget_val(group, name, text, sizeof text, H5P_DEFAULT) < 0)
        return h5_fails("read the link", p->path);
    text[info->u.val_size] = 0;
    if (info->type == H5L_TYPE_EXTERNAL) {
        if (H5Lunpack_elink_val(text, info->u.val_size, &flags, &file, &object) < 0)
            return h5_fails("read the link", p->path);
        return bm_fail(BM_ERR_REFUSED,
                       "%.*s is a link to %.200s in another file, %.200s: links out of the file are not followed",
                       (int)(p->at + p->length), p->path, object, file);
    }
    if (p->links == MOST_LINKS)
        return bm_fail(BM_ERR_REFUSED, "%s: more than %d links lead to each other", p->path, MOST_LINKS);
    bm_str_init(&s);
    if (text[0] != '/') bm_str_add_bytes(&s, p->path, p->at);
    bm_str_addf(&s, "%s%s", text, p->path + p->at + p->length);
    bm_status status = bm_str_status(&s) ? BM_ERR_MEMORY : follow(out, c, bm_str_text(&s), p->links + 1);
    bm_str_finish(&s);
    return status;
}

/* *group becomes what the name in it stands for; of a link, what the whole path leads to: then it is *done. */
static bm_status step(hid_t *group, int *done, const child *c, const place *p)
{
    char name[1024];
    H5L_info_t info;
    hid_t next = -1;
    if (p->length >= sizeof name)
        return bm_fail(BM_ERR_USAGE, "%s: a name of more than %zu bytes", p->path, sizeof name - 1);
    memcpy(name, p->path + p->at, p->length);
    name[p->length] = 0;
    if (H5Iget_type(*group) != H5I_GROUP || H5Lexists(*group, name, H5P_DEFAULT) <= 0) return is_missing(c, p->path);
    if (H5Lget_info(*group, name, &info, H5P_DEFAULT) < 0) return h5_fails("look at", p->path);
    *done = info.type != H5L_TYPE_HARD;
    if (*done)
        BM_TRY(follow_link(&next, c, *group, p, &info));
    else if ((next = H5Oopen(*group, name, H5P_DEFAULT)) < 0)
        return h5_fails("open", p->path);
    H5Oclose(*group);
    *group = next;
    return BM_OK;
}

/* The object at a path; links other than objects' own are followed within the file. */
static bm_status follow(hid_t *out, const child *c, const char *path, int links)
{
    int done = 0;
    place p = {path, 0, 0, links};
    hid_t group = H5Oopen(c->file, "/", H5P_DEFAULT);
    if (group < 0) return h5_fails("open", "/");
    for (; path[p.at] && !done; p.at += p.length + (path[p.at + p.length] == '/')) {
        p.length = strcspn(path + p.at, "/");
        if (p.length && !(p.length == 1 && path[p.at] == '.')) BM_TRY(step(&group, &done, c, &p));
    }
    *out = group;
    return BM_OK;
}

/* ---- what a data set must be ---- */

static bm_status check_type(bm_hdf5_data *a, hid_t type, const char *path)
{
    static const char *const kinds[] = {
        "integers",     "floating numbers", "times",      "texts",      "bits",
        "opaque bytes", "records",          "references", "enumerated", "texts or lists of their own lengths",
        "arrays"};
    const H5T_class_t kind = H5Tget_class(type);
    if (kind != H5T_INTEGER && kind != H5T_FLOAT && kind != H5T_ENUM) /* h5py's truth values are enumerated */
        return bm_fail(BM_ERR_REFUSED, "%s holds %s, not numbers", path,
                       kind >= 0 && kind <= H5T_ARRAY ? kinds[kind] : "something unknown");
    a->is_float = kind == H5T_FLOAT;
    a->is_signed = a->is_float || H5Tget_sign(type) == H5T_SGN_2;
    const size_t bytes = H5Tget_size(type);
    if (bytes < 1 || bytes > 16) return bm_fail(BM_ERR_REFUSED, "%s has numbers of %zu bytes", path, bytes);
    a->bytes = (int)bytes;
    return BM_OK;
}

static bm_status check_space(bm_hdf5_data *a, hid_t space, const child *c, const char *path)
{
    hsize_t dims[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_type(space) == H5S_NULL ? 0 : H5Sget_simple_extent_dims(space, dims, NULL);
    int64_t bytes = a->bytes;
    if (rank < 1 || rank > BM_MAX_RANK)
        return bm_fail(BM_ERR_REFUSED, "%s has %d dimensions: 1 to %d are read", path, rank < 0 ? 0 : rank,
                       BM_MAX_RANK);
    a->shape.rank = rank;
    for (int i = 0; i < rank; i++) {
        a->shape.dim[i] = dims[i] > INT64_MAX ? INT64_MAX : (int64_t)dims[i];
        if (!dims[i]) return bm_fail(BM_ERR_REFUSED, "%s is empty", path);
        if (bm_mul_i64(&bytes, bytes, a->shape.dim[i]) || bytes / DEFLATE_RATIO > c->file_bytes)
            return bm_fail(BM_ERR_REFUSED, "%s says that it has more numbers than a file of %" PRId64 " bytes can hold",
                           path, c->file_bytes);
    }
    return BM_OK;
}

static bm_status check_filters(hid_t list, const char *path)
{
    char name[64];
    for (int i = 0; i < H5Pget_nfilters(list); i++) {
        unsigned flags, config;
        size_t values = 0;
        const H5Z_filter_t f = H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, sizeof name, name, &config);
        if (f != H5Z_FILTER_DEFLATE && f != H5Z_FILTER_SHUFFLE && f != H5Z_FILTER_FLETCHER32)
            return bm_fail(
                BM_ERR_REFUSED,
                "%s is packed by filter %d, \"%.60s\": deflate is read, which h5repack -f GZIP=4 IN OUT makes", path,
                (int)f, f < 0 ? "?" : name);
    }
    return BM_OK;
}

/* Chunks stay in memory until the rows that they have are read: *cache bytes for *n of them. */
static bm_status check_chunks(size_t *cache, size_t *n, hid_t list, const bm_hdf5_data *a, const char *path)
{
    hsize_t dims[H5S_MAX_RANK];
    int64_t chunk = a->bytes, chunks = 1, band;
    if (H5Pget_chunk(list, a->shape.rank, dims) != a->shape.rank) return h5_fails("read the chunks' shape of", path);
    for (int i = 0; i < a->shape.rank; i++) {
        if (!dims[i] || bm_mul_i64(&chunk, chunk, (int64_t)dims[i]) || chunk > MOST_CHUNK)
            return bm_fail(BM_ERR_REFUSED,
                           "%s is in chunks of more than %" PRId64
                           " MiB: h5repack -l CHUNK=... IN OUT makes smaller ones",
                           path, MOST_CHUNK >> 20);
        if (i) chunks *= bm_ceil_div(a->shape.dim[i], (int64_t)dims[i]);
    }
    if (bm_mul_i64(&band, chunk, chunks) || band > MOST_BAND)
        return bm_fail(BM_ERR_REFUSED,
                       "%s: its rows lie in %" PRId64 " chunks of %" PRId64
                       " bytes each, too much to keep: h5repack -l CHUNK=... IN OUT makes others",
                       path, chunks, chunk);
    *cache = (size_t)band;
    *n = (size_t)(chunks < 4096 ? 16 * chunks + 1 : 65537);
    return BM_OK;
}

static bm_status check_layout(size_t *cache, size_t *n, hid_t list, const bm_hdf5_data *a, const char *path)
{
    const H5D_layout_t layout = H5Pget_layout(list);
    *cache = *n = 0;
    if (layout == H5D_VIRTUAL)
        return bm_fail(BM_ERR_REFUSED, "%s is a virtual data set, of other files: h5repack makes a real one", path);
    if (H5Pget_external_count(list) != 0)
        return bm_fail(BM_ERR_REFUSED, "%s has its data in another file, which is not read", path);
    BM_TRY(check_filters(list, path));
    return layout == H5D_CHUNKED ? check_chunks(cache, n, list, a, path) : BM_OK;
}

/* Opens a data set again with room for its chunks. */
static bm_status reopen(hid_t *data, size_t cache, size_t n, const char *path)
{
    const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access < 0 || H5Pset_chunk_cache(access, n, cache, 1.0) < 0) return h5_fails("open", path);
    char own[4096];
    const ssize_t length = H5Iget_name(*data, own, sizeof own);
    const hid_t file = H5Iget_file_id(*data);
    if (length <= 0 || (size_t)length >= sizeof own || file < 0) return h5_fails("name", path);
    H5Dclose(*data);
    *data = H5Dopen2(file, own, access);
    H5Fclose(file);
    H5Pclose(access);
    return *data < 0 ? h5_fails("open", path) : BM_OK;
}

static bm_status look_at(child *c, int i, const char *path)
{
    size_t cache, n;
    BM_TRY(follow(&c->data[i], c, path, 0));
    if (H5Iget_type(c->data[i]) != H5I_DATASET) return bm_fail(BM_ERR_REFUSED, "%s is no data set", path);
    const hid_t type = H5Dget_type(c->data[i]), space = H5Dget_space(c->data[i]),
                list = H5Dget_create_plist(c->data[i]);
    if (type < 0 || space < 0 || list < 0) return h5_fails("look at", path);
    BM_TRY(check_type(&c->about[i], type, path));
    BM_TRY(check_space(&c->about[i], space, c, path));
    BM_TRY(check_layout(&cache, &n, list, &c->about[i], path));
    H5Tclose(type);
    H5Sclose(space);
    H5Pclose(list);
    return cache ? reopen(&c->data[i], cache, n, path) : BM_OK;
}

/* Seconds that reading everything may take. */
static int64_t reading_s(const child *c)
{
    int64_t s = 2 * OPEN_S;
    for (int i = 0; i < c->n; i++) s += bm_shape_elements(&c->about[i].shape) * c->about[i].bytes / BYTES_PER_S;
    return s;
}

static bm_status open_file(child *c, const char *file, const char *const *paths)
{
    H5dont_atexit();
    H5PLset_loading_state(0);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    c->file = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (c->file < 0) return h5_fails("open", "it");
    bm_sandbox_close(OPEN_S);
    for (int i = 0; i < c->n; i++) BM_TRY(look_at(c, i, paths[i]));
    bm_sandbox_close(reading_s(c));
    return BM_OK;
}

/* ---- answers ---- */

static bm_status make_room(child *c, int64_t bytes)
{
    if (bytes <= c->room) return BM_OK;
    void *p = bm_realloc(c->buffer, (size_t)bytes, 1);
    if (!p) return BM_ERR_MEMORY;
    c->buffer = p;
    c->room = bytes;
    return BM_OK;
}

static bm_status read_rows(int64_t *bytes, child *c, const bm_hdf5_ask *ask)
{
    hsize_t start[BM_MAX_RANK] = {(hsize_t)ask->first}, count[BM_MAX_RANK];
    const bm_shape *s = &c->about[ask->data].shape;
    *bytes = (int64_t)bm_dtype_size((bm_dtype)ask->type);
    for (int i = 0; i < s->rank; i++) {
        count[i] = (hsize_t)(i ? s->dim[i] : ask->count);
        *bytes *= (int64_t)count[i];
    }
    BM_TRY(make_room(c, *bytes));
    if (!ask->count) return BM_OK;
    const hid_t file = H5Dget_space(c->data[ask->data]), memory = H5Screate_simple(s->rank, count, NULL);
    const hid_t type = ask->type == BM_F32   ? H5T_NATIVE_FLOAT
                       : ask->type == BM_I64 ? H5T_NATIVE_INT64
                                             : H5T_NATIVE_UINT8;
    const int bad = file < 0 || memory < 0 || H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
                    H5Dread(c->data[ask->data], type, memory, file, H5P_DEFAULT, c->buffer) < 0;
    if (bad) return h5_fails("read", "its rows");
    H5Sclose(file);
    H5Sclose(memory);
    return BM_OK;
}

static int answer(int fd, bm_status status, const void *data, int64_t bytes)
{
    const char *text = bm_error_text(status);
    const bm_hdf5_answer a = {status, status ? (int64_t)strlen(text) : bytes};
    return bm_hdf5_send(fd, &a, sizeof a) || bm_hdf5_send(fd, status ? text : data, (size_t)a.bytes);
}

/* The first answer: the paths, or what lies at those that were given. */
static int answer_first(int fd, bm_status status, const child *c)
{
    bm_str list;
    bm_str_init(&list);
    if (c->n) return answer(fd, status, c->about, c->n * (int64_t)sizeof *c->about) || status;
    if (!status) status = list_all(&list, c);
    return answer(fd, status, bm_str_text(&list), (int64_t)list.length) || status;
}

_Noreturn void bm_hdf5_serve(int fd, const char *file, int64_t file_bytes, const char *const *paths, int n)
{
    bm_hdf5_ask ask;
    int64_t bytes;
    child c = {.file_bytes = file_bytes, .n = n};
    bm_sandbox_enter(fd, MEMORY, OPEN_S);
    bm_status status = open_file(&c, file, paths);
    int gone = answer_first(fd, status, &c);
    while (!gone && !bm_hdf5_receive(fd, &ask, sizeof ask)) {
        status = read_rows(&bytes, &c, &ask);
        gone = answer(fd, status, c.buffer, bytes);
    }
    _exit(0);
}
