/* hub/hash.h: the two hashes by which the Hub names contents: SHA-256, and git's SHA-1 over "blob SIZE", a zero, and the bytes. */
#ifndef MICA_HUB_HASH_H
#define MICA_HUB_HASH_H

#include "base/error.h"

/* git: of a blob of `size` bytes; else SHA-256. NULL: no memory, or the library lacks it. */
void *mica__hash_create(bool git, uint64_t size);
bool mica__hash_add(void *hash, const void *bytes, size_t n);
void mica__hash_finish(void *hash, char out[65]); /* hexadecimal; frees */
void mica__hash_free(void *hash);                 /* NULL allowed */

/* The whole of an open file, both at once if both are asked for; `report` (may be NULL) is told how many bytes were read, false stops with CANCELLED. */
mica_status mica__hash_file(int fd, uint64_t size, const char *path, char git[65], char sha256[65],
                            bool (*report)(void *context, uint64_t n), void *context, mica_error *err);

#endif
