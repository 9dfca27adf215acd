/* backend/cpu/linear_int16_avx512.c: affine weights of 4 and 8 bits with activations rounded to 16-bit integers, with AVX-512 VNNI.
 *
 * The arithmetic of linear_int16_avx2.c: each group of x has a scale d = max |x| / 32767 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b d (sum of q)
 *
 * The sum over a group is an exact integer, so its order is free. What is float is one chain per output, group after group:
 * y = fma(sum, s d, y), y = fma(b, d sum q, y), on every path below; so a row of x gives the same bits alone and among others.
 *
 * vpdpwssd multiplies 32 codes with 32 integers and adds pairs of products to sixteen 32-bit sums. The codes of 64 bytes, a unit, are split
 * into vectors by shift and mask, and x is laid out to match:
 *
 *     4 bits   16-bit lane j of vector n holds element 4 j + n of a unit of 128
 *     8 bits   16-bit lane j of vector n holds element 2 j + n of a unit of 64
 *
 * so that sum l of a unit belongs to 8 (4) neighbouring elements, and a group to 4, 8 or 16 neighbouring sums.
 *
 *     M <= FEW   sixteen rows of w on the way from memory: their sums are added across the lanes as one small transposition, and one
 *                vector holds the chains of all sixteen
 *     else       a panel of 32 rows by DEPTH elements is split once, pairs of elements of sixteen rows in a vector, and meets all
 *                rows of x in tiles of 8, whose pairs are broadcast
 *
 * Ends of rows are masked. */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))) MICA__UNCHECKED
#define INLINE static inline __attribute__((always_inline, unused)) AVX512

enum {
    BLOCK = 16,
    SPAN = 128,
    LANES = 16,
    FEW = 8,
    X_ROWS = 4,
    PANEL = 2 * LANES,
    DEPTH = 256,
    TILE = 8,
    AHEAD = 512 /* bytes to prefetch; may lie past the end */
};

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
    const __m512i lanes = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13,
                                           12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
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

/* ---- rows of w -------------------------------------------------------------------------------------------------------------- */

typedef struct matrix {
    const uint8_t *codes, *scales, *biases; /* biases NULL: symmetric */
    mica_dtype dtype;                       /* of scales and biases */
    int64_t rows, groups, row_bytes;
} matrix;

static matrix matrix_of(const mica__tensor *w)
{
    const mica__affine *a = &w->affine;
    return (matrix){.codes = w->data,
                    .scales = a->scales,
                    .biases = a->biases,
                    .dtype = a->scale_dtype,
                    .rows = w->shape[0],
                    .groups = w->shape[1] / a->group_size,
                    .row_bytes = w->shape[1] * a->bits / 8};
}

/* The codes of unit u of a row, zeros past its end. */
INLINE __m512i load_codes(const matrix *w, int64_t row, int64_t u)
{
    const int64_t left = w->row_bytes - 64 * u;
    const uint8_t *p = w->codes + row * w->row_bytes + 64 * u;
    if (left >= 64) return _mm512_loadu_si512(p);
    return left > 0 ? _mm512_maskz_loadu_epi8((1ull << left) - 1, p) : _mm512_setzero_si512();
}

/* n <= 16 scales or biases of a row, then zeros. */
INLINE __m512 load_factors(const uint8_t *base, mica_dtype dtype, int64_t first, int64_t n)
{
    const __mmask16 mask = (__mmask16)(n < BLOCK ? (1u << n) - 1 : 0xffff);
    if (dtype == MICA_DTYPE_F32) return _mm512_maskz_loadu_ps(mask, base + 4 * first);
    __m256i half = _mm256_maskz_loadu_epi16(mask, base + 2 * first);
    if (dtype == MICA_DTYPE_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Vector n of the split codes. */
INLINE __m512i part_of(int bits, __m512i v, int n)
{
    if (bits == 8) return n ? _mm512_srli_epi16(v, 8) : _mm512_and_si512(v, _mm512_set1_epi16(255));
    if (n == 3) return _mm512_srli_epi16(v, 12);
    return _mm512_and_si512(n ? _mm512_srli_epi16(v, 4 * (unsigned)n) : v, _mm512_set1_epi16(15));
}

/* v [16] of 16 lanes of 32 bits, rows to columns. */
INLINE void transpose(__m512i v[LANES])
{
    __m512i t[LANES];
    for (int i = 0; i < LANES; i += 4) { /* four rows: 4 x 4 blocks inside the quarters */
        __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]), b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        __m512i c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c);
        t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d);
        t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4;
         i++) { /* then the quarters themselves: t[i + 4 r] holds columns i, i + 4, i + 8, i + 12 of rows 4 r .. */
        __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88),
                d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
        v[i] = _mm512_shuffle_i32x4(a, c, 0x88);
        v[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
        v[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

/* Factors of sixteen rows of w: [group][row]. */
typedef struct factors {
    __m512 scales[BLOCK], biases[BLOCK];
} factors;

/* Groups [first, first + BLOCK), rows [c, c + 16); what lies past the last row repeats it. */
AVX512 static __attribute__((noinline)) void read_factors(int bits, factors *f, const matrix *w, int64_t c,
                                                          int64_t first)
{
    const int64_t left = mica__min(w->groups - first, BLOCK);
    __m512i scales[LANES], biases[LANES];
    for (int i = 0; i < LANES; i++) {
        int64_t at = mica__min(c + i, w->rows - 1) * w->groups + first;
        __m512 scale = load_factors(w->scales, w->dtype, at, left);
        scales[i] = _mm512_castps_si512(scale);
        biases[i] = _mm512_castps_si512(w->biases ? load_factors(w->biases, w->dtype, at, left)
                                                  : _mm512_mul_ps(_mm512_set1_ps(mica__symmetric_offset(bits)), scale));
    }
    transpose(scales);
    transpose(biases);
    for (int i = 0; i < LANES; i++) {
        f->scales[i] = _mm512_castsi512_ps(scales[i]);
        f->biases[i] = _mm512_castsi512_ps(biases[i]);
    }
}

/* The chain of the outputs of sixteen rows of w: one group. */
INLINE __m512 add_group(__m512 y, __m512i sum, __m512 scale, __m512 bias, const float *d, const float *dsum)
{
    y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, _mm512_set1_ps(*d)), y);
    return _mm512_fmadd_ps(bias, _mm512_set1_ps(*dsum), y);
}

/* Addends of the outputs of rows [c, c + 16), zeros if there are none. */
AVX512 static __m512 load_bias(const mica__instr *instr, int64_t c, int64_t n)
{
    float bias[LANES] = {0};
    for (int64_t i = 0; i < n; i++) bias[i] = mica__linear_bias(instr, c + i);
    return _mm512_loadu_ps(bias);
}

static inline __mmask16 first_lanes(int64_t n) { return (__mmask16)(n < LANES ? (1u << n) - 1 : 0xffff); }

/* A rounded row of x. */
typedef struct rounded {
    const int16_t *q;
    const float *d, *dsum;
} rounded;

INLINE rounded rounded_row(const layout *l, const uint8_t *x, int64_t row)
{
    const uint8_t *base = x + row * l->bytes;
    const float *d = (const float *)(const void *)(base + 2 * l->codes);
    return (rounded){(const int16_t *)(const void *)base, d, d + l->groups};
}

/* ---- a few rows of x -------------------------------------------------------------------------------------------------------- */

/* Lanes 0, 1, 2, 3 of every quarter: the sums of that quarter of v[0], v[1], v[2], v[3]. */
INLINE __m512i across(const __m512i v[4])
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* From four of those, of rows 0 .. 3, 4 .. 7, ...: the sums of all sixteen rows for each of the groups of a unit. */
INLINE void group_sums(int groups, const __m512i v[4], __m512i out[4])
{
    __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x88),
            b = _mm512_shuffle_i32x4(v[0], v[1], 0xdd); /* quarters 0 2, 1 3 */
    __m512i c = _mm512_shuffle_i32x4(v[2], v[3], 0x88), d = _mm512_shuffle_i32x4(v[2], v[3], 0xdd);
    if (groups < 4) {
        a = _mm512_add_epi32(a, b);
        c = _mm512_add_epi32(c, d);
    }
    __m512i even = _mm512_shuffle_i32x4(a, c, 0x88), odd = _mm512_shuffle_i32x4(a, c, 0xdd);
    if (groups == 4) {
        out[0] = even;
        out[1] = _mm512_shuffle_i32x4(b, d, 0x88);
        out[2] = odd;
        out[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
    } else if (groups == 2) {
        out[0] = even;
        out[1] = odd;
    } else {
        out[0] = _mm512_add_epi32(even, odd);
    }
}

/* Rows [c, c + 16) of w with n rows of x, of which y are the chains. */
INLINE void sixteen_rows(int bits, int size, int n, const matrix *w, int64_t c, const rounded *x, __m512 *y)
{
    const int parts = bits == 4 ? 4 : 2, unit = 512 / bits, groups = size < unit ? unit / size : 1,
              units = size > unit ? size / unit : 1; /* groups of a step, or units of its one group */
    factors f;
    for (int64_t g = 0; g < w->groups; g += groups) {
        if (g % BLOCK == 0) read_factors(bits, &f, w, c, g);
        __m512i quads[X_ROWS][4], sums[4];
        for (int k = 0; k < 4; k++) {
            __m512i rows[X_ROWS][4];
            MICA__UNROLL
            for (int i = 0; i < 4; i++) {
                const int64_t row = mica__min(c + 4 * k + i, w->rows - 1);
                MICA__UNROLL
                for (int u = 0; u < units; u++) {
                    const int64_t at = g * size / unit + u;
                    const __m512i v = load_codes(w, row, at);
                    _mm_prefetch((const char *)w->codes + row * w->row_bytes + 64 * at + AHEAD, _MM_HINT_T0);
                    MICA__UNROLL
                    for (int p = 0; p < parts; p++) {
                        const __m512i part = part_of(bits, v, p);
                        MICA__UNROLL
                        for (int r = 0; r < n; r++)
                            rows[r][i] = _mm512_dpwssd_epi32(u || p ? rows[r][i] : _mm512_setzero_si512(), part,
                                                             _mm512_loadu_si512(x[r].q + at * unit + 32 * p));
                    }
                }
            }
            MICA__UNROLL
            for (int r = 0; r < n; r++) quads[r][k] = across(rows[r]);
        }
        MICA__UNROLL
        for (int r = 0; r < n; r++) {
            group_sums(groups, quads[r], sums);
            for (int j = 0; j < groups && g + j < w->groups; j++) {
                const int64_t at = (g + j) % BLOCK;
                y[r] = add_group(y[r], sums[j], f.scales[at], f.biases[at], x[r].d + g + j, x[r].dsum + g + j);
            }
        }
    }
}

/* Rows [first, first + n) of x. */
INLINE void pass(int bits, int size, int n, const mica__instr *instr, const layout *l, const uint8_t *x, int64_t first,
                 int64_t c, int64_t count)
{
    const matrix w = matrix_of(&instr->in[1]);
    __m512 y[X_ROWS], bias = load_bias(instr, c, count);
    rounded rows[X_ROWS];
    for (int r = 0; r < n; r++) {
        rows[r] = rounded_row(l, x, first + r);
        y[r] = bias;
    }
    sixteen_rows(bits, size, n, &w, c, rows, y);
    float *out = (float *)instr->out.data + first * w.rows + c;
    for (int r = 0; r < n; r++) _mm512_mask_storeu_ps(out + r * w.rows, first_lanes(count), y[r]);
}

INLINE void few_rows(int bits, int size, const mica__instr *instr, const layout *l, const uint8_t *x, int64_t rows,
                     int64_t begin, int64_t end)
{
    for (int64_t c = begin; c < end; c += LANES) {
        int64_t count = mica__min(end - c, LANES), r = 0;
        for (; r + 4 <= rows; r += 4) pass(bits, size, 4, instr, l, x, r, c, count);
        for (; r + 2 <= rows; r += 2) pass(bits, size, 2, instr, l, x, r, c, count);
        if (r < rows) pass(bits, size, 1, instr, l, x, r, c, count);
    }
}

/* ---- many rows of x ---------------------------------------------------------------------------------------------------------- */

/* DEPTH elements of 32 rows of w: vector i, half h: pair i of each of the rows 16 h .. 16 h + 15. Pairs are in the order of split codes. */
typedef struct panel {
    __m512i pairs[DEPTH / 2][2];
    factors factors[2]; /* of groups from a multiple of BLOCK on */
} panel;

/* Rows [c, c + 32), units [first, first + n). */
INLINE void fill_panel(int bits, panel *to, const matrix *w, int64_t c, int64_t first, int64_t n)
{
    const int parts = bits == 4 ? 4 : 2;
    for (int64_t u = 0; u < n; u++) {
        for (int h = 0; h < 2; h++) {
            for (int p = 0; p < parts; p++) {
                __m512i v[LANES];
                for (int i = 0; i < LANES; i++)
                    v[i] = part_of(bits, load_codes(w, mica__min(c + h * LANES + i, w->rows - 1), first + u), p);
                transpose(v);
                for (int i = 0; i < LANES; i++) to->pairs[(u * parts + p) * LANES + i][h] = v[i];
            }
        }
    }
}

AVX512 static __attribute__((noinline)) void fill_panel_4(panel *to, const matrix *w, int64_t c, int64_t first,
                                                          int64_t n)
{
    fill_panel(4, to, w, c, first, n);
}
AVX512 static __attribute__((noinline)) void fill_panel_8(panel *to, const matrix *w, int64_t c, int64_t first,
                                                          int64_t n)
{
    fill_panel(8, to, w, c, first, n);
}

/* One group of 32 rows of w with T rows of x: its pairs are runs of `lanes` in each vector of each of its units. */
INLINE void tile_group(int bits, int size, int T, const panel *w, const int16_t *x, int64_t stride, int64_t g,
                       __m512i sums[TILE][2])
{
    const int parts = bits == 4 ? 4 : 2, unit = 512 / bits, lanes = size < unit ? LANES * size / unit : LANES;
    MICA__UNROLL
    for (int t = 0; t < T; t++) sums[t][0] = sums[t][1] = _mm512_setzero_si512();
    for (int64_t start = g * size / unit * unit / 2; start * 2 < (g + 1) * size;
         start += unit / 2) { /* pairs of units */
        for (int p = 0; p < parts; p++) {
            const int64_t from = start + p * LANES + g * size % unit * LANES / unit;
            for (int64_t i = from; i < from + lanes; i++) {
                const __m512i w0 = w->pairs[i][0], w1 = w->pairs[i][1];
                MICA__UNROLL
                for (int t = 0; t < T; t++) {
                    int32_t pair;
                    memcpy(&pair, x + t * stride + 2 * i, sizeof pair);
                    const __m512i both = _mm512_set1_epi32(pair);
                    sums[t][0] = _mm512_dpwssd_epi32(sums[t][0], w0, both);
                    sums[t][1] = _mm512_dpwssd_epi32(sums[t][1], w1, both);
                }
            }
        }
    }
}

/* Groups [g, g + n) of the panel with rows [r, r + T) of x, added to the outputs. */
INLINE void tile(int bits, int size, int T, const panel *w, const layout *l, const uint8_t *x, int64_t r, int64_t g,
                 int64_t n, float *out, int64_t n_out, int64_t count)
{
    const rounded first = rounded_row(l, x, r);
    const int64_t stride = l->bytes / (int64_t)sizeof(int16_t), stride_d = l->bytes / (int64_t)sizeof(float);
    const __mmask16 mask[2] = {first_lanes(count), count > LANES ? first_lanes(count - LANES) : 0};
    for (int64_t j = 0; j < n; j++) {
        __m512i sums[TILE][2];
        tile_group(bits, size, T, w, first.q + g * size, stride, j, sums);
        const int64_t at = (g + j) % BLOCK;
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            const float *d = first.d + t * stride_d + g + j, *dsum = first.dsum + t * stride_d + g + j;
            MICA__UNROLL
            for (int h = 0; h < 2; h++) {
                float *to = out + (r + t) * n_out + h * LANES;
                __m512 y = _mm512_maskz_loadu_ps(mask[h], to);
                y = add_group(y, sums[t][h], w->factors[h].scales[at], w->factors[h].biases[at], d, dsum);
                _mm512_mask_storeu_ps(to, mask[h], y);
            }
        }
    }
}

INLINE void many_rows(int bits, int size, const mica__instr *instr, const layout *l, const uint8_t *x, int64_t rows,
                      int64_t begin, int64_t end)
{
    const matrix w = matrix_of(&instr->in[1]);
    const int64_t step = DEPTH / size, unit = 512 / bits;
    panel p;
    for (int64_t c = begin; c < end; c += PANEL) {
        const int64_t count = mica__min(end - c, PANEL);
        float *out = (float *)instr->out.data + c;
        for (int h = 0; h < 2; h++) {
            const int64_t left = mica__min(count - h * LANES, LANES);
            if (left <= 0) continue;
            const __m512 bias = load_bias(instr, c + h * LANES, left);
            for (int64_t r = 0; r < rows; r++)
                _mm512_mask_storeu_ps(out + r * w.rows + h * LANES, first_lanes(left), bias);
        }
        for (int64_t g = 0; g < w.groups; g += step) {
            const int64_t n = mica__min(w.groups - g, step);
            for (int h = 0; h < 2 && g % BLOCK == 0; h++) read_factors(bits, &p.factors[h], &w, c + h * LANES, g);
            (bits == 4 ? fill_panel_4 : fill_panel_8)(&p, &w, c, g * size / unit, (n * size + unit - 1) / unit);
            int64_t r = 0;
            for (; r + 8 <= rows; r += 8) tile(bits, size, 8, &p, l, x, r, g, n, out, w.rows, count);
            for (; r + 4 <= rows; r += 4) tile(bits, size, 4, &p, l, x, r, g, n, out, w.rows, count);
            for (; r < rows; r++) tile(bits, size, 1, &p, l, x, r, g, n, out, w.rows, count);
        }
    }
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------------- */

#define DEFINE(bits, size)                                                                                             \
    AVX512 static void linear_##bits##_##size(const mica__instr *instr, const mica__run *run, int id, int n)           \
    {                                                                                                                  \
        const layout l = layout_of(&instr->in[1]);                                                                     \
        int64_t rows = mica__rows(&instr->in[0], run), begin, end;                                                     \
        mica__share(instr->in[1].shape[0], rows > FEW ? PANEL : LANES, id, n, &begin, &end);                           \
        if (rows > FEW)                                                                                                \
            many_rows(bits, size, instr, &l, run->scratch, rows, begin, end);                                          \
        else                                                                                                           \
            few_rows(bits, size, instr, &l, run->scratch, rows, begin, end);                                           \
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
    const mica__tensor *w = &instr->in[1];
    return mica__takes_int16(w) && mica__set_int16(instr, round_x, kernels, layout_of(w).bytes);
}

#else
bool mica__linear_int16_avx512(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
