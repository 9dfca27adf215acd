/* base/file.c: reading, mapping and replacing files.
 *
 * A mapping whose file is truncated by another process raises SIGBUS when its missing pages are touched. The
 * handler here puts a page of zeros under the faulting address, if it lies in one of our mappings, and marks
 * the mapping as broken; the reader finds out at its next mica__mapping_check. Every other SIGBUS goes to
 * whoever handled it before. */
#include "file.h"
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- SIGBUS ---- */

enum { MAX_MAPPINGS = 1024 };

/* Read by the signal handler: written so that `n` is set last and cleared first. */
static struct {
    _Atomic(const uint8_t *) data;
    _Atomic size_t n;
    atomic_bool taken, broken;
} mappings[MAX_MAPPINGS];

static struct sigaction previous_handler;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    const uint8_t *address = info->si_addr;
    for (int i = 0; info->si_code == BUS_ADRERR && i < MAX_MAPPINGS; i++) {
        const uint8_t *data = atomic_load(&mappings[i].data);
        size_t n = atomic_load(&mappings[i].n);
        if (n == 0 || address < data || address >= data + n) continue;
        if (data != atomic_load(&mappings[i].data)) continue; /* this slot is changing hands: not the one that faults */
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        void *start = (void *)((uintptr_t)address & ~(uintptr_t)(page - 1));
        int saved = errno;
        void *zeros = mmap(start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        errno = saved;
        if (zeros == MAP_FAILED) break;
        atomic_store(&mappings[i].broken, true);
        return;
    }
    if (previous_handler.sa_flags & SA_SIGINFO) {
        previous_handler.sa_sigaction(sig, info, context);
    } else if (previous_handler.sa_handler != SIG_DFL && previous_handler.sa_handler != SIG_IGN) {
        previous_handler.sa_handler(sig);
    } else {
        signal(sig, SIG_DFL);
        raise(sig); /* blocked until we return, and then deadly, as it would have been without us */
    }
}

static void install_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_handler);
}

/* -1 if all slots are taken: that mapping then goes without protection. */
static int watch(const uint8_t *data, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_handler);
    for (int i = 0; i < MAX_MAPPINGS; i++) {
        if (atomic_exchange(&mappings[i].taken, true)) continue;
        atomic_store(&mappings[i].broken, false);
        atomic_store(&mappings[i].data, data);
        atomic_store(&mappings[i].n, n);
        return i;
    }
    return -1;
}

static void unwatch(int slot)
{
    if (slot < 0) return;
    atomic_store(&mappings[slot].n, 0);
    atomic_store(&mappings[slot].taken, false);
}

/* ---- opening ---- */

/* Opens a regular file for reading, never blocking on a FIFO or device. */
static mica__file_state state_of(const struct stat *st)
{
#ifdef __APPLE__
    const struct timespec modified = st->st_mtimespec, changed = st->st_ctimespec;
#else
    const struct timespec modified = st->st_mtim, changed = st->st_ctim;
#endif
    return (mica__file_state){
        .inode = (uint64_t)st->st_ino,
        .n_bytes = (uint64_t)st->st_size,
        .modified_ns = (int64_t)modified.tv_sec * 1000000000 + modified.tv_nsec,
        .changed_ns = (int64_t)changed.tv_sec * 1000000000 + changed.tv_nsec,
    };
}

static mica_status open_regular(const char *path, int *fd, mica__file_state *state, mica_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0) return mica__fail_errno(err, errno, "open", path);
    struct stat st;
    mica_status status = MICA_OK;
    if (fstat(*fd, &st) != 0)
        status = mica__fail_errno(err, errno, "read", path);
    else if (!S_ISREG(st.st_mode))
        status = mica__fail(err, MICA_DATA, "%s: is not a regular file", path);
    if (status != MICA_OK) {
        close(*fd);
        return status;
    }
    *state = state_of(&st);
    return MICA_OK;
}

mica_status mica__mapping_open(mica__mapping *out, const char *path, mica_error *err)
{
    *out = (mica__mapping){.slot = -1};
    int fd;
    mica__file_state state;
    MICA_TRY(open_regular(path, &fd, &state, err));
    const size_t n = (size_t)state.n_bytes;
    void *data = n ? mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    int map_errno = errno;
    close(fd);
    if (data == MAP_FAILED) return mica__fail_errno(err, map_errno, "map", path);
    out->path = mica__strndup(path, strlen(path));
    if (!out->path) {
        if (data) munmap(data, n);
        return mica__fail_memory(err, strlen(path), "a path");
    }
    out->data = data;
    out->n = n;
    out->state = state;
    if (data) out->slot = watch(out->data, n);
    return MICA_OK;
}

mica_status mica__mapping_check(const mica__mapping *m, mica_error *err)
{
    if (m->data && m->slot >= 0 && atomic_load(&mappings[m->slot].broken))
        return mica__fail(err, MICA_IO, "%s: the file became shorter or unreadable while it was in use", m->path);
    return MICA_OK;
}

void mica__mapping_forget(const mica__mapping *m, size_t offset, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), end;
    if (!m->data || offset >= m->n || !mica__add(offset, n, &end)) return;
    if (end > m->n) end = m->n;
    size_t first = (offset + page - 1) / page * page, last = end / page * page;
    if (last > first) madvise((void *)(m->data + first), last - first, MADV_DONTNEED);
}

void mica__mapping_release(mica__mapping *m)
{
    if (m->data) {
        unwatch(m->slot);
        munmap((void *)m->data, m->n);
    }
    mica__free(m->path);
    *m = (mica__mapping){.slot = -1};
}

bool mica__file_read_at(int fd, void *out, size_t n, size_t offset)
{
    uint8_t *p = out;
    while (n) {
        const ssize_t got = pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = 0;
        if (got <= 0) return false;
        p += got;
        offset += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

mica_status mica__file_read(mica__buf *out, const char *path, size_t max_bytes, mica_error *err)
{
    int fd;
    mica__file_state state;
    MICA_TRY(open_regular(path, &fd, &state, err));
    const size_t n = (size_t)state.n_bytes;
    mica_status status = MICA_OK;
    size_t total = 0;
    if (n > max_bytes) {
        status = mica__fail(err, MICA_LIMIT, "%s: is %zu bytes, limit is %zu", path, n, max_bytes);
    } else if (mica__buf_reserve(out, n)) {
        while (total < n) {
            ssize_t got = read(fd, out->p + out->n, n - total);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) status = mica__fail_errno(err, errno, "read", path);
            if (got <= 0) break;
            total += (size_t)got;
            out->n += (size_t)got;
        }
        out->p[out->n] = 0;
        if (status == MICA_OK && total < n)
            status = mica__fail(err, MICA_IO, "%s: the file became shorter while it was read", path);
    } else {
        status = mica__buf_status(out, err, path);
    }
    close(fd);
    return status;
}

/* ---- writing ---- */

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        bytes += put;
        n -= (size_t)put;
    }
    return true;
}

/* Makes a rename durable; best effort, since some file systems cannot sync a directory. */
static void sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? mica__strndup(path, (size_t)(slash - path) + (slash == path)) : mica__strndup(".", 1);
    int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    mica__free(dir);
}

/* Creates a file with a fresh name in the folder of `path`, with the permissions that the process gives new files. The name
 * does not grow with the file's name, which may already be as long as names can be. */
static int create_beside(const char *path, char **temporary)
{
    static atomic_uint counter;
    const char *slash = strrchr(path, '/');
    int n_dir = slash ? (int)(slash - path) + 1 : 0, fd = -1;
    for (int attempt = 0; attempt < 100 && fd < 0; attempt++) {
        mica__buf name = {0};
        mica__buf_printf(&name, "%.*s.mica-%ld-%u.tmp", n_dir, path, (long)getpid(), atomic_fetch_add(&counter, 1));
        *temporary = mica__buf_take(&name);
        if (!*temporary) {
            errno = ENOMEM;
            return -1;
        }
        fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        int why = errno;
        if (fd < 0) mica__free(*temporary);
        errno = why;
        if (fd < 0 && why != EEXIST) return -1; /* EEXIST: left over from a process with our number */
    }
    return fd;
}

mica_status mica__file_write(const char *path, const void *bytes, size_t n, mica_error *err)
{
    mica__str whole = {bytes, n};
    return mica__file_write_parts(path, &whole, 1, err);
}

mica_status mica__file_write_parts(const char *path, const mica__str *parts, size_t n_parts, mica_error *err)
{
    char *temporary;
    int fd = create_beside(path, &temporary);
    if (fd < 0) {
        mica_status status = mica__fail_errno(err, errno, "create", path);
        if (status == MICA_NOT_FOUND)
            status = mica__fail(err, MICA_CANNOT_CREATE, "%s: cannot create: no such folder", path);
        return status;
    }
    bool ok = true;
    for (size_t i = 0; i < n_parts && ok; i++) ok = write_all(fd, parts[i].p, parts[i].n);
    ok = ok && fsync(fd) == 0;
    int why = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (ok && rename(temporary, path) != 0) {
        ok = false;
        why = errno;
    }
    if (ok)
        sync_parent(path);
    else
        unlink(temporary);
    mica__free(temporary);
    return ok ? MICA_OK : mica__fail_errno(err, why, "write", path);
}

/* ---- paths ---- */

bool mica__path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool mica__path_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *mica__path_join(const char *dir, const char *name)
{
    mica__buf b = {0};
    mica__buf_append_z(&b, dir);
    if (b.n && b.p[b.n - 1] != '/') mica__buf_append_char(&b, '/');
    mica__buf_append_z(&b, name);
    return mica__buf_take(&b);
}
