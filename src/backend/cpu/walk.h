/* backend/cpu/walk.h: going through strided tensors of one shape together.
 *
 * A walk first drops dimensions of length 1 and joins neighbours that all operands step through evenly, so that most
 * tensors become one long run; then it hands out runs along the innermost dimension. Offsets count elements. */
#ifndef MICA_BACKEND_CPU_WALK_H
#define MICA_BACKEND_CPU_WALK_H

#include "array/ops.h"

enum { MICA__WALK_MAX = 4 };

typedef struct mica__walk {
    int ndim, n; /* ndim >= 1 */
    int64_t shape[MICA_MAX_DIMS], index[MICA_MAX_DIMS];
    int64_t stride[MICA__WALK_MAX][MICA_MAX_DIMS];
    int64_t offset[MICA__WALK_MAX]; /* of the next element */
    int64_t total, next, end;       /* element numbers; [next, end) is to do */
} mica__walk;

/* `t[0..n)` share shape[0..ndim); the last `skip` dimensions are left out. rows replaces shape[0]. */
void mica__walk_init(mica__walk *w, const mica__tensor *const *t, int n, int skip, int64_t rows);
void mica__walk_range(mica__walk *w, int64_t begin, int64_t end);

/* The next run: at most `max` elements, offsets of the first in offset[n]. 0 at the end. */
int64_t mica__walk_next(mica__walk *w, int64_t max, int64_t *offset);

static inline int64_t mica__walk_step(const mica__walk *w, int operand) { return w->stride[operand][w->ndim - 1]; }

static inline void *mica__at(const mica__tensor *t, int64_t offset)
{
    return (uint8_t *)t->data + offset * (int64_t)mica_dtype_size(t->dtype);
}

#endif
