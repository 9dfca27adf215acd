/* tests/backend/test_ops.c: the op table: every op but the products and attention (test_linear.c, test_attention.c), for every
 * dtype, shapes that are no multiple of anything, and strides of every kind, against double precision. */
#include "op_table.h"
#include "backend/cpu/kernels.h"

/* Relative rounding of one store. */
static double unit_of(mica_dtype t)
{
    switch (t) {
    case MICA_DTYPE_F32:
        return 0x1p-24;
    case MICA_DTYPE_F16:
        return 0x1p-11;
    case MICA_DTYPE_BF16:
        return 0x1p-8;
    case MICA_DTYPE_F64:
        return 0x1p-53;
    default:
        return 0;
    }
}

/* Below this the dtype's own spacing is absolute. */
static double smallest_of(mica_dtype t)
{
    return t == MICA_DTYPE_F16 ? 0x1p-14 : t == MICA_DTYPE_F64 ? 0x1p-1000 : 0x1p-126;
}

/* An integer dtype's own wrapping. */
static double wrap(double v, mica_dtype t)
{
    if (mica__floating(t) || v != v) return v;
    if (t == MICA_DTYPE_BOOL) return v != 0;
    if (t == MICA_DTYPE_I64) return v;
    if (t == MICA_DTYPE_U64) return v < 0 ? v + 0x1p64 : v;
    double span = ldexp(1, 8 * (int)mica_dtype_size(t)),
           low = t == MICA_DTYPE_U8 || t == MICA_DTYPE_U16 || t == MICA_DTYPE_U32 ? 0 : -span / 2;
    return v - span * floor((v - low) / span);
}

static const int64_t shapes[][4] = {{1}, {7}, {300}, {3, 5}, {17, 33}, {2, 3, 70}, {2, 1, 5, 9}, {1, 1}, {4, 513}, {1}};
static const int ndims[] = {1, 1, 1, 2, 2, 3, 4, 2, 2, 0};
enum { N_SHAPES = 10 };

static const mica_dtype all_dtypes[] = {
    MICA_DTYPE_F32, MICA_DTYPE_F16, MICA_DTYPE_BF16, MICA_DTYPE_F64, MICA_DTYPE_I8,  MICA_DTYPE_I16,  MICA_DTYPE_I32,
    MICA_DTYPE_I64, MICA_DTYPE_U8,  MICA_DTYPE_U16,  MICA_DTYPE_U32, MICA_DTYPE_U64, MICA_DTYPE_BOOL,
};
enum { N_DTYPES = 13 };

static bool is_unsigned(mica_dtype t) { return t >= MICA_DTYPE_U8 && t <= MICA_DTYPE_BOOL; }

/* ---- elementwise --------------------------------------------------------------------------------------------------------- */

static double gelu_tanh(double x)
{
    return x / (1 + exp(-2 * sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static double unary_of(mica__op op, double x)
{
    switch (op) {
    case MICA__OP_NEGATIVE:
        return -x;
    case MICA__OP_ABS:
        return fabs(x);
    case MICA__OP_SIGN:
        return x > 0 ? 1 : x < 0 ? -1 : x;
    case MICA__OP_SQUARE:
        return x * x;
    case MICA__OP_SQRT:
        return sqrt(x);
    case MICA__OP_RSQRT:
        return 1 / sqrt(x);
    case MICA__OP_RECIPROCAL:
        return 1 / x;
    case MICA__OP_EXP:
        return exp(x);
    case MICA__OP_EXPM1:
        return expm1(x);
    case MICA__OP_LOG:
        return log(x);
    case MICA__OP_LOG1P:
        return log1p(x);
    case MICA__OP_SIN:
        return sin(x);
    case MICA__OP_COS:
        return cos(x);
    case MICA__OP_TANH:
        return tanh(x);
    case MICA__OP_ERF:
        return erf(x);
    case MICA__OP_SIGMOID:
        return 1 / (1 + exp(-x));
    case MICA__OP_SILU:
        return x / (1 + exp(-x));
    case MICA__OP_GELU:
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case MICA__OP_GELU_TANH:
        return gelu_tanh(x);
    case MICA__OP_RELU:
        return x <= 0 ? 0 : x;
    case MICA__OP_SOFTPLUS:
        return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    case MICA__OP_FLOOR:
        return floor(x);
    case MICA__OP_CEIL:
        return ceil(x);
    case MICA__OP_ROUND:
        return nearbyint(x);
    default:
        return x == 0;
    }
}

static double binary_of(mica__op op, double x, double y, bool integer)
{
    double r;
    switch (op) {
    case MICA__OP_ADD:
        return x + y;
    case MICA__OP_SUBTRACT:
        return x - y;
    case MICA__OP_MULTIPLY:
        return x * y;
    case MICA__OP_DIVIDE:
        return x / y;
    case MICA__OP_REMAINDER:
        if (integer && y == 0) return 0;
        r = fmod(x, y);
        return r != 0 && (r < 0) != (y < 0) ? r + y : r;
    case MICA__OP_POWER:
        if (integer && y < 0) return x == 1 ? 1 : x == -1 ? (fmod(y, 2) != 0 ? -1 : 1) : 0;
        return pow(x, y);
    case MICA__OP_MAXIMUM:
        return x != x || y != y ? NAN : x > y ? x : y;
    case MICA__OP_MINIMUM:
        return x != x || y != y ? NAN : x < y ? x : y;
    case MICA__OP_EQUAL:
        return x == y;
    case MICA__OP_NOT_EQUAL:
        return x != y;
    case MICA__OP_LESS:
        return x < y;
    case MICA__OP_LESS_EQUAL:
        return x <= y;
    case MICA__OP_GREATER:
        return x > y;
    case MICA__OP_GREATER_EQUAL:
        return x >= y;
    case MICA__OP_LOGICAL_AND:
        return x != 0 && y != 0;
    default:
        return x != 0 || y != 0;
    }
}

/* Ulps that a float computation may add to the rounding of the result. */
static double slack_of(mica__op op)
{
    switch (op) {
    case MICA__OP_GELU_TANH:
        return 24; /* the exponent's own rounding grows with it */
    case MICA__OP_GELU:
        return 24;
    case MICA__OP_SIGMOID:
    case MICA__OP_SILU:
    case MICA__OP_TANH:
    case MICA__OP_SOFTPLUS:
    case MICA__OP_POWER:
    case MICA__OP_REMAINDER:
        return 5;
    default:
        return 3;
    }
}

static double bound_of(mica__op op, mica_dtype out)
{
    double computing = out == MICA_DTYPE_F64 ? 0x1p-53 : 0x1p-24;
    return unit_of(out) + slack_of(op) * computing;
}

static bool integers_as_floats(mica__op op)
{
    return op == MICA__OP_DIVIDE || (op >= MICA__OP_SQRT && op <= MICA__OP_GELU_TANH) || op == MICA__OP_SOFTPLUS;
}

static void bounds_for(mica__op op, mica_dtype t, double *low, double *high)
{
    bool positive = op == MICA__OP_SQRT || op == MICA__OP_RSQRT || op == MICA__OP_LOG || op == MICA__OP_LOG1P;
    *low = positive ? 0.1 : -9;
    *high = 9;
    if (!mica__floating(t)) *high = 100;
    if (!mica__floating(t) && !positive) *low = -100;
    if (is_unsigned(t) || positive) *low = positive ? 1 : 0;
    if (integers_as_floats(op) && !mica__floating(t)) *low = fmax(*low, -80), *high = 80;
    if (op == MICA__OP_POWER) *low = is_unsigned(t) ? 0 : mica__floating(t) ? 0.1 : -3, *high = 4;
}

static void set_shape(mica__tensor *out, const mica__tensor *like, mica_dtype dtype)
{
    *out = (mica__tensor){.dtype = dtype, .ndim = like->ndim};
    for (int d = 0; d < like->ndim; d++) out->shape[d] = like->shape[d];
}

static void check_elementwise(const char *name, mica__op op, mica_dtype t, int n_in, int s, layout how)
{
    double low, high;
    bounds_for(op, t, &low, &high);
    op_case c = {.name = name, .instr = {.op = op, .n_in = n_in}};
    bool boolean = op == MICA__OP_LOGICAL_NOT || (op >= MICA__OP_EQUAL && op <= MICA__OP_LOGICAL_OR);
    for (int i = 0; i < n_in; i++)
        c.instr.in[i] = make(t, shapes[s], ndims[s], i ? (layout)((how + 1) % N_LAYOUTS) : how, low, high);
    mica_dtype out = boolean ? MICA_DTYPE_BOOL : integers_as_floats(op) && !mica__floating(t) ? MICA_DTYPE_F32 : t;
    set_shape(&c.instr.out, &c.instr.in[0], out);
    int64_t n = size_of(&c.instr.out);
    c.expected = calloc((size_t)n, sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        double x = get(&c.instr.in[0], i), y = n_in > 1 ? get(&c.instr.in[1], i) : 0;
        double r = n_in > 1 ? binary_of(op, x, y, !mica__floating(t)) : unary_of(op, x);
        c.expected[i] = wrap(r, out);
        if (op == MICA__OP_SIN || op == MICA__OP_COS || op == MICA__OP_REMAINDER || op == MICA__OP_LOG) c.scale = 1;
    }
    c.bound = bound_of(op, out);
    if (op == MICA__OP_GELU || op == MICA__OP_GELU_TANH)
        c.scale = 0.01; /* far to the left the argument's rounding counts */
    if (c.scale == 0) c.scale = smallest_of(out);
    check_case(&c);
    drop_all();
}

static void unary(void **state)
{
    (void)state;
    for (mica__op op = MICA__OP_NEGATIVE; op <= MICA__OP_LOGICAL_NOT; op++)
        for (int d = 0; d < N_DTYPES; d++)
            for (int s = 0; s < N_SHAPES; s++)
                check_elementwise(mica__op_name(op), op, all_dtypes[d], 1, s, (layout)((s + d) % N_LAYOUTS));
}

static void binary(void **state)
{
    (void)state;
    for (mica__op op = MICA__OP_ADD; op <= MICA__OP_LOGICAL_OR; op++) {
        for (int d = 0; d < N_DTYPES; d++) {
            if (op == MICA__OP_DIVIDE && all_dtypes[d] == MICA_DTYPE_BOOL) continue;
            for (int s = 0; s < N_SHAPES; s++)
                check_elementwise(mica__op_name(op), op, all_dtypes[d], 2, s, (layout)((s + d) % N_LAYOUTS));
        }
    }
}

/* Infinities, NaN, zeros, denormals and the ends of the range. */
static void special_values(void **state)
{
    (void)state;
    static const float values[] = {0,       -0.0f, 1,      -1,    INFINITY, -INFINITY, NAN,    1e-40f,
                                   -1e-40f, 88.5f, -88.5f, 89.5f, -104,     -87.4f,    104,    1e30f,
                                   -1e30f,  3e38f, -3e38f, 0.1f,  -0.1f,    1e-8f,     -1e-8f, 0.347f,
                                   -0.35f,  20,    -20,    9.1f,  -9.1f,    5e-4f,     2.5f,   3.5f};
    enum { N = sizeof values / sizeof *values };
    for (mica__op op = MICA__OP_NEGATIVE; op <= MICA__OP_LOGICAL_OR; op++) {
        if (op == MICA__OP_GELU_TANH || op == MICA__OP_GELU || op == MICA__OP_POWER || op == MICA__OP_REMAINDER)
            continue;
        bool two = op >= MICA__OP_ADD;
        op_case c = {.name = mica__op_name(op), .instr = {.op = op, .n_in = two ? 2 : 1}};
        int64_t n = two ? N * N : N;
        for (int i = 0; i <= two; i++) c.instr.in[i] = make_dense(MICA_DTYPE_F32, &n, 1, 0, 1);
        bool boolean = op == MICA__OP_LOGICAL_NOT || (op >= MICA__OP_EQUAL && op <= MICA__OP_LOGICAL_OR);
        set_shape(&c.instr.out, &c.instr.in[0], boolean ? MICA_DTYPE_BOOL : MICA_DTYPE_F32);
        c.expected = calloc((size_t)n, sizeof(double));
        for (int64_t i = 0; i < n; i++) {
            double x = (double)values[i % N], y = (double)values[i / N];
            set(&c.instr.in[0], i, x);
            if (two) set(&c.instr.in[1], i, y);
            double r = two ? binary_of(op, x, y, false) : unary_of(op, x);
            if (op == MICA__OP_SILU && x == -INFINITY) r = NAN;
            c.expected[i] = boolean ? r : (double)(float)r;
        }
        c.bound = bound_of(op, MICA_DTYPE_F32);
        c.scale = op == MICA__OP_SIN || op == MICA__OP_COS ? 1 : 1e-32; /* denormals may vanish */
        check_case(&c);
        drop_all();
    }
}

static void where(void **state)
{
    (void)state;
    for (int d = 0; d < N_DTYPES; d++) {
        for (int s = 0; s < N_SHAPES; s++) {
            layout how = (layout)((s + d) % N_LAYOUTS);
            double low = is_unsigned(all_dtypes[d]) ? 0 : -100;
            op_case c = {.name = "where", .instr = {.op = MICA__OP_WHERE, .n_in = 3}};
            c.instr.in[0] = make(MICA_DTYPE_BOOL, shapes[s], ndims[s], how, 0, 2);
            c.instr.in[1] = make(all_dtypes[d], shapes[s], ndims[s], (layout)((how + 1) % N_LAYOUTS), low, 100);
            c.instr.in[2] = make(all_dtypes[d], shapes[s], ndims[s], (layout)((how + 2) % N_LAYOUTS), low, 100);
            for (int64_t i = 0; i < size_of(&c.instr.in[0]); i += 2) set(&c.instr.in[0], i, 0);
            set_shape(&c.instr.out, &c.instr.in[0], all_dtypes[d]);
            int64_t n = size_of(&c.instr.out);
            c.expected = calloc((size_t)n, sizeof(double));
            for (int64_t i = 0; i < n; i++) c.expected[i] = get(&c.instr.in[get(&c.instr.in[0], i) != 0 ? 1 : 2], i);
            check_case(&c);
            drop_all();
        }
    }
}

static void chained(void **state)
{
    (void)state;
    static const mica__op activations[] = {MICA__OP_SILU, MICA__OP_GELU, MICA__OP_GELU_TANH, MICA__OP_RELU};
    static const char *names[] = {"gated silu", "gated gelu", "gated gelu_tanh", "gated relu"};
    for (int d = 0; d < 3; d++) {
        for (int s = 0; s < N_SHAPES; s++) {
            layout how = (layout)((s + d) % N_LAYOUTS);
            mica_dtype t = all_dtypes[d];
            for (int a = -1; a < 4; a++) {
                op_case c = {.name = a < 0 ? "softcap" : names[a],
                             .instr = {.op = a < 0 ? MICA__OP_SOFTCAP : MICA__OP_GATED, .n_in = a < 0 ? 1 : 2}};
                c.instr.in[0] = make(t, shapes[s], ndims[s], how, -9, 9);
                if (a >= 0) c.instr.in[1] = make(t, shapes[s], ndims[s], (layout)((how + 2) % N_LAYOUTS), -9, 9);
                c.instr.attrs.value = 2.5;
                if (a >= 0) c.instr.attrs.activation = (mica_activation)a;
                set_shape(&c.instr.out, &c.instr.in[0], t);
                int64_t n = size_of(&c.instr.out);
                c.expected = calloc((size_t)n, sizeof(double));
                for (int64_t i = 0; i < n; i++) {
                    double x = get(&c.instr.in[0], i);
                    c.expected[i] = a < 0 ? 2.5 * tanh(x / 2.5) : unary_of(activations[a], x) * get(&c.instr.in[1], i);
                }
                c.bound = unit_of(t) + 26 * 0x1p-24;
                c.scale = a == MICA_ACTIVATION_GELU || a == MICA_ACTIVATION_GELU_TANH ? 0.01 : smallest_of(t);
                check_case(&c);
                drop_all();
            }
        }
    }
}

/* ---- copies --------------------------------------------------------------------------------------------------------------- */

/* One rounding from double; to integers, truncation and saturation. */
static double converted(double v, mica_dtype from, mica_dtype to)
{
    if (mica__floating(to)) return v;
    if (to == MICA_DTYPE_BOOL) return v != 0;
    if (!mica__floating(from)) return wrap(v, to);
    double span = ldexp(1, 8 * (int)mica_dtype_size(to)), low = is_unsigned(to) ? 0 : -span / 2, high = low + span - 1;
    v = trunc(v);
    return v < low ? low : v > high ? high : v;
}

static void astype(void **state)
{
    (void)state;
    for (int from = 0; from < N_DTYPES; from++) {
        for (int to = 0; to < N_DTYPES; to++) {
            for (int s = 0; s < N_SHAPES; s++) {
                bool same = from == to;
                op_case c = {.name = same ? "copy" : "astype",
                             .instr = {.op = same ? MICA__OP_COPY : MICA__OP_ASTYPE, .n_in = 1}};
                c.instr.in[0] = make(all_dtypes[from], shapes[s], ndims[s], (layout)((s + from + to) % N_LAYOUTS),
                                     is_unsigned(all_dtypes[from]) ? 0 : -300, 300);
                set_shape(&c.instr.out, &c.instr.in[0], all_dtypes[to]);
                int64_t n = size_of(&c.instr.out);
                c.expected = calloc((size_t)n, sizeof(double));
                for (int64_t i = 0; i < n; i++)
                    c.expected[i] = converted(get(&c.instr.in[0], i), all_dtypes[from], all_dtypes[to]);
                c.bound = same ? 0 : unit_of(all_dtypes[to]);
                c.scale = smallest_of(all_dtypes[to]);
                check_case(&c);
                drop_all();
            }
        }
    }
}

/* Every half number survives the way through float, and every float goes to the nearest half. */
static void half_types(void **state)
{
    (void)state;
    static uint16_t back[65536];
    static float wide[65536];
    static uint16_t codes[65536];
    for (int i = 0; i < 65536; i++) codes[i] = (uint16_t)i;
    for (int t = 0; t < 2; t++) {
        mica_dtype dtype = t ? MICA_DTYPE_BF16 : MICA_DTYPE_F16;
        for (int fast = 0; fast <= (mica__has_vectors() ? 1 : 0); fast++) {
#if MICA__VECTORS
            if (fast) mica__load_f32_fast(wide, codes, dtype, 65536);
#endif
            if (!fast) mica__load_f32(wide, codes, dtype, 65536);
            mica__store_f32(wide, back, dtype, 65536);
            for (int i = 0; i < 65536; i++)
                if (!isnan(wide[i])) assert_int_equal(back[i], i);
            /* Half way and a little to both sides; between neighbours a and b, a even. */
            for (int i = 0; i < 0x7bff; i++) {
                float a = wide[i], b = wide[i + 1], middle = 0.5f * (a + b);
                if (isinf(b) || isnan(b) || isinf(a) || isnan(a)) continue;
                float three[] = {middle, nextafterf(middle, 0), nextafterf(middle, INFINITY), -middle, 0, 0, 0, 0};
                uint16_t got[8];
#if MICA__VECTORS
                if (fast) mica__store_f32_fast(three, got, dtype, 8);
#endif
                if (!fast) mica__store_f32(three, got, dtype, 8);
                if (got[0] != i + i % 2 || got[1] != i || got[2] != i + 1 || got[3] != (0x8000 | (i + i % 2)))
                    fail_msg("%s %d %g: %d %d %d", mica_dtype_name(dtype), i, (double)middle, got[0], got[1], got[2]);
            }
        }
    }
}

static void concatenate(void **state)
{
    (void)state;
    for (int d = 0; d < N_DTYPES; d++) {
        /* The middle part of [2, 12, 5] along axis 1, as a view. */
        mica__tensor whole = make_dense(all_dtypes[d], (int64_t[]){2, 12, 5}, 3, 0, 2), view = whole;
        mica__tensor part = make(all_dtypes[d], (int64_t[]){2, 7, 5}, 3, (layout)(d % N_LAYOUTS), 0, 2);
        view.data = (uint8_t *)whole.data + 3 * 5 * mica_dtype_size(whole.dtype);
        view.shape[1] = 7;
        mica__instr instr = {.op = MICA__OP_CONCATENATE, .n_in = 1, .in = {part}, .out = view};
        double before[120];
        for (int i = 0; i < 120; i++) before[i] = get(&whole, i);
        choose(&instr, false);
        run_team(&instr, &(mica__run){0}, 3);
        for (int i = 0; i < 120; i++) {
            int row = i / 5 % 12;
            double expected = row >= 3 && row < 10 ? get(&part, i / 60 * 35 + (row - 3) * 5 + i % 5) : before[i];
            assert_true(get(&whole, i) == expected);
        }
        drop_all();
    }
}

static void fill(void **state)
{
    (void)state;
    for (int d = 0; d < N_DTYPES - 1; d++) {
        for (int arange = 0; arange < 2; arange++) {
            op_case c = {.name = arange ? "arange" : "full", .instr = {.op = arange ? MICA__OP_ARANGE : MICA__OP_FULL}};
            c.instr.attrs.value = 3;
            c.instr.attrs.value2 = 2;
            c.instr.out = (mica__tensor){.dtype = all_dtypes[d], .ndim = 1, .shape = {600}};
            c.expected = calloc(600, sizeof(double));
            for (int i = 0; i < 600; i++)
                c.expected[i] = converted(3 + (arange ? 2 * i : 0), MICA_DTYPE_F64, all_dtypes[d]);
            c.bound = unit_of(all_dtypes[d]);
            check_case(&c);
            drop_all();
        }
    }
}

/* ---- takes ---------------------------------------------------------------------------------------------------------------- */

static void take(void **state)
{
    (void)state;
    static const int64_t xs[] = {5, 6, 70}, is[] = {2, 4};
    for (int d = 0; d < N_DTYPES; d++) {
        for (int axis = 0; axis < 3; axis++) {
            for (layout how = DENSE; how < N_LAYOUTS; how++) {
                op_case c = {.name = "take", .instr = {.op = MICA__OP_TAKE, .n_in = 2}};
                mica__tensor *x = &c.instr.in[0], *indices = &c.instr.in[1], *out = &c.instr.out;
                *x = make(all_dtypes[d], xs, 3, how, 0, 100);
                *indices = make(how % 2 ? MICA_DTYPE_I64 : MICA_DTYPE_I32, is, 2, how, -3, 75);
                c.instr.attrs.axis = axis;
                *out = (mica__tensor){.dtype = all_dtypes[d], .ndim = 4};
                int at = 0;
                for (int i = 0; i < 3; i++) {
                    if (i != axis) {
                        out->shape[at++] = xs[i];
                    } else {
                        for (int j = 0; j < 2; j++) out->shape[at++] = is[j];
                    }
                }
                int64_t n = size_of(out), after = 1, length = xs[axis];
                for (int i = axis + 1; i < 3; i++) after *= xs[i];
                c.expected = calloc((size_t)n, sizeof(double));
                for (int64_t i = 0; i < n; i++) {
                    int64_t index = (int64_t)get(indices, i / after % 8), before = i / after / 8;
                    index = index < 0 ? 0 : index >= length ? length - 1 : index;
                    c.expected[i] = get(x, (before * length + index) * after + i % after);
                }
                check_case(&c);
                drop_all();
            }
        }
    }
}

static void take_along(void **state)
{
    (void)state;
    for (int d = 0; d < N_DTYPES; d++) {
        for (layout how = DENSE; how < N_LAYOUTS; how++) {
            op_case c = {.name = "take_along", .instr = {.op = MICA__OP_TAKE_ALONG, .n_in = 2}};
            c.instr.in[0] = make(all_dtypes[d], (int64_t[]){3, 4, 50}, 3, how, 0, 100);
            c.instr.in[1] = make(MICA_DTYPE_I32, (int64_t[]){3, 4, 9}, 3, (layout)((how + 1) % N_LAYOUTS), -3, 55);
            c.instr.out = (mica__tensor){.dtype = all_dtypes[d], .ndim = 3, .shape = {3, 4, 9}};
            c.expected = calloc(108, sizeof(double));
            for (int i = 0; i < 108; i++) {
                int64_t index = (int64_t)get(&c.instr.in[1], i);
                index = index < 0 ? 0 : index >= 50 ? 49 : index;
                c.expected[i] = get(&c.instr.in[0], i / 9 * 50 + index);
            }
            check_case(&c);
            drop_all();
        }
    }
}

static void quantized_rows(void **state)
{
    (void)state;
    static const int all_bits[] = {2, 3, 4, 5, 6, 8}, groups[] = {32, 64, 128};
    for (int b = 0; b < 6; b++) {
        for (int g = 0; g < 3; g++) {
            for (int rows = 0; rows < 2; rows++) {
                mica_dtype scale_dtype = all_dtypes[(b + g) % 3];
                int64_t k = 3 * groups[g] * (g ? 1 : 3);
                op_case c = {.name = rows ? "take quantized" : "dequantize",
                             .instr = {.op = rows ? MICA__OP_TAKE : MICA__OP_DEQUANTIZE, .n_in = 1 + rows}};
                c.instr.in[0] = make_affine(7, k, all_bits[b], groups[g], scale_dtype);
                if (rows) c.instr.in[1] = make(MICA_DTYPE_I32, (int64_t[]){5}, 1, SLICED, 0, 7);
                mica_dtype out = rows ? MICA_DTYPE_F32 : scale_dtype;
                c.instr.out = (mica__tensor){.dtype = out, .ndim = 2, .shape = {rows ? 5 : 7, k}};
                int64_t n = size_of(&c.instr.out);
                c.expected = calloc((size_t)n, sizeof(double));
                for (int64_t i = 0; i < n; i++)
                    c.expected[i] =
                        get_affine(&c.instr.in[0], rows ? (int64_t)get(&c.instr.in[1], i / k) : i / k, i % k);
                c.bound = unit_of(out) + 0x1p-24;
                c.scale = 0x1p-20;
                check_case(&c);
                drop_all();
            }
        }
    }
}

/* All codes and scales that MLX writes, exactly. */
static void quantized_float_rows(void **state)
{
    (void)state;
    static const mica_quant_mode modes[] = {MICA_QUANT_MXFP4, MICA_QUANT_MXFP8, MICA_QUANT_NVFP4};
    for (int i = 0; i < 6; i++) {
        const int rows = i % 2;
        const int64_t k = 32 * 21;
        op_case c = {.name = rows ? "take quantized floats" : "dequantize floats",
                     .instr = {.op = rows ? MICA__OP_TAKE : MICA__OP_DEQUANTIZE, .n_in = 1 + rows}};
        mica__tensor w = make_quantized_float(9, k, modes[i / 2]);
        uint8_t *codes = w.data, *scales = (uint8_t *)(uintptr_t)w.affine.scales;
        for (int64_t j = 0; j < 9 * k * w.affine.bits / 8; j++) codes[j] = (uint8_t)(j * 7);
        for (int64_t j = 0; j < 9 * k / w.affine.group_size; j++) {
            int low = w.affine.mode == MICA_QUANT_NVFP4 ? 0 : 10, high = w.affine.mode == MICA_QUANT_NVFP4 ? 127 : 240;
            scales[j] = (uint8_t)(low + j * 5 % (high - low));
        }
        c.instr.in[0] = w;
        if (rows) c.instr.in[1] = make(MICA_DTYPE_I32, (int64_t[]){5}, 1, DENSE, 0, 9);
        c.instr.out =
            (mica__tensor){.dtype = rows ? MICA_DTYPE_F32 : MICA_DTYPE_BF16, .ndim = 2, .shape = {rows ? 5 : 9, k}};
        int64_t n = size_of(&c.instr.out);
        c.expected = calloc((size_t)n, sizeof(double));
        for (int64_t j = 0; j < n; j++)
            c.expected[j] = get_quantized_float(&w, rows ? (int64_t)get(&c.instr.in[1], j / k) : j / k, j % k);
        check_case(&c);
        drop_all();
    }
}

/* ---- reductions and orders ------------------------------------------------------------------------------------------------ */

static double reduction(mica__op op, const double *x, int64_t n)
{
    double r = op == MICA__OP_PROD || op == MICA__OP_ALL ? 1 : 0;
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        if (op == MICA__OP_SUM || op == MICA__OP_MEAN) r += x[i];
        if (op == MICA__OP_PROD) r *= x[i];
        if (op == MICA__OP_ALL) r = r != 0 && x[i] != 0;
        if (op == MICA__OP_ANY) r = r != 0 || x[i] != 0;
        if (op == MICA__OP_LOGSUMEXP) r += exp(x[i]);
        bool low = op == MICA__OP_MIN || op == MICA__OP_ARGMIN;
        if (low ? x[i] < x[best] : x[i] > x[best]) best = i;
    }
    if (op == MICA__OP_MEAN) return r / (double)n;
    if (op == MICA__OP_LOGSUMEXP) return log(r);
    if (op == MICA__OP_MAX || op == MICA__OP_MIN) return x[best];
    return op == MICA__OP_ARGMAX || op == MICA__OP_ARGMIN ? (double)best : r;
}

static mica_dtype reduced_dtype(mica__op op, mica_dtype t)
{
    if (op == MICA__OP_ARGMAX || op == MICA__OP_ARGMIN) return MICA_DTYPE_I32;
    if (op == MICA__OP_ALL || op == MICA__OP_ANY) return MICA_DTYPE_BOOL;
    if ((op == MICA__OP_MEAN || op == MICA__OP_LOGSUMEXP) && !mica__floating(t)) return MICA_DTYPE_F32;
    if ((op == MICA__OP_SUM || op == MICA__OP_PROD) && !mica__floating(t)) return MICA_DTYPE_I64;
    return t;
}

static void reductions(void **state)
{
    (void)state;
    for (mica__op op = MICA__OP_SUM; op <= MICA__OP_ARGMIN; op++) {
        for (int d = 0; d < N_DTYPES; d++) {
            for (int s = 0; s < N_SHAPES; s++) {
                if (ndims[s] == 0) continue;
                mica_dtype t = all_dtypes[d], to = reduced_dtype(op, t);
                double low = is_unsigned(t) ? 0 : -3, high = op == MICA__OP_PROD ? 1.9 : 4;
                if (op == MICA__OP_PROD && !is_unsigned(t)) low = -1.9; /* -1, 0, 1: no product overflows */
                if (op == MICA__OP_PROD && mica__floating(t)) low = 0.98, high = 1.02;
                op_case c = {.name = mica__op_name(op), .instr = {.op = op, .n_in = 1}};
                c.instr.in[0] = make(t, shapes[s], ndims[s], (layout)((s + d) % N_LAYOUTS), low, high);
                set_shape(&c.instr.out, &c.instr.in[0], to);
                int64_t length = shapes[s][ndims[s] - 1];
                c.instr.out.ndim--;
                c.instr.attrs.axis = ndims[s] - 1;
                int64_t n = size_of(&c.instr.out);
                double *row = calloc((size_t)length, sizeof *row);
                c.expected = calloc((size_t)n, sizeof(double));
                for (int64_t i = 0; i < n; i++) {
                    for (int64_t j = 0; j < length; j++) row[j] = get(&c.instr.in[0], i * length + j);
                    c.expected[i] = reduction(op, row, length);
                }
                free(row);
                c.bound =
                    unit_of(to) + (mica__floating(to)
                                       ? (op == MICA__OP_PROD ? (double)length : 8) *
                                             (to == MICA_DTYPE_F64 && op != MICA__OP_LOGSUMEXP ? 0x1p-53 : 0x1p-24)
                                       : 0);
                if (mica__floating(to) && op != MICA__OP_MAX && op != MICA__OP_MIN)
                    c.scale = op == MICA__OP_SUM ? sqrt((double)length) : 1;
                check_case(&c);
                drop_all();
            }
        }
    }
}

static void softmax(void **state)
{
    (void)state;
    for (int d = 0; d < 3; d++) {
        for (int s = 0; s < N_SHAPES; s++) {
            if (ndims[s] == 0) continue;
            for (layout how = DENSE; how < N_LAYOUTS; how++) {
                op_case c = {.name = "softmax", .instr = {.op = MICA__OP_SOFTMAX, .n_in = 1}};
                c.instr.in[0] = make(all_dtypes[d], shapes[s], ndims[s], how, -20, 20);
                set_shape(&c.instr.out, &c.instr.in[0], all_dtypes[d]);
                int64_t length = shapes[s][ndims[s] - 1], n = size_of(&c.instr.out);
                c.expected = calloc((size_t)n, sizeof(double));
                for (int64_t i = 0; i < n; i += length) {
                    double sum = 0, top = -1e9;
                    for (int64_t j = 0; j < length; j++) top = fmax(top, get(&c.instr.in[0], i + j));
                    for (int64_t j = 0; j < length; j++) sum += exp(get(&c.instr.in[0], i + j) - top);
                    for (int64_t j = 0; j < length; j++)
                        c.expected[i + j] = exp(get(&c.instr.in[0], i + j) - top) / sum;
                }
                c.bound = unit_of(all_dtypes[d]) + 45 * 0x1p-24; /* exp(-40) of a rounded difference */
                c.scale = fmax(0x1p-24, smallest_of(all_dtypes[d]));
                check_case(&c);
                drop_all();
            }
        }
    }
}

static void orders(void **state)
{
    (void)state;
    for (int d = 0; d < N_DTYPES; d++) {
        mica_dtype t = all_dtypes[d];
        for (int s = 0; s < N_SHAPES; s++) {
            if (ndims[s] == 0) continue;
            for (int what = 0; what < 3; what++) {
                static const mica__op ops[] = {MICA__OP_SORT, MICA__OP_ARGSORT, MICA__OP_CUMSUM};
                mica_dtype to = what == 1 ? MICA_DTYPE_I32 : what == 2 && t == MICA_DTYPE_BOOL ? MICA_DTYPE_I32 : t;
                op_case c = {.name = mica__op_name(ops[what]), .instr = {.op = ops[what], .n_in = 1}};
                mica__tensor *x = &c.instr.in[0];
                *x = make(t, shapes[s], ndims[s], (layout)((s + d) % N_LAYOUTS), is_unsigned(t) ? 0 : -9, 9);
                set_shape(&c.instr.out, x, to);
                int64_t length = shapes[s][ndims[s] - 1], n = size_of(x);
                c.expected = calloc((size_t)n, sizeof(double));
                int64_t *order = calloc((size_t)length, sizeof *order);
                for (int64_t i = 0; i < n; i += length) {
                    double sum = 0;
                    for (int64_t j = 0; j < length; j++) { /* insertion keeps equals in order */
                        int64_t k = j;
                        for (; k > 0 && get(x, i + order[k - 1]) > get(x, i + j); k--) order[k] = order[k - 1];
                        order[k] = j;
                        sum += get(x, i + j);
                        if (what == 2) c.expected[i + j] = wrap(sum, to);
                    }
                    for (int64_t j = 0; j < length && what < 2; j++)
                        c.expected[i + j] = what ? (double)order[j] : get(x, i + order[j]);
                }
                free(order);
                c.bound = what == 2 && mica__floating(t) ? unit_of(t) + 64 * 0x1p-24 : 0;
                c.scale = 100;
                check_case(&c);
                drop_all();
            }
        }
    }
}

/* ---- matmul, norms, rope --------------------------------------------------------------------------------------------------- */

static void matmul(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 7}, {4, 300, 16}, {17, 2, 65}, {8, 24, 64}};
    for (int d = 0; d < 4; d++) {
        for (int s = 0; s < 5; s++) {
            for (layout how = DENSE; how < N_LAYOUTS; how++) {
                int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
                op_case c = {.name = "matmul", .instr = {.op = MICA__OP_MATMUL, .n_in = 2}};
                mica__tensor *a = &c.instr.in[0], *b = &c.instr.in[1];
                *a = make(all_dtypes[d], (int64_t[]){2, 3, m, k}, 4, how, 1, 1);
                *b = make(all_dtypes[d], (int64_t[]){2, 3, k, n}, 4, (layout)((how + d) % N_LAYOUTS), 1, 1);
                b->strides[1] = 0; /* one matrix for the whole dimension */
                c.instr.out = (mica__tensor){.dtype = all_dtypes[d], .ndim = 4, .shape = {2, 3, m, n}};
                c.expected = calloc((size_t)(6 * m * n), sizeof(double));
                for (int64_t i = 0; i < 6 * m * n; i++)
                    for (int64_t e = 0; e < k; e++)
                        c.expected[i] += get(a, (i / n) * k + e) * get(b, i / (m * n) * k * n + e * n + i % n);
                c.bound = unit_of(all_dtypes[d]) + 16 * (d == 3 ? 0x1p-53 : 0x1p-24);
                c.scale = sqrt((double)k);
                check_case(&c);
                drop_all();
            }
        }
    }
}

static void norms(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 8, 30, 64, 576, 1027};
    for (int rms = 0; rms < 2; rms++) {
        for (int w = 0; w < 6; w++) {
            for (layout how = DENSE; how < N_LAYOUTS; how++) {
                int64_t h = widths[w], m = 5;
                int with = rms ? how % 2 : how % 4; /* which of weight and bias */
                op_case c = {.name = rms ? "rms_norm" : "layer_norm",
                             .instr = {.op = rms ? MICA__OP_RMS_NORM : MICA__OP_LAYER_NORM, .n_in = 1}};
                mica__tensor x = make(how % 2 ? MICA_DTYPE_F32 : all_dtypes[w % 3], (int64_t[]){m, h}, 2, how, 1, 1),
                             weight, bias;
                c.instr.in[0] = x;
                weight = make(MICA_DTYPE_F32, &h, 1, how == BROADCAST ? DENSE : how, -1, 1);
                bias = make(MICA_DTYPE_F32, &h, 1, DENSE, -1, 1);
                if (with & 1) c.instr.in[c.instr.n_in++] = weight;
                if (with & 2) c.instr.in[c.instr.n_in++] = bias;
                c.instr.attrs.axis = with;
                c.instr.attrs.value = 1e-5;
                c.instr.attrs.value2 = rms ? 1 : 0;
                set_shape(&c.instr.out, &x, MICA_DTYPE_F32);
                c.expected = calloc((size_t)(m * h), sizeof(double));
                for (int64_t i = 0; i < m; i++) {
                    double mean = 0, square = 0;
                    for (int64_t j = 0; j < h && !rms; j++) mean += get(&x, i * h + j) / (double)h;
                    for (int64_t j = 0; j < h; j++) square += pow(get(&x, i * h + j) - mean, 2) / (double)h;
                    for (int64_t j = 0; j < h; j++) {
                        double y = (get(&x, i * h + j) - mean) / sqrt(square + (double)(float)1e-5);
                        if (with & 1) y *= get(&weight, j) + (rms ? 1 : 0);
                        if (with & 2) y += get(&bias, j);
                        c.expected[i * h + j] = y;
                    }
                }
                c.bound = 1e-6;
                c.scale = h == 1 ? 100 : 1; /* x - mean of one element is all rounding */
                check_case(&c);
                drop_all();
            }
        }
    }
}

static void rope(void **state)
{
    (void)state;
    static const int64_t dims[][2] = {{8, 4}, {64, 32}, {80, 16}, {128, 64}, {10, 3}};
    for (int d = 0; d < 5; d++) {
        for (layout how = DENSE; how < N_LAYOUTS; how++) {
            int64_t t = 6, heads = 3, dim = dims[d][0], half = dims[d][1];
            for (int interleaved = 0; interleaved < 2; interleaved++) {
                op_case c = {.name = "rope", .instr = {.op = MICA__OP_ROPE, .n_in = 3}};
                mica__tensor *x = &c.instr.in[0], *positions = &c.instr.in[1], *frequencies = &c.instr.in[2];
                *x = make(MICA_DTYPE_F32, (int64_t[]){t, heads, dim}, 3, how, -2, 2);
                *positions = make(MICA_DTYPE_I32, &t, 1, how, 0, 100000);
                *frequencies = make(MICA_DTYPE_F32, &half, 1, how, 0, 1);
                c.instr.attrs.value = 1.25;
                c.instr.attrs.flag = interleaved;
                set_shape(&c.instr.out, x, MICA_DTYPE_F32);
                c.expected = calloc((size_t)(t * heads * dim), sizeof(double));
                for (int64_t i = 0; i < t * heads; i++) {
                    for (int64_t e = 0; e < dim; e++) c.expected[i * dim + e] = get(x, i * dim + e);
                    for (int64_t p = 0; p < half; p++) {
                        int64_t first = interleaved ? 2 * p : p, second = interleaved ? 2 * p + 1 : p + half;
                        double angle = (double)((float)get(positions, i / heads) * (float)get(frequencies, p));
                        double a = get(x, i * dim + first), b = get(x, i * dim + second);
                        c.expected[i * dim + first] = 1.25 * (a * cos(angle) - b * sin(angle));
                        c.expected[i * dim + second] = 1.25 * (b * cos(angle) + a * sin(angle));
                    }
                }
                c.bound = 4e-7;
                c.scale = 1;
                check_case(&c);
                drop_all();
            }
        }
    }
}

/* A run with fewer rows than the bound touches nothing past them. */
static void row_bounds(void **state)
{
    (void)state;
    static const mica__op ops[] = {MICA__OP_ADD,     MICA__OP_SILU, MICA__OP_RMS_NORM,
                                   MICA__OP_SOFTMAX, MICA__OP_COPY, MICA__OP_GATED};
    for (int o = 0; o < 6; o++) {
        op_case c = {.name = "row bounds", .instr = {.op = ops[o]}, .run = {.rows = 3}};
        mica__tensor x = make_dense(MICA_DTYPE_F32, (int64_t[]){10, 21}, 2, -1, 1);
        x.rows = true;
        x.rows_factor = 2;
        bool two = ops[o] == MICA__OP_ADD || ops[o] == MICA__OP_GATED;
        c.instr.n_in = two ? 2 : 1;
        c.instr.in[0] = x;
        c.instr.in[1] = x;
        set_shape(&c.instr.out, &x, MICA_DTYPE_F32);
        c.instr.out.rows = true;
        c.instr.out.rows_factor = 2;
        c.expected = calloc(210, sizeof(double));
        for (int i = 0; i < 210; i++) {
            double v = get(&x, i), square = 0, sum = 0, silu = unary_of(MICA__OP_SILU, v);
            for (int j = 0; j < 21; j++) {
                square += pow(get(&x, i / 21 * 21 + j), 2) / 21;
                sum += exp(get(&x, i / 21 * 21 + j));
            }
            double all[] = {v + v, silu, v / sqrt(square), exp(v) / sum, v, silu * v};
            c.expected[i] = all[o];
        }
        c.bound = c.scale = 1e-5;
        check_case(&c);
        drop_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary),
        cmocka_unit_test(binary),
        cmocka_unit_test(special_values),
        cmocka_unit_test(where),
        cmocka_unit_test(chained),
        cmocka_unit_test(astype),
        cmocka_unit_test(half_types),
        cmocka_unit_test(concatenate),
        cmocka_unit_test(fill),
        cmocka_unit_test(take),
        cmocka_unit_test(take_along),
        cmocka_unit_test(quantized_rows),
        cmocka_unit_test(quantized_float_rows),
        cmocka_unit_test(reductions),
        cmocka_unit_test(softmax),
        cmocka_unit_test(orders),
        cmocka_unit_test(matmul),
        cmocka_unit_test(norms),
        cmocka_unit_test(rope),
        cmocka_unit_test(row_bounds),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    print_worst();
    return failures;
}
