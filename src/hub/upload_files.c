/* hub/upload_files.c: which files a folder has, and their hashes. */
#include "base/file.h"
#include "card.h"
#include "hash.h"
#include "names.h"
#include "upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 32 };

static mica_status no_memory(mica_error *err) { return mica__fail_memory(err, 256, "a list of files"); }

static char *joined(mica__arena *arena, const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    char *out = mica__arena_alloc(arena, n + m + 2, 1);
    if (!out) return NULL;
    memcpy(out, a, n);
    if (n) out[n] = '/';
    memcpy(out + n + (n > 0), b, m + 1);
    return out;
}

static mica_status add_file(mica__upload *u, const char *path, const char *full, uint64_t size, mica_error *err)
{
    if (!mica__hub_wanted(path, u->o->include, u->o->n_include, u->o->exclude, u->o->n_exclude)) return MICA_OK;
    if (u->n == MICA__MAX_LISTED)
        return mica__fail(err, MICA_LIMIT, "the folder has more than %d files", MICA__MAX_LISTED);
    if (u->n == u->cap) {
        const size_t cap = u->cap ? u->cap * 2 : 64;
        mica__upload_file *files = mica__realloc(u->files, cap, sizeof *files);
        if (!files) return no_memory(err);
        u->files = files;
        u->cap = cap;
    }
    u->files[u->n++] = (mica__upload_file){.path = path, .full = full, .size = size};
    return MICA_OK;
}

/* What belongs to git and to huggingface_hub itself. */
static bool is_private(const char *path, const char *name)
{
    const mica__str s = mica__str_from(path);
    return strcmp(name, ".git") == 0 || strcmp(path, ".cache/huggingface") == 0 ||
           mica__str_ends(s, "/.cache/huggingface");
}

static mica_status collect(mica__upload *u, const char *folder, const char *prefix, int depth, mica_error *err);

static mica_status collect_entry(mica__upload *u, const char *folder, const char *prefix, const char *name, int depth,
                                 mica_error *err)
{
    struct stat st, link;
    const char *path = joined(&u->arena, prefix, name), *full = joined(&u->arena, folder, name);
    if (!path || !full) return no_memory(err);
    if (is_private(path, name)) return MICA_OK;
    if (lstat(full, &link) != 0 || stat(full, &st) != 0) return mica__fail_errno(err, errno, "read", full);
    if (S_ISDIR(link.st_mode)) return collect(u, full, path, depth + 1, err);
    if (!S_ISREG(st.st_mode)) return MICA_OK;
    if (!mica__hub_path_is_safe(mica__str_from(path)))
        return mica__fail(err, MICA_DATA, "unsafe file name '%s': the Hub, or those who fetch it, cannot use it",
                          MICA_QUOTED(path, strlen(path)));
    return add_file(u, path, full, (uint64_t)st.st_size, err);
}

static mica_status collect(mica__upload *u, const char *folder, const char *prefix, int depth, mica_error *err)
{
    if (depth > MAX_DEPTH) return mica__fail(err, MICA_LIMIT, "%s: folders are nested too deep", folder);
    DIR *d = opendir(folder);
    if (!d) return mica__fail_errno(err, errno, "open", folder);
    mica_status status = MICA_OK;
    for (struct dirent *e; status == MICA_OK && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        status = collect_entry(u, folder, prefix, e->d_name, depth, err);
    }
    closedir(d);
    return status;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const mica__upload_file *)a)->path, ((const mica__upload_file *)b)->path);
}

mica_status mica__upload_collect(mica__upload *u, const char *folder, mica_error *err)
{
    if (!mica__path_is_dir(folder)) return mica__fail(err, MICA_NOT_FOUND, "%s: no such folder", folder);
    MICA_TRY(collect(u, folder, "", 0, err));
    if (u->n == 0) return mica__fail(err, MICA_NOT_FOUND, "%s: holds no files to upload", folder);
    qsort(u->files, u->n, sizeof *u->files, by_path);
    return MICA_OK;
}

mica_status mica__upload_add_card(mica__upload *u, const char *folder, mica_error *err)
{
    mica__buf card = {0};
    if (u->o->no_model_card) return MICA_OK;
    for (size_t i = 0; i < u->n; i++)
        if (strcasecmp(u->files[i].path, "README.md") == 0) return MICA_OK;
    if (!mica__card_write(&card, folder, u->id, u->o->base_model)) {
        mica__buf_release(&card);
        return MICA_OK;
    }
    const char *text = mica__arena_strndup(&u->arena, card.p, card.n);
    mica_status status = text ? MICA_OK : no_memory(err);
    const size_t before = u->n;
    if (status == MICA_OK) status = add_file(u, "README.md", NULL, card.n, err);
    if (u->n > before) u->files[before].text = text;
    mica__buf_release(&card);
    qsort(u->files, u->n, sizeof *u->files, by_path);
    return status;
}

/* ---- hashing ---------------------------------------------------------------------------------------------------------------- */

typedef struct hashing {
    const mica_progress *progress;
    uint64_t done, total;
} hashing;

static bool report(void *context, uint64_t n)
{
    hashing *h = context;
    h->done += n;
    return !h->progress->report || h->progress->report(h->progress->context, "hash", h->done, h->total);
}

mica_status mica__upload_hash(mica__upload *u, mica_error *err)
{
    hashing h = {.progress = &u->o->progress};
    for (size_t i = 0; i < u->n; i++) h.total += u->files[i].skip ? 0 : u->files[i].size;
    for (size_t i = 0; i < u->n; i++) {
        mica__upload_file *f = &u->files[i];
        if (f->skip) continue;
        if (f->text) {
            void *hash = mica__hash_create(true, f->size);
            if (!hash || !mica__hash_add(hash, f->text, (size_t)f->size)) {
                mica__hash_free(hash);
                return mica__fail_memory(err, 1, "a hash");
            }
            mica__hash_finish(hash, f->hash);
            continue;
        }
        const int fd = open(f->full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0) return mica__fail_errno(err, errno, "open", f->full);
        const mica_status status = mica__hash_file(fd, f->size, f->full, f->large ? NULL : f->hash,
                                                   f->large ? f->hash : NULL, report, &h, err);
        close(fd);
        if (status != MICA_OK) return status;
    }
    return MICA_OK;
}
