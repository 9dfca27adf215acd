/* array/reduce.c: builders that work along one axis: reductions, softmax, sums so far, orders. The axis is moved to the end by a
 * view, so that kernels only know the last one. */
#include "build.h"

/* The axis resolved, and x with it last; the rows of a run cannot be reduced over. */
static mica_array *axis_last(mica_graph *g, mica_array *x, int *axis, const char *what)
{
    if (!mica__plain(g, what, &x, 1) || !mica__axis(g, x, *axis, what, axis)) return NULL;
    if (x->rows_factor && *axis == 0)
        return mica__latch(g, MICA_INVALID, "%s: over the rows of %s", what, MICA_SHAPE(x));
    return mica__move_last(g, x, *axis);
}

static mica_dtype reduced_dtype(mica__op op, mica_dtype dtype)
{
    switch (op) {
    case MICA__OP_ALL:
    case MICA__OP_ANY:
        return MICA_DTYPE_BOOL;
    case MICA__OP_ARGMAX:
    case MICA__OP_ARGMIN:
        return MICA_DTYPE_I32;
    default:
        return dtype;
    }
}

static mica_array *reduce(mica_graph *g, mica__op op, mica_array *x, int axis, bool keep_dims)
{
    mica_array *moved = axis_last(g, x, &axis, mica__op_name(op));
    if (!moved) return NULL;
    bool orders = op == MICA__OP_MAX || op == MICA__OP_MIN || op == MICA__OP_ARGMAX || op == MICA__OP_ARGMIN;
    if (orders && x->shape[axis] == 0)
        return mica__latch(g, MICA_INVALID, "%s: of nothing, shape %s", mica__op_name(op), MICA_SHAPE(x));
    if ((op == MICA__OP_MEAN || op == MICA__OP_LOGSUMEXP) && !mica__is_float(x->dtype))
        moved = mica__cast(g, moved, MICA_DTYPE_F32);
    if ((op == MICA__OP_SUM || op == MICA__OP_PROD) && x->dtype == MICA_DTYPE_BOOL)
        moved = mica__cast(g, moved, MICA_DTYPE_I32);
    if (!moved) return NULL;
    mica_array *a =
        mica__operation(g, op, reduced_dtype(op, moved->dtype), moved->shape, moved->ndim - 1, &moved, 1, moved);
    if (!a || !keep_dims) return a;
    int64_t shape[MICA_MAX_DIMS];
    for (int d = 0; d < x->ndim; d++) shape[d] = d == axis ? 1 : x->shape[d];
    return mica_reshape(g, a, shape, x->ndim);
}

#define DEFINE(code, name)                                                                                             \
    mica_array *mica_##name(mica_graph *g, mica_array *x, int axis, bool keep_dims)                                    \
    {                                                                                                                  \
        return reduce(g, MICA__OP_##code, x, axis, keep_dims);                                                         \
    }
MICA_REDUCE_MAP(DEFINE)
#undef DEFINE

/* Operations whose result has the shape of x. */
static mica_array *along(mica_graph *g, mica__op op, mica_array *x, int axis, mica_dtype dtype, bool floats)
{
    mica_array *moved = axis_last(g, x, &axis, mica__op_name(op));
    if (moved && floats && !mica__is_float(moved->dtype)) moved = mica__cast(g, moved, dtype = MICA_DTYPE_F32);
    if (!moved) return NULL;
    return mica__move_back(g, mica__operation(g, op, dtype, moved->shape, moved->ndim, &moved, 1, moved), axis);
}

mica_array *mica_softmax(mica_graph *g, mica_array *x, int axis)
{
    return along(g, MICA__OP_SOFTMAX, x, axis, x ? x->dtype : MICA_DTYPE_F32, true);
}

mica_array *mica_cumsum(mica_graph *g, mica_array *x, int axis)
{
    if (x && x->dtype == MICA_DTYPE_BOOL) x = mica__cast(g, x, MICA_DTYPE_I32);
    return along(g, MICA__OP_CUMSUM, x, axis, x ? x->dtype : MICA_DTYPE_F32, false);
}

mica_array *mica_argsort(mica_graph *g, mica_array *x, int axis)
{
    return along(g, MICA__OP_ARGSORT, x, axis, MICA_DTYPE_I32, false);
}

mica_array *mica_sort(mica_graph *g, mica_array *x, int axis)
{
    return along(g, MICA__OP_SORT, x, axis, x ? x->dtype : MICA_DTYPE_F32, false);
}
