/* backend/cpu/attention_avx2.c: the inner loops of attention for head dimensions that are multiples of 8.
 *
 * Scores: eight keys side by side, a lane each (array/cache_layout.h), for up to six query rows at once, so that a key element is
 * converted once for all of them and nothing is summed across lanes. A score is one chain of multiply-adds over the dimension. Quantized
 * keys meet queries rounded to 16 bits: sums of products are exact integers within a group, and
 *
 *     q . key = sum over groups of  scale * (q's scale) * (integer sum) + bias * (sum of q)
 *
 * Values: an output element is one chain over positions, in registers for several rows and elements at once. Quantized values: the chain
 * is over weight * scale * code; weight * bias is summed apart and added last. */
#include "attention.h"

#include "kernels.h"

#if MICA__X86
#include "simd_avx2.h"

enum {
    LANES = MICA__CACHE_LANES,
    RUN = 2,       /* eights of each block whose values stay in the first-level cache */
    RUN_CODES = 4, /* the same of codes */
    /* Bytes ahead in each stretch of keys. */
    AHEAD = 1024,
};

MICA__INLINE void fetch_ahead(const uint8_t *p, int64_t ahead)
{
    _mm_prefetch((const char *)((uintptr_t)p + (uintptr_t)ahead), _MM_HINT_T0);
}

/* ---- scores --------------------------------------------------------------------------------------------------------------- */

/* R rows, B stretches of keys side by side; s, q: of the first row. */
MICA__INLINE void score_floats(mica_dtype dtype, int R, int B, float *s, int64_t stride, const float *q,
                               const mica__kv *keys)
{
    const int64_t dim = keys->layout.dim, step = LANES * (dtype == MICA_DTYPE_F32 ? 4 : 2);
    const int64_t length = (keys->n - keys->first + B - 1) / B;
    const uint8_t *const *eights = keys->eights + keys->first;
    s += keys->first * LANES;
    for (int64_t b = 0; b < length; b++) {
        __m256 sum[6][8];
        const uint8_t *at[8];
        for (int r = 0; r < R; r++)
            for (int i = 0; i < B; i++) sum[r][i] = _mm256_setzero_ps();
        for (int i = 0; i < B; i++) at[i] = eights[b + i * length];
        for (int64_t first = 0; first < dim; first += 4) { /* 64 bytes of half floats */
            for (int i = 0; i < B; i++) {
                fetch_ahead(at[i] + first * step, AHEAD);
                if (dtype == MICA_DTYPE_F32) fetch_ahead(at[i] + first * step + 64, AHEAD);
            }
            for (int64_t e = first; e < first + 4; e++) {
                __m256 k[8];
                for (int i = 0; i < B; i++) k[i] = mica__load8(at[i] + e * step, dtype);
                for (int r = 0; r < R; r++) {
                    __m256 x = _mm256_broadcast_ss(q + r * dim + e);
                    for (int i = 0; i < B; i++) {
                        sum[r][i] = _mm256_fmadd_ps(x, k[i], sum[r][i]);
                        MICA__KEEP(sum[r][i]);
                    }
                }
            }
        }
        for (int r = 0; r < R; r++)
            for (int i = 0; i < B; i++) _mm256_storeu_ps(s + r * stride + (b + i * length) * LANES, sum[r][i]);
    }
}

MICA__INLINE __m256 half8(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

/* Two elements of q in each lane. */
MICA__INLINE __m256i pair_at(const int16_t *q)
{
    int32_t both;
    memcpy(&both, q, sizeof both);
    return _mm256_set1_epi32(both);
}

/* Adds the products of elements [first, end) of R rows and B blocks. */
MICA__INLINE void add_pairs(int bits, int R, int B, __m256i sum[6][4], const int16_t *q, int64_t q_step,
                            const uint8_t *const *block, int64_t codes, int64_t first, int64_t end)
{
    const __m256i low = _mm256_set1_epi16(15);
    const int64_t unit = bits == 8 ? 2 : 4;
    for (int64_t e = first; e < end; e += unit) {
        __m256i k[4];
        if (e % 8 == 0)
            for (int i = 0; i < B; i++) fetch_ahead(block[i] + codes + e * (2 * LANES / unit), AHEAD);
        for (int i = 0; i < B; i++)
            k[i] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(block[i] + codes + e * (2 * LANES / unit))));
        for (int r = 0; r < R; r++) {
            __m256i x = pair_at(q + r * q_step + e);
            for (int i = 0; i < B; i++)
                sum[r][i] =
                    _mm256_add_epi32(sum[r][i], _mm256_madd_epi16(x, bits == 8 ? k[i] : _mm256_and_si256(k[i], low)));
        }
        if (bits == 8) continue;
        for (int i = 0; i < B; i++) k[i] = _mm256_srli_epi16(k[i], 4);
        for (int r = 0; r < R; r++) {
            __m256i x = pair_at(q + r * q_step + e + 2);
            for (int i = 0; i < B; i++) sum[r][i] = _mm256_add_epi32(sum[r][i], _mm256_madd_epi16(x, k[i]));
        }
    }
}

MICA__INLINE void score_codes(int bits, int R, int B, float *s, int64_t stride, const mica__queries *q, int64_t row,
                              const mica__kv *keys)
{
    const mica__cache_layout *l = &keys->layout;
    const int64_t groups = l->n_groups, length = (keys->n - keys->first + B - 1) / B;
    s += keys->first * LANES;
    for (int64_t b = 0; b < length; b++) {
        const uint8_t *at[4];
        for (int i = 0; i < B; i++) at[i] = keys->eights[keys->first + b + i * length];
        for (int64_t g = 0; g < groups; g++) {
            __m256i sum[6][4];
            for (int r = 0; r < R; r++)
                for (int i = 0; i < B; i++) sum[r][i] = _mm256_setzero_si256();
            add_pairs(bits, R, B, sum, q->rounded + row * q->rounded_dim, q->rounded_dim, at, l->codes,
                      g * l->group_size, mica__min((g + 1) * l->group_size, l->dim));
            for (int i = 0; i < B; i++) {
                const __m256 scale = half8(at[i] + g * LANES * 2), bias = half8(at[i] + (groups + g) * LANES * 2);
                for (int r = 0; r < R; r++) {
                    const int64_t n = (row + r) * groups + g;
                    float *to = s + r * stride + (b + i * length) * LANES;
                    __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][i]), _mm256_broadcast_ss(q->scales + n));
                    __m256 total = g ? _mm256_loadu_ps(to) : _mm256_setzero_ps();
                    total = _mm256_fmadd_ps(bias, _mm256_broadcast_ss(q->sums + n), total);
                    _mm256_storeu_ps(to, _mm256_fmadd_ps(scale, x, total));
                }
            }
        }
    }
}

/* How many of the rows left are taken at once: six if it comes out even, else four. */
static int64_t rows_at_once(int64_t left) { return left <= 6 ? left : left < 9 ? 4 : 6; }

#define WITH_ROWS(CALL)                                                                                                \
    switch (rows_at_once(left)) {                                                                                      \
    case 6:                                                                                                            \
        CALL(6, 2);                                                                                                    \
        break;                                                                                                         \
    case 5:                                                                                                            \
        CALL(5, 2);                                                                                                    \
        break;                                                                                                         \
    case 4:                                                                                                            \
        CALL(4, 3);                                                                                                    \
        break;                                                                                                         \
    case 3:                                                                                                            \
        CALL(3, 4);                                                                                                    \
        break;                                                                                                         \
    case 2:                                                                                                            \
        CALL(2, 4);                                                                                                    \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(1, 4);                                                                                                    \
        break;                                                                                                         \
    }
/* Sums of two stretches of four rows, two eights of keys and what is made of them are more than there are registers. */
#define CODES_8(R, B) score_codes(8, R, (R) > 3 ? 1 : (R) == 3 ? 2 : B, s, stride, q, r, keys)
#define CODES_4(R, B) score_codes(4, R, (R) > 3 ? 1 : (R) == 3 ? 2 : B, s, stride, q, r, keys)

/* ---- weights -------------------------------------------------------------------------------------------------------------- */

/* 2^x for x <= 0, below -126 that of -126. The polynomial is the best of its degree for relative errors: 8e-8 with rounding. */
MICA__INLINE __m256 power(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-126), x); /* NaN stays NaN */
    const __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm256_sub_ps(x, n);
    __m256 p = _mm256_set1_ps(0x1.41d334p-13f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5f456ap-10f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.3b2dbcp-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.c6aed4p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.ebfbdap-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.62e43p-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1p+0f));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}

/* s = cap(s * scale) */
MICA__AVX2 static void cap_scores(float *s, int64_t n, float scale, float softcap)
{
    const __m256 cap = _mm256_set1_ps(softcap), factor = _mm256_set1_ps(scale);
    for (int64_t j = 0; j < n; j += 8) {
        __m256 v = _mm256_mul_ps(mica__load_some(s + j, MICA_DTYPE_F32, mica__min(n - j, 8)), factor);
        if (softcap > 0) v = _mm256_mul_ps(cap, mica__tanh8(_mm256_div_ps(v, cap)));
        mica__store_some(s + j, v, mica__min(n - j, 8));
    }
}

/* The scale is applied to the differences to the maximum, together with the way from e to 2. */
MICA__AVX2 static float weights(float *s, int64_t n, float scale, float softcap, float *max)
{
    const __m256 lowest = _mm256_set1_ps(-__builtin_inff());
    if (softcap > 0 || scale < 0) {
        cap_scores(s, n, scale, softcap);
        scale = 1;
    }
    __m256 top = lowest, sum = _mm256_setzero_ps();
    const int64_t whole = n / 8 * 8;
    for (int64_t j = 0; j < whole; j += 8) top = _mm256_max_ps(top, _mm256_loadu_ps(s + j));
    float rest[8];
    if (whole < n) {
        _mm256_storeu_ps(rest, mica__load_some(s + whole, MICA_DTYPE_F32, n - whole));
        for (int64_t j = n - whole; j < 8; j++) rest[j] = -__builtin_inff();
        top = _mm256_max_ps(top, _mm256_loadu_ps(rest));
    }
    const float raw = mica__hmax(top);
    const __m256 shift = _mm256_set1_ps(raw), factor = _mm256_set1_ps(scale * 0x1.715476p+0f);
    *max = raw * scale;
    for (int64_t j = 0; j < whole; j += 8) {
        const __m256 e = power(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(s + j), shift), factor));
        _mm256_storeu_ps(s + j, e);
        sum = _mm256_add_ps(sum, e);
    }
    if (whole < n) {
        const __m256 e = power(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(rest), shift), factor));
        mica__store_some(s + whole, e, n - whole);
        sum = _mm256_add_ps(sum, e);
    }
    return mica__hsum(sum);
}

/* ---- values --------------------------------------------------------------------------------------------------------------- */

typedef enum kind { F32, F16, BF16, CODES8, CODES4 } kind;

/* Eight elements of a row of values; of 4-bit codes the even or the odd eight of sixteen. */
MICA__INLINE __m256 value8(kind k, const uint8_t *row, int v)
{
    if (k == CODES8) return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(row + v * 8))));
    if (k == CODES4) {
        __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(row + v / 2 * 8)));
        return _mm256_cvtepi32_ps(v % 2 ? _mm256_srli_epi32(both, 4) : _mm256_and_si256(both, _mm256_set1_epi32(15)));
    }
    const mica_dtype dtype = k == F32 ? MICA_DTYPE_F32 : k == F16 ? MICA_DTYPE_F16 : MICA_DTYPE_BF16;
    return mica__load8(row + v * (k == F32 ? 32 : 16), dtype);
}

/* What a loop over the positions of a run needs. */
typedef struct stretch {
    const uint8_t *const *eights;
    int64_t first, end;        /* positions, counted from the first block's */
    int64_t offset, row_bytes; /* of the elements, in an eight */
    const float *weights;      /* [row * stride + position - skipped] */
    int64_t stride, skipped;
    const uint8_t *ahead; /* what is fetched next, a line or two for each position */
} stretch;

/* o of R rows and 8 V elements, `dim` apart. */
MICA__INLINE void add_values(kind k, int R, int V, float *o, int64_t dim, stretch *s)
{
    const uint8_t *ahead = s->ahead;
    __m256 sum[6][8];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) sum[r][v] = _mm256_loadu_ps(o + r * dim + 8 * v);
    for (int64_t j = s->first; j < s->end;) {
        const int64_t end = mica__min(s->end, (j / LANES + 1) * LANES);
        const uint8_t *row = s->eights[j / LANES] + s->offset + j % LANES * s->row_bytes;
        for (; j < end; j++, row += s->row_bytes) {
            for (int i = 0; i < (k == F32 ? 2 : 1); i++, ahead += 64) fetch_ahead(ahead, 0);
            __m256 x[8];
            for (int v = 0; v < V; v++) x[v] = value8(k, row, v);
            for (int r = 0; r < R; r++) {
                __m256 p = _mm256_broadcast_ss(s->weights + r * s->stride + j - s->skipped);
                for (int v = 0; v < V; v++) {
                    sum[r][v] = _mm256_fmadd_ps(p, x[v], sum[r][v]);
                    MICA__KEEP(sum[r][v]);
                }
            }
        }
    }
    s->ahead = ahead;
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) _mm256_storeu_ps(o + r * dim + 8 * v, sum[r][v]);
}

/* Elements [first, end) of R rows, 8 V at a time. */
MICA__INLINE void add_columns(kind k, int R, int V, float *o, int64_t dim, int64_t first, int64_t end, stretch *s)
{
    const int64_t codes = s->offset;
    int64_t e = first;
#define COLUMNS(N)                                                                                                     \
    {                                                                                                                  \
        s->offset = codes + (k == CODES4 ? e / 2 : k == CODES8 ? e : k == F32 ? e * 4 : e * 2);                        \
        add_values(k, R, N, o + e, dim, s);                                                                            \
        e += 8 * (N);                                                                                                  \
    }
    while (end - e >= 8 * V && (V != 3 || end - e != 32)) COLUMNS(V)
    while (V > 2 && end - e >= 16) COLUMNS(2)
    while (end - e >= 8) COLUMNS(1)
#undef COLUMNS
    s->offset = codes;
}

/* weights * scale of a group into `scaled`, and weights * bias, lane by lane, onto `biased` [R, 8]. */
MICA__INLINE void scale_weights(int R, float *scaled, float *biased, const stretch *s, int64_t group, int64_t groups)
{
    for (int64_t b = s->first / LANES; b * LANES < s->end; b++) {
        const __m256 scale = half8(s->eights[b] + group * LANES * 2),
                     bias = half8(s->eights[b] + (groups + group) * LANES * 2);
        const int64_t from = mica__max(s->first, b * LANES) - b * LANES, to = mica__min(s->end - b * LANES, LANES);
        /* Lanes outside hold anything, as weights and as scales. */
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256 used =
            _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)from), lane),
                                                    _mm256_cmpgt_epi32(_mm256_set1_epi32((int)to), lane)));
        for (int r = 0; r < R; r++) {
            const __m256 w = _mm256_and_ps(used, _mm256_loadu_ps(s->weights + r * s->stride + b * LANES));
            _mm256_storeu_ps(scaled + r * RUN_CODES * LANES + b % RUN_CODES * LANES, _mm256_mul_ps(w, scale));
            float *sum = biased + r * LANES;
            _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum), _mm256_and_ps(used, _mm256_mul_ps(w, bias))));
        }
    }
}

enum { MAX_GROUPS = 32 };

/* Positions [first, end) of a run, R rows. biased [groups, R, LANES] */
MICA__INLINE void add_run(kind k, int R, int V, float *o, const float *w, int64_t stride, const mica__kv *values,
                          int64_t first, int64_t end, float *biased)
{
    const mica__cache_layout *l = &values->layout;
    const int64_t groups = l->n_groups;
    stretch s = {values->eights, first, end, l->codes, l->row_bytes, w, stride, 0, NULL};
    s.ahead = values->eights[first / LANES] + (k == CODES8 || k == CODES4 ? RUN_CODES : RUN) * l->block_bytes;
    if (k != CODES8 && k != CODES4) {
        add_columns(k, R, V, o, l->dim, 0, l->dim, &s);
        return;
    }
    float scaled[6 * RUN_CODES * LANES];
    const int64_t base = first / (RUN_CODES * LANES) * (RUN_CODES * LANES);
    for (int64_t g = 0; g < groups; g++) {
        s.weights = w;
        s.stride = stride;
        s.skipped = 0;
        scale_weights(R, scaled, biased + g * R * LANES, &s, g, groups);
        s.weights = scaled;
        s.stride = RUN_CODES * LANES;
        s.skipped = base;
        add_columns(k, R, V, o, l->dim, g * l->group_size, mica__min((g + 1) * l->group_size, l->dim), &s);
    }
}

/* Weights times biases of groups, summed, onto all elements of a group. */
MICA__INLINE void add_biases(int R, float *o, const float *biased, const mica__cache_layout *l)
{
    for (int64_t g = 0; g < l->n_groups; g++) {
        for (int r = 0; r < R; r++) {
            const __m256 bias = _mm256_set1_ps(mica__hsum(_mm256_loadu_ps(biased + (g * R + r) * LANES)));
            float *to = o + r * l->dim;
            for (int64_t e = g * l->group_size; e < mica__min((g + 1) * l->group_size, l->dim); e += 8)
                _mm256_storeu_ps(to + e, _mm256_add_ps(_mm256_loadu_ps(to + e), bias));
        }
    }
}

/* R rows; o + b * step: of block b. The blocks take turns, a run of each. */
MICA__INLINE void accumulate_rows(kind k, int R, int V, float *o, int64_t step, const float *w, int64_t stride,
                                  const mica__kv *values, int64_t first, int64_t end)
{
    const mica__cache_layout *l = &values->layout;
    const int64_t low = first / MICA__BLOCK, high = (end + MICA__BLOCK - 1) / MICA__BLOCK;
    const bool codes = k == CODES8 || k == CODES4;
    const int64_t length = (codes ? RUN_CODES : RUN) * LANES;
    float biased[MICA__WIDTH][MAX_GROUPS * 6 * LANES];
    for (int64_t b = low; b < high; b++) {
        memset(o + b * step, 0, (size_t)(R * l->dim) * sizeof *o);
        if (codes) memset(biased[b], 0, (size_t)(l->n_groups * R * LANES) * sizeof **biased);
    }
    for (int64_t run = 0; run < MICA__BLOCK; run += length) {
        for (int64_t b = low; b < high; b++) {
            const int64_t from = mica__max(first, b * MICA__BLOCK + run),
                          to = mica__min(end, b * MICA__BLOCK + run + length);
            if (from < to) add_run(k, R, V, o + b * step, w, stride, values, from, to, biased[b]);
        }
    }
    for (int64_t b = low; b < high && codes; b++) add_biases(R, o + b * step, biased[b], l);
}

/* How many vectors of a row are summed at once. Four-bit codes come in pairs of them. */
#define AT_ONCE(R) ((R) > 4 ? 2 : (R) == 4 ? 3 : 4)
#define VALUES_F32(R, B) accumulate_rows(F32, R, AT_ONCE(R), o, step, w, stride, values, first, end)
#define VALUES_F16(R, B) accumulate_rows(F16, R, AT_ONCE(R), o, step, w, stride, values, first, end)
#define VALUES_BF16(R, B) accumulate_rows(BF16, R, AT_ONCE(R), o, step, w, stride, values, first, end)
#define VALUES_8(R, B) accumulate_rows(CODES8, R, AT_ONCE(R), o, step, w, stride, values, first, end)
#define VALUES_4(R, B) accumulate_rows(CODES4, R, (R) > 3 ? 2 : 4, o, step, w, stride, values, first, end)

#define TARGET MICA__AVX2
#include "attention_kinds.h"

MICA__AVX2 static void mix(float *a, float x, const float *b, float y, int64_t n)
{
    const __m256 x8 = _mm256_set1_ps(x), y8 = _mm256_set1_ps(y);
    for (int64_t e = 0; e < n; e += 8) {
        const __m256 left = _mm256_mul_ps(_mm256_loadu_ps(a + e), x8);
        _mm256_storeu_ps(a + e, _mm256_add_ps(left, _mm256_mul_ps(_mm256_loadu_ps(b + e), y8)));
    }
}

static const mica__attention_kit kit = {true, scores, weights, accumulate, mix};

const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim)
{
    return mica__has_avx2() && head_dim % 8 == 0 && value_dim % 8 == 0 ? &kit : NULL;
}

#elif !MICA__ARM64
const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim)
{
    (void)head_dim;
    (void)value_dim;
    return NULL;
}
#endif
