/* backend/cpu/linear_neon.c: products with quantized weights on 64-bit ARM, in float arithmetic: where results shall be exact, and where
 * the processor has no dot products of bytes.
 *
 * Four rows of w are turned into floats in scratch memory and meet one or two rows of x; each of the sums has eight lanes in two vectors,
 * which are added as a tree at the end. That order is the same for one row of x and for many, so a row gives the same bits
 * alone and among others. Rows have whole groups, the smallest of which are 16 elements. */
#include "linear.h"

#include "convert.h"

#if MICA__ARM64
#include "simd_neon.h"

enum { W_ROWS = 4, X_ROWS = 2 };

/* Rows w [4][k] with R rows of x, `stride` floats apart. out [R][4] */
MICA__INLINE void dot_rows(int R, const float *w, const float *x, int64_t stride, int64_t k, float *out)
{
    float32x4_t sum[X_ROWS][W_ROWS][2];
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < W_ROWS; c++) sum[r][c][0] = sum[r][c][1] = vdupq_n_f32(0);
    for (int64_t i = 0; i < k; i += 8) {
        float32x4_t u[X_ROWS][2];
        MICA__UNROLL
        for (int r = 0; r < R; r++) mica__load8(x + r * stride + i, MICA_DTYPE_F32, u[r]);
        MICA__UNROLL
        for (int c = 0; c < W_ROWS; c++) {
            float32x4_t v[2];
            mica__load8(w + c * k + i, MICA_DTYPE_F32, v);
            MICA__UNROLL
            for (int r = 0; r < R; r++) MICA__UNROLL
            for (int h = 0; h < 2; h++) sum[r][c][h] = vfmaq_f32(sum[r][c][h], v[h], u[r][h]);
        }
    }
    MICA__UNROLL
    for (int r = 0; r < R; r++) MICA__UNROLL
    for (int c = 0; c < W_ROWS; c++) out[r * W_ROWS + c] = mica__hsum(sum[r][c][0], sum[r][c][1]);
}

static void linear(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const int64_t rows = mica__rows(x, run), k = x->shape[1], n_out = w->shape[0], stride = x->strides[0];
    float *out = instr->out.data, *w_rows = (float *)(void *)mica__member_scratch(instr, run, id);
    int64_t begin, end;
    mica__share(n_out, W_ROWS, id, n, &begin, &end);
    for (int64_t c = begin; c < end; c += W_ROWS) {
        const int64_t count = mica__min(end - c, W_ROWS);
        float bias[W_ROWS] = {0}, y[X_ROWS * W_ROWS];
        for (int64_t i = 0; i < W_ROWS; i++) /* the last one stands for those past the end */
            mica__dequantize(w_rows + i * k, w, c + mica__min(i, count - 1), 0, k);
        for (int64_t i = 0; i < count; i++) bias[i] = mica__linear_bias(instr, c + i);
        for (int64_t r = 0, m; r < rows; r += m) {
            const float *from = (const float *)x->data + r * stride;
            m = mica__min(rows - r, X_ROWS);
            if (m == 2)
                dot_rows(2, w_rows, from, stride, k, y);
            else
                dot_rows(1, w_rows, from, stride, k, y);
            for (int64_t t = 0; t < m; t++)
                for (int64_t i = 0; i < count; i++) out[(r + t) * n_out + c + i] = y[t * W_ROWS + i] + bias[i];
        }
    }
}

bool mica__linear_neon(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    if (!w->quantized || x->dtype != MICA_DTYPE_F32 || x->strides[1] != 1) return false;
    instr->member_scratch_bytes = mica__round64((size_t)(W_ROWS * x->shape[1]) * sizeof(float));
    return mica__set_kernel(instr, linear);
}

#else
bool mica__linear_neon(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
