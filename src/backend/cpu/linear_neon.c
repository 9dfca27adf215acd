/* backend/cpu/linear_neon.c: products with weights on 64-bit ARM, in float arithmetic: float weights, and affine ones of any width.
 *
 * Four rows of w meet one or two rows of x; each of the sums has eight lanes in two vectors, which are added as a tree at the end, and
 * the elements past the last eight are added after them. That order is the same for one row of x and for many, so a row gives the
 * same bits alone and among others. Half types are widened as they are loaded; affine rows are turned into floats in scratch
 * memory first. */
#include "linear.h"

#include "convert.h"

#if defined(__aarch64__)
#include <arm_neon.h>

enum { W_ROWS = 4, X_ROWS = 2 };

static inline float32x4_t load4(const uint8_t *p, mica_dtype dtype)
{
    if (dtype == MICA_DTYPE_F32) return vreinterpretq_f32_u8(vld1q_u8(p));
    const uint16x4_t half = vreinterpret_u16_u8(vld1_u8(p));
    if (dtype == MICA_DTYPE_F16) return vcvt_f32_f16(vreinterpret_f16_u16(half));
    return vreinterpretq_f32_u32(vshll_n_u16(half, 16));
}

static inline float load1(const uint8_t *p, mica_dtype dtype) { return mica__load_scale(p, dtype, 0); }

/* Rows w [4] of k elements of dtype with n_rows rows of x, `stride` floats apart. out [n_rows][4] */
static inline __attribute__((always_inline)) void dot_rows(mica_dtype dtype, int n_rows, const uint8_t *const w[W_ROWS],
                                                           const float *x, int64_t stride, int64_t k, float *out)
{
    const int64_t size = dtype == MICA_DTYPE_F32 ? 4 : 2;
    float32x4_t sum[X_ROWS][W_ROWS][2];
    int64_t i = 0;
    MICA__UNROLL
    for (int r = 0; r < n_rows; r++)
        for (int c = 0; c < W_ROWS; c++) sum[r][c][0] = sum[r][c][1] = vdupq_n_f32(0);
    for (; i + 8 <= k; i += 8) {
        MICA__UNROLL
        for (int h = 0; h < 2; h++) {
            float32x4_t u[X_ROWS];
            MICA__UNROLL
            for (int r = 0; r < n_rows; r++) u[r] = vld1q_f32(x + r * stride + i + 4 * h);
            MICA__UNROLL
            for (int c = 0; c < W_ROWS; c++) {
                const float32x4_t v = load4(w[c] + (i + 4 * h) * size, dtype);
                MICA__UNROLL
                for (int r = 0; r < n_rows; r++) sum[r][c][h] = vfmaq_f32(sum[r][c][h], v, u[r]);
            }
        }
    }
    for (int r = 0; r < n_rows; r++) {
        for (int c = 0; c < W_ROWS; c++) {
            float y = vaddvq_f32(vaddq_f32(sum[r][c][0], sum[r][c][1]));
            for (int64_t j = i; j < k; j++) y += load1(w[c] + j * size, dtype) * x[r * stride + j];
            out[r * W_ROWS + c] = y;
        }
    }
}

/* The rows of w from c on, at most four; the last one stands for those past the end. Affine ones are in scratch memory [4, K]. */
static void rows_of(const mica__tensor *w, int64_t c, float *scratch, const uint8_t *rows[W_ROWS])
{
    const int64_t k = w->shape[1], n = mica__min(w->shape[0] - c, W_ROWS);
    for (int64_t i = 0; i < W_ROWS; i++) {
        const int64_t row = mica__min(i, n - 1);
        if (w->quantized) {
            if (i < n) mica__dequantize(scratch + i * k, w, c + i, 0, k);
            rows[i] = (const uint8_t *)(scratch + row * k);
        } else {
            rows[i] = (const uint8_t *)w->data + (c + row) * w->strides[0] * (int64_t)mica_dtype_size(w->dtype);
        }
    }
}

static inline __attribute__((always_inline)) void linear(mica_dtype dtype, const mica__instr *instr,
                                                         const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const int64_t rows = mica__rows(x, run), k = x->shape[1], n_out = w->shape[0], stride = x->strides[0];
    float *out = instr->out.data, *scratch = (float *)(void *)mica__member_scratch(instr, run, id);
    int64_t begin, end;
    mica__share(n_out, W_ROWS, id, n, &begin, &end);
    for (int64_t c = begin; c < end; c += W_ROWS) {
        const uint8_t *w_rows[W_ROWS];
        const int64_t count = mica__min(end - c, W_ROWS);
        float bias[W_ROWS] = {0}, y[X_ROWS * W_ROWS];
        rows_of(w, c, scratch, w_rows);
        for (int64_t i = 0; i < count; i++) bias[i] = mica__linear_bias(instr, c + i);
        for (int64_t r = 0, m; r < rows; r += m) {
            const float *from = (const float *)x->data + r * stride;
            m = mica__min(rows - r, X_ROWS);
            if (m == 2)
                dot_rows(dtype, 2, w_rows, from, stride, k, y);
            else
                dot_rows(dtype, 1, w_rows, from, stride, k, y);
            for (int64_t t = 0; t < m; t++)
                for (int64_t i = 0; i < count; i++) out[(r + t) * n_out + c + i] = y[t * W_ROWS + i] + bias[i];
        }
    }
}

#define DEFINE(dtype)                                                                                                  \
    static void linear_##dtype(const mica__instr *instr, const mica__run *run, int id, int n)                          \
    {                                                                                                                  \
        linear(MICA_DTYPE_##dtype, instr, run, id, n);                                                                 \
    }
DEFINE(F32)
DEFINE(F16)
DEFINE(BF16)

bool mica__linear_neon(mica__instr *instr)
{
    const mica__tensor *x = &instr->in[0], *w = &instr->in[1];
    const mica_dtype dtype = w->quantized ? MICA_DTYPE_F32 : w->dtype;
    if (x->dtype != MICA_DTYPE_F32 || x->strides[1] != 1 || (!w->quantized && w->strides[1] != 1)) return false;
    if (dtype != MICA_DTYPE_F32 && dtype != MICA_DTYPE_F16 && dtype != MICA_DTYPE_BF16) return false;
    if (w->quantized) instr->member_scratch_bytes = mica__round64((size_t)(W_ROWS * x->shape[1]) * sizeof(float));
    return mica__set_kernel(instr, dtype == MICA_DTYPE_F32   ? linear_F32
                                   : dtype == MICA_DTYPE_F16 ? linear_F16
                                                             : linear_BF16);
}

#else
bool mica__linear_neon(mica__instr *instr)
{
    (void)instr;
    return false;
}
#endif
