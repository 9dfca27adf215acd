/* backend/cpu/int16_avx2.h: what the kernels for rounded activations share: few rows of x (linear_int16_avx2.c) and many
 * (linear_int16_panel_avx2.c, ..._avx512.c, ..._amx.c).
 *
 * Each group of x has one scale d = max |x| / 32767 and integers q; with w = s c + b in a group,
 *
 *     sum of w x  ~  s d (sum of c q) + b d (sum of q)
 *
 * The sum over a group is an exact integer of 32 bits (255 * 32767 * 128 < 2^31), so it may be taken in any order. What is float is fixed:
 * an output has eight chains, of which chain i takes groups i, i + 8, i + 16, ...
 *
 *     y[i] = fma(sum, s d, y[i]), y[i] = fma(b, d sum q, y[i])
 *
 * and is ((y[0] + y[1]) + y[2]) + ... + y[7] + bias. Both kernels keep to it, so a row of x gives the same bits alone and among others.
 *
 * vpmaddwd takes 16 products an instruction. 32 bytes of codes are split into vectors by shift and mask, and x is laid out to match:
 *
 *     4 bits   lane l of vector n holds element 4 l + n of a span of 64
 *     8 bits   lane l of vector n holds element 2 l + n of a span of 32
 *
 * With 512 bits a span is twice as long, and vpdpwssd adds the products (linear_int16_few_avx512.c). */
#ifndef MICA_BACKEND_CPU_INT16_AVX2_H
#define MICA_BACKEND_CPU_INT16_AVX2_H

#include "linear.h"
#include "simd_avx2.h"

#if MICA__X86

enum {
    MICA__CHAINS = 8,
    MICA__TILE = 4, /* rows of x that meet split codes together */
    MICA__FEW = 8,  /* rows of x; more go to panels */
    MICA__BYTES = 0 /* for mica__int16_round */
};

/* A rounded row in scratch memory: q [codes] int16, d [groups], d times the sum of q [groups]; groups a multiple of 8. They are in
 * order, or, for panels, the groups of chain 0 come first, then those of chain 1, ..., so that a panel finds together what it needs. */
typedef struct mica__int16_row {
    int64_t groups, codes, bytes;
} mica__int16_row;

/* Scales or biases, and where the array ends: a last block that is not whole may read on into the next row. */
typedef struct mica__factors {
    const uint8_t *first, *end; /* first NULL: there are none */
    int64_t groups, row_bytes;
    mica_dtype dtype;
} mica__factors;

typedef struct mica__codes {
    const uint8_t *codes;
    int64_t rows, row_bytes, groups;
    mica__factors scales, biases;
} mica__codes;

/* The first phase of a product: rows of x rounded to the instruction's scratch memory, in shares of 128 elements. `parts`: 4 or 2, the vectors
 * that split codes lie in, of `vector` bytes (32 or 64), or MICA__BYTES, for
 * tiles; by_chains: in the order for panels. */
void mica__int16_round(const mica__instr *instr, const mica__run *run, int id, int n, int parts, int vector,
                       bool by_chains);

/* Up to MICA__FEW rows of x, laid out for vectors of 64 bytes, with columns [begin, end); needs mica__has_avx512_vnni. */
void mica__int16_few_avx512(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                            const uint8_t *x, int64_t rows, float *out, int64_t begin, int64_t end);

/* Rows of x, any number, with columns [begin, end); `out` is that of column 0. They work in so many bytes of `memory`. */
void mica__int16_panel_avx2(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                            const uint8_t *x, int64_t rows, float *out, void *memory, int64_t begin, int64_t end);
size_t mica__int16_panel_avx2_bytes(void);
void mica__int16_panel_avx512(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row,
                              const uint8_t *x, int64_t rows, float *out, void *memory, int64_t begin, int64_t end);
size_t mica__int16_panel_avx512_bytes(void); /* needs mica__has_avx512_vnni, as does the one above */
void mica__int16_panel_amx(const mica__instr *instr, const mica__codes *w, const mica__int16_row *row, const uint8_t *x,
                           int64_t rows, float *out, void *memory, int64_t begin, int64_t end);
size_t mica__int16_panel_amx_bytes(void); /* needs mica__has_amx */

static inline mica__factors mica__factors_of(const void *data, const mica__tensor *w)
{
    const int64_t groups = w->shape[1] / w->affine.group_size,
                  row_bytes = groups * (int64_t)mica_dtype_size(w->affine.scale_dtype);
    return (mica__factors){data, data ? (const uint8_t *)data + w->shape[0] * row_bytes : NULL, groups, row_bytes,
                           w->affine.scale_dtype};
}

static inline mica__codes mica__codes_of(const mica__tensor *w)
{
    return (mica__codes){w->data,
                         w->shape[0],
                         w->shape[1] * w->affine.bits / 8,
                         w->shape[1] / w->affine.group_size,
                         mica__factors_of(w->affine.scales, w),
                         mica__factors_of(w->affine.biases, w)};
}

/* The scale, or the bias, of a group of a row. */
MICA__INLINE float mica__factor_at(const mica__factors *f, int64_t row, int64_t group)
{
    const uint8_t *p = f->first + row * f->row_bytes + group * (f->dtype == MICA_DTYPE_F32 ? 4 : 2);
    float whole;
    uint16_t half;
    memcpy(&half, p, sizeof half);
    if (f->dtype == MICA_DTYPE_F16) return _cvtsh_ss(half);
    if (f->dtype == MICA_DTYPE_BF16)
        return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)((unsigned)half << 16))));
    memcpy(&whole, p, sizeof whole);
    return whole;
}

static inline mica__int16_row mica__int16_row_of(const mica__tensor *w)
{
    int64_t groups = (w->shape[1] / w->affine.group_size + MICA__CHAINS - 1) / MICA__CHAINS * MICA__CHAINS;
    int64_t codes = groups * w->affine.group_size;
    return (mica__int16_row){groups, codes, (int64_t)mica__round64((size_t)(2 * codes + 8 * groups))};
}

/* d of a rounded row; d times the sum of q follows `groups` later. */
static inline const float *mica__int16_d(const mica__int16_row *row, const uint8_t *x)
{
    return (const float *)(const void *)(x + 2 * row->codes);
}

/* All bits of the first n of eight lanes. */
MICA__INLINE __m256i mica__first_lanes(int64_t n)
{
    static const int32_t masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(masks + 8 - n));
}

/* Part n of the codes in 32 bytes, as 16-bit integers. */
MICA__INLINE __m256i mica__part_of(int bits, __m256i v, int n)
{
    const __m256i mask = _mm256_set1_epi16(bits == 4 ? 15 : 255);
    if (n) v = _mm256_srli_epi16(v, bits == 4 ? 4 * n : 8);
    return n == (bits == 4 ? 3 : 1) ? v : _mm256_and_si256(v, mask);
}

MICA__INLINE __m256i mica__load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* Rows to columns. */
MICA__INLINE void mica__transpose8(__m256 v[8])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
            b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
        }
    }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* One step of chains: the one place where integers become floats. */
MICA__INLINE __m256 mica__add_groups(__m256 y, __m256i sum, __m256 scale, __m256 bias, __m256 d, __m256 dsum)
{
    y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, d), y);
    return _mm256_fmadd_ps(bias, dsum, y);
}

/* The first n lanes, of at most eight. */
MICA__INLINE void mica__store_lanes(float *out, __m256 y, int64_t n)
{
    if (n >= 8) {
        _mm256_storeu_ps(out, y);
    } else if (n > 0) {
        _mm256_maskstore_ps(out, mica__first_lanes(n), y);
    }
}

#endif
#endif
