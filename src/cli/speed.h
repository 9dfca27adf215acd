/* cli/speed.h: what generate and chat say about an answer's speed. */
#ifndef MICA_CLI_SPEED_H
#define MICA_CLI_SPEED_H

#include <mica/generate.h>

void print_speed(const mica_generate_result *result, int64_t n_new); /* one line on standard error */

#endif
