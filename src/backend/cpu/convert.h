/* backend/cpu/convert.h: numbers of every dtype to and from the types that arithmetic is done in.
 *
 * Kernels work on runs of at most MICA__CHUNK elements. A run is loaded from any dtype, stride and alignment into a buffer of one of
 * four computing types (float, double, int64_t, uint64_t), computed there, and stored with one rounding. So an op is written
 * once per computing type, and a dtype is written once for all ops. */
#ifndef MICA_BACKEND_CPU_CONVERT_H
#define MICA_BACKEND_CPU_CONVERT_H

#include "array/ops.h"
#include <string.h>

enum { MICA__CHUNK = 256 };

typedef enum mica__class { MICA__CLASS_F32, MICA__CLASS_F64, MICA__CLASS_I64, MICA__CLASS_U64 } mica__class;

/* A run of numbers in a computing type. */
typedef union mica__chunk {
    float f32[MICA__CHUNK];
    double f64[MICA__CHUNK];
    int64_t i64[MICA__CHUNK];
    uint64_t u64[MICA__CHUNK];
} mica__chunk;

static inline bool mica__floating(mica_dtype t)
{
    return t == MICA_DTYPE_F32 || t == MICA_DTYPE_F16 || t == MICA_DTYPE_BF16 || t == MICA_DTYPE_F64;
}

/* float16 and bfloat16 are computed in float. */
static inline mica__class mica__class_of(mica_dtype t)
{
    if (t == MICA_DTYPE_F64) return MICA__CLASS_F64;
    if (mica__floating(t)) return MICA__CLASS_F32;
    return t == MICA_DTYPE_U64 ? MICA__CLASS_U64 : MICA__CLASS_I64;
}

/* The computing type that holds both. */
static inline mica__class mica__class_join(mica__class a, mica__class b)
{
    if (a == b) return a;
    if (a == MICA__CLASS_F64 || b == MICA__CLASS_F64) return MICA__CLASS_F64;
    if (a == MICA__CLASS_F32 || b == MICA__CLASS_F32) return MICA__CLASS_F32;
    return MICA__CLASS_I64;
}

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

/* Element `i` of scales or biases. */
static inline float mica__load_scale(const void *base, mica_dtype dtype, int64_t i)
{
    if (dtype == MICA_DTYPE_F32) {
        float f;
        memcpy(&f, (const uint8_t *)base + 4 * i, 4);
        return f;
    }
    uint16_t h;
    memcpy(&h, (const uint8_t *)base + 2 * i, 2);
    return dtype == MICA_DTYPE_F16 ? mica__from_f16(h) : mica__from_bf16(h);
}

/* What a code's offset times the scale makes of the bias of a matrix that has none of its own: -2^(bits - 1). */
static inline float mica__symmetric_offset(int bits) { return -(float)(1 << (bits - 1)); }

/* Bias of group `g`, whose scale is given. */
static inline float mica__affine_bias(const mica__affine *a, int64_t g, float scale)
{
    return a->biases ? mica__load_scale(a->biases, a->scale_dtype, g) : mica__symmetric_offset(a->bits) * scale;
}

/* `n` elements of `dtype` from `src` on, `stride` elements apart, as numbers of the class. n <= MICA__CHUNK. */
void mica__load(mica__class c, mica__chunk *dst, const void *src, mica_dtype dtype, int64_t stride, int64_t n);
/* The same, to memory. Floats go to integers by truncation, saturating, NaN to 0; integers to narrower ones by dropping high bits;
 * anything but zero is true. */
void mica__store(mica__class c, const mica__chunk *src, void *dst, mica_dtype dtype, int64_t stride, int64_t n);

/* Contiguous floats. n is unbounded. The fast ones need AVX2 and F16C. */
void mica__load_f32(float *dst, const void *src, mica_dtype dtype, int64_t n);
void mica__load_f32_avx2(float *dst, const void *src, mica_dtype dtype, int64_t n);
void mica__store_f32(const float *src, void *dst, mica_dtype dtype, int64_t n);
void mica__store_f32_avx2(const float *src, void *dst, mica_dtype dtype, int64_t n);

/* Codes [begin, begin + n) of a row of an affine matrix, unpacked to a byte each. Reads only the row's own row_bytes. */
void mica__unpack(uint8_t *dst, const uint8_t *row, size_t row_bytes, int bits, int64_t begin, int64_t n);
/* Elements [begin, begin + n) of row `r`; begin is a multiple of 32. Each is one fused multiply-add: rounded once. */
void mica__dequantize(float *dst, const mica__tensor *w, int64_t r, int64_t begin, int64_t n);

/* Bytes of one row of codes. */
static inline size_t mica__row_bytes(const mica__tensor *w) { return (size_t)w->shape[1] * (size_t)w->affine.bits / 8; }

#endif
