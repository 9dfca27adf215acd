/* hub/names.h: which names may become part of a path or an address.
 *
 * Ids and revisions come from a person, file names and hashes from a server. Nothing of them reaches the file system before one
 * of these functions said yes. */
#ifndef MICA_HUB_NAMES_H
#define MICA_HUB_NAMES_H

#include "base/str.h"
#include <mica/hub.h>

/* A branch, tag, commit or refs/pr/N that may be a path below refs/. */
bool mica__hub_revision_is_safe(const char *revision);
/* 40 lower case hexadecimal digits. */
bool mica__hub_is_commit(mica__str s);
/* What blobs are named by: 40 (git SHA-1) or 64 (SHA-256) lower case hexadecimal digits. */
bool mica__hub_is_hash(mica__str s);
/* The path of a file in a repository: relative, no part that is empty, "." or "..", no backslash, colon, control character or invalid UTF-8, no
 * name that is a device elsewhere (CON, NUL, COM1, ...), no part longer than 255 bytes and no more than 1024 in all. */
bool mica__hub_path_is_safe(mica__str path);

/* huggingface_hub's patterns: * and ? match slashes, too; one that ends in a slash takes all below. */
bool mica__hub_matches(const char *pattern, const char *path);
/* True if one of the include patterns matches (or there are none) and none of the exclude patterns. */
bool mica__hub_wanted(const char *path, const char *const *include, size_t n_include, const char *const *exclude,
                      size_t n_exclude);

/* Appends s percent-encoded; slashes stay with `path`. */
void mica__hub_append_encoded(mica__buf *out, mica__str s, bool path);

#endif
