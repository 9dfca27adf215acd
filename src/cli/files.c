/* cli/files.c: whole files in and out, and where a user's files are kept. */
#include "files.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool refuse(mica_error *err, mica_status status, const char *path, const char *why)
{
    err->status = status;
    snprintf(err->message, sizeof err->message, "%s: %s", QUOTED(path), why);
    return false;
}

static bool refuse_errno(mica_error *err, const char *path)
{
    const mica_status status = errno == ENOENT || errno == ENOTDIR  ? MICA_NOT_FOUND
                               : errno == EACCES                    ? MICA_ACCESS
                               : errno == EMFILE || errno == ENFILE ? MICA_SYSTEM
                                                                    : MICA_IO;
    return refuse(err, status, path, strerror(errno));
}

bool file_read(buffer *out, const char *path, size_t max_bytes, mica_error *err)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    if (!f) return refuse_errno(err, path);
    errno = 0;
    const bool good = read_all(out, f, max_bytes);
    const int reason = errno;
    if (f != stdin) fclose(f);
    errno = reason;
    if (good) return true;
    if (out->n <= max_bytes) return refuse_errno(err, path);
    char why[64];
    snprintf(why, sizeof why, "longer than the limit of %zu bytes", max_bytes);
    return refuse(err, MICA_LIMIT, path, why);
}

bool file_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

bool folder_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int new_file_open(new_file *file, const char *path)
{
    buffer name = {0};
    buffer_add_z(&name, path);
    buffer_add_z(&name, ".XXXXXX");
    *file = (new_file){.path = path_join(path, NULL), .temporary = name.p};
    const int fd = mkostemp(name.p, O_CLOEXEC);
    if (fd < 0) {
        const int code = fail_errno(EX_CANTCREAT, "create", path);
        free(file->temporary);
        file->temporary = NULL;
        new_file_discard(file);
        return code;
    }
    const mode_t mask = umask(0);
    umask(mask);
    if (fchmod(fd, 0666 & ~mask) == 0) file->f = fdopen(fd, "w+b");
    if (!file->f) {
        close(fd);
        const int code = fail_errno(EX_CANTCREAT, "create", path);
        new_file_discard(file);
        return code;
    }
    return 0;
}

int new_file_commit(new_file *file)
{
    const bool written = !ferror(file->f) && fflush(file->f) == 0 && fsync(fileno(file->f)) == 0;
    const bool closed = fclose(file->f) == 0;
    file->f = NULL;
    int code = 0;
    if (!written || !closed || rename(file->temporary, file->path) != 0) {
        code = fail_errno(EX_IOERR, "write", file->path);
    } else {
        free(file->temporary);
        file->temporary = NULL;
    }
    new_file_discard(file);
    return code;
}

void new_file_discard(new_file *file)
{
    if (file->f) fclose(file->f);
    if (file->temporary) unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    *file = (new_file){0};
}

char *path_join(const char *first, ...)
{
    buffer path = {0};
    buffer_add_z(&path, first);
    va_list parts;
    va_start(parts, first);
    for (const char *part; (part = va_arg(parts, const char *));) {
        buffer_add_z(&path, "/");
        buffer_add_z(&path, part);
    }
    va_end(parts);
    return path.p;
}

char *user_folder(const char *variable, const char *below_home)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    if (base && base[0] == '/') return path_join(base, "mica", NULL);
    return home && home[0] ? path_join(home, below_home, "mica", NULL) : NULL;
}

void make_folders(const char *path)
{
    char *copy = path_join(path, NULL);
    for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(copy, 0777);
        *slash = '/';
    }
    mkdir(copy, 0777);
    free(copy);
}
