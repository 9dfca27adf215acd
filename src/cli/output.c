/* cli/output.c: standard output that notices the first failure and remembers it. */
#include "output.h"
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int failure; /* errno of the first write that failed */

static void note(bool good)
{
    if (!good && !failure) failure = errno ? errno : EIO;
}

void out_write(const char *bytes, size_t n)
{
    if (!failure) note(fwrite(bytes, 1, n, stdout) == n);
}

void out_printf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (!failure) note(vprintf(fmt, args) >= 0);
    va_end(args);
}

void out_json(const char *z)
{
    buffer b = {0};
    if (z)
        buffer_add_json(&b, z, strlen(z));
    else
        buffer_add_z(&b, "null");
    out_write(b.p, b.n);
    buffer_release(&b);
}

void out_ids(const int32_t *ids, size_t n)
{
    buffer b = {0};
    buffer_add_ids(&b, ids, n);
    out_write(b.p, b.n);
    buffer_release(&b);
}

void out_line(const buffer *b)
{
    out_write(b->p, b->n);
    out_write("\n", 1);
    out_flush();
}

bool out_flush(void)
{
    if (!failure) note(fflush(stdout) == 0);
    return !failure;
}

bool out_ok(void) { return !failure; }
bool out_is_terminal(void) { return isatty(STDOUT_FILENO); }

int out_finish(void)
{
    out_flush();
    if (!failure || failure == EPIPE) return 0;
    return fail_with(EX_IOERR, "standard output: %s", strerror(failure));
}
