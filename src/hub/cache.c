/* hub/cache.c: scanning a cache folder.
 *
 * Everything is kept in one arena; lists grow as chains while folders are read and become arrays at their ends. */
#include "cache.h"
#include "base/file.h"
#include "names.h"
#include "settings.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 32 };

typedef struct chain {
    struct link {
        struct link *next;
    } * head, **tail;
    size_t n;
} chain;

/* Puts a copy of the bytes behind a new link; false without memory. */
static bool chain_add(chain *c, mica__arena *arena, const void *bytes, size_t size)
{
    struct link *l = mica__arena_alloc(arena, 1, sizeof *l + size);
    if (!l) return false;
    l->next = NULL;
    memcpy(l + 1, bytes, size);
    *(c->tail ? c->tail : &c->head) = l;
    c->tail = &l->next;
    c->n++;
    return true;
}

/* All that was added, as an array in the arena; NULL without memory. */
static void *chain_array(const chain *c, mica__arena *arena, size_t size)
{
    char *out = mica__arena_alloc(arena, c->n + 1, size), *to = out;
    if (!out) return NULL;
    for (const struct link *l = c->head; l; l = l->next, to += size) memcpy(to, l + 1, size);
    return out;
}

typedef struct scanning {
    mica__cache *cache;
    mica__arena *arena;
    mica_error *err;
} scanning;

static mica_status no_memory(const scanning *s) { return mica__fail_memory(s->err, 256, "the list of the cache"); }

static const char *joined(const scanning *s, const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    char *out = mica__arena_alloc(s->arena, n + m + 2, 1);
    if (!out) return NULL;
    memcpy(out, a, n);
    if (n) out[n] = '/';
    memcpy(out + n + (n > 0), b, m + 1);
    return out;
}

static double seconds_of(struct timespec t) { return (double)t.tv_sec + (double)t.tv_nsec * 1e-9; }

/* Calls fn for every entry of a folder but "." and ".."; a folder that is not there has none. */
typedef mica_status (*visit)(void *context, const char *folder, const char *name);
static mica_status each(const scanning *s, const char *folder, visit fn, void *context)
{
    DIR *d = opendir(folder);
    if (!d) return errno == ENOENT || errno == ENOTDIR ? MICA_OK : mica__fail_errno(s->err, errno, "open", folder);
    mica_status status = MICA_OK;
    for (struct dirent *e; status == MICA_OK && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) status = fn(context, folder, e->d_name);
    closedir(d);
    return status;
}

/* ---- a revision's files ---------------------------------------------------------------------------------------------------- */

typedef struct files_walk {
    const scanning *s;
    const char *prefix; /* of paths in the snapshot */
    int depth;
    chain *files;
} files_walk;

static mica_status visit_file(void *context, const char *folder, const char *name)
{
    const files_walk *w = context;
    struct stat st, link;
    char target[4096];
    const char *full = joined(w->s, folder, name), *path = joined(w->s, w->prefix, name);
    if (!full || !path) return no_memory(w->s);
    if (lstat(full, &link) != 0) return MICA_OK; /* it has just gone */
    if (S_ISDIR(link.st_mode)) {
        if (w->depth == MAX_DEPTH) return MICA_OK;
        return each(w->s, full, visit_file, &(files_walk){w->s, path, w->depth + 1, w->files});
    }
    mica__cached_file f = {.path = path, .missing = stat(full, &st) != 0};
    if (!f.missing) f.size = (uint64_t)st.st_size;
    const ssize_t n = S_ISLNK(link.st_mode) ? readlink(full, target, sizeof target - 1) : 0;
    if (n > 0) {
        target[n] = 0;
        const char *slash = strrchr(target, '/');
        if (slash && slash - target >= 5 && strncmp(slash - 5, "blobs", 5) == 0)
            if (!(f.blob = mica__arena_strndup(w->s->arena, slash + 1, strlen(slash + 1)))) return no_memory(w->s);
        f.stray = !f.blob;
    }
    return chain_add(w->files, w->s->arena, &f, sizeof f) ? MICA_OK : no_memory(w->s);
}

/* ---- refs -------------------------------------------------------------------------------------------------------------------- */

typedef struct found_ref {
    const char *name;
    char commit[41];
} found_ref;

typedef struct refs_walk {
    const scanning *s;
    const char *prefix;
    int depth;
    chain *refs;
} refs_walk;

static mica_status visit_ref(void *context, const char *folder, const char *name)
{
    const refs_walk *w = context;
    const char *full = joined(w->s, folder, name);
    found_ref ref = {.name = joined(w->s, w->prefix, name)};
    if (!full || !ref.name) return no_memory(w->s);
    if (mica__path_is_dir(full)) {
        if (w->depth == MAX_DEPTH) return MICA_OK;
        return each(w->s, full, visit_ref, &(refs_walk){w->s, ref.name, w->depth + 1, w->refs});
    }
    mica__buf text = {0};
    const mica_status status = name[0] == '.' ? MICA_NOT_FOUND : mica__file_read(&text, full, 256, NULL);
    const bool read = status == MICA_OK;
    while (text.n && strchr(" \r\n", text.p[text.n - 1])) text.n--;
    const bool good = read && mica__hub_is_commit(mica__buf_str(&text));
    if (good) memcpy(ref.commit, text.p, 40);
    mica__buf_release(&text);
    if (status == MICA_MEMORY) return no_memory(w->s);
    return !good || chain_add(w->refs, w->s->arena, &ref, sizeof ref) ? MICA_OK : no_memory(w->s);
}

/* ---- a repository -------------------------------------------------------------------------------------------------------------- */

typedef struct repository_walk {
    const scanning *s;
    mica_hub_repository *repository;
    const found_ref *refs; /* [n_refs] */
    size_t n_refs;
    chain *revisions;
} repository_walk;

static mica_status refs_of(const repository_walk *w, mica_hub_revision *r)
{
    const char **names = mica__arena_alloc(w->s->arena, w->n_refs + 1, sizeof *names);
    if (!names) return no_memory(w->s);
    for (size_t i = 0; i < w->n_refs; i++)
        if (strcmp(w->refs[i].commit, r->commit) == 0) names[r->n_refs++] = w->refs[i].name;
    r->refs = names;
    return MICA_OK;
}

static mica_status visit_revision(void *context, const char *folder, const char *name)
{
    const repository_walk *w = context;
    struct stat st;
    chain files = {0};
    mica__cached_revision r = {0};
    if (!mica__hub_is_commit(mica__str_from(name))) return MICA_OK;
    memcpy(r.shown.commit, name, 41);
    if (!(r.shown.path = joined(w->s, folder, name))) return no_memory(w->s);
    if (lstat(r.shown.path, &st) != 0 || !S_ISDIR(st.st_mode)) return MICA_OK;
    r.shown.modified = seconds_of(st.st_mtim);
    MICA_TRY(each(w->s, r.shown.path, visit_file, &(files_walk){w->s, "", 0, &files}));
    MICA_TRY(refs_of(w, &r.shown));
    r.files = chain_array(&files, w->s->arena, sizeof *r.files);
    if (!r.files) return no_memory(w->s);
    r.n_files = r.shown.n_files = files.n;
    for (size_t i = 0; i < r.n_files; i++) r.shown.bytes += r.files[i].size;
    return chain_add(w->revisions, w->s->arena, &r, sizeof r) ? MICA_OK : no_memory(w->s);
}

static mica_status visit_blob(void *context, const char *folder, const char *name)
{
    const repository_walk *w = context;
    struct stat st;
    const char *full = joined(w->s, folder, name);
    if (!full) return no_memory(w->s);
    if (lstat(full, &st) != 0 || !S_ISREG(st.st_mode)) return MICA_OK;
    mica_hub_repository *r = w->repository;
    if (mica__str_ends(mica__str_from(name), ".incomplete")) r->partial_bytes += (uint64_t)st.st_blocks * 512;
    if (seconds_of(st.st_atim) > r->accessed) r->accessed = seconds_of(st.st_atim);
    if (seconds_of(st.st_mtim) > r->modified) r->modified = seconds_of(st.st_mtim);
    return MICA_OK;
}

/* Counts every blob once, and files that are no links. */
static mica_status count_files(const scanning *s, mica__cached_repository *r)
{
    mica__map seen = {0};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < r->shown->n_revisions && status == MICA_OK; i++)
        for (size_t k = 0; k < r->revisions[i].n_files && status == MICA_OK; k++) {
            const mica__cached_file *f = &r->revisions[i].files[k];
            bool existing = false;
            if (f->blob && !mica__map_add(&seen, mica__str_from(f->blob), 0, &existing)) status = no_memory(s);
            if (existing || f->missing) continue;
            r->shown->n_files++;
            r->shown->bytes += f->size;
        }
    mica__map_release(&seen);
    return status;
}

static int by_commit(const void *a, const void *b)
{
    return strcmp(((const mica__cached_revision *)a)->shown.commit, ((const mica__cached_revision *)b)->shown.commit);
}

static mica_status scan_repository(const scanning *s, mica__cached_repository *r)
{
    chain refs = {0}, revisions = {0};
    const char *below[3];
    static const char *const names[] = {"refs", "snapshots", "blobs"};
    for (int i = 0; i < 3; i++)
        if (!(below[i] = joined(s, r->shown->path, names[i]))) return no_memory(s);
    MICA_TRY(each(s, below[0], visit_ref, &(refs_walk){s, "", 0, &refs}));
    const found_ref *found = chain_array(&refs, s->arena, sizeof *found);
    if (!found) return no_memory(s);
    repository_walk w = {s, r->shown, found, refs.n, &revisions};
    MICA_TRY(each(s, below[1], visit_revision, &w));
    MICA_TRY(each(s, below[2], visit_blob, &w));
    r->revisions = chain_array(&revisions, s->arena, sizeof *r->revisions);
    mica_hub_revision *shown = mica__arena_alloc(s->arena, revisions.n + 1, sizeof *shown);
    if (!r->revisions || !shown) return no_memory(s);
    qsort(r->revisions, revisions.n, sizeof *r->revisions, by_commit);
    for (size_t i = 0; i < revisions.n; i++) shown[i] = r->revisions[i].shown;
    r->shown->revisions = shown;
    r->shown->n_revisions = revisions.n;
    return count_files(s, r);
}

/* ---- the cache ------------------------------------------------------------------------------------------------------------------ */

typedef struct cache_walk {
    const scanning *s;
    chain *repositories;
} cache_walk;

static mica_status visit_repository(void *context, const char *folder, const char *name)
{
    static const char *const kinds[] = {"model", "dataset", "space", "kernel"};
    const cache_walk *w = context;
    const char *dashes = strstr(name, "s--");
    const char *kind = NULL;
    for (size_t i = 0; i < 4 && dashes; i++)
        if (strlen(kinds[i]) == (size_t)(dashes - name) && strncmp(kinds[i], name, strlen(kinds[i])) == 0)
            kind = kinds[i];
    if (!kind) return MICA_OK;
    mica_hub_repository shown = {.kind = kind, .path = joined(w->s, folder, name)};
    mica__buf id = {0};
    for (const char *c = dashes + 3; *c; c++) {
        const bool separator = c[0] == '-' && c[1] == '-' && c[2];
        mica__buf_append_char(&id, separator ? '/' : *c);
        c += separator;
    }
    shown.id = id.p ? mica__arena_strndup(w->s->arena, id.p, id.n) : NULL;
    const bool good = id.n && mica__utf8_valid(id.p, id.n), failed = id.failed;
    mica__buf_release(&id);
    if (failed || !shown.path || (good && !shown.id)) return no_memory(w->s);
    if (!good || !mica__path_is_dir(shown.path)) return MICA_OK;
    return chain_add(w->repositories, w->s->arena, &shown, sizeof shown) ? MICA_OK : no_memory(w->s);
}

static int by_id(const void *a, const void *b)
{
    const mica_hub_repository *x = a, *y = b;
    const int order = strcmp(x->id, y->id);
    return order ? order : strcmp(x->kind, y->kind);
}

static mica_status scan(scanning *s, const char *folder)
{
    mica__cache *cache = s->cache;
    chain found = {0};
    if (!(cache->shown.path = mica__arena_strndup(s->arena, folder, strlen(folder)))) return no_memory(s);
    MICA_TRY(each(s, folder, visit_repository, &(cache_walk){s, &found}));
    mica_hub_repository *shown = chain_array(&found, s->arena, sizeof *shown);
    cache->repositories = mica__arena_calloc(s->arena, found.n + 1, sizeof *cache->repositories);
    if (!shown || !cache->repositories) return no_memory(s);
    qsort(shown, found.n, sizeof *shown, by_id);
    cache->shown.repositories = shown;
    cache->shown.n_repositories = found.n;
    for (size_t i = 0; i < found.n; i++) {
        cache->repositories[i] = (mica__cached_repository){&shown[i], strrchr(shown[i].path, '/') + 1, NULL};
        MICA_TRY(scan_repository(s, &cache->repositories[i]));
        cache->shown.bytes += shown[i].bytes;
        cache->shown.partial_bytes += shown[i].partial_bytes;
    }
    return MICA_OK;
}

mica_status mica_hub_cache_scan(mica_hub_cache **out, const char *cache_dir, mica_error *err)
{
    char *folder;
    *out = NULL;
    MICA_TRY(mica__hub_cache_folder(&folder, cache_dir, err));
    mica__cache *cache = mica__calloc(1, sizeof *cache);
    mica_status status = MICA_OK;
    if (!cache) {
        status = mica__fail_memory(err, sizeof *cache, "the list of the cache");
    } else {
        status = scan(&(scanning){cache, &cache->arena, err}, folder);
        *out = &cache->shown;
    }
    mica__free(folder);
    if (status != MICA_OK) {
        mica_hub_cache_free(*out);
        *out = NULL;
    }
    return status;
}

void mica_hub_cache_free(mica_hub_cache *shown)
{
    mica__cache *cache = (mica__cache *)shown;
    if (!cache) return;
    mica__arena_release(&cache->arena);
    mica__free(cache);
}
