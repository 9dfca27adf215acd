/* backend/cpu/linear_floats_avx2.c: x [M, K] times the transpose of w [N, K] in mxfp4, mxfp8 or nvfp4, in float arithmetic.
 *
 * A group's elements become floats on the way from memory: pairs of 4-bit codes through a table of sixteen bytes that holds twice the values
 * (whole numbers), 8-bit floats by moving their bits into place under another exponent. They meet the rows of x, four at a time,
 * in eight lanes of fused multiply-adds; the group's sum times its scale is then added to the output's lanes. So the scale costs one
 * instruction for a group, and the order is the same for one row of x and for many: a row gives the same bits alone and among others. */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

enum { TILE = 4 }; /* rows of x */

typedef struct source {
    const uint8_t *codes, *scales;
} source;

/* Twice the values of eight e2m1 codes. */
MICA__INLINE __m256 e2m1(__m128i codes)
{
    const __m128i table = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_shuffle_epi8(table, codes)));
}

MICA__INLINE __m256 e4m3(const uint8_t *p)
{
    __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    __m256i sign = _mm256_slli_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0x80)), 24);
    __m256i magnitude = _mm256_slli_epi32(_mm256_and_si256(v, _mm256_set1_epi32(0x7f)), 20);
    __m256 x = _mm256_castsi256_ps(_mm256_or_si256(sign, magnitude));
    return _mm256_mul_ps(x, _mm256_set1_ps(0x1p120f));
}

/* The elements of a group: 4 vectors, or 2 in nvfp4. */
MICA__INLINE void expand(mica_quant_mode mode, const uint8_t *p, __m256 *w)
{
    const __m128i low = _mm_set1_epi8(15);
    if (mode == MICA_QUANT_MXFP8) {
        for (int i = 0; i < 4; i++) w[i] = e4m3(p + 8 * i);
        return;
    }
    __m128i bytes = mode == MICA_QUANT_MXFP4 ? _mm_loadu_si128((const __m128i *)(const void *)p)
                                             : _mm_loadl_epi64((const __m128i *)(const void *)p);
    __m128i even = _mm_and_si128(bytes, low), odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), low);
    __m128i first = _mm_unpacklo_epi8(even, odd);
    w[0] = e2m1(first);
    w[1] = e2m1(_mm_srli_si128(first, 8));
    if (mode == MICA_QUANT_NVFP4) return;
    __m128i second = _mm_unpackhi_epi8(even, odd);
    w[2] = e2m1(second);
    w[3] = e2m1(_mm_srli_si128(second, 8));
}

/* The scale of what expand gives: elements of 4 bits are twice what they stand for. */
MICA__INLINE float scale_of(mica_quant_mode mode, uint8_t byte)
{
    if (mode == MICA_QUANT_MXFP8) return mica__from_e8m0(byte);
    return 0.5f * (mode == MICA_QUANT_MXFP4 ? mica__from_e8m0(byte) : mica__from_e4m3(byte));
}

/* Row r of w times `count` rows of x, which are `stride` floats apart; out: `count` sums, n_out apart. */
MICA__INLINE void row_times(mica_quant_mode mode, const mica__tensor *w, int64_t r, const float *x, int64_t stride,
                            int count, float add, float *out, int64_t n_out)
{
    const int size = mode == MICA_QUANT_NVFP4 ? 16 : 32, group_bytes = mode == MICA_QUANT_MXFP8 ? 32 : size / 2;
    const int64_t groups = w->shape[1] / size;
    const uint8_t *codes = (const uint8_t *)w->data + r * groups * group_bytes;
    const uint8_t *scales = (const uint8_t *)w->affine.scales + r * groups;
    __m256 sum[TILE];
    MICA__UNROLL
    for (int m = 0; m < count; m++) sum[m] = _mm256_setzero_ps();
    for (int64_t g = 0; g < groups; g++, codes += group_bytes) {
        __m256 e[4];
        expand(mode, codes, e);
        const __m256 scale = _mm256_set1_ps(scale_of(mode, scales[g]));
        MICA__UNROLL
        for (int m = 0; m < count; m++) {
            const float *at = x + m * stride + g * size;
            __m256 part = _mm256_mul_ps(e[0], _mm256_loadu_ps(at));
            for (int i = 1; i < size / 8; i++) part = _mm256_fmadd_ps(e[i], _mm256_loadu_ps(at + 8 * i), part);
            sum[m] = _mm256_fmadd_ps(part, scale, sum[m]);
        }
    }
    MICA__UNROLL
    for (int m = 0; m < count; m++) {
        float y = mica__hsum(sum[m]) + add;
        memcpy(out + m * n_out, &y, sizeof y);
    }
}

MICA__INLINE void linear(mica_quant_mode mode, const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const int64_t m_rows = mica__rows(x, run), n_out = w->shape[0], stride = x->strides[0];
    const float *x_data = x->data;
    float *out = instr->out.data;
    int64_t begin, end;
    mica__share(n_out, 4, id, n, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float add = mica__linear_bias(instr, r);
        int64_t m = 0;
        for (; m + TILE <= m_rows; m += TILE)
            row_times(mode, w, r, x_data + m * stride, stride, TILE, add, out + m * n_out + r, n_out);
        for (; m < m_rows; m++) row_times(mode, w, r, x_data + m * stride, stride, 1, add, out + m * n_out + r, n_out);
    }
}

#define DEFINE(name, mode)                                                                                             \
    MICA__AVX2 static void linear_##name(const mica__instr *instr, const mica__run *run, int id, int n)                \
    {                                                                                                                  \
        linear(mode, instr, run, id, n);                                                                               \
    }
DEFINE(mxfp4, MICA_QUANT_MXFP4)
DEFINE(mxfp8, MICA_QUANT_MXFP8)
DEFINE(nvfp4, MICA_QUANT_NVFP4)
#undef DEFINE

bool mica__linear_floats_avx2(mica__instr *instr)
{
    static const mica__kernel kernels[] = {
        [MICA_QUANT_MXFP4] = linear_mxfp4, [MICA_QUANT_MXFP8] = linear_mxfp8, [MICA_QUANT_NVFP4] = linear_nvfp4};
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!w->quantized || w->affine.mode == MICA_QUANT_AFFINE) return false;
    if (x->dtype != MICA_DTYPE_F32 || (x->strides[1] != 1 && x->shape[1] != 1)) return false;
    return mica__set_kernel(instr, kernels[w->affine.mode]);
}

#else
bool mica__linear_floats_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
