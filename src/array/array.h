/* array/array.h: inside arrays and graphs; for array/ alone.
 *
 * An array is one of four things:
 *   a source    data in a buffer (given by the caller, or the result of mica_eval)
 *   an input    bound at each run of a program
 *   a view      other strides over a root, which is never itself a view
 *   an operation on other arrays, not yet computed
 * Roots (everything but views) are dense and row-major. */
#ifndef MICA_ARRAY_ARRAY_H
#define MICA_ARRAY_ARRAY_H

#include "../base/error.h"
#include "../base/memory.h"
#include "../base/thread.h"
#include "ops.h"
#include <stdatomic.h>

typedef struct mica__buffer {
    atomic_int refs;
    uint8_t *data;
    size_t n_bytes;
    void (*release)(void *context); /* NULL: data is mica__pages memory of ours */
    void *context;
    bool borrowed; /* nothing to free beyond `release` */
} mica__buffer;

mica__buffer *mica__buffer_create(size_t n_bytes);
mica__buffer *mica__buffer_borrow(const void *data, size_t n_bytes, void (*release)(void *), void *context);
mica__buffer *mica__buffer_retain(mica__buffer *b);
void mica__buffer_drop(mica__buffer *b);

typedef enum mica__kind { MICA__SOURCE, MICA__INPUT, MICA__VIEW, MICA__OPERATION } mica__kind;

struct mica_array {
    atomic_int refs;
    mica__kind kind;
    mica_dtype dtype;
    int ndim, n_in;
    bool quantized;
    int64_t rows_factor; /* 0: fixed shape; f: dimension 0 is a bound, f for each row of the run */
    int64_t shape[MICA_MAX_DIMS], strides[MICA_MAX_DIMS];
    int64_t offset; /* elements from the root's start (views) */

    mica__buffer *buffer; /* sources */
    int slot;             /* inputs */
    mica__op op;          /* operations */
    mica__attrs attrs;
    int bits, group_size; /* quantized: in = codes, scales, biases (if any) */
    mica_quant_mode mode;
    mica_array **in; /* [n_in]; views: in[0] is the root. Inside the same allocation. */

    const mica_graph *graph; /* only ever compared */
    mica_array *next_dead;   /* while being freed */
    uint32_t mark, index;    /* while a program is compiled from the graph */
};

struct mica_graph {
    mica_device *device;
    mica_array **arrays; /* [n], one reference each */
    size_t n, cap;
    mica_error error; /* the latched one; status 0: none */
    uint32_t last_mark;
};

struct mica_device {
    const mica__backend *backend;
    mica__team *team;
};

mica_status mica__device_default(mica_device **out, mica_error *err);

/* Latches an error (the first stays) and returns NULL. */
mica_array *mica__latch(mica_graph *g, mica_status status, const char *fmt, ...) MICA_PRINTF(3, 4);

/* New array of the graph with n_in inputs, retained; row-major strides for the shape. NULL and latched on failure, or if an input is
 * NULL. `what` names the builder in messages. */
mica_array *mica__new(mica_graph *g, const char *what, mica__kind kind, mica_dtype dtype, const int64_t *shape,
                      int ndim, mica_array *const *in, int n_in);
/* New operation. rows_factor comes from `like` (may be NULL). */
mica_array *mica__operation(mica_graph *g, mica__op op, mica_dtype dtype, const int64_t *shape, int ndim,
                            mica_array *const *in, int n_in, const mica_array *like);
/* New view of x (or of x's root) with the given layout; offset relative to x's first element. */
mica_array *mica__view(mica_graph *g, mica_array *x, const int64_t *shape, const int64_t *strides, int ndim,
                       int64_t offset, int64_t rows_factor);

static inline mica_array *mica__root(mica_array *a) { return a->kind == MICA__VIEW ? a->in[0] : a; }
bool mica__is_dense(const mica_array *a); /* row-major without gaps */
bool mica__shape_is(const mica_array *a, const int64_t *shape, int ndim);
void mica__row_major(const int64_t *shape, int ndim, int64_t *strides);
/* -1 .. for the last; false and latched if out of range. */
bool mica__axis(mica_graph *g, const mica_array *x, int axis, const char *what, int *out);
/* "[2, rows<=8, 3]" */
typedef struct mica__shape_text {
    char text[160];
} mica__shape_text;
const char *mica__format_shape(mica__shape_text *out, const int64_t *shape, int ndim);
#define MICA_SHAPE(a) mica__format_shape(&(mica__shape_text){{0}}, (a)->shape, (a)->ndim)

/* True if every input is there and nothing has been latched; latches INVALID for a missing one. */
bool mica__ready(mica_graph *g, const char *what, mica_array *const *in, int n_in);

mica_dtype mica__promote(mica_dtype a, mica_dtype b);
static inline bool mica__is_float(mica_dtype t)
{
    return t == MICA_DTYPE_F32 || t == MICA_DTYPE_F16 || t == MICA_DTYPE_BF16 || t == MICA_DTYPE_F64;
}

#endif
