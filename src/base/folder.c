/* base/folder.c: making a folder under another name and giving it its own at the end.
 *
 * A folder that takes the place of another one changes names with it in a single step where the system can do that (Linux, macOS); the
 * old content is removed afterwards, under the work folder's name. Files of the old folder that do not belong to what is replaced were linked
 * into the new one before, so at no moment are they, or a whole checkpoint, missing. */
#include "folder.h"

#include "memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char SUBFOLDER[] = "additional_chat_templates";

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

/* ---- removing ------------------------------------------------------------------------------------------------------------- */

/* Files of the folder, but for those that stay (NULL: none), and of SUBFOLDER in it. False (errno) if something could not be removed. */
static bool empty_folder(int at, const char *name, mica__file_chooser *stays, bool is_subfolder)
{
    int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0) close(fd);
        return false;
    }
    bool ok = true;
    int why = 0;
    for (struct dirent *e; ok && (e = readdir(dir));) {
        if (is_dots(e->d_name) || (stays && stays(mica__str_from(e->d_name)))) continue;
        if (unlinkat(fd, e->d_name, 0) == 0) continue;
        ok = !is_subfolder && !strcmp(e->d_name, SUBFOLDER) && empty_folder(fd, e->d_name, NULL, true) &&
             unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0;
        why = errno;
    }
    closedir(dir);
    errno = why;
    return ok;
}

static void remove_folder(const char *path)
{
    if (empty_folder(AT_FDCWD, path, NULL, false)) rmdir(path);
}

/* ---- opening -------------------------------------------------------------------------------------------------------------- */

/* What stands in the way of replacing the folder, or whether it is empty. */
static mica_status look_at(const char *path, bool replace, mica_error *err)
{
    DIR *dir = opendir(path);
    if (!dir) return mica__fail_errno(err, errno, "list", path);
    mica_status status = MICA_OK;
    for (struct dirent *e; status == MICA_OK && (e = readdir(dir));) {
        if (is_dots(e->d_name)) continue;
        if (!replace) {
            status = mica__fail(err, MICA_CANNOT_CREATE, "%s: exists already and is not empty", path);
        } else if (strcmp(e->d_name, SUBFOLDER) != 0) {
            struct stat st;
            if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                status = mica__fail(err, MICA_CANNOT_CREATE, "%s: holds a folder '%s' and is not replaced", path,
                                    MICA_QUOTED(e->d_name, strlen(e->d_name)));
        }
    }
    closedir(dir);
    return status;
}

static mica_status make_parents(const char *path, mica_error *err)
{
    char *text = mica__strndup(path, strlen(path));
    if (!text) return mica__fail_memory(err, strlen(path), "a path");
    mica_status status = MICA_OK;
    for (char *slash = strchr(text + 1, '/'); slash && status == MICA_OK; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(text, 0777) != 0 && errno != EEXIST && !mica__path_is_dir(text))
            status = mica__fail_errno(err, errno, "create", text);
        *slash = '/';
    }
    if (status == MICA_NOT_FOUND) status = mica__fail(err, MICA_CANNOT_CREATE, "%s: cannot create", path);
    mica__free(text);
    return status;
}

/* path without trailing slashes, links resolved if it exists. */
static mica_status take_path(mica__new_folder *f, const char *path, mica_error *err)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    char *plain = mica__strndup(path, n);
    if (!plain) return mica__fail_memory(err, n, "a path");
    const char *slash = strrchr(plain, '/'), *name = slash ? slash + 1 : plain;
    if (!name[0] || is_dots(name)) {
        mica__free(plain);
        return mica__fail(err, MICA_INVALID, "'%s': is no name for a new folder", MICA_QUOTED(path, strlen(path)));
    }
    struct stat st;
    mica_status status = MICA_OK;
    if (lstat(plain, &st) == 0) {
        char *real = realpath(plain, NULL);
        int why = errno;
        mica__free(plain);
        if (!real) return mica__fail_errno(err, why, "find", path);
        f->path = mica__strndup(real, strlen(real));
        free(real);
        if (!f->path) return mica__fail_memory(err, strlen(path), "a path");
        if (!mica__path_is_dir(f->path))
            return mica__fail(err, MICA_CANNOT_CREATE, "%s: exists already and is not a folder", f->path);
        status = look_at(f->path, f->replace, err);
    } else {
        f->path = plain;
        status = make_parents(plain, err);
    }
    return status;
}

static char *work_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    mica__buf b = {0};
    mica__buf_append(&b, path, (size_t)(name - path));
    mica__buf_printf(&b, ".%s.mica-partial", name);
    return mica__buf_take(&b);
}

static bool same_folder(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static bool is_mine(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_uid == geteuid();
}

mica_status mica__new_folder_empty(mica__new_folder *f, mica_error *err)
{
    if (empty_folder(AT_FDCWD, f->work, NULL, false)) return MICA_OK;
    return mica__fail_errno(err, errno, "empty", f->work);
}

/* Makes or takes over the work folder. Between making and locking it somebody else may have finished with it: then again. */
static mica_status lock_work(mica__new_folder *f, mica__file_chooser *stays, mica_error *err)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        if (mkdir(f->work, 0777) != 0 && errno != EEXIST) {
            mica_status status = mica__fail_errno(err, errno, "create", f->path);
            return status == MICA_NOT_FOUND ? mica__fail(err, MICA_CANNOT_CREATE, "%s: cannot create", f->path)
                                            : status;
        }
        int fd = open(f->work, O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) continue;
        if (fd < 0) return mica__fail_errno(err, errno, "open", f->work);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            close(fd);
            return mica__fail(err, MICA_BUSY, "%s: is being written by another process", f->path);
        }
        if (same_folder(fd, f->work)) {
            f->lock = fd;
            if (empty_folder(AT_FDCWD, f->work, is_mine(fd) ? stays : NULL, false)) return MICA_OK;
            return mica__fail_errno(err, errno, "empty", f->work);
        }
        close(fd);
    }
    return mica__fail(err, MICA_BUSY, "%s: is being written by other processes", f->path);
}

mica_status mica__new_folder_open(mica__new_folder *out, const char *path, bool replace, mica__file_chooser *stays,
                                  mica_error *err)
{
    *out = (mica__new_folder){.lock = -1, .replace = replace};
    mica_status status = take_path(out, path, err);
    if (status == MICA_OK) {
        out->work = work_path(out->path);
        status = out->work ? lock_work(out, stays, err) : mica__fail_memory(err, strlen(path), "a path");
    }
    if (status != MICA_OK) {
        if (out->lock < 0) { /* not ours to remove */
            mica__free(out->work);
            out->work = NULL;
        }
        mica__new_folder_release(out);
    }
    return status;
}

/* ---- finishing ------------------------------------------------------------------------------------------------------------ */

/* Links the old folder's other files into the new one. */
static mica_status keep_files(const mica__new_folder *f, mica__file_chooser *belongs, mica_error *err)
{
    DIR *dir = opendir(f->path);
    if (!dir) return mica__fail_errno(err, errno, "list", f->path);
    mica_status status = MICA_OK;
    for (struct dirent *e; status == MICA_OK && (e = readdir(dir));) {
        if (is_dots(e->d_name) || !strcmp(e->d_name, SUBFOLDER) || belongs(mica__str_from(e->d_name))) continue;
        if (linkat(dirfd(dir), e->d_name, f->lock, e->d_name, 0) == 0 || errno == EEXIST) continue;
        int why = errno;
        char *name = mica__path_join(f->path, e->d_name);
        status = mica__fail_errno(err, why, "keep", name ? name : f->path);
        mica__free(name);
    }
    closedir(dir);
    return status;
}

static int exchange(const char *a, const char *b)
{
#if defined(__linux__) && defined(RENAME_EXCHANGE)
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
#elif defined(__APPLE__)
    return renamex_np(a, b, RENAME_SWAP);
#else
    (void)a, (void)b;
    errno = ENOSYS;
    return -1;
#endif
}

/* Where names cannot be exchanged the old folder steps aside first. */
static mica_status replace_in_steps(const mica__new_folder *f, mica_error *err)
{
    mica__buf aside = {0};
    mica__buf_printf(&aside, "%s.mica-old", f->work);
    if (aside.failed) return mica__fail_memory(err, strlen(f->work), "a path");
    mica_status status = MICA_OK;
    if (rename(f->path, aside.p) != 0) {
        status = mica__fail_errno(err, errno, "rename", f->path);
    } else if (rename(f->work, f->path) != 0) {
        status = mica__fail_errno(err, errno, "rename", f->work);
        if (rename(aside.p, f->path) != 0) status = mica__fail_errno(err, errno, "rename back", aside.p);
    } else {
        remove_folder(aside.p);
    }
    mica__buf_release(&aside);
    return status;
}

static void sync_folder(const char *path, size_t n)
{
    char *dir = n ? mica__strndup(path, n) : mica__strndup(".", 1);
    int fd = dir ? open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY) : -1;
    if (fd >= 0) {
        fsync(fd); /* best effort: some file systems cannot sync a folder */
        close(fd);
    }
    mica__free(dir);
}

mica_status mica__new_folder_commit(mica__new_folder *f, mica__file_chooser *belongs, mica_error *err)
{
    bool taken = mica__path_is_dir(f->path), swapped = false;
    mica_status status = MICA_OK;
    if (taken && f->replace) {
        MICA_TRY(look_at(f->path, true, err));
        MICA_TRY(keep_files(f, belongs, err));
    }
    fsync(f->lock);
    if (taken && f->replace) {
        swapped = exchange(f->work, f->path) == 0;
        if (!swapped) status = replace_in_steps(f, err);
    } else if (rename(f->work, f->path) != 0) {
        status = errno == ENOTEMPTY || errno == EEXIST
                     ? mica__fail(err, MICA_CANNOT_CREATE, "%s: exists already and is not empty", f->path)
                     : mica__fail_errno(err, errno, "rename", f->work);
    }
    MICA_TRY(status);
    const char *slash = strrchr(f->path, '/');
    sync_folder(f->path, slash ? (size_t)(slash - f->path) + (slash == f->path) : 0);
    if (swapped) remove_folder(f->work);
    mica__free(f->work);
    f->work = NULL;
    return MICA_OK;
}

void mica__new_folder_release(mica__new_folder *f)
{
    if (f->work) remove_folder(f->work);
    mica__new_folder_leave(f);
}

void mica__new_folder_leave(mica__new_folder *f)
{
    if (f->lock >= 0) close(f->lock);
    mica__free(f->work);
    mica__free(f->path);
    *f = (mica__new_folder){.lock = -1};
}

uint64_t mica__free_space(const char *path)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0) return UINT64_MAX;
    uint64_t unit = st.f_frsize ? st.f_frsize : st.f_bsize, n = st.f_bavail, bytes;
    return __builtin_mul_overflow(unit, n, &bytes) ? UINT64_MAX : bytes;
}
