/* generate/scores.h: passes over the scores of a whole vocabulary, which may have a quarter of a million of them.
 *
 * They go in blocks that the compiler turns into vector instructions; what is not a number is passed over, removed scores are -inf. */
#ifndef MICA_GENERATE_SCORES_H
#define MICA_GENERATE_SCORES_H

#include <stddef.h>

enum { MICA__SCORE_BLOCK = 64 }; /* scores that searches skip together */

float mica__scores_max(const float *scores, size_t n); /* -inf if there is none */
/* Sum of exp(score - max), to a part in ten million. */
double mica__scores_sum_exp(const float *scores, size_t n, float max);

#endif
