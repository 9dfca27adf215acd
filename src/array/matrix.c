/* array/matrix.c: builders of matrix products and dequantization. */
#include "build.h"

mica_array *mica_matmul(mica_graph *g, mica_array *a, mica_array *b)
{
    mica_array *in[] = {a, b};
    if (!mica__plain(g, "matmul", in, 2)) return NULL;
    if (a->ndim < 2 || b->ndim < 2 || a->shape[a->ndim - 1] != b->shape[b->ndim - 2])
        return mica__latch(g, MICA_INVALID, "matmul: shapes %s and %s do not fit", MICA_SHAPE(a), MICA_SHAPE(b));
    if (b->rows_factor) return mica__latch(g, MICA_INVALID, "matmul: rows on the right side");
    mica_dtype dtype = mica__promote(a->dtype, b->dtype);
    if (!mica__is_float(dtype)) dtype = MICA_DTYPE_F32;
    int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
    if (a->rows_factor && a->ndim != ndim)
        return mica__latch(g, MICA_INVALID, "matmul: rows must be the outermost axis");
    int64_t shape_a[MICA_MAX_DIMS], shape_b[MICA_MAX_DIMS], shape[MICA_MAX_DIMS];
    for (int d = 0; d < ndim; d++) {
        int da = d - (ndim - a->ndim), db = d - (ndim - b->ndim);
        int64_t la = da < 0 ? 1 : a->shape[da], lb = db < 0 ? 1 : b->shape[db], batch = la == 1 ? lb : la;
        if (d < ndim - 2 && lb != 1 && lb != batch)
            return mica__latch(g, MICA_INVALID, "matmul: shapes %s and %s do not fit", MICA_SHAPE(a), MICA_SHAPE(b));
        shape_a[d] = d < ndim - 2 ? batch : la;
        shape_b[d] = d < ndim - 2 ? batch : lb;
        shape[d] = d < ndim - 2 ? batch : d == ndim - 2 ? la : lb;
    }
    in[0] = mica__broadcast(g, mica__cast(g, a, dtype), shape_a, ndim);
    in[1] = mica__broadcast(g, mica__cast(g, b, dtype), shape_b, ndim);
    return mica__operation(g, MICA__OP_MATMUL, dtype, shape, ndim, in, 2, a);
}

static mica_array *linear(mica_graph *g, mica_array *x, mica_array *w, mica_array *bias, bool precise)
{
    mica_array *given[] = {x, w};
    if (!mica__ready(g, "linear", given, 2) || !mica__plain(g, "linear", &x, 1)) return NULL;
    if (x->ndim < 1 || w->ndim != 2 || x->shape[x->ndim - 1] != w->shape[1] || w->rows_factor)
        return mica__latch(g, MICA_INVALID, "linear: x %s and weight %s do not fit", MICA_SHAPE(x), MICA_SHAPE(w));
    if (!mica__is_float(w->dtype))
        return mica__latch(g, MICA_INVALID, "linear: weight is %s", mica_dtype_name(w->dtype));
    if (bias && (!mica__plain(g, "linear", &bias, 1) || !mica__shape_is(bias, &w->shape[0], 1)))
        return mica__latch(g, MICA_INVALID, "linear: bias %s for weight %s", MICA_SHAPE(bias), MICA_SHAPE(w));
    int64_t shape[MICA_MAX_DIMS];
    for (int d = 0; d < x->ndim; d++) shape[d] = d == x->ndim - 1 ? w->shape[0] : x->shape[d];
    mica_array *matrix = mica__as_matrix(g, mica__cast(g, x, MICA_DTYPE_F32));
    if (!w->quantized) w = w->strides[1] == 1 ? w : mica_contiguous(g, w);
    mica_array *in[] = {matrix, w, mica__cast(g, bias, MICA_DTYPE_F32)};
    if (!matrix || !w) return NULL;
    mica_array *a = mica__operation(g, MICA__OP_LINEAR, MICA_DTYPE_F32, (int64_t[]){matrix->shape[0], w->shape[0]}, 2,
                                    in, bias ? 3 : 2, matrix);
    if (a) a->attrs.flag = precise;
    return a && x->ndim != 2 ? mica_reshape(g, a, shape, x->ndim) : a;
}

mica_array *mica_linear(mica_graph *g, mica_array *x, mica_array *w, mica_array *bias)
{
    return linear(g, x, w, bias, false);
}

mica_array *mica_linear_precise(mica_graph *g, mica_array *x, mica_array *w, mica_array *bias)
{
    return linear(g, x, w, bias, true);
}

mica_array *mica_dequantize(mica_graph *g, mica_array *w)
{
    if (!mica__ready(g, "dequantize", &w, 1)) return NULL;
    if (!w->quantized) return mica__latch(g, MICA_INVALID, "dequantize: the array is not quantized");
    return mica__operation(g, MICA__OP_DEQUANTIZE, w->dtype, w->shape, 2, &w, 1, NULL);
}
