/* The quantizers against the real MLX's bytes, names, threads, and the search. */
#include "formats/quantize.h"
#include "formats/quantize_private.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/checkpoint.h"
#include "formats/formats_test.h"
#include "formats/safetensors.h"

static const char *const all_names[] = {
    "affine-2-32",  "affine-2-64",  "affine-2-128", "affine-3-32",  "affine-3-64",  "affine-3-128", "affine-4-32",
    "affine-4-64",  "affine-4-128", "affine-5-32",  "affine-5-64",  "affine-5-128", "affine-6-32",  "affine-6-64",
    "affine-6-128", "affine-8-32",  "affine-8-64",  "affine-8-128", "mxfp4",        "mxfp8",        "nvfp4",
};
enum { N_NAMES = sizeof all_names / sizeof *all_names };

static mica__quantization parsed(const char *name)
{
    mica__quantization q;
    mica_error err;
    if (mica__quantization_parse(&q, mica__str_from(name), &err)) fail_msg("%s", err.message);
    return q;
}

/* ---- names ------------------------------------------------------------------------------------------------------------------ */

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        mica__quantization q = parsed(all_names[i]);
        assert_true(mica__quantization_valid(&q));
        assert_string_equal(MICA_QUANTIZATION(&q), all_names[i]);
    }
    static const char *const same[][2] = {{"4", "affine-4-64"},      {"8-32", "affine-8-32"},
                                          {"affine", "affine-4-64"}, {"affine-3", "affine-3-64"},
                                          {"mxfp4-4-32", "mxfp4"},   {"nvfp4-4", "nvfp4"}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        mica__quantization q = parsed(same[i][0]);
        assert_string_equal(MICA_QUANTIZATION(&q), same[i][1]);
    }
    static const char *const wrong[] = {"",          "7",         "affine-4-16", "mxfp4-8",      "affine-",    "4-64-",
                                        "4-64-1",    "affine-0",  "1",           "-4",           "nvfp4-4-32", "q4",
                                        "affine--4", "affine-4x", "00004",       "affine-4-640", "mxfp8-"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mica__quantization q;
        mica_error err;
        assert_failure(wrong[i], mica__quantization_parse(&q, mica__str_from(wrong[i]), &err), MICA_INVALID, &err,
                       "affine-BITS-GROUP");
    }
}

/* ---- MLX's bytes ------------------------------------------------------------------------------------------------------------ */

typedef struct reference {
    mica__safetensors file;
    mica__buf bytes;
} reference;

static const mica__tensor_view *find(const reference *r, const char *matrix, const char *part)
{
    char name[100];
    snprintf(name, sizeof name, "%s.%s", matrix, part);
    for (size_t i = 0; i < r->file.n_tensors; i++)
        if (mica__str_is(r->file.tensors[i].name, name)) return &r->file.tensors[i];
    return NULL;
}

static void expect_bytes(const char *what, const char *part, const void *got, const mica__tensor_view *expected)
{
    if (!memcmp(got, expected->data, expected->n_bytes)) return;
    size_t i = 0, different = 0;
    for (size_t k = expected->n_bytes; k-- > 0;) {
        if (((const uint8_t *)got)[k] == expected->data[k]) continue;
        i = k;
        different++;
    }
    fail_msg("%s: %s: %zu of %zu bytes differ, the first at %zu: %02x, expected %02x", what, part, different,
             expected->n_bytes, i, ((const uint8_t *)got)[i], expected->data[i]);
}

static void check_matrix(const mica__quantization *q, const reference *r, const mica__tensor_view *w,
                         const char *matrix, const char *file)
{
    char what[200];
    snprintf(what, sizeof what, "%.100s %s", file, matrix);
    const mica__matrix in = {w->data, w->dtype, w->shape[0], w->shape[1]};
    const mica__quantized_sizes sizes = mica__quantized_row_sizes(q, in.n_columns, in.dtype);
    const size_t n_rows = (size_t)in.n_rows;
    const mica__tensor_view *scales = find(r, matrix, "scales"), *biases = find(r, matrix, "biases"),
                            *codes = find(r, matrix, "weight"), *dequantized = find(r, matrix, "dequantized");
    assert_int_equal(codes->n_bytes, n_rows * sizes.codes);
    assert_int_equal(scales->n_bytes, n_rows * sizes.scales);
    uint8_t *c = mica__alloc(n_rows, sizes.codes), *s = mica__alloc(n_rows, sizes.scales),
            *b = mica__alloc(n_rows, sizes.biases + 1), *d = mica__alloc(dequantized->n_bytes, 1);
    mica__quantize(q, MICA__QUANTIZER_MLX, &in, c, s, b);
    expect_bytes(what, "scales", s, scales);
    if (biases) expect_bytes(what, "biases", b, biases);
    expect_bytes(what, "weight", c, codes);
    const mica__quantized made = {*q, in.dtype, in.n_rows, in.n_columns, c, s, biases ? b : NULL};
    mica__dequantize_rows(&made, 0, in.n_rows, d, dequantized->dtype);
    expect_bytes(what, "dequantized", d, dequantized);
    mica__free(c);
    mica__free(s);
    mica__free(b);
    mica__free(d);
}

/* Every matrix NAME of the file (NAME.w, NAME.weight, ...); how many there are. */
static size_t check_file(const char *path, const mica__quantization *q)
{
    reference r = {.bytes = {.max = 64 << 20}};
    mica_error err;
    size_t n = 0;
    assert_int_equal(mica__file_read(&r.bytes, path, 64 << 20, &err), MICA_OK);
    assert_int_equal(mica__safetensors_parse(&r.file, (const uint8_t *)r.bytes.p, r.bytes.n, path, &err), MICA_OK);
    for (size_t i = 0; i < r.file.n_tensors; i++) {
        const mica__tensor_view *w = &r.file.tensors[i];
        char matrix[80];
        if (!mica__str_ends(w->name, ".w")) continue;
        snprintf(matrix, sizeof matrix, "%.*s", (int)w->name.n - 2, w->name.p);
        check_matrix(q, &r, w, matrix, path);
        n++;
    }
    mica__safetensors_release(&r.file);
    mica__buf_release(&r.bytes);
    return n;
}

static void test_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        char name[100];
        mica__quantization q = parsed(all_names[i]);
        snprintf(name, sizeof name, "reference/mlx/quantize/%s-%d-%d.safetensors", mica__quant_mode_name(q.mode),
                 q.bits, q.group_size);
        char *path = shared_path(name);
        if (!path) continue;
        assert_int_equal(check_file(path, &q), 5);
        mica__free(path);
    }
}

/* Three small matrices made with MLX, in every mode: kept here, so that something is always checked. */
static void test_kept_reference(void **state)
{
    (void)state;
    static const char *const names[] = {"affine-3-32", "affine-4-64", "mxfp4", "mxfp8", "nvfp4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[300];
        mica__quantization q = parsed(names[i]);
        snprintf(path, sizeof path, MICA_TEST_DATA "/quantize/%s.safetensors", names[i]);
        assert_true(check_file(path, &q) >= 3);
    }
}

/* ---- properties --------------------------------------------------------------------------------------------------------------- */

enum { ROWS = 37, COLUMNS = 256 };

/* The same numbers everywhere: sums of twelve of a linear congruential generator's, nearly normal. */
static void fill(float *w, size_t n)
{
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        float sum = -6;
        for (int k = 0; k < 12; k++) {
            seed = seed * 1664525u + 1013904223u;
            sum += (float)(seed >> 8) * 0x1p-24f;
        }
        w[i] = sum * 0.02f;
    }
}

typedef struct made {
    uint8_t codes[ROWS * COLUMNS], scales[ROWS * COLUMNS / 16 * 4], biases[ROWS * COLUMNS / 16 * 4];
    double error;
} made;

static void make(made *out, const mica__quantization *q, mica__quantizer quantizer, int n_threads,
                 const mica__matrix *in)
{
    mica_error err;
    *out = (made){.error = 0};
    if (n_threads) {
        mica__team *team;
        assert_int_equal(mica__team_create(&team, n_threads, &err), MICA_OK);
        mica__quantize_team(team, q, quantizer, in, out->codes, out->scales, out->biases);
        mica__team_free(team);
    } else {
        mica__quantize(q, quantizer, in, out->codes, out->scales, out->biases);
    }
    const mica__quantized w = {*q, in->dtype, in->n_rows, in->n_columns, out->codes, out->scales, out->biases};
    mica__quantization_error error = {0};
    assert_int_equal(mica__quantization_error_add(&error, in, &w, &err), MICA_OK);
    assert_int_equal(error.n, ROWS * COLUMNS);
    assert_true(error.squared_error > 0 && error.largest > 0 && error.squared_error < error.squared_weight);
    out->error = sqrt(error.squared_error / error.squared_weight);
}

static void test_threads_and_search(void **state)
{
    (void)state;
    static float w[ROWS * COLUMNS];
    static made one, many, searched, again;
    fill(w, ROWS * COLUMNS);
    const mica__matrix in = {w, MICA_DTYPE_F32, ROWS, COLUMNS};
    for (size_t i = 0; i < N_NAMES; i++) {
        mica__quantization q = parsed(all_names[i]);
        make(&one, &q, MICA__QUANTIZER_MLX, 0, &in);
        make(&many, &q, MICA__QUANTIZER_MLX, 3, &in);
        make(&searched, &q, MICA__QUANTIZER_SEARCH, 0, &in);
        make(&again, &q, MICA__QUANTIZER_SEARCH, 2, &in);
        assert_memory_equal(&one, &many, sizeof one);
        assert_memory_equal(&searched, &again, sizeof searched);
        printf("%-12s relative error %.5f, searched %.5f\n", all_names[i], one.error, searched.error);
        /* mxfp8: rounding upwards is the best already. */
        assert_true(q.mode == MICA_QUANT_MXFP8 ? searched.error <= one.error : searched.error < one.error);
    }
}

/* Measuring on the way gives the same bytes, and the figures that measuring afterwards gives. */
static void test_measured(void **state)
{
    (void)state;
    static float w[ROWS * COLUMNS];
    static made plain, measured;
    fill(w, ROWS * COLUMNS);
    const mica__matrix in = {w, MICA_DTYPE_F32, ROWS, COLUMNS};
    for (size_t i = 0; i < N_NAMES; i++) {
        mica__quantization q = parsed(all_names[i]);
        mica__quantization_error before = {0}, after = {0};
        make(&plain, &q, MICA__QUANTIZER_MLX, 0, &in);
        make(&measured, &q, MICA__QUANTIZER_MLX, 0, &in);
        memset(measured.codes, 0, sizeof measured.codes);
        mica__quantize_measured(&q, MICA__QUANTIZER_MLX, &in, measured.codes, measured.scales, measured.biases,
                                &before);
        assert_memory_equal(&plain, &measured, sizeof plain);
        const mica__quantized made_of = {q, in.dtype, ROWS, COLUMNS, measured.codes, measured.scales, measured.biases};
        assert_int_equal(mica__quantization_error_add(&after, &in, &made_of, NULL), MICA_OK);
        assert_int_equal(before.n, after.n);
        assert_true(fabs(before.squared_error / after.squared_error - 1) < 1e-5);
        assert_true(fabs(before.squared_weight / after.squared_weight - 1) < 1e-5);
        assert_true(fabs(before.largest / after.largest - 1) < 1e-5);
    }
}

/* Whole rows against groups one by one: elements in a few exponents, so that many quotients are ties, and every kind of extreme. */
static void test_rows(void **state)
{
    (void)state;
    enum { K = 128 * 11, R = 40 };
    static const float special[] = {0,        -0.0f, 1e-7f,     1e-40f, 3e38f,   -3e38f,   1e30f,
                                    -1e-30f,  65504, 0.5f,      0.001f, 0x1p99f, 0x1p100f, -1,
                                    0x1p-14f, 7,     -0x1p-24f, 15,     31.5f,   255};
    static const mica_dtype dtypes[] = {MICA_DTYPE_BF16, MICA_DTYPE_F16, MICA_DTYPE_F32};
    static float w[R * K];
    static uint8_t in[R * K * 4], codes[R * K], scales[R * K], biases[R * K];
    uint32_t random = 5;
    for (int i = 0; i < R * K; i++) {
        random = random * 1664525 + 1013904223;
        const int kind = i / K % 5;
        const float x = (float)((int32_t)random >> 20) * 0x1p-14f;
        w[i] = kind == 0 ? x : kind == 1 ? (float)((random >> 24) % 16) / 4 : kind == 2 ? x * x * x : x - 0.3f;
        if (kind == 4) w[i] = random >> 28 ? x : special[(random >> 8) % (sizeof special / sizeof *special)];
    }
    for (size_t i = 0; i < N_NAMES; i++) {
        const mica__quantization q = parsed(all_names[i]);
        for (int t = 0; t < 3 && q.mode == MICA_QUANT_AFFINE; t++) {
            const mica_dtype dtype = dtypes[t];
            const size_t size = mica_dtype_size(dtype), n = (size_t)q.group_size, n_codes = n / 8 * (size_t)q.bits;
            for (int k = 0; k < R * K; k++) { /* half floats: finite ones */
                const bool fits = dtype != MICA_DTYPE_F16 || fabsf(w[k]) < 60000;
                mica__store_float(in + (size_t)k * size, dtype, fits ? w[k] : 1.5f);
            }
            const mica__matrix m = {in, dtype, R, K};
            mica__quantize(&q, MICA__QUANTIZER_MLX, &m, codes, scales, biases);
            for (size_t g = 0; g < R * K / n; g++) {
                float elements[MICA__MAX_GROUP];
                mica__group alone;
                uint8_t packed[MICA__MAX_GROUP], scale[4], bias[4];
                for (size_t k = 0; k < n; k++) elements[k] = mica__load_float(in + (g * n + k) * size, dtype);
                mica__quantize_affine_group(&q, MICA__QUANTIZER_MLX, dtype, elements, &alone);
                mica__pack_codes(alone.codes, (int)n, q.bits, packed);
                mica__store_float(scale, dtype, alone.scale);
                mica__store_float(bias, dtype, alone.bias);
                assert_memory_equal(codes + g * n_codes, packed, n_codes);
                assert_memory_equal(scales + g * size, scale, size);
                assert_memory_equal(biases + g * size, bias, size);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_reference),
        cmocka_unit_test(test_kept_reference), cmocka_unit_test(test_threads_and_search),
        cmocka_unit_test(test_measured),       cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
