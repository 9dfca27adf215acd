/* cli/line_reader.h: messages from a person or a pipe.
 *
 * At a terminal with line editing, history and a prompt; otherwise plain lines. A message is one line, or several: lines that end in a
 * backslash go on, and a line that starts with three quotes opens a message that ends with three quotes. */
#ifndef MICA_CLI_LINE_READER_H
#define MICA_CLI_LINE_READER_H

#include "text.h"

typedef struct line_reader line_reader;

typedef enum read_result { READ_MESSAGE, READ_END, READ_INTERRUPTED } read_result;

/* history: file that keeps lines between runs; NULL: none. */
line_reader *line_reader_create(const char *history);
void line_reader_free(line_reader *r); /* writes the history */
bool line_reader_interactive(const line_reader *r);
read_result line_reader_next(line_reader *r, buffer *message);

#endif
