/* cli/text.h: the program's strings, lines of input, and the little JSON that its own contracts need.
 *
 * JSON documents go to the library as they are; here only what --ids and --jsonl lines consist of is read: a string, or an
 * array of token ids. */
#ifndef MICA_CLI_TEXT_H
#define MICA_CLI_TEXT_H

#include <mica/tokenizer.h>
#include <stdio.h>

/* A growing string, NUL-terminated once something was added. {0} is empty. Running out of memory ends the program. */
typedef struct buffer {
    char *p;
    size_t n, capacity;
} buffer;
void buffer_add(buffer *b, const char *bytes, size_t n);
void buffer_add_z(buffer *b, const char *z);
void buffer_add_json(buffer *b, const char *bytes, size_t n); /* as a JSON string with quotes */
void buffer_add_ids(buffer *b, const int32_t *ids, size_t n); /* [1, 2, 3] */
void buffer_set_error(buffer *b, const char *message);        /* {"error": "..."} and nothing else */
void buffer_clear(buffer *b);
void buffer_release(buffer *b);

/* The next line without its end. False at the end of input or on a signal; an error is left in ferror(f). */
bool read_line(buffer *line, FILE *f);
/* Everything that is left. False if it cannot be read or is longer than max_bytes. */
bool read_all(buffer *out, FILE *f, size_t max_bytes);

/* One JSON string, and nothing but white space around it; false with the reason in *why. */
bool json_read_string(const char *p, size_t n, buffer *out, const char **why);
/* One JSON array of integers that fit token ids. */
bool json_read_ids(const char *p, size_t n, mica_ids *out, const char **why);
/* Token ids as a person types them: "1,2,3", or the JSON array. */
bool read_ids(const char *z, mica_ids *out, const char **why);

#endif
