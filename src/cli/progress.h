/* cli/progress.h: a bar on standard error while the library works, if that is a terminal, and its notices. */
#ifndef MICA_CLI_PROGRESS_H
#define MICA_CLI_PROGRESS_H

#include <mica/progress.h>

typedef struct progress_bar {
    bool visible;
    double last; /* when it was drawn */
    char stage[16];
    double start; /* of this stage, and how much was done then */
    uint64_t first;
} progress_bar;

/* Also the place where long work hears of Ctrl-C, if interrupt_defer is on. */
mica_progress progress_start(progress_bar *bar);
void progress_end(progress_bar *bar); /* wipes it away */
mica_notices progress_notices(void);  /* as warnings */

#endif
