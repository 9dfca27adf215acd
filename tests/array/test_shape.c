/* Views and copies compute what index arithmetic says: chains of reshape, transpose, slice, broadcast; concatenate; take. */
#include "array/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static mica_graph *g;

static int set_up(void **state)
{
    (void)state;
    mica_error err;
    return mica_graph_create(&g, NULL, &err);
}

static int tear_down(void **state)
{
    (void)state;
    mica_graph_free(g);
    return 0;
}

/* [2, 3, 4] holding 0 .. 23 */
static mica_array *counting(void)
{
    return mica_reshape(g, mica_arange(g, 0, 24, 1, MICA_DTYPE_F32), (int64_t[]){2, 3, 4}, 3);
}

static const float *values(mica_array *a)
{
    mica_error err;
    a = mica_contiguous(g, a);
    if (mica_eval(g, &a, 1, &err) != MICA_OK) fail_msg("%s", err.message);
    return mica_array_data(a);
}

static void assert_values(mica_array *a, const float *want, int n)
{
    assert_non_null(a);
    assert_int_equal(mica_array_size(a), n);
    const float *got = values(a);
    for (int i = 0; i < n; i++)
        if (got[i] != want[i]) fail_msg("element %d: %g, expected %g", i, (double)got[i], (double)want[i]);
}

static void test_views(void **state)
{
    (void)state;
    mica_array *x = counting();
    float want[24];
    for (int i = 0; i < 24; i++) want[i] = (float)(i % 2 * 12 + i / 2 % 3 * 4 + i / 6); /* transposed: [4, 3, 2] */
    assert_values(mica_transpose(g, x, NULL), want, 24);
    assert_values(mica_reshape(g, mica_transpose(g, x, NULL), (int64_t[]){3, 8}, 2), want, 24);
    /* rows 1..2, every second column, of the middle axis moved first */
    mica_array *y = mica_slice(g, mica_slice(g, mica_transpose(g, x, (int[]){1, 0, 2}), 0, 1, 3, 1), 2, 1, 4, 2);
    assert_values(y, (float[]){5, 7, 17, 19, 9, 11, 21, 23}, 8);
    assert_values(mica_add(g, y, mica_scalar(g, 1)), (float[]){6, 8, 18, 20, 10, 12, 22, 24}, 8);
    mica_array *wide = mica_broadcast_to(g, mica_slice(g, x, 2, 0, 1, 1), (int64_t[]){2, 3, 2}, 3);
    assert_values(wide, (float[]){0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20}, 12);
    assert_values(mica_reshape(g, wide, (int64_t[]){-1}, 1), (float[]){0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20}, 12);
}

static void test_concatenate(void **state)
{
    (void)state;
    mica_array *x = counting(), *a = mica_slice(g, x, 2, 0, 1, 1), *b = mica_slice(g, x, 2, 2, 4, 1);
    float want[18];
    for (int i = 0; i < 6; i++) {
        want[3 * i] = (float)(4 * i);
        want[3 * i + 1] = (float)(4 * i + 2);
        want[3 * i + 2] = (float)(4 * i + 3);
    }
    assert_values(mica_concatenate(g, (mica_array *[]){a, b}, 2, -1), want, 18);
    float both[48];
    for (int i = 0; i < 48; i++) both[i] = (float)(i % 24);
    assert_values(mica_concatenate(g, (mica_array *[]){x, x}, 2, 0), both, 48);
    mica_array *half = mica_astype(g, a, MICA_DTYPE_BF16);
    assert_int_equal(mica_array_dtype(mica_concatenate(g, (mica_array *[]){half, b}, 2, 2)), MICA_DTYPE_F32);
}

static void test_take(void **state)
{
    (void)state;
    mica_array *x = counting();
    mica_array *i =
        mica_from_data(g, (int32_t[]){2, 0, -5, 99}, MICA_DTYPE_I32, (int64_t[]){2, 2}, 2); /* clamped to 2, 0, 0, 2 */
    mica_array *taken = mica_take(g, x, i, 1);
    assert_int_equal(mica_array_ndim(taken), 4);
    float want[32];
    static const int rows[] = {2, 0, 0, 2};
    for (int k = 0; k < 32; k++) want[k] = (float)(k / 16 * 12 + rows[k / 4 % 4] * 4 + k % 4);
    assert_values(taken, want, 32);
    mica_array *m = mica_reshape(g, x, (int64_t[]){4, 6}, 2);
    mica_array *down = mica_from_data(g, (int64_t[]){3, 2, 1, 0, 1, 2}, MICA_DTYPE_I64, (int64_t[]){1, 6}, 2);
    assert_values(mica_take_along_axis(g, m, down, 0), (float[]){18, 13, 8, 3, 10, 17}, 6);
}

static void test_reductions_along_any_axis(void **state)
{
    (void)state;
    mica_array *x = counting();
    assert_values(mica_sum(g, x, 0, false), (float[]){12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34}, 12);
    assert_values(mica_max(g, x, 1, true), (float[]){8, 9, 10, 11, 20, 21, 22, 23}, 8);
    assert_values(mica_mean(g, x, -1, false), (float[]){1.5f, 5.5f, 9.5f, 13.5f, 17.5f, 21.5f}, 6);
    mica_array *y = mica_negative(g, mica_slice(g, x, 0, 0, 1, 1)); /* [1, 3, 4]: 0, -1 .. -11 */
    assert_values(mica_sort(g, y, 1), (float[]){-8, -9, -10, -11, -4, -5, -6, -7, 0, -1, -2, -3}, 12);
    assert_values(mica_astype(g, mica_argsort(g, y, 1), MICA_DTYPE_F32), (float[]){2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0},
                  12);
    assert_values(mica_cumsum(g, y, 1), (float[]){0, -1, -2, -3, -4, -6, -8, -10, -12, -15, -18, -21}, 12);
    assert_values(mica_astype(g, mica_argmax(g, x, 2, false), MICA_DTYPE_F32), (float[]){3, 3, 3, 3, 3, 3}, 6);
    mica_array *flat = mica_softmax(g, mica_multiply(g, x, mica_scalar(g, 0)), 1);
    const float *p = values(flat);
    for (int i = 0; i < 24; i++) assert_float_equal(p[i], 1.0f / 3, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_views, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_concatenate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_take, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reductions_along_any_axis, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
