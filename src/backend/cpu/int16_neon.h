/* backend/cpu/int16_neon.h: quantized weights with activations rounded to 16 bits on 64-bit ARM: what the kernels for few rows of x
 * (linear_int16_dotprod.c) and for many (linear_int16_i8mm.c) share.
 *
 * Each group of x has a scale d = max |x| / 32639 and integers q = 256 h + l, where h and l have 8 bits and a sign (hence 32639: 127 * 257).
 * With w = s c + b in a group,
 *
 *     sum of w x  ~  s d (256 sum of c h + sum of c l) + b d (sum of q)
 *
 * Processors multiply bytes fastest, so elements of w become bytes with a sign: codes below 64 as they are; those of 8 bits lose 128 first,
 * which 128 times the sum of q gives back; 4-bit floats through a table of twice their values, which are whole. Integer sums are
 * exact, so they may be taken in any order; what is float is one chain per output that starts with its bias, group after group:
 *
 *     y = fma(sum, s d, y), y = fma(b, d sum q, y)
 *
 * Both kernels keep to it, so a row of x gives the same bits alone and among others.
 *
 * Spans of 32 elements are expanded together, to two vectors; in which order depends on the format, and rows of x are laid out to match. */
#ifndef MICA_BACKEND_CPU_INT16_NEON_H
#define MICA_BACKEND_CPU_INT16_NEON_H

#include "convert.h"
#include "linear.h"
#include "simd_neon.h"

#if MICA__ARM64

enum {
    MICA__SPAN = 32,
    MICA__FEW = 8,     /* rows of x; more go to panels */
    MICA__FACTORS = 4, /* groups whose scales and biases are read together, for as many rows of w */
};

typedef enum mica__elements {
    MICA__BITS2,
    MICA__BITS3,
    MICA__BITS4,
    MICA__BITS5,
    MICA__BITS6,
    MICA__BITS8,
    MICA__FLOAT4
} mica__elements;

/* Weights, as the kernels want to see them. */
typedef struct mica__int16_matrix {
    const uint8_t *codes, *scales, *biases; /* biases NULL: the format has none, or they come from the scales */
    mica__elements elements;
    mica_quant_mode mode;
    mica_dtype dtype; /* of scales and biases, in affine matrices */
    int bits, size;
    int64_t rows, groups, row_bytes;
} mica__int16_matrix;

/* A rounded row in scratch memory: h and l [2 * codes] int8, then d, d times the sum of q (float), the sum of q (int32) [groups]. For few
 * rows all h come first, then all l; for panels eight of each in turn. */
typedef struct mica__int16_layout {
    int64_t groups, codes, bytes;
} mica__int16_layout;

static inline mica__int16_layout mica__int16_layout_of(const mica__tensor *w)
{
    const int64_t codes = (w->shape[1] + 127) / 128 * 128, groups = codes / w->affine.group_size;
    return (mica__int16_layout){groups, codes, (int64_t)mica__round64((size_t)(2 * codes + 12 * groups))};
}

typedef struct mica__int16_row {
    const int8_t *high, *low; /* of panels: `high` holds both */
    const float *d, *dsum;
    const int32_t *sum;
} mica__int16_row;

static inline mica__int16_row mica__int16_row_at(const mica__int16_layout *l, const uint8_t *scratch, int64_t row)
{
    const uint8_t *base = scratch + row * l->bytes;
    const float *d = (const float *)(const void *)(base + 2 * l->codes);
    return (mica__int16_row){(const int8_t *)base, (const int8_t *)base + l->codes, d, d + l->groups,
                             (const int32_t *)(const void *)(d + 2 * l->groups)};
}

/* Columns [begin, end) of all rows of x, which are rounded in the run's scratch memory. Needs dotprod. */
void mica__int16_dotprod(const mica__instr *instr, const mica__run *run, const mica__int16_matrix *w, int64_t begin,
                         int64_t end);
/* The same; needs i8mm. They work in so many bytes of `memory`. */
void mica__int16_i8mm(const mica__instr *instr, const mica__run *run, const mica__int16_matrix *w, int64_t begin,
                      int64_t end, void *memory);
size_t mica__int16_i8mm_bytes(void);

/* ---- elements ---------------------------------------------------------------------------------------------------------------- */

/* Bytes of a span. */
MICA__INLINE int mica__span_bytes(mica__elements e)
{
    static const int bits[] = {2, 3, 4, 5, 6, 8, 4};
    return bits[e] * (MICA__SPAN / 8);
}

/* Sixteen codes of 3, 5 or 6 bits, in order. `bytes` holds them from byte `first` on. Pairs of codes lie within two bytes: a table look-up
 * gives each pair a lane of 16 bits, and one shift for the even codes and one for the odd ones bring them to its two bytes. */
MICA__INLINE int8x16_t mica__expand16(int bits, uint8x16_t bytes, int first)
{
    uint8_t index[16];
    int16_t even[8], odd[8];
    for (int i = 0; i < 8; i++) { /* constants, once this is unrolled */
        const int bit = 2 * bits * i;
        index[2 * i] = (uint8_t)(first + bit / 8);
        index[2 * i + 1] = (uint8_t)(first + bit / 8 + 1);
        even[i] = (int16_t) - (bit % 8);
        odd[i] = (int16_t)(8 - bits - bit % 8);
    }
    const uint16x8_t pairs = vreinterpretq_u16_u8(vqtbl1q_u8(bytes, vld1q_u8(index)));
    const uint16x8_t low = vshlq_u16(pairs, vld1q_s16(even)), high = vshlq_u16(pairs, vld1q_s16(odd));
    const uint8x16_t both = vreinterpretq_u8_u16(vbslq_u16(vdupq_n_u16(255), low, high));
    return vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8((uint8_t)((1 << bits) - 1))));
}

MICA__INLINE uint8x16_t mica__load_low(const uint8_t *p) { return vcombine_u8(vld1_u8(p), vdup_n_u8(0)); }

/* A span of elements as bytes. Reads nothing but the span; of FLOAT4 with half a span, nothing but that. */
MICA__INLINE void mica__expand(mica__elements e, const uint8_t *p, bool half, int8x16_t part[2])
{
    if (e == MICA__BITS2) { /* elements i % 4 = 0, 1 | 2, 3 */
        const uint8x16_t v = vreinterpretq_u8_u64(vld1q_dup_u64((const void *)p));
        const int8x16_t shift = vcombine_s8(vdup_n_s8(0), vdup_n_s8(-2));
        part[0] = vreinterpretq_s8_u8(vandq_u8(vshlq_u8(v, shift), vdupq_n_u8(3)));
        part[1] = vreinterpretq_s8_u8(vandq_u8(vshlq_u8(v, vsubq_s8(shift, vdupq_n_s8(4))), vdupq_n_u8(3)));
    } else if (e == MICA__BITS3) {
        part[0] = mica__expand16(3, mica__load_low(p), 0);
        part[1] = mica__expand16(3, mica__load_low(p + 4), 2);
    } else if (e == MICA__BITS4) { /* even elements | odd ones */
        const uint8x16_t v = vld1q_u8(p);
        part[0] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
        part[1] = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
    } else if (e == MICA__BITS5) {
        part[0] = mica__expand16(5, vld1q_u8(p), 0);
        part[1] = mica__expand16(5, vld1q_u8(p + 4), 6);
    } else if (e == MICA__BITS6) {
        part[0] = mica__expand16(6, vld1q_u8(p), 0);
        part[1] = mica__expand16(6, vld1q_u8(p + 8), 4);
    } else if (e == MICA__BITS8) {
        part[0] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128)));
        part[1] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 16), vdupq_n_u8(128)));
    } else { /* even elements | odd ones, each doubled */
        static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
        const int8x16_t table = vld1q_s8(doubled);
        const uint8x16_t v = half ? mica__load_low(p) : vld1q_u8(p);
        part[0] = vqtbl1q_s8(table, vandq_u8(v, vdupq_n_u8(15)));
        part[1] = vqtbl1q_s8(table, vshrq_n_u8(v, 4));
    }
}

/* ---- scales and biases ------------------------------------------------------------------------------------------------------- */

/* Rows to columns. */
MICA__INLINE void mica__transpose4(float32x4_t v[4])
{
    const float32x4_t a = vtrn1q_f32(v[0], v[1]), b = vtrn2q_f32(v[0], v[1]);
    const float32x4_t c = vtrn1q_f32(v[2], v[3]), d = vtrn2q_f32(v[2], v[3]);
#define HALVES(name, x, y) vreinterpretq_f32_f64(name(vreinterpretq_f64_f32(x), vreinterpretq_f64_f32(y)))
    v[0] = HALVES(vtrn1q_f64, a, c);
    v[1] = HALVES(vtrn1q_f64, b, d);
    v[2] = HALVES(vtrn2q_f64, a, c);
    v[3] = HALVES(vtrn2q_f64, b, d);
#undef HALVES
}

/* Scales of bytes, four groups of a row: for elements that are twice what they stand for. */
MICA__INLINE float32x4_t mica__byte_scales(mica_quant_mode mode, const uint8_t *p, int64_t n)
{
    uint32_t bytes = 0;
    if (n == MICA__FACTORS)
        memcpy(&bytes, p, sizeof bytes);
    else
        memcpy(&bytes, p, (size_t)n);
    const uint32x4_t v = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
    float32x4_t s;
    if (mode == MICA_QUANT_MXFP4) {
        const uint32x4_t zero = vceqzq_u32(v); /* the code of 2^-127 */
        s = vreinterpretq_f32_u32(vorrq_u32(vshlq_n_u32(v, 23), vandq_u32(zero, vdupq_n_u32(1u << 22))));
    } else {
        const uint32x4_t sign = vshlq_n_u32(vandq_u32(v, vdupq_n_u32(0x80)), 24);
        const uint32x4_t magnitude = vshlq_n_u32(vandq_u32(v, vdupq_n_u32(0x7f)), 20);
        s = vmulq_f32(vreinterpretq_f32_u32(vorrq_u32(sign, magnitude)), vdupq_n_f32(0x1p120f));
    }
    return vmulq_f32(s, vdupq_n_f32(0.5f));
}

/* Four factors at p of each row: a vector for each group. */
MICA__INLINE void mica__factors4(const uint8_t *const p[MICA__FACTORS], mica_dtype dtype, float32x4_t v[MICA__FACTORS])
{
    MICA__UNROLL
    for (int i = 0; i < MICA__FACTORS; i++) v[i] = mica__load4(p[i], dtype);
    mica__transpose4(v);
}

/* Scales and biases of four rows of w and groups g, g + 1, ..., at most four: a vector for each group. Zeros past the last. */
MICA__INLINE void mica__int16_factors(const mica__int16_matrix *w, const int64_t rows[MICA__FACTORS], int64_t g,
                                      float32x4_t scales[MICA__FACTORS], float32x4_t biases[MICA__FACTORS])
{
    const int64_t n = mica__min(w->groups - g, MICA__FACTORS), size = w->dtype == MICA_DTYPE_F32 ? 4 : 2;
    if (w->elements == MICA__FLOAT4) {
        MICA__UNROLL
        for (int i = 0; i < MICA__FACTORS; i++)
            scales[i] = mica__byte_scales(w->mode, w->scales + rows[i] * w->groups + g, n);
        mica__transpose4(scales);
        return;
    }
    uint8_t some[2][MICA__FACTORS][16];
    const uint8_t *p[2][MICA__FACTORS];
    MICA__UNROLL
    for (int i = 0; i < MICA__FACTORS; i++) {
        const int64_t at = (rows[i] * w->groups + g) * size;
        p[0][i] = w->scales + at;
        p[1][i] = w->biases ? w->biases + at : p[0][i];
    }
    if (n < MICA__FACTORS) {
        memset(some, 0, sizeof some);
        for (int b = 0; b < 2; b++)
            for (int i = 0; i < MICA__FACTORS; i++) p[b][i] = memcpy(some[b][i], p[b][i], (size_t)(n * size));
    }
    if (w->dtype == MICA_DTYPE_BF16) {
        mica__factors4(p[0], MICA_DTYPE_BF16, scales);
        mica__factors4(p[1], MICA_DTYPE_BF16, biases);
    } else if (w->dtype == MICA_DTYPE_F16) {
        mica__factors4(p[0], MICA_DTYPE_F16, scales);
        mica__factors4(p[1], MICA_DTYPE_F16, biases);
    } else {
        mica__factors4(p[0], MICA_DTYPE_F32, scales);
        mica__factors4(p[1], MICA_DTYPE_F32, biases);
    }
    if (w->biases) return;
    MICA__UNROLL
    for (int i = 0; i < MICA__FACTORS; i++) biases[i] = vmulq_n_f32(scales[i], mica__symmetric_offset(w->bits));
}

#endif
#endif
