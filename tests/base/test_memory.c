/* Checked arithmetic, the replaceable allocator, pages, arenas; and the failing allocator that the other tests use. */
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_allocator.h"

static void test_checked_arithmetic(void **state)
{
    (void)state;
    size_t r;
    assert_true(mica__add(SIZE_MAX - 1, 1, &r));
    assert_true(r == SIZE_MAX);
    assert_false(mica__add(SIZE_MAX, 1, &r));
    assert_true(mica__mul(SIZE_MAX / 2, 2, &r));
    assert_true(r == SIZE_MAX - 1);
    assert_false(mica__mul(SIZE_MAX / 2 + 1, 2, &r));
    assert_true(mica__mul(0, SIZE_MAX, &r));
    assert_true(r == 0);
}

static void test_heap(void **state)
{
    (void)state;
    failing_allocator a;
    failing_allocator_begin(&a, 0, false);
    assert_null(mica__alloc(SIZE_MAX / 4, 8)); /* the product wraps: the allocator is not even asked */
    assert_null(mica__calloc(SIZE_MAX / 4, 8));
    assert_int_equal(a.n_calls, 0);
    assert_null(mica__alloc(SIZE_MAX, 1));
    assert_null(mica__strndup("x", SIZE_MAX));

    unsigned char *zeros = mica__calloc(100, 3);
    for (int i = 0; i < 300; i++) assert_int_equal(zeros[i], 0);
    mica__free(zeros);

    void *one = mica__alloc(0, 8), *two = mica__alloc(8, 0);
    assert_non_null(one);
    assert_non_null(two);
    assert_ptr_not_equal(one, two);
    mica__free(one);
    mica__free(two);
    mica__free(NULL);

    char *s = mica__strndup("abc\0def", 7);
    assert_memory_equal(s, "abc\0def", 8);
    s = mica__realloc(s, 100, 1);
    assert_memory_equal(s, "abc\0def", 8);
    assert_null(mica__realloc(s, SIZE_MAX, 2));
    assert_memory_equal(s, "abc\0def", 8); /* still valid */
    mica__free(s);
    s = mica__strndup(NULL, 0);
    assert_string_equal(s, "");
    mica__free(s);
    assert_int_equal(failing_allocator_end(&a), 0);
}

static void test_pages(void **state)
{
    (void)state;
    size_t n = (size_t)sysconf(_SC_PAGESIZE) * 3;
    unsigned char *p = mica__pages_alloc(n);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % (size_t)sysconf(_SC_PAGESIZE), 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
    memset(p, 1, n);
    mica__pages_free(p, n);
    p = mica__pages_alloc(0);
    assert_non_null(p);
    mica__pages_free(p, 0);
    mica__pages_free(NULL, 10);
    assert_null(mica__pages_alloc(SIZE_MAX / 2));
    assert_null(mica__pages_alloc(SIZE_MAX));
}

static void test_arena(void **state)
{
    (void)state;
    failing_allocator f;
    failing_allocator_begin(&f, 0, false);
    mica__arena a = {0};
    mica__arena_release(&a); /* empty: fine */
    unsigned char *blocks[300];
    for (size_t i = 0; i < 300; i++) {
        blocks[i] = mica__arena_alloc(&a, i * 7, 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)(i & 255), i * 7);
    }
    for (size_t i = 0; i < 300; i++) /* nobody wrote over a neighbour */
        for (size_t j = 0; j < i * 7; j++) assert_int_equal(blocks[i][j], i & 255);
    assert_true(f.n_calls < 12); /* blocks double: not one call per allocation */

    unsigned char *zeros = mica__arena_calloc(&a, 50, 4);
    for (int i = 0; i < 200; i++) assert_int_equal(zeros[i], 0);
    assert_memory_equal(mica__arena_strndup(&a, "a\0b", 3), "a\0b", 4);
    assert_string_equal(mica__arena_strndup(&a, NULL, 0), "");
    assert_non_null(mica__arena_alloc(&a, 5 << 20, 1)); /* larger than the largest block */

    size_t used = a.used_bytes;
    assert_null(mica__arena_alloc(&a, SIZE_MAX, 1));
    assert_null(mica__arena_alloc(&a, SIZE_MAX - 8, 1));
    assert_null(mica__arena_alloc(&a, SIZE_MAX / 2, 3));
    assert_null(mica__arena_calloc(&a, SIZE_MAX / 2, 3));
    assert_null(mica__arena_strndup(&a, "", SIZE_MAX));
    assert_int_equal(a.used_bytes, used);
    mica__arena_release(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_int_equal(failing_allocator_end(&f), 0);
}

static void test_arena_limit(void **state)
{
    (void)state;
    mica__arena a = {.max_bytes = 64};
    assert_non_null(mica__arena_alloc(&a, 33, 1)); /* counts as 48 */
    assert_null(mica__arena_alloc(&a, 17, 1));
    assert_non_null(mica__arena_alloc(&a, 16, 1));
    assert_int_equal(a.used_bytes, 64);
    assert_null(mica__arena_alloc(&a, 1, 1));
    mica__arena_release(&a);
    assert_int_equal(a.max_bytes, 64); /* the limit outlives the contents */
    assert_non_null(mica__arena_alloc(&a, 64, 1));
    mica__arena_release(&a);
}

static mica_status fill_arena(void *context)
{
    (void)context;
    mica__arena a = {0};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < 200 && status == MICA_OK; i++)
        if (!mica__arena_alloc(&a, 1000, 1)) status = MICA_MEMORY;
    if (status != MICA_OK && a.used_bytes % 1008 != 0) status = MICA_INTERNAL; /* a failure takes nothing */
    mica__arena_release(&a);
    return status;
}

static void test_arena_without_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(fill_arena, NULL) >= 5);
}

static void test_failing_allocator(void **state)
{
    (void)state;
    failing_allocator a;
    failing_allocator_begin(&a, 2, false);
    char *first = mica__alloc(10, 1);
    assert_non_null(first);
    assert_null(mica__alloc(20, 1));
    assert_non_null(mica__alloc(30, 1)); /* leaked */
    assert_int_equal(a.live_bytes, 40);
    mica__free(first);
    assert_int_equal(a.live_bytes, 30);
    assert_int_equal(a.peak_bytes, 40);
    assert_int_equal(a.n_calls, 3);
    assert_int_equal(a.n_failed, 1);
    assert_int_equal(failing_allocator_end(&a), 1);

    failing_allocator_begin(&a, 2, true);
    first = mica__alloc(10, 1);
    memset(first, 7, 10);
    assert_null(mica__alloc(1, 1));
    assert_null(mica__realloc(first, 20, 1));
    assert_int_equal(first[9], 7);
    mica__free(first);
    assert_int_equal(a.n_failed, 2);
    assert_int_equal(failing_allocator_end(&a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked_arithmetic),
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_limit),
        cmocka_unit_test(test_arena_without_memory),
        cmocka_unit_test(test_failing_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
