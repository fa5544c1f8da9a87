#include "io/store/image_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include "core/base/file.h"
#include "core/base/mem.h"
#include "io/store/h5_priv.h"

struct bm_image_file {
    H5FD_t base; /* must be first: libhdf5 keeps its fields here */
    bm_image *image;
    haddr_t allocated; /* the end of what libhdf5 has given out */
};

void bm_image_finish(bm_image *m)
{
    for (int64_t i = 0; i < m->pages; i++) bm_free(m->page[i]);
    bm_free(m->page);
    bm_free(m->file);
    memset(m, 0, sizeof *m);
}

static bm_status resize(int fd, int64_t bytes, const char *path)
{
    int r;
    do r = ftruncate(fd, (off_t)bytes);
    while (r && errno == EINTR);
    return r ? bm_fail_errno(errno, path, "cannot set its size") : BM_OK;
}

bm_status bm_image_store(const bm_image *m, int fd, const char *path)
{
    BM_TRY(resize(fd, 0, path));
    BM_TRY(resize(fd, m->bytes, path));
    for (int64_t i = 0; i < m->pages; i++) {
        int64_t at = m->page[i]->index * BM_IMAGE_PAGE,
                n = m->bytes - at < BM_IMAGE_PAGE ? m->bytes - at : BM_IMAGE_PAGE;
        if (n > 0) BM_TRY(bm_pwrite_all(fd, m->page[i]->data, (size_t)n, at, path));
    }
    return BM_OK;
}

/* The page that holds an offset, made if asked for; NULL: it was never written, or there is no memory. */
static bm_image_page *find_page(bm_image *m, int64_t index, int make)
{
    for (int64_t i = m->pages; i-- > 0;)
        if (m->page[i]->index == index) return m->page[i];
    if (!make) return NULL;
    bm_image_page **grown = bm_grow(m->page, &m->room, m->pages, sizeof *grown);
    if (grown) m->page = grown;
    bm_image_page *p = grown ? bm_calloc(1, sizeof *p) : NULL;
    if (!p) {
        m->status = BM_ERR_MEMORY;
        return NULL;
    }
    p->index = index;
    return m->page[m->pages++] = p;
}

/* ---- the driver: libhdf5 calls these ---- */

static bm_image *image_of(const H5FD_t *f) { return ((const struct bm_image_file *)f)->image; }

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t most)
{
    bm_image *const *image = H5Pget_driver_info(access);
    (void)name, (void)flags, (void)most;
    return image ? &(*image)->file->base : NULL;
}

static herr_t driver_close(H5FD_t *f)
{
    (void)f;
    return 0;
}

static int driver_compare(const H5FD_t *a, const H5FD_t *b) { return (a > b) - (a < b); }

static herr_t driver_query(const H5FD_t *f, unsigned long *flags)
{
    (void)f;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_allocated(const H5FD_t *f, H5FD_mem_t type)
{
    (void)type;
    return ((const struct bm_image_file *)f)->allocated;
}

static herr_t driver_set_allocated(H5FD_t *f, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((struct bm_image_file *)f)->allocated = end;
    return 0;
}

static haddr_t driver_get_end(const H5FD_t *f, H5FD_mem_t type)
{
    (void)type;
    return (haddr_t)image_of(f)->bytes;
}

static herr_t driver_read(H5FD_t *f, H5FD_mem_t type, hid_t list, haddr_t at, size_t bytes, void *data)
{
    (void)type, (void)list;
    for (uint8_t *to = data; bytes;) {
        size_t in = (size_t)(at % BM_IMAGE_PAGE), n = BM_IMAGE_PAGE - in < bytes ? BM_IMAGE_PAGE - in : bytes;
        const bm_image_page *p = find_page(image_of(f), (int64_t)(at / BM_IMAGE_PAGE), 0);
        if (p)
            memcpy(to, p->data + in, n);
        else
            memset(to, 0, n);
        to += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

static herr_t driver_write(H5FD_t *f, H5FD_mem_t type, hid_t list, haddr_t at, size_t bytes, const void *data)
{
    bm_image *m = image_of(f);
    (void)type, (void)list;
    if ((int64_t)(at + bytes) > m->bytes) m->bytes = (int64_t)(at + bytes);
    for (const uint8_t *from = data; bytes;) {
        size_t in = (size_t)(at % BM_IMAGE_PAGE), n = BM_IMAGE_PAGE - in < bytes ? BM_IMAGE_PAGE - in : bytes;
        bm_image_page *p = find_page(m, (int64_t)(at / BM_IMAGE_PAGE), 1);
        if (p) memcpy(p->data + in, from, n); /* else the status says so */
        from += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

static herr_t driver_truncate(H5FD_t *f, hid_t list, hbool_t closing)
{
    (void)list, (void)closing;
    image_of(f)->bytes = (int64_t)((struct bm_image_file *)f)->allocated;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)700,
#endif
    .name = "bm_image",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(bm_image *),
    .open = driver_open,
    .close = driver_close,
    .cmp = driver_compare,
    .query = driver_query,
    .get_eoa = driver_get_allocated,
    .set_eoa = driver_set_allocated,
    .get_eof = driver_get_end,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

herr_t bm_image_set_driver(hid_t access, bm_image *m)
{
    static hid_t id = -1;
    if (id < 0 || H5Iis_valid(id) <= 0) id = H5FDregister(&driver);
    if (id < 0) return -1;
    if (!m->file && !(m->file = bm_calloc(1, sizeof *m->file))) {
        m->status = BM_ERR_MEMORY;
        return -1;
    }
    m->file->image = m;
    return H5Pset_driver(access, id, &m);
}
