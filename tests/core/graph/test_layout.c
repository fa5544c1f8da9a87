#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/graph/bank.h"
#include "tests/lib/fake.h"
#include "tests/lib/test.h"

static bm_limits limits_of(int64_t max_alloc, int64_t align)
{
    return (bm_limits){.max_alloc_bytes = max_alloc, .align_bytes = align};
}

static bm_graph *new_graph(void)
{
    bm_graph *g = NULL;
    test_ok(bm_graph_create(&g, NULL));
    return g;
}

static bm_layout *layout_of(bm_graph *g, int64_t max_alloc, int64_t align)
{
    bm_layout *l = NULL;
    bm_limits limits = limits_of(max_alloc, align);
    test_ok(bm_layout_create(&l, g, BM_PLACE_WEIGHT, &limits));
    return l;
}

START_TEST(groups_lie_side_by_side_in_order_of_declaration)
{
    bm_graph *g = new_graph();
    bm_graph_param(g, "w0", BM_F32, BM_SHAPE(3, 5), 0);  /* 60 bytes */
    bm_graph_param(g, "b0", BM_F32, BM_SHAPE(5), 1);     /* 20 */
    bm_graph_param(g, "w1", BM_F32, BM_SHAPE(4, 4), 0);  /* 64 */
    bm_graph_param(g, "b1", BM_F32, BM_SHAPE(17), 1);    /* 68 */
    bm_graph_param(g, "w0", BM_F32, BM_SHAPE(3, 5), 0);  /* tied */
    bm_graph_param(g, "h", BM_BF16, BM_SHAPE(3), 0);     /* 6 */
    bm_graph_input(g, "x", BM_F32, BM_SHAPE(9));
    bm_graph_cache(g, "k", BM_F32, BM_SHAPE(9));
    bm_layout *l = layout_of(g, 1 << 20, 4);
    static const struct {
        const char *name;
        int slab;
        int64_t offset, bytes;
    } want[] = {{"w0", 0, 0, 60}, {"w1", 0, 64, 64}, {"h", 0, 128, 6}, {"b0", 1, 0, 20}, {"b1", 1, 64, 68}};
    ck_assert_int_eq(bm_layout_count(l), 5);
    for (int i = 0; i < 5; i++) {
        const bm_tensor *t = bm_layout_at(l, i);
        ck_assert_str_eq(t->name, want[i].name);
        ck_assert_int_eq(t->slab, want[i].slab);
        ck_assert_int_eq(t->offset, want[i].offset);
        ck_assert_int_eq(t->bytes, want[i].bytes);
        ck_assert_int_eq(t->group, want[i].slab);
        ck_assert_ptr_eq(bm_layout_find(l, want[i].name), t);
    }
    ck_assert_ptr_null(bm_layout_find(l, "w2"));
    ck_assert_ptr_null(bm_layout_find(l, "x"));
    ck_assert_int_eq(bm_layout_slabs(l), 2);
    ck_assert_int_eq(bm_layout_slab_group(l, 1), 1);
    ck_assert_int_eq(bm_layout_slab_bytes(l, 0), 192);
    ck_assert_int_eq(bm_layout_slab_bytes(l, 1), 64 + 128);
    ck_assert_int_eq(bm_layout_bytes(l), 384);
    ck_assert_int_eq(bm_layout_elements(l), 15 + 16 + 3 + 5 + 17);
    bm_graph_destroy(g); /* the layout has names of its own */
    ck_assert_str_eq(bm_layout_at(l, 4)->name, "b1");
    bm_layout_destroy(l);
}
END_TEST

START_TEST(a_group_that_is_missing_takes_nothing)
{
    bm_graph *g = new_graph();
    bm_graph_param(g, "a", BM_F32, BM_SHAPE(1), 5);
    bm_graph_param(g, "b", BM_F32, BM_SHAPE(1), 2);
    bm_layout *l = layout_of(g, 1 << 20, 64);
    ck_assert_int_eq(bm_layout_slabs(l), 2);
    ck_assert_int_eq(bm_layout_slab_group(l, 0), 2);
    ck_assert_int_eq(bm_layout_slab_group(l, 1), 5);
    bm_layout_destroy(l);
    bm_graph_destroy(g);

    g = new_graph();
    l = layout_of(g, 1 << 20, 64);
    ck_assert_int_eq(bm_layout_slabs(l) + bm_layout_count(l), 0);
    ck_assert_int_eq(bm_layout_bytes(l), 0);
    bm_layout_destroy(l);
    bm_layout_destroy(NULL);
    bm_graph_destroy(g);
}
END_TEST

START_TEST(random_layouts_respect_slabs_and_alignment)
{
    static const int64_t aligns[] = {1, 64, 128, 4096};
    for (uint64_t seed = 0; seed < 200; seed++) {
        bm_rng r = bm_rng_start(seed, 1, 1);
        int64_t align = aligns[seed % 4], most = 16384 + (int64_t)(bm_rng_u32(&r) % 10000);
        int64_t step = 2 * align > BM_TENSOR_ALIGN ? 2 * align : BM_TENSOR_ALIGN, tight = 0;
        bm_graph *g = new_graph();
        int n = 1 + (int)(bm_rng_u32(&r) % 40);
        for (int i = 0; i < n; i++) {
            char name[16];
            snprintf(name, sizeof name, "p%d", i);
            int64_t size = (int64_t)(bm_rng_u32(&r) % 3000);
            bm_graph_param(g, name, BM_F32, BM_SHAPE(size), (int)(bm_rng_u32(&r) % 3));
            tight += (size * 4 + step - 1) / step * step + (size ? 0 : step);
        }
        bm_layout *l = layout_of(g, most, align);
        ck_assert_int_eq(bm_layout_count(l), n);
        ck_assert_int_eq(bm_layout_bytes(l), tight); /* padding between tensors, none at ends of slabs */
        for (int i = 0; i < bm_layout_slabs(l); i++) {
            ck_assert_int_le(bm_layout_slab_bytes(l, i), most);
            ck_assert(i == 0 || bm_layout_slab_group(l, i) >= bm_layout_slab_group(l, i - 1));
        }
        int64_t end = 0;
        for (int i = 0; i < n; i++) {
            const bm_tensor *t = bm_layout_at(l, i), *before = i ? bm_layout_at(l, i - 1) : NULL;
            ck_assert_int_eq(t->offset % step, 0);
            ck_assert_int_eq(t->group, bm_layout_slab_group(l, t->slab));
            ck_assert(t->offset + t->bytes <= bm_layout_slab_bytes(l, t->slab));
            if (before && before->slab == t->slab) ck_assert(t->offset >= end && t->offset - end < step + 1);
            else ck_assert_int_eq(t->offset, 0);
            end = t->offset + (t->bytes > 0 ? t->bytes : 1);
        }
        bm_layout_destroy(l);
        bm_graph_destroy(g);
    }
}
END_TEST

START_TEST(a_parameter_that_does_not_fit_is_named)
{
    static const int64_t sizes[] = {(1 << 18) + 1, INT64_MAX / 4};
    for (int i = 0; i < 2; i++) {
        bm_graph *g = new_graph();
        bm_graph_param(g, "token/weight", BM_F32, BM_SHAPE(sizes[i]), 0);
        bm_layout *l = (bm_layout *)g;
        bm_limits limits = limits_of(1 << 20, 64);
        test_fails(bm_layout_create(&l, g, BM_PLACE_WEIGHT, &limits), BM_ERR_DEVICE_MEMORY,
                   "the parameter token/weight needs");
        ck_assert_ptr_null(l);
        test_text_holds(bm_last_error()->text, "memory");
        bm_graph_destroy(g);
    }
}
END_TEST

static bm_status build_layout(void *graph)
{
    bm_layout *l = NULL;
    bm_limits limits = limits_of(1 << 20, 64);
    bm_status s = bm_layout_create(&l, graph, BM_PLACE_WEIGHT, &limits);
    ck_assert(!s == (l != NULL));
    bm_layout_destroy(l);
    return s;
}

START_TEST(every_failing_allocation_is_told)
{
    bm_graph *g = new_graph();
    bm_graph_param(g, "a", BM_F32, BM_SHAPE(7), 0);
    bm_graph_param(g, "b", BM_F32, BM_SHAPE(7), 1);
    test_fail_allocations(build_layout, g);
    bm_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core/graph/layout");
    TCase *t = tcase_create("layout");
    tcase_add_test(t, groups_lie_side_by_side_in_order_of_declaration);
    tcase_add_test(t, a_group_that_is_missing_takes_nothing);
    tcase_add_test(t, random_layouts_respect_slabs_and_alignment);
    tcase_add_test(t, a_parameter_that_does_not_fit_is_named);
    tcase_add_test(t, every_failing_allocation_is_told);
    suite_add_tcase(s, t);
    return test_run(s);
}
