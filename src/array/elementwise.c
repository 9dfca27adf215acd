/* array/elementwise.c: builders of elementwise operations: broadcasting and the dtype of the result. */
#include "build.h"

mica_array *mica_astype(mica_graph *g, mica_array *x, mica_dtype dtype)
{
    if (!mica__plain(g, "astype", &x, 1)) return NULL;
    if (x->dtype == dtype) return x;
    return mica__operation(g, MICA__OP_ASTYPE, dtype, x->shape, x->ndim, &x, 1, x);
}

mica_array *mica__cast(mica_graph *g, mica_array *x, mica_dtype dtype)
{
    return !x || x->dtype == dtype ? x : mica_astype(g, x, dtype);
}

/* ---- unary ---- */

static bool keeps_integers(mica__op op)
{
    return op == MICA__OP_NEGATIVE || op == MICA__OP_ABS || op == MICA__OP_SIGN || op == MICA__OP_SQUARE ||
           op == MICA__OP_RELU;
}

static mica_array *unary(mica_graph *g, mica__op op, mica_array *x)
{
    if (!mica__plain(g, mica__op_name(op), &x, 1)) return NULL;
    if (op == MICA__OP_LOGICAL_NOT) return mica__operation(g, op, MICA_DTYPE_BOOL, x->shape, x->ndim, &x, 1, x);
    if (!mica__is_float(x->dtype)) {
        if (op == MICA__OP_FLOOR || op == MICA__OP_CEIL || op == MICA__OP_ROUND) return x;
        if (!keeps_integers(op) || x->dtype == MICA_DTYPE_BOOL) x = mica__cast(g, x, MICA_DTYPE_F32);
        if (!x) return NULL;
    }
    return mica__operation(g, op, x->dtype, x->shape, x->ndim, &x, 1, x);
}

#define DEFINE(code, name)                                                                                             \
    mica_array *mica_##name(mica_graph *g, mica_array *x) { return unary(g, MICA__OP_##code, x); }
MICA_UNARY_MAP(DEFINE)
#undef DEFINE

/* ---- binary ---- */

static bool gives_bool(mica__op op) { return op >= MICA__OP_EQUAL && op <= MICA__OP_LOGICAL_OR; }

static mica_array *binary(mica_graph *g, mica__op op, mica_array *a, mica_array *b)
{
    mica_array *in[] = {a, b};
    int64_t shape[MICA_MAX_DIMS], factor;
    int ndim;
    if (!mica__plain(g, mica__op_name(op), in, 2)) return NULL;
    if (!mica__broadcast_shape(g, mica__op_name(op), in, 2, shape, &ndim, &factor)) return NULL;
    mica_dtype dtype = mica__promote(a->dtype, b->dtype);
    if (op == MICA__OP_DIVIDE && !mica__is_float(dtype)) dtype = MICA_DTYPE_F32;
    if (dtype == MICA_DTYPE_BOOL && !gives_bool(op)) dtype = MICA_DTYPE_I32;
    for (int i = 0; i < 2; i++) in[i] = mica__broadcast(g, mica__cast(g, in[i], dtype), shape, ndim);
    mica_array *result = mica__operation(g, op, gives_bool(op) ? MICA_DTYPE_BOOL : dtype, shape, ndim, in, 2, NULL);
    if (result) result->rows_factor = factor;
    return result;
}

#define DEFINE(code, name)                                                                                             \
    mica_array *mica_##name(mica_graph *g, mica_array *a, mica_array *b) { return binary(g, MICA__OP_##code, a, b); }
MICA_BINARY_MAP(DEFINE)
#undef DEFINE

/* ---- others ---- */

mica_array *mica_where(mica_graph *g, mica_array *condition, mica_array *a, mica_array *b)
{
    mica_array *in[] = {condition, a, b};
    int64_t shape[MICA_MAX_DIMS], factor;
    int ndim;
    if (!mica__plain(g, "where", in, 3) || !mica__broadcast_shape(g, "where", in, 3, shape, &ndim, &factor))
        return NULL;
    mica_dtype dtype = mica__promote(a->dtype, b->dtype);
    for (int i = 0; i < 3; i++)
        in[i] = mica__broadcast(g, mica__cast(g, in[i], i ? dtype : MICA_DTYPE_BOOL), shape, ndim);
    mica_array *result = mica__operation(g, MICA__OP_WHERE, dtype, shape, ndim, in, 3, NULL);
    if (result) result->rows_factor = factor;
    return result;
}

mica_array *mica_softcap(mica_graph *g, mica_array *x, float cap)
{
    if (!mica__plain(g, "softcap", &x, 1)) return NULL;
    if (!(cap > 0)) return mica__latch(g, MICA_INVALID, "softcap: cap %g is not positive", (double)cap);
    if (!mica__is_float(x->dtype)) x = mica__cast(g, x, MICA_DTYPE_F32);
    if (!x) return NULL;
    mica_array *a = mica__operation(g, MICA__OP_SOFTCAP, x->dtype, x->shape, x->ndim, &x, 1, x);
    if (a) a->attrs.value = (double)cap;
    return a;
}

mica_array *mica_gated(mica_graph *g, mica_array *gate, mica_array *up, mica_activation activation)
{
    mica_array *in[] = {gate, up};
    if (!mica__plain(g, "gated", in, 2)) return NULL;
    if (!mica__shape_is(gate, up->shape, up->ndim) || gate->rows_factor != up->rows_factor)
        return mica__latch(g, MICA_INVALID, "gated: shapes %s and %s differ", MICA_SHAPE(gate), MICA_SHAPE(up));
    mica_dtype dtype = mica__promote(gate->dtype, up->dtype);
    if (!mica__is_float(dtype)) dtype = MICA_DTYPE_F32;
    for (int i = 0; i < 2; i++) in[i] = mica__cast(g, in[i], dtype);
    mica_array *a = mica__operation(g, MICA__OP_GATED, dtype, gate->shape, gate->ndim, in, 2, gate);
    if (a) a->attrs.activation = activation;
    return a;
}
