/* backend/cpu/convert.h: numbers of every dtype to and from the types that arithmetic is done in.
 *
 * Kernels work on runs of at most MICA__CHUNK elements. A run is loaded from any dtype, stride and alignment into a buffer of one of
 * four computing types (float, double, int64_t, uint64_t), computed there, and stored with one rounding. So an op is written
 * once per computing type, and a dtype is written once for all ops. */
#ifndef MICA_BACKEND_CPU_CONVERT_H
#define MICA_BACKEND_CPU_CONVERT_H

#include "array/ops.h"
#include "base/half.h"
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

/* Contiguous floats. n is unbounded. The fast ones need mica__has_vectors. */
void mica__load_f32(float *dst, const void *src, mica_dtype dtype, int64_t n);
void mica__load_f32_fast(float *dst, const void *src, mica_dtype dtype, int64_t n);
void mica__store_f32(const float *src, void *dst, mica_dtype dtype, int64_t n);
void mica__store_f32_fast(const float *src, void *dst, mica_dtype dtype, int64_t n);

/* Codes [begin, begin + n) of a row of an affine matrix, unpacked to a byte each. Reads only the row's own row_bytes. */
void mica__unpack(uint8_t *dst, const uint8_t *row, size_t row_bytes, int bits, int64_t begin, int64_t n);
/* Elements [begin, begin + n) of row `r` of a quantized matrix; begin is a multiple of 32. Affine: each is one fused multiply-add, rounded
 * once; other modes: exact. */
void mica__dequantize(float *dst, const mica__tensor *w, int64_t r, int64_t begin, int64_t n);

/* Bytes of one row of codes. */
static inline size_t mica__row_bytes(const mica__tensor *w) { return (size_t)w->shape[1] * (size_t)w->affine.bits / 8; }

#endif
