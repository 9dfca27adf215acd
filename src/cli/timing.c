/* cli/timing.c: clock and medians. */
#include "timing.h"

#include <stdlib.h>
#include <time.h>

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

spread spread_of(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return (spread){.median = (values[(n - 1) / 2] + values[n / 2]) / 2, .low = values[0], .high = values[n - 1]};
}
