/* backend/cpu/elementwise_avx2.c: ops on runs of floats, eight at a time. An element's result does not depend on its place. */
#include "elementwise.h"

#include "kernels.h"

#if MICA__X86
#include "simd_avx2.h"

MICA__INLINE __m256 one(void) { return _mm256_set1_ps(1); }
MICA__INLINE __m256 negative(__m256 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }
MICA__INLINE __m256 sigmoid_denominator(__m256 x) { return _mm256_add_ps(one(), mica__exp8(negative(x))); }

/* x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))) */
MICA__INLINE __m256 gelu_tanh(__m256 x)
{
    __m256 cube = _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.044715f), x), x), x);
    __m256 u = _mm256_mul_ps(_mm256_set1_ps(1.59576912160573071176f), _mm256_add_ps(x, cube));
    return _mm256_div_ps(x, sigmoid_denominator(u));
}

/* x where it is positive or NaN, else 0 */
MICA__INLINE __m256 relu(__m256 x) { return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LE_OQ), x); }

/* NaN of either side */
MICA__INLINE __m256 extreme(__m256 a, __m256 b, __m256 chosen)
{
    return _mm256_blendv_ps(chosen, _mm256_add_ps(a, b), _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
}

#define RUN(name, expression)                                                                                          \
    MICA__AVX2 static void name##_run(const float *a, const float *b, float *out, int64_t n)                           \
    {                                                                                                                  \
        (void)b;                                                                                                       \
        int64_t i = 0;                                                                                                 \
        for (; i + 8 <= n; i += 8) {                                                                                   \
            __m256 x = _mm256_loadu_ps(a + i);                                                                         \
            LOAD_Y                                                                                                     \
            _mm256_storeu_ps(out + i, expression);                                                                     \
        }                                                                                                              \
        if (i == n) return;                                                                                            \
        __m256 x = mica__load_some(a + i, MICA_DTYPE_F32, n - i);                                                      \
        LOAD_SOME_Y                                                                                                    \
        mica__store_some(out + i, expression, n - i);                                                                  \
    }

#define LOAD_Y
#define LOAD_SOME_Y
RUN(square, _mm256_mul_ps(x, x))
RUN(sqrt, _mm256_sqrt_ps(x))
RUN(rsqrt, _mm256_div_ps(one(), _mm256_sqrt_ps(x)))
RUN(reciprocal, _mm256_div_ps(one(), x))
RUN(exp, mica__exp8(x))
RUN(tanh, mica__tanh8(x))
RUN(sigmoid, _mm256_div_ps(one(), sigmoid_denominator(x)))
RUN(silu, _mm256_div_ps(x, sigmoid_denominator(x)))
RUN(gelu_tanh, gelu_tanh(x))
RUN(relu, relu(x))
#undef LOAD_Y
#undef LOAD_SOME_Y
#define LOAD_Y __m256 y = _mm256_loadu_ps(b + i);
#define LOAD_SOME_Y __m256 y = mica__load_some(b + i, MICA_DTYPE_F32, n - i);
RUN(add, _mm256_add_ps(x, y))
RUN(subtract, _mm256_sub_ps(x, y))
RUN(multiply, _mm256_mul_ps(x, y))
RUN(divide, _mm256_div_ps(x, y))
RUN(maximum, extreme(x, y, _mm256_max_ps(x, y)))
RUN(minimum, extreme(x, y, _mm256_min_ps(x, y)))

#include "elementwise_table.h"

#endif
