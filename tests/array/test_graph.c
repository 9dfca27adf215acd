/* Building: shapes and dtypes of results, latched errors, views, life times. */
#include "array/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static mica_graph *new_graph(void)
{
    mica_graph *g = NULL;
    mica_error err;
    if (mica_graph_create(&g, NULL, &err) != MICA_OK) fail_msg("%s", err.message);
    return g;
}

static mica_array *zeros(mica_graph *g, mica_dtype dtype, int64_t a, int64_t b)
{
    return mica_full(g, (int64_t[]){a, b}, 2, 0, dtype);
}

static void assert_shape(const mica_array *a, int ndim, int64_t d0, int64_t d1, int64_t d2)
{
    const int64_t want[] = {d0, d1, d2};
    assert_non_null(a);
    assert_int_equal(mica_array_ndim(a), ndim);
    for (int i = 0; i < ndim; i++) assert_int_equal(mica_array_shape(a)[i], want[i]);
}

static void test_shapes(void **state)
{
    (void)state;
    mica_graph *g = new_graph();
    mica_array *x = zeros(g, MICA_DTYPE_F32, 4, 6);
    assert_shape(mica_add(g, x, mica_scalar(g, 1)), 2, 4, 6, 0);
    assert_shape(mica_add(g, mica_full(g, (int64_t[]){3, 1, 6}, 3, 0, MICA_DTYPE_F32), x), 3, 3, 4, 6);
    assert_shape(mica_reshape(g, x, (int64_t[]){2, -1, 3}, 3), 3, 2, 4, 3);
    assert_shape(mica_transpose(g, x, NULL), 2, 6, 4, 0);
    assert_shape(mica_slice(g, x, 1, 1, -1, 2), 2, 4, 2, 0);
    assert_shape(mica_sum(g, x, 0, false), 1, 6, 0, 0);
    assert_shape(mica_sum(g, x, -1, true), 2, 4, 1, 0);
    assert_shape(mica_softmax(g, x, 0), 2, 4, 6, 0);
    assert_shape(mica_concatenate(g, (mica_array *[]){x, x, x}, 3, 1), 2, 4, 18, 0);
    assert_shape(mica_matmul(g, x, mica_transpose(g, x, NULL)), 2, 4, 4, 0);
    assert_shape(mica_linear(g, mica_reshape(g, x, (int64_t[]){2, 2, 6}, 3), zeros(g, MICA_DTYPE_BF16, 5, 6), NULL), 3,
                 2, 2, 5);
    assert_shape(mica_take(g, x, mica_arange(g, 0, 3, 1, MICA_DTYPE_I32), 1), 2, 4, 3, 0);
    assert_shape(mica_arange(g, 5, 0, -2, MICA_DTYPE_I64), 1, 3, 0, 0);
    assert_shape(mica_broadcast_to(g, mica_sum(g, x, 0, true), (int64_t[]){2, 9, 6}, 3), 3, 2, 9, 6);
    assert_int_equal(mica_graph_status(g, NULL), MICA_OK);
    mica_graph_free(g);
}

static void test_dtypes(void **state)
{
    (void)state;
    static const struct {
        mica_dtype a, b, want;
    } rows[] = {
        {MICA_DTYPE_F32, MICA_DTYPE_BF16, MICA_DTYPE_F32},   {MICA_DTYPE_F16, MICA_DTYPE_BF16, MICA_DTYPE_F32},
        {MICA_DTYPE_BF16, MICA_DTYPE_BF16, MICA_DTYPE_BF16}, {MICA_DTYPE_I64, MICA_DTYPE_F16, MICA_DTYPE_F16},
        {MICA_DTYPE_I8, MICA_DTYPE_U8, MICA_DTYPE_I16},      {MICA_DTYPE_I32, MICA_DTYPE_U8, MICA_DTYPE_I32},
        {MICA_DTYPE_U64, MICA_DTYPE_I8, MICA_DTYPE_I64},     {MICA_DTYPE_BOOL, MICA_DTYPE_BOOL, MICA_DTYPE_I32},
        {MICA_DTYPE_BOOL, MICA_DTYPE_U8, MICA_DTYPE_U8},     {MICA_DTYPE_F64, MICA_DTYPE_F32, MICA_DTYPE_F64},
    };
    mica_graph *g = new_graph();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mica_array *a = zeros(g, rows[i].a, 1, 2), *b = zeros(g, rows[i].b, 1, 2);
        assert_int_equal(mica_array_dtype(mica_add(g, a, b)), rows[i].want);
        assert_int_equal(mica_array_dtype(mica_add(g, b, a)), rows[i].want);
        assert_int_equal(mica_array_dtype(mica_less(g, a, b)), MICA_DTYPE_BOOL);
    }
    mica_array *ints = zeros(g, MICA_DTYPE_I32, 1, 2);
    assert_int_equal(mica_array_dtype(mica_exp(g, ints)), MICA_DTYPE_F32);
    assert_int_equal(mica_array_dtype(mica_negative(g, ints)), MICA_DTYPE_I32);
    assert_int_equal(mica_array_dtype(mica_divide(g, ints, ints)), MICA_DTYPE_F32);
    assert_int_equal(mica_array_dtype(mica_argmax(g, ints, 0, false)), MICA_DTYPE_I32);
    assert_int_equal(mica_array_dtype(mica_mean(g, ints, 0, false)), MICA_DTYPE_F32);
    mica_graph_free(g);
}

/* Each of these latches; the message names the operation. */
static void test_latched_errors(void **state)
{
    (void)state;
    enum { N = 14 };
    for (int i = 0; i < N; i++) {
        mica_graph *g = new_graph();
        mica_error err;
        mica_array *x = zeros(g, MICA_DTYPE_F32, 4, 6), *bad = x;
        const char *word = "";
        switch (i) {
        case 0:
            bad = mica_add(g, x, zeros(g, MICA_DTYPE_F32, 4, 5));
            word = "add";
            break;
        case 1:
            bad = mica_reshape(g, x, (int64_t[]){5, 5}, 2);
            word = "reshape";
            break;
        case 2:
            bad = mica_reshape(g, x, (int64_t[]){-1, -1}, 2);
            word = "reshape";
            break;
        case 3:
            bad = mica_transpose(g, x, (int[]){0, 0});
            word = "transpose";
            break;
        case 4:
            bad = mica_sum(g, x, 2, false);
            word = "sum";
            break;
        case 5:
            bad = mica_slice(g, x, 0, 3, 2, 1);
            word = "slice";
            break;
        case 6:
            bad = mica_matmul(g, x, x);
            word = "matmul";
            break;
        case 7:
            bad = mica_take(g, x, x, 0);
            word = "indices";
            break;
        case 8:
            bad = mica_full(g, (int64_t[]){INT64_MAX, 8}, 2, 0, MICA_DTYPE_F32);
            word = "too large";
            break;
        case 9:
            bad = mica_full(g, (int64_t[]){-1}, 1, 0, MICA_DTYPE_F32);
            word = "negative";
            break;
        case 10:
            bad = mica_exp(g, NULL);
            word = "exp";
            break;
        case 11:
            bad = mica_linear(g, x, zeros(g, MICA_DTYPE_F32, 3, 5), NULL);
            word = "linear";
            break;
        case 12:
            bad = mica_arange(g, 0, 1, 0, MICA_DTYPE_F32);
            word = "arange";
            break;
        case 13:
            bad = mica_max(g, zeros(g, MICA_DTYPE_F32, 3, 0), 1, false);
            word = "max";
            break;
        }
        assert_null(bad);
        assert_null(mica_add(g, x, x)); /* later operations pass it on */
        assert_int_equal(mica_graph_status(g, &err), MICA_INVALID);
        if (!strstr(err.message, word)) fail_msg("case %d: '%s' does not say '%s'", i, err.message, word);
        assert_int_equal(mica_eval(g, &x, 1, &err), MICA_INVALID);
        mica_graph_clear_error(g); /* x was built before the error */
        assert_int_equal(mica_graph_status(g, &err), MICA_OK);
        assert_int_equal(mica_eval(g, &x, 1, &err), MICA_OK);
        mica_graph_free(g);
    }
}

static void test_rows_stay_outermost(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        mica_graph *g = new_graph();
        mica_error err;
        mica_array *x = mica_input(g, 0, MICA_DTYPE_F32, (int64_t[]){8, 6}, 2, true);
        mica_array *heads = mica_reshape(g, x, (int64_t[]){8, 3, 2}, 3),
                   *flat = mica_reshape(g, heads, (int64_t[]){24, 2}, 2);
        assert_int_equal(flat->rows_factor, 3);
        assert_int_equal(mica_reshape(g, flat, (int64_t[]){8, 6}, 2)->rows_factor, 1);
        assert_int_equal(mica_add(g, x, mica_scalar(g, 1))->rows_factor, 1);
        assert_int_equal(mica_sum(g, x, 1, false)->rows_factor, 1);
        mica_array *bad = x;
        switch (i) {
        case 0:
            bad = mica_transpose(g, x, NULL);
            break;
        case 1:
            bad = mica_sum(g, x, 0, false);
            break;
        case 2:
            bad = mica_slice(g, x, 0, 0, 4, 1);
            break;
        case 3:
            bad = mica_concatenate(g, (mica_array *[]){x, x}, 2, 0);
            break;
        case 4:
            bad = mica_reshape(g, x, (int64_t[]){6, 8}, 2);
            break;
        }
        assert_null(bad);
        assert_int_equal(mica_graph_status(g, &err), MICA_INVALID);
        mica_graph_free(g);
    }
}

static int n_released;
static void count_release(void *context)
{
    (void)context;
    n_released++;
}

static void test_lifetimes(void **state)
{
    (void)state;
    float data[6] = {1, 2, 3, 4, 5, 6};
    mica_graph *g = new_graph();
    n_released = 0;
    mica_array *x = mica_from_memory(g, data, MICA_DTYPE_F32, (int64_t[]){2, 3}, 2, count_release, NULL);
    mica_array *view = mica_array_retain(mica_transpose(g, x, NULL));
    assert_ptr_equal(mica_array_data(x), data);
    assert_ptr_equal(mica_array_data(mica_slice(g, view, 0, 1, 3, 1)), data + 1);
    mica_graph_free(g);
    assert_int_equal(n_released, 0); /* the view keeps the memory */
    assert_int_equal(mica_array_strides(view)[0], 1);
    assert_int_equal(((const float *)mica_array_data(view))[3], 4);
    mica_array_drop(view);
    assert_int_equal(n_released, 1);
}

/* A chain far deeper than any stack: built, abandoned, freed. */
static void test_long_chain(void **state)
{
    (void)state;
    mica_graph *g = new_graph();
    mica_array *x = mica_scalar(g, 0);
    for (int i = 0; i < 200000; i++) x = mica_negative(g, x);
    assert_non_null(x);
    mica_graph_free(g);
}

static void test_quantized(void **state)
{
    (void)state;
    mica_error err;
    for (int i = 0; i < 4; i++) {
        mica_graph *g = new_graph();
        uint32_t codes[2 * 8] = {0};
        float scales[2 * 2] = {0};
        mica_array *c = mica_from_data(g, codes, MICA_DTYPE_U32, (int64_t[]){2, 8}, 2);
        mica_array *s = mica_from_data(g, scales, MICA_DTYPE_F32, (int64_t[]){2, 2}, 2);
        if (i == 0) {
            mica_array *w = mica_quantized(g, c, s, s, 32, 4);
            assert_shape(w, 2, 2, 64, 0);
            assert_true(mica_array_is_quantized(w));
            assert_shape(mica_dequantize(g, w), 2, 2, 64, 0);
            assert_shape(mica_linear(g, zeros(g, MICA_DTYPE_F32, 3, 64), w, NULL), 2, 3, 2, 0);
            assert_true(mica_array_is_quantized(mica_quantized(g, c, s, NULL, 32, 4))); /* symmetric */
            assert_null(mica_add(g, w, w));
        } else if (i == 1) {
            assert_null(mica_quantized(g, c, s, s, 32, 7));
        } else if (i == 2) {
            assert_null(mica_quantized(g, c, s, s, 64, 4));
        } else {
            assert_null(mica_quantized(g, s, s, s, 32, 4));
        }
        assert_int_equal(mica_graph_status(g, &err), MICA_INVALID);
        mica_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),         cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_latched_errors), cmocka_unit_test(test_rows_stay_outermost),
        cmocka_unit_test(test_lifetimes),      cmocka_unit_test(test_long_chain),
        cmocka_unit_test(test_quantized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
