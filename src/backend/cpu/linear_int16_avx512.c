/* backend/cpu/linear_int16_avx512.c: affine weights of 4 and 8 bits with activations rounded to 16-bit integers, with AVX-512 VNNI.
 *
 * The arithmetic of linear_int16_avx2.c: each group of x has a scale d = max |x| / 32767 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b d (sum of q)
 *
 * vpdpwssd multiplies 32 codes with 32 integers and adds pairs of products to sixteen 32-bit sums. The codes of 64 bytes are split
 * into vectors by shift and mask, with the elements of x laid out to match:
 *
 *     4 bits   16-bit lane j of vector n holds element 4 j + n of a span of 128
 *     8 bits   16-bit lane j of vector n holds element 2 j + n of a span of 64
 *
 * so that sum l is of the 8 (4) elements from 8 l (4 l) on, and a group is 4, 8 or 16 neighbouring sums. The sums of a unit (a span; two of
 * them for 8 bits in groups of 128) go to float and are added to sixteen lanes, times their group's s d: a permutation of the sixteen
 * factors of a block. Ends of rows are masked. A row of x passes through the same operations alone and among others, so its
 * result has the same bits. */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))) MICA__UNCHECKED
#define INLINE static inline __attribute__((always_inline, unused)) AVX512

enum { BLOCK = 16, SPAN = 128, W_ROWS = 16 }; /* groups that share a load of factors; elements of x in a share; rows of w in the cache */

/* A rounded row in scratch memory: q [codes] int16, d [groups] float, d times the sum of q [groups] float; groups a multiple of BLOCK. */
typedef struct layout {
    int64_t groups, codes, bytes;
} layout;

static layout layout_of(const mica__tensor *w)
{
    int64_t groups = (w->shape[1] / w->affine.group_size + BLOCK - 1) / BLOCK * BLOCK;
    int64_t codes = groups * w->affine.group_size;
    return (layout){groups, codes, (int64_t)mica__round64((size_t)(2 * codes + 8 * groups))};
}

/* ---- rows of x ----------------------------------------------------------------------------------------------------------- */

INLINE float hsum(__m512 v)
{
    return mica__hsum(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

/* q of one group of n elements in their order. Infinities and NaN make d NaN. */
INLINE void round_group(const float *x, int n, int16_t *q, float *d, float *dsum)
{
    __m512 top = _mm512_setzero_ps(), bad = top;
    for (int i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        top = _mm512_max_ps(_mm512_abs_ps(v), top);
        bad = _mm512_add_ps(bad, _mm512_sub_ps(v, v));
    }
    float max = _mm512_reduce_max_ps(top), inverse = max > 0 ? 32767 / max : 0;
    if (inverse > 0x1p126f) inverse = max = 0; /* all but zero */
    __m512i sum = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 16) {
        __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(inverse)));
        sum = _mm512_add_epi32(sum, v);
        _mm256_storeu_si256((__m256i *)(void *)(q + i), _mm512_cvtsepi32_epi16(v));
    }
    *d = max / 32767 + hsum(bad);
    *dsum = *d * (float)_mm512_reduce_add_epi32(sum);
}

/* Lane j: element parts * j + n of the two vectors that follow each other. For 4 parts the upper half repeats. */
INLINE __m512i every(int parts, int n, const int16_t *q)
{
    const __m512i lanes = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12,
                                           11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i index = _mm512_add_epi16(_mm512_slli_epi16(lanes, parts == 4 ? 2 : 1), _mm512_set1_epi16((short)n));
    return _mm512_permutex2var_epi16(_mm512_loadu_si512(q), index, _mm512_loadu_si512(q + 32));
}

/* 128 integers in the order of split codes. */
INLINE void lay_out(int bits, const int16_t *q, int16_t *to)
{
    for (int n = 0; n < 4; n++) {
        __m512i v;
        if (bits == 4)
            v = _mm512_inserti64x4(every(4, n, q), _mm512_castsi512_si256(every(4, n, q + 64)), 1);
        else
            v = every(2, n % 2, q + n / 2 * 64);
        _mm512_storeu_si512(to + 32 * n, v);
    }
}

/* Phase 0. Shares are spans of 128 elements, which hold whole groups. */
AVX512 static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const layout l = layout_of(w);
    const int64_t k = x->shape[1], spans = l.codes / SPAN;
    const int size = w->affine.group_size;
    int64_t begin, end;
    mica__share(mica__rows(x, run) * spans, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / spans, first = item % spans * SPAN;
        mica__chunk c;
        int16_t q[SPAN];
        memset(c.f32, 0, SPAN * sizeof(float));
        const uint8_t *from = (const uint8_t *)x->data;
        from += (row * x->strides[0] + first * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
        if (first < k) mica__load(MICA__CLASS_F32, &c, from, x->dtype, x->strides[1], mica__min(k - first, SPAN));
        uint8_t *base = run->scratch + row * l.bytes;
        float *d = (float *)(void *)(base + 2 * l.codes) + first / size, *dsum = d + l.groups;
        for (int i = 0; i < SPAN; i += size) round_group(c.f32 + i, size, q + i, d + i / size, dsum + i / size);
        lay_out(w->affine.bits, q, (int16_t *)(void *)base + first);
    }
}

/* ---- one row of w ---------------------------------------------------------------------------------------------------------- */

/* n <= 16 scales or biases, then zeros. */
INLINE __m512 load_factors(const uint8_t *base, mica_dtype dtype, int64_t first, int64_t n)
{
    const __mmask16 mask = (__mmask16)(n < BLOCK ? (1u << n) - 1 : 0xffff);
    if (dtype == MICA_DTYPE_F32) return _mm512_maskz_loadu_ps(mask, base + 4 * first);
    __m256i half = _mm256_maskz_loadu_epi16(mask, base + 2 * first);
    if (dtype == MICA_DTYPE_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* The codes of 64 bytes as 16-bit integers, in 4 or 2 vectors. */
INLINE void split_codes(int bits, __m512i v, __m512i *part)
{
    if (bits == 4) {
        const __m512i mask = _mm512_set1_epi16(15);
        part[0] = _mm512_and_si512(v, mask);
        part[1] = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
        part[2] = _mm512_and_si512(_mm512_srli_epi16(v, 8), mask);
        part[3] = _mm512_srli_epi16(v, 12);
    } else {
        part[0] = _mm512_and_si512(v, _mm512_set1_epi16(255));
        part[1] = _mm512_srli_epi16(v, 8);
    }
}

/* Which factor of the block goes to each lane of unit 0. */
INLINE __m512i factor_lanes(int groups_per_unit)
{
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_srli_epi32(lanes, groups_per_unit == 4 ? 2 : groups_per_unit == 2 ? 3 : 4);
}

/* A row of w: codes, scales, and biases (NULL: symmetric). */
typedef struct source {
    const uint8_t *codes, *scales, *biases;
    mica_dtype dtype;
    int64_t groups;
} source;

/* One row of w with n_rows rows of x. out [n_rows] */
INLINE void dot_rows(int bits, int size, int n_rows, const source *s, const layout *l, const uint8_t *x, float *out)
{
    const int parts = bits == 4 ? 4 : 2, spans = bits == 8 && size == 128 ? 2 : 1; /* vectors of x to one of codes; those to a unit */
    const int unit = spans * 64 * 8 / bits, groups_per_unit = unit / size;
    const __m512i lanes = factor_lanes(groups_per_unit);
    __m512 sum[8], factors[8];
    MICA__UNROLL
    for (int r = 0; r < n_rows; r++) sum[r] = _mm512_setzero_ps();
    for (int64_t g = 0; g < s->groups; g += BLOCK) {
        const int64_t left = mica__min(s->groups - g, BLOCK);
        __m512 scale = load_factors(s->scales, s->dtype, g, left);
        __m512 bias = s->biases ? load_factors(s->biases, s->dtype, g, left)
                                : _mm512_mul_ps(_mm512_set1_ps(mica__symmetric_offset(bits)), scale);
        MICA__UNROLL
        for (int r = 0; r < n_rows; r++) {
            const float *d = (const float *)(const void *)(x + r * l->bytes + 2 * l->codes) + g;
            factors[r] = _mm512_mul_ps(scale, _mm512_loadu_ps(d));
            sum[r] = _mm512_fmadd_ps(bias, _mm512_loadu_ps(d + l->groups), sum[r]);
        }
        const uint8_t *w = s->codes + g * size * bits / 8;
        int64_t bytes = left * size * bits / 8;
        for (int u = 0; bytes > 0; u++, bytes -= 64 * spans, w += 64 * spans) {
            const __m512i which = _mm512_add_epi32(lanes, _mm512_set1_epi32(u * groups_per_unit));
            __m512i integers[8], part[4];
            MICA__UNROLL
            for (int i = 0; i < spans; i++) {
                __m512i v = bytes - 64 * i >= 64 ? _mm512_loadu_si512(w + 64 * i)
                                                 : _mm512_maskz_loadu_epi8((1ull << (bytes - 64 * i)) - 1, w + 64 * i);
                split_codes(bits, v, part);
                MICA__UNROLL
                for (int r = 0; r < n_rows; r++) {
                    const int16_t *q = (const int16_t *)(const void *)(x + r * l->bytes) + g * size + u * unit + i * unit / spans;
                    __m512i total = i ? integers[r] : _mm512_setzero_si512();
                    MICA__UNROLL
                    for (int p = 0; p < parts; p++)
                        total = _mm512_dpwssd_epi32(total, part[p], _mm512_loadu_si512(q + 32 * p));
                    integers[r] = total;
                }
            }
            MICA__UNROLL
            for (int r = 0; r < n_rows; r++)
                sum[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integers[r]), _mm512_permutexvar_ps(which, factors[r]), sum[r]);
        }
    }
    MICA__UNROLL
    for (int r = 0; r < n_rows; r++) out[r] = hsum(sum[r]);
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
INLINE void tile(int bits, int size, int n_rows, const mica__instr *instr, const layout *l, const uint8_t *x, int64_t first,
                 int64_t begin, int64_t end)
{
    const mica__tensor *w = &instr->in[1];
    const mica__affine *a = &w->affine;
    const int64_t groups = w->shape[1] / size, row_bytes = w->shape[1] * bits / 8,
                  factor_bytes = groups * (int64_t)mica_dtype_size(a->scale_dtype);
    float *out = (float *)instr->out.data, result[8];
    for (int64_t c = begin; c < end; c++) {
        source s = {(const uint8_t *)w->data + c * row_bytes, (const uint8_t *)a->scales + c * factor_bytes,
                    a->biases ? (const uint8_t *)a->biases + c * factor_bytes : NULL, a->scale_dtype, groups};
        dot_rows(bits, size, n_rows, &s, l, x + first * l->bytes, result);
        float bias = bias_of(instr, c);
        for (int r = 0; r < n_rows; r++) out[(first + r) * w->shape[0] + c] = result[r] + bias;
    }
}

/* A few rows of w, which stay in the cache, pass over all rows of x before the next. */
INLINE void linear(int bits, int size, const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *w = &instr->in[1];
    const layout l = layout_of(w);
    int64_t rows = mica__rows(&instr->in[0], run), begin, end;
    mica__share(w->shape[0], W_ROWS, id, n, &begin, &end);
    for (int64_t c = begin; c < end; c += W_ROWS) {
        int64_t last = mica__min(c + W_ROWS, end), r = 0;
        for (; r + 8 <= rows; r += 8) tile(bits, size, 8, instr, &l, run->scratch, r, c, last);
        for (; r + 4 <= rows; r += 4) tile(bits, size, 4, instr, &l, run->scratch, r, c, last);
        for (; r + 2 <= rows; r += 2) tile(bits, size, 2, instr, &l, run->scratch, r, c, last);
        if (r < rows) tile(bits, size, 1, instr, &l, run->scratch, r, c, last);
    }
}

#define DEFINE(bits, size)                                                                                             \
    AVX512 static void linear_##bits##_##size(const mica__instr *instr, const mica__run *run, int id, int n)           \
    {                                                                                                                  \
        linear(bits, size, instr, run, id, n);                                                                         \
    }
DEFINE(4, 32)
DEFINE(4, 64)
DEFINE(4, 128)
DEFINE(8, 32)
DEFINE(8, 64)
DEFINE(8, 128)

bool mica__linear_int16_avx512(mica__instr *instr)
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
bool mica__linear_int16_avx512(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
