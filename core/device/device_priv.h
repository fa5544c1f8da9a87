#ifndef BM_CORE_DEVICE_DEVICE_PRIV_H
#define BM_CORE_DEVICE_DEVICE_PRIV_H

#include "core/device/cl_compat.h"
#include "core/device/device.h"

/* The structures are open to the device layer and to tests, which write lists by hand. */

typedef struct bm_platform {
    cl_platform_id id;
    char *name, *version, *vendor;
    char short_name[32]; /* "pocl"; unique within a list */
} bm_platform;

struct bm_device {
    cl_device_id id;
    int platform; /* index in the list */
    const char *platform_name;
    char *name, *vendor, *version, *c_version, *driver, *extensions;
    char short_name[48]; /* "pocl:0" */
    bm_limits limits;
};

struct bm_device_list {
    bm_platform *platforms;
    int n_platforms;
    bm_device *devices; /* those of platform 0, then of platform 1, ... */
    int n_devices;
};

/* Gives every platform of a list its short name from its full one, and every device its own. */
void bm_device_list_name(bm_device_list *l);

/* Whether `auto` prefers a to b; a strict order, equal devices keep the list's. See select.c. */
int bm_device_faster(const bm_device *a, const bm_device *b);
/* Whether `auto` may pick it at all. */
int bm_device_usable(const bm_device *d);

#endif
