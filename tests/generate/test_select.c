/* Heaps against sorting. */
#include "generate/select.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 500 };

static uint32_t state = 1;
static uint32_t next(void) { return state = state * 1664525u + 1013904223u; }

static void fill(float *values, size_t n, bool ties)
{
    for (size_t i = 0; i < n; i++) {
        values[i] = ties ? (float)(next() >> 28) : (float)(next() >> 8) * 0x1p-20f - 8;
        if (next() >> 29 == 0) values[i] = -INFINITY;
    }
}

/* Best first, of equals the higher index. */
static int by_rank(const void *a, const void *b)
{
    const mica__candidate *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? 1 : -1;
    return y->id - x->id;
}

static void test_top(void **s)
{
    (void)s;
    static float values[N];
    static mica__candidate sorted[N], top[N];
    for (int round = 0; round < 40; round++) {
        size_t n = 1 + next() % N, want = next() % (n + 3), n_finite = 0;
        fill(values, n, round % 2);
        for (size_t i = 0; i < n; i++) {
            if (values[i] > -INFINITY) sorted[n_finite++] = (mica__candidate){values[i], (int32_t)i};
        }
        qsort(sorted, n_finite, sizeof *sorted, by_rank);
        size_t got = mica__select_top(values, n, top, want < N ? want : N);
        assert_int_equal(got, want < n_finite ? want : n_finite);
        for (size_t i = 0; i < got; i++) {
            assert_int_equal(top[i].id, sorted[i].id);
            assert_true(top[i].value == sorted[i].value);
        }
    }
}

/* The same set but for ties at its end, of which the lower indices come. */
static void test_first(void **s)
{
    (void)s;
    static const float values[] = {1, 3, -INFINITY, 3, 1, 3, 0, 1};
    mica__candidate out[8];
    assert_int_equal(mica__select_first(values, 8, out, 5), 5);
    static const int32_t expected[] = {1, 3, 5, 0, 4};
    for (size_t i = 0; i < 5; i++) assert_int_equal(out[i].id, expected[i]);
    assert_int_equal(mica__select_first(values, 8, out, 8), 7);
    assert_int_equal(mica__select_top(values, 8, out, 2), 2);
    assert_int_equal(out[0].id, 5);
}

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void test_kth(void **s)
{
    (void)s;
    static float values[N], sorted[N], heap[N];
    for (int round = 0; round < 40; round++) {
        size_t n = 1 + next() % N, k = 1 + next() % n;
        fill(values, n, round % 2);
        memcpy(sorted, values, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, descending);
        assert_true(mica__select_kth(values, n, k, heap) == sorted[k - 1]);
    }
    assert_true(mica__select_kth((float[]){3, 1, 2}, 3, 9, heap) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_top), cmocka_unit_test(test_first),
                                       cmocka_unit_test(test_kth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
