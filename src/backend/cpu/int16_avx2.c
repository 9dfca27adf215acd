/* backend/cpu/int16_avx2.c: activations rounded to 16-bit integers, group by group, in the order in which split codes meet them. int16_avx2.h
 * says what is computed. */
#include "linear.h"

#if MICA__X86
#include "convert.h"
#include "int16_avx2.h"

/* q of one group of n elements in natural order. Infinities and NaN make d NaN. */
MICA__INLINE void round_group(const float *x, int64_t n, int32_t *q, float *d, float *dsum)
{
    float bad, max = mica__max_abs(x, n, &bad), inverse = max > 0 ? 32767 / max : 0;
    if (inverse > 0x1p126f) inverse = max = 0; /* all but zero */
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < n; i += 8) {
        __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(inverse)));
        sum = _mm256_add_epi32(sum, v);
        _mm256_storeu_si256((__m256i *)(void *)(q + i), v);
    }
    *d = max / 32767 + bad;
    *dsum = *d * (float)mica__hsum_epi32(sum);
}

/* n elements of x in the order of codes that lie in so many parts of vectors of so many lanes. */
MICA__INLINE void lay_out(const int32_t *q, int64_t n, int parts, int lanes, int16_t *to)
{
    for (int64_t first = 0; first < n; first += parts * lanes)
        for (int p = 0; p < parts; p++)
            for (int i = 0; i < lanes; i++) *to++ = (int16_t)q[first + i * parts + p];
}

/* n elements of x as bytes, the low ones and then the high ones of every span, for codes that lie low and high in a byte (parts 4) or in bytes
 * of their own. */
MICA__INLINE void lay_out_bytes(const int32_t *q, int64_t n, int parts, int span, int16_t *to)
{
    uint8_t *low = (uint8_t *)to;
    for (int64_t first = 0; first < n; first += span, low += 2 * span) {
        for (int i = 0; i < span; i++) {
            const int at = parts == 4 ? i % (span / 2) * 2 + i / (span / 2) : i;
            low[i] = (uint8_t)q[first + at];
            low[span + i] = (uint8_t)(q[first + at] >> 8);
        }
    }
}

/* The group at a place of a row in the order of chains. */
static inline int64_t group_at(const mica__int16_row *l, int64_t place)
{
    const int64_t length = l->groups / MICA__CHAINS;
    return place % length * MICA__CHAINS + place / length;
}

MICA__AVX2 void mica__int16_round(const mica__instr *instr, const mica__run *run, int id, int n, int parts, int vector,
                                  bool by_chains)
{
    enum { SHARE = 128 }; /* elements: whole groups, and rows have whole ones */
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const mica__int16_row l = mica__int16_row_of(w);
    const int64_t k = x->shape[1], size = w->affine.group_size, shares = l.codes / SHARE;
    int64_t begin, end;
    mica__share(mica__rows(x, run) * shares, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        const int64_t row = item / shares, first = item % shares * SHARE;
        int32_t q[SHARE];
        uint8_t *base = run->scratch + row * l.bytes;
        int16_t *to = (int16_t *)(void *)base + first;
        float *d = (float *)(void *)(base + 2 * l.codes) + first / size, *dsum = d + l.groups;
        for (int64_t i = 0; i < SHARE; i += size) {
            const int64_t at = (first + i) / size, from = (by_chains ? group_at(&l, at) : at) * size;
            mica__chunk c;
            memset(c.f32, 0, (size_t)size * sizeof(float));
            const uint8_t *data = x->data;
            data += (row * x->strides[0] + from * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
            if (from < k) mica__load(MICA__CLASS_F32, &c, data, x->dtype, x->strides[1], size);
            round_group(c.f32, size, q + i, d + i / size, dsum + i / size);
        }
        if (vector == MICA__BYTES)
            lay_out_bytes(q, SHARE, parts, size < 64 ? 32 : 64, to);
        else if (vector == 64)
            parts == 4 ? lay_out(q, SHARE, 4, 32, to) : lay_out(q, SHARE, 2, 32, to);
        else
            parts == 4 ? lay_out(q, SHARE, 4, 16, to) : lay_out(q, SHARE, 2, 16, to);
    }
}

#endif
