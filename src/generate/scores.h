/* generate/scores.h: passes over the scores of a whole vocabulary, which may have a quarter of a million of them.
 *
 * They go in blocks, in vectors of what this processor has; the results are the same to the bit whichever that is. What is not a number
 * is passed over, removed scores are -inf. */
#ifndef MICA_GENERATE_SCORES_H
#define MICA_GENERATE_SCORES_H

#include <stddef.h>

enum { MICA__SCORE_BLOCK = 64 }; /* scores that searches skip together */

float mica__scores_max(const float *scores, size_t n); /* -inf if there is none */
/* Sum of exp(score - max), to a part in ten million. */
double mica__scores_sum_exp(const float *scores, size_t n, float max);
/* From `first`, the start of a block, the start of the next block with a score of at least `least`; n if there is none. */
size_t mica__scores_find(const float *scores, size_t first, size_t n, float least);
/* Scores below the limit become -inf. */
void mica__scores_drop_below(float *scores, size_t n, float limit);
void mica__scores_divide(float *scores, size_t n, float by);

/* ---- the passes in plain C and in vectors, over whole blocks; n is a multiple of MICA__SCORE_BLOCK -------------------------------- */

/* Terms of a sum of exponentials: term i goes to lane i % 8. */
typedef struct mica__score_sums {
    double lane[8];
} mica__score_sums;

typedef struct mica__score_passes {
    float (*max)(const float *scores, size_t n);
    void (*sum_exp)(const float *scores, size_t n, float max, mica__score_sums *sums); /* onto sums */
    size_t (*find)(const float *scores, size_t first, size_t n, float least);
    void (*drop_below)(float *scores, size_t n, float limit);
    void (*divide)(float *scores, size_t n, float by);
} mica__score_passes;

extern const mica__score_passes mica__score_passes_plain;
const mica__score_passes *mica__score_passes_avx2(void); /* NULL: this processor does not have it */

#endif
