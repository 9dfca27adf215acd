/* backend/cpu/linear_int16_odd_avx2.c: affine weights of 2, 3, 5 and 6 bits, mxfp4 and nvfp4, with activations rounded to 16-bit integers.
 *
 * Elements become 16-bit integers: codes by one shuffle, one multiplication and shifts; values of 4-bit floats, which are multiples of 0.5,
 * through a table of their doubles. A group of x has one scale d = max |x| / 32767 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b d (sum of q)
 *
 * What is float is one vector of eight chains for an output. A unit (a group, or several small ones that share a vector) leaves eight
 * exact sums in the lanes of a vector, each of elements of one group; then for every unit, ascending,
 *
 *     y = fma(sums, s d of their groups, y)        and after every eighth group        y = fma(b of the eight, d sum q of the eight, y)
 *
 * and the output is the sum of the lanes. So nothing goes across lanes on the way, and the bits are the same on every path below: a row of x
 * gives the same bits alone and among others.
 *
 *     M <= MICA__FEW   four long streams of w (linear_dense_avx2.c says why), each expanded once for up to four rows of x
 *     else       a panel of PANEL rows by DEPTH elements is expanded once and meets all rows of x, four at a time
 *
 * Lane l of vector n of a span holds element parts * l + n, in w and in rounded rows of x: spans are 64 elements (4 parts) or 32 (2 parts). */
#include "int16_avx2.h"

#include "convert.h"

#if MICA__X86

enum { STREAMS = 4, PANEL = 8, DEPTH = 1024, CHUNK_ROWS = 256, AHEAD = 1024, FACTORS_AHEAD = 256 };

/* What rows hold. WIDE4 and WIDE2 are 16-bit integers of a panel, in spans of 4 and of 2 parts. */
typedef enum kind { BITS2, BITS3, BITS5, BITS6, FLOAT4, WIDE4, WIDE2 } kind;

static inline int bits_of(kind f)
{
    return f == BITS2 ? 2 : f == BITS3 ? 3 : f == BITS5 ? 5 : f == BITS6 ? 6 : f == FLOAT4 ? 4 : 16;
}

static inline int parts_of(kind f) { return f == BITS5 || f == BITS6 || f == WIDE2 ? 2 : 4; }

/* Elements of a unit. */
static inline int unit_of(kind f, int size) { return size > 16 * parts_of(f) ? size : 16 * parts_of(f); }

static kind kind_of(const mica__tensor *w)
{
    static const kind kinds[7] = {[2] = BITS2, [3] = BITS3, [5] = BITS5, [6] = BITS6};
    return w->affine.mode == MICA_QUANT_AFFINE ? kinds[w->affine.bits] : FLOAT4;
}

/* Phase 0. */
static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    mica__int16_round(instr, run, id, n, parts_of(kind_of(&instr->in[1])), 32, false);
}

/* ---- rows of w -------------------------------------------------------------------------------------------------------------- */

/* The 12 (10) bytes of each half of a span, of 3 and 6 (5) bits, as eight pairs of bytes that hold four (two) codes each, codes on
 * top: what is below the first is left in the low bits. Reads nothing but the span. */
MICA__INLINE __m256i codes_on_top(int bits, const uint8_t *p)
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + (bits == 5 ? 4 : 8)));
    const __m256i both = _mm256_set_m128i(high, low);
    if (bits == 5) {
        const __m256i pairs = _mm256_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9, /* the second: + 6 */
                                               6, 7, 7, 8, 8, 9, 9, 10, 11, 12, 12, 13, 13, 14, 14, 15);
        const __m256i shift = _mm256_set1_epi64x(1 << 6 | 1ll << (16 + 4) | 1ll << (32 + 2) | 1ll << 48);
        return _mm256_mullo_epi16(_mm256_shuffle_epi8(both, pairs), shift);
    }
    const __m256i pairs = _mm256_setr_epi8(0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11, /* the second: + 4 */
                                           4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11, 12, 13, 14, 14, 15);
    return _mm256_mullo_epi16(_mm256_shuffle_epi8(both, pairs), _mm256_set1_epi32(1 << 16 | 1 << 4));
}

/* A span of elements as 16-bit integers: `parts` vectors. */
MICA__INLINE void expand(kind f, const uint8_t *p, __m256i *w)
{
    if (f == WIDE4 || f == WIDE2) {
        MICA__UNROLL
        for (int i = 0; i < parts_of(f); i++) w[i] = mica__load32(p + 32 * i);
    } else if (f == BITS2) {
        const __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p)),
                      mask = _mm256_set1_epi16(3);
        w[0] = _mm256_and_si256(v, mask);
        w[1] = _mm256_and_si256(_mm256_srli_epi16(v, 2), mask);
        w[2] = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        w[3] = _mm256_srli_epi16(v, 6);
    } else if (f == BITS3) {
        const __m256i v = codes_on_top(3, p), mask = _mm256_set1_epi16(7);
        w[0] = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        w[1] = _mm256_and_si256(_mm256_srli_epi16(v, 7), mask);
        w[2] = _mm256_and_si256(_mm256_srli_epi16(v, 10), mask);
        w[3] = _mm256_srli_epi16(v, 13);
    } else if (f == FLOAT4) {
        const __m256i v = mica__load32(p), mask = _mm256_set1_epi8(15);
        const __m256i table = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)); /* twice the values */
        const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, mask));
        const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask));
        w[0] = _mm256_srai_epi16(_mm256_slli_epi16(low, 8), 8);
        w[1] = _mm256_srai_epi16(_mm256_slli_epi16(high, 8), 8);
        w[2] = _mm256_srai_epi16(low, 8);
        w[3] = _mm256_srai_epi16(high, 8);
    } else {
        const int bits = bits_of(f);
        const __m256i v = codes_on_top(bits, p);
        w[0] = _mm256_and_si256(_mm256_srli_epi16(v, 16 - 2 * bits), _mm256_set1_epi16((short)((1 << bits) - 1)));
        w[1] = _mm256_srli_epi16(v, 16 - bits);
    }
}

typedef struct matrix {
    const uint8_t *codes, *scales, *biases; /* biases NULL: the format has none, or they come from the scales */
    kind f;
    int bits, size;
    mica_quant_mode mode;
    mica_dtype dtype; /* of scales and biases, in affine matrices */
    int64_t rows, row_bytes, groups;
} matrix;

static matrix matrix_of(const mica__tensor *w)
{
    const mica__affine *a = &w->affine;
    return (matrix){.codes = w->data,
                    .scales = a->scales,
                    .biases = a->biases,
                    .f = kind_of(w),
                    .bits = a->bits,
                    .size = a->group_size,
                    .mode = a->mode,
                    .dtype = a->scale_dtype,
                    .rows = w->shape[0],
                    .row_bytes = (int64_t)mica__row_bytes(w),
                    .groups = w->shape[1] / a->group_size};
}

/* Eight scales of bytes: for elements that are twice what they stand for. */
MICA__INLINE __m256 byte_scales(mica_quant_mode mode, const uint8_t *p, int64_t n)
{
    uint64_t bytes = 0;
    memcpy(&bytes, p, (size_t)n);
    const __m256i v = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bytes));
    __m256 s;
    if (mode == MICA_QUANT_MXFP4) {
        const __m256i zero = _mm256_cmpeq_epi32(v, _mm256_setzero_si256()); /* the code of 2^-127 */
        s = _mm256_castsi256_ps(
            _mm256_or_si256(_mm256_slli_epi32(v, 23), _mm256_and_si256(zero, _mm256_set1_epi32(1 << 22))));
    } else {
        const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0x80)), 24);
        const __m256i magnitude = _mm256_slli_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0x7f)), 20);
        s = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_or_si256(sign, magnitude)), _mm256_set1_ps(0x1p120f));
    }
    s = _mm256_mul_ps(s, _mm256_set1_ps(0.5f));
    return n == 8 ? s : _mm256_and_ps(s, _mm256_castsi256_ps(mica__first_lanes(n)));
}

/* Scales and biases of up to eight groups of a row, zeros past its last. */
MICA__INLINE void load_factors(const matrix *w, int64_t row, int64_t group, __m256 *scales, __m256 *biases)
{
    const int64_t at = row * w->groups + group, n = mica__min(w->groups - group, MICA__CHAINS);
    *biases = _mm256_setzero_ps();
    if (w->f == FLOAT4) {
        *scales = byte_scales(w->mode, w->scales + at, n);
        return;
    }
    const int64_t size = w->dtype == MICA_DTYPE_F32 ? 4 : 2;
    const uint8_t *s = w->scales + at * size, *b = w->biases ? w->biases + at * size : NULL;
    _mm_prefetch((const char *)((uintptr_t)s + FACTORS_AHEAD), _MM_HINT_T0);
    if (b) _mm_prefetch((const char *)((uintptr_t)b + FACTORS_AHEAD), _MM_HINT_T0);
    *scales = n == MICA__CHAINS ? mica__load8(s, w->dtype) : mica__load_some(s, w->dtype, n);
    if (!b)
        *biases = _mm256_mul_ps(*scales, _mm256_set1_ps(mica__symmetric_offset(w->bits)));
    else
        *biases = n == MICA__CHAINS ? mica__load8(b, w->dtype) : mica__load_some(b, w->dtype, n);
}

/* ---- a block of eight groups ---------------------------------------------------------------------------------------------------- */

/* Of one row of w, for R rows of x. */
typedef struct block {
    const uint8_t *codes;         /* of the first group */
    int64_t n;                    /* elements */
    const float *scales, *biases; /* [8]; biases NULL: none */
    const uint8_t *x;             /* row 0's codes of the first group */
    const float *d;               /* and its d */
    int64_t x_bytes, groups;      /* from a row of x to the next; from d to d sum q */
} block;

MICA__INLINE const float *later(const float *d, int64_t bytes)
{
    return (const float *)(const void *)((const uint8_t *)d + bytes);
}

/* Continues the chains y [R] by the block's groups. */
MICA__INLINE void add_units(kind f, int size, int R, const block *b, __m256 *y)
{
    const int unit = unit_of(f, size), span = 16 * parts_of(f), spans = unit / span, groups = unit / size;
    __m256 sum[MICA__TILE], sd[MICA__TILE];
    __m256i lanes = groups == 1   ? _mm256_setzero_si256() /* which of the eight groups the lanes of a unit belong to */
                    : groups == 2 ? _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1)
                                  : _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    MICA__UNROLL
    for (int r = 0; r < R; r++) {
        sum[r] = y[r];
        sd[r] = _mm256_mul_ps(_mm256_loadu_ps(b->scales), _mm256_loadu_ps(later(b->d, r * b->x_bytes)));
    }
    for (int64_t u = 0; u * unit < b->n; u++) {
        const uint8_t *codes = b->codes + u * unit * bits_of(f) / 8, *x = b->x + 2 * u * unit;
        uint8_t part[32] = {0}; /* of a last unit that the row does not fill: less than a span */
        __m256i w[8];
        if (bits_of(f) < 16 && unit > size && b->n - u * unit < unit)
            codes = memcpy(part, codes, (size_t)((b->n - u * unit) * bits_of(f) / 8));
        MICA__UNROLL
        for (int s = 0; s < spans; s++) expand(f, codes + s * span * bits_of(f) / 8, w + s * parts_of(f));
        MICA__UNROLL
        for (int r = 0; r < R; r++, x += b->x_bytes) {
            __m256i t = _mm256_madd_epi16(w[0], mica__load32(x));
            MICA__UNROLL
            for (int i = 1; i < unit / 16; i++)
                t = _mm256_add_epi32(t, _mm256_madd_epi16(w[i], mica__load32(x + 32 * i)));
            sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(t), _mm256_permutevar8x32_ps(sd[r], lanes), sum[r]);
        }
        lanes = _mm256_add_epi32(lanes, _mm256_set1_epi32(groups));
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) {
        if (b->biases)
            sum[r] = _mm256_fmadd_ps(_mm256_loadu_ps(b->biases),
                                     _mm256_loadu_ps(later(b->d, r * b->x_bytes) + b->groups), sum[r]);
        y[r] = sum[r];
    }
}

/* What depends on the width and the group. Loops that must keep to the registers are functions of their own. */
typedef struct loops {
    void (*one)(const block *b, __m256 *y);                     /* row of x */
    void (*four)(const block *b, __m256 *y);                    /* rows of x */
    void (*fill)(const uint8_t *codes, int64_t n, int16_t *to); /* n elements for a panel */
    void (*wide_one)(const block *b, __m256 *y);                /* of a panel */
    void (*wide_four)(const block *b, __m256 *y);
} loops;

MICA__INLINE void fill(kind f, const uint8_t *codes, int64_t n, int16_t *to)
{
    const int span = 16 * parts_of(f), bytes = span * bits_of(f) / 8;
    for (int64_t i = 0; i < n; i += span, codes += bytes, to += span) {
        uint8_t part[32] = {0};
        __m256i w[4];
        expand(f, n - i >= span ? codes : memcpy(part, codes, (size_t)((n - i) * bits_of(f) / 8)), w);
        MICA__UNROLL
        for (int v = 0; v < parts_of(f); v++) _mm256_storeu_si256((__m256i *)(void *)(to + 16 * v), w[v]);
    }
}

#define BLOCKS(f, size)                                                                                                \
    MICA__AVX2 static __attribute__((noinline)) void one_##f##_##size(const block *b, __m256 *y)                       \
    {                                                                                                                  \
        add_units(f, size, 1, b, y);                                                                                   \
    }                                                                                                                  \
    MICA__AVX2 static __attribute__((noinline)) void four_##f##_##size(const block *b, __m256 *y)                      \
    {                                                                                                                  \
        add_units(f, size, MICA__TILE, b, y);                                                                          \
    }
#define FILL(f)                                                                                                        \
    MICA__AVX2 static __attribute__((noinline)) void fill_##f(const uint8_t *codes, int64_t n, int16_t *to)            \
    {                                                                                                                  \
        fill(f, codes, n, to);                                                                                         \
    }
#define AFFINE(f) BLOCKS(f, 32) BLOCKS(f, 64) BLOCKS(f, 128)
AFFINE(BITS2)
AFFINE(BITS3)
AFFINE(BITS5)
AFFINE(BITS6)
AFFINE(WIDE4)
AFFINE(WIDE2)
BLOCKS(FLOAT4, 16)
BLOCKS(FLOAT4, 32)
BLOCKS(WIDE4, 16)
FILL(BITS2)
FILL(BITS3)
FILL(BITS5)
FILL(BITS6)
FILL(FLOAT4)

#define LOOPS(f, wide, size)                                                                                           \
    {                                                                                                                  \
        one_##f##_##size, four_##f##_##size, fill_##f, one_##wide##_##size, four_##wide##_##size                       \
    }
static const loops affine_loops[4][3] = {
    [BITS2] = {LOOPS(BITS2, WIDE4, 32), LOOPS(BITS2, WIDE4, 64), LOOPS(BITS2, WIDE4, 128)},
    [BITS3] = {LOOPS(BITS3, WIDE4, 32), LOOPS(BITS3, WIDE4, 64), LOOPS(BITS3, WIDE4, 128)},
    [BITS5] = {LOOPS(BITS5, WIDE2, 32), LOOPS(BITS5, WIDE2, 64), LOOPS(BITS5, WIDE2, 128)},
    [BITS6] = {LOOPS(BITS6, WIDE2, 32), LOOPS(BITS6, WIDE2, 64), LOOPS(BITS6, WIDE2, 128)}};
static const loops float_loops[2] = {LOOPS(FLOAT4, WIDE4, 16), LOOPS(FLOAT4, WIDE4, 32)};

static const loops *loops_of(const matrix *w)
{
    return w->f == FLOAT4 ? &float_loops[w->size / 32] : &affine_loops[w->f][w->size / 64];
}

/* ---- a few rows of x -------------------------------------------------------------------------------------------------------- */

/* Rows [first, first + R) of x with the rows of w that are `step` apart from `row` on, those before `end`. */
MICA__INLINE void streams(const mica__instr *instr, const matrix *w, const mica__int16_row *l, const uint8_t *x, int R,
                          int64_t first, int64_t row, int64_t step, int64_t end)
{
    const loops *k = loops_of(w);
    const int64_t bytes = MICA__CHAINS * w->size * w->bits / 8;
    __m256 y[STREAMS][MICA__TILE];
    x += first * l->bytes;
    for (int s = 0; s < STREAMS; s++)
        for (int r = 0; r < R; r++) y[s][r] = _mm256_setzero_ps();
    for (int64_t g = 0; g < w->groups; g += MICA__CHAINS) {
        for (int s = 0; s < STREAMS && row + s * step < end; s++) {
            const int64_t at = row + s * step;
            const uint8_t *codes = w->codes + at * w->row_bytes + g * w->size * w->bits / 8;
            for (int64_t i = 0; i < bytes; i += 64)
                _mm_prefetch((const char *)((uintptr_t)codes + AHEAD + (uintptr_t)i), _MM_HINT_T0);
            __m256 scales, biases;
            float factors[2][MICA__CHAINS];
            load_factors(w, at, g, &scales, &biases);
            _mm256_storeu_ps(factors[0], scales);
            _mm256_storeu_ps(factors[1], biases);
            const block b = {.codes = codes,
                             .n = mica__min(w->groups - g, MICA__CHAINS) * w->size,
                             .scales = factors[0],
                             .biases = w->f == FLOAT4 ? NULL : factors[1],
                             .x = x + 2 * g * w->size,
                             .d = mica__int16_d(l, x) + g,
                             .x_bytes = l->bytes,
                             .groups = l->groups};
            (R == 1 ? k->one : k->four)(&b, y[s]);
        }
    }
    float *out = (float *)instr->out.data + first * w->rows;
    for (int s = 0; s < STREAMS && row + s * step < end; s++) {
        const int64_t at = row + s * step;
        for (int r = 0; r < R; r++) out[r * w->rows + at] = mica__hsum(y[s][r]) + mica__linear_bias(instr, at);
    }
}

MICA__AVX2 static void few_rows(const mica__instr *instr, const matrix *w, const mica__int16_row *l, const uint8_t *x,
                                int64_t rows, int64_t begin, int64_t end)
{
    const int64_t step = (end - begin + STREAMS - 1) / STREAMS;
    for (int64_t row = begin; row < begin + step; row++) {
        int64_t r = 0;
        for (; r + MICA__TILE <= rows; r += MICA__TILE) streams(instr, w, l, x, MICA__TILE, r, row, step, end);
        for (; r < rows; r++) streams(instr, w, l, x, 1, r, row, step, end);
    }
}

/* ---- many rows of x ---------------------------------------------------------------------------------------------------------- */

/* A member's working memory. */
typedef struct panel {
    int16_t w[PANEL][DEPTH];
    float scales[PANEL][DEPTH / 16], biases[PANEL][DEPTH / 16];
    float y[CHUNK_ROWS][PANEL][8]; /* the chains, continued */
} panel;

/* Groups [g, g + n) of rows c .. of w, `cols` of them. */
MICA__AVX2 static void fill_panel(panel *to, const matrix *w, int64_t c, int64_t cols, int64_t g, int64_t n)
{
    const loops *k = loops_of(w);
    for (int64_t i = 0; i < cols; i++) {
        k->fill(w->codes + (c + i) * w->row_bytes + g * w->size * w->bits / 8, n * w->size, to->w[i]);
        for (int64_t j = 0; j < n; j += MICA__CHAINS) {
            __m256 scales, biases;
            load_factors(w, c + i, g + j, &scales, &biases);
            _mm256_storeu_ps(to->scales[i] + j, scales);
            _mm256_storeu_ps(to->biases[i] + j, biases);
        }
    }
}

/* Continues the chains of R rows of x with a row of the panel over groups [g, g + n). */
MICA__INLINE void continue_chains(const panel *p, const matrix *w, int64_t i, const mica__int16_row *l, int R,
                                  const uint8_t *x, int64_t g, int64_t n, float (*y)[PANEL][8])
{
    const loops *k = loops_of(w);
    __m256 sum[MICA__TILE];
    for (int r = 0; r < R; r++) sum[r] = _mm256_loadu_ps(y[r][i]);
    for (int64_t j = 0; j < n; j += MICA__CHAINS) {
        const block b = {.codes = (const uint8_t *)(p->w[i] + j * w->size),
                         .n = mica__min(n - j, MICA__CHAINS) * w->size,
                         .scales = p->scales[i] + j,
                         .biases = w->f == FLOAT4 ? NULL : p->biases[i] + j,
                         .x = x + 2 * (g + j) * w->size,
                         .d = mica__int16_d(l, x) + g + j,
                         .x_bytes = l->bytes,
                         .groups = l->groups};
        (R == 1 ? k->wide_one : k->wide_four)(&b, sum);
    }
    for (int r = 0; r < R; r++) _mm256_storeu_ps(y[r][i], sum[r]);
}

/* At most CHUNK_ROWS rows of x with columns [begin, end). */
MICA__AVX2 static void many_rows(const mica__instr *instr, const matrix *w, const mica__int16_row *l, const uint8_t *x,
                                 int64_t rows, float *out, panel *p, int64_t begin, int64_t end)
{
    const int64_t step = DEPTH / w->size;
    for (int64_t c = begin; c < end; c += PANEL) {
        const int64_t cols = mica__min(end - c, PANEL);
        memset(p->y, 0, (size_t)rows * sizeof p->y[0]);
        for (int64_t g = 0; g < w->groups; g += step) {
            const int64_t n = mica__min(w->groups - g, step);
            fill_panel(p, w, c, cols, g, n);
            for (int64_t r = 0; r < rows; r += rows - r >= MICA__TILE ? MICA__TILE : 1) {
                for (int64_t i = 0; i < cols; i++) {
                    if (rows - r >= MICA__TILE)
                        continue_chains(p, w, i, l, MICA__TILE, x + r * l->bytes, g, n, p->y + r);
                    else
                        continue_chains(p, w, i, l, 1, x + r * l->bytes, g, n, p->y + r);
                }
            }
        }
        float bias[PANEL];
        for (int64_t i = 0; i < cols; i++) bias[i] = mica__linear_bias(instr, c + i);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < cols; i++)
                out[r * w->rows + c + i] = mica__hsum(_mm256_loadu_ps(p->y[r][i])) + bias[i];
    }
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------------- */

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const matrix w = matrix_of(&instr->in[1]);
    const mica__int16_row l = mica__int16_row_of(&instr->in[1]);
    const int64_t rows = mica__rows(&instr->in[0], run);
    int64_t begin, end;
    mica__share(w.rows, PANEL, id, n, &begin, &end);
    if (rows <= MICA__FEW) {
        few_rows(instr, &w, &l, run->scratch, rows, begin, end);
        return;
    }
    panel *p = (panel *)(void *)mica__member_scratch(instr, run, id);
    for (int64_t r = 0; r < rows; r += CHUNK_ROWS)
        many_rows(instr, &w, &l, run->scratch + r * l.bytes, mica__min(rows - r, CHUNK_ROWS),
                  (float *)instr->out.data + r * w.rows, p, begin, end);
}

bool mica__linear_int16_odd_avx2(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const mica__affine *a = &w->affine;
    const bool affine = a->mode == MICA_QUANT_AFFINE && a->bits != 4 && a->bits != 8;
    if (!w->quantized || (!affine && a->mode != MICA_QUANT_MXFP4 && a->mode != MICA_QUANT_NVFP4)) return false;
    instr->phase[0] = round_x;
    instr->phase[1] = linear;
    instr->n_phases = 2;
    instr->first_phase_key = (uint64_t)a->group_size << 1 | (parts_of(kind_of(w)) == 4); /* what round_x looks at */
    instr->scratch_bytes = (size_t)x->shape[0] * (size_t)mica__int16_row_of(w).bytes;
    if (x->shape[0] > MICA__FEW) instr->member_scratch_bytes = mica__round64(sizeof(panel));
    return true;
}

#else
bool mica__linear_int16_odd_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
