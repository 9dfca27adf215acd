/* array/graph.c: life of graphs and arrays, and what can be asked of an array.
 *
 * A graph holds one reference to each array that it built. Freeing an array drops its inputs; the dead ones are kept in a list
 * instead of recursing, since a chain of operations may be long. */
#include "array.h"
#include "../base/str.h"

#include <stdio.h>

enum { MAX_ARRAYS = 1 << 24 };

mica_status mica_graph_create(mica_graph **out, mica_device *device, mica_error *err)
{
    *out = NULL;
    if (!device) MICA_TRY(mica__device_default(&device, err));
    mica_graph *g = mica__calloc(1, sizeof *g);
    if (!g) return mica__fail_memory(err, sizeof *g, "a graph");
    g->device = device;
    *out = g;
    return MICA_OK;
}

void mica_graph_free(mica_graph *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n; i++) mica_array_drop(g->arrays[i]);
    mica__free(g->arrays);
    mica__free(g);
}

mica_status mica_graph_status(const mica_graph *g, mica_error *err)
{
    if (err && g->error.status != MICA_OK) *err = g->error;
    return g->error.status;
}

void mica_graph_clear_error(mica_graph *g) { g->error = (mica_error){0}; }

mica_array *mica__latch(mica_graph *g, mica_status status, const char *fmt, ...)
{
    if (g->error.status == MICA_OK) {
        va_list args;
        va_start(args, fmt);
        g->error.status = status;
        vsnprintf(g->error.message, sizeof g->error.message, fmt, args);
        va_end(args);
    }
    return NULL;
}

bool mica__ready(mica_graph *g, const char *what, mica_array *const *in, int n_in)
{
    for (int i = 0; i < n_in; i++)
        if (!in[i]) mica__latch(g, MICA_INVALID, "%s: input %d is NULL", what, i);
    return g->error.status == MICA_OK;
}

/* ---- making ---- */

void mica__row_major(const int64_t *shape, int ndim, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= shape[i];
    }
}

/* Elements and bytes fit; at most 2^48 bytes, so that sums of a few of them cannot wrap. */
static bool check_shape(mica_graph *g, const char *what, mica_dtype dtype, const int64_t *shape, int ndim)
{
    mica__shape_text text;
    if ((unsigned)dtype >= MICA_DTYPE_COUNT)
        return mica__latch(g, MICA_INVALID, "%s: unknown dtype %d", what, (int)dtype);
    if (ndim < 0 || ndim > MICA_MAX_DIMS)
        return mica__latch(g, MICA_INVALID, "%s: %d dimensions; at most %d", what, ndim, MICA_MAX_DIMS);
    size_t n_bytes = mica_dtype_size(dtype);
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return mica__latch(g, MICA_INVALID, "%s: negative shape %s", what, mica__format_shape(&text, shape, ndim));
        if (!mica__mul(n_bytes, (size_t)shape[i], &n_bytes) || n_bytes >> 48)
            return mica__latch(g, MICA_INVALID, "%s: shape %s is too large", what,
                               mica__format_shape(&text, shape, ndim));
    }
    return true;
}

static bool graph_add(mica_graph *g, mica_array *a)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 64;
        mica_array **arrays = cap <= MAX_ARRAYS ? mica__realloc(g->arrays, cap, sizeof *arrays) : NULL;
        if (!arrays) return false;
        g->arrays = arrays;
        g->cap = cap;
    }
    g->arrays[g->n++] = a;
    return true;
}

mica_array *mica__new(mica_graph *g, const char *what, mica__kind kind, mica_dtype dtype, const int64_t *shape,
                      int ndim, mica_array *const *in, int n_in)
{
    if (!mica__ready(g, what, in, n_in) || !check_shape(g, what, dtype, shape, ndim)) return NULL;
    mica_array *a = mica__calloc(1, sizeof *a + (size_t)n_in * sizeof *in);
    if (!a || !graph_add(g, a)) {
        mica__free(a);
        return mica__latch(g, MICA_MEMORY, "%s: out of memory", what);
    }
    atomic_init(&a->refs, 1);
    a->kind = kind;
    a->graph = g;
    a->dtype = dtype;
    a->ndim = ndim;
    for (int i = 0; i < ndim; i++) a->shape[i] = shape[i];
    mica__row_major(shape, ndim, a->strides);
    a->n_in = n_in;
    a->in = (mica_array **)(a + 1);
    for (int i = 0; i < n_in; i++) a->in[i] = mica_array_retain(in[i]);
    return a;
}

mica_array *mica__operation(mica_graph *g, mica__op op, mica_dtype dtype, const int64_t *shape, int ndim,
                            mica_array *const *in, int n_in, const mica_array *like)
{
    mica_array *a = mica__new(g, mica__op_name(op), MICA__OPERATION, dtype, shape, ndim, in, n_in);
    if (!a) return NULL;
    a->op = op;
    if (like) a->rows_factor = like->rows_factor;
    return a;
}

mica_array *mica__view(mica_graph *g, mica_array *x, const int64_t *shape, const int64_t *strides, int ndim,
                       int64_t offset, int64_t rows_factor)
{
    mica_array *root = mica__root(x);
    mica_array *v = mica__new(g, "view", MICA__VIEW, x->dtype, shape, ndim, &root, 1);
    if (!v) return NULL;
    for (int i = 0; i < ndim; i++) v->strides[i] = strides[i];
    v->offset = x->offset + offset;
    v->rows_factor = rows_factor;
    return v;
}

/* ---- references ---- */

mica_array *mica_array_retain(mica_array *a)
{
    if (a) atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void mica_array_drop(mica_array *a)
{
    mica_array *dead = NULL;
    if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) {
        a->next_dead = NULL;
        dead = a;
    }
    while (dead) {
        mica_array *d = dead;
        dead = d->next_dead;
        for (int i = 0; i < d->n_in; i++) {
            mica_array *in = d->in[i];
            if (atomic_fetch_sub_explicit(&in->refs, 1, memory_order_acq_rel) != 1) continue;
            in->next_dead = dead;
            dead = in;
        }
        mica__buffer_drop(d->buffer);
        mica__free(d);
    }
}

/* ---- questions ---- */

mica_dtype mica_array_dtype(const mica_array *a) { return a->dtype; }
int mica_array_ndim(const mica_array *a) { return a->ndim; }
const int64_t *mica_array_shape(const mica_array *a) { return a->shape; }
const int64_t *mica_array_strides(const mica_array *a) { return a->strides; }
bool mica_array_is_quantized(const mica_array *a) { return a->quantized; }

int64_t mica_array_size(const mica_array *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->ndim; i++) n *= a->shape[i];
    return n;
}

const void *mica_array_data(const mica_array *a)
{
    if (!a || a->quantized) return NULL;
    const mica_array *root = a->kind == MICA__VIEW ? a->in[0] : a;
    if (root->kind != MICA__SOURCE || root->quantized) return NULL;
    return root->buffer->data + a->offset * (int64_t)mica_dtype_size(a->dtype);
}

bool mica__is_dense(const mica_array *a)
{
    int64_t stride = 1;
    for (int i = a->ndim - 1; i >= 0; i--) {
        if (a->shape[i] == 0) return true;
        if (a->shape[i] != 1 && a->strides[i] != stride) return false;
        stride *= a->shape[i];
    }
    return true;
}

bool mica__shape_is(const mica_array *a, const int64_t *shape, int ndim)
{
    if (a->ndim != ndim) return false;
    for (int i = 0; i < ndim; i++)
        if (a->shape[i] != shape[i]) return false;
    return true;
}

bool mica__axis(mica_graph *g, const mica_array *x, int axis, const char *what, int *out)
{
    if (axis < -x->ndim || axis >= x->ndim) {
        mica__latch(g, MICA_INVALID, "%s: axis %d of shape %s", what, axis, MICA_SHAPE(x));
        return false;
    }
    *out = axis < 0 ? axis + x->ndim : axis;
    return true;
}

const char *mica__format_shape(mica__shape_text *out, const int64_t *shape, int ndim)
{
    size_t n = 0;
    n += (size_t)snprintf(out->text, sizeof out->text, "[");
    for (int i = 0; i < ndim && i < MICA_MAX_DIMS; i++)
        n += (size_t)snprintf(out->text + n, sizeof out->text - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(out->text + n, sizeof out->text - n, "]");
    return out->text;
}

const char *mica__op_name(mica__op op)
{
    static const char *const names[MICA__OP_COUNT] = {
        [MICA__OP_NONE] = "none",
#define NAME(code, name) [MICA__OP_##code] = #name,
        MICA_UNARY_MAP(NAME) MICA_BINARY_MAP(NAME) MICA_REDUCE_MAP(NAME)
#undef NAME
            [MICA__OP_WHERE] = "where",
        [MICA__OP_ASTYPE] = "astype",
        [MICA__OP_COPY] = "copy",
        [MICA__OP_SOFTCAP] = "softcap",
        [MICA__OP_GATED] = "gated",
        [MICA__OP_FULL] = "full",
        [MICA__OP_ARANGE] = "arange",
        [MICA__OP_SOFTMAX] = "softmax",
        [MICA__OP_CUMSUM] = "cumsum",
        [MICA__OP_ARGSORT] = "argsort",
        [MICA__OP_SORT] = "sort",
        [MICA__OP_CONCATENATE] = "concatenate",
        [MICA__OP_TAKE] = "take",
        [MICA__OP_TAKE_ALONG] = "take_along_axis",
        [MICA__OP_MATMUL] = "matmul",
        [MICA__OP_LINEAR] = "linear",
        [MICA__OP_DEQUANTIZE] = "dequantize",
        [MICA__OP_RMS_NORM] = "rms_norm",
        [MICA__OP_LAYER_NORM] = "layer_norm",
        [MICA__OP_ROPE] = "rope",
        [MICA__OP_ATTENTION] = "attention",
        [MICA__OP_CACHED_ATTENTION] = "cached_attention",
    };
    return (unsigned)op < MICA__OP_COUNT ? names[op] : "unknown";
}
