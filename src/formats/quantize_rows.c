/* formats/quantize_rows.c: rows of affine groups by MLX's rule, for AVX2.
 *
 * Eight groups at a time: first the range of each, then eight scales and biases side by side (each alone would be a chain of
 * divisions that wait for each other), then codes, packed, and the figures about them while all of it is in registers.
 *
 * The bytes are those of quantize_affine.c, whose arithmetic this is step by step, with one exception: quotients are first made with a
 * reciprocal. Such a quotient is off by less than two units in the last place, so it rounds to the same code unless it lies as close to a half; a
 * group in which one does is divided properly. */
#include "quantize_private.h"

#if MICA__QUANTIZE_AVX2
#include <immintrin.h>
#include <math.h>

#define TARGET __attribute__((target("avx2,f16c")))
#define INLINE static inline __attribute__((always_inline)) TARGET

static const float MAGIC = 0x1p23f; /* added to a small number, leaves it as an integer in the low bits: ties to even */

enum { BLOCK = 8 }; /* groups */

/* Scales and biases of a block's groups, unrounded, and the reciprocals of the scales. */
typedef struct block {
    float scale[BLOCK], bias[BLOCK], reciprocal[BLOCK];
} block;

INLINE __m256 load8(const uint8_t *at, mica_dtype dtype)
{
    if (dtype == MICA_DTYPE_F32) return _mm256_loadu_ps((const float *)(const void *)at);
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)at);
    if (dtype == MICA_DTYPE_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* Lane i of the result is the largest (or least) lane of v[i]. */
#define REDUCE_EIGHT(name, larger)                                                                                     \
    INLINE __m256 name(const __m256 v[8])                                                                              \
    {                                                                                                                  \
        __m256 pairs[4], fours[2];                                                                                     \
        for (int i = 0; i < 4; i++)                                                                                    \
            pairs[i] = larger(_mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]), _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1])); \
        for (int i = 0; i < 2; i++)                                                                                    \
            fours[i] = larger(_mm256_shuffle_ps(pairs[2 * i], pairs[2 * i + 1], 0x44),                                 \
                              _mm256_shuffle_ps(pairs[2 * i], pairs[2 * i + 1], 0xee));                                \
        return larger(_mm256_permute2f128_ps(fours[0], fours[1], 0x20),                                                \
                      _mm256_permute2f128_ps(fours[0], fours[1], 0x31));                                               \
    }
REDUCE_EIGHT(largest_of, _mm256_max_ps)
REDUCE_EIGHT(least_of, _mm256_min_ps)

/* mica__scale_of_range, eight times. */
INLINE void scales_of_ranges(__m256 lo, __m256 hi, float highest, block *out)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 lower_is_far = _mm256_cmp_ps(_mm256_andnot_ps(sign, lo), _mm256_andnot_ps(sign, hi), _CMP_GT_OQ);
    __m256 step = _mm256_div_ps(_mm256_sub_ps(hi, lo), _mm256_set1_ps(highest));
    step = _mm256_max_ps(_mm256_set1_ps(1e-7f), step);
    step = _mm256_xor_ps(step, _mm256_andnot_ps(lower_is_far, sign));
    const __m256 edge = _mm256_blendv_ps(hi, lo, lower_is_far);
    const __m256 q0 = _mm256_round_ps(_mm256_div_ps(edge, step), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 has_edge = _mm256_cmp_ps(q0, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    const __m256 scale = _mm256_blendv_ps(step, _mm256_div_ps(edge, q0), has_edge);
    _mm256_storeu_ps(out->scale, scale);
    _mm256_storeu_ps(out->bias, _mm256_and_ps(edge, has_edge));
    _mm256_storeu_ps(out->reciprocal, _mm256_div_ps(_mm256_set1_ps(1), scale));
}

/* A group in vectors of eight. */
typedef struct group {
    __m256 w[MICA__MAX_GROUP / 8];
    __m256 codes[MICA__MAX_GROUP / 8]; /* whole numbers */
} group;

INLINE void encode_exactly(group *g, int n, float scale, float bias, float highest)
{
    const __m256 magic = _mm256_set1_ps(MAGIC);
    for (int i = 0; i < n / 8; i++) {
        __m256 x = _mm256_div_ps(_mm256_sub_ps(g->w[i], _mm256_set1_ps(bias)), _mm256_set1_ps(scale));
        x = _mm256_min_ps(_mm256_max_ps(x, _mm256_setzero_ps()), _mm256_set1_ps(highest));
        g->codes[i] = _mm256_sub_ps(_mm256_add_ps(x, magic), magic);
    }
}

INLINE void encode(group *g, int n, float scale, float bias, float reciprocal, float highest)
{
    const __m256 zero = _mm256_setzero_ps(), top = _mm256_set1_ps(highest), magic = _mm256_set1_ps(MAGIC);
    const __m256 b = _mm256_set1_ps(bias), r = _mm256_set1_ps(reciprocal), sign = _mm256_set1_ps(-0.0f);
    __m256 farthest = zero; /* from a whole number */
    for (int i = 0; i < n / 8; i++) {
        __m256 x = _mm256_mul_ps(_mm256_sub_ps(g->w[i], b), r);
        x = _mm256_min_ps(_mm256_max_ps(x, zero), top);
        g->codes[i] = _mm256_sub_ps(_mm256_add_ps(x, magic), magic);
        farthest = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_sub_ps(x, g->codes[i])), farthest);
    }
    /* Quotients are at most highest + 1/2 here, or cut off. The reciprocal of a huge scale would be a denormal number. */
    const float margin = (highest + 1) * 0x1p-22f;
    const __m256 close = _mm256_cmp_ps(farthest, _mm256_set1_ps(0.5f - margin), _CMP_GT_OQ);
    if (_mm256_movemask_ps(close) != 0 || !(fabsf(scale) < 0x1p100f)) encode_exactly(g, n, scale, bias, highest);
}

/* 32 codes as bytes, in order. */
INLINE __m256i bytes_of(const __m256 *codes)
{
    const __m256i ab = _mm256_packs_epi32(_mm256_cvtps_epi32(codes[0]), _mm256_cvtps_epi32(codes[1]));
    const __m256i cd = _mm256_packs_epi32(_mm256_cvtps_epi32(codes[2]), _mm256_cvtps_epi32(codes[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order);
}

INLINE void pack(const group *g, int n, int bits, uint8_t *out)
{
    uint8_t codes[MICA__MAX_GROUP] __attribute__((aligned(32)));
    for (int i = 0; i < n; i += 32) {
        const __m256i bytes = bytes_of(g->codes + i / 8);
        if (bits == 4) {
            const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x1001)); /* first + 16 * second */
            const __m256i nibbles = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0x08);
            _mm_storeu_si128((__m128i *)(void *)(out + i / 2), _mm256_castsi256_si128(nibbles));
        } else {
            _mm256_store_si256((__m256i *)(void *)(codes + i), bytes);
        }
    }
    if (bits != 4) mica__pack_codes(codes, n, bits, out);
}

INLINE void measure(const group *g, int n, float scale, float bias, mica__row_sums *sums)
{
    __m256 errors = (__m256)sums->errors, weights = (__m256)sums->weights, most = (__m256)sums->most;
    for (int i = 0; i < n / 8; i++) {
        const __m256 x = _mm256_add_ps(_mm256_mul_ps(g->codes[i], _mm256_set1_ps(scale)), _mm256_set1_ps(bias));
        const __m256 d = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(g->w[i], x));
        errors = _mm256_add_ps(errors, _mm256_mul_ps(d, d));
        weights = _mm256_add_ps(weights, _mm256_mul_ps(g->w[i], g->w[i]));
        most = _mm256_max_ps(d, most);
    }
    *sums = (mica__row_sums){(mica__float8)errors, (mica__float8)weights, (mica__float8)most};
}

/* n_groups of 1 to BLOCK groups; n and dtype are constants where this is inlined. */
INLINE void block_of(int n, mica_dtype dtype, int bits, int n_groups, const uint8_t *in, uint8_t *codes,
                     uint8_t *scales, uint8_t *biases, mica__row_sums *sums)
{
    const size_t size = mica_dtype_size(dtype), group_bytes = (size_t)n * size, code_bytes = (size_t)(n / 8 * bits);
    const float highest = (float)((1 << bits) - 1);
    __m256 most[BLOCK], least[BLOCK];
    block b;
    for (int k = 0; k < BLOCK; k++) {
        const uint8_t *at = in + (size_t)(k < n_groups ? k : n_groups - 1) * group_bytes;
        most[k] = least[k] = load8(at, dtype);
        for (int i = 1; i < n / 8; i++) {
            const __m256 w = load8(at + (size_t)i * 8 * size, dtype);
            most[k] = _mm256_max_ps(w, most[k]);
            least[k] = _mm256_min_ps(w, least[k]);
        }
    }
    scales_of_ranges(least_of(least), largest_of(most), highest, &b);
    for (int k = 0; k < n_groups; k++, codes += code_bytes, scales += size, biases += size) {
        group g;
        for (int i = 0; i < n / 8; i++, in += 8 * size) g.w[i] = load8(in, dtype);
        encode(&g, n, b.scale[k], b.bias[k], b.reciprocal[k], highest);
        pack(&g, n, bits, codes);
        mica__store_float(scales, dtype, b.scale[k]);
        mica__store_float(biases, dtype, b.bias[k]);
        if (sums) measure(&g, n, mica__load_float(scales, dtype), mica__load_float(biases, dtype), sums);
    }
}

INLINE void row_of(int n, mica_dtype dtype, const mica__affine_row *r)
{
    const size_t size = mica_dtype_size(dtype), code_bytes = (size_t)n / 8 * (size_t)r->bits;
    mica__row_sums sums = {{0}, {0}, {0}};
    const int64_t n_groups = r->n_columns / n;
    for (int64_t at = 0; at < n_groups; at += BLOCK) {
        const int count = n_groups - at < BLOCK ? (int)(n_groups - at) : BLOCK;
        const size_t place = (size_t)at;
        block_of(n, dtype, r->bits, count, r->in + place * (size_t)n * size, r->codes + place * code_bytes,
                 r->scales + place * size, r->biases + place * size, r->sums ? &sums : NULL);
    }
    if (r->sums) *r->sums = sums;
}

TARGET static void row_bf16_64(const mica__affine_row *r) { row_of(64, MICA_DTYPE_BF16, r); }
TARGET static void row_bf16_32(const mica__affine_row *r) { row_of(32, MICA_DTYPE_BF16, r); }
TARGET static void row_bf16_128(const mica__affine_row *r) { row_of(128, MICA_DTYPE_BF16, r); }
TARGET static void row_f16_64(const mica__affine_row *r) { row_of(64, MICA_DTYPE_F16, r); }
TARGET static void row_f16_32(const mica__affine_row *r) { row_of(32, MICA_DTYPE_F16, r); }
TARGET static void row_f16_128(const mica__affine_row *r) { row_of(128, MICA_DTYPE_F16, r); }
TARGET static void row_f32_64(const mica__affine_row *r) { row_of(64, MICA_DTYPE_F32, r); }
TARGET static void row_f32_32(const mica__affine_row *r) { row_of(32, MICA_DTYPE_F32, r); }
TARGET static void row_f32_128(const mica__affine_row *r) { row_of(128, MICA_DTYPE_F32, r); }

mica__affine_row_function *mica__affine_row_here(const mica__quantization *q, mica_dtype dtype)
{
    static mica__affine_row_function *const functions[3][3] = {{row_bf16_32, row_bf16_64, row_bf16_128},
                                                               {row_f16_32, row_f16_64, row_f16_128},
                                                               {row_f32_32, row_f32_64, row_f32_128}};
    const mica__cpu *cpu = mica__cpu_features();
    if (q->mode != MICA_QUANT_AFFINE || !cpu->avx2 || !cpu->f16c) return NULL;
    const int by_type = dtype == MICA_DTYPE_BF16 ? 0 : dtype == MICA_DTYPE_F16 ? 1 : 2;
    return functions[by_type][q->group_size / 64]; /* 32, 64, 128: 0, 1, 2 */
}

#else
mica__affine_row_function *mica__affine_row_here(const mica__quantization *q, mica_dtype dtype)
{
    (void)q, (void)dtype;
    return NULL;
}
#endif
