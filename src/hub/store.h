/* hub/store.h: one repository in the cache, laid out as huggingface_hub does:
 *
 *     CACHE/models--ORG--NAME/refs/main                    the commit that "main" was last seen at, 40 digits
 *                             blobs/HASH                   contents
 *                             snapshots/COMMIT/a/b         links to ../../../blobs/HASH
 *                             trees/COMMIT.json            which files the commit has
 *                             .no_exist/COMMIT/a/b         empty: the commit has no such file
 *     CACHE/.locks/models--ORG--NAME/HASH.lock             held while a blob is being fetched
 *
 * Where links cannot be made, snapshots hold the files themselves. Paths and hashes given here have passed hub/names.h. Links that
 * lead out of the repository's folder are refused, whoever made them. */
#ifndef MICA_HUB_STORE_H
#define MICA_HUB_STORE_H

#include "listing.h"

typedef struct mica__store {
    char *cache, *folder; /* CACHE, CACHE/models--ORG--NAME */
    char *name;           /* models--ORG--NAME */
    bool no_symlinks;
} mica__store;

mica_status mica__store_init(mica__store *s, const char *cache_dir, const char *id, bool no_symlinks, mica_error *err);
void mica__store_release(mica__store *s);

/* The folder of a commit, in fresh memory. DATA if it, or the folder of snapshots, is a link. */
mica_status mica__store_snapshot(const mica__store *s, const char *commit, char **out, mica_error *err);
/* out[0] = 0 if there is no such ref. DATA if it holds anything but a commit. */
mica_status mica__store_read_ref(const mica__store *s, const char *revision, char out[41], mica_error *err);
mica_status mica__store_write_ref(const mica__store *s, const char *revision, const char *commit, mica_error *err);

/* *there: a file is at that place of the snapshot, of that size (UINT64_MAX: any), and inside the repository's folder. DATA if it leads elsewhere. */
mica_status mica__store_has(const mica__store *s, const char *commit, const char *path, uint64_t size, bool *there,
                            mica_error *err);
bool mica__store_is_absent(const mica__store *s, const char *commit, const char *path);   /* marked in .no_exist */
void mica__store_mark_absent(const mica__store *s, const char *commit, const char *path); /* best effort */

/* The listing in trees/; out->n == 0 and *there false if there is none that can be read. */
mica_status mica__store_read_listing(const mica__store *s, const char *commit, mica__listing *out, bool *there,
                                     mica_error *err);
mica_status mica__store_write_listing(const mica__store *s, const char *commit, const mica__listing *l,
                                      mica_error *err);

/* blobs/HASH + suffix, in fresh memory; NULL without memory. */
char *mica__store_blob(const mica__store *s, const char *hash, const char *suffix);
/* *there: a blob of that size. DATA if it is a link. */
mica_status mica__store_has_blob(const mica__store *s, const char *hash, uint64_t size, bool *there, mica_error *err);
/* Makes the folders and finds out whether links can be made. */
mica_status mica__store_prepare(mica__store *s, mica_error *err);
/* Puts an existing blob into a snapshot. */
mica_status mica__store_link(const mica__store *s, const char *commit, const char *path, const char *hash,
                             mica_error *err);
/* Gives a complete temporary file its final name: the blob, linked from the snapshot; or the snapshot's file where there are no links. */
mica_status mica__store_publish(const mica__store *s, const char *temporary, const char *commit, const char *path,
                                const char *hash, mica_error *err);
/* The lock of a blob: *fd is -1 if another process holds it; closing it gives it back. Where the file system has no locks, *fd is a
 * file that is not locked. */
mica_status mica__store_lock(const mica__store *s, const char *hash, int *fd, mica_error *err);

/* mkdir -p. */
mica_status mica__make_folders(const char *path, mica_error *err);
void mica__sync_folder(const char *path); /* best effort */

#endif
