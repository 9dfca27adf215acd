/* tests/backend/test_linear.c: products with weights: against double precision, and row by row against all rows at once. */
#include "op_table.h"

#include "backend/cpu/kernels.h"

/* How activations may be rounded before they meet quantized weights. */
typedef enum rounding { INT16, EXACT, INT8 } rounding;

static mica__instr linear_instr(mica__tensor x, mica__tensor w, const mica__tensor *bias, rounding how)
{
    mica__instr instr = {
        .op = MICA__OP_LINEAR, .n_in = bias ? 3 : 2, .in = {x, w}, .exact = how == EXACT, .int8 = how == INT8};
    if (bias) instr.in[2] = *bias;
    instr.out = (mica__tensor){.dtype = MICA_DTYPE_F32, .ndim = 2, .shape = {x.shape[0], w.shape[0]}};
    return instr;
}

static double weight(const mica__tensor *w, int64_t n, int64_t k)
{
    return w->quantized ? get_affine(w, n, k) : get(w, n * w->shape[1] + k);
}

static double *products(const mica__tensor *x, const mica__tensor *w, const mica__tensor *bias)
{
    int64_t m_rows = x->shape[0], n_out = w->shape[0], k_size = w->shape[1];
    double *y = calloc((size_t)(m_rows * n_out), sizeof *y), *row = malloc((size_t)k_size * sizeof *row);
    for (int64_t n = 0; n < n_out; n++) {
        for (int64_t k = 0; k < k_size; k++) row[k] = weight(w, n, k);
        for (int64_t m = 0; m < m_rows; m++) {
            double sum = bias ? get(bias, n) : 0;
            for (int64_t k = 0; k < k_size; k++) sum += get(x, m * k_size + k) * row[k];
            y[m * n_out + n] = sum;
        }
    }
    free(row);
    return y;
}

/* Rows m alone and in chunks of 5 give the bits of all rows together. */
static void check_rows(const mica__instr *whole, const float *expected)
{
    static const int64_t chunks[] = {1, 2, 3, 5};
    int64_t rows = whole->in[0].shape[0], n_out = whole->out.shape[1];
    for (int c = 0; c < 4; c++) {
        for (int64_t first = 0; first < rows; first += chunks[c]) {
            mica__instr part = *whole;
            int64_t count = chunks[c] < rows - first ? chunks[c] : rows - first;
            part.in[0].data =
                (uint8_t *)part.in[0].data + first * part.in[0].strides[0] * (int64_t)mica_dtype_size(part.in[0].dtype);
            part.in[0].shape[0] = part.out.shape[0] = count;
            part.out.data = guarded((size_t)(count * n_out) * sizeof(float));
            choose(&part, false);
            run_team(&part, &(mica__run){.int8 = whole->int8}, 2);
            if (memcmp(part.out.data, expected + first * n_out, (size_t)(count * n_out) * sizeof(float)) != 0)
                fail_msg("rows %lld.. by %lld of %lld: other bits than all rows at once (K %lld, N %lld)",
                         (long long)first, (long long)chunks[c], (long long)rows, (long long)part.in[1].shape[1],
                         (long long)n_out);
        }
    }
}

static void check_linear(const char *name, mica__tensor x, mica__tensor w, bool with_bias, rounding how, double bound)
{
    mica__tensor bias;
    if (with_bias) bias = make(MICA_DTYPE_F32, &w.shape[0], 1, SLICED, -1, 1);
    op_case c = {.name = name, .instr = linear_instr(x, w, with_bias ? &bias : NULL, how), .run.int8 = how == INT8};
    c.expected = products(&x, &w, with_bias ? &bias : NULL);
    c.bound = bound;
    c.scale = sqrt((double)x.shape[1]);
    const float *y = check_case(&c);
    check_rows(&c.instr, y);
    drop_all();
}

static const int64_t sizes[][3] = {/* M, N, K */
                                   {1, 1, 32},   {1, 5, 64},     {2, 3, 96},    {3, 17, 128},
                                   {4, 16, 160}, {5, 33, 320},   {7, 9, 576},   {13, 50, 192},
                                   {33, 31, 64}, {70, 40, 1152}, {261, 18, 640}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void floats(void **state)
{
    (void)state;
    static const mica_dtype dtypes[] = {MICA_DTYPE_F32, MICA_DTYPE_F16, MICA_DTYPE_BF16};
    static const char *names[] = {"linear f32", "linear f16", "linear bf16"};
    static const int64_t odd[] = {1, 7, 9, 31, 100, 1025};
    for (int d = 0; d < 3; d++) {
        for (int s = 0; s < N_SIZES + 6; s++) {
            int64_t m = sizes[s % N_SIZES][0], n = sizes[s % N_SIZES][1],
                    k = s < N_SIZES ? sizes[s][2] : odd[s - N_SIZES];
            mica__tensor x = make(MICA_DTYPE_F32, (int64_t[]){m, k}, 2,
                                  s % 3 == 2 ? SLICED
                                  : s % 3    ? MISALIGNED
                                             : DENSE,
                                  1, 1);
            mica__tensor w = make(dtypes[d], (int64_t[]){n, k}, 2, s % 2 ? MISALIGNED : DENSE, 1, 1);
            check_linear(names[d], x, w, s % 2, EXACT, 1e-6);
        }
        mica__tensor x = make(MICA_DTYPE_F32, (int64_t[]){6, 72}, 2, TRANSPOSED, 1, 1);
        check_linear(names[d], x, make(dtypes[d], (int64_t[]){10, 72}, 2, TRANSPOSED, 1, 1), true, EXACT, 1e-6);
    }
    mica__tensor x = make_dense(MICA_DTYPE_BF16, (int64_t[]){6, 72}, 2, 1, 1);
    check_linear("linear f64", x, make_dense(MICA_DTYPE_F64, (int64_t[]){10, 72}, 2, 1, 1), true, EXACT, 1e-6);
}

/* The largest integer of rounded activations. */
#if defined(__aarch64__)
enum { TOP_INT16 = 32639, HOWS = 2 /* there are no kernels of int8, and emulation is slow */ };
#else
enum { TOP_INT16 = 32767, HOWS = 3 };
#endif

/* Numbers that rounding to 8 bits leaves as they are: 256 steps of a power of two, both ends of which each run of 32 has. */
static void make_steps(mica__tensor *x)
{
    for (int64_t i = 0; i < size_of(x); i++) {
        const int64_t at = i % 32, end = i / 32 % 31;
        const double q = at == end ? 255 : at == end + 1 ? 0 : (double)pick(256);
        set(x, i, (q - 100) * ldexp(1, -6 - (int)(i / 32 % 3)));
    }
}

/* Numbers that rounding by groups to 16 bits leaves as they are: integers up to `top`, one of which is that, times a power of two. */
static void make_representable(mica__tensor *x, int64_t group, int top)
{
    int64_t k = x->shape[1];
    for (int64_t i = 0; i < size_of(x); i++) {
        bool largest = i % k % group == (i / k) % group;
        set(x, i,
            (largest ? top : (double)pick((uint64_t)(2 * top + 1)) - top) * ldexp(0x1p-8, -6 - (int)(i / group % 3)));
    }
}

static void affine(void **state)
{
    (void)state;
    static const int all_bits[] = {2, 3, 4, 5, 6, 8}, groups[] = {32, 64, 128};
    static const mica_dtype scales[] = {MICA_DTYPE_F32, MICA_DTYPE_F16, MICA_DTYPE_BF16};
    static const char *suffixes[] = {" int16", "", " int8"};
    static char names[3][6][32];
    int turn = 0;
    for (int b = 0; b < 6; b++) {
        for (int how = 0; how < 3; how++)
            snprintf(names[how][b], sizeof names[how][b], "linear affine %d%s", all_bits[b], suffixes[how]);
        for (int g = 0; g < 3; g++) {
            for (int s = 0; s < N_SIZES; s++, turn++) {
                int64_t m = sizes[s][0], n = sizes[s][1], k = (sizes[s][2] + groups[g] - 1) / groups[g] * groups[g];
                for (int how = 0; how < HOWS; how++) {
                    mica__tensor x = make(MICA_DTYPE_F32, (int64_t[]){m, k}, 2, turn % 2 ? MISALIGNED : DENSE, 1, 1);
                    mica__tensor w = make_affine(n, k, all_bits[b], groups[g], scales[turn % 3]);
                    if (how == INT8 && all_bits[b] == 4 && mica__has_avx2() && !mica__has_avx512_vnni())
                        make_steps(&x);
                    else if (how != EXACT)
                        make_representable(&x, groups[g], TOP_INT16);
                    check_linear(names[how][b], x, w, turn % 2, (rounding)how, how == EXACT ? 1e-6 : 2e-6);
                }
            }
        }
    }
}

/* mxfp4, mxfp8, nvfp4. Float arithmetic where activations are not rounded, and in mxfp8 always. */
static void quantized_floats(void **state)
{
    (void)state;
    static const char *const names[] = {"", "linear mxfp4", "linear mxfp8", "linear nvfp4"};
    enum { HALVES = 4 }; /* of nvfp4, rows that end with half of 32 elements */
    for (int mode = 1; mode < 4; mode++) {
        for (int s = 0; s < N_SIZES + (mode == MICA_QUANT_NVFP4 ? HALVES : 0); s++) {
            int64_t m = sizes[s % N_SIZES][0], n = sizes[s % N_SIZES][1], k = sizes[s % N_SIZES][2];
            if (s >= N_SIZES) m = s - N_SIZES == 2 ? 14 : m, k += 16 * (s - N_SIZES < 2 ? 1 : 65);
            mica__tensor x = make(MICA_DTYPE_F32, (int64_t[]){m, k}, 2, s % 2 ? MISALIGNED : DENSE, 1, 1);
            mica__tensor w = make_quantized_float(n, k, (mica_quant_mode)mode);
            const bool rounded = s % 3 != EXACT && mode != MICA_QUANT_MXFP8;
            if (rounded) make_representable(&x, w.affine.group_size, TOP_INT16);
            check_linear(names[mode], x, w, s % 2, (rounding)(s % 3), 2e-6);
        }
    }
}

/* The error of rounding activations, as the L2 norm over the outputs of Gaussian rows. */
static void rounding_error(void **state)
{
    (void)state;
    for (int turn = 0; turn < 4; turn++) {
        int bits = turn % 2 ? 8 : 4;
        rounding how = turn < 2 ? INT16 : INT8;
        mica__tensor x = make_dense(MICA_DTYPE_F32, (int64_t[]){8, 2048}, 2, 1, 1);
        mica__tensor w = make_affine(256, 2048, bits, 64, MICA_DTYPE_BF16);
        mica__instr instr = linear_instr(x, w, NULL, how);
        instr.out.data = guarded(8 * 256 * sizeof(float));
        choose(&instr, false);
        run_team(&instr, &(mica__run){.int8 = how == INT8}, 1);
        double *expected = products(&x, &w, NULL), difference = 0, norm = 0;
        const float *y = instr.out.data;
        for (int i = 0; i < 8 * 256; i++) {
            difference += (y[i] - expected[i]) * (y[i] - expected[i]);
            norm += expected[i] * expected[i];
        }
        double error = sqrt(difference / norm);
        printf("%s activations, %d-bit weights: relative L2 error %.2e\n", how == INT8 ? "int8" : "int16", bits, error);
        assert_true(error < (how == INT8 ? 9e-3 : 4e-5));
        free(expected);
        drop_all();
    }
}

/* A bound on rows, fewer of them in a run, and rows of zeros. */
static void row_bound(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        mica__tensor x = make_dense(MICA_DTYPE_F32, (int64_t[]){9, 128}, 2, 1, 1),
                     w = make_affine(12, 128, 4, 64, MICA_DTYPE_F16);
        memset((float *)x.data + 128, 0, 128 * sizeof(float));
        op_case c = {.name = "linear rows",
                     .instr = linear_instr(x, w, NULL, (rounding)how),
                     .run = {.rows = 4, .int8 = how == INT8}};
        c.expected = products(&x, &w, NULL);
        c.instr.in[0].rows = c.instr.out.rows = true;
        c.instr.in[0].rows_factor = c.instr.out.rows_factor = 1;
        c.bound = how == EXACT ? 1e-6 : how == INT16 ? 1e-4 : 3e-2;
        c.scale = sqrt(128);
        check_case(&c);
        drop_all();
    }
}

/* usage: test_linear [TEST]: all, or those that match the pattern */
int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats),         cmocka_unit_test(affine),    cmocka_unit_test(quantized_floats),
        cmocka_unit_test(rounding_error), cmocka_unit_test(row_bound),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    print_worst();
    return failures;
}
