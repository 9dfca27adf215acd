/* cli/output.h: standard output.
 *
 * A reader that closed the pipe (| head) is no fault: what is written afterwards is dropped, out_ok says no so that work can stop,
 * and the program ends quietly with 0. Anything else that cannot be written is said at the end, with 74. */
#ifndef MICA_CLI_OUTPUT_H
#define MICA_CLI_OUTPUT_H

#include "text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void out_write(const char *bytes, size_t n);
void out_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void out_json(const char *z);               /* a JSON string with quotes; NULL: null */
void out_ids(const int32_t *ids, size_t n); /* [1, 2, 3] */
void out_line(const buffer *b);             /* and a newline, flushed */
bool out_flush(void);                       /* false: no more output can be given */
bool out_ok(void);
bool out_is_terminal(void);
int out_finish(void); /* flushes; the exit code: 0 or 74 */

#endif
