/* backend/cpu/elementwise_neon.c: ops on runs of floats on 64-bit ARM, four at a time, and runs of half types to and from floats. An
 * element's result does not depend on its place. */
#include "elementwise.h"

#include "kernels.h"

#if MICA__ARM64
#include "simd_neon.h"

MICA__INLINE float32x4_t one(void) { return vdupq_n_f32(1); }
MICA__INLINE float32x4_t sigmoid_denominator(float32x4_t x) { return vaddq_f32(one(), mica__exp4(vnegq_f32(x))); }

/* x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))) */
MICA__INLINE float32x4_t gelu_tanh(float32x4_t x)
{
    const float32x4_t cube = vmulq_f32(vmulq_f32(vmulq_f32(vdupq_n_f32(0.044715f), x), x), x);
    const float32x4_t u = vmulq_f32(vdupq_n_f32(1.59576912160573071176f), vaddq_f32(x, cube));
    return vdivq_f32(x, sigmoid_denominator(u));
}

/* x where it is positive or NaN, else 0 */
MICA__INLINE float32x4_t relu(float32x4_t x)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vclezq_f32(x)));
}

#define RUN(name, expression)                                                                                          \
    static void name##_run(const float *a, const float *b, float *out, int64_t n)                                      \
    {                                                                                                                  \
        (void)b;                                                                                                       \
        int64_t i = 0;                                                                                                 \
        for (; i + 4 <= n; i += 4) {                                                                                   \
            const float32x4_t x = vld1q_f32(a + i);                                                                    \
            LOAD_Y                                                                                                     \
            vst1q_f32(out + i, expression);                                                                            \
        }                                                                                                              \
        if (i == n) return;                                                                                            \
        float32x4_t some[2];                                                                                           \
        mica__load_some(a + i, MICA_DTYPE_F32, n - i, some);                                                           \
        const float32x4_t x = some[0];                                                                                 \
        LOAD_SOME_Y                                                                                                    \
        mica__store_some(out + i, expression, n - i);                                                                  \
    }

#define LOAD_Y
#define LOAD_SOME_Y
RUN(square, vmulq_f32(x, x))
RUN(sqrt, vsqrtq_f32(x))
RUN(rsqrt, vdivq_f32(one(), vsqrtq_f32(x)))
RUN(reciprocal, vdivq_f32(one(), x))
RUN(exp, mica__exp4(x))
RUN(tanh, mica__tanh4(x))
RUN(sigmoid, vdivq_f32(one(), sigmoid_denominator(x)))
RUN(silu, vdivq_f32(x, sigmoid_denominator(x)))
RUN(gelu_tanh, gelu_tanh(x))
RUN(relu, relu(x))
#undef LOAD_Y
#undef LOAD_SOME_Y
#define LOAD_Y const float32x4_t y = vld1q_f32(b + i);
#define LOAD_SOME_Y                                                                                                    \
    mica__load_some(b + i, MICA_DTYPE_F32, n - i, some);                                                               \
    const float32x4_t y = some[0];
RUN(add, vaddq_f32(x, y))
RUN(subtract, vsubq_f32(x, y))
RUN(multiply, vmulq_f32(x, y))
RUN(divide, vdivq_f32(x, y))
RUN(maximum, vmaxq_f32(x, y)) /* NaN of either side */
RUN(minimum, vminq_f32(x, y))

#include "elementwise_table.h"

/* ---- half types --------------------------------------------------------------------------------------------------------------- */

void mica__load_f32_fast(float *dst, const void *src, mica_dtype dtype, int64_t n)
{
    const uint8_t *s = src;
    int64_t i = 0;
    for (; dtype != MICA_DTYPE_F32 && i + 8 <= n; i += 8) {
        float32x4_t v[2];
        mica__load8(s + 2 * i, dtype, v);
        vst1q_f32(dst + i, v[0]);
        vst1q_f32(dst + i + 4, v[1]);
    }
    mica__load_f32(dst + i, s + (int64_t)mica_dtype_size(dtype) * i, dtype, n - i);
}

/* To nearest even; NaN stays NaN, and quiet. */
MICA__INLINE uint16x4_t to_bf16(float32x4_t f)
{
    const uint32x4_t u = vreinterpretq_u32_f32(f), high = vshrq_n_u32(u, 16);
    const uint32x4_t up = vaddq_u32(u, vaddq_u32(vdupq_n_u32(0x7fff), vandq_u32(high, vdupq_n_u32(1))));
    return vmovn_u32(vbslq_u32(vceqq_f32(f, f), vshrq_n_u32(up, 16), vorrq_u32(high, vdupq_n_u32(0x40))));
}

void mica__store_f32_fast(const float *src, void *dst, mica_dtype dtype, int64_t n)
{
    uint8_t *d = dst;
    int64_t i = 0;
    for (; dtype != MICA_DTYPE_F32 && i + 4 <= n; i += 4) {
        const float32x4_t v = vld1q_f32(src + i);
        vst1_u8(d + 2 * i,
                vreinterpret_u8_u16(dtype == MICA_DTYPE_BF16 ? to_bf16(v) : vreinterpret_u16_f16(vcvt_f16_f32(v))));
    }
    mica__store_f32(src + i, d + (int64_t)mica_dtype_size(dtype) * i, dtype, n - i);
}

#endif
