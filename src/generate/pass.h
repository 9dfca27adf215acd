/* generate/pass.h: the model run once over new positions of several sessions, for generate/.
 *
 * The positions of all of them go through the layers together, as many at a time as a run has rows, so the weights are read once for that
 * many positions, whoever they belong to. */
#ifndef MICA_GENERATE_PASS_H
#define MICA_GENERATE_PASS_H

#include "session.h"

/* mica_sessions_forward that does not clear cancellations. */
mica_status mica__pass(const mica_forward *parts, size_t n, mica_error *err);

#endif
