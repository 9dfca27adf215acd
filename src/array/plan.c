/* array/plan.c: places the values of a program in one arena.
 *
 * Greedy by size: the largest value first, each at the lowest offset where it touches no value placed before that lives in a
 * common stage. (Known from static memory planning of neural networks, for example Pisarchyk and Lee, "Efficient Memory Management for Deep
 * Neural Net Inference", 2020, who find it near the lower bound.) */
#include "program.h"

#include <stdlib.h>

static int larger_first(const void *a, const void *b)
{
    const mica__value *x = *(mica__value *const *)a, *y = *(mica__value *const *)b;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? 1 : -1;
    return (x > y) - (x < y);
}

static bool lives_with(const mica__value *a, const mica__value *b)
{
    return a->first_stage <= b->last_stage && b->first_stage <= a->last_stage;
}

static int by_offset(const void *a, const void *b)
{
    const mica__value *x = *(mica__value *const *)a, *y = *(mica__value *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The lowest free offset for v beside `placed`, which are sorted by offset. */
static size_t lowest_offset(const mica__value *v, mica__value *const *placed, int n_placed)
{
    size_t offset = 0;
    for (int i = 0; i < n_placed; i++) {
        const mica__value *p = placed[i];
        if (!lives_with(v, p) || p->offset + mica__align64(p->n_bytes) <= offset) continue;
        if (p->offset >= offset + mica__align64(v->n_bytes)) break;
        offset = p->offset + mica__align64(p->n_bytes);
    }
    return offset;
}

mica_status mica__plan(mica__value *values, int n, size_t *arena_bytes, mica_error *err)
{
    *arena_bytes = 0;
    mica__value **order = mica__alloc((size_t)n + 1, sizeof *order);
    mica__value **placed = mica__alloc((size_t)n + 1, sizeof *placed);
    if (!order || !placed) {
        mica__free(order);
        mica__free(placed);
        return mica__fail_memory(err, (size_t)n * sizeof *order, "the memory plan");
    }
    int n_order = 0, n_placed = 0;
    for (int i = 0; i < n; i++)
        if (values[i].output < 0) order[n_order++] = &values[i];
    qsort(order, (size_t)n_order, sizeof *order, larger_first);
    for (int i = 0; i < n_order; i++) {
        mica__value *v = order[i];
        v->offset = lowest_offset(v, placed, n_placed);
        int at = n_placed++;
        for (; at > 0 && by_offset(&placed[at - 1], &v) > 0; at--) placed[at] = placed[at - 1];
        placed[at] = v;
        size_t end = v->offset + mica__align64(v->n_bytes);
        if (end > *arena_bytes) *arena_bytes = end;
    }
    mica__free(order);
    mica__free(placed);
    return MICA_OK;
}
