/* formats/quantize_private.h: the quantizers of one row, for quantize.c. */
#ifndef MICA_FORMATS_QUANTIZE_PRIVATE_H
#define MICA_FORMATS_QUANTIZE_PRIVATE_H

#include "../base/cpu.h"
#include "../base/half.h"
#include "quantize.h"

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

/* The scale that a byte stands for, and the element that a code stands for. */
float mica__quantized_scale(mica_quant_mode mode, uint8_t byte);
static inline float mica__quantized_element(mica_quant_mode mode, uint8_t code)
{
    return mode == MICA_QUANT_MXFP8 ? mica__from_e4m3(code) : mica__from_e2m1(code);
}

#endif
