/* formats/checkpoint_folder.c: which files of a folder hold its weights.
 *
 * In this order: model.safetensors; the shards that model.safetensors.index.json names; every model*.safetensors; pytorch_model.bin; the
 * shards that pytorch_model.bin.index.json names. None of them: a folder without weights, which still may hold a tokenizer. Names in the index come from outside: a shard must be a plain file name
 * in the folder, and a symbolic link may lead only within the folder or, in a snapshot of the Hugging Face cache, to its blobs. */
#include "checkpoint_private.h"
#include "packed.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* The names that the two kinds of files have. */
static const struct form {
    const char *format, *single, *index, *suffix;
} safetensors_form = {"safetensors", "model.safetensors", "model.safetensors.index.json", ".safetensors"},
  torch_form = {"pytorch", "pytorch_model.bin", "pytorch_model.bin.index.json", ".bin"};
static const size_t MAX_INDEX = (size_t)256 << 20;

/* Sorted file names. */
typedef struct name_list {
    char **names;
    size_t n, cap;
} name_list;

static void name_list_release(name_list *l)
{
    for (size_t i = 0; i < l->n; i++) mica__free(l->names[i]);
    mica__free(l->names);
    *l = (name_list){0};
}

static mica_status name_list_add(name_list *l, mica__str name, mica_error *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        char **names = mica__realloc(l->names, cap, sizeof *names);
        if (!names) return mica__fail_memory(err, cap * sizeof *names, "file names");
        l->names = names;
        l->cap = cap;
    }
    l->names[l->n] = mica__strndup(name.p, name.n);
    if (!l->names[l->n]) return mica__fail_memory(err, name.n, "a file name");
    l->n++;
    return MICA_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool folder_has(const mica__checkpoint *c, const char *name, mica_status *status, mica_error *err)
{
    char *path = mica__path_join(c->path, name);
    if (!path) *status = mica__fail_memory(err, strlen(name), "a path");
    bool found = path && mica__path_is_file(path);
    mica__free(path);
    return found;
}

static mica_status add_tensors(mica__checkpoint *c, const mica__tensor_view *views, size_t n, mica_error *err)
{
    for (size_t i = 0; i < n; i++) {
        mica__tensor_view v = views[i];
        v.file = (int)(c->n_files - 1);
        MICA_TRY(mica__checkpoint_add_tensor(c, &v, err));
    }
    return MICA_OK;
}

/* Maps and parses one file of the folder and adds its tensors. */
static mica_status add_file(mica__checkpoint *c, const struct form *form, const char *name, mica_error *err)
{
    char *path = mica__path_join(c->path, name);
    if (!path) return mica__fail_memory(err, strlen(name), "a path");
    mica_status status = mica__checkpoint_add_file(c, path, err);
    mica__free(path);
    if (status != MICA_OK) return status;
    mica__checkpoint_file *f = &c->files[c->n_files - 1];
    const mica__mapping *m = &f->mapping;
    if (form == &torch_form) {
        MICA_TRY(mica__torch_parse(&f->torch, m->data, m->n, m->path, err));
        return add_tensors(c, f->torch.tensors, f->torch.n_tensors, err);
    }
    MICA_TRY(mica__safetensors_parse(&f->safetensors, m->data, m->n, m->path, err));
    return add_tensors(c, f->safetensors.tensors, f->safetensors.n_tensors, err);
}

/* ---- shards named by an index -------------------------------------------------------------------------------------------- */

/* A plain name: no folder, no drive, nothing hidden, no control characters. */
static bool is_plain_name(mica__str name, const char *suffix)
{
    if (name.n == 0 || name.n > 255 || name.p[0] == '.') return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char ch = (unsigned char)name.p[i];
        if (ch < 0x20 || ch == 0x7f || ch == '/' || ch == '\\' || ch == ':') return false;
    }
    return mica__str_ends(name, suffix);
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

bool mica__checkpoint_leads_inside(const char *folder, const char *path)
{
    char real_folder[PATH_MAX], real_path[PATH_MAX];
    if (!realpath(folder, real_folder) || !realpath(path, real_path)) return false;
    if (is_below(real_path, real_folder)) return true;
    char *revision = strrchr(real_folder, '/');
    if (!revision || revision == real_folder) return false;
    *revision = 0;
    if (!mica__str_ends(mica__str_from(real_folder), "/snapshots")) return false;
    strcpy(real_folder + strlen(real_folder) - strlen("snapshots"), "blobs"); /* shorter than what it replaces */
    return is_below(real_path, real_folder);
}

/* The distinct shards of the weight map, sorted. */
static mica_status list_shards(mica__jval weight_map, const struct form *form, name_list *shards, mica_error *err)
{
    mica__map seen = {0};
    mica_status status = MICA_OK;
    for (mica__jval m = mica__json_first(weight_map); m && status == MICA_OK; m = mica__json_next(weight_map, m)) {
        mica__str shard;
        bool existing = false;
        if (!mica__json_string(mica__json_value(m), &shard))
            status = mica__fail(err, MICA_DATA, "weight_map: shard of '%s' is not a string",
                                MICA_QUOTED_STR(mica__json_key(m)));
        else if (!is_plain_name(shard, form->suffix))
            status = mica__fail(err, MICA_DATA, "weight_map: unsafe shard name '%s'", MICA_QUOTED_STR(shard));
        else if (!mica__map_add(&seen, shard, 0, &existing))
            status = mica__fail_memory(err, shard.n, "shard names");
        else if (!existing)
            status = name_list_add(shards, shard, err);
    }
    mica__map_release(&seen);
    if (status == MICA_OK && shards->n) qsort(shards->names, shards->n, sizeof *shards->names, by_name);
    return status;
}

/* NOT_FOUND listing every shard that is not there, DATA for one that leads elsewhere. Nothing is opened. */
static mica_status check_shards(const mica__checkpoint *c, const name_list *shards, mica_error *err)
{
    mica__buf missing = {0};
    size_t n_missing = 0;
    mica_status status = MICA_OK;
    for (size_t i = 0; i < shards->n && status == MICA_OK; i++) {
        char *path = mica__path_join(c->path, shards->names[i]);
        if (!path) {
            status = mica__fail_memory(err, strlen(shards->names[i]), "a path");
        } else if (!mica__path_is_file(path)) {
            mica__buf_printf(&missing, "%s%s", n_missing++ ? ", " : "", shards->names[i]);
        } else if (!mica__checkpoint_leads_inside(c->path, path)) {
            status =
                mica__fail(err, MICA_DATA, "unsafe shard name '%s': a link that leaves the folder", shards->names[i]);
        }
        mica__free(path);
    }
    if (status == MICA_OK && n_missing) {
        status = mica__buf_status(&missing, err, "shard names");
        if (status == MICA_OK)
            status =
                mica__fail(err, MICA_NOT_FOUND, "%zu of %zu shards missing: %.400s", n_missing, shards->n, missing.p);
    }
    mica__buf_release(&missing);
    return status;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One notice for all tensors that the map does not name. */
static mica_status notice_extra(const mica__checkpoint *c, mica__jval weight_map, size_t n_extra, mica_error *err)
{
    mica__map known = {0};
    bool ok = mica__map_reserve(&known, mica__json_count(weight_map));
    for (mica__jval m = mica__json_first(weight_map); m && ok; m = mica__json_next(weight_map, m))
        ok = mica__map_add(&known, mica__json_key(m), 0, NULL);
    uint32_t unused;
    for (size_t i = 0; ok && i < c->n_tensors; i++) {
        const mica__tensor_view *v = &c->tensors[i];
        if (mica__map_get(&known, v->name, &unused)) continue;
        mica__checkpoint_notice(c, "%s: tensor '%s' (one of %zu) is not in the index", c->files[v->file].mapping.path,
                                MICA_QUOTED_STR(v->name), n_extra);
        break;
    }
    mica__map_release(&known);
    return ok ? MICA_OK : mica__fail_memory(err, mica__json_count(weight_map), "the weight map");
}

/* Every tensor of the map must be in the shard that the map says. */
static mica_status check_map(const mica__checkpoint *c, mica__jval weight_map, mica_error *err)
{
    for (mica__jval m = mica__json_first(weight_map); m; m = mica__json_next(weight_map, m)) {
        mica__str name = mica__json_key(m), shard = {0};
        mica__json_string(mica__json_value(m), &shard);
        const mica__tensor_view *v = mica__checkpoint_tensor(c, name);
        const char *file = v ? base_name(c->files[v->file].mapping.path) : "any shard";
        if (!v || !mica__str_is(shard, file))
            return mica__fail(err, MICA_DATA, "weight_map: tensor '%s' is not in %s%s%s", MICA_QUOTED_STR(name),
                              MICA_QUOTED_STR(shard), v ? " but in " : ", nor in ", file);
    }
    size_t n_extra = c->n_tensors - mica__json_count(weight_map);
    return n_extra ? notice_extra(c, weight_map, n_extra, err) : MICA_OK;
}

/* metadata.total_size is the sum of the tensors; some savers count whole files. Anything else means that shards were mixed. */
static mica_status check_total_size(const mica__checkpoint *c, mica__jval index, mica_error *err)
{
    int64_t total;
    if (!mica__json_int(mica__json_get(mica__json_get(index, "metadata"), "total_size"), &total)) return MICA_OK;
    size_t least = mica__checkpoint_tensor_bytes(c), most = 0;
    for (size_t i = 0; i < c->n_files; i++) most += c->files[i].mapping.n;
    if (total >= 0 && (size_t)total >= least && (size_t)total <= most) return MICA_OK;
    return mica__fail(err, MICA_DATA,
                      "total_size is %lld, but the tensors of %s ... %s take %zu bytes; shards of different revisions?",
                      (long long)total, c->n_files ? base_name(c->files[0].mapping.path) : "",
                      c->n_files ? base_name(c->files[c->n_files - 1].mapping.path) : "", least);
}

/* What the index itself says wrong gets its path in front; the shards' own faults name the shard. */
static mica_status open_index(mica__checkpoint *c, const struct form *form, const mica__json *doc, const char *path,
                              mica_error *err)
{
    mica__jval root = mica__json_root(doc), weight_map = mica__json_get(root, "weight_map");
    name_list shards = {0};
    mica_status status = MICA_OK;
    if (!mica__json_is(weight_map, MICA__JSON_OBJECT))
        status = mica__fail(err, MICA_DATA, "weight_map is not an object");
    if (status == MICA_OK) status = list_shards(weight_map, form, &shards, err);
    if (status == MICA_OK) status = check_shards(c, &shards, err);
    if (status != MICA_OK) status = mica__fail_prefix(err, status, "%s", path);
    for (size_t i = 0; i < shards.n && status == MICA_OK; i++) status = add_file(c, form, shards.names[i], err);
    name_list_release(&shards);
    MICA_TRY(status);
    status = check_map(c, weight_map, err);
    /* PyTorch's shards may share storages and hold parts of larger ones: there is no telling what was counted. */
    if (status == MICA_OK && form == &safetensors_form) status = check_total_size(c, root, err);
    return status == MICA_OK ? MICA_OK : mica__fail_prefix(err, status, "%s", path);
}

static mica_status open_sharded(mica__checkpoint *c, const struct form *form, mica_error *err)
{
    char *path = mica__path_join(c->path, form->index);
    if (!path) return mica__fail_memory(err, strlen(form->index), "a path");
    mica__buf text = {.max = MAX_INDEX};
    mica_status status = mica__file_read(&text, path, MAX_INDEX, err);
    if (status == MICA_OK) {
        mica__json doc;
        status = mica__json_parse(&doc, text.p ? text.p : "", text.n, &(mica__json_limits){.unique_keys = true}, err);
        if (status == MICA_OK) {
            status = open_index(c, form, &doc, path, err);
            mica__json_release(&doc);
        } else {
            mica__fail_prefix(err, status, "%s", path);
        }
    }
    mica__free(path);
    mica__buf_release(&text);
    return status;
}

/* ---- without an index ---------------------------------------------------------------------------------------------------- */

/* Names in the folder that start and end as given, sorted. */
static mica_status list_folder(const mica__checkpoint *c, const char *prefix, const char *suffix, name_list *out,
                               mica_error *err)
{
    DIR *dir = opendir(c->path);
    if (!dir) return mica__fail_errno(err, errno, "list", c->path);
    mica_status status = MICA_OK;
    for (struct dirent *e; status == MICA_OK && (e = readdir(dir));) {
        mica__str name = mica__str_from(e->d_name);
        if (mica__str_starts(name, prefix) && mica__str_ends(name, suffix)) status = name_list_add(out, name, err);
    }
    closedir(dir);
    if (out->n) qsort(out->names, out->n, sizeof *out->names, by_name);
    return status;
}

static mica_status open_all(mica__checkpoint *c, mica_error *err)
{
    name_list names = {0};
    mica_status status = list_folder(c, "model", safetensors_form.suffix, &names, err);
    for (size_t i = 0; i < names.n && status == MICA_OK; i++)
        status = add_file(c, &safetensors_form, names.names[i], err);
    name_list_release(&names);
    return status;
}

/* Opens the one file or the shards, if the folder has them. */
static mica_status open_form(mica__checkpoint *c, const struct form *form, mica_error *err)
{
    mica_status status = MICA_OK;
    bool single = folder_has(c, form->single, &status, err);
    bool indexed = !single && folder_has(c, form->index, &status, err);
    MICA_TRY(status);
    return single ? add_file(c, form, form->single, err) : indexed ? open_sharded(c, form, err) : MICA_OK;
}

static mica_status open_files(mica__checkpoint *c, mica_error *err)
{
    c->format = safetensors_form.format;
    MICA_TRY(open_form(c, &safetensors_form, err));
    if (!c->n_files) MICA_TRY(open_all(c, err));
    if (c->n_files) return MICA_OK;
    c->format = torch_form.format;
    MICA_TRY(open_form(c, &torch_form, err));
    if (!c->n_files) c->format = "none";
    return MICA_OK;
}

mica_status mica__checkpoint_open_folder(mica__checkpoint *c, mica_error *err)
{
    MICA_TRY(open_files(c, err));
    return mica__checkpoint_find_packed(c, err);
}
