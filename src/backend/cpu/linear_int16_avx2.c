/* backend/cpu/linear_int16_avx2.c: affine weights of 4 and 8 bits with activations rounded to 16-bit integers.
 *
 * Each group of x has one scale d = max |x| / 32767 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b d (sum of q)
 *
 * Integer sums are exact and fit 32 bits (255 * 32767 * 128 < 2^31). The rounding of x is 2^-16 of a group's largest element,
 * so the result is that of float activations to about 1e-5 (tests/backend/test_linear.c prints it), for two thirds of the
 * instructions: no code is converted to float. vpmaddwd takes 16 products an instruction; the nibbles of 32 bytes are split into four
 * vectors by shift and mask, with the elements of x laid out to match:
 *
 *     4 bits   lane l of vector n holds element 4 l + n of a span of 64
 *     8 bits   lane l of vector n holds element 2 l + n of a span of 32
 *
 * The sums of one span (or of a group, if that is longer) go to float and are added to eight lanes times their group's s d. That
 * chain is the same for one row of x and for many, so a row gives the same bits alone and among others. */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

enum { BLOCK = 8, BLOCK_BYTES_MAX = BLOCK * 128, X_ROWS = 4, W_ROWS = 16 };

/* ---- rows of x ----------------------------------------------------------------------------------------------------------- */

/* A rounded row in scratch memory: q [codes] int16, d [groups], d times the sum of q [groups]; groups a multiple of 8. */
typedef struct layout {
    int64_t groups, blocks, codes, bytes;
} layout;

static layout layout_of(const mica__tensor *w)
{
    int64_t groups = (w->shape[1] / w->affine.group_size + BLOCK - 1) / BLOCK * BLOCK;
    int64_t codes = groups * w->affine.group_size;
    return (layout){groups, groups / BLOCK, codes, (int64_t)mica__round64((size_t)(2 * codes + 8 * groups))};
}

/* q of one group of n elements in natural order. Infinities and NaN make d NaN. */
MICA__INLINE void round_group(const float *x, int64_t n, int32_t *q, float *d, float *dsum)
{
    __m256 top = _mm256_setzero_ps(), bad = top;
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        top = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), v), top);
        bad = _mm256_add_ps(bad, _mm256_sub_ps(v, v));
    }
    float max = mica__hmax(top), inverse = max > 0 ? 32767 / max : 0;
    if (inverse > 0x1p126f) inverse = max = 0; /* all but zero */
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < n; i += 8) {
        __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(inverse)));
        sum = _mm256_add_epi32(sum, v);
        _mm256_storeu_si256((__m256i *)(void *)(q + i), v);
    }
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    int total = _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
    *d = max / 32767 + mica__hsum(bad);
    *dsum = *d * (float)total;
}

/* A span of x in the order of split codes. */
MICA__INLINE void lay_out(const int32_t *q, int span, int parts, int16_t *to)
{
    for (int n = 0; n < parts; n++)
        for (int i = 0; i < span / parts; i++) to[n * 16 + i] = (int16_t)q[i * parts + n];
}

/* Phase 0. Shares are spans of 128 elements, which hold whole groups. */
MICA__AVX2 static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const layout l = layout_of(w);
    const int64_t k = x->shape[1], size = w->affine.group_size, spans = (l.codes + 127) / 128;
    const int parts = w->affine.bits == 4 ? 4 : 2;
    int64_t begin, end;
    mica__share(mica__rows(x, run) * spans, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / spans, first = item % spans * 128, count = mica__min(l.codes - first, 128);
        mica__chunk c;
        int32_t q[128];
        memset(c.f32, 0, 128 * sizeof(float));
        const uint8_t *from = (const uint8_t *)x->data;
        from += (row * x->strides[0] + first * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
        if (first < k) mica__load(MICA__CLASS_F32, &c, from, x->dtype, x->strides[1], mica__min(k - first, 128));
        uint8_t *base = run->scratch + row * l.bytes;
        int16_t *to = (int16_t *)(void *)base + first;
        float *d = (float *)(void *)(base + 2 * l.codes) + first / size, *dsum = d + l.groups;
        for (int64_t i = 0; i < count; i += size) round_group(c.f32 + i, size, q + i, d + i / size, dsum + i / size);
        for (int64_t i = 0; i < count; i += 64) {
            if (parts == 4)
                lay_out(q + i, 64, 4, to + i);
            else
                for (int64_t j = i; j < i + 64 && j < count; j += 32) lay_out(q + j, 32, 2, to + j);
        }
    }
}

/* ---- one row of w ---------------------------------------------------------------------------------------------------------- */

/* A row of w, and where the arrays of all rows end: a last block that is not whole may read on into the next row. */
typedef struct source {
    const uint8_t *codes, *codes_end, *scales, *scales_end, *biases, *biases_end;
    int64_t groups;
    mica_dtype dtype;
} source;

static source source_of(const mica__tensor *w, int64_t row)
{
    const mica__affine *a = &w->affine;
    const int64_t groups = w->shape[1] / a->group_size,
                  factor_bytes = groups * (int64_t)mica_dtype_size(a->scale_dtype);
    const int64_t row_bytes = w->shape[1] * a->bits / 8, rows = w->shape[0];
    const uint8_t *codes = w->data, *scales = a->scales, *biases = a->biases;
    return (source){.codes = codes + row * row_bytes,
                    .codes_end = codes + rows * row_bytes,
                    .scales = scales + row * factor_bytes,
                    .scales_end = scales + rows * factor_bytes,
                    .biases = biases ? biases + row * factor_bytes : NULL,
                    .biases_end = biases ? biases + rows * factor_bytes : NULL,
                    .groups = groups,
                    .dtype = a->scale_dtype};
}

/* Eight scales or biases from group 8 b on, zeros past the row's last. */
MICA__INLINE __m256 load_factors(const uint8_t *p, const uint8_t *end, const source *s, int64_t b)
{
    static const int32_t masks[2 * BLOCK] = {-1, -1, -1, -1, -1, -1, -1, -1};
    const int64_t left = s->groups - b * BLOCK, size = s->dtype == MICA_DTYPE_F32 ? 4 : 2;
    p += b * BLOCK * size;
    if (left >= BLOCK) return mica__load8(p, s->dtype);
    if (end - p < BLOCK * size) return mica__load_some(p, s->dtype, left);
    __m256i mask = _mm256_loadu_si256((const __m256i *)(const void *)(masks + BLOCK - left));
    return _mm256_and_ps(mica__load8(p, s->dtype), _mm256_castsi256_ps(mask));
}

/* The codes of block b. Past the row's end they meet zeros of x, so they may be anything; at the very end they are copied. */
MICA__INLINE const uint8_t *block_codes(int bits, int size, const source *s, int64_t b, uint8_t *copy)
{
    const int64_t block_bytes = (int64_t)size * bits;
    const uint8_t *p = s->codes + b * block_bytes;
    if (s->codes_end - p >= block_bytes) return p;
    memset(copy, 0, (size_t)block_bytes);
    memcpy(copy, p, (size_t)(s->codes_end - p));
    return copy;
}

/* The codes of 32 bytes as 16-bit integers, in 4 or 2 vectors. */
MICA__INLINE void split_codes(int bits, const uint8_t *w, __m256i *part)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)w);
    if (bits == 4) {
        const __m256i mask = _mm256_set1_epi16(15);
        part[0] = _mm256_and_si256(v, mask);
        part[1] = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        part[2] = _mm256_and_si256(_mm256_srli_epi16(v, 8), mask);
        part[3] = _mm256_srli_epi16(v, 12);
    } else {
        part[0] = _mm256_and_si256(v, _mm256_set1_epi16(255));
        part[1] = _mm256_srli_epi16(v, 8);
    }
}

MICA__INLINE __m256i times(__m256i part, const int16_t *x)
{
    return _mm256_madd_epi16(part, _mm256_loadu_si256((const __m256i *)(const void *)x));
}

/* Integer sums of 32 bytes of codes with their elements of x. */
MICA__INLINE __m256i span_sums(int bits, const __m256i *part, const int16_t *x)
{
    __m256i sum = _mm256_add_epi32(times(part[0], x), times(part[1], x + 16));
    if (bits == 4) sum = _mm256_add_epi32(sum, _mm256_add_epi32(times(part[2], x + 32), times(part[3], x + 48)));
    return sum;
}

/* The factors of unit u of a block in the lanes of its sums: one group, or two of 32 elements that share 32 bytes. */
MICA__INLINE __m256 unit_factors(const float *factors, bool two, int u)
{
    if (!two) return _mm256_broadcast_ss(factors + u);
    return _mm256_blend_ps(_mm256_broadcast_ss(factors + 2 * u), _mm256_broadcast_ss(factors + 2 * u + 1), 0xf0);
}

/* Adds what the biases bring to the sums of n_rows rows of x. */
MICA__INLINE void add_biases(int bits, int n_rows, const source *s, const layout *l, const uint8_t *x, __m256 *sum)
{
    const __m256 offset = _mm256_set1_ps(mica__symmetric_offset(bits));
    __m256 tail[X_ROWS];
    for (int r = 0; r < n_rows; r++) tail[r] = _mm256_setzero_ps();
    for (int64_t b = 0; b < l->blocks; b++) {
        __m256 bias = s->biases ? load_factors(s->biases, s->biases_end, s, b)
                                : _mm256_mul_ps(offset, load_factors(s->scales, s->scales_end, s, b));
        for (int r = 0; r < n_rows; r++) {
            const float *dsum = (const float *)(const void *)(x + r * l->bytes + 2 * l->codes) + l->groups + b * BLOCK;
            tail[r] = _mm256_fmadd_ps(bias, _mm256_loadu_ps(dsum), tail[r]);
        }
    }
    for (int r = 0; r < n_rows; r++) sum[r] = _mm256_add_ps(sum[r], tail[r]);
}

/* One row of w with n_rows rows of x. out [n_rows]. The biases have a loop of their own: one for all does not fit the registers. */
MICA__INLINE void dot_rows(int bits, int size, int n_rows, const source *s, const layout *l, const uint8_t *x,
                           float *out)
{
    const bool two = bits == 4 && size == 32;
    const int units = two ? BLOCK / 2 : BLOCK, spans = two ? 1 : size * bits / 256, span = bits == 4 ? 64 : 32;
    __m256 sum[X_ROWS];
    float factors[X_ROWS][BLOCK];
    uint8_t copy[BLOCK_BYTES_MAX];
    for (int r = 0; r < n_rows; r++) sum[r] = _mm256_setzero_ps();
    for (int64_t b = 0; b < l->blocks; b++) {
        const uint8_t *w = block_codes(bits, size, s, b, copy);
        __m256 scale = load_factors(s->scales, s->scales_end, s, b);
        for (int r = 0; r < n_rows; r++) {
            const float *d = (const float *)(const void *)(x + r * l->bytes + 2 * l->codes) + b * BLOCK;
            _mm256_storeu_ps(factors[r], _mm256_mul_ps(scale, _mm256_loadu_ps(d)));
        }
        for (int u = 0; u < units; u++) {
            __m256i integers[X_ROWS];
            for (int i = 0; i < spans; i++) {
                int at = u * spans + i;
                __m256i part[4];
                split_codes(bits, w + 32 * at, part);
                for (int r = 0; r < n_rows; r++) {
                    const int16_t *q = (const int16_t *)(const void *)(x + r * l->bytes) + b * BLOCK * size + at * span;
                    __m256i sums = span_sums(bits, part, q);
                    integers[r] = i ? _mm256_add_epi32(integers[r], sums) : sums;
                }
            }
            for (int r = 0; r < n_rows; r++)
                sum[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers[r]), unit_factors(factors[r], two, u), sum[r]);
        }
    }
    add_biases(bits, n_rows, s, l, x, sum);
    for (int r = 0; r < n_rows; r++) out[r] = mica__hsum(sum[r]);
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------------- */

static float bias_of(const mica__instr *instr, int64_t row)
{
    float bias = 0;
    if (instr->n_in < 3) return 0;
    const mica__tensor *t = &instr->in[2];
    memcpy(&bias, (const uint8_t *)t->data + row * t->strides[0] * (int64_t)sizeof bias, sizeof bias);
    return bias;
}

/* Rows [begin, end) of w with rows of x [first, first + n_rows). */
MICA__INLINE void tile(int bits, int size, int n_rows, const mica__instr *instr, const layout *l, const uint8_t *x,
                       int64_t first, int64_t begin, int64_t end)
{
    const mica__tensor *w = &instr->in[1];
    float *out = (float *)instr->out.data, result[X_ROWS];
    for (int64_t c = begin; c < end; c++) {
        source s = source_of(w, c);
        dot_rows(bits, size, n_rows, &s, l, x + first * l->bytes, result);
        float bias = bias_of(instr, c);
        for (int r = 0; r < n_rows; r++) out[(first + r) * w->shape[0] + c] = result[r] + bias;
    }
}

/* A few rows of w, which stay in the cache, pass over all rows of x before the next. */
MICA__INLINE void linear(int bits, int size, const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *w = &instr->in[1];
    const layout l = layout_of(w);
    int64_t rows = mica__rows(&instr->in[0], run), begin, end;
    mica__share(w->shape[0], W_ROWS, id, n, &begin, &end);
    for (int64_t c = begin, r; c < end; c += W_ROWS) {
        int64_t last = mica__min(c + W_ROWS, end);
        for (r = 0; r + X_ROWS <= rows; r += X_ROWS) tile(bits, size, X_ROWS, instr, &l, run->scratch, r, c, last);
        for (; r < rows; r++) tile(bits, size, 1, instr, &l, run->scratch, r, c, last);
    }
}

#define DEFINE(bits, size)                                                                                             \
    MICA__AVX2 static void linear_##bits##_##size(const mica__instr *instr, const mica__run *run, int id, int n)       \
    {                                                                                                                  \
        linear(bits, size, instr, run, id, n);                                                                         \
    }
DEFINE(4, 32)
DEFINE(4, 64)
DEFINE(4, 128)
DEFINE(8, 32)
DEFINE(8, 64)
DEFINE(8, 128)

bool mica__linear_int16_avx2(mica__instr *instr)
{
    static const mica__kernel kernels[2][3] = {{linear_4_32, linear_4_64, linear_4_128},
                                               {linear_8_32, linear_8_64, linear_8_128}};
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!w->quantized || (w->affine.bits != 4 && w->affine.bits != 8)) return false;
    const layout l = layout_of(w);
    instr->phase[0] = round_x;
    instr->phase[1] = kernels[w->affine.bits / 8][w->affine.group_size / 64];
    instr->n_phases = 2;
    instr->first_phase_key = (uint64_t)w->affine.group_size << 1 | (w->affine.bits == 4); /* what round_x looks at */
    instr->scratch_bytes = (size_t)x->shape[0] * (size_t)l.bytes;
    return true;
}

#else
bool mica__linear_int16_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
