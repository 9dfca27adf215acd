/* hub/select.c: configuration, tokenizer and one set of weights, by name.
 *
 * Weights are chosen as Transformers does: model.safetensors, else the shards that model.safetensors.index.json names, else the same
 * of pytorch_model.bin; only then every model*.safetensors. */
#include "select.h"
#include "base/file.h"
#include "names.h"
#include "select_gguf.h"

#include <stdio.h>

/* What a model's folder may hold beside weights, in the folder itself. */
static const char *const side_files[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
    "tiktoken.model",
    "processor_config.json",
    "preprocessor_config.json",
    "quantize_config.json",
    "quant_config.json",
    "hf_quant_config.json",
    "adapter_config.json",
    "adapter_model.safetensors",
};
static const char *const tokenizers[] = {"tokenizer.json", "tokenizer.model", "tekken.json",   "vocab.json",
                                         "vocab.txt",      "spiece.model",    "tiktoken.model"};
enum { N_SIDE = sizeof side_files / sizeof side_files[0], N_TOKENIZERS = sizeof tokenizers / sizeof tokenizers[0] };

static const char *const single[] = {"model.safetensors", "pytorch_model.bin"};
static const char *const indexes[] = {"model.safetensors.index.json", "pytorch_model.bin.index.json"};

/* "subfolder/name" */
static const char *below(const mica_hub_options *o, const char *name, char out[1300])
{
    const bool has = o->subfolder && o->subfolder[0];
    snprintf(out, 1300, "%s%s%s", has ? o->subfolder : "", has ? "/" : "", name);
    return out;
}

static bool by_pattern(const mica_hub_options *o) { return o->n_include || o->files == MICA_HUB_FILES_ALL; }

static bool is_side_file(const char *name)
{
    for (size_t i = 0; i < N_SIDE; i++)
        if (strcmp(name, side_files[i]) == 0) return true;
    return mica__hub_matches("additional_chat_templates/*.jinja", name) || mica__hub_matches("*.tiktoken", name);
}

/* The part of path below the subfolder; NULL if it lies elsewhere. */
static const char *inside(const mica_hub_options *o, const char *path)
{
    if (!o->subfolder || !o->subfolder[0]) return path;
    const size_t n = strlen(o->subfolder);
    return strncmp(path, o->subfolder, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

const char *mica__select_index(const mica__listing *l, const mica_hub_options *o)
{
    char path[1300];
    if (by_pattern(o) || o->files == MICA_HUB_FILES_TOKENIZER || mica__wants_gguf(l, o)) return NULL;
    for (size_t i = 0; i < 2; i++) {
        if (mica__listing_find(l, below(o, single[i], path))) return NULL;
        const mica__hub_file *f = mica__listing_find(l, below(o, indexes[i], path));
        if (f) return f->path;
    }
    return NULL;
}

typedef struct chosen {
    const mica__hub_file **files;
    size_t n;
} chosen;

static void choose(chosen *c, const mica_hub_options *o, const mica__hub_file *f)
{
    if (mica__hub_wanted(f->path, NULL, 0, o->exclude, o->n_exclude)) c->files[c->n++] = f;
}

static mica_status choose_shards(chosen *c, const mica__listing *l, const mica_hub_options *o, const char *id,
                                 mica__str index, mica__arena *arena, mica_error *err)
{
    char path[1300];
    const char **names;
    size_t n;
    const char *index_path = mica__select_index(l, o);
    const mica_status status = mica__listing_shards(arena, &names, &n, index.p, index.n, err);
    if (status != MICA_OK) return mica__fail_prefix(err, status, "%s: %s", id, index_path);
    choose(c, o, mica__listing_find(l, index_path));
    for (size_t i = 0; i < n; i++) {
        const mica__hub_file *f = mica__listing_find(l, below(o, names[i], path));
        if (!f)
            return mica__fail(err, MICA_NOT_FOUND, "%s: %s names '%s', which the repository does not have", id,
                              index_path, MICA_QUOTED(names[i], strlen(names[i])));
        if (!is_side_file(names[i])) choose(c, o, f);
    }
    return MICA_OK;
}

static mica_status choose_weights(chosen *c, const mica__listing *l, const mica_hub_options *o, const char *id,
                                  mica__str index, mica__arena *arena, mica_error *err)
{
    char path[1300];
    if (mica__select_index(l, o)) return choose_shards(c, l, o, id, index, arena, err);
    for (size_t i = 0; i < 2; i++) {
        const mica__hub_file *f = mica__listing_find(l, below(o, single[i], path));
        if (!f) continue;
        choose(c, o, f);
        return MICA_OK;
    }
    const size_t before = c->n;
    for (size_t i = 0; i < l->n; i++) {
        const char *name = inside(o, l->files[i].path);
        if (name && !strchr(name, '/') && mica__hub_matches("model*.safetensors", name)) choose(c, o, &l->files[i]);
    }
    if (c->n > before || mica__listing_find(l, below(o, "adapter_model.safetensors", path))) return MICA_OK;
    return mica__fail(err, MICA_NOT_FOUND,
                      "%s has no weights (model.safetensors or pytorch_model.bin) at this revision", id);
}

mica_status mica__select_files(mica__selection *out, const mica__listing *l, const mica_hub_options *o, const char *id,
                               mica__str index, mica__arena *arena, mica_error *err)
{
    char path[1300];
    chosen c = {.files = mica__arena_alloc(arena, 2 * l->n + 1, sizeof *c.files)};
    *out = (mica__selection){.files = c.files};
    if (!c.files) return mica__fail_memory(err, l->n * sizeof *c.files, "a list of files");
    if (mica__wants_gguf(l, o)) {
        out->gguf = true;
        return mica__select_gguf(l, o, id, out->files, &out->n, &out->guessed, err);
    }
    for (size_t i = 0; i < l->n; i++) {
        const char *name = inside(o, l->files[i].path);
        if (!name) continue;
        const bool take =
            by_pattern(o) ? mica__hub_wanted(l->files[i].path, o->include, o->n_include, NULL, 0) : is_side_file(name);
        if (take) choose(&c, o, &l->files[i]);
    }
    if (!by_pattern(o) && o->files == MICA_HUB_FILES_MODEL) {
        if (!mica__listing_find(l, below(o, "config.json", path)))
            return mica__fail(err, MICA_NOT_FOUND, "%s has no config.json at this revision, so it is no model for mica",
                              id);
        MICA_TRY(choose_weights(&c, l, o, id, index, arena, err));
    }
    if (c.n == 0 && (l->n || o->n_include))
        return mica__fail(err, MICA_NOT_FOUND, "%s has no file that is asked for at this revision", id);
    out->n = c.n;
    return MICA_OK;
}

void mica__select_mark_absent(const mica__listing *l, const mica_hub_options *o, const mica__store *s,
                              const char *commit)
{
    char path[1300];
    if (by_pattern(o) || mica__wants_gguf(l, o)) return;
    for (size_t i = 0; i <= N_SIDE; i++) {
        below(o, i < N_SIDE ? side_files[i] : single[0], path);
        if (!mica__listing_find(l, path)) mica__store_mark_absent(s, commit, path);
    }
}

/* ---- without a listing ---------------------------------------------------------------------------------------------------- */

typedef struct local {
    const mica__store *s;
    const char *commit;
    const mica_hub_options *o;
} local;

static mica_status has(const local *at, const char *name, bool *there, mica_error *err)
{
    char path[1300];
    return mica__store_has(at->s, at->commit, below(at->o, name, path), UINT64_MAX, there, err);
}

/* Looks whether all shards of an index in the snapshot are there. */
static mica_status local_shards(const local *at, const char *name, char missing[1100], mica_error *err)
{
    char path[1300], *folder;
    const char **names;
    size_t n = 0;
    mica__arena arena = {0};
    mica__buf text = {0};
    MICA_TRY(mica__store_snapshot(at->s, at->commit, &folder, err));
    char *file = mica__path_join(folder, below(at->o, name, path));
    mica__free(folder);
    if (!file) return mica__fail_memory(err, 256, "a path");
    mica_status status = mica__file_read(&text, file, (size_t)64 << 20, err);
    if (status == MICA_OK && (status = mica__listing_shards(&arena, &names, &n, text.p, text.n, err)) != MICA_OK)
        status = mica__fail_prefix(err, status, "%s", file);
    for (size_t i = 0; i < n && status == MICA_OK && !missing[0]; i++) {
        bool there;
        status = has(at, names[i], &there, err);
        if (status == MICA_OK && !there) snprintf(missing, 1100, "%s", names[i]);
    }
    mica__arena_release(&arena);
    mica__buf_release(&text);
    mica__free(file);
    return status;
}

static mica_status local_weights(const local *at, char missing[1100], mica_error *err)
{
    bool there;
    for (size_t i = 0; i < 2; i++) {
        MICA_TRY(has(at, single[i], &there, err));
        if (there) return MICA_OK;
        MICA_TRY(has(at, indexes[i], &there, err));
        if (there) return local_shards(at, indexes[i], missing, err);
    }
    MICA_TRY(has(at, "adapter_model.safetensors", &there, err));
    if (!there) snprintf(missing, 1100, "model.safetensors");
    return MICA_OK;
}

static mica_status local_tokenizer(const local *at, bool *there, mica_error *err)
{
    char path[1300];
    bool all_absent = true;
    *there = false;
    for (size_t i = 0; i < N_TOKENIZERS && !*there; i++) {
        MICA_TRY(has(at, tokenizers[i], there, err));
        all_absent = all_absent && mica__store_is_absent(at->s, at->commit, below(at->o, tokenizers[i], path));
    }
    *there = *there || all_absent;
    return MICA_OK;
}

mica_status mica__select_local(const mica__store *s, const char *commit, const mica_hub_options *o, bool *sure,
                               char missing[1100], mica_error *err)
{
    const local at = {s, commit, o};
    bool there;
    *sure = false;
    missing[0] = 0;
    if (by_pattern(o)) {
        for (size_t i = 0; i < 2 && !missing[0]; i++) {
            MICA_TRY(has(&at, indexes[i], &there, err));
            if (there && !o->n_include) MICA_TRY(local_shards(&at, indexes[i], missing, err));
        }
        return MICA_OK; /* only a listing knows what "all" is */
    }
    if (o->files == MICA_HUB_FILES_MODEL) {
        MICA_TRY(has(&at, "config.json", &there, err));
        if (!there) snprintf(missing, 1100, "config.json");
        if (there) MICA_TRY(local_weights(&at, missing, err));
        if (missing[0]) return MICA_OK;
    }
    MICA_TRY(local_tokenizer(&at, &there, err));
    if (!there && o->files == MICA_HUB_FILES_TOKENIZER) snprintf(missing, 1100, "tokenizer.json");
    *sure = there;
    return MICA_OK;
}
