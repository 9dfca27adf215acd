/* backend/cpu/convert.c: loading and storing numbers of every dtype; unpacking affine codes. See convert.h.
 *
 * The generic loops are macros over (dtype, C type, conversion); the common contiguous float cases have their own. */
#include "convert.h"
#include "kernels.h"

#include <math.h>
#if MICA__X86
#include <immintrin.h>
#endif

/* ---- between C types ------------------------------------------------------------------------------------------------- */

/* To float such that a second rounding to fewer bits comes out as if it were the only one: inexact results get an odd last bit. */
static float to_odd(double d)
{
    float f = (float)d;
    if ((double)f == d || isnan(d) || isinf(f)) return f;
    if (fabs((double)f) > fabs(d)) f = mica__float_of(mica__bits_of(f) - 1); /* truncate */
    return mica__float_of(mica__bits_of(f) | 1);
}

static int64_t clamp_to(double d, double low, double high, int64_t min, int64_t max)
{
    if (isnan(d)) return 0;
    return d <= low ? min : d >= high ? max : (int64_t)d;
}

static uint64_t clamp_to_u64(double d)
{
    if (isnan(d) || d <= 0) return 0;
    return d >= 0x1p64 ? UINT64_MAX : (uint64_t)d;
}

#define SAME(x) (x)
#define TRUTH(x) ((x) != 0)
#define F_TO_I8(x) ((int8_t)clamp_to((double)(x), INT8_MIN, INT8_MAX, INT8_MIN, INT8_MAX))
#define F_TO_I16(x) ((int16_t)clamp_to((double)(x), INT16_MIN, INT16_MAX, INT16_MIN, INT16_MAX))
#define F_TO_I32(x) ((int32_t)clamp_to((double)(x), INT32_MIN, INT32_MAX, INT32_MIN, INT32_MAX))
#define F_TO_I64(x) clamp_to((double)(x), -0x1p63, 0x1p63, INT64_MIN, INT64_MAX)
#define F_TO_U8(x) ((uint8_t)clamp_to((double)(x), 0, UINT8_MAX, 0, UINT8_MAX))
#define F_TO_U16(x) ((uint16_t)clamp_to((double)(x), 0, UINT16_MAX, 0, UINT16_MAX))
#define F_TO_U32(x) ((uint32_t)clamp_to((double)(x), 0, UINT32_MAX, 0, UINT32_MAX))
#define F_TO_U64(x) clamp_to_u64((double)(x))
#define F64_TO_F16(x) mica__to_f16(to_odd(x))
#define F64_TO_BF16(x) mica__to_bf16(to_odd(x))
#define INT_TO_F16(x) mica__to_f16(to_odd((double)(x)))
#define INT_TO_BF16(x) mica__to_bf16(to_odd((double)(x)))

/* One strided loop each; memcpy because data may have any alignment. */
#define LOAD_CASE(code, ctype, member, convert)                                                                        \
    case MICA_DTYPE_##code:                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            ctype v;                                                                                                   \
            memcpy(&v, s + i * stride * (int64_t)sizeof v, sizeof v);                                                  \
            dst->member[i] = (__typeof__(dst->member[0]))convert(v);                                                   \
        }                                                                                                              \
        break;
#define STORE_CASE(code, ctype, member, convert)                                                                       \
    case MICA_DTYPE_##code:                                                                                            \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            ctype v = (ctype)convert(src->member[i]);                                                                  \
            memcpy(d + i * stride * (int64_t)sizeof v, &v, sizeof v);                                                  \
        }                                                                                                              \
        break;

#define LOAD_ALL(member)                                                                                               \
    switch (dtype) {                                                                                                   \
        LOAD_CASE(F32, float, member, SAME)                                                                            \
        LOAD_CASE(F16, uint16_t, member, mica__from_f16)                                                               \
        LOAD_CASE(BF16, uint16_t, member, mica__from_bf16)                                                             \
        LOAD_CASE(F64, double, member, SAME)                                                                           \
        LOAD_CASE(I8, int8_t, member, SAME)                                                                            \
        LOAD_CASE(I16, int16_t, member, SAME)                                                                          \
        LOAD_CASE(I32, int32_t, member, SAME)                                                                          \
        LOAD_CASE(I64, int64_t, member, SAME)                                                                          \
        LOAD_CASE(U8, uint8_t, member, SAME)                                                                           \
        LOAD_CASE(U16, uint16_t, member, SAME)                                                                         \
        LOAD_CASE(U32, uint32_t, member, SAME)                                                                         \
        LOAD_CASE(U64, uint64_t, member, SAME)                                                                         \
        LOAD_CASE(BOOL, uint8_t, member, TRUTH)                                                                        \
    case MICA_DTYPE_COUNT:                                                                                             \
        break;                                                                                                         \
    }

#define STORE_INTEGERS(member, PREFIX)                                                                                 \
    STORE_CASE(I8, int8_t, member, PREFIX##I8)                                                                         \
    STORE_CASE(I16, int16_t, member, PREFIX##I16)                                                                      \
    STORE_CASE(I32, int32_t, member, PREFIX##I32)                                                                      \
    STORE_CASE(I64, int64_t, member, PREFIX##I64)                                                                      \
    STORE_CASE(U8, uint8_t, member, PREFIX##U8)                                                                        \
    STORE_CASE(U16, uint16_t, member, PREFIX##U16)                                                                     \
    STORE_CASE(U32, uint32_t, member, PREFIX##U32)                                                                     \
    STORE_CASE(U64, uint64_t, member, PREFIX##U64)                                                                     \
    STORE_CASE(BOOL, uint8_t, member, TRUTH)

#define I_TO_I8 SAME
#define I_TO_I16 SAME
#define I_TO_I32 SAME
#define I_TO_I64 SAME
#define I_TO_U8 SAME
#define I_TO_U16 SAME
#define I_TO_U32 SAME
#define I_TO_U64 SAME

/* Floating numbers reach the integer classes only through a store (astype goes by the class of its source). */
#define F_LOAD_SATURATED(c) ((c) == MICA__CLASS_I64 || (c) == MICA__CLASS_U64)

void mica__load(mica__class c, mica__chunk *dst, const void *src, mica_dtype dtype, int64_t stride, int64_t n)
{
    const uint8_t *s = src;
    if (F_LOAD_SATURATED(c) && mica__floating(dtype)) {
        mica__chunk wide;
        mica__load(MICA__CLASS_F64, &wide, src, dtype, stride, n);
        mica__store(MICA__CLASS_F64, &wide, dst, c == MICA__CLASS_I64 ? MICA_DTYPE_I64 : MICA_DTYPE_U64, 1, n);
        return;
    }
    switch (c) {
    case MICA__CLASS_F32:
        if (stride == 1 && dtype != MICA_DTYPE_F64 && mica__floating(dtype)) {
            mica__load_f32(dst->f32, src, dtype, n);
            return;
        }
        LOAD_ALL(f32)
        break;
    case MICA__CLASS_F64:
        LOAD_ALL(f64) break;
    case MICA__CLASS_I64:
        LOAD_ALL(i64) break;
    case MICA__CLASS_U64:
        LOAD_ALL(u64) break;
    }
}

static void store_from_f32(const mica__chunk *src, uint8_t *d, mica_dtype dtype, int64_t stride, int64_t n)
{
    switch (dtype) {
        STORE_CASE(F32, float, f32, SAME)
        STORE_CASE(F16, uint16_t, f32, mica__to_f16)
        STORE_CASE(BF16, uint16_t, f32, mica__to_bf16)
        STORE_CASE(F64, double, f32, SAME)
        STORE_INTEGERS(f32, F_TO_)
    case MICA_DTYPE_COUNT:
        break;
    }
}

static void store_from_f64(const mica__chunk *src, uint8_t *d, mica_dtype dtype, int64_t stride, int64_t n)
{
    switch (dtype) {
        STORE_CASE(F32, float, f64, SAME)
        STORE_CASE(F16, uint16_t, f64, F64_TO_F16)
        STORE_CASE(BF16, uint16_t, f64, F64_TO_BF16)
        STORE_CASE(F64, double, f64, SAME)
        STORE_INTEGERS(f64, F_TO_)
    case MICA_DTYPE_COUNT:
        break;
    }
}

static void store_from_i64(const mica__chunk *src, uint8_t *d, mica_dtype dtype, int64_t stride, int64_t n)
{
    switch (dtype) {
        STORE_CASE(F32, float, i64, SAME)
        STORE_CASE(F16, uint16_t, i64, INT_TO_F16)
        STORE_CASE(BF16, uint16_t, i64, INT_TO_BF16)
        STORE_CASE(F64, double, i64, SAME)
        STORE_INTEGERS(i64, I_TO_)
    case MICA_DTYPE_COUNT:
        break;
    }
}

static void store_from_u64(const mica__chunk *src, uint8_t *d, mica_dtype dtype, int64_t stride, int64_t n)
{
    switch (dtype) {
        STORE_CASE(F32, float, u64, SAME)
        STORE_CASE(F16, uint16_t, u64, INT_TO_F16)
        STORE_CASE(BF16, uint16_t, u64, INT_TO_BF16)
        STORE_CASE(F64, double, u64, SAME)
        STORE_INTEGERS(u64, I_TO_)
    case MICA_DTYPE_COUNT:
        break;
    }
}

void mica__store(mica__class c, const mica__chunk *src, void *dst, mica_dtype dtype, int64_t stride, int64_t n)
{
    switch (c) {
    case MICA__CLASS_F32:
        store_from_f32(src, dst, dtype, stride, n);
        break;
    case MICA__CLASS_F64:
        store_from_f64(src, dst, dtype, stride, n);
        break;
    case MICA__CLASS_I64:
        store_from_i64(src, dst, dtype, stride, n);
        break;
    case MICA__CLASS_U64:
        store_from_u64(src, dst, dtype, stride, n);
        break;
    }
}

/* ---- contiguous floats ------------------------------------------------------------------------------------------------- */

void mica__load_f32(float *dst, const void *src, mica_dtype dtype, int64_t n)
{
    const uint8_t *s = src;
    uint16_t h;
    if (dtype == MICA_DTYPE_F32) {
        memcpy(dst, src, (size_t)n * 4);
    } else if (dtype == MICA_DTYPE_BF16) {
        for (int64_t i = 0; i < n; i++) {
            memcpy(&h, s + 2 * i, 2);
            dst[i] = mica__from_bf16(h);
        }
    } else {
        for (int64_t i = 0; i < n; i++) {
            memcpy(&h, s + 2 * i, 2);
            dst[i] = mica__from_f16(h);
        }
    }
}

void mica__store_f32(const float *src, void *dst, mica_dtype dtype, int64_t n)
{
    uint8_t *d = dst;
    if (dtype == MICA_DTYPE_F32) {
        memcpy(dst, src, (size_t)n * 4);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = dtype == MICA_DTYPE_BF16 ? mica__to_bf16(src[i]) : mica__to_f16(src[i]);
        memcpy(d + 2 * i, &h, 2);
    }
}

#if MICA__X86
MICA__AVX2 void mica__load_f32_fast(float *dst, const void *src, mica_dtype dtype, int64_t n)
{
    const uint8_t *s = src;
    int64_t i = 0;
    if (dtype == MICA_DTYPE_BF16) {
        for (; i + 8 <= n; i += 8) {
            __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(s + 2 * i)));
            _mm256_storeu_ps(dst + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
        }
    } else if (dtype == MICA_DTYPE_F16) {
        for (; i + 8 <= n; i += 8)
            _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(s + 2 * i))));
    }
    mica__load_f32(dst + i, s + (int64_t)mica_dtype_size(dtype) * i, dtype, n - i);
}

MICA__AVX2 void mica__store_f32_fast(const float *src, void *dst, mica_dtype dtype, int64_t n)
{
    uint8_t *d = dst;
    int64_t i = 0;
    if (dtype == MICA_DTYPE_BF16) {
        const __m256i bias = _mm256_set1_epi32(0x7fff), one = _mm256_set1_epi32(1), quiet = _mm256_set1_epi32(0x40);
        for (; i + 8 <= n; i += 8) {
            __m256 f = _mm256_loadu_ps(src + i);
            __m256i u = _mm256_castps_si256(f), high = _mm256_srli_epi32(u, 16);
            __m256i up = _mm256_add_epi32(u, _mm256_add_epi32(bias, _mm256_and_si256(high, one)));
            __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q));
            __m256i r = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), _mm256_or_si256(high, quiet), nan);
            __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
            _mm_storeu_si128((__m128i *)(d + 2 * i), packed);
        }
    } else if (dtype == MICA_DTYPE_F16) {
        for (; i + 8 <= n; i += 8)
            _mm_storeu_si128((__m128i *)(d + 2 * i),
                             _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    }
    mica__store_f32(src + i, d + (int64_t)mica_dtype_size(dtype) * i, dtype, n - i);
}
#endif

/* ---- affine codes ------------------------------------------------------------------------------------------------------ */

void mica__unpack(uint8_t *dst, const uint8_t *row, size_t row_bytes, int bits, int64_t begin, int64_t n)
{
    if (bits == 8) {
        memcpy(dst, row + begin, (size_t)n);
        return;
    }
    if (bits == 4 && begin % 2 == 0) {
        for (int64_t i = 0; i + 1 < n; i += 2) {
            uint8_t pair = row[(begin + i) / 2];
            dst[i] = pair & 15;
            dst[i + 1] = pair >> 4;
        }
        if (n % 2) dst[n - 1] = row[(begin + n) / 2] & 15;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        size_t bit = (size_t)(begin + i) * (size_t)bits, byte = bit / 8;
        unsigned window = row[byte];
        if (byte + 1 < row_bytes) window |= (unsigned)row[byte + 1] << 8;
        dst[i] = (uint8_t)(window >> (bit % 8) & ((1u << bits) - 1));
    }
}

/* The modes of floats: an element times its scale is exact. */
static void dequantize_floats(float *dst, const mica__tensor *w, int64_t r, int64_t begin, int64_t n)
{
    enum { RUN = 16 };
    const mica__affine *a = &w->affine;
    const size_t row_bytes = mica__row_bytes(w);
    const uint8_t *row = (const uint8_t *)w->data + (size_t)r * row_bytes;
    const uint8_t *scales = (const uint8_t *)a->scales + r * (w->shape[1] / a->group_size);
    uint8_t codes[RUN];
    for (int64_t i = 0; i < n; i += RUN) {
        int64_t count = n - i < RUN ? n - i : RUN;
        uint8_t byte = scales[(begin + i) / a->group_size];
        float scale = a->mode == MICA_QUANT_NVFP4 ? mica__from_e4m3(byte) : mica__from_e8m0(byte);
        mica__unpack(codes, row, row_bytes, a->bits, begin + i, count);
        for (int64_t j = 0; j < count; j++)
            dst[i + j] = scale * (a->bits == 8 ? mica__from_e4m3(codes[j]) : mica__from_e2m1(codes[j]));
    }
}

void mica__dequantize(float *dst, const mica__tensor *w, int64_t r, int64_t begin, int64_t n)
{
    if (w->affine.mode != MICA_QUANT_AFFINE) {
        dequantize_floats(dst, w, r, begin, n);
        return;
    }
    enum { RUN = 32 };
    const mica__affine *a = &w->affine;
    size_t row_bytes = mica__row_bytes(w);
    const uint8_t *row = (const uint8_t *)w->data + (size_t)r * row_bytes;
    int64_t groups = w->shape[1] / a->group_size;
    uint8_t codes[RUN];
    for (int64_t i = 0; i < n; i += RUN) {
        int64_t count = n - i < RUN ? n - i : RUN, g = r * groups + (begin + i) / a->group_size;
        float scale = mica__load_scale(a->scales, a->scale_dtype, g);
        float bias = mica__affine_bias(a, g, scale);
        mica__unpack(codes, row, row_bytes, a->bits, begin + i, count);
        for (int64_t j = 0; j < count; j++) dst[i + j] = fmaf((float)codes[j], scale, bias);
    }
}
