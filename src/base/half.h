/* base/half.h: small floating-point numbers, to and from float32.
 *
 *     bf16   sign, 8 bits of exponent, 7 of mantissa
 *     f16    sign, 5, 10
 *     e4m3   sign, 4, 3, bias 7, no infinities; 0x7f and 0xff are NaN for OCP and 480 for MLX
 *     e2m1   sign, 2, 1: 0 .5 1 1.5 2 3 4 6
 *     e8m0   8 bits of exponent: 2^(byte - 127)
 *
 * Conversions to fewer bits round to the nearest, ties to even, as processors do; NaN stays NaN in 16 bits. */
#ifndef MICA_BASE_HALF_H
#define MICA_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t mica__bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static inline float mica__float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline float mica__from_bf16(uint16_t h) { return mica__float_of((uint32_t)h << 16); }

/* To the nearest, ties to even; NaN stays NaN. */
static inline uint16_t mica__to_bf16(float f)
{
    uint32_t u = mica__bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static inline float mica__from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) return mica__float_of(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    if (magnitude >= 0x400) return mica__float_of(sign | ((magnitude << 13) + 0x38000000));
    float tiny = (float)magnitude * 0x1p-24f; /* subnormal: exact */
    return sign ? -tiny : tiny;
}

static inline uint16_t mica__to_f16(float f)
{
    uint32_t u = mica__bits_of(f), sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* rounds to 65536 or more */
    if (magnitude < 0x38800000) { /* subnormal: adding 1/2 leaves the rounded code in the low bits */
        return (uint16_t)(sign | (mica__bits_of(mica__float_of(magnitude) + 0.5f) - 0x3f000000));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13));
}

/* Up to 448; the two NaN patterns give 480 and -480. */
static inline float mica__from_e4m3(uint8_t v)
{
    uint32_t sign = (uint32_t)(v & 0x80) << 24, magnitude = v & 0x7f;
    float x = magnitude < 8 ? (float)magnitude * 0x1p-9f : mica__float_of((magnitude << 20) + (120u << 23));
    return mica__float_of(mica__bits_of(x) | sign);
}

/* Saturates at 448; NaN gives 448, too. */
static inline uint8_t mica__to_e4m3(float f)
{
    uint32_t u = mica__bits_of(f), sign = u >> 24 & 0x80, magnitude = u & 0x7fffffff;
    if (magnitude >= 0x43e00000) return (uint8_t)(sign | 0x7e);
    if (magnitude < 0x3c800000) { /* below 2^-6: adding 2^14 leaves the rounded code in the low bits */
        return (uint8_t)(sign | (mica__bits_of(mica__float_of(magnitude) + 0x1p14f) - 0x46800000));
    }
    return (uint8_t)(sign | ((magnitude - (120u << 23) + 0x7ffff + (magnitude >> 20 & 1)) >> 20));
}

/* The lowest four bits of v. */
static inline float mica__from_e2m1(unsigned v)
{
    static const float values[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
    return values[v & 15];
}

/* 255, which is NaN for OCP, gives infinity. */
static inline float mica__from_e8m0(uint8_t v) { return v ? mica__float_of((uint32_t)v << 23) : 0x1p-127f; }

#endif
