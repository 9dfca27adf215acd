/* backend/cpu/linear_int16_neon.c: affine weights of 4 and 8 bits with activations rounded to 16 bits, on 64-bit ARM with dot products.
 *
 * Each group of x has a scale d = max |x| / 32639 and integers q = 256 h + l, where h and l have 8 bits and a sign (hence 32639: 127 * 257).
 * With w = s c + b in a group,
 *
 *     sum of w x  ~  s d (256 sum of c h + sum of c l) + b d (sum of q)
 *
 * sdot adds four products of bytes to each of four sums. Codes of 4 bits are bytes after a mask or a shift; those of 8 bits lose 128 first, which
 * 128 times the sum of q gives back. Integer sums are exact; what is float is one chain per output, group after group, so a row of
 * x gives the same bits alone and among others. x is laid out to match the codes of 16 bytes:
 *
 *     4 bits   spans of 32: the 16 even elements, then the 16 odd ones
 *     8 bits   in their order */
#include "linear.h"

#include "convert.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#define INLINE static inline __attribute__((always_inline)) DOTPROD

enum { W_ROWS = 4, X_ROWS = 2, SPAN = 128, TOP = 127 * 257 };

/* A rounded row in scratch memory: h [codes] and l [codes] int8, then d, d times the sum of q (float), the sum of q (int32) [groups]. */
typedef struct layout {
    int64_t groups, codes, bytes;
} layout;

static layout layout_of(const mica__tensor *w)
{
    const int64_t k = w->shape[1], codes = (k + SPAN - 1) / SPAN * SPAN, groups = codes / w->affine.group_size;
    return (layout){groups, codes, (int64_t)mica__round64((size_t)(2 * codes + 12 * groups))};
}

typedef struct rounded {
    int8_t *high, *low;
    float *d, *dsum;
    int32_t *sum;
} rounded;

static rounded rounded_row(const layout *l, uint8_t *scratch, int64_t row)
{
    uint8_t *base = scratch + row * l->bytes;
    float *d = (float *)(void *)(base + 2 * l->codes);
    return (rounded){(int8_t *)base, (int8_t *)base + l->codes, d, d + l->groups,
                     (int32_t *)(void *)(d + 2 * l->groups)};
}

/* One group of x; NaN and infinities make d NaN. `high` and `low` are those of the group's first span. */
static void round_group(const float *x, int64_t size, bool split, rounded to)
{
    float max = 0, bad = 0;
    for (int64_t i = 0; i < size; i++) {
        const float a = x[i] < 0 ? -x[i] : x[i];
        max = a > max ? a : max;
        bad += x[i] - x[i];
    }
    float inverse = max > 0 ? TOP / max : 0;
    if (inverse > 0x1p126f) inverse = max = 0; /* all but zero */
    int32_t sum = 0;
    for (int64_t i = 0; i < size; i++) {
        const int32_t q = bad == 0 ? vcvtns_s32_f32(x[i] * inverse) : 0;
        const int64_t at = split ? i / 32 * 32 + i % 2 * 16 + i % 32 / 2 : i;
        const int8_t low = (int8_t)(q & 255);
        to.low[at] = low;
        to.high[at] = (int8_t)((q - low) / 256);
        sum += q;
    }
    *to.d = max / TOP + bad;
    *to.dsum = *to.d * (float)sum;
    *to.sum = sum;
}

/* Phase 0. Shares are spans of 128 elements, which hold whole groups. */
static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const layout l = layout_of(w);
    const int64_t k = x->shape[1], size = w->affine.group_size, spans = l.codes / SPAN;
    int64_t begin, end;
    mica__share(mica__rows(x, run) * spans, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        const int64_t row = item / spans, first = item % spans * SPAN;
        mica__chunk c;
        memset(c.f32, 0, SPAN * sizeof(float));
        const uint8_t *from = (const uint8_t *)x->data;
        from += (row * x->strides[0] + first * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
        mica__load(MICA__CLASS_F32, &c, from, x->dtype, x->strides[1], mica__min(k - first, SPAN));
        const rounded r = rounded_row(&l, run->scratch, row);
        for (int64_t i = 0; i < SPAN; i += size) {
            const int64_t at = first + i, g = at / size;
            round_group(c.f32 + i, size, w->affine.bits == 4,
                        (rounded){r.high + at, r.low + at, r.d + g, r.dsum + g, r.sum + g});
        }
    }
}

/* ---- rows of w -------------------------------------------------------------------------------------------------------------- */

/* Four lanes: the scales of group g of four rows of w, and their biases. */
static void read_factors(const mica__affine *a, const int64_t rows[W_ROWS], int64_t groups, int64_t g,
                         float32x4_t *scale, float32x4_t *bias)
{
    float s[W_ROWS], b[W_ROWS];
    for (int i = 0; i < W_ROWS; i++) {
        s[i] = mica__load_scale(a->scales, a->scale_dtype, rows[i] * groups + g);
        b[i] = mica__affine_bias(a, rows[i] * groups + g, s[i]);
    }
    *scale = vld1q_f32(s);
    *bias = vld1q_f32(b);
}

/* 16 bytes of codes as signed bytes, in two vectors or one. */
INLINE void split_codes(int bits, const uint8_t *p, int8x16_t part[2])
{
    const uint8x16_t v = vld1q_u8(p);
    if (bits == 4) {
        part[0] = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
        part[1] = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
    } else {
        part[0] = vreinterpretq_s8_u8(veorq_u8(v, vdupq_n_u8(128)));
    }
}

/* The chains y [n_rows] of four rows of w with n_rows rows of x. */
INLINE void dot_rows(int bits, int size, int n_rows, const mica__tensor *w, const int64_t rows[W_ROWS],
                     const rounded *x, float32x4_t *y)
{
    const int parts = bits == 4 ? 2 : 1, spans = size * bits / 128; /* of 16 bytes to a group */
    const int64_t groups = w->shape[1] / size, row_bytes = w->shape[1] * bits / 8;
    const uint8_t *codes = w->data;
    for (int64_t g = 0; g < groups; g++) {
        int32x4_t high[X_ROWS][W_ROWS], low[X_ROWS][W_ROWS];
        MICA__UNROLL
        for (int r = 0; r < n_rows; r++)
            for (int c = 0; c < W_ROWS; c++) high[r][c] = low[r][c] = vdupq_n_s32(0);
        for (int i = 0; i < spans; i++) {
            MICA__UNROLL
            for (int c = 0; c < W_ROWS; c++) {
                int8x16_t part[2];
                split_codes(bits, codes + rows[c] * row_bytes + (g * spans + i) * 16, part);
                MICA__UNROLL
                for (int r = 0; r < n_rows; r++) {
                    MICA__UNROLL
                    for (int p = 0; p < parts; p++) {
                        const int64_t at = g * size + (i * parts + p) * 16;
                        high[r][c] = vdotq_s32(high[r][c], part[p], vld1q_s8(x[r].high + at));
                        low[r][c] = vdotq_s32(low[r][c], part[p], vld1q_s8(x[r].low + at));
                    }
                }
            }
        }
        float32x4_t scale, bias;
        read_factors(&w->affine, rows, groups, g, &scale, &bias);
        MICA__UNROLL
        for (int r = 0; r < n_rows; r++) {
            MICA__UNROLL
            for (int c = 0; c < W_ROWS; c++) low[r][c] = vaddq_s32(low[r][c], vshlq_n_s32(high[r][c], 8));
            int32x4_t sum = vpaddq_s32(vpaddq_s32(low[r][0], low[r][1]), vpaddq_s32(low[r][2], low[r][3]));
            if (bits == 8) sum = vaddq_s32(sum, vdupq_n_s32(128 * x[r].sum[g]));
            y[r] = vfmaq_f32(y[r], vcvtq_f32_s32(sum), vmulq_n_f32(scale, x[r].d[g]));
            y[r] = vfmaq_f32(y[r], bias, vdupq_n_f32(x[r].dsum[g]));
        }
    }
}

INLINE void linear(int bits, int size, const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *w = &instr->in[1];
    const layout l = layout_of(w);
    const int64_t m_rows = mica__rows(&instr->in[0], run), n_out = w->shape[0];
    float *out = instr->out.data;
    int64_t begin, end;
    mica__share(n_out, W_ROWS, id, n, &begin, &end);
    for (int64_t c = begin; c < end; c += W_ROWS) {
        const int64_t count = mica__min(end - c, W_ROWS);
        int64_t rows[W_ROWS];
        float bias[W_ROWS] = {0};
        for (int64_t i = 0; i < W_ROWS; i++) rows[i] = c + mica__min(i, count - 1);
        for (int64_t i = 0; i < count; i++) bias[i] = mica__linear_bias(instr, c + i);
        for (int64_t m = 0; m < m_rows; m += X_ROWS) {
            const rounded x[X_ROWS] = {rounded_row(&l, run->scratch, m),
                                       rounded_row(&l, run->scratch, mica__min(m + 1, m_rows - 1))};
            float32x4_t y[X_ROWS] = {vld1q_f32(bias), vld1q_f32(bias)};
            const int64_t n_rows = mica__min(m_rows - m, X_ROWS);
            if (n_rows == 2)
                dot_rows(bits, size, 2, w, rows, x, y);
            else
                dot_rows(bits, size, 1, w, rows, x, y);
            for (int64_t r = 0; r < n_rows; r++) {
                float lanes[W_ROWS];
                vst1q_f32(lanes, y[r]);
                memcpy(out + (m + r) * n_out + c, lanes, (size_t)count * sizeof(float));
            }
        }
    }
}

#define DEFINE(bits, size)                                                                                             \
    DOTPROD static void linear_##bits##_##size(const mica__instr *instr, const mica__run *run, int id, int n)          \
    {                                                                                                                  \
        linear(bits, size, instr, run, id, n);                                                                         \
    }
DEFINE(4, 32)
DEFINE(4, 64)
DEFINE(4, 128)
DEFINE(8, 32)
DEFINE(8, 64)
DEFINE(8, 128)

bool mica__linear_int16_neon(mica__instr *instr)
{
    static const mica__kernel kernels[2][3] = {{linear_4_32, linear_4_64, linear_4_128},
                                               {linear_8_32, linear_8_64, linear_8_128}};
    const mica__tensor *w = &instr->in[1];
    return mica__takes_int16(w) && mica__set_int16(instr, round_x, kernels, layout_of(w).bytes);
}

#else
bool mica__linear_int16_neon(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
