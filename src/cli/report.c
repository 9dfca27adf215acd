/* cli/report.c: messages on standard error and exit codes. Nothing else in the program writes "mica: ...". */
#include "report.h"
#include "interrupt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fail(const mica_error *err)
{
    if (err->status == MICA_CANCELLED) return interrupt_exit_code();
    fprintf(stderr, "mica: %s\n", err->message);
    return mica_status_exit_code(err->status);
}

static void say(const char *prefix, const char *fmt, va_list args)
{
    char line[1024];
    vsnprintf(line, sizeof line, fmt, args);
    fprintf(stderr, "mica: %s%s\n", prefix, line);
}

int fail_with(int exit_code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("", fmt, args);
    va_end(args);
    return exit_code;
}

void warn(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("warning: ", fmt, args);
    va_end(args);
}

int fail_errno(int code, const char *what, const char *path)
{
    const int e = errno;
    if (e == ENOENT && code != EX_CANTCREAT) code = EX_NOINPUT;
    if (e == EACCES || e == EPERM) code = EX_NOPERM;
    if (e == ENOSPC || e == EDQUOT || e == EIO) code = EX_IOERR;
    if (e == ENOMEM || e == EMFILE || e == ENFILE) code = EX_OSERR;
    return fail_with(code, "%s: cannot %s: %s", QUOTED(path), what, strerror(e));
}

/* Length of the valid UTF-8 sequence of a printable character at p[0..n), 0 if there is none. */
static size_t character(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    const size_t length = p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (length == 0 || length > n || p[0] > 0xf4) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90)) return 0;   /* overlong */
    if ((p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf4 && p[1] >= 0x90)) return 0; /* surrogates, above U+10FFFF */
    if (p[0] == 0xc2 && p[1] < 0xa0) return 0; /* C1 control characters steer terminals, too */
    return length;
}

const char *quote(quoted *out, const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    const size_t shown = n > 80 ? 80 : n;
    char *to = out->text;
    for (size_t i = 0; i < shown;) {
        const size_t length = character(p + i, n - i);
        if (length && p[i] != '\'' && p[i] != '\\') {
            if (i + length > shown) break;
            memcpy(to, p + i, length);
            to += length;
            i += length;
        } else if (p[i] == '\'' || p[i] == '\\') {
            *to++ = '\\';
            *to++ = (char)p[i++];
        } else {
            to += sprintf(to, "\\x%02x", p[i++]);
        }
    }
    strcpy(to, n > 80 ? "..." : "");
    return out->text;
}

static void *or_die(void *block)
{
    if (block) return block;
    fputs("mica: out of memory\n", stderr);
    exit(EX_OSERR);
}

void *grow_memory(void *block, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) return or_die(NULL);
    return or_die(realloc(block, bytes ? bytes : 1));
}

const char *bytes_text(char out[32], const char *unit, uint64_t n)
{
    const char *const units[] = {unit, "kB", "MB", "GB", "TB"};
    double value = (double)n;
    int u = 0;
    while (value >= 1000 && u < 4) value /= 1000, u++;
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", value, units[u]);
    return out;
}

void *take_memory(size_t n, size_t size) { return grow_memory(NULL, n, size); }
