/* backend/cpu/take.c: take (indices along one axis, whole slices) and take_along_axis (an index per element).
 *
 * Indices out of range are clamped. A quantized matrix gives rows, dequantized on the way. */
#include "convert.h"
#include "kernels.h"
#include "walk.h"

static int64_t load_index(const mica__tensor *indices, int64_t offset, int64_t length)
{
    const uint8_t *at = mica__at(indices, offset);
    int64_t index;
    if (indices->dtype == MICA_DTYPE_I64) {
        memcpy(&index, at, 8);
    } else {
        int32_t narrow;
        memcpy(&narrow, at, 4);
        index = narrow;
    }
    return index < 0 ? 0 : index >= length ? length - 1 : index;
}

/* Offset of element number `i` of t's dimensions [first, last), the first of which has `length` elements if first is 0. */
static int64_t offset_of(const mica__tensor *t, int first, int last, int64_t length, int64_t i)
{
    int64_t offset = 0;
    for (int d = last - 1; d >= first; d--) {
        int64_t size = d == 0 ? length : t->shape[d];
        offset += i % size * t->strides[d];
        i /= size;
    }
    return offset;
}

static int64_t size_of(const mica__tensor *t, int first, int last, int64_t rows)
{
    int64_t size = 1;
    for (int d = first; d < last; d++) size *= d == 0 ? rows : t->shape[d];
    return size;
}

static void copy_run(uint8_t *dst, const uint8_t *src, int64_t step, size_t size, int64_t n)
{
    if (step == 1) {
        memcpy(dst, src, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++) memcpy(dst + (size_t)i * size, src + i * step * (int64_t)size, size);
}

/* out [before, indices, after]: items are (before, index) pairs; each copies `after` elements. */
static void take(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *indices = &instr->in[1], *out = &instr->out;
    int axis = instr->attrs.axis;
    int64_t x_rows = mica__rows(x, run), i_rows = mica__rows(indices, run);
    int64_t length = axis == 0 ? x_rows : x->shape[axis];
    int64_t n_indices = size_of(indices, 0, indices->ndim, i_rows);
    int64_t before = size_of(x, 0, axis, x_rows), after = size_of(x, axis + 1, x->ndim, 0);
    size_t size = mica_dtype_size(x->dtype);
    int64_t begin, end;
    mica__share(before * n_indices, after < 64 ? 64 : 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t index = load_index(indices, offset_of(indices, 0, indices->ndim, i_rows, item % n_indices), length);
        int64_t from = offset_of(x, 0, axis, x_rows, item / n_indices) + index * x->strides[axis];
        uint8_t *dst = mica__at(out, item * after);
        if (axis == x->ndim - 1) {
            memcpy(dst, mica__at(x, from), size);
            continue;
        }
        int last = x->ndim - 1;
        int64_t inner = x->shape[last];
        for (int64_t done = 0; done < after; done += inner, dst += (size_t)inner * size) {
            int64_t offset = from + offset_of(x, axis + 1, last, 0, done / inner);
            copy_run(dst, mica__at(x, offset), x->strides[last], size, inner);
        }
    }
}

static void take_rows(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *w = &instr->in[0], *indices = &instr->in[1], *out = &instr->out;
    int64_t i_rows = mica__rows(indices, run), k = w->shape[1], runs = (k + MICA__CHUNK - 1) / MICA__CHUNK;
    int64_t begin, end;
    mica__share(size_of(indices, 0, indices->ndim, i_rows) * runs, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t i = item / runs, first = item % runs * MICA__CHUNK, count = mica__min(k - first, MICA__CHUNK);
        int64_t r = load_index(indices, offset_of(indices, 0, indices->ndim, i_rows, i), w->shape[0]);
        mica__chunk x;
        mica__dequantize(x.f32, w, r, first, count);
        mica__store(MICA__CLASS_F32, &x, mica__at(out, i * k + first), out->dtype, 1, count);
    }
}

static void dequantize(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *w = &instr->in[0], *out = &instr->out;
    int64_t k = w->shape[1], runs = (k + MICA__CHUNK - 1) / MICA__CHUNK, begin, end;
    mica__share(mica__rows(w, run) * runs, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t r = item / runs, first = item % runs * MICA__CHUNK, count = mica__min(k - first, MICA__CHUNK);
        mica__chunk x;
        mica__dequantize(x.f32, w, r, first, count);
        mica__store(MICA__CLASS_F32, &x, mica__at(out, r * k + first), out->dtype, 1, count);
    }
}

static void take_along(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *indices = &instr->in[1], *out = &instr->out;
    int last = out->ndim - 1;
    int64_t rows = mica__rows(out, run), width = last == 0 ? rows : out->shape[last];
    int64_t length = last == 0 ? mica__rows(x, run) : x->shape[last], begin, end;
    size_t size = mica_dtype_size(x->dtype);
    mica__share(size_of(out, 0, out->ndim, rows), 64, id, n, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = offset_of(indices, 0, last, rows, i / width) + i % width * indices->strides[last];
        int64_t from = offset_of(x, 0, last, rows, i / width) + load_index(indices, at, length) * x->strides[last];
        memcpy(mica__at(out, i), mica__at(x, from), size);
    }
}

bool mica__cpu_take(mica__instr *instr, bool plain)
{
    (void)plain;
    const mica__tensor *x = &instr->in[0];
    if (x->quantized) return instr->attrs.axis == 0 && mica__set_kernel(instr, take_rows);
    return x->ndim > 0 && mica__set_kernel(instr, take);
}

bool mica__cpu_take_along(mica__instr *instr, bool plain)
{
    (void)plain;
    return instr->out.ndim > 0 && mica__set_kernel(instr, take_along);
}

bool mica__cpu_dequantize(mica__instr *instr, bool plain)
{
    (void)plain;
    return mica__set_kernel(instr, dequantize);
}
