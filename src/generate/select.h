/* generate/select.h: the best of many scores without sorting them all. */
#ifndef MICA_GENERATE_SELECT_H
#define MICA_GENERATE_SELECT_H

#include <stddef.h>
#include <stdint.h>

typedef struct mica__candidate {
    float value;
    int32_t id;
} mica__candidate;

/* Writes the `want` largest of values[0..n) that are not -inf to out, best first (of equals the higher index first), and returns how many
 * there were. One pass with a heap of `want`: for a few hundred of 256k it is hardly more than reading them. */
size_t mica__select_top(const float *values, size_t n, mica__candidate *out, size_t want);

/* The same, of equals the lower index first. */
size_t mica__select_first(const float *values, size_t n, mica__candidate *out, size_t want);

/* The k-th largest value (k from 1; beyond n: the smallest). heap: room for k floats. */
float mica__select_kth(const float *values, size_t n, size_t k, float *heap);

#endif
