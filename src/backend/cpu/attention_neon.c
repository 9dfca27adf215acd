/* backend/cpu/attention_neon.c: the inner loops of attention on 64-bit ARM, for head dimensions that are multiples of 8. ARMv8.0 suffices.
 *
 * Scores: eight keys side by side in two vectors, a lane each (array/cache_layout.h), for up to four query rows at once, so that a key
 * element is converted once for all of them and nothing is summed across lanes; four elements of a query are a register, of which
 * multiplications take one lane. A score is one chain of multiply-adds over the dimension. Quantized keys meet queries rounded to 16 bits:
 * sums of products are exact integers within a group, and
 *
 *     q . key = sum over groups of  scale * (q's scale) * (integer sum) + bias * (sum of q)
 *
 * Values: an output element is one chain over positions, in registers for several rows and elements at once. Quantized values: the chain
 * is over weight * scale * code; weight * bias is summed apart and added last. */
#include "attention.h"

#include "kernels.h"

#if MICA__ARM64
#include "simd_neon.h"

enum {
    LANES = MICA__CACHE_LANES,
    ROWS = 4,     /* query rows at once */
    RUN = 4,      /* eights whose values stay in the first-level cache */
    AHEAD = 4096, /* bytes */
    MAX_GROUPS = 32,
};

static int64_t rows_at_once(int64_t left) { return mica__min(left, ROWS); }

/* CALL(R, B) with as many rows as are left, at most four, and so many eights of positions or of elements that the sums fit the registers. */
#define WITH_ROWS(CALL)                                                                                                \
    switch (rows_at_once(left)) {                                                                                      \
    case 4:                                                                                                            \
        CALL(4, 2);                                                                                                    \
        break;                                                                                                         \
    case 3:                                                                                                            \
        CALL(3, 2);                                                                                                    \
        break;                                                                                                         \
    case 2:                                                                                                            \
        CALL(2, 4);                                                                                                    \
        break;                                                                                                         \
    default:                                                                                                           \
        CALL(1, 4);                                                                                                    \
        break;                                                                                                         \
    }

/* ---- scores --------------------------------------------------------------------------------------------------------------- */

/* R rows, B eights of keys; s, q: of the first row. */
MICA__INLINE void score_floats(mica_dtype dtype, int R, int B, float *s, int64_t stride, const float *q,
                               const mica__kv *keys)
{
    const int64_t dim = keys->layout.dim, step = LANES * (dtype == MICA_DTYPE_F32 ? 4 : 2);
    for (int64_t b = keys->first; b < keys->n; b += B) {
        const uint8_t *const *eight = keys->eights + b;
        float32x4_t sum[ROWS][8];
        MICA__UNROLL
        for (int r = 0; r < R; r++) MICA__UNROLL
        for (int i = 0; i < 2 * B; i++) sum[r][i] = vdupq_n_f32(0);
        for (int64_t e = 0; e < dim; e += 4) {
            float32x4_t x[ROWS];
            MICA__UNROLL
            for (int r = 0; r < R; r++) x[r] = vld1q_f32(q + r * dim + e);
            MICA__UNROLL
            for (int i = 0; i < B; i++) {
                mica__prefetch(eight[i] + e * step, AHEAD);
                if (dtype == MICA_DTYPE_F32) mica__prefetch(eight[i] + e * step + 64, AHEAD);
            }
#define ELEMENT(j)                                                                                                     \
    do {                                                                                                               \
        float32x4_t k[8];                                                                                              \
        MICA__UNROLL                                                                                                   \
        for (int i = 0; i < B; i++) mica__load8(eight[i] + (e + (j)) * step, dtype, k + 2 * i);                        \
        MICA__UNROLL                                                                                                   \
        for (int r = 0; r < R; r++) MICA__UNROLL                                                                       \
        for (int i = 0; i < 2 * B; i++) sum[r][i] = vfmaq_laneq_f32(sum[r][i], k[i], x[r], j);                         \
    } while (0)
            ELEMENT(0);
            ELEMENT(1);
            ELEMENT(2);
            ELEMENT(3);
#undef ELEMENT
        }
        MICA__UNROLL
        for (int r = 0; r < R; r++) MICA__UNROLL
        for (int i = 0; i < 2 * B; i++) vst1q_f32(s + r * stride + b * LANES + 4 * i, sum[r][i]);
    }
}

/* Elements e .. e + 3 of eight keys, a vector each. */
MICA__INLINE void load_codes(int bits, const uint8_t *codes, int64_t e, int16x8_t k[4])
{
    const uint16x8_t v = vreinterpretq_u16_u8(vld1q_u8(codes + e * (bits == 8 ? LANES : LANES / 2)));
    if (bits == 8) {
        const uint16x8_t u = vreinterpretq_u16_u8(vld1q_u8(codes + (e + 2) * LANES));
        k[0] = vreinterpretq_s16_u16(vandq_u16(v, vdupq_n_u16(255)));
        k[1] = vreinterpretq_s16_u16(vshrq_n_u16(v, 8));
        k[2] = vreinterpretq_s16_u16(vandq_u16(u, vdupq_n_u16(255)));
        k[3] = vreinterpretq_s16_u16(vshrq_n_u16(u, 8));
    } else {
        const uint16x8_t mask = vdupq_n_u16(15);
        k[0] = vreinterpretq_s16_u16(vandq_u16(v, mask));
        k[1] = vreinterpretq_s16_u16(vandq_u16(vshrq_n_u16(v, 8), mask));
        k[2] = vreinterpretq_s16_u16(vandq_u16(vshrq_n_u16(v, 4), mask));
        k[3] = vreinterpretq_s16_u16(vshrq_n_u16(v, 12));
    }
}

/* Adds the products of elements [first, end) of R rows and B eights. */
MICA__INLINE void add_codes(int bits, int R, int B, int32x4_t sum[ROWS][8], const int16_t *q, int64_t q_step,
                            const uint8_t *const *eight, int64_t codes, int64_t first, int64_t end)
{
    for (int64_t e = first; e < end; e += 4) {
        int16x4_t x[ROWS];
        MICA__UNROLL
        for (int r = 0; r < R; r++) x[r] = vld1_s16(q + r * q_step + e);
        MICA__UNROLL
        for (int i = 0; i < B; i++) {
            int16x8_t k[4];
            if (e % 8 == 0) mica__prefetch(eight[i] + codes + e * LANES * bits / 8, AHEAD);
            load_codes(bits, eight[i] + codes, e, k);
#define ELEMENT(j)                                                                                                     \
    MICA__UNROLL                                                                                                       \
    for (int r = 0; r < R; r++) {                                                                                      \
        sum[r][2 * i] = vmlal_lane_s16(sum[r][2 * i], vget_low_s16(k[j]), x[r], j);                                    \
        sum[r][2 * i + 1] = vmlal_high_lane_s16(sum[r][2 * i + 1], k[j], x[r], j);                                     \
    }
            ELEMENT(0)
            ELEMENT(1)
            ELEMENT(2)
            ELEMENT(3)
#undef ELEMENT
        }
    }
}

MICA__INLINE void score_codes(int bits, int R, int B, float *s, int64_t stride, const mica__queries *q, int64_t row,
                              const mica__kv *keys)
{
    const mica__cache_layout *l = &keys->layout;
    const int64_t groups = l->n_groups;
    for (int64_t b = keys->first; b < keys->n; b += B) {
        const uint8_t *const *eight = keys->eights + b;
        for (int64_t g = 0; g < groups; g++) {
            int32x4_t sum[ROWS][8];
            MICA__UNROLL
            for (int r = 0; r < R; r++) MICA__UNROLL
            for (int i = 0; i < 2 * B; i++) sum[r][i] = vdupq_n_s32(0);
            add_codes(bits, R, B, sum, q->rounded + row * q->rounded_dim, q->rounded_dim, eight, l->codes,
                      g * l->group_size, mica__min((g + 1) * l->group_size, l->dim));
            MICA__UNROLL
            for (int i = 0; i < 2 * B; i++) {
                const uint8_t *factors = eight[i / 2] + g * LANES * 2 + i % 2 * 8;
                const float32x4_t scale = mica__load4(factors, MICA_DTYPE_F16);
                const float32x4_t bias = mica__load4(factors + groups * LANES * 2, MICA_DTYPE_F16);
                MICA__UNROLL
                for (int r = 0; r < R; r++) {
                    const int64_t at = (row + r) * groups + g;
                    float *to = s + r * stride + b * LANES + 4 * i;
                    float32x4_t total = g ? vld1q_f32(to) : vdupq_n_f32(0);
                    total = vfmaq_n_f32(total, bias, q->sums[at]);
                    vst1q_f32(to, vfmaq_f32(total, scale, vmulq_n_f32(vcvtq_f32_s32(sum[r][i]), q->scales[at])));
                }
            }
        }
    }
}

#define CODES_8(R, B) score_codes(8, R, B, s, stride, q, r, keys)
#define CODES_4(R, B) score_codes(4, R, B, s, stride, q, r, keys)

/* ---- weights -------------------------------------------------------------------------------------------------------------- */

MICA__INLINE float32x4_t scaled(float32x4_t s, float scale, float softcap)
{
    s = vmulq_n_f32(s, scale);
    if (softcap <= 0) return s;
    const float32x4_t cap = vdupq_n_f32(softcap);
    return vmulq_f32(cap, mica__tanh4(vdivq_f32(s, cap)));
}

static float weights(float *s, int64_t n, float scale, float softcap, float *max)
{
    const float32x4_t lowest = vdupq_n_f32(-__builtin_inff());
    float32x4_t top = lowest, sum[2] = {vdupq_n_f32(0), vdupq_n_f32(0)}, rest[2];
    const int64_t whole = n / 8 * 8;
    for (int64_t j = 0; j < whole; j += 4) {
        const float32x4_t v = scaled(vld1q_f32(s + j), scale, softcap);
        vst1q_f32(s + j, v);
        top = vmaxq_f32(top, v);
    }
    if (whole < n) {
        static const int32_t place[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        mica__load_some(s + whole, MICA_DTYPE_F32, n - whole, rest);
        for (int v = 0; v < 2; v++) {
            const uint32x4_t used = vcltq_s32(vld1q_s32(place + 4 * v), vdupq_n_s32((int32_t)(n - whole)));
            rest[v] = vbslq_f32(used, scaled(rest[v], scale, softcap), lowest);
            top = vmaxq_f32(top, rest[v]);
        }
    }
    *max = vmaxvq_f32(top);
    const float32x4_t shift = vdupq_n_f32(*max);
    for (int64_t j = 0; j < whole; j += 8) {
        for (int v = 0; v < 2; v++) {
            const float32x4_t e = mica__exp4_falling(vsubq_f32(vld1q_f32(s + j + 4 * v), shift));
            vst1q_f32(s + j + 4 * v, e);
            sum[v] = vaddq_f32(sum[v], e);
        }
    }
    for (int v = 0; v < 2 && whole + 4 * v < n; v++) {
        const float32x4_t e = mica__exp4_falling(vsubq_f32(rest[v], shift));
        mica__store_some(s + whole + 4 * v, e, mica__min(n - whole - 4 * v, 4));
        sum[v] = vaddq_f32(sum[v], e);
    }
    return mica__hsum(sum[0], sum[1]);
}

/* ---- values --------------------------------------------------------------------------------------------------------------- */

typedef enum kind { F32, F16, BF16, CODES8, CODES4 } kind;

/* Eight elements of a row of values; of 4-bit codes the low or the high halves of eight bytes. */
MICA__INLINE void value8(kind k, const uint8_t *row, int v, float32x4_t x[2])
{
    if (k == CODES8 || k == CODES4) {
        uint8x8_t codes = vld1_u8(row + (k == CODES8 ? v : v / 2) * 8);
        if (k == CODES4) codes = v % 2 ? vshr_n_u8(codes, 4) : vand_u8(codes, vdup_n_u8(15));
        const uint16x8_t wide = vmovl_u8(codes);
        x[0] = vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
        x[1] = vcvtq_f32_u32(vmovl_high_u16(wide));
        return;
    }
    const mica_dtype dtype = k == F32 ? MICA_DTYPE_F32 : k == F16 ? MICA_DTYPE_F16 : MICA_DTYPE_BF16;
    mica__load8(row + v * (k == F32 ? 32 : 16), dtype, x);
}

/* What a loop over the positions of a run needs. */
typedef struct stretch {
    const uint8_t *const *eights;
    int64_t first, end;        /* positions, counted from the first block's */
    int64_t offset, row_bytes; /* of the elements, in an eight */
    const float *weights;      /* [row * stride + position] */
    int64_t stride;
    int64_t ahead; /* bytes; 0: this pass over the rows does not fetch for those after it */
} stretch;

/* o of R rows and 8 V elements, `dim` apart. */
MICA__INLINE void add_values(kind k, int R, int V, float *o, int64_t dim, const stretch *s)
{
    float32x4_t sum[ROWS][8];
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int v = 0; v < 2 * V; v++) sum[r][v] = vld1q_f32(o + r * dim + 4 * v);
    for (int64_t j = s->first; j < s->end;) {
        const int64_t end = mica__min(s->end, (j / LANES + 1) * LANES);
        const uint8_t *row = s->eights[j / LANES] + s->offset + j % LANES * s->row_bytes;
        for (; j < end; j++, row += s->row_bytes) {
            if (s->ahead) mica__prefetch(row, s->ahead);
            float32x4_t x[8];
            MICA__UNROLL
            for (int v = 0; v < V; v++) value8(k, row, v, x + 2 * v);
            MICA__UNROLL
            for (int r = 0; r < R; r++) {
                const float p = s->weights[r * s->stride + j];
                MICA__UNROLL
                for (int v = 0; v < 2 * V; v++) sum[r][v] = vfmaq_n_f32(sum[r][v], x[v], p);
            }
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int v = 0; v < 2 * V; v++) vst1q_f32(o + r * dim + 4 * v, sum[r][v]);
}

/* Elements [first, end) of R rows, 8 V at a time. */
MICA__INLINE void add_columns(kind k, int R, int V, float *o, int64_t dim, int64_t first, int64_t end, stretch s)
{
    const int64_t codes = s.offset, ahead = s.ahead;
    int64_t e = first;
#define COLUMNS(N)                                                                                                     \
    for (; e + 8 * (N) <= end; e += 8 * (N)) {                                                                         \
        const int64_t at = k == CODES4 ? e / 2 : k == CODES8 ? e : k == F32 ? e * 4 : e * 2;                           \
        s.offset = codes + at;                                                                                         \
        s.ahead = at % 64 ? 0 : ahead;                                                                                 \
        add_values(k, R, N, o + e, dim, &s);                                                                           \
    }
    COLUMNS(V)
    if (V > 2) COLUMNS(2)
    COLUMNS(1)
#undef COLUMNS
}

/* weights * scale of a group into `own` [R, RUN * LANES], and weights * bias, lane by lane, onto `biased` [R, 8]. */
MICA__INLINE void scale_weights(int R, float *own, float *biased, const stretch *s, int64_t group, int64_t groups)
{
    static const int32_t place[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int64_t b = s->first / LANES; b * LANES < s->end; b++) {
        const int32x4_t from = vdupq_n_s32((int32_t)mica__max(s->first - b * LANES, 0)),
                        end = vdupq_n_s32((int32_t)mica__min(s->end - b * LANES, LANES));
        for (int v = 0; v < 2; v++) {
            const uint8_t *factors = s->eights[b] + group * LANES * 2 + 8 * v;
            const float32x4_t scale = mica__load4(factors, MICA_DTYPE_F16),
                              bias = mica__load4(factors + groups * LANES * 2, MICA_DTYPE_F16);
            /* Lanes outside hold anything, as weights and as scales. */
            const int32x4_t lane = vld1q_s32(place + 4 * v);
            const uint32x4_t used = vandq_u32(vcgeq_s32(lane, from), vcltq_s32(lane, end));
            for (int r = 0; r < R; r++) {
                const float *weights_at = s->weights + r * s->stride + b * LANES + 4 * v;
                const float32x4_t w = vbslq_f32(used, vld1q_f32(weights_at), vdupq_n_f32(0));
                vst1q_f32(own + r * RUN * LANES + b % RUN * LANES + 4 * v, vmulq_f32(w, scale));
                float *sum = biased + r * LANES + 4 * v;
                vst1q_f32(sum, vaddq_f32(vld1q_f32(sum), vbslq_f32(used, vmulq_f32(w, bias), vdupq_n_f32(0))));
            }
        }
    }
}

/* Positions [first, end) of a run, R rows. biased [groups, R, LANES] */
MICA__INLINE void add_run(kind k, int R, int V, float *o, const float *w, int64_t stride, const mica__kv *values,
                          int64_t first, int64_t end, float *biased)
{
    const mica__cache_layout *l = &values->layout;
    stretch s = {values->eights, first, end, l->codes, l->row_bytes, w, stride, mica__max(AHEAD, RUN * l->block_bytes)};
    if (k != CODES8 && k != CODES4) {
        add_columns(k, R, V, o, l->dim, 0, l->dim, s);
        return;
    }
    float own[ROWS * RUN * LANES];
    const int64_t skipped = first / (RUN * LANES) * (RUN * LANES); /* eights of a run, and positions, from 0 on */
    for (int64_t g = 0; g < l->n_groups; g++) {
        scale_weights(R, own, biased + g * R * LANES, &s, g, l->n_groups);
        stretch scaled_run = s;
        scaled_run.eights += skipped / LANES;
        scaled_run.first -= skipped;
        scaled_run.end -= skipped;
        scaled_run.weights = own;
        scaled_run.stride = RUN * LANES;
        add_columns(k, R, V, o, l->dim, g * l->group_size, mica__min((g + 1) * l->group_size, l->dim), scaled_run);
    }
}

/* Weights times biases of groups, summed, onto all elements of a group. */
MICA__INLINE void add_biases(int R, float *o, const float *biased, const mica__cache_layout *l)
{
    for (int64_t g = 0; g < l->n_groups; g++) {
        for (int r = 0; r < R; r++) {
            const float *sum = biased + (g * R + r) * LANES;
            const float32x4_t bias = vdupq_n_f32(mica__hsum(vld1q_f32(sum), vld1q_f32(sum + 4)));
            float *to = o + r * l->dim;
            for (int64_t e = g * l->group_size; e < mica__min((g + 1) * l->group_size, l->dim); e += 4)
                vst1q_f32(to + e, vaddq_f32(vld1q_f32(to + e), bias));
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
    float biased[MICA__WIDTH][MAX_GROUPS * ROWS * LANES];
    for (int64_t b = low; b < high; b++) {
        memset(o + b * step, 0, (size_t)(R * l->dim) * sizeof *o);
        if (codes) memset(biased[b], 0, (size_t)(l->n_groups * R * LANES) * sizeof **biased);
    }
    for (int64_t run = 0; run < MICA__BLOCK; run += RUN * LANES) {
        for (int64_t b = low; b < high; b++) {
            const int64_t from = mica__max(first, b * MICA__BLOCK + run),
                          to = mica__min(end, b * MICA__BLOCK + run + RUN * LANES);
            if (from < to) add_run(k, R, V, o + b * step, w, stride, values, from, to, biased[b]);
        }
    }
    for (int64_t b = low; b < high && codes; b++) add_biases(R, o + b * step, biased[b], l);
}

#define VALUES_F32(R, V) accumulate_rows(F32, R, V, o, step, w, stride, values, first, end)
#define VALUES_F16(R, V) accumulate_rows(F16, R, V, o, step, w, stride, values, first, end)
#define VALUES_BF16(R, V) accumulate_rows(BF16, R, V, o, step, w, stride, values, first, end)
#define VALUES_8(R, V) accumulate_rows(CODES8, R, V, o, step, w, stride, values, first, end)
#define VALUES_4(R, V) accumulate_rows(CODES4, R, V, o, step, w, stride, values, first, end)

#define TARGET
#include "attention_kinds.h"

static void mix(float *a, float x, const float *b, float y, int64_t n)
{
    for (int64_t e = 0; e < n; e += 4)
        vst1q_f32(a + e, vaddq_f32(vmulq_n_f32(vld1q_f32(a + e), x), vmulq_n_f32(vld1q_f32(b + e), y)));
}

static const mica__attention_kit kit = {true, scores, weights, accumulate, mix};

const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim)
{
    return mica__cpu_features()->neon && head_dim % 8 == 0 && value_dim % 8 == 0 ? &kit : NULL;
}

#endif
