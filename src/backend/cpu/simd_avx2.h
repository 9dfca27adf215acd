/* backend/cpu/simd_avx2.h: eight floats at a time: loads of half types, fixed-order sums, exp and tanh.
 *
 * exp: x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts so that r is exact to rounding (Cody and Waite), the Taylor series of
 * degree 7 for e^r (its rest is below 6e-9, a tenth of an ulp), and n added to the exponent in two halves so that results
 * may be denormal. Everything else comes from exp or expm1 without cancellation. */
#ifndef MICA_BACKEND_CPU_SIMD_AVX2_H
#define MICA_BACKEND_CPU_SIMD_AVX2_H

#include "kernels.h"

#if MICA__X86
#include <immintrin.h>
#include <string.h>

#define MICA__INLINE static inline __attribute__((always_inline, unused)) MICA__AVX2

/* Keeps v in one register, at this place. Compilers otherwise mix the sums of several rows until the registers do not suffice, or load
 * an operand again for every instruction that it takes part in. */
#define MICA__KEEP(v) __asm__ volatile("" : "+x"(v))

/* The lanes as a tree: ((0+4) + (2+6)) + ((1+5) + (3+7)). */
MICA__INLINE float mica__hsum(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

MICA__INLINE float mica__hmax(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* The largest of |x[i]|, n a multiple of 8. *bad is NaN if any x is NaN or infinite, else 0. */
MICA__INLINE float mica__max_abs(const float *x, int64_t n, float *bad)
{
    __m256 top = _mm256_setzero_ps(), rest = top;
    for (int64_t i = 0; i < n; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        top = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), v), top);
        rest = _mm256_add_ps(rest, _mm256_sub_ps(v, v));
    }
    *bad = mica__hsum(rest);
    return mica__hmax(top);
}

MICA__INLINE int32_t mica__hsum_epi32(__m256i v)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

MICA__INLINE __m256 mica__load8(const void *p, mica_dtype dtype)
{
    if (dtype == MICA_DTYPE_F32) return _mm256_loadu_ps((const float *)p);
    __m128i half = _mm_loadu_si128((const __m128i *)p);
    if (dtype == MICA_DTYPE_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* The first n < 8 elements, then zeros; touches nothing else. */
MICA__INLINE __m256 mica__load_some(const void *p, mica_dtype dtype, int64_t n)
{
    uint8_t bytes[32] = {0};
    memcpy(bytes, p, (size_t)n * (dtype == MICA_DTYPE_F32 ? 4 : 2));
    return mica__load8(bytes, dtype);
}

MICA__INLINE void mica__store_some(float *p, __m256 v, int64_t n)
{
    float lane[8];
    _mm256_storeu_ps(lane, v);
    memcpy(p, lane, (size_t)n * sizeof(float));
}

/* n = round(x / ln 2) as a float, and r = x - n ln 2. */
MICA__INLINE __m256 mica__exp_reduce(__m256 x, __m256 *r)
{
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    *r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x); /* exact: the constant has 15 bits */
    *r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), *r);
    return n;
}

/* (e^r - 1 - r) / r^2 for small r */
MICA__INLINE __m256 mica__exp_series(__m256 r)
{
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    return _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
}

/* 2^n for an integer -126 <= n <= 127 */
MICA__INLINE __m256 mica__power_of_two(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* NaN stays NaN: it is the second operand of max and min. */
MICA__INLINE __m256 mica__clamp8(__m256 x, float low, float high)
{
    return _mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), x));
}

MICA__INLINE __m256 mica__exp8(__m256 x)
{
    __m256 r, n = mica__exp_reduce(mica__clamp8(x, -150, 129), &r);
    __m256 e = _mm256_fmadd_ps(_mm256_mul_ps(r, r), mica__exp_series(r), r);
    e = _mm256_add_ps(e, _mm256_set1_ps(1));
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    e = _mm256_mul_ps(e, mica__power_of_two(half));
    return _mm256_mul_ps(e, mica__power_of_two(_mm256_sub_epi32(whole, half)));
}

/* 2^n (e^r - 1) + (2^n - 1): for n = 0 the series alone, so small results keep their precision. |x| <= 87 */
MICA__INLINE __m256 mica__expm1_8(__m256 x)
{
    __m256 r, n = mica__exp_reduce(x, &r);
    __m256 e = _mm256_fmadd_ps(_mm256_mul_ps(r, r), mica__exp_series(r), r);
    __m256 scale = mica__power_of_two(_mm256_cvtps_epi32(n));
    return _mm256_fmadd_ps(e, scale, _mm256_sub_ps(scale, _mm256_set1_ps(1)));
}

/* e / (e + 2) with e = exp(2|x|) - 1, and x's sign; above 10 it is 1 in float. */
MICA__INLINE __m256 mica__tanh8(__m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 a = _mm256_andnot_ps(sign, x);
    a = _mm256_min_ps(_mm256_set1_ps(10), a);
    __m256 e = mica__expm1_8(_mm256_add_ps(a, a));
    __m256 t = _mm256_div_ps(e, _mm256_add_ps(e, _mm256_set1_ps(2)));
    return _mm256_or_ps(t, _mm256_and_ps(sign, x));
}

#endif
#endif
