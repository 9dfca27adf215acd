/* hub/partial.h: a blob on its way: what is there of it, kept so that no interruption loses it, and its hash.
 *
 * blobs/HASH.mica.incomplete has the blob's size from the start; it is filled in chunks, each from its beginning. How far each chunk
 * is stands in blobs/HASH.mica.map, written after the bytes themselves, so a killed process leaves both right. (After a power failure
 * the map may promise bytes that the disk never got: the hash finds that, and the blob is fetched again.) A blob of one chunk needs
 * no map: its file is as long as what is there. Bytes that are there are never written again. The map also keeps how much was asked for
 * in all runs: what was asked for and is not there was lost, or may have been (see hub/turns.h).
 *
 * One thread writes a chunk at a time; different chunks may have different threads, and one more thread may be hashing behind them. */
#ifndef MICA_HUB_PARTIAL_H
#define MICA_HUB_PARTIAL_H

#include "base/file.h"
#include "store.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct mica__partial {
    const char *hash; /* borrowed */
    uint64_t size, chunk_bytes;
    size_t n_chunks;
    _Atomic uint64_t *done; /* [n_chunks] bytes there, from the chunk's beginning */
    uint64_t asked;         /* bytes asked for, in all runs */
    char *path, *map_path;
    int fd, map_fd, lock_fd;
    pthread_mutex_t
        writing; /* a kernel writes a file for one thread at a time; the others would burn their time waiting inside it */
    void *digest;       /* EVP_MD_CTX */
    mica__mapping view; /* for hashing without copying; empty if it could not be had */
    uint64_t hashed;
    bool right;   /* all was hashed and is what it should be */
    bool resumed; /* bytes of an earlier run are in it */
} mica__partial;

/* Opens or creates the files. lock_fd_take: the blob's lock (mica__store_lock), given back by _close. *busy: another process is at
 * it all the same; nothing was opened. A blob of an earlier run keeps the chunks it had then. */
mica_status mica__partial_open(mica__partial *p, const mica__store *s, const char *hash, uint64_t size,
                               uint64_t chunk_bytes, int lock_fd_take, bool *busy, mica_error *err);
void mica__partial_close(mica__partial *p); /* keeps the files, gives the lock back; {0} allowed */

static inline uint64_t mica__partial_chunk_bytes(const mica__partial *p, size_t chunk)
{
    const uint64_t begin = chunk * p->chunk_bytes;
    return p->size - begin < p->chunk_bytes ? p->size - begin : p->chunk_bytes;
}
uint64_t mica__partial_done(const mica__partial *p); /* in all chunks */
/* Appends to a chunk; no more than it still lacks. */
mica_status mica__partial_write(mica__partial *p, size_t chunk, const char *bytes, size_t n, mica_error *err);
/* Sets `asked`, for later runs too. Best effort: without it, a later run may lose some more. Not from two threads at once. */
void mica__partial_set_asked(mica__partial *p, uint64_t asked);
/* Has the disk take what was written so far, while more is written. Failures show when it is published. */
void mica__partial_flush(const mica__partial *p);
/* Hashes what follows without a gap, at most max_bytes. */
mica_status mica__partial_hash(mica__partial *p, uint64_t max_bytes, mica_error *err);
/* How many bytes there are before the first gap. */
uint64_t mica__partial_contiguous(const mica__partial *p);
/* True if all was hashed and it is the blob that its name says; found: the hash as text. */
bool mica__partial_is_right(mica__partial *p, char found[65]);
void mica__partial_remove(mica__partial *p); /* the files' names; it stays open */
/* Forgets all bytes. */
mica_status mica__partial_restart(mica__partial *p, mica_error *err);
/* Gives it its final name. What `mica__partial_is_right` did not see is not published. */
mica_status mica__partial_publish(mica__partial *p, const mica__store *s, const char *commit, const char *path,
                                  mica_error *err);

#endif
