/* tests/backend/op_table.h: tensors in guarded memory, and the check that every row of the op table goes through.
 *
 * A case is an instruction without kernels, and what it must give, computed in double precision by the test. The check runs
 * the plain kernel and the chosen one, each as a team of 1, 2, 3 and 7, compares with the expected values and compares the teams bit
 * by bit. Every tensor ends where an inaccessible page begins (or starts there: `at_start`), so that a read or write outside of it
 * ends the test. */
#ifndef MICA_TESTS_OP_TABLE_H
#define MICA_TESTS_OP_TABLE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "array/ops.h"
#include "base/cpu.h"
#include "backend/cpu/convert.h"

#define MAYBE_UNUSED __attribute__((unused))

typedef enum layout { DENSE, TRANSPOSED, BROADCAST, REVERSED, SLICED, MISALIGNED, N_LAYOUTS } layout;

/* ---- numbers ------------------------------------------------------------------------------------------------------------ */

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1du;
}

/* The same numbers in every run. */
MAYBE_UNUSED static double uniform(double low, double high)
{
    return low + (double)(next() >> 11) * 0x1p-53 * (high - low);
}
MAYBE_UNUSED static int64_t pick(int64_t n) { return (int64_t)(next() % (uint64_t)n); }

MAYBE_UNUSED static double gaussian(void)
{
    double u = uniform(1e-12, 1), v = uniform(0, 1);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

enum { MAX_BLOCKS = 4096 };
static struct block {
    void *p;
    size_t n_bytes;
} blocks[MAX_BLOCKS];
static int n_blocks;

MAYBE_UNUSED static uint8_t *pages(size_t n_bytes, size_t *inner)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *inner = (n_bytes + page - 1) / page * page;
    if (*inner == 0) *inner = page;
    assert_true(n_blocks < MAX_BLOCKS);
    uint8_t *p = mmap(NULL, *inner + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p, page, PROT_NONE), 0);
    assert_int_equal(mprotect(p + page + *inner, page, PROT_NONE), 0);
    blocks[n_blocks++] = (struct block){p, *inner + 2 * page};
    return p + page;
}

/* Memory that ends at a guard page; freed by drop_all. */
MAYBE_UNUSED static void *guarded(size_t n_bytes)
{
    size_t inner;
    uint8_t *p = pages(n_bytes, &inner);
    return p + inner - n_bytes;
}

MAYBE_UNUSED static void *guarded_start(size_t n_bytes)
{
    size_t inner;
    return pages(n_bytes, &inner);
}

MAYBE_UNUSED static void drop_all(void)
{
    while (n_blocks > 0) {
        n_blocks--;
        munmap(blocks[n_blocks].p, blocks[n_blocks].n_bytes);
    }
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------ */

MAYBE_UNUSED static int64_t size_of(const mica__tensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++) n *= t->shape[d];
    return n;
}

MAYBE_UNUSED static uint8_t *element(const mica__tensor *t, int64_t i)
{
    int64_t offset = 0;
    for (int d = t->ndim - 1; d >= 0; d--) {
        offset += i % t->shape[d] * t->strides[d];
        i /= t->shape[d];
    }
    return (uint8_t *)t->data + offset * (int64_t)mica_dtype_size(t->dtype);
}

/* Element i in row-major order. */
MAYBE_UNUSED static double get(const mica__tensor *t, int64_t i)
{
    mica__chunk c;
    mica__load(MICA__CLASS_F64, &c, element(t, i), t->dtype, 1, 1);
    return c.f64[0];
}

MAYBE_UNUSED static void set(mica__tensor *t, int64_t i, double value)
{
    mica__chunk c;
    c.f64[0] = value;
    mica__store(MICA__CLASS_F64, &c, element(t, i), t->dtype, 1, 1);
}

/* Strides of the layout over a buffer of *n elements, the first of which is at *origin. */
MAYBE_UNUSED static void lay_out(mica__tensor *t, layout how, int64_t *n, int64_t *origin)
{
    int64_t order[MICA_MAX_DIMS], step = 1;
    for (int d = 0; d < t->ndim; d++) order[d] = d;
    if (how == TRANSPOSED && t->ndim >= 2) {
        order[t->ndim - 1] = t->ndim - 2;
        order[t->ndim - 2] = t->ndim - 1;
    }
    *origin = 0;
    for (int i = t->ndim - 1; i >= 0; i--) {
        int64_t d = order[i], length = t->shape[d], spacing = how == SLICED && i == t->ndim - 1 ? 3 : 1;
        bool flat = how == BROADCAST && d == (t->ndim > 1 ? t->ndim - 2 : 0);
        t->strides[d] = flat ? 0 : step * spacing;
        if (how == REVERSED && d == t->ndim - 1) {
            t->strides[d] = -step;
            *origin = (length - 1) * step;
        }
        if (!flat) step *= length * spacing;
    }
    *n = step;
    if (how == SLICED && t->ndim > 0) *n -= 2; /* the last element ends the memory */
}

/* A tensor of random numbers in [low, high); if they are equal, of that deviation around 0. */
MAYBE_UNUSED static mica__tensor make(mica_dtype dtype, const int64_t *shape, int ndim, layout how, double low,
                                      double high)
{
    mica__tensor t = {.dtype = dtype, .ndim = ndim};
    for (int d = 0; d < ndim; d++) t.shape[d] = shape[d];
    int64_t n, origin;
    lay_out(&t, how, &n, &origin);
    size_t size = mica_dtype_size(dtype), shift = how == MISALIGNED ? 1 : 0;
    uint8_t *data = guarded((size_t)n * size + shift);
    t.data = data + (size_t)origin * size;
    int64_t count = size_of(&t);
    for (int64_t i = 0; i < count; i++) {
        double v = low == high ? high * gaussian() : uniform(low, high);
        set(&t, i, v);
    }
    return t;
}

MAYBE_UNUSED static mica__tensor make_dense(mica_dtype dtype, const int64_t *shape, int ndim, double low, double high)
{
    return make(dtype, shape, ndim, DENSE, low, high);
}

/* An affine matrix of random codes. */
MAYBE_UNUSED static mica__tensor make_affine(int64_t n, int64_t k, int bits, int group, mica_dtype scale_dtype)
{
    mica__tensor w = {.dtype = scale_dtype, .ndim = 2, .quantized = true, .shape = {n, k}, .strides = {k, 1}};
    size_t code_bytes = (size_t)(n * k * bits / 8);
    uint8_t *codes = guarded(code_bytes);
    for (size_t i = 0; i < code_bytes; i++) codes[i] = (uint8_t)pick(256);
    int64_t shape[] = {n, k / group};
    double spread = 2.0 / (1 << bits);
    mica__tensor scales = make(scale_dtype, shape, 2, MISALIGNED, 0.5 * spread, 1.5 * spread);
    mica__tensor biases = make(scale_dtype, shape, 2, MISALIGNED, -1.2, -0.8);
    for (int64_t i = 0; i < n * k / group; i += 3) { /* negative scales are common */
        set(&scales, i, -get(&scales, i));
        set(&biases, i, -get(&biases, i));
    }
    w.data = codes;
    /* Some are symmetric: no biases. */
    w.affine = (mica__affine){bits, group, scale_dtype, scales.data, pick(3) ? biases.data : NULL, MICA_QUANT_AFFINE};
    return w;
}

/* A matrix of random codes in one of the modes of floats, with scales around `2 ^ exponent`. */
MAYBE_UNUSED static mica__tensor make_quantized_float(int64_t n, int64_t k, mica_quant_mode mode)
{
    const int bits = mode == MICA_QUANT_MXFP8 ? 8 : 4, group = mode == MICA_QUANT_NVFP4 ? 16 : 32;
    mica__tensor w = {.dtype = MICA_DTYPE_BF16, .ndim = 2, .quantized = true, .shape = {n, k}, .strides = {k, 1}};
    size_t code_bytes = (size_t)(n * k * bits / 8), n_scales = (size_t)(n * k / group);
    uint8_t *codes = guarded(code_bytes), *scales = guarded(n_scales);
    for (size_t i = 0; i < code_bytes; i++)
        codes[i] = (uint8_t)(bits == 8 ? 0x20 + pick(0x18) + 128 * pick(2) : pick(256));
    for (size_t i = 0; i < n_scales; i++)
        scales[i] = (uint8_t)(mode == MICA_QUANT_NVFP4 ? 0x18 + pick(0x20) : 122 + pick(5));
    w.data = codes;
    w.affine = (mica__affine){bits, group, MICA_DTYPE_U8, scales, NULL, mode};
    return w;
}

/* Element [n, k] from the definition of the formats: sign, exponent, mantissa. */
MAYBE_UNUSED static double small_float(unsigned v, int n_exponent, int n_mantissa)
{
    int bias = (1 << (n_exponent - 1)) - 1, mantissa = (int)(v & ((1u << n_mantissa) - 1));
    int exponent = (int)(v >> n_mantissa & ((1u << n_exponent) - 1));
    double x = exponent ? ldexp(mantissa + (1 << n_mantissa), exponent - bias - n_mantissa)
                        : ldexp(mantissa, 1 - bias - n_mantissa);
    return v >> (n_exponent + n_mantissa) & 1 ? -x : x;
}

MAYBE_UNUSED static double get_quantized_float(const mica__tensor *w, int64_t n, int64_t k)
{
    const mica__affine *a = &w->affine;
    int64_t i = n * w->shape[1] + k;
    unsigned code = ((const uint8_t *)w->data)[i * a->bits / 8],
             scale = ((const uint8_t *)a->scales)[i / a->group_size];
    if (a->bits == 4) code = code >> 4 * (i % 2) & 15;
    double element = a->bits == 8 ? small_float(code, 4, 3) : small_float(code, 2, 1);
    return element * (a->mode == MICA_QUANT_NVFP4 ? small_float(scale, 4, 3) : ldexp(1, (int)scale - 127));
}

MAYBE_UNUSED static double get_affine(const mica__tensor *w, int64_t n, int64_t k)
{
    if (w->affine.mode != MICA_QUANT_AFFINE) return get_quantized_float(w, n, k);
    const mica__affine *a = &w->affine;
    const uint8_t *row = (const uint8_t *)w->data + n * w->shape[1] * a->bits / 8;
    int64_t code = 0, g = n * (w->shape[1] / a->group_size) + k / a->group_size;
    for (int b = 0; b < a->bits; b++) {
        int64_t bit = k * a->bits + b;
        code |= (int64_t)(row[bit / 8] >> (bit % 8) & 1) << b;
    }
    double scale = (double)mica__load_scale(a->scales, a->scale_dtype, g);
    if (!a->biases) return (double)(code - (1 << (a->bits - 1))) * scale;
    return (double)code * scale + (double)mica__load_scale(a->biases, a->scale_dtype, g);
}

typedef struct op_case {
    const char *name;
    mica__instr instr; /* out.shape and out.dtype are set; its memory is made by the check */
    mica__run run;
    double *expected; /* [elements of out, of the actual rows] */
    double bound;     /* largest |got - expected| / (|expected| + scale) */
    double scale;
    /* For kernels that write elsewhere: called before each run. */
    void (*before)(void *context);
    void *context;
} op_case;

/* ---- the check ---------------------------------------------------------------------------------------------------------- */

static struct worst {
    const char *name;
    double error[2], ratio[2]; /* plain, fast */
    long cases, fast;
} worst[256];

static struct worst *worst_of(const char *name)
{
    for (int i = 0; i < 256; i++) {
        if (!worst[i].name) worst[i].name = name;
        if (strcmp(worst[i].name, name) == 0) return &worst[i];
    }
    fail_msg("too many names");
    return NULL;
}

/* One line per op: the worst errors of the plain and of the chosen ("fast") kernels. */
MAYBE_UNUSED static void print_worst(void)
{
    printf("%-24s %7s %7s   worst of its bound: plain, fast   worst error of float32: plain, fast\n", "op", "cases",
           "fast");
    for (int i = 0; i < 256 && worst[i].name; i++) {
        const struct worst *w = &worst[i];
        printf("%-24s %7ld %7ld %20.2f %8.2f %22.1e %12.1e\n", w->name, w->cases, w->fast, w->ratio[0], w->ratio[1],
               w->error[0], w->error[1]);
    }
}

/* Chooses kernels; fails the test if there are none. */
MAYBE_UNUSED static void choose(mica__instr *instr, bool plain)
{
    mica_error err;
    if (mica__backend_cpu.prepare_instr(instr, plain, &err) != MICA_OK) fail_msg("%s", err.message);
    assert_true(instr->n_phases > 0 && instr->n_phases <= MICA__MAX_PHASES);
    assert_true(instr->scratch_bytes % 64 == 0 && instr->member_scratch_bytes % 64 == 0);
}

/* Runs the instruction as a team of n, the last member first. */
MAYBE_UNUSED static void run_team(const mica__instr *instr, const mica__run *run, int n)
{
    mica__run r = *run;
    size_t bytes = instr->scratch_bytes + (size_t)n * instr->member_scratch_bytes;
    r.scratch = guarded(bytes);
    memset(r.scratch, 0xff, bytes); /* floats from it would be NaN */
    for (int phase = 0; phase < instr->n_phases; phase++)
        for (int id = n - 1; id >= 0; id--) mica__phase(instr, &r, phase)(instr, &r, id, n);
}

static void compare(const op_case *c, const mica__tensor *out, int64_t n, bool plain)
{
    struct worst *w = worst_of(c->name);
    w->cases++;
    w->fast += !plain;
    for (int64_t i = 0; i < n; i++) {
        double got = get(out, i), expected = c->expected[i];
        double error = fabs(got - expected) / (fabs(expected) + c->scale);
        if (got == expected || (isnan(got) && isnan(expected))) error = 0;
        if (out->dtype == MICA_DTYPE_F32 && error > w->error[!plain]) w->error[!plain] = error;
        if (c->bound > 0 && error / c->bound > w->ratio[!plain]) w->ratio[!plain] = error / c->bound;
        if (!(error <= c->bound))
            fail_msg("%s (%s, %s): element %lld is %.9g, expected %.9g: error %.3g, bound %.3g", c->name,
                     plain ? "plain" : "fast", mica_dtype_name(c->instr.in[0].dtype), (long long)i, got, expected,
                     error, c->bound);
    }
}

/* Returns the output of the chosen kernel for more checks; valid until drop_all. */
MAYBE_UNUSED static const void *check_case(op_case *c)
{
    static const int teams[] = {1, 2, 3, 7};
    mica__kernel plain_kernel = NULL;
    mica__tensor *out = &c->instr.out;
    int64_t step = 1;
    for (int d = out->ndim - 1; d >= 0; d--) {
        out->strides[d] = step;
        step *= out->shape[d];
    }
    int64_t n = out->ndim && out->shape[0] ? size_of(out) / out->shape[0] * mica__rows(out, &c->run) : size_of(out);
    size_t bytes = (size_t)size_of(out) * mica_dtype_size(out->dtype), used = (size_t)n * mica_dtype_size(out->dtype);
    uint8_t *first = NULL;
    for (int plain = 1; plain >= 0; plain--) {
        choose(&c->instr, plain);
        mica__kernel main_kernel = mica__phase(&c->instr, &c->run, c->instr.n_phases > 1 ? 1 : 0);
        if (!plain && main_kernel == plain_kernel) break;
        plain_kernel = main_kernel;
        for (size_t i = 0; i < sizeof teams / sizeof *teams; i++) {
            out->data = guarded(bytes);
            memset(out->data, 0x5a, bytes);
            if (c->before) c->before(c->context);
            run_team(&c->instr, &c->run, teams[i]);
            if (i == 0) {
                first = out->data;
                compare(c, out, n, plain);
            } else if (memcmp(first, out->data, used) != 0) {
                fail_msg("%s: a team of %d gives other bits than one thread", c->name, teams[i]);
            }
            for (size_t b = used; b < bytes; b++)
                if (((uint8_t *)out->data)[b] != 0x5a) fail_msg("%s: wrote past the actual rows", c->name);
        }
    }
    free(c->expected);
    c->expected = NULL;
    out->data = first;
    return first;
}

#endif
