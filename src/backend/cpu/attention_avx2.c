/* backend/cpu/attention_avx2.c: the inner loops of attention for head dimensions that are multiples of 8.
 *
 * Scores: eight keys at a time become floats in the row buffer and are used for all rows of the tile; a score is one chain of
 * eight-lane multiply-adds over the dimension, and eight chains are summed by transposing. Values: an output element is one chain over
 * positions, in registers for up to four rows at once, converting on the way. */
#include "attention.h"

#include "kernels.h"

#if MICA__X86
#include "simd_avx2.h"

enum { KEYS = MICA__ROW_BUFFER };

/* ---- scores --------------------------------------------------------------------------------------------------------------- */

/* Lane i of the result is the sum of v[i], in the order of mica__hsum. */
MICA__INLINE __m256 sum_each(const __m256 *v)
{
    __m256 pair[4], four[2];
    for (int i = 0; i < 4; i++) { /* v[2 i], v[2 i + 1]: lanes l and l + 4 */
        __m256 a = v[2 * i], b = v[2 * i + 1];
        pair[i] = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    }
    for (int i = 0; i < 2; i++) { /* lanes 0 and 2, 1 and 3 of each quarter */
        __m256d a = _mm256_castps_pd(pair[2 * i]), b = _mm256_castps_pd(pair[2 * i + 1]);
        four[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    __m256 sum = _mm256_add_ps(_mm256_shuffle_ps(four[0], four[1], 0x88), _mm256_shuffle_ps(four[0], four[1], 0xdd));
    return _mm256_permutevar8x32_ps(
        sum, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); /* quarters hold rows 0 2 4 6 | 1 3 5 7 */
}

MICA__INLINE void scores_of(mica_dtype dtype, float *scores, const float *q, int64_t rows, const mica__kv *keys,
                            int64_t first, int64_t n, float *buffer)
{
    const int64_t dim = keys->dim, size = dtype == MICA_DTYPE_F32 ? 4 : 2;
    for (int64_t j = 0; j < n; j += KEYS) {
        int64_t count = mica__min(n - j, KEYS);
        for (int64_t i = 0; i < count; i++) {
            const uint8_t *key = keys->base + (first + j + i) * keys->row_bytes;
            for (int64_t e = 0; e < dim; e += 8)
                _mm256_storeu_ps(buffer + i * dim + e, mica__load8(key + e * size, dtype));
        }
        if (count < KEYS) memset(buffer + count * dim, 0, (size_t)((KEYS - count) * dim) * sizeof(float));
        for (int64_t r = 0; r < rows; r++) {
            __m256 sum[KEYS];
            for (int i = 0; i < KEYS; i++) sum[i] = _mm256_setzero_ps();
            for (int64_t e = 0; e < dim; e += 8) {
                __m256 x = _mm256_loadu_ps(q + r * dim + e);
                for (int i = 0; i < KEYS; i++)
                    sum[i] = _mm256_fmadd_ps(x, _mm256_loadu_ps(buffer + i * dim + e), sum[i]);
            }
            __m256 s = sum_each(sum);
            if (count == KEYS) {
                _mm256_storeu_ps(scores + r * MICA__BLOCK + j, s);
            } else {
                mica__store_some(scores + r * MICA__BLOCK + j, s, count);
            }
        }
    }
}

MICA__AVX2 static void scores(float *s, const float *q, int64_t rows, const mica__kv *keys, int64_t first, int64_t n,
                              float *buffer)
{
    switch (keys->dtype) {
    case MICA_DTYPE_F32:
        scores_of(MICA_DTYPE_F32, s, q, rows, keys, first, n, buffer);
        break;
    case MICA_DTYPE_F16:
        scores_of(MICA_DTYPE_F16, s, q, rows, keys, first, n, buffer);
        break;
    default:
        scores_of(MICA_DTYPE_BF16, s, q, rows, keys, first, n, buffer);
        break;
    }
}

/* ---- weights -------------------------------------------------------------------------------------------------------------- */

MICA__INLINE __m256 scaled(__m256 s, float scale, float softcap)
{
    s = _mm256_mul_ps(s, _mm256_set1_ps(scale));
    if (softcap <= 0) return s;
    __m256 cap = _mm256_set1_ps(softcap);
    return _mm256_mul_ps(cap, mica__tanh8(_mm256_div_ps(s, cap)));
}

MICA__AVX2 static float weights(float *s, int64_t n, float scale, float softcap, float *max)
{
    const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
    __m256 top = lowest, sum = _mm256_setzero_ps();
    int64_t whole = n / 8 * 8;
    for (int64_t j = 0; j < whole; j += 8) {
        __m256 v = scaled(_mm256_loadu_ps(s + j), scale, softcap);
        _mm256_storeu_ps(s + j, v);
        top = _mm256_max_ps(top, v);
    }
    float rest[8];
    if (whole < n) {
        _mm256_storeu_ps(rest, scaled(mica__load_some(s + whole, MICA_DTYPE_F32, n - whole), scale, softcap));
        for (int64_t j = n - whole; j < 8; j++) rest[j] = -__builtin_inff();
        top = _mm256_max_ps(top, _mm256_loadu_ps(rest));
    }
    *max = mica__hmax(top);
    __m256 shift = _mm256_set1_ps(*max);
    for (int64_t j = 0; j < whole; j += 8) {
        __m256 e = mica__exp8(_mm256_sub_ps(_mm256_loadu_ps(s + j), shift));
        _mm256_storeu_ps(s + j, e);
        sum = _mm256_add_ps(sum, e);
    }
    if (whole < n) {
        __m256 e = mica__exp8(_mm256_sub_ps(_mm256_loadu_ps(rest), shift));
        mica__store_some(s + whole, e, n - whole);
        sum = _mm256_add_ps(sum, e);
    }
    return mica__hsum(sum);
}

/* ---- values --------------------------------------------------------------------------------------------------------------- */

/* R rows, elements [e, e + 8 V) */
MICA__INLINE void add_values(mica_dtype dtype, int R, int V, float *o, int64_t dim, const float *w,
                             const uint8_t *value, int64_t row_bytes, int64_t n)
{
    const int size = dtype == MICA_DTYPE_F32 ? 4 : 2;
    __m256 sum[4][8];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) sum[r][v] = _mm256_loadu_ps(o + r * dim + 8 * v);
    for (int64_t j = 0; j < n; j++, value += row_bytes) {
        __m256 x[8];
        for (int v = 0; v < V; v++) x[v] = mica__load8(value + 8 * v * size, dtype);
        for (int r = 0; r < R; r++) {
            __m256 p = _mm256_broadcast_ss(w + r * MICA__BLOCK + j);
            for (int v = 0; v < V; v++) sum[r][v] = _mm256_fmadd_ps(p, x[v], sum[r][v]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) _mm256_storeu_ps(o + r * dim + 8 * v, sum[r][v]);
}

#define ADD_VALUES(R, V)                                                                                               \
    for (; e + 8 * (V) <= dim; e += 8 * (V))                                                                           \
        add_values(dtype, R, V, o + r * dim + e, dim, w + r * MICA__BLOCK, value + e * size, values->row_bytes, n);

MICA__INLINE void accumulate_of(mica_dtype dtype, float *o, const float *w, int64_t rows, const mica__kv *values,
                                int64_t first, int64_t n)
{
    const int64_t dim = values->dim, size = dtype == MICA_DTYPE_F32 ? 4 : 2;
    const uint8_t *value = values->base + first * values->row_bytes;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        int64_t e = 0;
        ADD_VALUES(4, 2)
        ADD_VALUES(4, 1)
    }
    for (; r + 2 <= rows; r += 2) {
        int64_t e = 0;
        ADD_VALUES(2, 4)
        ADD_VALUES(2, 1)
    }
    for (; r < rows; r++) {
        int64_t e = 0;
        ADD_VALUES(1, 8)
        ADD_VALUES(1, 1)
    }
}

MICA__AVX2 static void accumulate(float *o, const float *w, int64_t rows, const mica__kv *values, int64_t first,
                                  int64_t n, float *buffer)
{
    (void)buffer;
    switch (values->dtype) {
    case MICA_DTYPE_F32:
        accumulate_of(MICA_DTYPE_F32, o, w, rows, values, first, n);
        break;
    case MICA_DTYPE_F16:
        accumulate_of(MICA_DTYPE_F16, o, w, rows, values, first, n);
        break;
    default:
        accumulate_of(MICA_DTYPE_BF16, o, w, rows, values, first, n);
        break;
    }
}

static const mica__attention_kit kit = {scores, weights, accumulate};

const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim)
{
    return mica__has_avx2() && head_dim % 8 == 0 && value_dim % 8 == 0 ? &kit : NULL;
}

#else
const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim)
{
    (void)head_dim;
    (void)value_dim;
    return NULL;
}
#endif
