/* cli/timing.h: the monotonic clock, and the middle of several measurements. */
#ifndef MICA_CLI_TIMING_H
#define MICA_CLI_TIMING_H

#include <stddef.h>

double seconds_now(void);

typedef struct spread {
    double median, low, high;
} spread;
spread spread_of(double *values, size_t n); /* sorts them; n > 0 */

#endif
