/* base/file.h: whole files in memory, mapped files, safe replacement of files.
 *
 * Only regular files are opened (never a directory, FIFO or device, and never with a blocking open). A mapped file that
 * another process truncates does not kill the process: the missing pages read as zeros and mica__mapping_check reports it (for
 * the first 1024 mappings that exist at once, and unless the program installs a SIGBUS handler of its own after the first
 * mapping that does not call the one before it). */
#ifndef MICA_BASE_FILE_H
#define MICA_BASE_FILE_H

#include "str.h"

/* What is different once somebody wrote to a file, or put another one in its place. */
typedef struct mica__file_state {
    uint64_t inode, n_bytes;
    int64_t modified_ns, changed_ns; /* content; content or attributes */
} mica__file_state;

typedef struct mica__mapping {
    const uint8_t *data; /* NULL when n == 0 */
    size_t n;            /* bytes */
    char *path;
    mica__file_state state; /* when it was mapped */
    int slot;               /* private */
} mica__mapping;

/* Maps a whole regular file for reading. NOT_FOUND, ACCESS, DATA (not a regular file), SYSTEM. */
mica_status mica__mapping_open(mica__mapping *out, const char *path, mica_error *err);
/* IO if the file was truncated under us since it was mapped, else OK. Cheap. */
mica_status mica__mapping_check(const mica__mapping *m, mica_error *err);
/* Drops the resident pages of [offset, offset + n) that lie wholly inside; they are read again when touched. */
void mica__mapping_forget(const mica__mapping *m, size_t offset, size_t n);
void mica__mapping_release(mica__mapping *m); /* {0} allowed */

/* Reads a whole regular file of at most max_bytes (LIMIT beyond). The buffer is appended to. */
mica_status mica__file_read(mica__buf *out, const char *path, size_t max_bytes, mica_error *err);

/* Writes the file so that `path` holds either its old content or all of the new: temporary name beside it, fsync, rename. */
mica_status mica__file_write(const char *path, const void *bytes, size_t n, mica_error *err);
/* The same for content that lies in several pieces, written one after the other. */
mica_status mica__file_write_parts(const char *path, const mica__str *parts, size_t n_parts, mica_error *err);

/* n bytes at `offset` of an open file; false (errno, or 0 at its end) if they are not there. */
bool mica__file_read_at(int fd, void *out, size_t n, size_t offset);

bool mica__path_is_dir(const char *path);
bool mica__path_is_file(const char *path);
/* "dir/name" in fresh memory (mica__free), NULL without memory. */
char *mica__path_join(const char *dir, const char *name);

#endif
