/* cli/report.h: how the program ends and what it says on standard error.
 *
 * One line says what, where and why; the exit code follows sysexits. Text that came from outside is escaped and cut. */
#ifndef MICA_CLI_REPORT_H
#define MICA_CLI_REPORT_H

#include <stdint.h>
#include <mica/error.h>
#include <sysexits.h>

/* "mica: MESSAGE" and the exit code of the failure. A cancelled call is said by its exit code alone (130, 143). */
int fail(const mica_error *err);
/* The same with a message and a code of the program's own. */
int fail_with(int exit_code, const char *fmt, ...) MICA_PRINTF(2, 3);
/* "mica: warning: ..." */
void warn(const char *fmt, ...) MICA_PRINTF(1, 2);
/* Says which system call's failure (errno) stands in the way of `path` and returns its exit code; `code` if errno says nothing special. */
int fail_errno(int code, const char *what, const char *path);

/* Bytes made fit for a message: control characters and quotes escaped, invalid UTF-8 as \xNN, more than 80 bytes cut.
 * Lives in the caller's frame:  fail_with(EX_USAGE, "unknown option '%s'", QUOTED(word)) */
typedef struct quoted {
    char text[80 * 4 + 8];
} quoted;
const char *quote(quoted *out, const char *bytes, size_t n);
#define QUOTED(z) quote(&(quoted){{0}}, (z), __builtin_strlen(z))

/* "124.3 MB"; below a thousand "12" and `unit`. Returns out. */
const char *bytes_text(char out[32], const char *unit, uint64_t n);

/* malloc and realloc that end the program (71) when there is no memory. */
void *take_memory(size_t n, size_t size);
void *grow_memory(void *block, size_t n, size_t size);

#endif
