/* backend/cpu/dot.h: the order in which plain kernels add.
 *
 * Element i of a row belongs to lane i % 8; the lanes are added as a tree at the end. The order is that of eight-lane vectors, so
 * it rounds less than one long chain and a compiler can vectorise it without being allowed to reorder. */
#ifndef MICA_BACKEND_CPU_DOT_H
#define MICA_BACKEND_CPU_DOT_H

#include <stdint.h>

enum { MICA__LANES = 8 };

static inline float mica__sum_lanes(const float *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static inline float mica__dot(const float *a, const float *b, int64_t n)
{
    float lane[MICA__LANES] = {0};
    int64_t i = 0;
    for (; i + MICA__LANES <= n; i += MICA__LANES)
        for (int j = 0; j < MICA__LANES; j++) lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++) lane[i % MICA__LANES] += a[i] * b[i];
    return mica__sum_lanes(lane);
}

#endif
