/* hub/listing.c: reading and writing listings. */
#include "listing.h"
#include "names.h"

#include <stdlib.h>

static const mica__json_limits limits = {.max_depth = 32, .max_nodes = 4 << 20};

static mica_status no_memory(mica_error *err) { return mica__fail_memory(err, sizeof(mica__hub_file), "a listing"); }

static mica_status refuse_name(mica__str path, mica_error *err)
{
    return mica__fail(err, MICA_DATA, "unsafe file name '%s' in the listing of the repository", MICA_QUOTED_STR(path));
}

static bool is_xet_hash(mica__str s) { return s.n == 64 && mica__hub_is_hash(s); }

static bool size_of(mica__jval v, uint64_t *out)
{
    int64_t n;
    if (!mica__json_int(v, &n) || n < 0) return false;
    *out = (uint64_t)n;
    return true;
}

static bool hash_of(mica__jval v, size_t n_digits, mica__str *out)
{
    return mica__json_string(v, out) && out->n == n_digits && mica__hub_is_hash(*out);
}

/* What both forms of a listing have in common. */
typedef struct fields {
    mica__str path, git_hash, sha256, xet_hash;
    uint64_t size, lfs_size;
} fields;

static mica_status add(mica__listing *l, const fields *f, mica_error *err)
{
    if (!mica__hub_path_is_safe(f->path)) return refuse_name(f->path, err);
    if (l->n == MICA__MAX_LISTED)
        return mica__fail(err, MICA_LIMIT, "the repository has more than %d files", MICA__MAX_LISTED);
    if (l->n == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 64;
        mica__hub_file *files = mica__realloc(l->files, cap, sizeof *files);
        if (!files) return no_memory(err);
        l->files = files;
        l->cap = cap;
    }
    mica__hub_file *out = &l->files[l->n];
    *out = (mica__hub_file){.size = f->size, .lfs_size = f->lfs_size};
    out->path = mica__arena_strndup(&l->arena, f->path.p, f->path.n);
    out->git_hash = mica__arena_strndup(&l->arena, f->git_hash.p, f->git_hash.n);
    out->hash = f->sha256.n ? mica__arena_strndup(&l->arena, f->sha256.p, f->sha256.n) : out->git_hash;
    if (!out->path || !out->git_hash || !out->hash) return no_memory(err);
    if (f->xet_hash.n) {
        if (!is_xet_hash(f->xet_hash)) {
            l->cacheable = false;
        } else if (!(out->xet_hash = mica__arena_strndup(&l->arena, f->xet_hash.p, f->xet_hash.n))) {
            return no_memory(err);
        }
    }
    l->n++;
    return MICA_OK;
}

/* ---- the Hub's form -------------------------------------------------------------------------------------------------- */

static mica_status add_entry(mica__listing *l, mica__jval e, mica_error *err)
{
    fields f = {0};
    mica__str type;
    if (!mica__json_string(mica__json_get(e, "path"), &f.path) || !mica__json_string(mica__json_get(e, "type"), &type))
        return mica__fail(err, MICA_DATA, "the listing of the repository has an entry without a path or type");
    if (!mica__hub_path_is_safe(f.path)) return refuse_name(f.path, err);
    if (!mica__str_is(type, "file")) return MICA_OK;
    const mica__jval lfs = mica__json_get(e, "lfs");
    const bool large = mica__json_is(lfs, MICA__JSON_OBJECT);
    bool good = size_of(mica__json_get(e, "size"), &f.size) && hash_of(mica__json_get(e, "oid"), 40, &f.git_hash);
    if (large) {
        f.lfs_size = f.size;
        const mica__jval named = mica__json_get(lfs, "oid");
        good = good && hash_of(named ? named : mica__json_get(lfs, "sha256"), 64, &f.sha256);
        if (mica__json_get(lfs, "size")) good = good && size_of(mica__json_get(lfs, "size"), &f.lfs_size);
        if (good) f.size = f.lfs_size;
    }
    if (!good)
        return mica__fail(err, MICA_DATA, "the listing of the repository has no size or hash that can be used for '%s'",
                          MICA_QUOTED_STR(f.path));
    mica__json_string(mica__json_get(e, "xetHash"), &f.xet_hash);
    return add(l, &f, err);
}

mica_status mica__listing_add_page(mica__listing *l, const char *text, size_t n, mica_error *err)
{
    mica__json doc;
    if (!l->n) l->cacheable = true;
    const mica_status parsed = mica__json_parse(&doc, text, n, &limits, err);
    if (parsed != MICA_OK) return mica__fail_prefix(err, parsed, "the listing of the repository");
    mica_status status = MICA_OK;
    const mica__jval root = mica__json_root(&doc);
    if (!mica__json_is(root, MICA__JSON_ARRAY))
        status = mica__fail(err, MICA_DATA, "the listing of the repository is not a JSON array");
    for (mica__jval e = mica__json_first(root); e && status == MICA_OK; e = mica__json_next(root, e))
        status = add_entry(l, e, err);
    mica__json_release(&doc);
    return status;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const mica__hub_file *)a)->path, ((const mica__hub_file *)b)->path);
}

mica_status mica__listing_finish(mica__listing *l, mica_error *err)
{
    if (l->n) qsort(l->files, l->n, sizeof *l->files, by_path);
    for (size_t i = 0; i < l->n; i++) {
        const char *path = l->files[i].path;
        bool clash = i && strcmp(l->files[i - 1].path, path) == 0;
        char folder[1100];
        for (const char *slash = path; (slash = strchr(slash, '/')) && !clash; slash++) {
            memcpy(folder, path, (size_t)(slash - path));
            folder[slash - path] = 0;
            clash = mica__listing_find(l, folder);
        }
        if (clash)
            return mica__fail(err, MICA_DATA, "the listing of the repository has '%s' twice, or as a file and a folder",
                              MICA_QUOTED(path, strlen(path)));
    }
    return MICA_OK;
}

void mica__listing_release(mica__listing *l)
{
    mica__free(l->files);
    mica__arena_release(&l->arena);
    *l = (mica__listing){0};
}

const mica__hub_file *mica__listing_find(const mica__listing *l, const char *path)
{
    const mica__hub_file key = {.path = path};
    return l->n ? bsearch(&key, l->files, l->n, sizeof key, by_path) : NULL;
}

/* ---- the cache's form --------------------------------------------------------------------------------------------------- */

mica_status mica__listing_read(mica__listing *l, const char *text, size_t n, mica_error *err)
{
    mica__json doc;
    l->cacheable = true;
    MICA_TRY(mica__json_parse(&doc, text, n, &limits, err));
    const mica__jval root = mica__json_root(&doc), files = mica__json_get(root, "files");
    int64_t version = 0;
    mica_status status = MICA_OK;
    if (!mica__json_int(mica__json_get(root, "format_version"), &version) || version != 1 ||
        !mica__json_is(files, MICA__JSON_OBJECT))
        status = mica__fail(err, MICA_DATA, "not a listing of version 1");
    for (mica__jval m = mica__json_first(files); m && status == MICA_OK; m = mica__json_next(files, m)) {
        const mica__jval v = mica__json_value(m);
        fields f = {.path = mica__json_key(m)};
        const mica__jval sha256 = mica__json_get(v, "lfs_sha256");
        if (!size_of(mica__json_get(v, "size"), &f.size) || !hash_of(mica__json_get(v, "blob_id"), 40, &f.git_hash) ||
            (mica__json_is(sha256, MICA__JSON_STRING) &&
             (!hash_of(sha256, 64, &f.sha256) || !size_of(mica__json_get(v, "lfs_size"), &f.lfs_size)))) {
            status = mica__fail(err, MICA_DATA, "'%s' has no size or hash that can be used", MICA_QUOTED_STR(f.path));
        } else {
            mica__json_string(mica__json_get(v, "xet_hash"), &f.xet_hash);
            status = add(l, &f, err);
        }
    }
    mica__json_release(&doc);
    return status == MICA_OK ? mica__listing_finish(l, err) : status;
}

void mica__listing_write(const mica__listing *l, mica__buf *out)
{
    mica__buf_append_z(out, "{\n \"format_version\": 1,\n \"files\": {");
    for (size_t i = 0; i < l->n; i++) {
        const mica__hub_file *f = &l->files[i];
        mica__buf_append_z(out, i ? ",\n  " : "\n  ");
        mica__json_write_string(out, mica__str_from(f->path), true);
        mica__buf_printf(out, ": {\n   \"size\": %llu,\n   \"blob_id\": \"%s\"", (unsigned long long)f->size,
                         f->git_hash);
        if (f->hash != f->git_hash)
            mica__buf_printf(out, ",\n   \"lfs_sha256\": \"%s\",\n   \"lfs_size\": %llu", f->hash,
                             (unsigned long long)f->lfs_size);
        if (f->xet_hash) mica__buf_printf(out, ",\n   \"xet_hash\": \"%s\"", f->xet_hash);
        mica__buf_append_z(out, "\n  }");
    }
    mica__buf_append_z(out, l->n ? "\n }\n}" : "}\n}");
}

/* ---- other answers --------------------------------------------------------------------------------------------------------- */

mica_status mica__listing_commit(char out[41], const char *text, size_t n, mica_error *err)
{
    mica__json doc;
    mica__str sha = {0};
    const mica_status parsed = mica__json_parse(&doc, text, n, &limits, err);
    if (parsed != MICA_OK) return mica__fail_prefix(err, parsed, "what the server says about the repository");
    const bool good = mica__json_string(mica__json_get(mica__json_root(&doc), "sha"), &sha) && mica__hub_is_commit(sha);
    if (good) {
        memcpy(out, sha.p, 40);
        out[40] = 0;
    }
    mica__json_release(&doc);
    return good ? MICA_OK : mica__fail(err, MICA_DATA, "the server names no commit of the repository");
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

mica_status mica__listing_shards(mica__arena *arena, const char ***names, size_t *n_names, const char *text, size_t n,
                                 mica_error *err)
{
    mica__json doc;
    mica__map seen = {0};
    *names = NULL;
    *n_names = 0;
    MICA_TRY(mica__json_parse(&doc, text, n, NULL, err));
    const mica__jval map = mica__json_get(mica__json_root(&doc), "weight_map");
    mica_status status = MICA_OK;
    if (!mica__json_is(map, MICA__JSON_OBJECT)) status = mica__fail(err, MICA_DATA, "no weight_map in it");
    const char **out = NULL;
    size_t cap = 0;
    for (mica__jval m = mica__json_first(map); m && status == MICA_OK; m = mica__json_next(map, m)) {
        mica__str name = {0};
        bool existing = false;
        if (!mica__json_string(mica__json_value(m), &name) || !mica__hub_path_is_safe(name)) {
            mica__json_string(mica__json_value(m), &name);
            status = mica__fail(err, MICA_DATA, "unsafe file name '%s'", MICA_QUOTED_STR(name));
            break;
        }
        if (!mica__map_add(&seen, name, 0, &existing)) status = no_memory(err);
        if (existing || status != MICA_OK) continue;
        if (*n_names == cap) {
            cap = cap ? cap * 2 : 16;
            const char **longer = mica__realloc(out, cap, sizeof *out);
            if (!longer) {
                status = no_memory(err);
                break;
            }
            out = longer;
        }
        if (!(out[(*n_names)++] = mica__arena_strndup(arena, name.p, name.n))) status = no_memory(err);
    }
    if (status == MICA_OK && *n_names) {
        qsort(out, *n_names, sizeof *out, by_name);
        *names = mica__arena_alloc(arena, *n_names, sizeof **names);
        if (*names)
            memcpy(*names, out, *n_names * sizeof *out);
        else
            status = no_memory(err);
    }
    mica__free(out);
    mica__map_release(&seen);
    mica__json_release(&doc);
    return status;
}
