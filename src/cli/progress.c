/* cli/progress.c: "download [######........] 120 / 480 MB, 31.5 MB/s, 0:12 left" */
#include "progress.h"
#include "interrupt.h"
#include "report.h"
#include "timing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* From a second after the stage began: how fast it goes, and how long it will still take. */
static void draw_speed(progress_bar *b, const char *stage, uint64_t done, uint64_t total, double now)
{
    if (strncmp(b->stage, stage, sizeof b->stage - 1) != 0 || done < b->first) {
        snprintf(b->stage, sizeof b->stage, "%s", stage);
        b->start = now;
        b->first = done;
    }
    const double seconds = now - b->start, speed = seconds > 1 ? (double)(done - b->first) / seconds : 0;
    if (speed < 1 || total < done) return;
    const double left = (double)(total - done) / speed;
    fprintf(stderr, ", %.1f MB/s", speed / 1e6);
    if (left < 360000) fprintf(stderr, ", %d:%02d left", (int)left / 60, (int)left % 60);
}

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
    draw_speed(b, stage, done, total, now);
    fputs("\033[K", stderr);
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
