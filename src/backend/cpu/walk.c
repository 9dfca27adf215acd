/* backend/cpu/walk.c: see walk.h. */
#include "walk.h"

#include <string.h>

static bool joins(const mica__walk *w, const int64_t *stride, int64_t length)
{
    for (int i = 0; i < w->n; i++)
        if (w->stride[i][w->ndim - 1] != stride[i] * length) return false;
    return true;
}

void mica__walk_init(mica__walk *w, const mica__tensor *const *t, int n, int skip, int64_t rows)
{
    w->n = n;
    w->ndim = 0;
    w->total = 1;
    for (int d = 0; d < t[0]->ndim - skip; d++) {
        int64_t length = d == 0 ? rows : t[0]->shape[d], stride[MICA__WALK_MAX];
        w->total *= length;
        if (length == 1) continue;
        for (int i = 0; i < n; i++) stride[i] = t[i]->strides[d];
        if (w->ndim && joins(w, stride, length)) {
            w->shape[w->ndim - 1] *= length;
        } else {
            w->shape[w->ndim++] = length;
        }
        for (int i = 0; i < n; i++) w->stride[i][w->ndim - 1] = stride[i];
    }
    if (w->ndim == 0) {
        w->ndim = 1;
        w->shape[0] = 1;
        for (int i = 0; i < n; i++) w->stride[i][0] = 1;
    }
    mica__walk_range(w, 0, w->total);
}

void mica__walk_range(mica__walk *w, int64_t begin, int64_t end)
{
    w->next = begin;
    w->end = end;
    memset(w->offset, 0, sizeof w->offset);
    if (begin >= end) return;
    for (int d = w->ndim - 1; d >= 0; d--) {
        w->index[d] = begin % w->shape[d];
        begin /= w->shape[d];
        for (int i = 0; i < w->n; i++) w->offset[i] += w->index[d] * w->stride[i][d];
    }
}

int64_t mica__walk_next(mica__walk *w, int64_t max, int64_t *offset)
{
    if (w->next >= w->end) return 0;
    int d = w->ndim - 1;
    int64_t count = w->shape[d] - w->index[d];
    if (count > max) count = max;
    if (count > w->end - w->next) count = w->end - w->next;
    for (int i = 0; i < w->n; i++) {
        offset[i] = w->offset[i];
        w->offset[i] += count * w->stride[i][d];
    }
    w->next += count;
    w->index[d] += count;
    while (d > 0 && w->index[d] == w->shape[d]) {
        for (int i = 0; i < w->n; i++) w->offset[i] += w->stride[i][d - 1] - w->shape[d] * w->stride[i][d];
        w->index[d--] = 0;
        w->index[d]++;
    }
    return count;
}
