/* backend/cpu/simd_neon.h: four floats at a time on 64-bit ARM: loads of half types, fixed-order sums, exp and tanh.
 *
 * exp: x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts so that r is exact to rounding (Cody and Waite), the Taylor series of
 * degree 7 for e^r, and n added to the exponent in two halves so that results may be denormal. Nothing here needs more than ARMv8.0. */
#ifndef MICA_BACKEND_CPU_SIMD_NEON_H
#define MICA_BACKEND_CPU_SIMD_NEON_H

#include "kernels.h"

#if MICA__ARM64
#include <arm_neon.h>
#include <string.h>

#define MICA__INLINE static inline __attribute__((always_inline, unused))

/* Keeps v in one register, at this place: see simd_avx2.h. */
#define MICA__KEEP(v) __asm__ volatile("" : "+w"(v))

/* Touches the line of an address that may be past the end of anything. */
MICA__INLINE void mica__prefetch(const void *p, int64_t ahead)
{
    __builtin_prefetch((const void *)((uintptr_t)p + (uintptr_t)ahead));
}

/* Four elements from any address. */
MICA__INLINE float32x4_t mica__load4(const void *p, mica_dtype dtype)
{
    if (dtype == MICA_DTYPE_F32) return vreinterpretq_f32_u8(vld1q_u8(p));
    const uint16x4_t half = vreinterpret_u16_u8(vld1_u8(p));
    if (dtype == MICA_DTYPE_F16) return vcvt_f32_f16(vreinterpret_f16_u16(half));
    return vreinterpretq_f32_u32(vshll_n_u16(half, 16));
}

/* Eight elements: one load of half types. */
MICA__INLINE void mica__load8(const void *p, mica_dtype dtype, float32x4_t v[2])
{
    if (dtype == MICA_DTYPE_F32) {
        v[0] = mica__load4(p, dtype);
        v[1] = mica__load4((const uint8_t *)p + 16, dtype);
        return;
    }
    const uint16x8_t half = vreinterpretq_u16_u8(vld1q_u8(p));
    if (dtype == MICA_DTYPE_F16) {
        v[0] = vcvt_f32_f16(vget_low_f16(vreinterpretq_f16_u16(half)));
        v[1] = vcvt_high_f32_f16(vreinterpretq_f16_u16(half));
    } else {
        v[0] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16));
        v[1] = vreinterpretq_f32_u16(vzip2q_u16(vdupq_n_u16(0), half));
    }
}

/* The first n elements, at most eight, then zeros; touches nothing else. */
MICA__INLINE void mica__load_some(const void *p, mica_dtype dtype, int64_t n, float32x4_t v[2])
{
    uint8_t bytes[32] = {0};
    memcpy(bytes, p, (size_t)n * (dtype == MICA_DTYPE_F32 ? 4 : 2));
    mica__load8(bytes, dtype, v);
}

MICA__INLINE void mica__store_some(float *p, float32x4_t v, int64_t n)
{
    float lane[4];
    vst1q_f32(lane, v);
    memcpy(p, lane, (size_t)n * sizeof(float));
}

/* Eight lanes as a tree: ((0+4) + (2+6)) + ((1+5) + (3+7)). */
MICA__INLINE float mica__hsum(float32x4_t low, float32x4_t high)
{
    const float32x4_t four = vaddq_f32(low, high);
    return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

/* ---- exp and tanh ---------------------------------------------------------------------------------------------------------- */

/* n = round(x / ln 2) as a float, and r = x - n ln 2. */
MICA__INLINE float32x4_t mica__exp_reduce(float32x4_t x, float32x4_t *r)
{
    const float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(0x1.715476p+0f)));
    *r = vfmsq_f32(x, n, vdupq_n_f32(0x1.62e4p-1f)); /* exact: the constant has 15 bits */
    *r = vfmsq_f32(*r, n, vdupq_n_f32(0x1.7f7d1cp-20f));
    return n;
}

/* e^r - 1 for small r */
MICA__INLINE float32x4_t mica__exp_series(float32x4_t r)
{
    float32x4_t p = vdupq_n_f32(1.0f / 5040);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 720), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 120), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    return vfmaq_f32(r, vmulq_f32(r, r), p);
}

/* 2^n for an integer -126 <= n <= 127 */
MICA__INLINE float32x4_t mica__power_of_two(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

MICA__INLINE float32x4_t mica__exp4(float32x4_t x)
{
    float32x4_t r,
        n = mica__exp_reduce(vminq_f32(vdupq_n_f32(129), vmaxq_f32(vdupq_n_f32(-150), x)), &r); /* NaN stays */
    const float32x4_t e = vaddq_f32(mica__exp_series(r), vdupq_n_f32(1));
    const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    return vmulq_f32(vmulq_f32(e, mica__power_of_two(half)), mica__power_of_two(vsubq_s32(whole, half)));
}

/* exp(x) for x <= 0, less work: below -86 it is that of -86, 4e-38. */
MICA__INLINE float32x4_t mica__exp4_falling(float32x4_t x)
{
    float32x4_t r, n = mica__exp_reduce(vmaxq_f32(vdupq_n_f32(-86), x), &r);
    const float32x4_t e = vaddq_f32(mica__exp_series(r), vdupq_n_f32(1));
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(e), vshlq_n_s32(vcvtnq_s32_f32(n), 23)));
}

/* e / (e + 2) with e = exp(2|x|) - 1, and x's sign; above 10 it is 1 in float. For small x, e is the series alone, so nothing cancels. */
MICA__INLINE float32x4_t mica__tanh4(float32x4_t x)
{
    const float32x4_t a = vminq_f32(vdupq_n_f32(10), vabsq_f32(x));
    float32x4_t r, n = mica__exp_reduce(vaddq_f32(a, a), &r);
    const float32x4_t scale = mica__power_of_two(vcvtnq_s32_f32(n));
    const float32x4_t e = vfmaq_f32(vsubq_f32(scale, vdupq_n_f32(1)), mica__exp_series(r), scale);
    const float32x4_t t = vdivq_f32(e, vaddq_f32(e, vdupq_n_f32(2)));
    return vbslq_f32(vdupq_n_u32(0x80000000u), x, t);
}

#endif
#endif
