/* generate/assist.h: guesses that a pass of the model checks. */
#ifndef MICA_GENERATE_ASSIST_H
#define MICA_GENERATE_ASSIST_H

#include "sample.h"

/* What followed the first earlier occurrence of the last tokens of ids[0..n), n > 0: of as many of them as possible, at most `longest`.
 * Writes at most `most` tokens to out, returns how many. */
size_t mica__look_up(const int32_t *ids, size_t n, size_t longest, size_t most, int32_t *out);

#endif
