/* hub/partial.c: chunks of a blob, the map of what is there, hashing behind the writers. */
#include "partial.h"
#include "hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The map: this head, then the bytes that are there of each chunk. */
typedef struct map_head {
    char magic[8];
    uint64_t size, chunk_bytes, n_chunks, asked;
} map_head;
static const char map_magic[8] = "micamap2";

enum { MAX_CHUNKS = 1 << 20, MIN_CHUNK = 1 << 20, HASH_BLOCK = 256 * 1024 };

static bool read_at(int fd, void *out, size_t n, uint64_t at) { return pread(fd, out, n, (off_t)at) == (ssize_t)n; }

/* A failed write because of space or a quota says what is needed; the rest is errno's. */
static mica_status fail_write(const mica__partial *p, mica_error *err)
{
    return mica__fail_errno(err, errno, "write", p->path);
}

static mica_status write_at(const mica__partial *p, int fd, const void *bytes, size_t n, uint64_t at, mica_error *err)
{
    const char *from = bytes;
    while (n) {
        const ssize_t put = pwrite(fd, from, n, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return fail_write(p, err);
        from += put;
        at += (uint64_t)put;
        n -= (size_t)put;
    }
    return MICA_OK;
}

uint64_t mica__partial_done(const mica__partial *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n_chunks; i++) sum += atomic_load(&p->done[i]);
    return sum;
}

uint64_t mica__partial_contiguous(const mica__partial *p)
{
    uint64_t at = p->hashed;
    while (at < p->size) {
        const size_t chunk = (size_t)(at / p->chunk_bytes);
        at = chunk * p->chunk_bytes + atomic_load(&p->done[chunk]);
        if (at < chunk * p->chunk_bytes + mica__partial_chunk_bytes(p, chunk)) break;
    }
    return at > p->hashed ? at : p->hashed;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------ */

/* Takes over what other programs left of this blob under names of theirs. We hold the lock that they hold while they write. */
static void adopt(const mica__partial *p, const mica__store *s)
{
    char *folder = mica__store_blob(s, "", "");
    DIR *d = folder ? opendir(folder) : NULL;
    const size_t n = strlen(p->hash);
    const bool have = access(p->path, F_OK) == 0;
    bool adopted = have;
    for (struct dirent *e; d && (e = readdir(d));) {
        const mica__str name = mica__str_from(e->d_name);
        if (name.n <= n || memcmp(name.p, p->hash, n) != 0 || name.p[n] != '.' ||
            !mica__str_ends(name, ".incomplete") || strcmp(name.p + n, ".mica.incomplete") == 0)
            continue;
        char *foreign = mica__store_blob(s, e->d_name, "");
        struct stat st;
        if (foreign && lstat(foreign, &st) == 0 && S_ISREG(st.st_mode)) {
            const bool use = !adopted && (uint64_t)st.st_size <= p->size && rename(foreign, p->path) == 0;
            adopted = adopted || use;
            if (!use) unlink(foreign);
        }
        mica__free(foreign);
    }
    if (d) closedir(d);
    mica__free(folder);
}

/* Reads the map of an earlier run; false if there is none that fits the file. */
static bool load_map(mica__partial *p, uint64_t file_bytes)
{
    map_head head;
    const int fd = open(p->map_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    bool good = file_bytes == p->size && read_at(fd, &head, sizeof head, 0) &&
                memcmp(head.magic, map_magic, sizeof map_magic) == 0 && head.size == p->size &&
                head.chunk_bytes >= MIN_CHUNK && head.n_chunks == (p->size - 1) / head.chunk_bytes + 1 &&
                head.n_chunks <= MAX_CHUNKS;
    if (good) {
        p->chunk_bytes = head.chunk_bytes;
        p->n_chunks = (size_t)head.n_chunks;
        p->asked = head.asked;
        p->done = mica__calloc(p->n_chunks, sizeof *p->done);
        good = p->done && read_at(fd, (void *)p->done, p->n_chunks * sizeof *p->done, sizeof head);
        for (size_t i = 0; good && i < p->n_chunks; i++) {
            good = p->done[i] <= mica__partial_chunk_bytes(p, i);
            p->resumed = p->resumed || p->done[i] > 0;
        }
        if (!good) {
            mica__free((void *)p->done);
            p->done = NULL;
        }
    }
    if (good)
        p->map_fd = fd;
    else
        close(fd);
    return good;
}

static mica_status create_map(mica__partial *p, mica_error *err)
{
    map_head head = {.size = p->size, .chunk_bytes = p->chunk_bytes, .n_chunks = p->n_chunks, .asked = p->asked};
    memcpy(head.magic, map_magic, sizeof map_magic);
    unlink(p->map_path);
    p->map_fd = open(p->map_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (p->map_fd < 0) return mica__fail_errno(err, errno, "create", p->map_path);
    MICA_TRY(write_at(p, p->map_fd, &head, sizeof head, 0, err));
    return write_at(p, p->map_fd, (void *)p->done, p->n_chunks * sizeof *p->done, sizeof head, err);
}

/* Finds out what is there, and makes the rest fit. */
static mica_status load(mica__partial *p, uint64_t chunk_bytes, mica_error *err)
{
    struct stat st;
    if (fstat(p->fd, &st) != 0) return mica__fail_errno(err, errno, "read", p->path);
    uint64_t there = (uint64_t)st.st_size;
    if (p->size && load_map(p, there)) return MICA_OK;
    if (there > p->size) { /* not of this blob */
        if (ftruncate(p->fd, 0) != 0) return fail_write(p, err);
        there = 0;
    }
    p->resumed = there > 0;
    p->chunk_bytes = chunk_bytes && p->size > chunk_bytes ? chunk_bytes : p->size ? p->size : 1;
    p->n_chunks = p->size ? (size_t)((p->size - 1) / p->chunk_bytes + 1) : 1;
    if (p->n_chunks > MAX_CHUNKS) return mica__fail(err, MICA_LIMIT, "%s: too large", p->path);
    p->done = mica__calloc(p->n_chunks, sizeof *p->done);
    if (!p->done) return mica__fail_memory(err, p->n_chunks * sizeof *p->done, "a map of a file");
    for (size_t i = 0; i < p->n_chunks; i++) {
        const uint64_t begin = i * p->chunk_bytes, n = mica__partial_chunk_bytes(p, i);
        p->done[i] = there <= begin ? 0 : there - begin < n ? there - begin : n;
    }
    p->asked = there;
    if (p->n_chunks == 1) {
        unlink(p->map_path);
        return MICA_OK;
    }
    MICA_TRY(create_map(p, err));
    return ftruncate(p->fd, (off_t)p->size) == 0 ? MICA_OK : fail_write(p, err);
}

/* A second lock, on the file itself, of another kind: some file systems have only one of them. */
static bool lock_file(int fd)
{
#ifdef F_OFD_SETLK
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
#else
    (void)fd;
    return true;
#endif
}

static mica_status open_locked(mica__partial *p, const mica__store *s, uint64_t chunk_bytes, bool *busy,
                               mica_error *err)
{
    p->path = mica__store_blob(s, p->hash, ".mica.incomplete");
    p->map_path = mica__store_blob(s, p->hash, ".mica.map");
    if (!p->path || !p->map_path) return mica__fail_memory(err, 256, "a path");
    adopt(p, s);
    p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->fd < 0 && errno == ELOOP) return mica__fail(err, MICA_DATA, "%s: is a link; remove it", p->path);
    if (p->fd < 0) return mica__fail_errno(err, errno, "create", p->path);
    if (!lock_file(p->fd)) {
        *busy = true;
        return MICA_OK;
    }
    struct stat held, named;
    if (fstat(p->fd, &held) != 0 || stat(p->path, &named) != 0 || held.st_ino != named.st_ino) {
        *busy = true; /* it was just given its final name */
        return MICA_OK;
    }
    p->digest = mica__hash_create(strlen(p->hash) == 40, p->size);
    if (!p->digest) return mica__fail_memory(err, 1, "a hash");
    MICA_TRY(load(p, chunk_bytes, err));
    if (p->n_chunks > 1 && mica__mapping_open(&p->view, p->path, NULL) != MICA_OK)
        p->view = (mica__mapping){.slot = -1};
    /* Hashing passes over it once: no page of it is worth more to the kernel for that. */
    if (p->view.data) posix_madvise((void *)p->view.data, p->view.n, POSIX_MADV_SEQUENTIAL);
    return MICA_OK;
}

mica_status mica__partial_open(mica__partial *p, const mica__store *s, const char *hash, uint64_t size,
                               uint64_t chunk_bytes, int lock_fd_take, bool *busy, mica_error *err)
{
    *p = (mica__partial){.hash = hash,
                         .size = size,
                         .fd = -1,
                         .map_fd = -1,
                         .lock_fd = lock_fd_take,
                         .writing = PTHREAD_MUTEX_INITIALIZER,
                         .view = {.slot = -1}};
    *busy = false;
    const mica_status status = open_locked(p, s, chunk_bytes, busy, err);
    if (status != MICA_OK || *busy) mica__partial_close(p);
    return status;
}

void mica__partial_remove(mica__partial *p)
{
    unlink(p->path);
    unlink(p->map_path);
}

void mica__partial_close(mica__partial *p)
{
    if (p->fd > 0) close(p->fd);
    if (p->map_fd > 0) close(p->map_fd);
    if (p->lock_fd > 0) close(p->lock_fd);
    mica__hash_free(p->digest);
    if (p->view.data) mica__mapping_release(&p->view);
    mica__free(p->path);
    mica__free(p->map_path);
    mica__free((void *)p->done);
    *p = (mica__partial){.fd = -1, .map_fd = -1, .lock_fd = -1, .view = {.slot = -1}};
}

/* ---- filling -------------------------------------------------------------------------------------------------------------- */

/* The disk's room for a chunk, taken at once: writes are then a third cheaper, and the chunk lies in one piece. Best effort. */
static void reserve(const mica__partial *p, size_t chunk)
{
#ifdef __linux__
    const int failed = fallocate(p->fd, 0, (off_t)(chunk * p->chunk_bytes), (off_t)mica__partial_chunk_bytes(p, chunk));
    (void)failed;
#else
    (void)p, (void)chunk;
#endif
}

mica_status mica__partial_write(mica__partial *p, size_t chunk, const char *bytes, size_t n, mica_error *err)
{
    const uint64_t done = atomic_load_explicit(&p->done[chunk], memory_order_relaxed);
    pthread_mutex_lock(&p->writing);
    if (done == 0 && p->map_fd >= 0) reserve(p, chunk);
    const mica_status status = write_at(p, p->fd, bytes, n, chunk * p->chunk_bytes + done, err);
    pthread_mutex_unlock(&p->writing);
    MICA_TRY(status);
    const uint64_t more = done + n;
    if (p->map_fd >= 0)
        MICA_TRY(write_at(p, p->map_fd, &more, sizeof more, sizeof(map_head) + chunk * sizeof more, err));
    atomic_store_explicit(&p->done[chunk], more, memory_order_release);
    return MICA_OK;
}

void mica__partial_set_asked(mica__partial *p, uint64_t asked)
{
    p->asked = asked;
    if (p->map_fd >= 0) {
        const mica_status status = write_at(p, p->map_fd, &asked, sizeof asked, offsetof(map_head, asked), NULL);
        (void)status;
    }
}

void mica__partial_flush(const mica__partial *p)
{
#ifdef __APPLE__
    fsync(p->fd);
#else
    fdatasync(p->fd);
#endif
}

static mica_status hash_view(mica__partial *p, uint64_t end, mica_error *err)
{
    const size_t begin = (size_t)p->hashed, n = (size_t)end - begin;
    const bool good = mica__hash_add(p->digest, p->view.data + begin, n);
    mica__mapping_forget(&p->view, begin, n);
    p->hashed = end;
    if (!good) return mica__fail(err, MICA_INTERNAL, "%s: cannot be hashed", p->path);
    return mica__mapping_check(&p->view, err);
}

mica_status mica__partial_hash(mica__partial *p, uint64_t max_bytes, mica_error *err)
{
    uint64_t end = mica__partial_contiguous(p);
    if (end - p->hashed > max_bytes) end = p->hashed + max_bytes;
    if (end == p->hashed) return MICA_OK;
    if (p->view.n >= end) return hash_view(p, end, err);
    char *block = mica__alloc(HASH_BLOCK, 1);
    if (!block) return mica__fail_memory(err, HASH_BLOCK, "a hash");
    mica_status status = MICA_OK;
    while (p->hashed < end && status == MICA_OK) {
        const size_t n = end - p->hashed < HASH_BLOCK ? (size_t)(end - p->hashed) : HASH_BLOCK;
        const ssize_t got = pread(p->fd, block, n, (off_t)p->hashed);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            status = mica__fail_errno(err, got < 0 ? errno : EIO, "read", p->path);
        else if (!mica__hash_add(p->digest, block, (size_t)got))
            status = mica__fail(err, MICA_INTERNAL, "%s: cannot be hashed", p->path);
        else
            p->hashed += (uint64_t)got;
    }
    mica__free(block);
    return status;
}

bool mica__partial_is_right(mica__partial *p, char found[65])
{
    found[0] = 0;
    if (p->hashed != p->size || !p->digest) return false;
    mica__hash_finish(p->digest, found);
    p->digest = NULL;
    p->right = strcmp(found, p->hash) == 0;
    return p->right;
}

mica_status mica__partial_restart(mica__partial *p, mica_error *err)
{
    mica__hash_free(p->digest);
    p->hashed = 0;
    p->resumed = false;
    p->digest = mica__hash_create(strlen(p->hash) == 40, p->size);
    if (!p->digest) return mica__fail_memory(err, 1, "a hash");
    for (size_t i = 0; i < p->n_chunks; i++) atomic_store(&p->done[i], 0);
    mica__partial_set_asked(p, 0);
    if (p->map_fd >= 0)
        MICA_TRY(write_at(p, p->map_fd, (void *)p->done, p->n_chunks * sizeof *p->done, sizeof(map_head), err));
    if (ftruncate(p->fd, 0) != 0 || (p->n_chunks > 1 && ftruncate(p->fd, (off_t)p->size) != 0))
        return fail_write(p, err);
    return MICA_OK;
}

mica_status mica__partial_publish(mica__partial *p, const mica__store *s, const char *commit, const char *path,
                                  mica_error *err)
{
    if (!p->right) return mica__fail(err, MICA_INTERNAL, "%s: was not checked", p->path);
    if (ftruncate(p->fd, (off_t)p->size) != 0 || fsync(p->fd) != 0) return fail_write(p, err);
    unlink(p->map_path);
    return mica__store_publish(s, p->path, commit, path, p->hash, err);
}
