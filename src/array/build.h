/* array/build.h: pieces that the builder functions share. */
#ifndef MICA_ARRAY_BUILD_H
#define MICA_ARRAY_BUILD_H

#include "array.h"

/* mica__ready, and none of the inputs is a quantized matrix. */
bool mica__plain(mica_graph *g, const char *what, mica_array *const *in, int n_in);

/* x with the given dtype: itself, or an astype operation. NULL passes through. */
mica_array *mica__cast(mica_graph *g, mica_array *x, mica_dtype dtype);

/* The shape that all inputs broadcast to, and the row factor of the result. */
bool mica__broadcast_shape(mica_graph *g, const char *what, mica_array *const *in, int n_in, int64_t *shape, int *ndim,
                           int64_t *rows_factor);
/* A view of x stretched to the shape, strides 0 where it repeats. */
mica_array *mica__broadcast(mica_graph *g, mica_array *x, const int64_t *shape, int ndim);

/* Views with one axis moved to the end, and from the end back to where it was. */
mica_array *mica__move_last(mica_graph *g, mica_array *x, int axis);
mica_array *mica__move_back(mica_graph *g, mica_array *x, int axis);

/* x as a matrix of its last axis: [size / last, last]. */
mica_array *mica__as_matrix(mica_graph *g, mica_array *x);

#endif
