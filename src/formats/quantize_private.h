/* formats/quantize_private.h: the quantizers of one row, for quantize.c. */
#ifndef MICA_FORMATS_QUANTIZE_PRIVATE_H
#define MICA_FORMATS_QUANTIZE_PRIVATE_H

#include "../base/cpu.h"
#include "../base/half.h"
#include "quantize.h"
#include <math.h>

/* Loops written once and compiled twice, for wider registers as well. Nothing is contracted or reordered, so both give the same bytes. */
#define MICA__INLINE inline __attribute__((always_inline))
#if defined(__x86_64__)
#define MICA__QUANTIZE_AVX2 1
#define MICA__QUANTIZE_TARGET __attribute__((target("avx2")))
#else
#define MICA__QUANTIZE_AVX2 0
#endif

typedef float mica__float8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t mica__int8 __attribute__((vector_size(32)));
/* Lane by lane, where the comparison a > b holds a, else b (also for NaN). */
#define MICA__LARGER8(a, b) ((mica__float8)((((a) > (b)) & (mica__int8)(a)) | (~((a) > (b)) & (mica__int8)(b))))
#define MICA__SMALLER8(a, b) ((mica__float8)((((a) < (b)) & (mica__int8)(a)) | (~((a) < (b)) & (mica__int8)(b))))

enum { MICA__MAX_GROUP = 128 };

/* x rounded to a float dtype, as a float again. */
static inline float mica__round_to(mica_dtype dtype, float x)
{
    if (dtype == MICA_DTYPE_BF16) return mica__from_bf16(mica__to_bf16(x));
    return dtype == MICA_DTYPE_F16 ? mica__from_f16(mica__to_f16(x)) : x;
}

static inline float mica__load_float(const uint8_t *at, mica_dtype dtype)
{
    uint32_t word;
    uint16_t half;
    if (dtype == MICA_DTYPE_F32) {
        memcpy(&word, at, sizeof word);
        return mica__float_of(word);
    }
    memcpy(&half, at, sizeof half);
    return dtype == MICA_DTYPE_BF16 ? mica__from_bf16(half) : mica__from_f16(half);
}

static inline void mica__store_float(uint8_t *at, mica_dtype dtype, float x)
{
    if (dtype == MICA_DTYPE_F32) {
        memcpy(at, &x, sizeof x);
        return;
    }
    uint16_t half = dtype == MICA_DTYPE_BF16 ? mica__to_bf16(x) : mica__to_f16(x);
    memcpy(at, &half, sizeof half);
}

/* Bytes of one group: what a quantizer of groups writes. `codes` holds one code per element, not packed yet. */
typedef struct mica__group {
    uint8_t codes[MICA__MAX_GROUP];
    float scale, bias;  /* affine */
    uint8_t scale_byte; /* the other modes */
} mica__group;

/* w: the group's elements, exactly as they are in `dtype`. */
void mica__quantize_affine_group(const mica__quantization *q, mica__quantizer quantizer, mica_dtype dtype,
                                 const float *w, mica__group *out);
void mica__quantize_float_group(const mica__quantization *q, mica__quantizer quantizer, mica_dtype dtype,
                                const float *w, mica__group *out);

/* Codes of `bits` bits, n of them in bytes, as one stream of bits. */
void mica__pack_codes(const uint8_t *codes, int n, int bits, uint8_t *out);

/* MLX's scale and bias for a range, not rounded. */
static MICA__INLINE void mica__scale_of_range(float lo, float hi, float highest, float *scale, float *bias)
{
    /* Which end is farther is a coin's throw: no branch for it. */
    const uint32_t lower_is_far = fabsf(lo) > fabsf(hi) ? UINT32_MAX : 0;
    float step = (hi - lo) / highest;
    step = step < 1e-7f ? 1e-7f : step;
    step = mica__float_of(mica__bits_of(step) ^ (~lower_is_far & 0x80000000));
    float edge = mica__float_of((mica__bits_of(lo) & lower_is_far) | (mica__bits_of(hi) & ~lower_is_far));
    float q0 = rintf(edge / step);
    *scale = q0 != 0 ? edge / q0 : step;
    *bias = q0 != 0 ? edge : 0;
}

/* Sums over the groups of a row, eight side by side. */
typedef struct mica__row_sums {
    mica__float8 errors, weights, most;
} mica__row_sums;

/* A row of affine groups, by MLX's rule; sums (set, not added to) may be NULL. */
typedef struct mica__affine_row {
    int bits;
    int64_t n_columns;
    const uint8_t *in;
    uint8_t *codes, *scales, *biases;
    mica__row_sums *sums;
} mica__affine_row;
typedef void mica__affine_row_function(const mica__affine_row *row);
/* The fastest one for this processor; NULL: groups one by one. */
mica__affine_row_function *mica__affine_row_here(const mica__quantization *q, mica_dtype dtype);

/* The scale that a byte stands for, and the element that a code stands for. */
float mica__quantized_scale(mica_quant_mode mode, uint8_t byte);
static inline float mica__quantized_element(mica_quant_mode mode, uint8_t code)
{
    return mode == MICA_QUANT_MXFP8 ? mica__from_e4m3(code) : mica__from_e2m1(code);
}

#endif
