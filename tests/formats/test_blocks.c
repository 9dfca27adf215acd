/* Tensors as numbers: every readable type against what the Python package gguf makes of the same bytes (tests/oracle/make_gguf_blocks.py),
 * the affine form against that, rows in another order, and scales that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats_test.h"

#include <math.h>

enum { MOST = 1024 }; /* elements of a tensor here */

typedef struct fixture {
    mica__mapping blocks, numbers;
    mica__gguf gguf;
    mica__safetensors expected;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    mica_error err;
    const char *folder = MICA_TEST_DATA "/formats";
    char *a = mica__path_join(folder, "blocks.gguf"), *b = mica__path_join(folder, "blocks.safetensors");
    *state = f;
    return mica__mapping_open(&f->blocks, a, &err) || mica__mapping_open(&f->numbers, b, &err) ||
           mica__gguf_parse(&f->gguf, f->blocks.data, f->blocks.n, "blocks.gguf", &err) ||
           mica__safetensors_parse(&f->expected, f->numbers.data, f->numbers.n, "blocks.safetensors", &err) ||
           (mica__free(a), mica__free(b), 0);
}

static int teardown(void **state)
{
    fixture *f = *state;
    mica__gguf_release(&f->gguf);
    mica__safetensors_release(&f->expected);
    mica__mapping_release(&f->blocks);
    mica__mapping_release(&f->numbers);
    free(f);
    return 0;
}

static void expected_values(const fixture *f, mica__str name, float *out, size_t *n)
{
    for (size_t i = 0; i < f->expected.n_tensors; i++) {
        const mica__tensor_view *v = &f->expected.tensors[i];
        if (!mica__str_eq(v->name, name)) continue;
        memcpy(out, v->data, v->n_bytes);
        *n = v->n_bytes / sizeof *out;
        return;
    }
    fail_msg("no expected values");
}

static void to_float(void **state)
{
    fixture *f = *state;
    float expected[MOST], found[MOST];
    mica_error err;
    assert_int_equal(f->gguf.n_tensors, 13);
    for (size_t i = 0; i < f->gguf.n_tensors; i++) {
        const mica__tensor_view *v = &f->gguf.tensors[i];
        size_t n;
        expected_values(f, v->name, expected, &n);
        assert_int_equal(v->shape[0] * v->shape[1], n);
        assert_string_equal(v->type_name, MICA_QUOTED_STR(v->name));
        assert_int_equal(mica__tensor_read_f32(v, found, &err), MICA_OK);
        for (size_t k = 0; k < n; k++)
            if (found[k] != expected[k])
                fail_msg("%s[%zu]: %g, expected %g", v->type_name, k, (double)found[k], (double)expected[k]);
        mica__tensor_view plus = *v;
        plus.add = -1;
        assert_int_equal(mica__tensor_read_f32(&plus, found, &err), MICA_OK);
        for (size_t k = 0; k < n; k++) assert_true(found[k] == expected[k] - 1);
    }
}

static float half(uint16_t h)
{
    float value = ldexpf((float)(h & 0x3ff) + ((h & 0x7c00) ? 1024 : 0), ((h >> 10 & 31) ? (h >> 10 & 31) : 1) - 25);
    return h & 0x8000 ? -value : value;
}

/* Element i of a row as its affine form says. */
static float affine_value(const uint32_t *codes, const uint16_t *scales, const uint16_t *biases, int bits, size_t i)
{
    uint32_t code = 0;
    for (int b = 0; b < bits; b++) {
        size_t at = i * (size_t)bits + (size_t)b;
        code |= (codes[at / 32] >> at % 32 & 1) << b;
    }
    return half(scales[i / 32]) * (float)code + half(biases[i / 32]);
}

static void to_affine(void **state)
{
    fixture *f = *state;
    static const int bits_of[] = {4, 4, 5, 5, 8};
    float expected[MOST];
    uint32_t codes[MOST / 4];
    uint16_t scales[MOST / 32], biases[MOST / 32];
    mica_error err;
    int n_affine = 0;
    for (size_t i = 0; i < f->gguf.n_tensors; i++) {
        const mica__tensor_view *v = &f->gguf.tensors[i];
        int bits = 0, group = 0;
        if (!mica__tensor_affine_form(v, &bits, &group)) {
            assert_int_equal(v->storage, MICA__STORAGE_PLAIN);
            assert_int_equal(mica__tensor_read_affine(v, codes, scales, biases, &err), MICA_INVALID);
            continue;
        }
        assert_int_equal(group, 32);
        assert_int_equal(bits, bits_of[n_affine++]);
        size_t n, row_elements = (size_t)v->shape[1];
        expected_values(f, v->name, expected, &n);
        assert_int_equal(mica__tensor_read_affine(v, codes, scales, biases, &err), MICA_OK);
        if (mica__tensor_affine_symmetric(v)) /* the biases may be left out */
            assert_int_equal(mica__tensor_read_affine(v, codes, scales, NULL, &err), MICA_OK);
        for (size_t k = 0; k < n; k++) {
            size_t row = k / row_elements;
            float found = affine_value(codes + row * row_elements * (size_t)bits / 32, scales + row * row_elements / 32,
                                       biases + row * row_elements / 32, bits, k % row_elements);
            if (found != expected[k])
                fail_msg("%s[%zu]: %g, expected %g", v->type_name, k, (double)found, (double)expected[k]);
        }
    }
    assert_int_equal(n_affine, 5);
}

/* Row h*d + 2p + s of the file is row h*d + s*(d/2) + p. */
static void permuted_rows(void **state)
{
    fixture *f = *state;
    float expected[MOST], found[MOST];
    mica_error err;
    size_t n;
    const size_t order[6] = {0, 2, 4, 1, 3, 5}; /* one head of six rows: file rows in the order of the model's */
    for (size_t i = 0; i < 5; i++) {
        mica__tensor_view v = f->gguf.tensors[i];
        size_t row = (size_t)v.shape[1];
        expected_values(f, v.name, expected, &n);
        v.permuted_heads = 1;
        assert_int_equal(mica__tensor_read_f32(&v, found, &err), MICA_OK);
        for (size_t k = 0; k < n; k++) assert_true(found[k] == expected[order[k / row] * row + k % row]);
        v.permuted_heads = 3; /* heads of two rows stay as they are */
        assert_int_equal(mica__tensor_read_f32(&v, found, &err), MICA_OK);
        for (size_t k = 0; k < n; k++) assert_true(found[k] == expected[k]);

        uint32_t codes[2][MOST / 4];
        uint16_t scales[2][MOST / 32], biases[2][MOST / 32];
        assert_int_equal(mica__tensor_read_affine(&v, codes[0], scales[0], biases[0], &err), MICA_OK);
        v.permuted_heads = 1;
        assert_int_equal(mica__tensor_read_affine(&v, codes[1], scales[1], biases[1], &err), MICA_OK);
        int bits = 0, group;
        assert_true(mica__tensor_affine_form(&v, &bits, &group));
        size_t words = row * (size_t)bits / 32, groups = row / 32;
        for (size_t r = 0; r < 6; r++) {
            assert_memory_equal(codes[1] + r * words, codes[0] + order[r] * words, 4 * words);
            assert_memory_equal(scales[1] + r * groups, scales[0] + order[r] * groups, 2 * groups);
            assert_memory_equal(biases[1] + r * groups, biases[0] + order[r] * groups, 2 * groups);
        }
    }
    const float bias[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    mica__tensor_view v = {.storage = MICA__STORAGE_PLAIN,
                           .dtype = MICA_DTYPE_F32,
                           .type_name = "F32",
                           .ndim = 1,
                           .shape = {8},
                           .data = (const uint8_t *)bias,
                           .n_bytes = sizeof bias,
                           .permuted_heads = 2};
    assert_int_equal(mica__tensor_read_f32(&v, found, &err), MICA_OK);
    const float in_order[8] = {0, 2, 1, 3, 4, 6, 5, 7};
    assert_memory_equal(found, in_order, sizeof in_order);
}

static mica__tensor_view block_view(mica__storage storage, const char *type_name, uint8_t *block, size_t n_bytes,
                                    uint16_t scale)
{
    memset(block, 0x5a, n_bytes);
    memcpy(block, &scale, 2);
    return (mica__tensor_view){.file_name = MICA_STR("blk.0.w"),
                               .storage = storage,
                               .type_name = type_name,
                               .ndim = 2,
                               .shape = {1, 32},
                               .data = block,
                               .n_bytes = n_bytes};
}

/* The bias of a group is a multiple of its scale and must be a half float, too. */
static void large_scales(void **state)
{
    (void)state;
    static const struct {
        mica__storage storage;
        const char *name;
        size_t n_bytes;
        uint16_t largest; /* scale whose bias is representable */
        int shift;
    } cases[] = {{MICA__STORAGE_Q4_0, "Q4_0", 18, 0x6fff, 3},
                 {MICA__STORAGE_Q5_0, "Q5_0", 22, 0x6bff, 4},
                 {MICA__STORAGE_Q8_0, "Q8_0", 34, 0x5fff, 7}};
    uint8_t block[34];
    int bits, group;
    uint32_t codes[8];
    uint16_t scale, bias;
    float values[32];
    mica_error err;
    for (size_t i = 0; i < 3; i++) {
        for (int negative = 0; negative <= 1; negative++) {
            uint16_t largest = (uint16_t)(cases[i].largest | negative << 15);
            mica__tensor_view v = block_view(cases[i].storage, cases[i].name, block, cases[i].n_bytes, largest);
            assert_true(mica__tensor_affine_form(&v, &bits, &group));
            assert_int_equal(mica__tensor_read_affine(&v, codes, &scale, &bias, &err), MICA_OK);
            assert_true(half(bias) == -ldexpf(half(largest), cases[i].shift));
            v = block_view(cases[i].storage, cases[i].name, block, cases[i].n_bytes, (uint16_t)(largest + 1));
            assert_false(mica__tensor_affine_form(&v, &bits, &group));
            assert_failure("affine", mica__tensor_read_affine(&v, codes, &scale, &bias, &err), MICA_DATA, &err,
                           "'blk.0.w'");
            assert_int_equal(mica__tensor_read_f32(&v, values, &err), MICA_OK);
            for (int k = 0; k < 32; k++) assert_true(isfinite(values[k]));
        }
        /* Every subnormal scale. */
        for (uint16_t s = 0; s < 0x400; s++) {
            mica__tensor_view v = block_view(cases[i].storage, cases[i].name, block, cases[i].n_bytes, s);
            assert_int_equal(mica__tensor_read_affine(&v, codes, &scale, &bias, &err), MICA_OK);
            assert_true(half(bias) == -ldexpf(half(s), cases[i].shift));
        }
    }
}

/* Row 32: scales that are no numbers. */
static void bad_scales(void **state)
{
    (void)state;
    static const uint16_t bad[] = {0x7c00, 0xfc00, 0x7e00, 0xfe01};
    uint8_t block[20];
    uint32_t codes[4];
    uint16_t scale, bias;
    float values[32];
    mica_error err;
    for (size_t i = 0; i < 4; i++) {
        for (int at = 0; at <= 2; at += 2) {
            mica__tensor_view v = block_view(MICA__STORAGE_Q4_1, "Q4_1", block, 20, 0x3c00);
            memcpy(block + at, &bad[i], 2);
            const char *part = "'blk.0.w': scale of block 0 of row 0";
            assert_failure("f32", mica__tensor_read_f32(&v, values, &err), MICA_DATA, &err, part);
            assert_failure("affine", mica__tensor_read_affine(&v, codes, &scale, &bias, &err), MICA_DATA, &err, part);
        }
    }
}

static void other_types(void **state)
{
    (void)state;
    float values[256];
    mica_error err;
    int bits, group;
    mica__tensor_view v = {.file_name = MICA_STR("blk.0.w"),
                           .storage = MICA__STORAGE_OTHER,
                           .type_name = "Q8_1",
                           .ndim = 2,
                           .shape = {1, 256}};
    assert_failure("Q8_1", mica__tensor_read_f32(&v, values, &err), MICA_UNSUPPORTED, &err,
                   "'blk.0.w': type Q8_1 is not supported yet");
    assert_false(mica__tensor_affine_form(&v, &bits, &group));
    uint8_t bytes[] = {0, 2, 255};
    v = (mica__tensor_view){
        .storage = MICA__STORAGE_PLAIN, .dtype = MICA_DTYPE_BOOL, .ndim = 1, .shape = {3}, .data = bytes, .n_bytes = 3};
    assert_int_equal(mica__tensor_read_f32(&v, values, &err), MICA_OK);
    assert_true(values[0] == 0 && values[1] == 1 && values[2] == 1);
    v.dtype = MICA_DTYPE_U8;
    assert_int_equal(mica__tensor_read_f32(&v, values, &err), MICA_OK);
    assert_true(values[1] == 2 && values[2] == 255);
    const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00, 0x8000, 0x0001};
    v = (mica__tensor_view){.storage = MICA__STORAGE_PLAIN,
                            .dtype = MICA_DTYPE_F16,
                            .ndim = 1,
                            .shape = {5},
                            .data = (const uint8_t *)halves,
                            .n_bytes = 10};
    assert_int_equal(mica__tensor_read_f32(&v, values, &err), MICA_OK);
    assert_true(isinf(values[0]) && isinf(values[1]) && values[1] < 0 && isnan(values[2]) && signbit(values[3]) &&
                values[4] == 0x1p-24f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(to_float, setup, teardown),
        cmocka_unit_test_setup_teardown(to_affine, setup, teardown),
        cmocka_unit_test_setup_teardown(permuted_rows, setup, teardown),
        cmocka_unit_test(large_scales),
        cmocka_unit_test(bad_scales),
        cmocka_unit_test(other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
