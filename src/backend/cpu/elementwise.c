/* backend/cpu/elementwise.c: ops that compute each element of the output from the same element of the inputs.
 *
 * An op is a loop over a run in one computing type (convert.h); a kernel walks the tensors run by run: load, compute, store.
 * Integers wrap like NumPy's. The fast variant exchanges only the loops over floats and the conversion of half types. */
#include "elementwise.h"
#include "kernels.h"
#include "walk.h"

#include <tgmath.h>

/* ---- runs of floating numbers ------------------------------------------------------------------------------------------ */

typedef void (*f64_run)(const double *a, const double *b, double *out, int64_t n);
typedef void (*i64_run)(const int64_t *a, const int64_t *b, int64_t *out, int64_t n);
typedef void (*u64_run)(const uint64_t *a, const uint64_t *b, uint64_t *out, int64_t n);

#define RUN(name, T, suffix, expression)                                                                               \
    static void name##_##suffix(const T *a, const T *b, T *out, int64_t n)                                             \
    {                                                                                                                  \
        (void)b;                                                                                                       \
        for (int64_t i = 0; i < n; i++) out[i] = expression;                                                           \
    }
/* The expression sees x (and y), and T for its constants. */
#define FLOAT_UNARY(name, expression)                                                                                  \
    static inline float name##_one_f32(float x)                                                                        \
    {                                                                                                                  \
        typedef float T;                                                                                               \
        return (T)(expression);                                                                                        \
    }                                                                                                                  \
    static inline double name##_one_f64(double x)                                                                      \
    {                                                                                                                  \
        typedef double T;                                                                                              \
        return (T)(expression);                                                                                        \
    }                                                                                                                  \
    RUN(name, float, f32, name##_one_f32(a[i])) RUN(name, double, f64, name##_one_f64(a[i]))
#define FLOAT_BINARY(name, expression)                                                                                 \
    static inline float name##_one_f32(float x, float y) { return (float)(expression); }                               \
    static inline double name##_one_f64(double x, double y) { return (double)(expression); }                           \
    RUN(name, float, f32, name##_one_f32(a[i], b[i])) RUN(name, double, f64, name##_one_f64(a[i], b[i]))

/* clang-format off */
FLOAT_UNARY(negative, -x)
FLOAT_UNARY(abs, fabs(x))
FLOAT_UNARY(sign, x > 0 ? (T)1 : x < 0 ? (T)-1 : x)
FLOAT_UNARY(square, x * x)
FLOAT_UNARY(sqrt, sqrt(x))
FLOAT_UNARY(rsqrt, (T)1 / sqrt(x))
FLOAT_UNARY(reciprocal, (T)1 / x)
FLOAT_UNARY(exp, exp(x))
FLOAT_UNARY(expm1, expm1(x))
FLOAT_UNARY(log, log(x))
FLOAT_UNARY(log1p, log1p(x))
FLOAT_UNARY(sin, sin(x))
FLOAT_UNARY(cos, cos(x))
FLOAT_UNARY(tanh, tanh(x))
FLOAT_UNARY(erf, erf(x))
FLOAT_UNARY(sigmoid, (T)1 / ((T)1 + exp(-x)))
FLOAT_UNARY(silu, x / ((T)1 + exp(-x)))
FLOAT_UNARY(gelu, (T)0.5 * x * erfc(-x * (T)0.70710678118654752440))
/* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)), which does not cancel for negative u. */
FLOAT_UNARY(gelu_tanh, x / ((T)1 + exp((T)-1.59576912160573071176 * (x + (T)0.044715 * x * x * x))))
FLOAT_UNARY(relu, x <= 0 ? (T)0 : x)
FLOAT_UNARY(softplus, (x > 0 ? x : (T)0) + log1p(exp(-fabs(x))))
FLOAT_UNARY(floor, floor(x))
FLOAT_UNARY(ceil, ceil(x))
FLOAT_UNARY(round, rint(x))
FLOAT_UNARY(logical_not, x == 0 ? (T)1 : (T)0)

FLOAT_BINARY(add, x + y)
FLOAT_BINARY(subtract, x - y)
FLOAT_BINARY(multiply, x * y)
FLOAT_BINARY(divide, x / y)
FLOAT_BINARY(remainder, (fmod(x, y) != 0 && (fmod(x, y) < 0) != (y < 0)) ? fmod(x, y) + y : copysign(fmod(x, y), fmod(x, y) == 0 ? y : fmod(x, y)))
FLOAT_BINARY(power, pow(x, y))
FLOAT_BINARY(maximum, x >= y || x != x ? x : y)
FLOAT_BINARY(minimum, x <= y || x != x ? x : y)
FLOAT_BINARY(equal, x == y)
FLOAT_BINARY(not_equal, x != y)
FLOAT_BINARY(less, x < y)
FLOAT_BINARY(less_equal, x <= y)
FLOAT_BINARY(greater, x > y)
FLOAT_BINARY(greater_equal, x >= y)
FLOAT_BINARY(logical_and, x != 0 && y != 0)
FLOAT_BINARY(logical_or, x != 0 || y != 0)

/* ---- runs of integers -------------------------------------------------------------------------------------------------- */
/* 64-bit arithmetic modulo 2^64; the store drops the high bits, which is each narrower type's own wrapping. */

/* Python's: the result has the sign of the divisor; 0 where the divisor is 0. */
static inline int64_t remainder_i(int64_t x, int64_t y)
{
    if (y == 0 || y == -1) return 0;
    int64_t r = x % y;
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static inline uint64_t power_u(uint64_t x, uint64_t y)
{
    uint64_t result = 1;
    for (; y; y >>= 1, x *= x)
        if (y & 1) result *= x;
    return result;
}

/* A negative exponent leaves the integer part: 0 but for bases 1 and -1. */
static inline int64_t power_i(int64_t x, int64_t y)
{
    if (y >= 0) return (int64_t)power_u((uint64_t)x, (uint64_t)y);
    return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
}

#define INT_UNARY(name, signed_expression, unsigned_expression)                                                        \
    static inline int64_t name##_one_i64(int64_t x) { return (int64_t)(signed_expression); }                           \
    static inline uint64_t name##_one_u64(uint64_t x) { return (uint64_t)(unsigned_expression); }                      \
    RUN(name, int64_t, i64, name##_one_i64(a[i])) RUN(name, uint64_t, u64, name##_one_u64(a[i]))
#define INT_BINARY(name, signed_expression, unsigned_expression)                                                       \
    static inline int64_t name##_one_i64(int64_t x, int64_t y) { return (int64_t)(signed_expression); }                \
    static inline uint64_t name##_one_u64(uint64_t x, uint64_t y) { return (uint64_t)(unsigned_expression); }          \
    RUN(name, int64_t, i64, name##_one_i64(a[i], b[i])) RUN(name, uint64_t, u64, name##_one_u64(a[i], b[i]))
#define WRAP(operator) (uint64_t) x operator(uint64_t) y

INT_UNARY(negative, 0 - (uint64_t)x, 0 - x)
INT_UNARY(abs, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x)
INT_UNARY(sign, (x > 0) - (x < 0), x > 0)
INT_UNARY(square, (uint64_t)x * (uint64_t)x, x * x)
INT_UNARY(relu, x < 0 ? 0 : x, x)
INT_UNARY(same, x, x)
INT_UNARY(logical_not, x == 0, x == 0)

INT_BINARY(add, WRAP(+), x + y)
INT_BINARY(subtract, WRAP(-), x - y)
INT_BINARY(multiply, WRAP(*), x * y)
INT_BINARY(remainder, remainder_i(x, y), y ? x % y : 0)
INT_BINARY(power, power_i(x, y), power_u(x, y))
INT_BINARY(maximum, x > y ? x : y, x > y ? x : y)
INT_BINARY(minimum, x < y ? x : y, x < y ? x : y)
INT_BINARY(equal, x == y, x == y)
INT_BINARY(not_equal, x != y, x != y)
INT_BINARY(less, x < y, x < y)
INT_BINARY(less_equal, x <= y, x <= y)
INT_BINARY(greater, x > y, x > y)
INT_BINARY(greater_equal, x >= y, x >= y)
INT_BINARY(logical_and, x != 0 && y != 0, x != 0 && y != 0)
INT_BINARY(logical_or, x != 0 || y != 0, x != 0 || y != 0)
/* clang-format on */

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

typedef struct op_runs {
    mica__f32_run f32;
    f64_run f64;
    i64_run i64; /* NULL: integers are computed as floats */
    u64_run u64;
} op_runs;

#define FLOAT_ONLY(code, name) [MICA__OP_##code] = {name##_f32, name##_f64, NULL, NULL},
#define BOTH(code, name) [MICA__OP_##code] = {name##_f32, name##_f64, name##_i64, name##_u64},
#define AS_IS(code, name) [MICA__OP_##code] = {name##_f32, name##_f64, same_i64, same_u64},

/* clang-format off */
static const op_runs table[MICA__OP_COUNT] = {
    BOTH(NEGATIVE, negative) BOTH(ABS, abs) BOTH(SIGN, sign) BOTH(SQUARE, square) BOTH(RELU, relu)
    BOTH(LOGICAL_NOT, logical_not) AS_IS(FLOOR, floor) AS_IS(CEIL, ceil) AS_IS(ROUND, round)
    FLOAT_ONLY(SQRT, sqrt) FLOAT_ONLY(RSQRT, rsqrt) FLOAT_ONLY(RECIPROCAL, reciprocal) FLOAT_ONLY(EXP, exp)
    FLOAT_ONLY(EXPM1, expm1) FLOAT_ONLY(LOG, log) FLOAT_ONLY(LOG1P, log1p) FLOAT_ONLY(SIN, sin) FLOAT_ONLY(COS, cos)
    FLOAT_ONLY(TANH, tanh) FLOAT_ONLY(ERF, erf) FLOAT_ONLY(SIGMOID, sigmoid) FLOAT_ONLY(SILU, silu)
    FLOAT_ONLY(GELU, gelu) FLOAT_ONLY(GELU_TANH, gelu_tanh) FLOAT_ONLY(SOFTPLUS, softplus)
    BOTH(ADD, add) BOTH(SUBTRACT, subtract) BOTH(MULTIPLY, multiply) FLOAT_ONLY(DIVIDE, divide)
    BOTH(REMAINDER, remainder) BOTH(POWER, power) BOTH(MAXIMUM, maximum) BOTH(MINIMUM, minimum) BOTH(EQUAL, equal)
    BOTH(NOT_EQUAL, not_equal) BOTH(LESS, less) BOTH(LESS_EQUAL, less_equal) BOTH(GREATER, greater)
    BOTH(GREATER_EQUAL, greater_equal) BOTH(LOGICAL_AND, logical_and) BOTH(LOGICAL_OR, logical_or)
};
/* clang-format on */

mica__f32_run mica__f32_op(mica__op op) { return table[op].f32; }

/* ---- kernels ------------------------------------------------------------------------------------------------------------ */

/* Elements per unit of work: a multiple of a cache line for every dtype. */
enum { UNIT = 64 };

typedef struct kit {
    bool fast;
    mica__class class;
} kit;

/* The run as floats: in place where that is possible, else converted into `buffer`. */
static const float *floats(const kit *k, mica__chunk *buffer, const void *src, mica_dtype dtype, int64_t stride,
                           int64_t n)
{
    if (stride == 1 && dtype == MICA_DTYPE_F32 && (uintptr_t)src % sizeof(float) == 0) return src;
#if MICA__VECTORS
    if (k->fast && stride == 1 && (dtype == MICA_DTYPE_BF16 || dtype == MICA_DTYPE_F16)) {
        mica__load_f32_fast(buffer->f32, src, dtype, n);
        return buffer->f32;
    }
#endif
    (void)k;
    mica__load(MICA__CLASS_F32, buffer, src, dtype, stride, n);
    return buffer->f32;
}

static void store_floats(const kit *k, const mica__chunk *src, void *dst, mica_dtype dtype, int64_t n)
{
#if MICA__VECTORS
    if (k->fast && (dtype == MICA_DTYPE_BF16 || dtype == MICA_DTYPE_F16)) {
        mica__store_f32_fast(src->f32, dst, dtype, n);
        return;
    }
#endif
    (void)k;
    mica__store(MICA__CLASS_F32, src, dst, dtype, 1, n);
}

static mica__f32_run f32_op(mica__op op, bool fast)
{
#if MICA__VECTORS
    mica__f32_run run = fast ? mica__f32_op_fast(op) : NULL;
    if (run) return run;
#endif
    (void)fast;
    return table[op].f32;
}

/* Floats go straight to the output where they can. */
static bool in_place(const mica__tensor *out, const void *at)
{
    return out->dtype == MICA_DTYPE_F32 && (uintptr_t)at % sizeof(float) == 0;
}

static mica__class class_for(const mica__instr *instr)
{
    mica__class c = mica__class_of(instr->in[0].dtype);
    if (instr->n_in > 1) c = mica__class_join(c, mica__class_of(instr->in[1].dtype));
    if (table[instr->op].i64 || c == MICA__CLASS_F32 || c == MICA__CLASS_F64) return c;
    return instr->out.dtype == MICA_DTYPE_F64 ? MICA__CLASS_F64 : MICA__CLASS_F32;
}

static void elementwise(const mica__instr *instr, const mica__run *run, int id, int n, bool fast)
{
    const mica__tensor *out = &instr->out, *a = &instr->in[0], *b = instr->n_in > 1 ? &instr->in[1] : a;
    const mica__tensor *operands[] = {out, a, b};
    const kit k = {fast, class_for(instr)};
    const op_runs *op = &table[instr->op];
    mica__f32_run f32 = f32_op(instr->op, fast);
    mica__walk walk;
    mica__walk_init(&walk, operands, 3, 0, mica__rows(out, run));
    int64_t begin, end, at[MICA__WALK_MAX], count;
    mica__share(walk.total, UNIT, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    while ((count = mica__walk_next(&walk, MICA__CHUNK, at)) > 0) {
        mica__chunk x, y;
        const void *pa = mica__at(a, at[1]), *pb = mica__at(b, at[2]);
        void *po = mica__at(out, at[0]);
        int64_t sa = mica__walk_step(&walk, 1), sb = mica__walk_step(&walk, 2);
        if (k.class == MICA__CLASS_F32) {
            const float *fa = floats(&k, &x, pa, a->dtype, sa, count);
            const float *fb = b == a ? fa : floats(&k, &y, pb, b->dtype, sb, count);
            bool direct = in_place(out, po);
            f32(fa, fb, direct ? po : x.f32, count);
            if (!direct) store_floats(&k, &x, po, out->dtype, count);
            continue;
        }
        mica__load(k.class, &x, pa, a->dtype, sa, count);
        mica__load(k.class, &y, pb, b->dtype, sb, count);
        if (k.class == MICA__CLASS_F64) op->f64(x.f64, y.f64, x.f64, count);
        if (k.class == MICA__CLASS_I64) op->i64(x.i64, y.i64, x.i64, count);
        if (k.class == MICA__CLASS_U64) op->u64(x.u64, y.u64, x.u64, count);
        mica__store(k.class, &x, po, out->dtype, 1, count);
    }
}

/* softcap and gated: chains of float ops that keep the intermediate in a run. */
static void chained(const mica__instr *instr, const mica__run *run, int id, int n, bool fast)
{
    static const mica__op activations[] = {
        [MICA_ACTIVATION_SILU] = MICA__OP_SILU,
        [MICA_ACTIVATION_GELU] = MICA__OP_GELU,
        [MICA_ACTIVATION_GELU_TANH] = MICA__OP_GELU_TANH,
        [MICA_ACTIVATION_RELU] = MICA__OP_RELU,
    };
    bool gated = instr->op == MICA__OP_GATED;
    const mica__tensor *out = &instr->out, *a = &instr->in[0], *b = gated ? &instr->in[1] : a;
    const mica__tensor *operands[] = {out, a, b};
    const kit k = {fast, MICA__CLASS_F32};
    mica__f32_run first = f32_op(gated ? activations[instr->attrs.activation] : MICA__OP_TANH, fast);
    mica__f32_run multiply = f32_op(MICA__OP_MULTIPLY, fast), divide = f32_op(MICA__OP_DIVIDE, fast);
    mica__chunk cap;
    for (int i = 0; i < MICA__CHUNK; i++) cap.f32[i] = (float)instr->attrs.value;
    mica__walk walk;
    mica__walk_init(&walk, operands, 3, 0, mica__rows(out, run));
    int64_t begin, end, at[MICA__WALK_MAX], count;
    mica__share(walk.total, UNIT, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    while ((count = mica__walk_next(&walk, MICA__CHUNK, at)) > 0) {
        mica__chunk x, y, t;
        void *po = mica__at(out, at[0]);
        const float *fa = floats(&k, &x, mica__at(a, at[1]), a->dtype, mica__walk_step(&walk, 1), count);
        const float *fb = cap.f32;
        if (gated) {
            fb = floats(&k, &y, mica__at(b, at[2]), b->dtype, mica__walk_step(&walk, 2), count);
            first(fa, fa, t.f32, count);
        } else {
            divide(fa, cap.f32, t.f32, count);
            first(t.f32, t.f32, t.f32, count);
        }
        bool direct = in_place(out, po);
        multiply(t.f32, fb, direct ? po : t.f32, count);
        if (!direct) store_floats(&k, &t, po, out->dtype, count);
    }
}

/* Chooses without computing, so that any dtype passes whole: the class of the output's dtype. */
static void where(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *out = &instr->out, *test = &instr->in[0], *a = &instr->in[1], *b = &instr->in[2];
    const mica__tensor *operands[] = {out, test, a, b};
    mica__class class = mica__class_of(out->dtype);
    mica__walk walk;
    mica__walk_init(&walk, operands, 4, 0, mica__rows(out, run));
    int64_t begin, end, at[MICA__WALK_MAX], count;
    mica__share(walk.total, UNIT, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    while ((count = mica__walk_next(&walk, MICA__CHUNK, at)) > 0) {
        mica__chunk c, x, y;
        mica__load(MICA__CLASS_F64, &c, mica__at(test, at[1]), test->dtype, mica__walk_step(&walk, 1), count);
        mica__load(class, &x, mica__at(a, at[2]), a->dtype, mica__walk_step(&walk, 2), count);
        mica__load(class, &y, mica__at(b, at[3]), b->dtype, mica__walk_step(&walk, 3), count);
        for (int64_t i = 0; i < count; i++) {
            if (c.f64[i] != 0) continue;
            if (class == MICA__CLASS_F32) {
                x.f32[i] = y.f32[i];
            } else {
                x.u64[i] = y.u64[i];
            }
        }
        mica__store(class, &x, mica__at(out, at[0]), out->dtype, 1, count);
    }
}

/* full and arange: in double, which holds every value that the builders can give. */
static void fill(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *out = &instr->out;
    int64_t total = mica__rows(out, run), begin, end;
    for (int d = 1; d < out->ndim; d++) total *= out->shape[d];
    double step = instr->op == MICA__OP_ARANGE ? instr->attrs.value2 : 0;
    mica__share(total, UNIT, id, n, &begin, &end);
    for (int64_t i = begin; i < end; i += MICA__CHUNK) {
        mica__chunk x;
        int64_t count = mica__min(end - i, MICA__CHUNK);
        for (int64_t j = 0; j < count; j++) x.f64[j] = instr->attrs.value + (double)(i + j) * step;
        mica__store(MICA__CLASS_F64, &x, mica__at(out, i), out->dtype, 1, count);
    }
}

static void elementwise_plain(const mica__instr *i, const mica__run *r, int id, int n)
{
    elementwise(i, r, id, n, false);
}
static void elementwise_fast(const mica__instr *i, const mica__run *r, int id, int n)
{
    elementwise(i, r, id, n, true);
}
static void chained_plain(const mica__instr *i, const mica__run *r, int id, int n) { chained(i, r, id, n, false); }
static void chained_fast(const mica__instr *i, const mica__run *r, int id, int n) { chained(i, r, id, n, true); }

bool mica__cpu_unary(mica__instr *instr, bool plain)
{
    return mica__set_kernel(instr, plain || !mica__has_vectors() ? elementwise_plain : elementwise_fast);
}

bool mica__cpu_binary(mica__instr *instr, bool plain) { return mica__cpu_unary(instr, plain); }

bool mica__cpu_softcap(mica__instr *instr, bool plain)
{
    return mica__set_kernel(instr, plain || !mica__has_vectors() ? chained_plain : chained_fast);
}

bool mica__cpu_gated(mica__instr *instr, bool plain) { return mica__cpu_softcap(instr, plain); }

bool mica__cpu_where(mica__instr *instr, bool plain)
{
    (void)plain;
    return mica__set_kernel(instr, where);
}

bool mica__cpu_fill(mica__instr *instr, bool plain)
{
    (void)plain;
    return mica__set_kernel(instr, fill);
}
