/* models/machine_memory.h: how much memory this process may use. */
#ifndef MICA_MODELS_MACHINE_MEMORY_H
#define MICA_MODELS_MACHINE_MEMORY_H

#include <stdint.h>

/* Bytes of memory of the machine, or of the control group if that allows less. 0: unknown. */
uint64_t mica__machine_memory(void);

#endif
