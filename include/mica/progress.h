/* mica/progress.h: long work reports how far it is. */
#ifndef MICA_PROGRESS_H
#define MICA_PROGRESS_H

#include "error.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called now and then from the thread that does the work: `stage` ("load weights"), `done` of `total` (bytes; total 0:
 * unknown). Returning false cancels the work, which then fails with MICA_CANCELLED. */
typedef struct mica_progress {
    bool (*report)(void *context, const char *stage, uint64_t done, uint64_t total);
    void *context;
} mica_progress;

/* Notices for a person ("the checkpoint asks for remote code; ignored"), one line each, no newline. NULL function: dropped. */
typedef struct mica_notices {
    void (*notice)(void *context, const char *message);
    void *context;
} mica_notices;

#ifdef __cplusplus
}
#endif
#endif
