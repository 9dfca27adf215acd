/* backend/cpu/linear_avx2.c: x [M, K] times the transpose of w [N, K] with affine weights, in float arithmetic.
 *
 * Every output is one chain of eight-lane fused multiply-adds over k, ascending, and one fixed sum of the lanes, in every path
 * below, so a row of x gives the same bits alone and among others:
 *
 *     M <= 4   (never for 2, 3, 5 or 6 bits) w is expanded on the way from memory into the chains of a few of its rows at once
 *     else     a panel of PANEL rows by DEPTH elements of w is expanded once and used for BLOCK rows of x in tiles of 4 x 3
 *              chains; between two depths a chain's lanes wait in scratch memory
 *
 * Four-bit codes are expanded 64 at a time without shifting each nibble into place: nibble j of the 32-bit word i, left where it is,
 * is code(8 i + j) * 16^j as an integer, and the scale divided by 16^j makes up for it, exactly. Element 8 i + j of a block
 * so lands in lane i of vector j, and phase 0 puts x into the same order. */
#include "linear.h"

#include "convert.h"

#if MICA__X86
#include "simd_avx2.h"

enum { PANEL = 12, DEPTH = 512, BLOCK = 64, TILE_M = 4, TILE_N = 3, SPAN = 64 };

/* How rows of w are stored; the branches on it are resolved when the loops are instantiated. */
typedef enum form { AFFINE2, AFFINE3, AFFINE4, AFFINE5, AFFINE6, AFFINE8, N_FORMS } form;

MICA__INLINE int bits_of(form f)
{
    return f == AFFINE2 ? 2 : f == AFFINE3 ? 3 : f == AFFINE4 ? 4 : f == AFFINE5 ? 5 : f == AFFINE6 ? 6 : 8;
}

/* A row of w: its codes, first scale and first bias. */
typedef struct source {
    const uint8_t *data, *scales, *biases;
    mica_dtype scale_dtype;
    int group_shift; /* log2 of the group size */
} source;

MICA__INLINE source source_of(const mica__tensor *w, int64_t row)
{
    const mica__affine *a = &w->affine;
    const int shift = __builtin_ctz((unsigned)a->group_size);
    int64_t first = row * (w->shape[1] >> shift) * (a->scale_dtype == MICA_DTYPE_F32 ? 4 : 2);
    return (source){(const uint8_t *)w->data + (size_t)row * mica__row_bytes(w), (const uint8_t *)a->scales + first,
                    a->biases ? (const uint8_t *)a->biases + first : NULL, a->scale_dtype, shift};
}

/* ---- expanding affine codes -------------------------------------------------------------------------------------------- */

/* Scale and bias of the two halves of a span of 64 elements; each half lies in one group. For four bits both halves are in one
 * vector, and scale[j] is that of nibble j left in its place. */
typedef struct factors {
    __m256 scale[4], bias[2];
} factors;

MICA__INLINE __m256 spread_scale(const uint8_t *p, mica_dtype dtype)
{
    if (dtype == MICA_DTYPE_F32) {
        float f;
        memcpy(&f, p, 4);
        return _mm256_set1_ps(f);
    }
    uint16_t h;
    memcpy(&h, p, 2);
    if (dtype == MICA_DTYPE_F16) return _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
    return _mm256_castsi256_ps(_mm256_set1_epi32((int)((uint32_t)h << 16)));
}

MICA__INLINE factors factors_at(form f, const source *s, int64_t k, bool two)
{
    factors r;
    const int64_t size = s->scale_dtype == MICA_DTYPE_F32 ? 4 : 2, first = (k >> s->group_shift) * size;
    r.scale[0] = r.scale[1] = spread_scale(s->scales + first, s->scale_dtype);
    if (two && s->group_shift == 5) r.scale[1] = spread_scale(s->scales + first + size, s->scale_dtype);
    if (!s->biases) {
        const __m256 offset = _mm256_set1_ps(mica__symmetric_offset(bits_of(f)));
        for (int i = 0; i < 2; i++) r.bias[i] = _mm256_mul_ps(offset, r.scale[i]);
    } else {
        r.bias[0] = r.bias[1] = spread_scale(s->biases + first, s->scale_dtype);
        if (two && s->group_shift == 5) r.bias[1] = spread_scale(s->biases + first + size, s->scale_dtype);
    }
    if (f != AFFINE4 || !two) return r;
    const __m256 down = _mm256_set1_ps(0x1p-4f);
    r.scale[0] = _mm256_blend_ps(r.scale[0], r.scale[1], 0xf0);
    r.bias[0] = _mm256_blend_ps(r.bias[0], r.bias[1], 0xf0);
    for (int j = 1; j < 4; j++) r.scale[j] = _mm256_mul_ps(r.scale[j - 1], down);
    return r;
}

/* Eight codes of fewer than 8 bits: 64 bits that hold them, spread over four lanes of 64 bits, twice, and shifted into place. */
MICA__INLINE __m256i spread8(const uint8_t *p, int bits, bool last)
{
    uint64_t word = 0;
    if (last) {
        memcpy(&word, p, (size_t)bits);
    } else {
        memcpy(&word, p, 8);
    }
    __m256i all = _mm256_set1_epi64x((int64_t)word), mask = _mm256_set1_epi64x((1 << bits) - 1);
    __m256i low = _mm256_srlv_epi64(all, _mm256_setr_epi64x(0, bits, 2 * bits, 3 * bits));
    __m256i high = _mm256_srlv_epi64(all, _mm256_setr_epi64x(4 * bits, 5 * bits, 6 * bits, 7 * bits));
    __m256 packed = _mm256_shuffle_ps(_mm256_castsi256_ps(_mm256_and_si256(low, mask)),
                                      _mm256_castsi256_ps(_mm256_and_si256(high, mask)), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(packed), 0xd8);
}

MICA__INLINE __m256i load_span(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }

/* Vector j (0..7) of the span of 64 elements at p; `left` bytes remain in the row. v: 4-bit spans, loaded once. */
MICA__INLINE __m256 expand(form f, const uint8_t *p, size_t left, __m256i v, int j, const factors *s)
{
    if (f == AFFINE4) {
        if (j >= 4) v = _mm256_srli_epi32(v, 16);
        __m256 code = _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(15 << 4 * (j % 4))));
        return _mm256_fmadd_ps(code, s->scale[j % 4], s->bias[0]);
    }
    int bits = bits_of(f);
    __m256i code;
    if (f == AFFINE8) {
        code = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8 * j)));
    } else {
        code = spread8(p + bits * j, bits, left < (size_t)(bits * j) + 8);
    }
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(code), s->scale[j / 4], s->bias[j / 4]);
}

/* Vector j (0..3) of a last half span, in natural order. */
MICA__INLINE __m256 expand_half(form f, const uint8_t *p, size_t left, int j, const factors *s)
{
    if (f != AFFINE4) return expand(f, p, left, _mm256_setzero_si256(), j, s);
    __m256i code = spread8(p + 4 * j, 4, left < (size_t)(4 * j) + 8);
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(code), s->scale[0], s->bias[0]);
}

/* ---- a few rows of x ------------------------------------------------------------------------------------------------------ */

/* out[r * out_stride + c] = x row r . w row c + bias[c], R x C chains. x rows are x_stride floats apart. */
MICA__INLINE void direct(form f, int R, int C, const float *x, int64_t x_stride, const mica__tensor *w, int64_t row,
                         int64_t k_size, const float *bias, float *out, int64_t out_stride)
{
    __m256 sum[4][4];
    source s[4];
    MICA__UNROLL
    for (int c = 0; c < C; c++) s[c] = source_of(w, row + c);
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) sum[r][c] = _mm256_setzero_ps();
    int64_t k = 0;
    const size_t span_bytes = (size_t)(SPAN / 8 * bits_of(f)), row_bytes = (size_t)k_size * (size_t)bits_of(f) / 8;
    size_t at = 0;
    for (; k + SPAN <= k_size; k += SPAN, at += span_bytes) {
        const int pair =
            R == 1 && C > 1 ? 2 : 1; /* columns whose chains are interleaved: one chain alone waits for itself */
        MICA__UNROLL
        for (int c = 0; c < C; c += pair) {
            __asm__ volatile(
                "" ::
                    : "memory"); /* keeps compilers from loading x for all columns first, and spilling it */
            factors scale[2];
            __m256i v[2];
            MICA__UNROLL
            for (int i = 0; i < pair; i++) {
                scale[i] = factors_at(f, &s[c + i], k, true);
                v[i] = f == AFFINE4 ? load_span(s[c + i].data + at) : _mm256_setzero_si256();
            }
            MICA__UNROLL
            for (int j = 0; j < 8; j++) {
                MICA__UNROLL
                for (int i = 0; i < pair; i++) {
                    __m256 e = expand(f, s[c + i].data + at, row_bytes - at, v[i], j, &scale[i]);
                    MICA__UNROLL
                    for (int r = 0; r < R; r++)
                        sum[r][c + i] =
                            _mm256_fmadd_ps(_mm256_loadu_ps(x + r * x_stride + k + 8 * j), e, sum[r][c + i]);
                }
            }
        }
    }
    if (k < k_size) {
        MICA__UNROLL
        for (int c = 0; c < C; c++) {
            factors scale = factors_at(f, &s[c], k, false);
            for (int j = 0; j < 4; j++) {
                __m256 e = expand_half(f, s[c].data + at, row_bytes - at, j, &scale);
                MICA__UNROLL
                for (int r = 0; r < R; r++)
                    sum[r][c] = _mm256_fmadd_ps(_mm256_loadu_ps(x + r * x_stride + k + 8 * j), e, sum[r][c]);
            }
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) out[r * out_stride + c] = mica__hsum(sum[r][c]) + bias[c];
}

/* ---- many rows of x -------------------------------------------------------------------------------------------------------- */

/* panel [rows, DEPTH] = elements [k, k + n) of rows of w, in the order of the chains; n is a multiple of 8 after padding by zeros. */
MICA__INLINE void fill_panel(form f, float *panel, const mica__tensor *w, int64_t row, int64_t rows, int64_t k,
                             int64_t n)
{
    for (int64_t c = 0; c < rows; c++) {
        source s = source_of(w, row + c);
        float *to = panel + c * DEPTH;
        const size_t span_bytes = (size_t)(SPAN / 8 * bits_of(f)), row_bytes = mica__row_bytes(w);
        size_t at = (size_t)k / 8 * (size_t)bits_of(f);
        int64_t i = 0;
        for (; i + SPAN <= n; i += SPAN, at += span_bytes) {
            const uint8_t *p = s.data + at;
            factors scale = factors_at(f, &s, k + i, true);
            __m256i v = f == AFFINE4 ? load_span(p) : _mm256_setzero_si256();
            MICA__UNROLL
            for (int j = 0; j < 8; j++) _mm256_storeu_ps(to + i + 8 * j, expand(f, p, row_bytes - at, v, j, &scale));
        }
        if (i < n) {
            factors scale = factors_at(f, &s, k + i, false);
            for (int j = 0; j < 4; j++)
                _mm256_storeu_ps(to + i + 8 * j, expand_half(f, s.data + at, row_bytes - at, j, &scale));
        }
    }
}

/* Continues R x C chains over n elements; lanes [R][C][8] with C_ALL chains per row. `some`: the last n % 8 elements of x. */
MICA__INLINE void tile(int R, int C, const float *x, int64_t x_stride, const float *panel, int64_t n, float *lanes)
{
    __m256 sum[TILE_M][TILE_N];
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) sum[r][c] = _mm256_loadu_ps(lanes + (r * PANEL + c) * 8);
    int64_t k = 0;
    for (; k + 8 <= n; k += 8) {
        __m256 v[TILE_N];
        MICA__UNROLL
        for (int c = 0; c < C; c++) v[c] = _mm256_loadu_ps(panel + c * DEPTH + k);
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            __m256 xr = _mm256_loadu_ps(x + r * x_stride + k);
            MICA__UNROLL
            for (int c = 0; c < C; c++) sum[r][c] = _mm256_fmadd_ps(xr, v[c], sum[r][c]);
        }
    }
    if (k < n) {
        MICA__UNROLL
        for (int r = 0; r < R; r++) {
            __m256 xr = mica__load_some(x + r * x_stride + k, MICA_DTYPE_F32, n - k);
            MICA__UNROLL
            for (int c = 0; c < C; c++)
                sum[r][c] = _mm256_fmadd_ps(xr, _mm256_loadu_ps(panel + c * DEPTH + k), sum[r][c]);
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < C; c++) _mm256_storeu_ps(lanes + (r * PANEL + c) * 8, sum[r][c]);
}

#define TILE_ROW(R)                                                                                                    \
    for (; c + 3 <= cols; c += 3) tile(R, 3, x, x_stride, panel + c * DEPTH, n, lanes + c * 8);                        \
    if (cols - c == 2) tile(R, 2, x, x_stride, panel + c * DEPTH, n, lanes + c * 8);                                   \
    if (cols - c == 1) tile(R, 1, x, x_stride, panel + c * DEPTH, n, lanes + c * 8);

/* All chains of `rows` rows of x with the panel's columns. */
MICA__AVX2 static void multiply_panel(const float *x, int64_t x_stride, int64_t rows, const float *panel, int64_t cols,
                                      int64_t n, float *lanes)
{
    int64_t r = 0;
    for (; r < rows; r += TILE_M, x += TILE_M * x_stride, lanes += TILE_M * PANEL * 8) {
        int64_t c = 0;
        switch (rows - r) {
        case 1:
            TILE_ROW(1) break;
        case 2:
            TILE_ROW(2) break;
        case 3:
            TILE_ROW(3) break;
        default:
            TILE_ROW(4) break;
        }
    }
}

/* ---- kernels ---------------------------------------------------------------------------------------------------------------- */

typedef struct job {
    const mica__tensor *w, *bias;
    const float *x;
    float *out;
    int64_t rows, k, n, x_stride;
} job;

static void load_bias(const job *j, int64_t row, int64_t n, float *bias)
{
    for (int64_t i = 0; i < n; i++) {
        bias[i] = 0;
        if (!j->bias) continue;
        memcpy(bias + i, (const uint8_t *)j->bias->data + (row + i) * j->bias->strides[0] * (int64_t)sizeof(float),
               sizeof(float));
    }
}

/* Columns [row, row + C) for all rows of x, some at a time. */
#define DIRECT(C)                                                                                                      \
    do {                                                                                                               \
        int64_t r = 0;                                                                                                 \
        load_bias(j, row, C, bias);                                                                                    \
        for (; r + 4 <= j->rows; r += 4)                                                                               \
            direct(f, 4, C, j->x + r * j->x_stride, j->x_stride, j->w, row, j->k, bias, j->out + r * j->n + row,       \
                   j->n);                                                                                              \
        for (; r < j->rows; r++)                                                                                       \
            direct(f, 1, C, j->x + r * j->x_stride, j->x_stride, j->w, row, j->k, bias, j->out + r * j->n + row,       \
                   j->n);                                                                                              \
    } while (0)

MICA__INLINE void few_rows(form f, const job *j, int64_t row, int64_t end)
{
    float bias[4];
    for (; row + 2 <= end; row += 2) DIRECT(2);
    for (; row < end; row++) DIRECT(1);
}

static size_t member_bytes(void) { return (PANEL * DEPTH + BLOCK * PANEL * 8) * sizeof(float); }

MICA__INLINE void many_rows(form f, const job *j, int64_t row, int64_t end, float *memory)
{
    float *panel = memory, *lanes = memory + PANEL * DEPTH, bias[PANEL];
    for (int64_t first = 0; first < j->rows; first += BLOCK) {
        int64_t rows = mica__min(j->rows - first, BLOCK);
        const float *x = j->x + first * j->x_stride;
        for (int64_t c = row; c < end; c += PANEL) {
            int64_t cols = mica__min(end - c, PANEL);
            memset(lanes, 0, (size_t)(rows * PANEL * 8) * sizeof(float));
            for (int64_t k = 0; k < j->k; k += DEPTH) {
                int64_t n = mica__min(j->k - k, DEPTH);
                fill_panel(f, panel, j->w, c, cols, k, n);
                multiply_panel(x + k, j->x_stride, rows, panel, cols, n, lanes);
            }
            load_bias(j, c, cols, bias);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t i = 0; i < cols; i++)
                    j->out[(first + r) * j->n + c + i] =
                        mica__hsum(_mm256_loadu_ps(lanes + (r * PANEL + i) * 8)) + bias[i];
        }
    }
}

MICA__INLINE void linear(form f, const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    job j = {w,
             instr->n_in > 2 ? &instr->in[2] : NULL,
             x->data,
             instr->out.data,
             mica__rows(x, run),
             w->shape[1],
             w->shape[0],
             x->strides[0]};
    if (instr->scratch_bytes) {
        j.x = (const float *)(const void *)run->scratch;
        j.x_stride = j.k;
    }
    int64_t begin, end;
    mica__share(j.n, PANEL, id, n, &begin, &end);
    /* Odd widths are rare: they do not get an instance of the direct loops. */
    if ((f == AFFINE4 || f == AFFINE8) && j.rows <= 4) {
        few_rows(f, &j, begin, end);
    } else {
        many_rows(f, &j, begin, end, (float *)(void *)mica__member_scratch(instr, run, id));
    }
}

#define DEFINE(f, name)                                                                                                \
    MICA__AVX2 static void linear_##name(const mica__instr *instr, const mica__run *run, int id, int n)                \
    {                                                                                                                  \
        linear(f, instr, run, id, n);                                                                                  \
    }
DEFINE(AFFINE2, affine2)
DEFINE(AFFINE3, affine3)
DEFINE(AFFINE4, affine4)
DEFINE(AFFINE5, affine5)
DEFINE(AFFINE6, affine6)
DEFINE(AFFINE8, affine8)
#undef DEFINE

/* Phase 0: rows of x in scratch memory, in the order of the chains. */
static void order_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    int64_t rows = mica__rows(x, run), k = x->shape[1], spans = (k + SPAN - 1) / SPAN, begin, end;
    bool transpose = w->affine.bits == 4;
    float *scratch = (float *)(void *)run->scratch;
    mica__share(rows * spans, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / spans, first = item % spans * SPAN, count = mica__min(k - first, SPAN);
        mica__chunk c;
        mica__load(MICA__CLASS_F32, &c,
                   (const uint8_t *)x->data +
                       (row * x->strides[0] + first * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype),
                   x->dtype, x->strides[1], count);
        float *to = scratch + row * k + first;
        for (int i = 0; i < count; i++) to[transpose && count == SPAN ? i % 8 * 8 + i / 8 : i] = c.f32[i];
    }
}

static form form_of(const mica__tensor *w)
{
    if (!w->quantized) return N_FORMS;
    static const form forms[9] = {[0] = N_FORMS, [1] = N_FORMS, [2] = AFFINE2, [3] = AFFINE3, [4] = AFFINE4,
                                  [5] = AFFINE5, [6] = AFFINE6, [7] = N_FORMS, [8] = AFFINE8};
    return forms[w->affine.bits];
}

bool mica__linear_avx2(mica__instr *instr)
{
    static const mica__kernel kernels[N_FORMS] = {linear_affine2, linear_affine3, linear_affine4,
                                                  linear_affine5, linear_affine6, linear_affine8};
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    form f = form_of(w);
    if (f == N_FORMS) return false;
    instr->member_scratch_bytes = member_bytes();
    if (f != AFFINE4 && x->dtype == MICA_DTYPE_F32 && x->strides[1] == 1) return mica__set_kernel(instr, kernels[f]);
    instr->scratch_bytes = mica__round64((size_t)x->shape[0] * (size_t)x->shape[1] * sizeof(float));
    instr->phase[0] = order_x;
    instr->first_phase_key = f == AFFINE4 ? 2 : 1; /* transposed or not */
    instr->phase[1] = kernels[f];
    instr->n_phases = 2;
    return true;
}

#else
bool mica__linear_avx2(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
