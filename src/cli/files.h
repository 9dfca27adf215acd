/* cli/files.h: reading a file whole, replacing a file whole, and the user's folders. */
#ifndef MICA_CLI_FILES_H
#define MICA_CLI_FILES_H

#include "text.h"
#include <mica/error.h>
#include <stdio.h>

/* "-" is standard input. False with *err filled: NOT_FOUND, ACCESS, LIMIT beyond max_bytes, IO. */
bool file_read(buffer *out, const char *path, size_t max_bytes, mica_error *err);
bool file_exists(const char *path);
bool folder_exists(const char *path);

/* A new file that takes its name only when it is complete. */
typedef struct new_file {
    FILE *f;
    char *path, *temporary;
} new_file;
/* Exit code, 0 after success; the reason was said. */
int new_file_open(new_file *file, const char *path);
int new_file_commit(new_file *file);
void new_file_discard(new_file *file); /* {0} and committed allowed */

/* "a/b/c" in fresh memory; the list ends with NULL. */
char *path_join(const char *first, ...) __attribute__((sentinel));
/* The folder that an XDG variable names, with "/mica" appended: ("XDG_CACHE_HOME", ".cache"). NULL if neither it nor HOME is set. */
char *user_folder(const char *variable, const char *below_home);
/* Makes a folder and those above it; failures show when it is used. */
void make_folders(const char *path);

#endif
