/* backend/cpu/matmul.c: batches of matrix products of any strides.
 *
 * A row of a is combined with rows of b: out[m, :] += a[m, k] * b[k, :], k ascending, so each output has one chain of sums and
 * b is read along its rows. (Products with weights, the hot ones, are linear.c's.) */
#include "convert.h"
#include "kernels.h"

#include <string.h>

/* Offset of batch number `batch` in t, whose last two dimensions are the matrix. */
static int64_t batch_offset(const mica__tensor *t, const mica__tensor *out, int64_t out_rows, int64_t batch)
{
    int64_t offset = 0;
    for (int d = out->ndim - 3; d >= 0; d--) {
        int64_t size = d == 0 ? out_rows : out->shape[d];
        offset += batch % size * t->strides[d];
        batch /= size;
    }
    return offset;
}

static const void *element(const mica__tensor *t, int64_t offset)
{
    return (const uint8_t *)t->data + offset * (int64_t)mica_dtype_size(t->dtype);
}

static void matmul(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *a = &instr->in[0], *b = &instr->in[1], *out = &instr->out;
    int last = out->ndim - 1;
    int64_t rows = mica__rows(out, run), m_rows = last == 1 ? rows : out->shape[last - 1], n_out = out->shape[last];
    int64_t k_size = a->shape[last], batches = 1, begin, end;
    mica__class class = out->dtype == MICA_DTYPE_F64 ? MICA__CLASS_F64 : MICA__CLASS_F32;
    for (int d = 0; d < last - 1; d++) batches *= d == 0 ? rows : out->shape[d];
    int64_t runs = (n_out + MICA__CHUNK - 1) / MICA__CHUNK;
    mica__share(batches * m_rows * runs, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t first = item % runs * MICA__CHUNK, m = item / runs % m_rows, batch = item / runs / m_rows;
        int64_t count = mica__min(n_out - first, MICA__CHUNK);
        int64_t at_a = batch_offset(a, out, rows, batch) + m * a->strides[last - 1];
        int64_t at_b = batch_offset(b, out, rows, batch) + first * b->strides[last];
        mica__chunk sum, row, factor;
        memset(&sum, 0, sizeof sum);
        for (int64_t k = 0; k < k_size; k++) {
            mica__load(class, &factor, element(a, at_a + k * a->strides[last]), a->dtype, 1, 1);
            mica__load(class, &row, element(b, at_b + k * b->strides[last - 1]), b->dtype, b->strides[last], count);
            if (class == MICA__CLASS_F32) {
                for (int64_t i = 0; i < count; i++) sum.f32[i] += factor.f32[0] * row.f32[i];
            } else {
                for (int64_t i = 0; i < count; i++) sum.f64[i] += factor.f64[0] * row.f64[i];
            }
        }
        mica__store(class, &sum,
                    (uint8_t *)out->data +
                        ((batch * m_rows + m) * n_out + first) * (int64_t)mica_dtype_size(out->dtype),
                    out->dtype, 1, count);
    }
}

bool mica__cpu_matmul(mica__instr *instr, bool plain)
{
    (void)plain;
    return instr->out.ndim >= 2 && mica__floating(instr->out.dtype) && mica__set_kernel(instr, matmul);
}
