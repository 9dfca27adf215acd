/* backend/cpu/linear_int16_dotprod.c: few rows of rounded activations with quantized weights, by sdot: four products of bytes are added to
 * each of four sums. int16_neon.h says what is computed. This file is compiled for processors that have it (CMakeLists.txt): nothing here may
 * be called on others.
 *
 * Four rows of w meet one or two rows of x. The four are a quarter of the member's share apart: four long streams, each read in the order
 * of memory and touched some lines ahead. A step of 64 weights of one row and one row of x takes, besides its share of what four rows
 * have in common, 2 loads, 4 instructions to split 4 bits into bytes and 8 sdot. */
#include "int16_neon.h"

#if MICA__ARM64

enum { W_ROWS = 4, X_ROWS = 2, AHEAD = 1024 };

/* Four rows of w and where they are needed next. */
typedef struct streams {
    const mica__int16_matrix *w;
    int64_t rows[W_ROWS];
    const uint8_t *codes[W_ROWS];
} streams;

/* Sums of the products of the unit `at` (a group, or two of 16 elements in one span), for R rows of x. */
MICA__INLINE void dot_unit(mica__elements e, int spans, int R, const streams *s, int64_t at, bool half,
                           const mica__int16_row *x, int32x4_t high[X_ROWS][W_ROWS], int32x4_t low[X_ROWS][W_ROWS])
{
    const int64_t bytes = mica__span_bytes(e);
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < W_ROWS; c++) high[r][c] = low[r][c] = vdupq_n_s32(0);
    for (int64_t i = at * spans; i < (at + 1) * spans; i++) {
        MICA__UNROLL
        for (int c = 0; c < W_ROWS; c++) {
            int8x16_t part[2];
            mica__expand(e, s->codes[c] + i * bytes, half, part);
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                MICA__UNROLL
                for (int p = 0; p < 2; p++) {
                    const int64_t k = i * MICA__SPAN + 16 * p;
                    high[r][c] = vdotq_s32(high[r][c], part[p], vld1q_s8(x[r].high + k));
                    low[r][c] = vdotq_s32(low[r][c], part[p], vld1q_s8(x[r].low + k));
                }
            }
        }
    }
}

/* A group's step of the chains of four rows of w. */
MICA__INLINE float32x4_t add_group(mica__elements e, float32x4_t y, int32x4_t sum, const mica__int16_row *x, int64_t g,
                                   float32x4_t scale, float32x4_t bias)
{
    if (e == MICA__BITS8) sum = vaddq_s32(sum, vdupq_n_s32(128 * x->sum[g]));
    y = vfmaq_f32(y, vcvtq_f32_s32(sum), vmulq_n_f32(scale, x->d[g]));
    return e == MICA__FLOAT4 ? y : vfmaq_n_f32(y, bias, x->dsum[g]);
}

/* Continues the chains y [R] of four rows of w over all groups. */
MICA__INLINE void dot_rows(mica__elements e, int size, int R, const streams *s, const mica__int16_row *x,
                           float32x4_t *y)
{
    const mica__int16_matrix *w = s->w;
    const int spans = size < MICA__SPAN ? 1 : size / MICA__SPAN, per_unit = size < MICA__SPAN ? 2 : 1;
    const int64_t bytes = mica__span_bytes(e) * spans / per_unit;
    for (int64_t first = 0; first < w->groups; first += MICA__FACTORS) {
        float32x4_t scale[MICA__FACTORS], bias[MICA__FACTORS];
        mica__int16_factors(w, s->rows, first, scale, bias);
        for (int64_t g = first; g < mica__min(first + MICA__FACTORS, w->groups); g += per_unit) {
            int32x4_t high[X_ROWS][W_ROWS], low[X_ROWS][W_ROWS];
            MICA__UNROLL
            for (int c = 0; c < W_ROWS; c++) mica__prefetch(s->codes[c] + g * bytes, AHEAD);
            dot_unit(e, spans, R, s, g / per_unit, per_unit == 2 && g + 1 == w->groups, x, high, low);
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                MICA__UNROLL
                for (int c = 0; c < W_ROWS; c++) low[r][c] = vaddq_s32(low[r][c], vshlq_n_s32(high[r][c], 8));
                const int32x4_t a = vpaddq_s32(low[r][0], low[r][1]), b = vpaddq_s32(low[r][2], low[r][3]);
                if (per_unit == 1) {
                    y[r] = add_group(e, y[r], vpaddq_s32(a, b), &x[r], g, scale[g - first], bias[g - first]);
                    continue;
                }
                y[r] = add_group(e, y[r], vuzp1q_s32(a, b), &x[r], g, scale[g - first], bias[g - first]);
                if (g + 1 < w->groups)
                    y[r] =
                        add_group(e, y[r], vuzp2q_s32(a, b), &x[r], g + 1, scale[g + 1 - first], bias[g + 1 - first]);
            }
        }
    }
}

/* What depends on the format. Loops that must keep to the registers are functions of their own. */
typedef struct loops {
    void (*one)(const streams *s, const mica__int16_row *x, float32x4_t *y);
    void (*two)(const streams *s, const mica__int16_row *x, float32x4_t *y);
} loops;

#define LOOPS(e, size)                                                                                                 \
    static __attribute__((noinline)) void one_##e##_##size(const streams *s, const mica__int16_row *x, float32x4_t *y) \
    {                                                                                                                  \
        dot_rows(MICA__##e, size, 1, s, x, y);                                                                         \
    }                                                                                                                  \
    static __attribute__((noinline)) void two_##e##_##size(const streams *s, const mica__int16_row *x, float32x4_t *y) \
    {                                                                                                                  \
        dot_rows(MICA__##e, size, 2, s, x, y);                                                                         \
    }
#define AFFINE(e) LOOPS(e, 32) LOOPS(e, 64) LOOPS(e, 128)
AFFINE(BITS2)
AFFINE(BITS3)
AFFINE(BITS4)
AFFINE(BITS5)
AFFINE(BITS6)
AFFINE(BITS8)
LOOPS(FLOAT4, 16)
LOOPS(FLOAT4, 32)

#define ENTRY(e, size)                                                                                                 \
    {                                                                                                                  \
        one_##e##_##size, two_##e##_##size                                                                             \
    }
#define ROW(e) [MICA__##e] = {ENTRY(e, 32), ENTRY(e, 64), ENTRY(e, 128)}

static const loops *loops_of(const mica__int16_matrix *w)
{
    static const loops affine[6][3] = {ROW(BITS2), ROW(BITS3), ROW(BITS4), ROW(BITS5), ROW(BITS6), ROW(BITS8)};
    static const loops floats[2] = {ENTRY(FLOAT4, 16), ENTRY(FLOAT4, 32)};
    return w->elements == MICA__FLOAT4 ? &floats[w->size / 32] : &affine[w->elements][w->size / 64];
}

void mica__int16_dotprod(const mica__instr *instr, const mica__run *run, const mica__int16_matrix *w, int64_t begin,
                         int64_t end)
{
    const mica__int16_layout l = mica__int16_layout_of(&instr->in[1]);
    const int64_t m_rows = mica__rows(&instr->in[0], run), step = (end - begin + W_ROWS - 1) / W_ROWS;
    const loops *k = loops_of(w);
    float *out = instr->out.data;
    for (int64_t c = begin; c < begin + step; c++) {
        streams s = {.w = w};
        float bias[W_ROWS];
        for (int64_t i = 0; i < W_ROWS; i++) {
            s.rows[i] = mica__min(c + i * step, end - 1); /* the last one stands for those past the end */
            s.codes[i] = w->codes + s.rows[i] * w->row_bytes;
            bias[i] = mica__linear_bias(instr, s.rows[i]);
        }
        for (int64_t m = 0; m < m_rows; m += X_ROWS) {
            const mica__int16_row x[X_ROWS] = {mica__int16_row_at(&l, run->scratch, m),
                                               mica__int16_row_at(&l, run->scratch, mica__min(m + 1, m_rows - 1))};
            float32x4_t y[X_ROWS] = {vld1q_f32(bias), vld1q_f32(bias)};
            const int64_t n_rows = mica__min(m_rows - m, X_ROWS);
            (n_rows == 2 ? k->two : k->one)(&s, x, y);
            for (int64_t r = 0; r < n_rows; r++) {
                float lanes[W_ROWS];
                vst1q_f32(lanes, y[r]);
                for (int64_t i = 0; i < W_ROWS && c + i * step < end; i++)
                    out[(m + r) * w->rows + c + i * step] = lanes[i];
            }
        }
    }
}

#endif
