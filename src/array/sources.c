/* array/sources.c: arrays that no operation made: data, inputs of programs, quantized matrices, constants. */
#include "build.h"

#include <math.h>
#include <string.h>

mica_array *mica_from_data(mica_graph *g, const void *data, mica_dtype dtype, const int64_t *shape, int ndim)
{
    mica_array *a = mica__new(g, "from_data", MICA__SOURCE, dtype, shape, ndim, NULL, 0);
    if (!a) return NULL;
    size_t n_bytes = (size_t)mica_array_size(a) * mica_dtype_size(dtype);
    a->buffer = mica__buffer_create(n_bytes);
    if (!a->buffer) return mica__latch(g, MICA_MEMORY, "from_data: out of memory (%zu bytes)", n_bytes);
    if (n_bytes) memcpy(a->buffer->data, data, n_bytes);
    return a;
}

mica_array *mica_from_memory(mica_graph *g, const void *data, mica_dtype dtype, const int64_t *shape, int ndim,
                             void (*release)(void *context), void *context)
{
    mica_array *a = mica__new(g, "from_memory", MICA__SOURCE, dtype, shape, ndim, NULL, 0);
    if (!a) return NULL;
    size_t n_bytes = (size_t)mica_array_size(a) * mica_dtype_size(dtype);
    a->buffer = mica__buffer_borrow(data, n_bytes, release, context);
    return a->buffer ? a : mica__latch(g, MICA_MEMORY, "from_memory: out of memory");
}

mica_array *mica_scalar(mica_graph *g, float value) { return mica_from_data(g, &value, MICA_DTYPE_F32, NULL, 0); }

mica_array *mica_full(mica_graph *g, const int64_t *shape, int ndim, double value, mica_dtype dtype)
{
    mica_array *a = mica__operation(g, MICA__OP_FULL, dtype, shape, ndim, NULL, 0, NULL);
    if (a) a->attrs.value = value;
    return a;
}

mica_array *mica_arange(mica_graph *g, double start, double stop, double step, mica_dtype dtype)
{
    double count = ceil((stop - start) / step);
    if (!(step != 0) || !isfinite(count) || count > 1e15)
        return mica__latch(g, MICA_INVALID, "arange: from %g to %g by %g", start, stop, step);
    int64_t n = count > 0 ? (int64_t)count : 0;
    mica_array *a = mica__operation(g, MICA__OP_ARANGE, dtype, &n, 1, NULL, 0, NULL);
    if (!a) return NULL;
    a->attrs.value = start;
    a->attrs.value2 = step;
    return a;
}

mica_array *mica_input(mica_graph *g, int slot, mica_dtype dtype, const int64_t *shape, int ndim, bool rows)
{
    mica_array *a = mica__new(g, "input", MICA__INPUT, dtype, shape, ndim, NULL, 0);
    if (!a) return NULL;
    if (slot < 0 || slot > 255) return mica__latch(g, MICA_INVALID, "input: slot %d is not in 0..255", slot);
    if (rows && (ndim == 0 || shape[0] < 1))
        return mica__latch(g, MICA_INVALID, "input: rows of shape %s", MICA_SHAPE(a));
    a->slot = slot;
    a->rows_factor = rows;
    return a;
}

static bool is_bits(int bits) { return bits == 2 || bits == 3 || bits == 4 || bits == 5 || bits == 6 || bits == 8; }

static bool are_matrices(mica_graph *g, mica_array *const *in, int n)
{
    for (int i = 0; i < n; i++) {
        if (in[i]->kind == MICA__SOURCE && in[i]->ndim == 2) continue;
        mica__latch(g, MICA_INVALID, "quantized: input %d is not a matrix of data", i);
        return false;
    }
    return true;
}

static mica_array *new_quantized(mica_graph *g, mica_quant_mode mode, mica_dtype dtype, mica_array *const *in, int n_in,
                                 int group_size, int bits)
{
    const int64_t shape[] = {in[0]->shape[0], in[1]->shape[1] * group_size};
    mica_array *a = mica__new(g, "quantized", MICA__SOURCE, dtype, shape, 2, in, n_in);
    if (!a) return NULL;
    a->quantized = true;
    a->mode = mode;
    a->bits = bits;
    a->group_size = group_size;
    return a;
}

mica_array *mica_quantized(mica_graph *g, mica_array *codes, mica_array *scales, mica_array *biases, int group_size,
                           int bits)
{
    mica_array *in[] = {codes, scales, biases};
    const int n_in = biases ? 3 : 2;
    if (!mica__plain(g, "quantized", in, n_in)) return NULL;
    if (!is_bits(bits) || (group_size != 32 && group_size != 64 && group_size != 128))
        return mica__latch(g, MICA_INVALID,
                           "quantized: %d bits in groups of %d; bits are 2, 3, 4, 5, 6, 8, groups 32, 64, 128", bits,
                           group_size);
    if (!are_matrices(g, in, n_in)) return NULL;
    int64_t n_rows = codes->shape[0], n_columns = scales->shape[1] * group_size;
    bool fits = codes->dtype == MICA_DTYPE_U32 && codes->shape[1] * 32 == n_columns * bits &&
                scales->shape[0] == n_rows &&
                (!biases || (mica__shape_is(biases, scales->shape, 2) && scales->dtype == biases->dtype)) &&
                mica__is_float(scales->dtype) && scales->dtype != MICA_DTYPE_F64;
    if (!fits)
        return mica__latch(
            g, MICA_INVALID, "quantized: codes %s, scales %s, biases %s do not fit %d bits in groups of %d",
            MICA_SHAPE(codes), MICA_SHAPE(scales), biases ? MICA_SHAPE(biases) : "none", bits, group_size);
    return new_quantized(g, MICA_QUANT_AFFINE, scales->dtype, in, n_in, group_size, bits);
}

mica_array *mica_quantized_float(mica_graph *g, mica_quant_mode mode, mica_array *codes, mica_array *scales)
{
    mica_array *in[] = {codes, scales};
    if (!mica__plain(g, "quantized", in, 2) || !are_matrices(g, in, 2)) return NULL;
    if (mode != MICA_QUANT_MXFP4 && mode != MICA_QUANT_MXFP8 && mode != MICA_QUANT_NVFP4)
        return mica__latch(g, MICA_INVALID, "quantized: %d is not a mode of floats", (int)mode);
    const int bits = mode == MICA_QUANT_MXFP8 ? 8 : 4, group_size = mode == MICA_QUANT_NVFP4 ? 16 : 32;
    if (codes->dtype != MICA_DTYPE_U32 || scales->dtype != MICA_DTYPE_U8 || scales->shape[0] != codes->shape[0] ||
        codes->shape[1] * 32 != scales->shape[1] * group_size * bits)
        return mica__latch(g, MICA_INVALID, "quantized: codes %s %s, scales %s %s do not fit %d bits in groups of %d",
                           mica_dtype_name(codes->dtype), MICA_SHAPE(codes), mica_dtype_name(scales->dtype),
                           MICA_SHAPE(scales), bits, group_size);
    return new_quantized(g, mode, MICA_DTYPE_BF16, in, 2, group_size, bits);
}
