/* array/shape.c: views and copies: reshape, transpose, slice, broadcast, concatenate, take.
 *
 * An array whose first dimension is bounded by the rows of a run keeps that dimension first and outermost; a builder that
 * would move it, cut it or mix it with another refuses. */
#include "build.h"

bool mica__plain(mica_graph *g, const char *what, mica_array *const *in, int n_in)
{
    if (!mica__ready(g, what, in, n_in)) return false;
    for (int i = 0; i < n_in; i++)
        if (in[i]->quantized) {
            mica__latch(g, MICA_INVALID, "%s: input %d is a quantized matrix; dequantize it", what, i);
            return false;
        }
    return true;
}

mica_array *mica_contiguous(mica_graph *g, mica_array *x)
{
    if (!mica__plain(g, "contiguous", &x, 1)) return NULL;
    if (mica__is_dense(x)) return x;
    return mica__operation(g, MICA__OP_COPY, x->dtype, x->shape, x->ndim, &x, 1, x);
}

/* ---- reshape ---- */

/* Fills in a -1 and checks the number of elements. */
static bool resolve_shape(mica_graph *g, const mica_array *x, const int64_t *wanted, int ndim, int64_t *shape)
{
    int64_t size = mica_array_size(x), known = 1;
    int unknown = -1;
    if (ndim < 0 || ndim > MICA_MAX_DIMS) goto bad;
    for (int i = 0; i < ndim; i++) {
        shape[i] = wanted[i];
        if (wanted[i] == -1 && unknown < 0)
            unknown = i;
        else if (wanted[i] < 0 || __builtin_mul_overflow(known, wanted[i], &known))
            goto bad;
    }
    if (unknown >= 0) {
        if (known == 0 || size % known) goto bad;
        shape[unknown] = size / known;
        known = size;
    }
    if (known == size) return true;
bad:
    mica__latch(g, MICA_INVALID, "reshape: %s cannot become %s", MICA_SHAPE(x),
                mica__format_shape(&(mica__shape_text){{0}}, wanted, ndim < 0 || ndim > MICA_MAX_DIMS ? 0 : ndim));
    return false;
}

mica_array *mica_reshape(mica_graph *g, mica_array *x, const int64_t *wanted, int ndim)
{
    int64_t shape[MICA_MAX_DIMS], strides[MICA_MAX_DIMS], factor = 0;
    if (!mica__plain(g, "reshape", &x, 1) || !resolve_shape(g, x, wanted, ndim, shape)) return NULL;
    if (x->rows_factor) {
        int64_t bound = x->shape[0] / x->rows_factor;
        if (ndim == 0 || shape[0] % bound)
            return mica__latch(g, MICA_INVALID, "reshape: the rows of %s do not stay outermost", MICA_SHAPE(x));
        factor = shape[0] / bound;
    }
    x = mica_contiguous(g, x);
    if (!x) return NULL;
    mica__row_major(shape, ndim, strides);
    return mica__view(g, x, shape, strides, ndim, 0, factor);
}

mica_array *mica__as_matrix(mica_graph *g, mica_array *x)
{
    if (!x) return NULL;
    if (x->ndim == 0) return mica__latch(g, MICA_INVALID, "a scalar has no last axis");
    int64_t last = x->shape[x->ndim - 1], n = 1;
    for (int i = 0; i < x->ndim - 1; i++) n *= x->shape[i];
    if (x->ndim == 2 && x->strides[1] == 1) return x;
    return mica_reshape(g, x, (int64_t[]){n, last}, 2);
}

/* ---- transpose ---- */

mica_array *mica_transpose(mica_graph *g, mica_array *x, const int *axes)
{
    int64_t shape[MICA_MAX_DIMS], strides[MICA_MAX_DIMS];
    if (!mica__plain(g, "transpose", &x, 1)) return NULL;
    unsigned seen = 0;
    for (int i = 0; i < x->ndim; i++) {
        int axis;
        if (!mica__axis(g, x, axes ? axes[i] : x->ndim - 1 - i, "transpose", &axis)) return NULL;
        seen |= 1u << axis;
        shape[i] = x->shape[axis];
        strides[i] = x->strides[axis];
        if (x->rows_factor && i == 0 && axis != 0)
            return mica__latch(g, MICA_INVALID, "transpose: the rows of %s must stay outermost", MICA_SHAPE(x));
    }
    if (seen != (1u << x->ndim) - 1) return mica__latch(g, MICA_INVALID, "transpose: an axis appears twice");
    return mica__view(g, x, shape, strides, x->ndim, 0, x->rows_factor);
}

mica_array *mica__move_last(mica_graph *g, mica_array *x, int axis)
{
    if (axis == x->ndim - 1) return x;
    int axes[MICA_MAX_DIMS], n = 0;
    for (int i = 0; i < x->ndim; i++)
        if (i != axis) axes[n++] = i;
    axes[n] = axis;
    return mica_transpose(g, x, axes);
}

mica_array *mica__move_back(mica_graph *g, mica_array *x, int axis)
{
    if (!x || axis == x->ndim - 1) return x;
    int axes[MICA_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++) axes[i] = i < axis ? i : i == axis ? x->ndim - 1 : i - 1;
    return mica_transpose(g, x, axes);
}

/* ---- slice ---- */

mica_array *mica_slice(mica_graph *g, mica_array *x, int axis, int64_t start, int64_t stop, int64_t step)
{
    if (!mica__plain(g, "slice", &x, 1) || !mica__axis(g, x, axis, "slice", &axis)) return NULL;
    int64_t length = x->shape[axis];
    if (start < 0) start += length;
    if (stop < 0) stop += length;
    if (step < 1 || start < 0 || start > stop || stop > length)
        return mica__latch(g, MICA_INVALID, "slice: %lld..%lld by %lld of axis %d of %s", (long long)start,
                           (long long)stop, (long long)step, axis, MICA_SHAPE(x));
    if (x->rows_factor && axis == 0)
        return mica__latch(g, MICA_INVALID, "slice: the rows of %s cannot be cut", MICA_SHAPE(x));
    int64_t shape[MICA_MAX_DIMS], strides[MICA_MAX_DIMS];
    for (int i = 0; i < x->ndim; i++) {
        shape[i] = x->shape[i];
        strides[i] = x->strides[i];
    }
    shape[axis] = (stop - start + step - 1) / step;
    strides[axis] = x->strides[axis] * step;
    return mica__view(g, x, shape, strides, x->ndim, start * x->strides[axis], x->rows_factor);
}

/* ---- broadcast ---- */

bool mica__broadcast_shape(mica_graph *g, const char *what, mica_array *const *in, int n_in, int64_t *shape, int *ndim,
                           int64_t *rows_factor)
{
    *ndim = 0;
    *rows_factor = 0;
    for (int i = 0; i < n_in; i++)
        if (in[i]->ndim > *ndim) *ndim = in[i]->ndim;
    for (int d = 0; d < *ndim; d++) shape[d] = 1;
    for (int i = 0; i < n_in; i++)
        for (int d = 0; d < in[i]->ndim; d++) {
            int64_t length = in[i]->shape[d], *target = &shape[*ndim - in[i]->ndim + d];
            if (*target == 1) *target = length;
            if (length != 1 && length != *target) {
                mica__latch(g, MICA_INVALID, "%s: shapes %s and %s do not fit", what, MICA_SHAPE(in[0]),
                            MICA_SHAPE(in[i]));
                return false;
            }
        }
    for (int i = 0; i < n_in; i++) {
        if (!in[i]->rows_factor) continue;
        bool outermost = in[i]->ndim == *ndim && in[i]->shape[0] == shape[0];
        if (!outermost || (*rows_factor && *rows_factor != in[i]->rows_factor)) {
            mica__latch(g, MICA_INVALID, "%s: the rows of %s must be the outermost axis of the result", what,
                        MICA_SHAPE(in[i]));
            return false;
        }
        *rows_factor = in[i]->rows_factor;
    }
    return true;
}

mica_array *mica__broadcast(mica_graph *g, mica_array *x, const int64_t *shape, int ndim)
{
    if (!x || mica__shape_is(x, shape, ndim)) return x;
    int64_t strides[MICA_MAX_DIMS];
    for (int d = 0; d < ndim; d++) {
        int from = d - (ndim - x->ndim);
        strides[d] = from < 0 || x->shape[from] == 1 ? 0 : x->strides[from];
    }
    int64_t factor = x->rows_factor && x->ndim == ndim && x->shape[0] == shape[0] ? x->rows_factor : 0;
    return mica__view(g, x, shape, strides, ndim, 0, factor);
}

mica_array *mica_broadcast_to(mica_graph *g, mica_array *x, const int64_t *shape, int ndim)
{
    if (!mica__plain(g, "broadcast_to", &x, 1)) return NULL;
    bool fits = ndim >= x->ndim && ndim <= MICA_MAX_DIMS;
    for (int d = 0; fits && d < x->ndim; d++) fits = x->shape[d] == 1 || x->shape[d] == shape[ndim - x->ndim + d];
    for (int d = 0; fits && d < ndim; d++) fits = shape[d] >= 0;
    if (!fits) return mica__latch(g, MICA_INVALID, "broadcast_to: shape %s does not fit", MICA_SHAPE(x));
    if (x->rows_factor && (x->ndim != ndim || x->shape[0] != shape[0]))
        return mica__latch(g, MICA_INVALID, "broadcast_to: the rows of %s must stay outermost", MICA_SHAPE(x));
    return mica__broadcast(g, x, shape, ndim);
}

/* ---- concatenate ---- */

mica_array *mica_concatenate(mica_graph *g, mica_array *const *xs, int n, int axis)
{
    enum { MAX_PARTS = 4096 };
    if (n < 1 || n > MAX_PARTS) return mica__latch(g, MICA_INVALID, "concatenate: %d arrays", n);
    if (!mica__plain(g, "concatenate", xs, n) || !mica__axis(g, xs[0], axis, "concatenate", &axis)) return NULL;
    int64_t shape[MICA_MAX_DIMS];
    mica_dtype dtype = xs[0]->dtype;
    for (int d = 0; d < xs[0]->ndim; d++) shape[d] = xs[0]->shape[d];
    for (int i = 1; i < n; i++) {
        bool fits = xs[i]->ndim == xs[0]->ndim && xs[i]->rows_factor == xs[0]->rows_factor;
        for (int d = 0; fits && d < xs[0]->ndim; d++) fits = d == axis || xs[i]->shape[d] == shape[d];
        if (!fits || __builtin_add_overflow(shape[axis], xs[i]->shape[axis], &shape[axis]))
            return mica__latch(g, MICA_INVALID, "concatenate: %s and %s along axis %d", MICA_SHAPE(xs[0]),
                               MICA_SHAPE(xs[i]), axis);
        dtype = mica__promote(dtype, xs[i]->dtype);
    }
    if (xs[0]->rows_factor && axis == 0) return mica__latch(g, MICA_INVALID, "concatenate: rows cannot be joined");
    mica_array **parts = mica__alloc((size_t)n, sizeof *parts);
    if (!parts) return mica__latch(g, MICA_MEMORY, "concatenate: out of memory");
    for (int i = 0; i < n; i++) parts[i] = mica__cast(g, xs[i], dtype);
    mica_array *a = mica__operation(g, MICA__OP_CONCATENATE, dtype, shape, xs[0]->ndim, parts, n, xs[0]);
    mica__free(parts);
    if (a) a->attrs.axis = axis;
    return a;
}

/* ---- take ---- */

static bool check_indices(mica_graph *g, const char *what, const mica_array *indices)
{
    if (indices->dtype == MICA_DTYPE_I32 || indices->dtype == MICA_DTYPE_I64) return true;
    mica__latch(g, MICA_INVALID, "%s: indices are %s, not int32 or int64", what, mica_dtype_name(indices->dtype));
    return false;
}

mica_array *mica_take(mica_graph *g, mica_array *x, mica_array *indices, int axis)
{
    mica_array *in[] = {x, indices};
    if (!mica__ready(g, "take", in, 2) || !mica__plain(g, "take", &indices, 1)) return NULL;
    if (!mica__axis(g, x, axis, "take", &axis) || !check_indices(g, "take", indices)) return NULL;
    if (x->quantized && axis != 0) return mica__latch(g, MICA_INVALID, "take: only rows of a quantized matrix");
    if (x->shape[axis] == 0 || x->ndim - 1 + indices->ndim > MICA_MAX_DIMS)
        return mica__latch(g, MICA_INVALID, "take: %s by indices %s", MICA_SHAPE(x), MICA_SHAPE(indices));
    if (axis != 0 && indices->rows_factor)
        return mica__latch(g, MICA_INVALID, "take: rows of indices along axis %d", axis);
    int64_t shape[MICA_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < axis; d++) shape[n++] = x->shape[d];
    for (int d = 0; d < indices->ndim; d++) shape[n++] = indices->shape[d];
    for (int d = axis + 1; d < x->ndim; d++) shape[n++] = x->shape[d];
    mica_dtype dtype = x->quantized ? MICA_DTYPE_F32 : x->dtype;
    mica_array *a = mica__operation(g, MICA__OP_TAKE, dtype, shape, n, in, 2, axis == 0 ? indices : x);
    if (a) a->attrs.axis = axis;
    return a;
}

mica_array *mica_take_along_axis(mica_graph *g, mica_array *x, mica_array *indices, int axis)
{
    mica_array *in[] = {x, indices};
    if (!mica__plain(g, "take_along_axis", in, 2) || !mica__axis(g, x, axis, "take_along_axis", &axis)) return NULL;
    if (!check_indices(g, "take_along_axis", indices)) return NULL;
    bool fits = x->ndim == indices->ndim && x->rows_factor == indices->rows_factor && x->shape[axis] > 0;
    for (int d = 0; fits && d < x->ndim; d++) fits = d == axis || x->shape[d] == indices->shape[d];
    if (!fits || (x->rows_factor && axis == 0))
        return mica__latch(g, MICA_INVALID, "take_along_axis: %s by indices %s", MICA_SHAPE(x), MICA_SHAPE(indices));
    mica_array *moved[] = {mica__move_last(g, x, axis), mica__move_last(g, indices, axis)};
    if (!moved[0] || !moved[1]) return NULL;
    mica_array *a = mica__operation(g, MICA__OP_TAKE_ALONG, x->dtype, moved[1]->shape, x->ndim, moved, 2, moved[1]);
    return mica__move_back(g, a, axis);
}
