/* hub/cache_change.c: removing revisions and leftovers, and verifying contents.
 *
 * A reader that has a file open keeps it: names are removed, never contents. What is being fetched holds a lock, and is left alone. */
#include "base/file.h"
#include "cache.h"
#include "hash.h"
#include "names.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

mica_status mica__remove_tree(const char *path, mica_error *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) return MICA_OK;
    return mica__fail_errno(err, errno, "remove", path);
}

static mica_status no_memory(mica_error *err) { return mica__fail_memory(err, 256, "a path"); }

/* Formats a path below the repository and removes it. */
static mica_status remove_below(const mica__cached_repository *r, const char *folder, const char *name,
                                const char *suffix, mica_error *err)
{
    mica__buf path = {0};
    mica__buf_printf(&path, "%s/%s/%s%s", r->shown->path, folder, name, suffix);
    mica_status status = mica__buf_status(&path, err, "a path");
    if (status == MICA_OK) status = mica__remove_tree(path.p, err);
    mica__buf_release(&path);
    return status;
}

/* ---- locks --------------------------------------------------------------------------------------------------------------------- */

/* True if somebody holds the lock. */
static bool is_held(const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return false;
    const bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

/* Is a blob of the repository being fetched? name NULL: any of them. */
static bool is_busy(const mica__cache *cache, const mica__cached_repository *r, const char *name)
{
    mica__buf folder = {0}, path = {0};
    bool busy = false;
    mica__buf_printf(&folder, "%s/.locks/%s", cache->shown.path, r->folder_name);
    DIR *d = folder.failed ? NULL : opendir(folder.p);
    for (struct dirent *e; d && !busy && (e = readdir(d));) {
        const size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 5, ".lock") != 0) continue;
        if (name && (strncmp(name, e->d_name, n - 5) != 0 || (name[n - 5] && name[n - 5] != '.'))) continue;
        mica__buf_clear(&path);
        mica__buf_printf(&path, "%s/%s", folder.p, e->d_name);
        busy = !path.failed && is_held(path.p);
    }
    if (d) closedir(d);
    mica__buf_release(&folder);
    mica__buf_release(&path);
    return busy;
}

/* ---- removing ------------------------------------------------------------------------------------------------------------------ */

typedef struct removing {
    const mica__cache *cache;
    bool dry_run;
    mica_hub_removed *out;
    mica_error *err;
} removing;

static mica_status remove_refs(const mica__cached_repository *r, const mica_hub_revision *v, mica_error *err)
{
    for (size_t i = 0; i < v->n_refs; i++) MICA_TRY(remove_below(r, "refs", v->refs[i], "", err));
    return MICA_OK;
}

static mica_status remove_revision(const removing *m, const mica__cached_repository *r, const mica__cached_revision *v)
{
    m->out->n_revisions++;
    if (m->dry_run) return MICA_OK;
    MICA_TRY(remove_refs(r, &v->shown, m->err));
    MICA_TRY(remove_below(r, ".no_exist", v->shown.commit, "", m->err));
    MICA_TRY(remove_below(r, "trees", v->shown.commit, ".json", m->err));
    return mica__remove_tree(v->shown.path, m->err);
}

static void count(const removing *m, uint64_t bytes)
{
    m->out->n_files++;
    m->out->bytes += bytes;
}

/* Blobs that a revision which stays uses. */
static mica_status used_blobs(const mica__cached_repository *r, const bool *goes, mica__map *used, mica_error *err)
{
    for (size_t i = 0; i < r->shown->n_revisions; i++)
        for (size_t k = 0; !goes[i] && k < r->revisions[i].n_files; k++) {
            const char *blob = r->revisions[i].files[k].blob;
            if (blob && !mica__map_add(used, mica__str_from(blob), 0, NULL)) return no_memory(err);
        }
    return MICA_OK;
}

/* Removes blobs that nothing uses: those that the removed revisions did use, or all (then interrupted downloads, too). */
static mica_status remove_blobs(const removing *m, const mica__cached_repository *r, const mica__map *used,
                                const mica__map *freed)
{
    mica__buf folder = {0};
    mica_status status = MICA_OK;
    mica__buf_printf(&folder, "%s/blobs", r->shown->path);
    DIR *d = folder.failed ? NULL : opendir(folder.p);
    for (struct dirent *e; d && status == MICA_OK && (e = readdir(d));) {
        struct stat st;
        uint32_t ignored;
        const mica__str name = mica__str_from(e->d_name);
        if (mica__str_is(name, ".") || mica__str_is(name, "..") || mica__map_get(used, name, &ignored)) continue;
        if (freed && !mica__map_get(freed, name, &ignored)) continue;
        if (is_busy(m->cache, r, e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        count(m, mica__hub_is_hash(name) ? (uint64_t)st.st_size : (uint64_t)st.st_blocks * 512);
        if (!m->dry_run) status = remove_below(r, "blobs", e->d_name, "", m->err);
    }
    if (d) closedir(d);
    mica__buf_release(&folder);
    return status;
}

static mica_status add_freed(const mica__cached_revision *v, mica__map *freed, const removing *m)
{
    for (size_t k = 0; k < v->n_files; k++) {
        if (v->files[k].blob && !mica__map_add(freed, mica__str_from(v->files[k].blob), 0, NULL))
            return no_memory(m->err);
        if (!v->files[k].blob) count(m, v->files[k].size);
    }
    return MICA_OK;
}

/* Removes the revisions that go, and what only they used; with `all` everything that nothing uses. */
static mica_status remove_some(const removing *m, const mica__cached_repository *r, const bool *goes, bool all)
{
    mica__map used = {0}, freed = {0};
    size_t n_stay = 0;
    mica_status status = used_blobs(r, goes, &used, m->err);
    for (size_t i = 0; i < r->shown->n_revisions && status == MICA_OK; i++) {
        n_stay += !goes[i];
        if (!goes[i]) continue;
        status = add_freed(&r->revisions[i], &freed, m);
        if (status == MICA_OK) status = remove_revision(m, r, &r->revisions[i]);
    }
    if (status == MICA_OK) status = remove_blobs(m, r, &used, all ? NULL : &freed);
    if (status == MICA_OK && n_stay == 0 && !is_busy(m->cache, r, NULL)) {
        m->out->n_repositories++;
        if (!m->dry_run) status = mica__remove_tree(r->shown->path, m->err);
    }
    mica__map_release(&used);
    mica__map_release(&freed);
    return status;
}

/* ID, ID@REVISION or @REVISION, as shell patterns. */
typedef struct pattern {
    char id[512], revision[512]; /* revision "": all */
} pattern;

static mica_status read_pattern(pattern *out, const char *text, mica_error *err)
{
    const char *at = strchr(text, '@');
    const size_t n = at ? (size_t)(at - text) : strlen(text);
    if (n >= sizeof out->id || (at && strlen(at + 1) >= sizeof out->revision) || !text[0] || (at && !at[1]))
        return mica__fail(err, MICA_INVALID, "'%s' is no pattern like ORG/NAME, ORG/* or ORG/NAME@REVISION",
                          MICA_QUOTED(text, strlen(text)));
    snprintf(out->id, sizeof out->id, "%.*s", n ? (int)n : 1, n ? text : "*");
    snprintf(out->revision, sizeof out->revision, "%s", at ? at + 1 : "");
    return MICA_OK;
}

static bool revision_matches(const pattern *p, const mica_hub_revision *v)
{
    if (!p->revision[0] || mica__hub_matches(p->revision, v->commit)) return true;
    if (strlen(p->revision) >= 7 && strncmp(p->revision, v->commit, strlen(p->revision)) == 0) return true;
    for (size_t i = 0; i < v->n_refs; i++)
        if (mica__hub_matches(p->revision, v->refs[i])) return true;
    return false;
}

/* Marks the revisions that match; how many. */
static size_t mark(const mica__cached_repository *r, const pattern *p, bool *goes)
{
    size_t n = 0;
    if (!mica__hub_matches(p->id, r->shown->id)) return 0;
    for (size_t i = 0; i < r->shown->n_revisions; i++) n += goes[i] = revision_matches(p, &r->shown->revisions[i]);
    return n;
}

mica_status mica_hub_cache_delete(mica_hub_removed *out, const char *cache_dir, const char *text, bool dry_run,
                                  mica_error *err)
{
    pattern p;
    mica_hub_cache *shown;
    *out = (mica_hub_removed){0};
    MICA_TRY(read_pattern(&p, text, err));
    MICA_TRY(mica_hub_cache_scan(&shown, cache_dir, err));
    const mica__cache *cache = (const mica__cache *)shown;
    const removing m = {cache, dry_run, out, err};
    mica_status status = MICA_OK;
    bool any = false;
    for (size_t i = 0; i < shown->n_repositories && status == MICA_OK; i++) {
        const mica__cached_repository *r = &cache->repositories[i];
        bool *goes = mica__calloc(r->shown->n_revisions + 1, sizeof *goes);
        if (!goes) {
            status = no_memory(err);
            break;
        }
        const size_t n = mark(r, &p, goes);
        const bool empty = r->shown->n_revisions == 0 && !p.revision[0] && mica__hub_matches(p.id, r->shown->id);
        if (n || empty) {
            any = true;
            if (is_busy(cache, r, NULL))
                status = mica__fail(err, MICA_BUSY, "%s is being downloaded: not removed", r->shown->id);
            else
                status = remove_some(&m, r, goes, n == r->shown->n_revisions);
        }
        mica__free(goes);
    }
    if (status == MICA_OK && !any)
        status =
            mica__fail(err, MICA_NOT_FOUND, "nothing in %s matches '%s'", shown->path, MICA_QUOTED(text, strlen(text)));
    mica_hub_cache_free(shown);
    return status;
}

/* Snapshots that are not named by a commit: somebody put them there, and they may need any blob. */
static bool has_unknown(const mica__cached_repository *r)
{
    mica__buf folder = {0};
    bool any = false;
    mica__buf_printf(&folder, "%s/snapshots", r->shown->path);
    DIR *d = folder.failed ? NULL : opendir(folder.p);
    for (struct dirent *e; d && !any && (e = readdir(d));)
        any = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
              !mica__hub_is_commit(mica__str_from(e->d_name));
    if (d) closedir(d);
    mica__buf_release(&folder);
    return any;
}

mica_status mica_hub_cache_prune(mica_hub_removed *out, const char *cache_dir, bool dry_run, mica_error *err)
{
    mica_hub_cache *shown;
    *out = (mica_hub_removed){0};
    MICA_TRY(mica_hub_cache_scan(&shown, cache_dir, err));
    const mica__cache *cache = (const mica__cache *)shown;
    const removing m = {cache, dry_run, out, err};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < shown->n_repositories && status == MICA_OK; i++) {
        const mica__cached_repository *r = &cache->repositories[i];
        if (has_unknown(r)) continue;
        bool *goes = mica__calloc(r->shown->n_revisions + 1, sizeof *goes);
        const bool busy = is_busy(cache, r, NULL);
        if (!goes) status = no_memory(err);
        for (size_t k = 0; status == MICA_OK && k < r->shown->n_revisions; k++)
            goes[k] = !busy && r->shown->revisions[k].n_refs == 0;
        if (status == MICA_OK && !(busy && r->shown->n_revisions == 0)) status = remove_some(&m, r, goes, !busy);
        mica__free(goes);
    }
    mica_hub_cache_free(shown);
    return status;
}

/* ---- verifying ----------------------------------------------------------------------------------------------------------------- */

typedef struct verifying {
    const mica_progress *progress;
    const mica_hub_faults *faults;
    mica_hub_verified *out;
    uint64_t done, total;
} verifying;

static bool report(void *context, uint64_t n)
{
    verifying *v = context;
    v->done += n;
    const mica_progress *p = v->progress;
    return !p || !p->report || p->report(p->context, "verify", v->done, v->total);
}

static void fault(const verifying *v, const char *path, const char *problem)
{
    v->out->n_faults++;
    if (v->faults && v->faults->fault) v->faults->fault(v->faults->context, path, problem);
}

/* Compares the file's content with a hash. */
static mica_status verify_file(verifying *v, const char *path, const char *hash, mica_error *err)
{
    struct stat st;
    char found[65];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) close(fd);
        fault(v, path, errno == ELOOP ? "is a link" : "cannot be read");
        return MICA_OK;
    }
    const bool git = strlen(hash) == 40;
    const mica_status status =
        mica__hash_file(fd, (uint64_t)st.st_size, path, git ? found : NULL, git ? NULL : found, report, v, err);
    close(fd);
    if (status != MICA_OK) return status;
    v->out->n_files++;
    v->out->bytes += (uint64_t)st.st_size;
    if (strcmp(found, hash) != 0) fault(v, path, "the content differs from what its hash says");
    return MICA_OK;
}

/* A file that is no link: its hash stands in the listing of its commit, if there is one. */
static mica_status verify_plain(verifying *v, const mica__cached_revision *r, const mica__cached_file *f,
                                const mica__listing *listing, mica_error *err)
{
    const mica__hub_file *named = mica__listing_find(listing, f->path);
    char *path = named ? mica__path_join(r->shown.path, f->path) : NULL;
    if (!named) return MICA_OK;
    if (!path) return no_memory(err);
    const mica_status status = verify_file(v, path, named->hash, err);
    mica__free(path);
    return status;
}

static mica_status verify_revision(verifying *v, const mica__cached_repository *r,
                                   const mica__cached_revision *revision, mica__map *seen, mica_error *err)
{
    mica__listing listing = {0};
    bool listed;
    const mica__store store = {.folder = (char *)r->shown->path};
    MICA_TRY(mica__store_read_listing(&store, revision->shown.commit, &listing, &listed, err));
    mica_status status = MICA_OK;
    for (size_t i = 0; i < revision->n_files && status == MICA_OK; i++) {
        const mica__cached_file *f = &revision->files[i];
        bool existing = false;
        mica__buf path = {0};
        if (f->missing || f->stray)
            mica__buf_printf(&path, "%s/%s", revision->shown.path, f->path);
        else
            mica__buf_printf(&path, "%s/blobs/%s", r->shown->path, f->blob ? f->blob : "");
        if (f->missing || f->stray) {
            fault(v, path.p ? path.p : f->path,
                  f->missing ? "its blob is missing" : "leads to something that is no blob");
        } else if (!f->blob) {
            status = verify_plain(v, revision, f, &listing, err);
        } else if (mica__hub_is_hash(mica__str_from(f->blob))) {
            if (!mica__map_add(seen, mica__str_from(f->blob), 0, &existing)) status = no_memory(err);
            if (status == MICA_OK && !existing && !path.failed) status = verify_file(v, path.p, f->blob, err);
        }
        mica__buf_release(&path);
    }
    mica__listing_release(&listing);
    return status;
}

mica_status mica_hub_cache_verify(mica_hub_verified *out, const char *cache_dir, const char *text,
                                  const mica_hub_faults *faults, const mica_progress *progress, mica_error *err)
{
    pattern p = {.id = "*"};
    mica_hub_cache *shown;
    *out = (mica_hub_verified){0};
    if (text) MICA_TRY(read_pattern(&p, text, err));
    MICA_TRY(mica_hub_cache_scan(&shown, cache_dir, err));
    const mica__cache *cache = (const mica__cache *)shown;
    verifying v = {.progress = progress, .faults = faults, .out = out, .total = shown->bytes};
    mica_status status = MICA_OK;
    bool any = !text;
    for (size_t i = 0; i < shown->n_repositories && status == MICA_OK; i++) {
        const mica__cached_repository *r = &cache->repositories[i];
        mica__map seen = {0};
        if (!mica__hub_matches(p.id, r->shown->id)) continue;
        for (size_t k = 0; k < r->shown->n_revisions && status == MICA_OK; k++) {
            if (!revision_matches(&p, &r->shown->revisions[k])) continue;
            any = true;
            status = verify_revision(&v, r, &r->revisions[k], &seen, err);
        }
        mica__map_release(&seen);
    }
    if (status == MICA_OK && !any)
        status =
            mica__fail(err, MICA_NOT_FOUND, "nothing in %s matches '%s'", shown->path, MICA_QUOTED(text, strlen(text)));
    mica_hub_cache_free(shown);
    return status;
}
