/* cli/progress.c: "convert [######........] 120 / 480 MB" */
#include "progress.h"
#include "interrupt.h"
#include "report.h"
#include "timing.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static bool draw(void *context, const char *stage, uint64_t done, uint64_t total)
{
    progress_bar *b = context;
    enum { CELLS = 30 };
    if (interrupt_pending()) return false;
    const double now = seconds_now();
    if (!isatty(STDERR_FILENO) || total == 0 || now - b->last < 0.05) return true;
    char cells[CELLS + 1];
    const int full = (int)((double)done / (double)total * CELLS);
    for (int i = 0; i < CELLS; i++) cells[i] = i < full ? '#' : '.';
    cells[CELLS] = 0;
    fprintf(stderr, "\r%s [%s] %" PRIu64 " / %" PRIu64 " MB", stage, cells, done / 1000000, total / 1000000);
    b->visible = true;
    b->last = now;
    return true;
}

static void notice(void *context, const char *message)
{
    (void)context;
    warn("%s", message);
}

mica_progress progress_start(progress_bar *bar)
{
    *bar = (progress_bar){0};
    return (mica_progress){draw, bar};
}

void progress_end(progress_bar *bar)
{
    if (bar->visible) fputs("\r\033[K", stderr);
    bar->visible = false;
}

mica_notices progress_notices(void) { return (mica_notices){notice, NULL}; }
