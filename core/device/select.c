/* Which device a word means: the grammar of --device.
 *
 *   spec = item {"+" item}
 *   item = word [":" index] ["/" parts]
 *   word = "auto" | "cpu" | "gpu" | "fpga" | "all" | a platform's short name | part of a platform, vendor or device name
 *
 * An index counts the matches in the list's order, for `auto` in order of preference. Without an index `all` means every
 * device, any other word the best of its matches.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "core/device/device_priv.h"

typedef struct item {
    char word[64];
    int64_t index; /* -1: none given */
    int64_t parts; /* 0: none given */
} item;

/* Discrete GPUs come first, then integrated ones, then CPUs; accelerators come after them since without a bundle of
 * binaries they are emulators here, and what is none of these last. */
static int class_of(const bm_device *d)
{
    switch (d->limits.type) {
    case BM_DEVICE_GPU: return d->limits.unified_memory ? 1 : 0;
    case BM_DEVICE_CPU: return 2;
    case BM_DEVICE_ACCELERATOR: return 3;
    default: return 4;
    }
}

int bm_device_usable(const bm_device *d) { return d->limits.compiler; }

int bm_device_faster(const bm_device *a, const bm_device *b)
{
    if (bm_device_usable(a) != bm_device_usable(b)) return bm_device_usable(a);
    if (class_of(a) != class_of(b)) return class_of(a) < class_of(b);
    /* Within a class the lanes times the clock; drivers that do not know their clock say 0 and come last. */
    double rate_a = (double)a->limits.compute_units * a->limits.clock_mhz * a->limits.float_width;
    double rate_b = (double)b->limits.compute_units * b->limits.clock_mhz * b->limits.float_width;
    return rate_a > rate_b;
}

static int contains(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (; *text; text++) {
        size_t k = 0;
        while (k < n && text[k] && tolower((unsigned char)text[k]) == tolower((unsigned char)word[k])) k++;
        if (k == n) return 1;
    }
    return 0;
}

static int equal_ignoring_case(const char *a, const char *b) { return strlen(a) == strlen(b) && (!*b || contains(a, b)); }

static int is_word(const item *it, const char *word) { return equal_ignoring_case(it->word, word); }

/* A platform whose short name is the word shuts out those that merely contain it: PoCL on an Intel CPU reports Intel as
 * its vendor. */
static int names_platform(const bm_device_list *l, const char *word)
{
    for (int i = 0; i < l->n_platforms; i++)
        if (equal_ignoring_case(l->platforms[i].short_name, word)) return i;
    return -1;
}

static int matches(const bm_device_list *l, const bm_device *d, const item *it)
{
    if (is_word(it, "auto")) return bm_device_usable(d);
    if (is_word(it, "all")) return 1;
    if (is_word(it, "cpu")) return d->limits.type == BM_DEVICE_CPU;
    if (is_word(it, "gpu")) return d->limits.type == BM_DEVICE_GPU;
    if (is_word(it, "fpga")) return d->limits.type == BM_DEVICE_ACCELERATOR;
    int named = names_platform(l, it->word);
    if (named >= 0) return d->platform == named;
    return contains(d->platform_name, it->word) || contains(d->vendor, it->word) || contains(d->name, it->word);
}

static const char *type_name(bm_device_type t)
{
    switch (t) {
    case BM_DEVICE_CPU: return "cpu";
    case BM_DEVICE_GPU: return "gpu";
    case BM_DEVICE_ACCELERATOR: return "fpga";
    default: return "other";
    }
}

static bm_status fail_no_match(const bm_device_list *l, const item *it)
{
    bm_str s;
    bm_str_init(&s);
    for (int i = 0; i < l->n_devices; i++)
        bm_str_addf(&s, "%s%s (%s, %s)", i ? ", " : "", l->devices[i].short_name, type_name(l->devices[i].limits.type),
                    l->devices[i].name);
    if (l->n_devices == 0) {
        bm_str_add(&s, "no device at all: ");
        for (int i = 0; i < l->n_platforms; i++) bm_str_addf(&s, "%s%s", i ? ", " : "", l->platforms[i].name);
        bm_str_add(&s, l->n_platforms == 1 ? " has none" : " have none");
        bm_str_add(&s, ": install a driver for yours (Debian, for the CPU: pocl-opencl-icd)");
    }
    bm_status status = bm_str_status(&s);
    if (!status) {
        char index[32] = "";
        if (it->index >= 0) snprintf(index, sizeof index, ":%" PRId64, it->index);
        status = bm_fail(BM_ERR_NO_DEVICE, "no device matches \"%s%s\"; there is %s", it->word, index, bm_str_text(&s));
    }
    bm_str_finish(&s);
    return status;
}

/* The matching device that comes `index`-th, or the best one for index < 0; NULL if there is none. */
static const bm_device *pick(const bm_device_list *l, const item *it)
{
    if (it->index >= 0 && !is_word(it, "auto")) {
        int64_t left = it->index;
        for (int i = 0; i < l->n_devices; i++)
            if (matches(l, &l->devices[i], it) && left-- == 0) return &l->devices[i];
        return NULL;
    }
    /* The device that exactly `rank` others go before. */
    int64_t rank = it->index < 0 ? 0 : it->index;
    for (int i = 0; i < l->n_devices; i++) {
        const bm_device *d = &l->devices[i];
        if (!matches(l, d, it)) continue;
        int64_t before = 0;
        for (int j = 0; j < l->n_devices; j++) {
            const bm_device *o = &l->devices[j];
            if (matches(l, o, it) && (bm_device_faster(o, d) || (j < i && !bm_device_faster(d, o)))) before++;
        }
        if (before == rank) return d;
    }
    return NULL;
}

static bm_status take(const bm_device **out, int *n, int most, const bm_device *d)
{
    for (int i = 0; i < *n; i++)
        if (out[i] == d) return bm_fail(BM_ERR_USAGE, "device %s is named twice", d->short_name);
    if (*n == most) return bm_fail(BM_ERR_USAGE, "more than %d device%s asked for", most, most == 1 ? "" : "s");
    out[(*n)++] = d;
    return BM_OK;
}

static bm_status parse_count(int64_t *out, const char *spec, const char *text, size_t bytes, int64_t least)
{
    char digits[20] = "";
    if (bytes < sizeof digits) memcpy(digits, text, bytes);
    if (bytes >= sizeof digits || strspn(digits, "0123456789") != bytes || bm_parse_i64(out, digits) || *out < least)
        return bm_fail(BM_ERR_USAGE, "device \"%s\": \"%.*s\" is not a number of at least %d", spec, (int)bytes, text, (int)least);
    return BM_OK;
}

/* Parses the item at *at and moves past it. */
static bm_status parse_item(item *it, const char *spec, const char **at)
{
    const char *p = *at;
    size_t n = strcspn(p, "+:/");
    if (n == 0)
        return bm_fail(BM_ERR_USAGE,
                       "device \"%s\": a name is missing; write auto, cpu, gpu, fpga, all or part of a name, then \":N\" for "
                       "one of several, joined by \"+\"",
                       spec);
    if (n >= sizeof it->word) return bm_fail(BM_ERR_USAGE, "device \"%s\": a name is too long", spec);
    memcpy(it->word, p, n);
    it->word[n] = '\0';
    it->index = -1;
    it->parts = 0;
    p += n;
    if (*p == ':') {
        n = strcspn(++p, "+:/");
        BM_TRY(parse_count(&it->index, spec, p, n, 0));
        p += n;
    }
    if (*p == '/') {
        n = strcspn(++p, "+:/");
        BM_TRY(parse_count(&it->parts, spec, p, n, 1));
        p += n;
    }
    if (*p && *p != '+') return bm_fail(BM_ERR_USAGE, "device \"%s\": \"%s\" is not understood", spec, p);
    *at = p;
    return BM_OK;
}

/* Appends the devices that one item of a spec means. */
static bm_status take_item(const bm_device **out, int *n, int most, const bm_device_list *l, const item *it)
{
    if (is_word(it, "all") && it->index < 0) {
        if (l->n_devices == 0) return fail_no_match(l, it);
        for (int i = 0; i < l->n_devices; i++) BM_TRY(take(out, n, most, &l->devices[i]));
        return BM_OK;
    }
    const bm_device *d = pick(l, it);
    return d ? take(out, n, most, d) : fail_no_match(l, it);
}

bm_status bm_device_select(const bm_device **out, int *n, int most, const bm_device_list *l, const char *spec)
{
    bm_status status = BM_OK;
    int taken = 0;
    for (const char *p = spec;; p++) {
        item it;
        BM_GO(parse_item(&it, spec, &p));
        if (it.parts > 0)
            BM_GO(bm_fail(BM_ERR_UNSUPPORTED, "device \"%s\": parts of a device (\"/%d\") are not supported", spec,
                          (int)it.parts));
        BM_GO(take_item(out, &taken, most, l, &it));
        if (!*p) break;
    }
done:
    *n = status ? 0 : taken;
    return status;
}
