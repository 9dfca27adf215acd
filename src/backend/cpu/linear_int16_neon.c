/* backend/cpu/linear_int16_neon.c: products of quantized weights with activations rounded to 16 bits on 64-bit ARM: the rounding, and which
 * kernel takes the rows. int16_neon.h says what is computed. Rows of x are rounded for few rows or for panels, as many as a run has. */
#include "int16_neon.h"

#if MICA__ARM64

enum { TOP = 127 * 257, SHARE = 128 /* elements rounded at a time: whole groups, and rows have whole ones */ };

/* In which order a span's elements lie: with a step of 2, the even ones come before the odd ones. */
static int step_of(const mica__tensor *w) { return w->affine.bits == 2 ? 4 : w->affine.bits == 4 ? 2 : 1; }

static bool takes_panels(int64_t rows) { return rows > MICA__FEW && mica__cpu_features()->i8mm; }

/* One group of x to h and l; NaN and infinities make d NaN. */
static void round_group(const float *x, int64_t size, int8_t *high, int8_t *low, float *d, float *dsum, int32_t *sum)
{
    float32x4_t top = vdupq_n_f32(0), rest = top;
    for (int64_t i = 0; i < size; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        top = vmaxq_f32(top, vabsq_f32(v));
        rest = vaddq_f32(rest, vsubq_f32(v, v));
    }
    float max = vmaxvq_f32(top), inverse = max > 0 ? TOP / max : 0;
    if (inverse > 0x1p126f) inverse = max = 0; /* all but zero */
    int32x4_t total = vdupq_n_s32(0);
    for (int64_t i = 0; i < size; i += 8) {
        const int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), inverse));
        const int32x4_t b = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4), inverse));
        total = vaddq_s32(total, vaddq_s32(a, b));
        const int16x8_t q = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
        vst1_s8(low + i, vmovn_s16(q));
        vst1_s8(high + i, vqmovn_s16(vrshrq_n_s16(q, 8))); /* l is what this leaves */
    }
    *sum = vaddvq_s32(total);
    *d = max / TOP + vaddvq_f32(rest);
    *dsum = *d * (float)*sum;
}

/* Every `step`-th element first, then those after them: of spans of `span`. */
static void reorder(int8_t *q, int step, int64_t span)
{
    int8_t from[SHARE];
    if (step == 1) return;
    memcpy(from, q, SHARE);
    for (int64_t i = 0; i < SHARE; i += span) {
        if (step == 4) {
            const int8x8x4_t v = vld4_s8(from + i);
            for (int j = 0; j < 4; j++) vst1_s8(q + i + 8 * j, v.val[j]);
        } else if (span == 16) {
            const int8x8x2_t v = vld2_s8(from + i);
            vst1_s8(q + i, v.val[0]);
            vst1_s8(q + i + 8, v.val[1]);
        } else {
            const int8x16x2_t v = vld2q_s8(from + i);
            vst1q_s8(q + i, v.val[0]);
            vst1q_s8(q + i + 16, v.val[1]);
        }
    }
}

/* Phase 0. */
static void round_x(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const mica__int16_layout l = mica__int16_layout_of(w);
    const int64_t k = x->shape[1], size = w->affine.group_size, shares = l.codes / SHARE, rows = mica__rows(x, run);
    const bool panels = takes_panels(rows);
    int64_t begin, end;
    mica__share(rows * shares, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        const int64_t row = item / shares, first = item % shares * SHARE;
        mica__chunk c;
        int8_t high[SHARE], low[SHARE];
        memset(c.f32, 0, SHARE * sizeof(float));
        const uint8_t *from = x->data;
        from += (row * x->strides[0] + first * x->strides[1]) * (int64_t)mica_dtype_size(x->dtype);
        mica__load(MICA__CLASS_F32, &c, from, x->dtype, x->strides[1], mica__min(k - first, SHARE));
        uint8_t *base = run->scratch + row * l.bytes;
        float *d = (float *)(void *)(base + 2 * l.codes) + first / size;
        for (int64_t i = 0, g = 0; i < SHARE; i += size, g++)
            round_group(c.f32 + i, size, high + i, low + i, d + g, d + l.groups + g,
                        (int32_t *)(void *)(d + 2 * l.groups) + g);
        /* Panels want the elements of a group of 16 together. */
        const int64_t span = panels ? mica__min(size, MICA__SPAN) : MICA__SPAN;
        reorder(high, step_of(w), span);
        reorder(low, step_of(w), span);
        if (!panels) {
            memcpy(base + first, high, SHARE);
            memcpy(base + l.codes + first, low, SHARE);
            continue;
        }
        for (int64_t i = 0; i < SHARE; i += 8) {
            memcpy(base + 2 * (first + i), high + i, 8);
            memcpy(base + 2 * (first + i) + 8, low + i, 8);
        }
    }
}

static mica__int16_matrix matrix_of(const mica__tensor *w)
{
    static const mica__elements elements[] = {[2] = MICA__BITS2, [3] = MICA__BITS3, [4] = MICA__BITS4,
                                              [5] = MICA__BITS5, [6] = MICA__BITS6, [8] = MICA__BITS8};
    const mica__affine *a = &w->affine;
    const bool affine = a->mode == MICA_QUANT_AFFINE;
    return (mica__int16_matrix){.codes = w->data,
                                .scales = a->scales,
                                .biases = a->biases,
                                .elements = affine ? elements[a->bits] : MICA__FLOAT4,
                                .mode = a->mode,
                                .dtype = a->scale_dtype,
                                .bits = a->bits,
                                .size = a->group_size,
                                .rows = w->shape[0],
                                .groups = w->shape[1] / a->group_size,
                                .row_bytes = (int64_t)mica__row_bytes(w)};
}

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__int16_matrix w = matrix_of(&instr->in[1]);
    int64_t begin, end;
    mica__share(w.rows, 4, id, n, &begin, &end);
    if (takes_panels(mica__rows(&instr->in[0], run)))
        mica__int16_i8mm(instr, run, &w, begin, end, mica__member_scratch(instr, run, id));
    else
        mica__int16_dotprod(instr, run, &w, begin, end);
}

bool mica__linear_int16_neon(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!mica__cpu_features()->dotprod || !w->quantized || w->affine.mode == MICA_QUANT_MXFP8) return false;
    instr->phase[0] = round_x;
    instr->phase[1] = linear;
    instr->n_phases = 2;
    instr->first_phase_key = (uint64_t)w->affine.group_size << 3 | (uint64_t)step_of(w); /* what round_x looks at */
    instr->scratch_bytes = (size_t)x->shape[0] * (size_t)mica__int16_layout_of(w).bytes;
    if (takes_panels(x->shape[0])) instr->member_scratch_bytes = mica__round64(mica__int16_i8mm_bytes());
    return true;
}

#else
bool mica__linear_int16_neon(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
