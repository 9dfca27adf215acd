/* backend/cpu/linear.c: x [M, K] times the transpose of w [N, K], plain: any float dtype or quantized codes.
 *
 * Every member has a range of rows of w, which it turns into floats one at a time and multiplies with all rows of x. */
#include "convert.h"
#include "dot.h"
#include "linear.h"

/* row [K] = row `r` of w as floats */
static void load_row(float *row, const mica__tensor *w, int64_t r)
{
    int64_t k = w->shape[1];
    if (w->quantized) {
        mica__dequantize(row, w, r, 0, k);
        return;
    }
    for (int64_t i = 0; i < k; i += MICA__CHUNK) {
        mica__chunk c;
        int64_t count = mica__min(k - i, MICA__CHUNK);
        const uint8_t *at = (const uint8_t *)w->data;
        at += (r * w->strides[0] + i * w->strides[1]) * (int64_t)mica_dtype_size(w->dtype);
        mica__load(MICA__CLASS_F32, &c, at, w->dtype, w->strides[1], count);
        memcpy(row + i, c.f32, (size_t)count * sizeof(float));
    }
}

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    int64_t m_rows = mica__rows(x, run), k = x->shape[1], n_out = w->shape[0], begin, end;
    float *w_row = (float *)(void *)mica__member_scratch(instr, run, id), *x_row = w_row + k;
    mica__share(n_out, 16, id, n, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        load_row(w_row, w, r);
        const float add = mica__linear_bias(instr, r);
        for (int64_t m = 0; m < m_rows; m++) {
            load_row(x_row, x, m);
            float y = mica__dot(x_row, w_row, k) + add;
            memcpy((uint8_t *)instr->out.data + (m * n_out + r) * (int64_t)sizeof y, &y, sizeof y);
        }
    }
}

bool mica__cpu_linear(mica__instr *instr, bool plain)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (x->ndim != 2 || w->ndim != 2 || !mica__floating(x->dtype) || !mica__floating(w->dtype)) return false;
    if (instr->n_in > 2 && instr->in[2].dtype != MICA_DTYPE_F32) return false;
    const bool floats = w->quantized && w->affine.mode != MICA_QUANT_AFFINE;
    if (!plain && mica__has_avx2() && floats) {
        if (!instr->exact && mica__linear_int16_odd_avx2(instr)) return true;
        if (mica__linear_floats_avx2(instr)) return true;
    }
    if (!plain && mica__has_avx2() && !floats) {
        if (!instr->exact && mica__linear_int16_avx2(instr)) {
            if (instr->int8 && !mica__has_avx512_vnni()) mica__add_int8_avx2(instr); /* 16 bits are faster there */
            return true;
        }
        if (!instr->exact && mica__linear_int16_odd_avx2(instr)) return true;
        if (mica__linear_dense_avx2(instr) || mica__linear_avx2(instr)) return true;
    }
    if (!plain && mica__cpu_features()->neon) {
        if (!instr->exact && mica__linear_int16_neon(instr)) return true;
        if (mica__linear_dense_neon(instr) || mica__linear_neon(instr)) return true;
    }
    instr->member_scratch_bytes = mica__round64((size_t)x->shape[1] * 2 * sizeof(float));
    return mica__set_kernel(instr, linear);
}
