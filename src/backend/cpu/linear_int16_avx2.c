/* backend/cpu/linear_int16_avx2.c: affine weights of 4 and 8 bits with activations rounded to 16-bit integers.
 *
 * Each group of x has one scale d = max |x| / 32767 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b d (sum of q)
 *
 * The sum over a group is an exact integer of 32 bits (255 * 32767 * 128 < 2^31), so it may be taken in any order. What is float is one
 * chain per output, group after group: y = fma(sum, s d, y), y = fma(b, d sum q, y). All paths below keep to it, so a row of x gives the
 * same bits alone and among others. The rounding of x is 2^-16 of a group's largest element, so the result is that of float
 * activations to about 1e-5 (tests/backend/test_linear.c prints it).
 *
 *     M <= FEW   eight rows of w at once, on the way from memory: their sums for a group are added across the lanes as one small
 *                transposition, and one vector holds the chains of all eight
 *     else       a panel of 16 rows by DEPTH elements is split to 16-bit integers once, pairs of elements of eight rows in a vector, and
 *                meets all rows of x in tiles of 4, whose pairs are broadcast
 *
 * vpmaddwd takes 16 products an instruction. 32 bytes of codes are split into vectors by shift and mask, and x is laid out to match:
 *
 *     4 bits   lane l of vector n holds element 4 l + n of a span of 64
 *     8 bits   lane l of vector n holds element 2 l + n of a span of 32 */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

enum { BLOCK = 8, X_ROWS = 4, FEW = 8, PANEL = 16, DEPTH = 512, TILE = 4, CHUNK_ROWS = 256 };

/* Keeps a sum in one register, at this place: gcc otherwise mixes the sums of several rows until the registers do not suffice. */
#define KEEP(v) __asm__ volatile("" : "+x"(v))

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

/* ---- rows of w -------------------------------------------------------------------------------------------------------------- */

/* Scales or biases, and where the array ends: a last block that is not whole may read on into the next row. */
typedef struct factors {
    const uint8_t *first, *end; /* first NULL: there are none */
    int64_t groups, row_bytes;
    mica_dtype dtype;
} factors;

typedef struct matrix {
    const uint8_t *codes;
    int64_t rows, row_bytes, groups;
    factors scales, biases;
} matrix;

static factors factors_of(const void *data, const mica__tensor *w)
{
    const int64_t groups = w->shape[1] / w->affine.group_size,
                  row_bytes = groups * (int64_t)mica_dtype_size(w->affine.scale_dtype);
    return (factors){data, data ? (const uint8_t *)data + w->shape[0] * row_bytes : NULL, groups, row_bytes,
                     w->affine.scale_dtype};
}

static matrix matrix_of(const mica__tensor *w)
{
    return (matrix){w->data,
                    w->shape[0],
                    w->shape[1] * w->affine.bits / 8,
                    w->shape[1] / w->affine.group_size,
                    factors_of(w->affine.scales, w),
                    factors_of(w->affine.biases, w)};
}

/* All bits of the first n of eight lanes. */
MICA__INLINE __m256i first_lanes(int64_t n)
{
    static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(masks + 8 - n));
}

/* Eight factors of a row from `group` on, zeros past the row's last. */
MICA__INLINE __m256 load_factors(const factors *f, int64_t row, int64_t group)
{
    const int64_t left = f->groups - group, size = f->dtype == MICA_DTYPE_F32 ? 4 : 2;
    const uint8_t *p = f->first + row * f->row_bytes + group * size;
    if (left >= BLOCK) return mica__load8(p, f->dtype);
    if (f->end - p < BLOCK * size) return mica__load_some(p, f->dtype, left);
    return _mm256_and_ps(mica__load8(p, f->dtype), _mm256_castsi256_ps(first_lanes(left)));
}

MICA__INLINE void transpose(__m256 v[8])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
            b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
        }
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* scales[g][r], biases[g][r] of eight groups, from `group` on, of eight rows; `stride` floats from group to group. */
MICA__INLINE void block_factors(int bits, const matrix *w, const int64_t *rows, int64_t group, float *scales,
                                float *biases, int stride)
{
    __m256 v[8];
    for (int r = 0; r < 8; r++) v[r] = load_factors(&w->scales, rows[r], group);
    transpose(v);
    for (int g = 0; g < BLOCK; g++) _mm256_storeu_ps(scales + g * stride, v[g]);
    if (!w->biases.first) {
        const __m256 offset = _mm256_set1_ps(mica__symmetric_offset(bits));
        for (int g = 0; g < BLOCK; g++) _mm256_storeu_ps(biases + g * stride, _mm256_mul_ps(offset, v[g]));
        return;
    }
    for (int r = 0; r < 8; r++) v[r] = load_factors(&w->biases, rows[r], group);
    transpose(v);
    for (int g = 0; g < BLOCK; g++) _mm256_storeu_ps(biases + g * stride, v[g]);
}

/* Part n of the codes in 32 bytes, as 16-bit integers. */
MICA__INLINE __m256i part_of(int bits, __m256i v, int n)
{
    const __m256i mask = _mm256_set1_epi16(bits == 4 ? 15 : 255);
    if (n) v = _mm256_srli_epi16(v, bits == 4 ? 4 * n : 8);
    return n == (bits == 4 ? 3 : 1) ? v : _mm256_and_si256(v, mask);
}

/* 32 bytes of codes, of which only the first half are the row's own if `half`. */
MICA__INLINE __m256i load_codes(const uint8_t *p, bool half)
{
    if (half) return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

MICA__INLINE __m256i load_x(const int16_t *x) { return _mm256_loadu_si256((const __m256i *)(const void *)x); }

/* y = fma(sum, s d, y), y = fma(b, d sum q, y): the one place where integers become floats. */
MICA__INLINE __m256 add_group(__m256 y, __m256i sum, __m256 scale, __m256 bias, const float *d, const float *dsum)
{
    y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, _mm256_broadcast_ss(d)), y);
    return _mm256_fmadd_ps(bias, _mm256_broadcast_ss(dsum), y);
}

/* ---- a few rows of x -------------------------------------------------------------------------------------------------------- */

/* The sums of four vectors over the lanes of each half. */
MICA__INLINE __m256i across(const __m256i *v)
{
    return _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
}

/* Up to eight groups of eight rows of w and R rows of x. */
typedef struct block {
    const uint8_t *codes[8];                    /* of the first group */
    int64_t ahead;                              /* bytes from a row to the row that comes eight later */
    int n;                                      /* groups */
    const uint8_t *x;                           /* row 0's codes of the first group */
    int64_t x_bytes;                            /* from a row of x to the next */
    const float *d;                             /* of row 0 */
    int64_t groups;                             /* from d to d sum q */
    float scales[BLOCK * 8], biases[BLOCK * 8]; /* [groups][8] */
    __m256 y[X_ROWS];                           /* the chains, continued */
} block;

MICA__INLINE void add_block(int bits, int size, int R, block *b)
{
    const bool two = bits == 4 && size == 32; /* groups in a span */
    const int parts = bits == 4 ? 4 : 2, span = bits == 4 ? 64 : 32, spans = two ? 1 : size / span;
    for (int g = 0; g < b->n; g += two ? 2 : 1) {
        const bool half = two && g + 1 == b->n;
        __m256i sums[X_ROWS][2];
        MICA__UNROLL
        for (int h = 0; h < 2; h++) {
            __m256i v[X_ROWS][4];
            MICA__UNROLL
            for (int i = 0; i < 4; i++) {
                const uint8_t *codes = b->codes[4 * h + i] + g * size * bits / 8;
                if (R == 1) _mm_prefetch((const char *)codes + b->ahead, _MM_HINT_T0);
                MICA__UNROLL
                for (int s = 0; s < spans; s++) {
                    const __m256i c = load_codes(codes + 32 * s, half);
                    const uint8_t *x = b->x + 2 * (g * size + s * span);
                    MICA__UNROLL
                    for (int r = 0; r < R; r++, x += b->x_bytes) {
                        const int16_t *q = (const int16_t *)(const void *)x;
                        __m256i sum = _mm256_madd_epi16(part_of(bits, c, 0), load_x(q));
                        MICA__UNROLL
                        for (int p = 1; p < parts; p++)
                            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part_of(bits, c, p), load_x(q + 16 * p)));
                        v[r][i] = s ? _mm256_add_epi32(v[r][i], sum) : sum;
                        KEEP(v[r][i]);
                    }
                }
            }
            MICA__UNROLL
            for (int r = 0; r < R; r++) sums[r][h] = across(v[r]);
        }
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            const float *d = (const float *)(const void *)((const uint8_t *)b->d + r * b->x_bytes) + g;
            __m256i low = _mm256_permute2x128_si256(sums[r][0], sums[r][1], 0x20);
            __m256i high = _mm256_permute2x128_si256(sums[r][0], sums[r][1], 0x31);
            if (!two) low = _mm256_add_epi32(low, high);
            b->y[r] = add_group(b->y[r], low, _mm256_loadu_ps(b->scales + 8 * g), _mm256_loadu_ps(b->biases + 8 * g), d,
                                d + b->groups);
            if (two && !half)
                b->y[r] = add_group(b->y[r], high, _mm256_loadu_ps(b->scales + 8 * g + 8),
                                    _mm256_loadu_ps(b->biases + 8 * g + 8), d + 1, d + b->groups + 1);
        }
    }
}

/* Loops that must keep to the registers are functions of their own. */
#define BLOCKS(bits, size)                                                                                             \
    MICA__AVX2 static __attribute__((noinline)) void add_block_##bits##_##size##_1(block *b)                           \
    {                                                                                                                  \
        add_block(bits, size, 1, b);                                                                                   \
    }                                                                                                                  \
    MICA__AVX2 static __attribute__((noinline)) void add_block_##bits##_##size##_4(block *b)                           \
    {                                                                                                                  \
        add_block(bits, size, 4, b);                                                                                   \
    }
BLOCKS(4, 32)
BLOCKS(4, 64)
BLOCKS(4, 128)
BLOCKS(8, 32)
BLOCKS(8, 64)
BLOCKS(8, 128)

/* The instruction's biases for columns [c, c + n), zeros if it has none. */
static void load_bias(const mica__instr *instr, int64_t c, int64_t n, float *bias)
{
    for (int64_t i = 0; i < n; i++) {
        bias[i] = 0;
        if (instr->n_in < 3) continue;
        const mica__tensor *t = &instr->in[2];
        memcpy(bias + i, (const uint8_t *)t->data + (c + i) * t->strides[0] * (int64_t)sizeof *bias, sizeof *bias);
    }
}

/* The first n lanes, of at most eight. */
MICA__INLINE void store(float *out, __m256 y, int64_t n)
{
    if (n >= 8) {
        _mm256_storeu_ps(out, y);
    } else if (n > 0) {
        _mm256_maskstore_ps(out, first_lanes(n), y);
    }
}

typedef void (*block_kernel)(block *b);

/* Those of eight rows from `row` on. */
MICA__INLINE void prefetch_factors(const factors *f, int64_t row)
{
    const uintptr_t from = (uintptr_t)f->first + (uintptr_t)(row * f->row_bytes);
    for (int64_t at = 0; at < 8 * f->row_bytes; at += 64)
        _mm_prefetch((const char *)(from + (uintptr_t)at), _MM_HINT_T0);
}

/* `count` rows of x (1 or 4) with columns [c, c + n), n at most 8. */
MICA__AVX2 static void eight_columns(const mica__instr *instr, const matrix *w, const layout *l, const uint8_t *x,
                                     int64_t count, block_kernel kernel, int64_t c, int64_t n, float *out)
{
    const int bits = instr->in[1].affine.bits, size = instr->in[1].affine.group_size;
    int64_t rows[8];
    float bias[8] = {0};
    block b;
    for (int i = 0; i < 8; i++) rows[i] = mica__min(c + i, w->rows - 1);
    for (int i = 0; i < X_ROWS; i++) b.y[i] = _mm256_setzero_ps();
    b.ahead = 8 * w->row_bytes;
    prefetch_factors(&w->scales, c + 8);
    if (w->biases.first) prefetch_factors(&w->biases, c + 8);
    b.x_bytes = l->bytes;
    b.groups = l->groups;
    for (int64_t first = 0; first < w->groups; first += BLOCK) {
        for (int i = 0; i < 8; i++) b.codes[i] = w->codes + rows[i] * w->row_bytes + first * size * bits / 8;
        block_factors(bits, w, rows, first, b.scales, b.biases, 8);
        b.n = (int)mica__min(w->groups - first, BLOCK);
        b.x = x + 2 * first * size;
        b.d = (const float *)(const void *)(x + 2 * l->codes) + first;
        kernel(&b);
    }
    load_bias(instr, c, n, bias);
    for (int64_t r = 0; r < count; r++) store(out + r * w->rows, _mm256_add_ps(b.y[r], _mm256_loadu_ps(bias)), n);
}

static void few_rows(const mica__instr *instr, const matrix *w, const layout *l, const uint8_t *x, int64_t rows,
                     int64_t begin, int64_t end)
{
    static const block_kernel kernels[2][3][2] = {{{add_block_4_32_1, add_block_4_32_4},
                                                   {add_block_4_64_1, add_block_4_64_4},
                                                   {add_block_4_128_1, add_block_4_128_4}},
                                                  {{add_block_8_32_1, add_block_8_32_4},
                                                   {add_block_8_64_1, add_block_8_64_4},
                                                   {add_block_8_128_1, add_block_8_128_4}}};
    const block_kernel *kernel = kernels[instr->in[1].affine.bits / 8][instr->in[1].affine.group_size / 64];
    float *out = instr->out.data;
    for (int64_t c = begin; c < end; c += 8) {
        for (int64_t r = 0, count; r < rows; r += count) {
            count = rows - r >= X_ROWS ? X_ROWS : 1;
            eight_columns(instr, w, l, x + r * l->bytes, count, kernel[count > 1], c, mica__min(end - c, 8),
                          out + r * w->rows + c);
        }
    }
}

/* ---- many rows of x ---------------------------------------------------------------------------------------------------------- */

/* A member's working memory. Pair p of row r of the panel is in word p * PANEL + r, in the order of x. */
typedef struct panel {
    int16_t pairs[DEPTH * PANEL];
    float scales[DEPTH / 32 * PANEL], biases[DEPTH / 32 * PANEL]; /* [groups][PANEL] */
    float y[CHUNK_ROWS * PANEL];
} panel;

/* The panel of elements [k, k + n) of rows c .. c + 15. */
MICA__INLINE void fill_panel(int bits, int size, panel *to, const matrix *w, int64_t c, int64_t k, int64_t n)
{
    const int parts = bits == 4 ? 4 : 2, span = bits == 4 ? 64 : 32;
    for (int h = 0; h < PANEL; h += 8) {
        int64_t rows[8];
        for (int i = 0; i < 8; i++) rows[i] = mica__min(c + h + i, w->rows - 1);
        for (int64_t g = 0; g * size < n; g += BLOCK)
            block_factors(bits, w, rows, k / size + g, to->scales + g * PANEL + h, to->biases + g * PANEL + h, PANEL);
        for (int64_t e = 0; e < n; e += span) {
            const bool half = n - e < span;
            for (int p = 0; p < parts; p++) {
                __m256 v[8];
                for (int i = 0; i < 8; i++)
                    v[i] = _mm256_castsi256_ps(
                        part_of(bits, load_codes(w->codes + rows[i] * w->row_bytes + (k + e) * bits / 8, half), p));
                transpose(v);
                float *pair = (float *)(void *)to->pairs + (e / 2 + p * 8) * PANEL + h;
                for (int i = 0; i < 8; i++) _mm256_storeu_ps(pair + i * PANEL, v[i]);
            }
        }
    }
}

/* Continues the chains of T rows of x over the panel's n elements, which are elements k.. of the rows. */
MICA__INLINE void tile(int bits, int size, int T, panel *w, const layout *l, const uint8_t *x, int64_t k, int64_t n,
                       float *y)
{
    const bool two = bits == 4 && size == 32;
    const int runs = two ? 4 : 1, run = size / 2 / runs; /* pairs of a group, and how many of them lie together */
    for (int64_t g = 0; g * size < n; g++) {
        /* A group of 32 has half of each of the four vectors of its span. */
        const int64_t pair = two ? g / 2 * 32 + g % 2 * 4 : g * size / 2;
        __m256i sum[TILE][2];
        MICA__UNROLL
        for (int t = 0; t < T; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        for (int i = 0; i < runs; i++) {
            const int16_t *from = w->pairs + (pair + 8 * i) * 2 * PANEL;
            const uint8_t *q = x + 2 * k + 4 * (pair + 8 * i);
            for (int j = 0; j < run; j++, from += 2 * PANEL, q += 4) {
                __m256i w0 = load_x(from), w1 = load_x(from + PANEL);
                MICA__UNROLL
                for (int t = 0; t < T; t++) {
                    int32_t word;
                    memcpy(&word, q + t * l->bytes, 4);
                    __m256i two_x = _mm256_set1_epi32(word);
                    sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(two_x, w0));
                    sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(two_x, w1));
                    KEEP(sum[t][0]);
                    KEEP(sum[t][1]);
                }
            }
        }
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            const float *d = (const float *)(const void *)(x + t * l->bytes + 2 * l->codes) + k / size + g;
            for (int v = 0; v < 2; v++) {
                float *at = y + t * PANEL + 8 * v;
                const int64_t factor = g * PANEL + 8 * v;
                _mm256_storeu_ps(at, add_group(_mm256_loadu_ps(at), sum[t][v], _mm256_loadu_ps(w->scales + factor),
                                               _mm256_loadu_ps(w->biases + factor), d, d + l->groups));
            }
        }
    }
}

typedef void (*tile_kernel)(panel *w, const layout *l, const uint8_t *x, int64_t k, int64_t n, float *y);

#define TILES(bits, size)                                                                                              \
    MICA__AVX2 static __attribute__((noinline)) void tile_##bits##_##size##_1(                                         \
        panel *w, const layout *l, const uint8_t *x, int64_t k, int64_t n, float *y)                                   \
    {                                                                                                                  \
        tile(bits, size, 1, w, l, x, k, n, y);                                                                         \
    }                                                                                                                  \
    MICA__AVX2 static __attribute__((noinline)) void tile_##bits##_##size##_4(                                         \
        panel *w, const layout *l, const uint8_t *x, int64_t k, int64_t n, float *y)                                   \
    {                                                                                                                  \
        tile(bits, size, 4, w, l, x, k, n, y);                                                                         \
    }
TILES(4, 32)
TILES(4, 64)
TILES(4, 128)
TILES(8, 32)
TILES(8, 64)
TILES(8, 128)

MICA__AVX2 static __attribute__((noinline)) void fill_panel_4(int size, panel *to, const matrix *w, int64_t c,
                                                              int64_t k, int64_t n)
{
    fill_panel(4, size, to, w, c, k, n);
}

MICA__AVX2 static __attribute__((noinline)) void fill_panel_8(int size, panel *to, const matrix *w, int64_t c,
                                                              int64_t k, int64_t n)
{
    fill_panel(8, size, to, w, c, k, n);
}

/* Rows of x, at most CHUNK_ROWS, with columns [begin, end). */
MICA__AVX2 static void many_rows(const mica__instr *instr, const matrix *w, const layout *l, const uint8_t *x,
                                 int64_t rows, float *out, panel *memory, int64_t begin, int64_t end)
{
    static const tile_kernel kernels[2][3][2] = {
        {{tile_4_32_1, tile_4_32_4}, {tile_4_64_1, tile_4_64_4}, {tile_4_128_1, tile_4_128_4}},
        {{tile_8_32_1, tile_8_32_4}, {tile_8_64_1, tile_8_64_4}, {tile_8_128_1, tile_8_128_4}}};
    const int bits = instr->in[1].affine.bits, size = instr->in[1].affine.group_size;
    const tile_kernel *kernel = kernels[bits / 8][size / 64];
    const int64_t k_size = w->groups * size;
    for (int64_t c = begin; c < end; c += PANEL) {
        const int64_t cols = mica__min(end - c, PANEL);
        float bias[PANEL] = {0};
        load_bias(instr, c, cols, bias);
        memset(memory->y, 0, (size_t)(rows * PANEL) * sizeof(float));
        for (int64_t k = 0; k < k_size; k += DEPTH) {
            const int64_t n = mica__min(k_size - k, DEPTH);
            (bits == 4 ? fill_panel_4 : fill_panel_8)(size, memory, w, c, k, n);
            for (int64_t r = 0, count; r < rows; r += count) {
                count = rows - r >= TILE ? TILE : 1;
                kernel[count > 1](memory, l, x + r * l->bytes, k, n, memory->y + r * PANEL);
            }
        }
        for (int64_t r = 0; r < rows; r++) {
            for (int v = 0; v < PANEL; v += 8) {
                __m256 y = _mm256_add_ps(_mm256_loadu_ps(memory->y + r * PANEL + v), _mm256_loadu_ps(bias + v));
                store(out + r * w->rows + c + v, y, cols - v);
            }
        }
    }
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------------- */

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const matrix w = matrix_of(&instr->in[1]);
    const layout l = layout_of(&instr->in[1]);
    int64_t rows = mica__rows(&instr->in[0], run), begin, end;
    mica__share(w.rows, PANEL, id, n, &begin, &end);
    if (rows <= FEW) {
        few_rows(instr, &w, &l, run->scratch, rows, begin, end);
        return;
    }
    panel *memory = (panel *)(void *)mica__member_scratch(instr, run, id);
    for (int64_t r = 0; r < rows; r += CHUNK_ROWS)
        many_rows(instr, &w, &l, run->scratch + r * l.bytes, mica__min(rows - r, CHUNK_ROWS),
                  (float *)instr->out.data + r * w.rows, memory, begin, end);
}

bool mica__linear_int16_avx2(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!w->quantized || (w->affine.bits != 4 && w->affine.bits != 8)) return false;
    const layout l = layout_of(w);
    instr->phase[0] = round_x;
    instr->phase[1] = linear;
    instr->n_phases = 2;
    instr->first_phase_key = (uint64_t)w->affine.group_size << 1 | (w->affine.bits == 4); /* what round_x looks at */
    instr->scratch_bytes = (size_t)x->shape[0] * (size_t)l.bytes;
    if (x->shape[0] > FEW) instr->member_scratch_bytes = mica__round64(sizeof(panel));
    return true;
}

#else
bool mica__linear_int16_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
