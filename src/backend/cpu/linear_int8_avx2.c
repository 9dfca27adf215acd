/* backend/cpu/linear_int8_avx2.c: affine weights with activations rounded to int8.
 *
 * Each group of x has one scale d = max |x| / 127 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b (d sum of q)
 *
 * The first sum is integer arithmetic (vpmaddubsw: unsigned codes times signed q), the second is made once per row of x, so the bias costs one
 * multiply-add per group. Both sums take the rounded x: the result is exactly w times it. Against float activations the relative L2
 * error on Gaussian data is 6.1e-3 with groups of 64, whatever the bits (tests/backend/test_linear.c prints it).
 *
 * Work goes by blocks of 8 groups: eight integer sums in the lanes of a vector, to float, times the products of the eight
 * scales. Integer sums are exact in any order and the float chain over blocks is the same in every path, so a row of x gives
 * the same bits alone and among others:
 *
 *     1 row    reads the packed codes
 *     2..7     unpack a few rows of w to bytes and use them for each row of x
 *     more     interleave 16 rows of w, so that a lane of a vector is a row of w, and multiply with 4 bytes of x in all lanes: no sums
 *              across lanes, and a run of 32 elements stays in int16. Codes wider than 4 bits are two planes, c = 16 high + low. The
 *              eight chains of M = 1 are run one after the other and then added like its lanes.
 *
 *     4 bits   sums of 4 * 2 * 2 products of at most 15 * 127 fit int16, so lanes are added before they are widened
 *     8 bits   c - 128 as magnitude and sign, the sign given to q, because 2 * 255 * 127 does not fit int16; 128 s joins b */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

enum { BLOCK = 8, PANEL = 4, CHUNK = 32 };

/* ---- rows of x ----------------------------------------------------------------------------------------------------------- */

/* A rounded row in scratch memory: q [groups * group_size], then for each group d, d times the sum of q, and 128 times the sum of q as an
 * int32; the number of groups is padded to a multiple of 8. */
typedef struct layout {
    int64_t groups, blocks, codes, bytes;
} layout;

static layout layout_of(const mica__tensor *w)
{
    int64_t groups = (w->shape[1] / w->affine.group_size + BLOCK - 1) / BLOCK * BLOCK;
    int64_t codes = groups * w->affine.group_size;
    return (layout){groups, groups / BLOCK, codes, (int64_t)mica__round64((size_t)(codes + 12 * groups))};
}

/* q of one group of n, natural order; x is padded by zeros. Infinities and NaN make d NaN. */
MICA__INLINE void round_group(const float *x, int64_t n, int8_t *q, float *d, float *dsum, int32_t *qsum)
{
    float bad, max = mica__max_abs(x, n, &bad), inverse = max > 0 ? 127 / max : 0;
    if (inverse > 0x1p126f) inverse = max = 0; /* all but zero */
    __m256 factor = _mm256_set1_ps(inverse);
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < n; i += 8) {
        __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        sum = _mm256_add_epi32(sum, v);
        __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        _mm_storel_epi64((__m128i *)(void *)(q + i), _mm_packs_epi16(narrow, narrow));
    }
    const int32_t total = mica__hsum_epi32(sum);
    *d = max / 127 + bad;
    *dsum = *d * (float)total;
    *qsum = 128 * total;
}

/* Phase 0. */
MICA__AVX2 static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const layout l = layout_of(w);
    int64_t k = x->shape[1], size = w->affine.group_size, spans = (l.codes + 127) / 128, begin, end;
    mica__share(mica__rows(x, run) * spans, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / spans, first = item % spans * 128;
        mica__chunk c;
        int8_t q[128];
        memset(c.f32, 0, 128 * sizeof(float));
        uint8_t *to = run->scratch + row * l.bytes;
        const uint8_t *from = (const uint8_t *)x->data;
        from += (row * x->strides[0] + first * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
        if (first < k) mica__load(MICA__CLASS_F32, &c, from, x->dtype, x->strides[1], mica__min(k - first, 128));
        int64_t count = mica__min(l.codes - first, 128);
        float *d = (float *)(void *)(to + l.codes) + first / size, *dsum = d + l.groups;
        int32_t *qsum = (int32_t *)(void *)(dsum + l.groups);
        for (int64_t i = 0; i < count; i += size)
            round_group(c.f32 + i, size, q + i, d + i / size, dsum + i / size, qsum + i / size);
        if (w->affine.bits != 4) {
            memcpy(to + first, q, (size_t)count);
            continue;
        }
        for (int64_t i = 0; i < count; i++) /* even elements of a span of 64, then odd ones: low and high nibbles */
            to[first + i / 64 * 64 + i % 2 * 32 + i % 64 / 2] = (uint8_t)q[i];
    }
}

/* ---- integer sums of a block ------------------------------------------------------------------------------------------------ */

MICA__INLINE __m256i load_codes(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
MICA__INLINE __m256i ones16(void) { return _mm256_set1_epi16(1); }

/* a: sums of groups 0..3 in each half, b: of groups 4..7; the halves are still to be added. */
MICA__INLINE __m256i join_halves(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* Lane i: the sum of m[i], 32-bit lanes. */
MICA__INLINE __m256i sum_each32(const __m256i *m)
{
    __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(m[0], m[1]), _mm256_hadd_epi32(m[2], m[3]));
    __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(m[4], m[5]), _mm256_hadd_epi32(m[6], m[7]));
    return join_halves(a, b);
}

/* Products of a span of 64 elements as int16: packed codes (32 bytes), or unpacked ones (low nibbles, then high ones). */
MICA__INLINE __m256i nibble_span(const uint8_t *w, bool packed, const int8_t *x)
{
    __m256i low, high, x0 = load_codes((const uint8_t *)x), x1 = load_codes((const uint8_t *)x + 32);
    if (packed) {
        __m256i v = load_codes(w), mask = _mm256_set1_epi8(15);
        low = _mm256_and_si256(v, mask);
        high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
    } else {
        low = load_codes(w);
        high = load_codes(w + 32);
    }
    return _mm256_add_epi16(_mm256_maddubs_epi16(low, x0), _mm256_maddubs_epi16(high, x1));
}

MICA__INLINE __m256i nibble_sums(int size, const uint8_t *w, bool packed, const int8_t *x)
{
    const int step = packed ? 32 : 64;
    if (size == 32) { /* a span has two groups, one in each half */
        __m256i p[4];
        for (int i = 0; i < 4; i++) p[i] = nibble_span(w + i * step, packed, x + i * 64);
        __m256i h = _mm256_hadd_epi16(_mm256_hadd_epi16(p[0], p[1]), _mm256_hadd_epi16(p[2], p[3]));
        return _mm256_permutevar8x32_epi32(_mm256_madd_epi16(h, ones16()), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    }
    if (size == 64) {
        __m256i h[2];
        for (int i = 0; i < 2; i++) {
            __m256i p[4];
            for (int j = 0; j < 4; j++) p[j] = nibble_span(w + (4 * i + j) * step, packed, x + (4 * i + j) * 64);
            h[i] = _mm256_hadd_epi16(_mm256_hadd_epi16(p[0], p[1]), _mm256_hadd_epi16(p[2], p[3]));
        }
        return join_halves(_mm256_madd_epi16(h[0], ones16()), _mm256_madd_epi16(h[1], ones16()));
    }
    __m256i m[4];
    for (int i = 0; i < 4; i++) { /* two groups of two spans each */
        __m256i p[4];
        for (int j = 0; j < 4; j++) p[j] = nibble_span(w + (4 * i + j) * step, packed, x + (4 * i + j) * 64);
        m[i] =
            _mm256_madd_epi16(_mm256_hadd_epi16(_mm256_add_epi16(p[0], p[1]), _mm256_add_epi16(p[2], p[3])), ones16());
    }
    return join_halves(_mm256_hadd_epi32(m[0], m[1]), _mm256_hadd_epi32(m[2], m[3]));
}

/* Products of 32 elements, a code per byte, as 32-bit lanes. */
MICA__INLINE __m256i byte_chunk(int bits, const uint8_t *w, const int8_t *x)
{
    __m256i c = load_codes(w), q = load_codes((const uint8_t *)x);
    if (bits == 8) {
        c = _mm256_xor_si256(c, _mm256_set1_epi8((char)0x80));
        q = _mm256_sign_epi8(q, c);
        c = _mm256_abs_epi8(c);
    }
    return _mm256_madd_epi16(_mm256_maddubs_epi16(c, q), ones16());
}

MICA__INLINE __m256i byte_sums(int bits, int size, const uint8_t *w, const int8_t *x)
{
    __m256i m[BLOCK];
    for (int g = 0; g < BLOCK; g++) {
        m[g] = byte_chunk(bits, w + g * size, x + g * size);
        for (int i = CHUNK; i < size; i += CHUNK)
            m[g] = _mm256_add_epi32(m[g], byte_chunk(bits, w + g * size + i, x + g * size + i));
    }
    return sum_each32(m);
}

/* ---- unpacking --------------------------------------------------------------------------------------------------------------- */

/* 32 codes of 2, 3, 5 or 6 bits to bytes. Four codes are 4 * bits bits: they go into one 32-bit lane, whose first code begins at bit 0 or 4
 * of a byte, and from there each to its own byte. Reads 2 * bits + 16 bytes. */
MICA__INLINE __m256i unpack_chunk(int bits, const uint8_t *p)
{
    const char h = -128;
    __m128i take, shift;
    if (bits == 2) take = _mm_setr_epi8(0, h, h, h, 1, h, h, h, 2, h, h, h, 3, h, h, h);
    if (bits == 3) take = _mm_setr_epi8(0, 1, h, h, 1, 2, h, h, 3, 4, h, h, 4, 5, h, h);
    if (bits == 5) take = _mm_setr_epi8(0, 1, 2, h, 2, 3, 4, h, 5, 6, 7, h, 7, 8, 9, h);
    if (bits == 6) take = _mm_setr_epi8(0, 1, 2, h, 3, 4, 5, h, 6, 7, 8, h, 9, 10, 11, h);
    shift = bits % 2 ? _mm_setr_epi32(0, 4, 0, 4) : _mm_setzero_si128();
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p)),
                                        _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * bits)), 1);
    v = _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(take));
    v = _mm256_srlv_epi32(v, _mm256_broadcastsi128_si256(shift));
    const int mask = (1 << bits) - 1;
    __m256i r = _mm256_and_si256(v, _mm256_set1_epi32(mask));
    r = _mm256_or_si256(r, _mm256_and_si256(_mm256_slli_epi32(v, 8 - bits), _mm256_set1_epi32(mask << 8)));
    r = _mm256_or_si256(r, _mm256_and_si256(_mm256_slli_epi32(v, 2 * (8 - bits)), _mm256_set1_epi32(mask << 16)));
    return _mm256_or_si256(r, _mm256_and_si256(_mm256_slli_epi32(v, 3 * (8 - bits)), _mm256_set1_epi32(mask << 24)));
}

/* A block to a byte per code, in the order of x's rows. Reads up to SLACK bytes past the block. */
enum { SLACK = 16, BLOCK_MAX = BLOCK * 128 };

MICA__INLINE void unpack_bits(int bits, int n, const uint8_t *p, uint8_t *codes)
{
    for (int i = 0; i < n; i += 64) {
        __m256i low, high;
        if (bits == 4) {
            __m256i v = load_codes(p + i / 2), mask = _mm256_set1_epi8(15);
            low = _mm256_and_si256(v, mask);
            high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        } else if (bits == 8) {
            low = load_codes(p + i);
            high = load_codes(p + i + 32);
        } else {
            low = unpack_chunk(bits, p + i / 8 * bits);
            high = unpack_chunk(bits, p + (i + 32) / 8 * bits);
        }
        _mm256_storeu_si256((__m256i *)(void *)(codes + i), low);
        _mm256_storeu_si256((__m256i *)(void *)(codes + i + 32), high);
    }
}

/* One copy for all kernels: only the loops of products are worth an instance for each kind of weights. */
MICA__AVX2 static __attribute__((noinline)) void unpack_block(int bits, int size, const uint8_t *p, uint8_t *codes)
{
    const int n = BLOCK * size;
    switch (bits) {
    case 2:
        unpack_bits(2, n, p, codes);
        break;
    case 3:
        unpack_bits(3, n, p, codes);
        break;
    case 4:
        unpack_bits(4, n, p, codes);
        break;
    case 5:
        unpack_bits(5, n, p, codes);
        break;
    case 6:
        unpack_bits(6, n, p, codes);
        break;
    default:
        unpack_bits(8, n, p, codes);
        break;
    }
}

/* The codes of block b of a row where all of it and SLACK may be read: in place or, at the row's end, in `copy`, padded by zeros. */
static const uint8_t *readable(int bits, int size, const uint8_t *row, size_t row_bytes, int64_t b, uint8_t *copy)
{
    const size_t block_bytes = (size_t)(size * bits), slack = bits == 4 || bits == 8 ? 0 : SLACK,
                 at = (size_t)b * block_bytes;
    if (at + block_bytes + slack <= row_bytes) return row + at;
    size_t there = row_bytes - at < block_bytes ? row_bytes - at : block_bytes;
    memset(copy, 0, BLOCK_MAX + SLACK);
    memcpy(copy, row + at, there);
    return copy;
}

/* ---- rows of w ----------------------------------------------------------------------------------------------------------------- */

/* A row of w: its packed codes and where its scales begin. */
typedef struct source {
    const uint8_t *codes, *scales, *biases;
    size_t row_bytes;
    int64_t groups;
    mica_dtype dtype;
} source;

static source source_of(const mica__tensor *w, int64_t row)
{
    const mica__affine *a = &w->affine;
    size_t row_bytes = mica__row_bytes(w), size = mica_dtype_size(a->scale_dtype);
    int64_t groups = w->shape[1] / a->group_size;
    return (source){(const uint8_t *)w->data + (size_t)row * row_bytes,
                    (const uint8_t *)a->scales + (size_t)(row * groups) * size,
                    a->biases ? (const uint8_t *)a->biases + (size_t)(row * groups) * size : NULL,
                    row_bytes,
                    groups,
                    a->scale_dtype};
}

/* Scales and biases of block b, zeros past the last group. */
MICA__INLINE void load_factors(int bits, const source *s, int64_t b, __m256 *scale, __m256 *bias)
{
    int64_t size = s->dtype == MICA_DTYPE_F32 ? 4 : 2, left = s->groups - b * BLOCK, at = b * BLOCK * size;
    *scale = left >= BLOCK ? mica__load8(s->scales + at, s->dtype) : mica__load_some(s->scales + at, s->dtype, left);
    if (!s->biases)
        *bias = _mm256_mul_ps(_mm256_set1_ps(mica__symmetric_offset(bits)), *scale);
    else
        *bias = left >= BLOCK ? mica__load8(s->biases + at, s->dtype) : mica__load_some(s->biases + at, s->dtype, left);
    if (bits == 8) *bias = _mm256_fmadd_ps(_mm256_set1_ps(128), *scale, *bias);
}

/* A chain of eight lanes, one block on. */
MICA__INLINE __m256 advance(__m256 sum, __m256i integers, __m256 scale, __m256 bias, const float *d, const float *dsum)
{
    __m256 factor = _mm256_mul_ps(scale, _mm256_loadu_ps(d));
    sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers), factor, sum);
    return _mm256_fmadd_ps(bias, _mm256_loadu_ps(dsum), sum);
}

/* One row of w with one row of x, unpacking on the way. */
MICA__INLINE float dot_packed(int bits, int size, const source *s, const layout *l, const uint8_t *x)
{
    const float *d = (const float *)(const void *)(x + l->codes), *dsum = d + l->groups;
    uint8_t copy[BLOCK_MAX + SLACK], codes[BLOCK_MAX];
    __m256 sum = _mm256_setzero_ps(), scale, bias;
    for (int64_t b = 0; b < l->blocks; b++) {
        const uint8_t *w = readable(bits, size, s->codes, s->row_bytes, b, copy);
        const int8_t *q = (const int8_t *)x + b * BLOCK * size;
        __m256i integers;
        if (bits == 4) {
            integers = nibble_sums(size, w, true, q);
        } else if (bits == 8) {
            integers = byte_sums(8, size, w, q);
        } else {
            unpack_block(bits, size, w, codes);
            integers = byte_sums(bits, size, codes, q);
        }
        load_factors(bits, s, b, &scale, &bias);
        sum = advance(sum, integers, scale, bias, d + b * BLOCK, dsum + b * BLOCK);
    }
    return mica__hsum(sum);
}

/* An unpacked row of w in the member's scratch memory: laid out like a row of x, with scales and biases for d and dsum. */
MICA__AVX2 static void unpack_row(int bits, int size, const source *s, const layout *l, uint8_t *to)
{
    float *scales = (float *)(void *)(to + l->codes), *biases = scales + l->groups;
    uint8_t copy[BLOCK_MAX + SLACK];
    for (int64_t b = 0; b < l->blocks; b++) {
        __m256 scale, bias;
        unpack_block(bits, size, readable(bits, size, s->codes, s->row_bytes, b, copy), to + b * BLOCK * size);
        load_factors(bits, s, b, &scale, &bias);
        _mm256_storeu_ps(scales + b * BLOCK, scale);
        _mm256_storeu_ps(biases + b * BLOCK, bias);
    }
}

MICA__INLINE float dot_unpacked(int bits, int size, const layout *l, const uint8_t *w, const uint8_t *x)
{
    const float *d = (const float *)(const void *)(x + l->codes), *dsum = d + l->groups;
    const float *scales = (const float *)(const void *)(w + l->codes), *biases = scales + l->groups;
    __m256 sum = _mm256_setzero_ps();
    for (int64_t b = 0; b < l->blocks; b++) {
        const uint8_t *c = w + b * BLOCK * size;
        const int8_t *q = (const int8_t *)x + b * BLOCK * size;
        __m256i integers = bits == 4 ? nibble_sums(size, c, false, q) : byte_sums(bits, size, c, q);
        sum = advance(sum, integers, _mm256_loadu_ps(scales + b * BLOCK), _mm256_loadu_ps(biases + b * BLOCK),
                      d + b * BLOCK, dsum + b * BLOCK);
    }
    return mica__hsum(sum);
}

/* ---- many rows of x --------------------------------------------------------------------------------------------------------- */

enum { LANES = 8, WIDE = 2 * LANES, TOKENS = 4, STEPS = 8, MANY = 8 };

/* Four codes of a group as one 32-bit word: where step i of group g is in a row of bytes, in words. (Rows of 4-bit codes hold the
 * even elements of 64 before the odd ones.) */
static inline int64_t word_of(int bits, int size, int64_t g, int i)
{
    if (bits == 4 && size == 32) return g / 2 * 16 + g % 2 * 4 + i % 4 + i / 4 * 8;
    return g * (size / 4) + i;
}

static inline int planes_of(int bits) { return bits > 4 ? 2 : 1; }

/* Panel of 16 rows of w: for each chain j and block b, in this order, the group 8 b + j: for each plane, the high one first, size / 4 steps of [16 rows][4 bytes],
 * then (in a second array) [16] scales and [16] biases. */
static int64_t panel_codes(const layout *l, int bits) { return l->codes * WIDE * planes_of(bits); }
static int64_t panel_bytes(const layout *l, int bits)
{
    return panel_codes(l, bits) + l->groups * 2 * WIDE * (int64_t)sizeof(float);
}

/* v[r]: 8 words of row r -> v[i]: word i of 8 rows */
MICA__INLINE void transpose8(__m256i *v)
{
    __m256i a[8], b[8];
    MICA__UNROLL
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    MICA__UNROLL
    for (int i = 0; i < 2; i++) {
        b[4 * i] = _mm256_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm256_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm256_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm256_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    MICA__UNROLL
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

/* Lanes [half * 8, half * 8 + 8) of the panel from 8 unpacked rows. */
MICA__AVX2 static void interleave(int bits, int size, const layout *l, const uint8_t *rows, int half, uint8_t *panel)
{
    const int planes = planes_of(bits), steps = size / 4;
    uint8_t *codes = panel + half * LANES * 4;
    float *factors = (float *)(void *)(panel + panel_codes(l, bits)) + half * LANES;
    const __m256i low = _mm256_set1_epi8(15);
    for (int64_t j = 0; j < BLOCK; j++) {
        for (int64_t b = 0; b < l->blocks; b++) {
            int64_t g = b * BLOCK + j;
            for (int i = 0; i < steps; i += STEPS) {
                __m256i v[LANES];
                MICA__UNROLL
                for (int r = 0; r < LANES; r++) {
                    const uint8_t *row = rows + r * l->bytes;
                    __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(row + 4 * word_of(bits, size, g, i)));
                    __m128i c =
                        _mm_loadu_si128((const __m128i *)(const void *)(row + 4 * word_of(bits, size, g, i + 4)));
                    v[r] = _mm256_inserti128_si256(_mm256_castsi128_si256(a), c, 1);
                }
                transpose8(v);
                for (int s = 0; s < STEPS; s++) {
                    uint8_t *to = codes + (i + s) * WIDE * 4;
                    if (planes == 1) {
                        _mm256_storeu_si256((__m256i *)(void *)to, v[s]);
                        continue;
                    }
                    _mm256_storeu_si256((__m256i *)(void *)(to + steps * WIDE * 4), _mm256_and_si256(v[s], low));
                    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_and_si256(_mm256_srli_epi16(v[s], 4), low));
                }
            }
            for (int r = 0; r < LANES; r++) {
                const float *scales = (const float *)(const void *)(rows + r * l->bytes + l->codes);
                factors[r] = scales[g];
                factors[WIDE + r] = scales[l->groups + g];
            }
            codes += planes * steps * WIDE * 4;
            factors += 2 * WIDE;
        }
    }
}

/* Integer sums over one run of 8 steps, for T rows of x and two vectors of rows of w, added to totals[t][v]. x: the first word of the run in
 * the first row; `split`: its second half is 4 words further on. */
MICA__INLINE void run_sums(bool split, int T, const uint8_t *w, const uint8_t *x, int64_t x_stride,
                           __m256i totals[TOKENS][2])
{
    __m256i sums[TOKENS][2];
    MICA__UNROLL
    for (int i = 0; i < STEPS; i++) {
        __m256i w0 = load_codes(w + i * WIDE * 4), w1 = load_codes(w + i * WIDE * 4 + 32);
        const uint8_t *at = x + 4 * (split && i >= 4 ? i + 4 : i);
        MICA__UNROLL
        for (int t = 0; t < T; t++) {
            int32_t word;
            memcpy(&word, at + t * x_stride, 4);
            __m256i q = _mm256_set1_epi32(word), p0 = _mm256_maddubs_epi16(w0, q), p1 = _mm256_maddubs_epi16(w1, q);
            sums[t][0] = i ? _mm256_add_epi16(sums[t][0], p0) : p0;
            sums[t][1] = i ? _mm256_add_epi16(sums[t][1], p1) : p1;
            MICA__KEEP(sums[t][0]);
            MICA__KEEP(sums[t][1]);
        }
    }
    MICA__UNROLL
    for (int t = 0; t < T; t++) {
        totals[t][0] = _mm256_add_epi32(totals[t][0], _mm256_madd_epi16(sums[t][0], ones16()));
        totals[t][1] = _mm256_add_epi32(totals[t][1], _mm256_madd_epi16(sums[t][1], ones16()));
    }
}

/* What a tile needs to know. */
typedef struct shape {
    int bits, size;
    layout l;
} shape;

/* y[t][v]: 16 rows of w, T rows of x. */
MICA__INLINE void tile(bool split, int T, const shape *s, const uint8_t *panel, const uint8_t *x, __m256 y[TOKENS][2])
{
    const layout *l = &s->l;
    const int runs = s->size / (4 * STEPS), planes = planes_of(s->bits);
    const float *factors = (const float *)(const void *)(panel + panel_codes(l, s->bits));
    __m256 chain[BLOCK][TOKENS][2];
    for (int64_t j = 0; j < BLOCK; j++) {
        __m256 sum[TOKENS][2];
        MICA__UNROLL
        for (int t = 0; t < T; t++) sum[t][0] = sum[t][1] = _mm256_setzero_ps();
        for (int64_t b = 0; b < l->blocks; b++, factors += 2 * WIDE) {
            const int64_t g = b * BLOCK + j;
            __m256i totals[TOKENS][2];
            MICA__UNROLL
            for (int t = 0; t < T; t++) totals[t][0] = totals[t][1] = _mm256_setzero_si256();
            for (int plane = 0; plane < planes; plane++) { /* the high one first */
                if (plane) {
                    MICA__UNROLL
                    for (int t = 0; t < T; t++) {
                        totals[t][0] = _mm256_slli_epi32(totals[t][0], 4);
                        totals[t][1] = _mm256_slli_epi32(totals[t][1], 4);
                    }
                }
                for (int run = 0; run < runs; run++, panel += STEPS * WIDE * 4)
                    run_sums(split, T, panel, x + 4 * word_of(s->bits, s->size, g, run * STEPS), l->bytes, totals);
            }
            MICA__UNROLL
            for (int t = 0; t < T; t++) {
                const float *d = (const float *)(const void *)(x + t * l->bytes + l->codes) + g;
                __m256 scale = _mm256_broadcast_ss(d), dsum = _mm256_broadcast_ss(d + l->groups);
                int32_t offset = 0;
                if (s->bits == 8) memcpy(&offset, d + 2 * l->groups, 4);
                MICA__UNROLL
                for (int v = 0; v < 2; v++) {
                    __m256i total = _mm256_sub_epi32(totals[t][v], _mm256_set1_epi32(offset));
                    __m256 factor = _mm256_mul_ps(_mm256_loadu_ps(factors + v * LANES), scale);
                    sum[t][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), factor, sum[t][v]);
                    sum[t][v] = _mm256_fmadd_ps(_mm256_loadu_ps(factors + WIDE + v * LANES), dsum, sum[t][v]);
                }
            }
        }
        for (int t = 0; t < T; t++)
            for (int v = 0; v < 2; v++) chain[j][t][v] = sum[t][v];
    }
    for (int t = 0; t < T; t++) {
        for (int v = 0; v < 2; v++) { /* as mica__hsum */
            __m256 four[4];
            for (int j = 0; j < 4; j++) four[j] = _mm256_add_ps(chain[j][t][v], chain[j + 4][t][v]);
            y[t][v] = _mm256_add_ps(_mm256_add_ps(four[0], four[2]), _mm256_add_ps(four[1], four[3]));
        }
    }
}

MICA__AVX2 static void tile_1(const shape *s, const uint8_t *panel, const uint8_t *x, __m256 y[TOKENS][2])
{
    tile(false, 1, s, panel, x, y);
}

MICA__AVX2 static void tile_4(const shape *s, const uint8_t *panel, const uint8_t *x, __m256 y[TOKENS][2])
{
    tile(false, 4, s, panel, x, y);
}

MICA__AVX2 static void split_tile_1(const shape *s, const uint8_t *panel, const uint8_t *x, __m256 y[TOKENS][2])
{
    tile(true, 1, s, panel, x, y);
}

MICA__AVX2 static void split_tile_4(const shape *s, const uint8_t *panel, const uint8_t *x, __m256 y[TOKENS][2])
{
    tile(true, 4, s, panel, x, y);
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

/* Dot products of one row of w and one of x, for a kind of weights. */
typedef struct dots {
    float (*packed)(int bits, const source *s, const layout *l, const uint8_t *x);
    float (*unpacked)(const layout *l, const uint8_t *w, const uint8_t *x);
} dots;

#define DOTS(kind, size, packed_bits)                                                                                  \
    MICA__AVX2 static float packed_##kind##_##size(int bits, const source *s, const layout *l, const uint8_t *x)       \
    {                                                                                                                  \
        (void)bits;                                                                                                    \
        return dot_packed(packed_bits, size, s, l, x);                                                                 \
    }                                                                                                                  \
    MICA__AVX2 static float unpacked_##kind##_##size(const layout *l, const uint8_t *w, const uint8_t *x)              \
    {                                                                                                                  \
        return dot_unpacked(kind, size, l, w, x);                                                                      \
    }
DOTS(4, 32, 4)
DOTS(4, 64, 4)
DOTS(4, 128, 4)
DOTS(6, 32, bits) /* 2, 3, 5, 6: by bytes */
DOTS(6, 64, bits)
DOTS(6, 128, bits)
DOTS(8, 32, 8)
DOTS(8, 64, 8)
DOTS(8, 128, 8)

static const dots dots_4[3] = {
    {packed_4_32, unpacked_4_32}, {packed_4_64, unpacked_4_64}, {packed_4_128, unpacked_4_128}};
static const dots dots_6[3] = {
    {packed_6_32, unpacked_6_32}, {packed_6_64, unpacked_6_64}, {packed_6_128, unpacked_6_128}};
static const dots dots_8[3] = {
    {packed_8_32, unpacked_8_32}, {packed_8_64, unpacked_8_64}, {packed_8_128, unpacked_8_128}};

MICA__AVX2 static void many_rows(const mica__instr *instr, const shape *s, const uint8_t *x, int64_t rows,
                                 uint8_t *memory, int64_t begin, int64_t end)
{
    const mica__tensor *w = &instr->in[1];
    const layout *l = &s->l;
    bool split = s->bits == 4 && s->size == 32;
    uint8_t *panel = memory, *bytes = memory + panel_bytes(l, s->bits);
    int64_t n_out = w->shape[0];
    for (int64_t c = begin; c < end; c += WIDE) {
        int64_t cols = mica__min(end - c, WIDE);
        float bias[WIDE] = {0};
        for (int half = 0; half < 2; half++) {
            memset(bytes, 0, (size_t)(LANES * l->bytes));
            for (int64_t i = half * LANES; i < mica__min(cols, (half + 1) * LANES); i++) {
                source row = source_of(w, c + i);
                unpack_row(s->bits, s->size, &row, l, bytes + (i - half * LANES) * l->bytes);
                bias[i] = bias_of(instr, c + i);
            }
            interleave(s->bits, s->size, l, bytes, half, panel);
        }
        for (int64_t r = 0, T; r < rows; r += T) {
            __m256 y[TOKENS][2];
            T = rows - r >= TOKENS ? TOKENS : 1;
            (T == 1 ? split ? split_tile_1 : tile_1 : split ? split_tile_4 : tile_4)(s, panel, x + r * l->bytes, y);
            for (int64_t t = 0; t < T; t++) {
                for (int v = 0; v < 2 && cols > v * LANES; v++) {
                    float *out = (float *)instr->out.data + (r + t) * n_out + c + v * LANES;
                    __m256 sum = _mm256_add_ps(y[t][v], _mm256_loadu_ps(bias + v * LANES));
                    mica__store_some(out, sum, mica__min(cols - v * LANES, LANES));
                }
            }
        }
    }
}

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *w = &instr->in[1];
    const shape s = {w->affine.bits, w->affine.group_size, layout_of(w)};
    const layout *l = &s.l;
    const dots *dot = (s.bits == 4 ? dots_4 : s.bits == 8 ? dots_8 : dots_6) + s.size / 64;
    int64_t rows = mica__rows(&instr->in[0], run), n_out = w->shape[0], begin, end;
    float *out = instr->out.data;
    uint8_t *memory = mica__member_scratch(instr, run, id);
    const uint8_t *x = run->scratch;
    mica__share(n_out, WIDE, id, n, &begin, &end);
    if (rows >= MANY) {
        many_rows(instr, &s, x, rows, memory, begin, end);
        return;
    }
    for (int64_t c = begin; c < end && rows == 1; c++) {
        source row = source_of(w, c);
        out[c] = dot->packed(s.bits, &row, l, x) + bias_of(instr, c);
    }
    for (int64_t c = begin; c < end && rows > 1; c += PANEL) {
        int64_t cols = mica__min(end - c, PANEL);
        float bias[PANEL];
        for (int64_t i = 0; i < cols; i++) {
            source row = source_of(w, c + i);
            unpack_row(s.bits, s.size, &row, l, memory + i * l->bytes);
            bias[i] = bias_of(instr, c + i);
        }
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < cols; i++)
                out[r * n_out + c + i] = dot->unpacked(l, memory + i * l->bytes, x + r * l->bytes) + bias[i];
    }
}

bool mica__linear_int8_avx2(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!w->quantized || instr->exact) return false;
    const layout l = layout_of(w);
    instr->phase[0] = round_x;
    instr->phase[1] = linear;
    instr->n_phases = 2;
    instr->scratch_bytes = (size_t)x->shape[0] * (size_t)l.bytes;
    instr->member_scratch_bytes = mica__round64((size_t)(panel_bytes(&l, w->affine.bits) + LANES * l.bytes));
    return true;
}

#else
bool mica__linear_int8_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
