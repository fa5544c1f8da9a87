/* libhdf5 lays out a file: every object, no data. All that libhdf5 keeps per process is touched here, under one lock.
 */
#include <hdf5.h>
#include <pthread.h>
#include <string.h>

#include "io/store/image_priv.h"
#include "io/store/writer_priv.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

typedef struct skeleton {
    hid_t file, access;
    hid_t type[BM_DTYPE_COUNT];
    hid_t group_list; /* for file and groups */
    hid_t data_list;
} skeleton;

/* At exit libhdf5 would go through what it still holds open. */
static void start_library(void)
{
    H5dont_atexit();
    H5PLset_loading_state(0);
}

static herr_t note_cause(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0 && e->desc) {
        strncpy(text, e->desc, 299);
        ((char *)text)[299] = 0;
    }
    return 0;
}

/* The innermost message of libhdf5. */
static bm_status h5_fails(const char *what, const char *name)
{
    char cause[300] = "no cause given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_cause, cause);
    H5Eclear2(H5E_DEFAULT);
    return bm_fail(BM_ERR_UNSUPPORTED, "libhdf5 cannot make the %s \"%s\": %s", what, name, cause);
}

static hid_t make_bf16(void)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    if (t < 0) return t;
    if (H5Tset_fields(t, 15, 7, 8, 0, 7) < 0 || H5Tset_precision(t, 16) < 0 || H5Tset_size(t, 2) < 0 ||
        H5Tset_ebias(t, 127) < 0) {
        H5Tclose(t);
        return -1;
    }
    return t;
}

static hid_t make_f16(void)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    if (t < 0) return t;
    if (H5Tset_fields(t, 15, 10, 5, 0, 10) < 0 || H5Tset_precision(t, 16) < 0 || H5Tset_size(t, 2) < 0 ||
        H5Tset_ebias(t, 15) < 0) {
        H5Tclose(t);
        return -1;
    }
    return t;
}

static hid_t make_type(bm_dtype t)
{
    switch (t) {
    case BM_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case BM_F16: return make_f16();
    case BM_BF16: return make_bf16();
    case BM_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case BM_I8: return H5Tcopy(H5T_STD_I8LE);
    case BM_U8: return H5Tcopy(H5T_STD_U8LE);
    case BM_I16: return H5Tcopy(H5T_STD_I16LE);
    case BM_U16: return H5Tcopy(H5T_STD_U16LE);
    case BM_I32: return H5Tcopy(H5T_STD_I32LE);
    case BM_U32: return H5Tcopy(H5T_STD_U32LE);
    case BM_I64: return H5Tcopy(H5T_STD_I64LE);
    case BM_U64: return H5Tcopy(H5T_STD_U64LE);
    default: return -1;
    }
}

/* Links and attributes stay in the header, however many; no times; the header is made large enough at once. */
static int set_group_list(hid_t list, const bm_node *n)
{
    unsigned links = n->children ? (unsigned)n->children : 1;
    size_t name =
        (n->name_bytes + n->attr_bytes) / links + 1; /* room for the attributes is asked for as longer names */
    if (name > 65535) name = 65535;
    return H5Pset_link_phase_change(list, 65535, 0) < 0 || H5Pset_attr_phase_change(list, 65535, 0) < 0 ||
           H5Pset_obj_track_times(list, 0) < 0 || H5Pset_est_link_info(list, links, (unsigned)name) < 0;
}

static int make_lists(skeleton *k, bm_image *image, size_t meta_bytes)
{
    k->access = H5Pcreate(H5P_FILE_ACCESS);
    k->data_list = H5Pcreate(H5P_DATASET_CREATE);
    if (k->access < 0 || k->data_list < 0) return -1;
    if (H5Pset_libver_bounds(k->access, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0 ||
        H5Pset_fclose_degree(k->access, H5F_CLOSE_STRONG) < 0 ||
        H5Pset_alignment(k->access, BM_H5_ALIGN, BM_H5_ALIGN) < 0 ||
        H5Pset_meta_block_size(k->access, meta_bytes) < 0 || bm_image_set_driver(k->access, image) < 0)
        return -1;
    if (H5Pset_layout(k->data_list, H5D_CONTIGUOUS) < 0 || H5Pset_alloc_time(k->data_list, H5D_ALLOC_TIME_EARLY) < 0 ||
        H5Pset_fill_time(k->data_list, H5D_FILL_TIME_NEVER) < 0 || H5Pset_obj_track_times(k->data_list, 0) < 0 ||
        H5Pset_attr_phase_change(k->data_list, 65535, 0) < 0)
        return -1;
    for (int t = 0; t < BM_DTYPE_COUNT; t++)
        if ((k->type[t] = make_type((bm_dtype)t)) < 0) return -1;
    return 0;
}

static hid_t make_space(const bm_shape *shape)
{
    hsize_t dims[BM_MAX_RANK];
    for (int i = 0; i < shape->rank; i++) dims[i] = (hsize_t)shape->dim[i];
    return shape->rank ? H5Screate_simple(shape->rank, dims, NULL) : H5Screate(H5S_SCALAR);
}

static bm_status make_attr(skeleton *k, hid_t object, const bm_node_attr *a)
{
    hid_t space = make_space(&a->shape), type = -1, attr = -1;
    int fails = space < 0;
    if (!fails && a->is_text) {
        type = H5Tcopy(H5T_C_S1);
        fails = type < 0 || H5Tset_size(type, a->bytes) < 0 || H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
                H5Tset_cset(type, H5T_CSET_UTF8) < 0;
    }
    if (!fails) {
        attr = H5Acreate2(object, a->name, a->is_text ? type : k->type[a->dtype], space, H5P_DEFAULT, H5P_DEFAULT);
        fails = attr < 0 || (a->bytes && H5Awrite(attr, a->is_text ? type : k->type[a->dtype], a->data) < 0);
    }
    bm_status status = fails ? h5_fails("attribute", a->name) : BM_OK;
    if (attr >= 0) H5Aclose(attr);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return status;
}

static bm_status make_attrs(skeleton *k, hid_t object, const bm_node *n)
{
    for (const bm_node_attr *a = n->first_attr; a; a = a->next) BM_TRY(make_attr(k, object, a));
    return BM_OK;
}

static bm_status make_dataset(skeleton *k, hid_t parent, bm_node *n)
{
    bm_status status = BM_OK;
    hid_t space = make_space(&n->shape), d = -1;
    if (space >= 0) d = H5Dcreate2(parent, n->name, k->type[n->dtype], space, H5P_DEFAULT, k->data_list, H5P_DEFAULT);
    if (d < 0) {
        status = h5_fails("dataset", n->path);
        goto done;
    }
    BM_GO(make_attrs(k, d, n));
    haddr_t at = H5Dget_offset(d);
    n->offset = at == HADDR_UNDEF ? -1 : (int64_t)at;
    if ((at == HADDR_UNDEF) != (n->bytes == 0)) status = h5_fails("place of", n->path);
done:
    if (d >= 0 && H5Dclose(d) < 0 && !status) status = h5_fails("dataset", n->path);
    if (space >= 0) H5Sclose(space);
    H5Eclear2(H5E_DEFAULT);
    return status;
}

static bm_status make_children(skeleton *k, hid_t group, bm_node *parent);

static bm_status make_group(skeleton *k, hid_t parent, bm_node *n)
{
    bm_status status = BM_OK;
    hid_t list = H5Pcreate(H5P_GROUP_CREATE), g = -1;
    if (list >= 0 && !set_group_list(list, n)) g = H5Gcreate2(parent, n->name, H5P_DEFAULT, list, H5P_DEFAULT);
    if (g < 0) {
        status = h5_fails("group", n->path);
        goto done;
    }
    BM_GO(make_attrs(k, g, n));
    BM_GO(make_children(k, g, n));
done:
    if (g >= 0 && H5Gclose(g) < 0 && !status) status = h5_fails("group", n->path);
    if (list >= 0) H5Pclose(list);
    return status;
}

static bm_status make_children(skeleton *k, hid_t group, bm_node *parent)
{
    for (bm_node *n = parent->first; n; n = n->next)
        BM_TRY(n->is_dataset ? make_dataset(k, group, n) : make_group(k, group, n));
    return BM_OK;
}

static bm_status make_file(skeleton *k, bm_image *image, bm_node *root, size_t meta_bytes)
{
    if (make_lists(k, image, meta_bytes)) return h5_fails("properties", root->path);
    k->group_list = H5Pcreate(H5P_FILE_CREATE);
    if (k->group_list >= 0 && !set_group_list(k->group_list, root))
        k->file = H5Fcreate("bm", H5F_ACC_TRUNC, k->group_list, k->access);
    if (k->file < 0) return h5_fails("file", root->path);
    BM_TRY(make_attrs(k, k->file, root));
    return make_children(k, k->file, root);
}

static void close_lists(skeleton *k)
{
    for (int t = 0; t < BM_DTYPE_COUNT; t++)
        if (k->type[t] >= 0) H5Tclose(k->type[t]);
    if (k->data_list >= 0) H5Pclose(k->data_list);
    if (k->group_list >= 0) H5Pclose(k->group_list);
    if (k->access >= 0) H5Pclose(k->access);
}

bm_status bm_skeleton_make(bm_image *image, bm_node *root, size_t meta_bytes)
{
    skeleton k = {.file = -1, .access = -1, .group_list = -1, .data_list = -1};
    for (int t = 0; t < BM_DTYPE_COUNT; t++) k.type[t] = -1;
    H5E_auto2_t print;
    void *print_to;
    pthread_mutex_lock(&lock);
    pthread_once(&once, start_library);
    H5Eget_auto2(H5E_DEFAULT, &print, &print_to);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    bm_status status = make_file(&k, image, root, meta_bytes);
    close_lists(&k);
    if (k.file >= 0 && H5Fclose(k.file) < 0) {
        if (!status) status = h5_fails("file", root->path);
        image->file = NULL; /* libhdf5 still refers to it: it is not freed */
    }
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, print, print_to);
    pthread_mutex_unlock(&lock);
    return image->status ? image->status : status;
}
