/* generate/scores_avx2.c: the passes of scores.h, eight scores at a time. No multiplication is fused with an addition, so that sums are those
 * of the plain passes. */
#include "scores.h"

#if defined(__x86_64__)
#include "base/cpu.h"

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) AVX2

enum { BLOCK = MICA__SCORE_BLOCK };

/* The largest of each lane of a block and of `so_far`; NaN is passed over. */
INLINE __m256 block_max(const float *scores, __m256 so_far)
{
    __m256 a = _mm256_max_ps(_mm256_loadu_ps(scores), so_far), b = _mm256_max_ps(_mm256_loadu_ps(scores + 8), so_far);
    for (size_t i = 16; i < BLOCK; i += 16) {
        a = _mm256_max_ps(_mm256_loadu_ps(scores + i), a);
        b = _mm256_max_ps(_mm256_loadu_ps(scores + i + 8), b);
    }
    return _mm256_max_ps(a, b);
}

INLINE float largest(__m256 v)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

AVX2 static float max_avx2(const float *scores, size_t n)
{
    __m256 max = _mm256_set1_ps(-__builtin_inff());
    for (size_t i = 0; i < n; i += BLOCK) max = block_max(scores + i, max);
    return largest(max);
}

INLINE __m256 times_plus(__m256 a, __m256 b, float c) { return _mm256_add_ps(_mm256_mul_ps(a, b), _mm256_set1_ps(c)); }

/* As in scores.c. */
INLINE __m256 exp_negative(__m256 x)
{
    const __m256 round = _mm256_set1_ps(12582912.0f);
    const __m256 normal = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_GT_OQ), in = _mm256_and_ps(x, normal);
    const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(in, _mm256_set1_ps(1.44269504f)), round);
    const __m256 n = _mm256_sub_ps(shifted, round);
    const __m256 near = _mm256_sub_ps(in, _mm256_mul_ps(n, _mm256_set1_ps(0.693145752f)));
    const __m256 r = _mm256_sub_ps(near, _mm256_mul_ps(n, _mm256_set1_ps(1.42860677e-6f)));
    __m256 p = times_plus(r, _mm256_set1_ps(1.0f / 720), 1.0f / 120);
    p = times_plus(p, r, 1.0f / 24);
    p = times_plus(p, r, 1.0f / 6);
    p = times_plus(p, r, 0.5f);
    p = times_plus(p, r, 1.0f);
    p = times_plus(p, r, 1.0f);
    const __m256i e = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
    return _mm256_and_ps(_mm256_castsi256_ps(e), normal);
}

AVX2 static void sum_exp_avx2(const float *scores, size_t n, float max, mica__score_sums *sums)
{
    const __m256 shift = _mm256_set1_ps(max), lowest = _mm256_set1_ps(-__builtin_inff());
    __m256d low = _mm256_loadu_pd(sums->lane), high = _mm256_loadu_pd(sums->lane + 4);
    for (size_t i = 0; i < n; i += BLOCK) {
        const __m256 above = _mm256_sub_ps(block_max(scores + i, lowest), shift);
        if (!_mm256_movemask_ps(_mm256_cmp_ps(above, _mm256_set1_ps(-87.0f), _CMP_GT_OQ))) continue;
        for (size_t k = i; k < i + BLOCK; k += 8) {
            const __m256 e = exp_negative(_mm256_sub_ps(_mm256_loadu_ps(scores + k), shift));
            low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(e)));
            high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(e, 1)));
        }
    }
    _mm256_storeu_pd(sums->lane, low);
    _mm256_storeu_pd(sums->lane + 4, high);
}

AVX2 static size_t find_avx2(const float *scores, size_t first, size_t n, float least)
{
    const __m256 limit = _mm256_set1_ps(least), lowest = _mm256_set1_ps(-__builtin_inff());
    for (; first < n; first += BLOCK) {
        const __m256 max = block_max(scores + first, lowest);
        if (_mm256_movemask_ps(_mm256_cmp_ps(max, limit, _CMP_GE_OQ))) return first;
    }
    return n;
}

AVX2 static void drop_below_avx2(float *scores, size_t n, float limit)
{
    const __m256 least = _mm256_set1_ps(limit), removed = _mm256_set1_ps(-__builtin_inff());
    for (size_t i = 0; i < n; i += 8) {
        const __m256 s = _mm256_loadu_ps(scores + i);
        _mm256_storeu_ps(scores + i, _mm256_blendv_ps(s, removed, _mm256_cmp_ps(s, least, _CMP_LT_OQ)));
    }
}

AVX2 static void divide_avx2(float *scores, size_t n, float by)
{
    const __m256 divisor = _mm256_set1_ps(by);
    for (size_t i = 0; i < n; i += 8) _mm256_storeu_ps(scores + i, _mm256_div_ps(_mm256_loadu_ps(scores + i), divisor));
}

static const mica__score_passes avx2 = {max_avx2, sum_exp_avx2, find_avx2, drop_below_avx2, divide_avx2};

const mica__score_passes *mica__score_passes_avx2(void) { return mica__cpu_features()->avx2 ? &avx2 : NULL; }
#else
const mica__score_passes *mica__score_passes_avx2(void) { return NULL; }
#endif
