/* generate/select.c: bounded min-heaps. The root is the worst that is kept, so most scores are turned away by one comparison. */
#include "select.h"

#include "scores.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

/* a is worse than b */
static bool worse(mica__candidate a, mica__candidate b)
{
    return a.value < b.value || (a.value == b.value && a.id < b.id);
}

static void sink(mica__candidate *heap, size_t n, size_t i)
{
    mica__candidate moving = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && worse(heap[child + 1], heap[child])) child++;
        if (!worse(heap[child], moving)) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* `flip` is xored into the indices while they are compared: 0 prefers the higher of equals, -1 the lower. */
static size_t select_best(const float *values, size_t n, mica__candidate *out, size_t want, int32_t flip)
{
    size_t kept = 0;
    if (!want) return 0;
    for (size_t i = 0; i < n; i++) {
        if (i % MICA__SCORE_BLOCK == 0) i = mica__scores_find(values, i, n, kept == want ? out[0].value : -FLT_MAX);
        if (i == n) break;
        mica__candidate c = {values[i], (int32_t)i ^ flip};
        if (c.value == -INFINITY || isnan(c.value)) continue;
        if (kept < want) {
            out[kept++] = c;
            if (kept == want) {
                for (size_t k = kept / 2; k-- > 0;) sink(out, kept, k);
            }
        } else if (worse(out[0], c)) {
            out[0] = c;
            sink(out, kept, 0);
        }
    }
    if (kept < want) {
        for (size_t k = kept / 2; k-- > 0;) sink(out, kept, k);
    }
    for (size_t m = kept; m > 1; m--) { /* the worst goes to the end */
        mica__candidate last = out[m - 1];
        out[m - 1] = out[0];
        out[0] = last;
        sink(out, m - 1, 0);
    }
    for (size_t i = 0; i < kept; i++) out[i].id ^= flip;
    return kept;
}

size_t mica__select_top(const float *values, size_t n, mica__candidate *out, size_t want)
{
    return select_best(values, n, out, want, 0);
}

size_t mica__select_first(const float *values, size_t n, mica__candidate *out, size_t want)
{
    return select_best(values, n, out, want, -1);
}

static void sink_value(float *heap, size_t n, size_t i)
{
    float moving = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= moving) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

float mica__select_kth(const float *values, size_t n, size_t k, float *heap)
{
    if (k > n) k = n;
    for (size_t i = 0; i < k; i++) heap[i] = values[i];
    for (size_t i = k / 2; i-- > 0;) sink_value(heap, k, i);
    for (size_t i = k; k && i < n; i++) {
        if (i % MICA__SCORE_BLOCK == 0) i = mica__scores_find(values, i, n, heap[0]);
        if (i == n) break;
        if (values[i] <= heap[0]) continue;
        heap[0] = values[i];
        sink_value(heap, k, 0);
    }
    return heap[0];
}
