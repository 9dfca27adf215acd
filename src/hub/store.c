/* hub/store.c: files and links of one repository in the cache. */
#include "store.h"
#include "base/file.h"
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static mica_status no_memory(mica_error *err) { return mica__fail_memory(err, 256, "a path"); }

/* "a/b/c" in fresh memory. */
static char *join(const char *a, const char *b, const char *c)
{
    mica__buf path = {0};
    mica__buf_printf(&path, "%s/%s%s%s", a, b, c ? "/" : "", c ? c : "");
    return mica__buf_take(&path);
}

mica_status mica__store_init(mica__store *s, const char *cache_dir, const char *id, bool no_symlinks, mica_error *err)
{
    mica__buf name = {0};
    mica__buf_append_z(&name, "models--");
    for (const char *c = id; *c; c++) mica__buf_append(&name, *c == '/' ? "--" : c, *c == '/' ? 2 : 1);
    *s = (mica__store){.no_symlinks = no_symlinks};
    s->name = mica__buf_take(&name);
    s->cache = mica__strndup(cache_dir, strlen(cache_dir));
    s->folder = s->name ? join(cache_dir, s->name, NULL) : NULL;
    if (s->name && s->cache && s->folder) return MICA_OK;
    mica__store_release(s);
    return no_memory(err);
}

void mica__store_release(mica__store *s)
{
    mica__free(s->name);
    mica__free(s->cache);
    mica__free(s->folder);
    *s = (mica__store){0};
}

/* ---- folders --------------------------------------------------------------------------------------------------------------- */

mica_status mica__make_folders(const char *path, mica_error *err)
{
    if (mica__path_is_dir(path)) return MICA_OK;
    char *copy = mica__strndup(path, strlen(path));
    if (!copy) return no_memory(err);
    int failure = 0;
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) failure = errno;
        *slash = '/';
    }
    failure = mkdir(copy, 0777) == 0 || errno == EEXIST ? 0 : failure ? failure : errno;
    mica__free(copy);
    if (failure == ENOENT) failure = ENOTDIR;
    if (failure) {
        const mica_status status = mica__fail_errno(err, failure, "create this folder", path);
        if (status != MICA_NOT_FOUND) return status;
        if (err) err->status = MICA_CANNOT_CREATE;
        return MICA_CANNOT_CREATE;
    }
    if (!mica__path_is_dir(path))
        return mica__fail(err, MICA_CANNOT_CREATE, "%s: cannot create this folder: there is a file of this name", path);
    return MICA_OK;
}

void mica__sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* Makes the folder that a file is to lie in. */
static mica_status make_parent(const char *path, mica_error *err)
{
    char *parent = mica__strndup(path, (size_t)(strrchr(path, '/') - path));
    if (!parent) return no_memory(err);
    const mica_status status = mica__make_folders(parent, err);
    mica__free(parent);
    return status;
}

static bool is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static mica_status refuse_link(const char *path, mica_error *err)
{
    return mica__fail(err, MICA_DATA, "%s: is a link that leads out of the repository's folder in the cache", path);
}

mica_status mica__store_snapshot(const mica__store *s, const char *commit, char **out, mica_error *err)
{
    char *all = join(s->folder, "snapshots", NULL);
    *out = all ? join(all, commit, NULL) : NULL;
    mica_status status = *out ? MICA_OK : no_memory(err);
    if (status == MICA_OK && is_link(all)) status = refuse_link(all, err);
    if (status == MICA_OK && is_link(*out)) status = refuse_link(*out, err);
    mica__free(all);
    if (status != MICA_OK) {
        mica__free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- refs -------------------------------------------------------------------------------------------------------------------- */

mica_status mica__store_read_ref(const mica__store *s, const char *revision, char out[41], mica_error *err)
{
    mica__buf text = {0};
    char *path = join(s->folder, "refs", revision);
    out[0] = 0;
    if (!path) return no_memory(err);
    mica_status status = MICA_OK;
    if (mica__path_is_file(path)) {
        status = mica__file_read(&text, path, 256, NULL);
        while (text.n && strchr(" \r\n", text.p[text.n - 1])) text.n--;
        if (status == MICA_ACCESS || status == MICA_MEMORY)
            status = mica__fail(err, status, "%s: cannot be read", path);
        else if (status != MICA_OK || !mica__hub_is_commit(mica__buf_str(&text)))
            status = mica__fail(err, MICA_DATA, "%s: holds no commit (40 hexadecimal digits)", path);
        else
            snprintf(out, 41, "%.40s", text.p);
    }
    mica__buf_release(&text);
    mica__free(path);
    return status;
}

mica_status mica__store_write_ref(const mica__store *s, const char *revision, const char *commit, mica_error *err)
{
    char old[41];
    if (mica__store_read_ref(s, revision, old, NULL) == MICA_OK && strcmp(old, commit) == 0) return MICA_OK;
    char *path = join(s->folder, "refs", revision);
    if (!path) return no_memory(err);
    mica_status status = make_parent(path, err);
    if (status == MICA_OK) status = mica__file_write(path, commit, strlen(commit), err);
    mica__free(path);
    return status;
}

/* ---- what is there ----------------------------------------------------------------------------------------------------------- */

/* True for (../)*blobs/NAME, as many ../ as lead from the file's folder to the repository's. */
static bool is_plain_link(const char *target, const char *path)
{
    size_t ups = 2;
    for (const char *c = path; *c; c++) ups += *c == '/';
    for (; ups; ups--, target += 3)
        if (strncmp(target, "../", 3) != 0) return false;
    return strncmp(target, "blobs/", 6) == 0 && target[6] && !strchr(target + 6, '/') && target[6] != '.';
}

static bool leads_out(const mica__store *s, const char *file)
{
    char *real = realpath(file, NULL), *folder = realpath(s->folder, NULL);
    const size_t n = folder ? strlen(folder) : 0;
    const bool out = !real || !folder || strncmp(real, folder, n) != 0 || real[n] != '/';
    free(real);
    free(folder);
    return out;
}

mica_status mica__store_has(const mica__store *s, const char *commit, const char *path, uint64_t size, bool *there,
                            mica_error *err)
{
    char *folder, target[4096];
    struct stat st;
    *there = false;
    MICA_TRY(mica__store_snapshot(s, commit, &folder, err));
    char *file = join(folder, path, NULL);
    mica__free(folder);
    if (!file) return no_memory(err);
    mica_status status = MICA_OK;
    if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && (size == UINT64_MAX || (uint64_t)st.st_size == size)) {
        const ssize_t n = readlink(file, target, sizeof target - 1);
        bool plain = false;
        if (n > 0) {
            target[n] = 0;
            char *blob = is_plain_link(target, path) ? join(s->folder, strstr(target, "blobs/"), NULL) : NULL;
            plain = blob && !is_link(blob) && !strchr(path, '/');
            mica__free(blob);
        }
        if (!plain && leads_out(s, file))
            status = refuse_link(file, err);
        else
            *there = true;
    }
    mica__free(file);
    return status;
}

static char *mark_path(const mica__store *s, const char *commit, const char *path)
{
    mica__buf out = {0};
    mica__buf_printf(&out, "%s/.no_exist/%s/%s", s->folder, commit, path);
    return mica__buf_take(&out);
}

bool mica__store_is_absent(const mica__store *s, const char *commit, const char *path)
{
    char *mark = mark_path(s, commit, path);
    const bool is = mark && mica__path_is_file(mark);
    mica__free(mark);
    return is;
}

void mica__store_mark_absent(const mica__store *s, const char *commit, const char *path)
{
    char *mark = mark_path(s, commit, path);
    if (mark && make_parent(mark, NULL) == MICA_OK) {
        const int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd >= 0) close(fd);
    }
    mica__free(mark);
}

/* ---- listings ------------------------------------------------------------------------------------------------------------------ */

static char *listing_path(const mica__store *s, const char *commit)
{
    mica__buf path = {0};
    mica__buf_printf(&path, "%s/trees/%s.json", s->folder, commit);
    return mica__buf_take(&path);
}

mica_status mica__store_read_listing(const mica__store *s, const char *commit, mica__listing *out, bool *there,
                                     mica_error *err)
{
    mica__buf text = {0};
    char *path = listing_path(s, commit);
    *there = false;
    if (!path) return no_memory(err);
    mica_status status = mica__file_read(&text, path, (size_t)64 << 20, NULL);
    if (status == MICA_OK) status = mica__listing_read(out, text.p, text.n, NULL);
    *there = status == MICA_OK;
    if (status != MICA_OK) mica__listing_release(out);
    mica__buf_release(&text);
    mica__free(path);
    return status == MICA_MEMORY ? mica__fail_memory(err, text.n, "a listing") : MICA_OK;
}

mica_status mica__store_write_listing(const mica__store *s, const char *commit, const mica__listing *l, mica_error *err)
{
    mica__buf text = {0};
    char *path = listing_path(s, commit);
    mica__listing_write(l, &text);
    mica_status status = path ? mica__buf_status(&text, err, "a listing") : no_memory(err);
    if (status == MICA_OK) status = make_parent(path, err);
    if (status == MICA_OK) status = mica__file_write(path, text.p, text.n, err);
    mica__buf_release(&text);
    mica__free(path);
    return status;
}

/* ---- blobs --------------------------------------------------------------------------------------------------------------------- */

char *mica__store_blob(const mica__store *s, const char *hash, const char *suffix)
{
    mica__buf path = {0};
    mica__buf_printf(&path, "%s/blobs/%s%s", s->folder, hash, suffix);
    return mica__buf_take(&path);
}

mica_status mica__store_has_blob(const mica__store *s, const char *hash, uint64_t size, bool *there, mica_error *err)
{
    struct stat st;
    *there = false;
    char *blob = mica__store_blob(s, hash, "");
    if (!blob) return no_memory(err);
    mica_status status = MICA_OK;
    if (lstat(blob, &st) == 0) {
        if (S_ISLNK(st.st_mode))
            status = refuse_link(blob, err);
        else
            *there = S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
    }
    mica__free(blob);
    return status;
}

/* A fresh name among the blobs, which no reader takes for one. */
static char *temporary_name(const mica__store *s)
{
    static atomic_uint counter;
    mica__buf path = {0};
    mica__buf_printf(&path, "%s/blobs/.mica-%ld-%u.tmp", s->folder, (long)getpid(), atomic_fetch_add(&counter, 1));
    return mica__buf_take(&path);
}

static const char cache_tag[] =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Models from the Hugging Face Hub, which can be fetched again: backups may leave them out.\n";

mica_status mica__store_prepare(mica__store *s, mica_error *err)
{
    char *blobs = join(s->folder, "blobs", NULL), *tag = join(s->cache, "CACHEDIR.TAG", NULL);
    mica_status status = blobs && tag ? mica__make_folders(blobs, err) : no_memory(err);
    if (status == MICA_OK && is_link(blobs)) status = refuse_link(blobs, err);
    if (status == MICA_OK && access(tag, F_OK) != 0) {
        const mica_status tagged = mica__file_write(tag, cache_tag, sizeof cache_tag - 1, NULL);
        (void)tagged; /* only backups miss it */
    }
    if (status == MICA_OK && !s->no_symlinks) {
        char *probe = temporary_name(s);
        if (!probe) {
            status = no_memory(err);
        } else if (symlink("../refs", probe) == 0) {
            unlink(probe);
        } else if (errno == EPERM || errno == ENOSYS || errno == EOPNOTSUPP) {
            s->no_symlinks = true;
        }
        mica__free(probe);
    }
    mica__free(blobs);
    mica__free(tag);
    return status;
}

static mica_status copy_file(const char *from, const char *to, mica_error *err)
{
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return mica__fail_errno(err, errno, "read", from);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0) {
        const mica_status status = mica__fail_errno(err, errno, "create", to);
        close(in);
        return status;
    }
    ssize_t n;
    while ((n = copy_file_range(in, NULL, out, NULL, (size_t)64 << 20, 0)) > 0) {}
    if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)) {
        char block[64 * 1024];
        while ((n = read(in, block, sizeof block)) > 0)
            if (write(out, block, (size_t)n) != n) {
                n = -1;
                break;
            }
    }
    const bool good = n == 0 && fsync(out) == 0;
    const mica_status status = good ? MICA_OK : mica__fail_errno(err, errno ? errno : EIO, "write", to);
    close(in);
    close(out);
    return status;
}

/* The place of a file in a snapshot, its folder made; refused if a link leads that folder elsewhere. */
static mica_status place(const mica__store *s, const char *commit, const char *path, char **out, mica_error *err)
{
    char *snapshot;
    *out = NULL;
    MICA_TRY(mica__store_snapshot(s, commit, &snapshot, err));
    char *file = join(snapshot, path, NULL);
    mica__free(snapshot);
    if (!file) return no_memory(err);
    mica_status status = make_parent(file, err);
    if (status == MICA_OK && strchr(path, '/')) {
        char *slash = strrchr(file, '/');
        *slash = 0;
        if (leads_out(s, file)) status = refuse_link(file, err);
        *slash = '/';
    }
    if (status == MICA_OK)
        *out = file;
    else
        mica__free(file);
    return status;
}

static mica_status make_link(const mica__store *s, const char *file, const char *path, const char *hash,
                             mica_error *err)
{
    mica__buf target = {0};
    char old[4096];
    for (const char *c = path; *c; c++)
        if (*c == '/') mica__buf_append_z(&target, "../");
    mica__buf_printf(&target, "../../blobs/%s", hash);
    mica_status status = mica__buf_status(&target, err, "a path");
    if (status == MICA_OK && symlink(target.p, file) != 0) {
        const ssize_t n = errno == EEXIST ? readlink(file, old, sizeof old) : -1;
        char *temporary = n == (ssize_t)target.n && memcmp(old, target.p, target.n) == 0 ? NULL : temporary_name(s);
        if (temporary && (symlink(target.p, temporary) != 0 || rename(temporary, file) != 0)) {
            status = mica__fail_errno(err, errno, "create", file);
            unlink(temporary);
        }
        mica__free(temporary);
    }
    mica__buf_release(&target);
    return status;
}

mica_status mica__store_link(const mica__store *s, const char *commit, const char *path, const char *hash,
                             mica_error *err)
{
    char *file;
    MICA_TRY(place(s, commit, path, &file, err));
    mica_status status;
    if (!s->no_symlinks) {
        status = make_link(s, file, path, hash, err);
    } else {
        char *blob = mica__store_blob(s, hash, ""), *temporary = temporary_name(s);
        status = blob && temporary ? copy_file(blob, temporary, err) : no_memory(err);
        if (status == MICA_OK && rename(temporary, file) != 0) status = mica__fail_errno(err, errno, "create", file);
        if (status != MICA_OK && temporary) unlink(temporary);
        mica__free(blob);
        mica__free(temporary);
    }
    mica__free(file);
    return status;
}

mica_status mica__store_publish(const mica__store *s, const char *temporary, const char *commit, const char *path,
                                const char *hash, mica_error *err)
{
    char *to;
    if (s->no_symlinks) {
        MICA_TRY(place(s, commit, path, &to, err));
    } else if (!(to = mica__store_blob(s, hash, ""))) {
        return no_memory(err);
    }
    mica_status status = MICA_OK;
    if (rename(temporary, to) != 0) {
        status = mica__fail_errno(err, errno, "create", to);
    } else {
        char *slash = strrchr(to, '/');
        *slash = 0;
        mica__sync_folder(to);
    }
    mica__free(to);
    return status == MICA_OK && !s->no_symlinks ? mica__store_link(s, commit, path, hash, err) : status;
}

mica_status mica__store_lock(const mica__store *s, const char *hash, int *fd, mica_error *err)
{
    mica__buf path = {0};
    *fd = -1;
    mica__buf_printf(&path, "%s/.locks/%s/%s.lock", s->cache, s->name, hash);
    mica_status status = mica__buf_status(&path, err, "a path");
    if (status == MICA_OK) status = make_parent(path.p, err);
    while (status == MICA_OK) {
        *fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0664);
        if (*fd < 0) {
            status = mica__fail_errno(err, errno, "create", path.p);
            break;
        }
        struct stat held, named;
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR)) {
            close(*fd);
            *fd = -1;
            break;
        }
        /* Somebody may have removed the file between open and flock: then this lock is of no use. */
        if (fstat(*fd, &held) == 0 && stat(path.p, &named) == 0 && held.st_ino == named.st_ino) break;
        close(*fd);
    }
    mica__buf_release(&path);
    return status;
}
