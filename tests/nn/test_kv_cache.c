/* Capacities of rings, and how far a sequence can be cut back. */
#include "nn/kv_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_allocator.h"

static void test_capacity(void **state)
{
    (void)state;
    assert_int_equal(mica__kv_capacity(0, 1000, 16), 1000);
    assert_int_equal(mica__kv_capacity(64, 1000, 16), 79);
    assert_int_equal(mica__kv_capacity(990, 1000, 16), 1000); /* never more than the context */
}

/* One full layer and one ring with window 8 for runs of 4: 11 positions, rounded up to 16. */
static mica_status make(mica__kv_cache *c)
{
    const int64_t windows[] = {0, 8};
    mica_cache_options options[2];
    for (int i = 0; i < 2; i++) {
        options[i] = (mica_cache_options){.n_kv_heads = 1, .head_dim = 4, .value_dim = 4, .dtype = MICA_DTYPE_F32};
        options[i].capacity = mica__kv_capacity(windows[i], 100, 4);
    }
    return mica__kv_cache_create(c, options, windows, 2, NULL);
}

static void test_cut(void **state)
{
    (void)state;
    mica__kv_cache c;
    assert_int_equal(make(&c), MICA_OK);
    mica__kv_cache_grew(&c, 16);
    for (int64_t n = 0; n <= 16; n++) assert_true(mica__kv_cache_can_cut(&c, n)); /* the ring holds 16 */
    mica__kv_cache_grew(&c, 25);                                                  /* positions 9 to 24 are left */
    assert_true(mica__kv_cache_can_cut(&c, 16));                                  /* sees 9 to 16 */
    assert_false(mica__kv_cache_can_cut(&c, 15));
    assert_false(mica__kv_cache_can_cut(&c, 0));
    mica__kv_cache_grew(&c, 17); /* cut to 16 and grown by one: what was overwritten stays lost */
    assert_false(mica__kv_cache_can_cut(&c, 15));
    mica__kv_cache_reset(&c);
    assert_true(mica__kv_cache_can_cut(&c, 0));
    assert_int_equal(mica__kv_cache_bytes(&c), 0); /* nothing was really written */
    mica__kv_cache_release(&c);
    mica__kv_cache_release(&c);
}

static float key_at(const mica_cache *c, int64_t p)
{
    float row[4];
    assert_true(mica_cache_get_row(c, false, 0, p % mica_cache_get_options(c)->capacity, row));
    return row[0];
}

static void set_key(mica_cache *c, int64_t p, float value)
{
    const float row[4] = {value};
    assert_true(mica_cache_set_row(c, false, 0, p % mica_cache_get_options(c)->capacity, row));
}

/* Copies bring what the other keeps, between rings of one size or of two. */
static void test_copy(void **state)
{
    (void)state;
    mica__kv_cache a, b;
    assert_int_equal(make(&a), MICA_OK);
    assert_int_equal(make(&b), MICA_OK);
    for (int64_t p = 0; p < 30; p++) {
        for (int i = 0; i < 2; i++) set_key(a.layers[i], p, (float)p);
    }
    mica__kv_cache_grew(&a, 30);
    assert_int_equal(mica__kv_cache_copy(&b, &a, 0, 30, NULL), MICA_OK);
    for (int64_t p = 0; p < 30; p++) {
        assert_true(key_at(b.layers[0], p) == (float)p);
        if (p >= 30 - 16) assert_true(key_at(b.layers[1], p) == (float)p);
    }
    assert_true(mica__kv_cache_can_cut(&b, 21)); /* sees 14 */
    assert_false(mica__kv_cache_can_cut(&b, 20));

    /* What is known to be equal is left alone, but not in a ring that has gone further. */
    set_key(b.layers[0], 5, -1);
    mica__kv_cache_grew(&b, 31);
    set_key(b.layers[1], 30, -1); /* where position 14 was */
    assert_int_equal(mica__kv_cache_copy(&b, &a, 30, 30, NULL), MICA_OK);
    assert_true(key_at(b.layers[0], 5) == -1);
    assert_true(key_at(b.layers[1], 14) == 14);

    mica_cache *larger, *other;
    const mica_cache_options options = {1, 4, 4, 17, MICA_DTYPE_F32, 0, 0}, wider = {1, 8, 4, 17, MICA_DTYPE_F32, 0, 0};
    assert_int_equal(mica_cache_create(&larger, &options, NULL), MICA_OK);
    assert_int_equal(mica_cache_create(&other, &wider, NULL), MICA_OK);
    assert_int_equal(mica_cache_copy(larger, a.layers[1], 0, 30, NULL), MICA_OK);
    for (int64_t p = 30 - 16; p < 30; p++) assert_true(key_at(larger, p) == (float)p);
    assert_int_equal(mica_cache_copy(other, larger, 0, 30, NULL), MICA_INVALID);
    assert_int_equal(mica_cache_copy(larger, a.layers[1], -1, 30, NULL), MICA_INVALID);
    mica_cache_free(larger);
    mica_cache_free(other);
    mica__kv_cache_release(&a);
    mica__kv_cache_release(&b);
}

static mica_status attempt(void *context)
{
    (void)context;
    mica__kv_cache c;
    MICA_TRY(make(&c));
    mica__kv_cache_release(&c);
    return MICA_OK;
}

static void test_no_memory(void **state)
{
    (void)state;
    failing_allocator_sweep(attempt, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
