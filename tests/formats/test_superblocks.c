/* tests/formats/test_superblocks.c: K-quants and the like against what the Python package gguf makes of the same blocks
 * (tests/oracle/make_gguf_superblocks.py), to the bit. MICA_SUPERBLOCKS names another folder of such files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/superblocks.h"
#include "formats_test.h"

enum { N_TYPES = 18, ROWS = 3, COLUMNS = 512, N = ROWS * COLUMNS };

typedef struct fixture {
    mica__mapping blocks, numbers;
    mica__gguf gguf;
    mica__safetensors expected;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const char *folder = getenv("MICA_SUPERBLOCKS") ? getenv("MICA_SUPERBLOCKS") : MICA_TEST_DATA "/formats";
    char *a = mica__path_join(folder, "superblocks.gguf"), *b = mica__path_join(folder, "superblocks.safetensors");
    int failed = mica__mapping_open(&f->blocks, a, NULL) || mica__mapping_open(&f->numbers, b, NULL) ||
                 mica__gguf_parse(&f->gguf, f->blocks.data, f->blocks.n, a, NULL) ||
                 mica__safetensors_parse(&f->expected, f->numbers.data, f->numbers.n, b, NULL);
    mica__free(a);
    mica__free(b);
    *state = f;
    return failed;
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

static const mica__tensor_view *expected_of(const fixture *f, mica__str name)
{
    for (size_t i = 0; i < f->expected.n_tensors; i++)
        if (mica__str_eq(f->expected.tensors[i].name, name)) return &f->expected.tensors[i];
    fail_msg("no expected values");
    return NULL;
}

static void assert_same(const char *what, const float *found, const uint8_t *expected)
{
    for (int i = 0; i < N; i++) {
        float e;
        memcpy(&e, expected + 4 * i, 4);
        if (memcmp(&found[i], &e, 4) != 0 && !(found[i] == 0 && e == 0)) /* zeros of either sign */
            fail_msg("%s[%d]: %a, expected %a", what, i, (double)found[i], (double)e);
    }
}

static void to_float(void **state)
{
    fixture *f = *state;
    static float found[N];
    assert_int_equal(f->gguf.n_tensors, N_TYPES);
    for (size_t i = 0; i < N_TYPES; i++) {
        const mica__tensor_view *v = &f->gguf.tensors[i];
        const mica__superblock *s = mica__superblock_of(v->storage);
        assert_non_null(s);
        assert_int_equal(v->shape[0], ROWS);
        assert_int_equal(v->shape[1], COLUMNS);
        assert_int_equal(v->n_bytes, N / s->n_elements * s->n_bytes);
        assert_int_equal(mica__tensor_read_f32(v, found, NULL), MICA_OK);
        assert_same(v->type_name, found, expected_of(f, v->name)->data);
    }
    assert_null(mica__superblock_of(MICA__STORAGE_PLAIN));
    assert_null(mica__superblock_of(MICA__STORAGE_Q8_0));
    assert_null(mica__superblock_of(MICA__STORAGE_OTHER));
}

/* The affine form, computed in float32, gives the same numbers. */
static void to_affine(void **state)
{
    fixture *f = *state;
    static uint8_t codes[N];
    static float scales[N / 32], biases[N / 32], found[N];
    int n_affine = 0;
    for (size_t i = 0; i < N_TYPES; i++) {
        const mica__tensor_view *v = &f->gguf.tensors[i];
        int bits = 0, group = 0;
        const mica__superblock *s = mica__superblock_of(v->storage);
        bool has = s->bits != 0;
        assert_int_equal(mica__tensor_affine_form(v, &bits, &group), has);
        if (!has) {
            assert_int_equal(mica__tensor_read_affine(v, (uint32_t *)codes, scales, biases, NULL), MICA_INVALID);
            continue;
        }
        n_affine++;
        assert_int_equal(bits, v->storage == MICA__STORAGE_Q4_K ? 4 : v->storage == MICA__STORAGE_Q5_K ? 5 : 2);
        assert_int_equal(group, 32);
        assert_int_equal(mica__tensor_affine_dtype(v), MICA_DTYPE_F32);
        assert_int_equal(mica__tensor_read_affine(v, (uint32_t *)codes, scales, biases, NULL), MICA_OK);
        for (int k = 0; k < N; k++) {
            unsigned code = 0; /* bits k * bits .. of a little-endian stream */
            for (int b = 0; b < bits; b++)
                code |= (unsigned)(codes[(k * bits + b) / 8] >> ((k * bits + b) % 8) & 1) << b;
            found[k] = scales[k / 32] * (float)code + biases[k / 32];
        }
        assert_same(v->type_name, found, expected_of(f, v->name)->data);
    }
    assert_int_equal(n_affine, 4);
}

/* MXFP4's form in floats gives the same numbers; NVFP4, Q1_0 and Q2_0, which the reference does not know, against their definition. */
static void to_floats(void **state)
{
    fixture *f = *state;
    static uint8_t codes[N], scales[N / 16];
    static float found[N];
    mica__quantization q;
    for (size_t i = 0; i < N_TYPES; i++) {
        const mica__tensor_view *v = &f->gguf.tensors[i];
        if (!mica__tensor_float_form(v, &q)) continue;
        assert_int_equal(v->storage, MICA__STORAGE_MXFP4);
        assert_int_equal(mica__tensor_read_float_form(v, (uint32_t *)(void *)codes, scales, NULL), MICA_OK);
        const mica__quantized w = {q, MICA_DTYPE_BF16, ROWS, COLUMNS, codes, scales, NULL};
        mica__dequantize_rows_f32(&w, 0, ROWS, found);
        assert_same(v->type_name, found, expected_of(f, v->name)->data);
    }
    static uint8_t blocks[3][4 * 36];
    static const struct {
        mica__storage storage;
        int n_elements, n_bytes;
    } types[] = {{MICA__STORAGE_NVFP4, 64, 36}, {MICA__STORAGE_Q1_0, 128, 18}, {MICA__STORAGE_Q2_0, 64, 18}};
    for (int t = 0; t < 3; t++) {
        const int n = 2 * types[t].n_elements;
        for (int k = 0; k < 2 * types[t].n_bytes; k++) blocks[t][k] = (uint8_t)(k * 29 + 7);
        for (int b = 0; t && b < 2; b++) memcpy(blocks[t] + b * types[t].n_bytes, "\x66\x2e", 2); /* 0.1 or so */
        blocks[t][0] = t ? blocks[t][0] : 0x7f; /* NVFP4: a scale that means 0 */
        const mica__tensor_view v = {.storage = types[t].storage,
                                     .type_name = "",
                                     .ndim = 2,
                                     .shape = {1, n},
                                     .data = blocks[t],
                                     .n_bytes = (size_t)(2 * types[t].n_bytes)};
        assert_int_equal(mica__tensor_read_f32(&v, found, NULL), MICA_OK);
        for (int k = 0; k < n; k++) {
            const uint8_t *b = blocks[t] + k / types[t].n_elements * types[t].n_bytes;
            const int i = k % types[t].n_elements;
            const float d = 0.0999755859375f;
            float e;
            if (t == 0) {
                static const float magnitudes[] = {0, .5f, 1, 1.5f, 2, 3, 4, 6};
                const int s = b[i / 16] & 0x7f, code = b[4 + i / 16 * 8 + i % 8] >> (i % 16 < 8 ? 0 : 4) & 15;
                float scale = s == 0x7f ? 0
                              : s < 8   ? ldexpf((float)s, -9)
                                        : ldexpf(1 + (float)(s & 7) / 8, (s >> 3) - 7);
                e = magnitudes[code & 7] * scale * (code & 8 ? -1.0f : 1.0f);
            } else if (t == 1) {
                e = b[2 + i / 8] >> (i % 8) & 1 ? d : -d;
            } else {
                e = d * (float)((b[2 + i / 4] >> (2 * (i % 4)) & 3) - 1);
            }
            if (found[k] != e) fail_msg("type %d, element %d: %a, expected %a", t, k, (double)found[k], (double)e);
        }
    }
}

/* A scale that is no number is refused, with its place. */
static void bad_scales(void **state)
{
    fixture *f = *state;
    static const struct {
        mica__storage storage;
        int at[2];
    } places[] = {{MICA__STORAGE_Q2_K, {80, 82}},  {MICA__STORAGE_Q3_K, {108, -1}}, {MICA__STORAGE_Q4_K, {0, 2}},
                  {MICA__STORAGE_Q5_K, {0, 2}},    {MICA__STORAGE_Q6_K, {208, -1}}, {MICA__STORAGE_TQ1_0, {52, -1}},
                  {MICA__STORAGE_TQ2_0, {64, -1}}, {MICA__STORAGE_IQ4_NL, {0, -1}}, {MICA__STORAGE_IQ4_XS, {0, -1}},
                  {MICA__STORAGE_MXFP4, {0, -1}},  {MICA__STORAGE_Q8_K, {2, -1}},   {MICA__STORAGE_IQ2_XXS, {0, -1}},
                  {MICA__STORAGE_IQ2_XS, {0, -1}}, {MICA__STORAGE_IQ2_S, {0, -1}},  {MICA__STORAGE_IQ3_XXS, {0, -1}},
                  {MICA__STORAGE_IQ3_S, {0, -1}},  {MICA__STORAGE_IQ1_S, {0, -1}}};
    static float found[N], scales[N / 32], biases[N / 32];
    static uint32_t codes[N];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const mica__superblock *s = mica__superblock_of(places[i].storage);
        for (size_t k = 0; k < N_TYPES; k++) {
            if (f->gguf.tensors[k].storage != places[i].storage) continue;
            for (int p = 0; p < 2 && places[i].at[p] >= 0; p++) {
                mica__tensor_view v = f->gguf.tensors[k];
                uint8_t *copy = malloc(v.n_bytes);
                memcpy(copy, v.data, v.n_bytes);
                v.data = copy;
                size_t per_row = (size_t)(COLUMNS / s->n_elements), block = per_row + 1; /* of row 1 */
                memcpy(copy + block * (size_t)s->n_bytes + places[i].at[p],
                       v.storage == MICA__STORAGE_MXFP4 ? "\xff" : "\x80\x7f",
                       v.storage == MICA__STORAGE_MXFP4 ? 1 : 2);
                mica_error err = {0};
                assert_failure(v.type_name, mica__tensor_read_f32(&v, found, &err), MICA_DATA, &err,
                               "scale of block 1 of row 1 is not a finite number");
                if (s->bits)
                    assert_failure(v.type_name, mica__tensor_read_affine(&v, codes, scales, biases, &err), MICA_DATA,
                                   &err, "scale of block 1 of row 1 is not a finite number");
                free(copy);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(to_float, setup, teardown),
        cmocka_unit_test_setup_teardown(to_affine, setup, teardown),
        cmocka_unit_test_setup_teardown(to_floats, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_scales, setup, teardown),
    };
    return cmocka_run_group_tests_name("formats/superblocks", tests, NULL, NULL);
}
