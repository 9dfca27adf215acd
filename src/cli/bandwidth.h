/* cli/bandwidth.h: how fast this machine reads memory: the yardstick of bench. */
#ifndef MICA_CLI_BANDWIDTH_H
#define MICA_CLI_BANDWIDTH_H

/* Bytes per second that n_threads read together from memory much larger than the caches, the best of several passes over about
 * half a second. 0: no memory or threads for it. */
double measure_bandwidth(int n_threads);

#endif
