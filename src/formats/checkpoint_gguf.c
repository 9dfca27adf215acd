/* formats/checkpoint_gguf.c: a GGUF file, or the parts of a split one, as a checkpoint.
 *
 * The parts of a split file are named PREFIX-00001-of-00004.gguf; each is a whole GGUF file, the first holds the metadata. Names of
 * siblings are made from the name that was opened, never from what a file says. */
#include "checkpoint_private.h"
#include "gguf_model.h"

#include <math.h>
#include <stdio.h>

enum { MAX_PARTS = 1000, PART_TAIL = 20 /* "-00001-of-00004.gguf" */ };

/* ---- tensors ------------------------------------------------------------------------------------------------------------- */

typedef struct naming {
    mica__checkpoint *c;
    int file;
    size_t n_extra;
    mica__str first_extra;
} naming;

static mica_status add_named(void *context, const mica__tensor_view *v, mica_error *err)
{
    naming *n = context;
    mica__tensor_view named = *v;
    named.file = n->file;
    return mica__checkpoint_add_tensor(n->c, &named, err);
}

static void count_extra(void *context, const mica__tensor_view *v)
{
    naming *n = context;
    if (n->n_extra++ == 0) n->first_extra = v->name;
}

/* NVFP4's X.weight may have a factor X.scale; X.input_scale is about activations. */
static bool is_companion(mica__str name)
{
    return mica__str_ends(name, ".scale") || mica__str_ends(name, ".input_scale");
}

static mica_status take_companion(const mica__checkpoint *c, mica__tensor_view *v, mica_error *err)
{
    if (v->storage != MICA__STORAGE_NVFP4 || !mica__str_ends(v->name, ".weight")) return MICA_OK;
    const size_t n = v->name.n - strlen("weight");
    for (size_t k = 0; k < c->n_files; k++) {
        const mica__gguf *g = &c->files[k].gguf;
        for (size_t i = 0; i < g->n_tensors; i++) {
            const mica__tensor_view *s = &g->tensors[i];
            if (s->name.n != n + strlen("scale") || memcmp(s->name.p, v->name.p, n) || !is_companion(s->name)) continue;
            if (s->storage != MICA__STORAGE_PLAIN || s->dtype != MICA_DTYPE_F32 || s->n_bytes != sizeof v->factor)
                return mica__fail(err, MICA_UNSUPPORTED, "tensor '%s' is not one float32", MICA_QUOTED_STR(s->name));
            memcpy(&v->factor, s->data, sizeof v->factor);
            if (!isfinite(v->factor) || v->factor == 0)
                return mica__fail(err, MICA_DATA, "tensor '%s' is not a finite factor", MICA_QUOTED_STR(s->name));
            if (v->factor == 1) v->factor = 0;
            return MICA_OK;
        }
    }
    return MICA_OK;
}

static mica_status add_tensors(mica__checkpoint *c, mica_error *err)
{
    const mica__gguf_arch *arch;
    mica__gguf_dims dims;
    size_t n_tensors = 0;
    for (size_t i = 0; i < c->n_files; i++) n_tensors += c->files[i].gguf.n_tensors;
    mica_status status = mica__gguf_arch_of(&c->files[0].gguf, &arch, err);
    /* The tokenizer alone may be of use; config.json says what is wrong with the rest. */
    if (n_tensors == 0 || status == MICA_UNSUPPORTED) return MICA_OK;
    if (status == MICA_OK) status = mica__gguf_dims_of(&c->files[0].gguf, arch, &dims, err);
    naming n = {.c = c};
    const mica__gguf_name_sink sink = {add_named, count_extra, &n};
    for (; status == MICA_OK && n.file < (int)c->n_files; n.file++) {
        const mica__gguf *g = &c->files[n.file].gguf;
        for (size_t i = 0; i < g->n_tensors && status == MICA_OK; i++) {
            mica__tensor_view v = g->tensors[i];
            if (is_companion(v.name)) continue;
            status = take_companion(c, &v, err);
            if (status == MICA_OK) status = mica__gguf_name_tensor(&v, arch, &dims, &c->names, &sink, err);
        }
    }
    if (status != MICA_OK) return mica__fail_prefix(err, status, "%s", c->path);
    if (n.n_extra)
        mica__checkpoint_notice(c, "%s: %zu tensors without a place in the model (%s ...)", c->path, n.n_extra,
                                MICA_QUOTED_STR(n.first_extra));
    return MICA_OK;
}

/* ---- parts --------------------------------------------------------------------------------------------------------------- */

static mica_status add_part(mica__checkpoint *c, const char *path, mica_error *err)
{
    MICA_TRY(mica__checkpoint_add_file(c, path, err));
    mica__checkpoint_file *f = &c->files[c->n_files - 1];
    return mica__gguf_parse(&f->gguf, f->mapping.data, f->mapping.n, f->mapping.path, err);
}

static int64_t int_or(const mica__gguf *g, const char *key, int64_t missing)
{
    mica__gguf_int(mica__gguf_get(g, key), &missing);
    return missing;
}

/* The path of part i (from 0) of n. */
static char *part_path(const char *path, int64_t i, int64_t n)
{
    mica__buf b = {0};
    mica__buf_append(&b, path, strlen(path) - PART_TAIL);
    mica__buf_printf(&b, "-%05d-of-%05d.gguf", (int)i + 1, (int)n);
    return mica__buf_take(&b);
}

/* True if the path has the name of part i of n. */
static bool is_part_path(const char *path, int64_t i, int64_t n)
{
    if (strlen(path) <= PART_TAIL) return false;
    char tail[PART_TAIL + 12];
    snprintf(tail, sizeof tail, "-%05d-of-%05d.gguf", (int)i + 1, (int)n);
    return mica__str_ends(mica__str_from(path), tail);
}

/* NOT_FOUND listing all parts that are missing. */
static mica_status check_parts(const char *path, int64_t n, mica_error *err)
{
    mica__buf missing = {0};
    int n_missing = 0;
    for (int64_t i = 0; i < n; i++) {
        char *part = part_path(path, i, n);
        if (!part) {
            mica__buf_release(&missing);
            return mica__fail_memory(err, strlen(path), "a path");
        }
        const char *slash = strrchr(part, '/');
        if (!mica__path_is_file(part))
            mica__buf_printf(&missing, "%s%s", n_missing++ ? ", " : "", slash ? slash + 1 : part);
        mica__free(part);
    }
    mica_status status = mica__buf_status(&missing, err, "file names");
    if (status == MICA_OK && n_missing)
        status =
            mica__fail(err, MICA_NOT_FOUND, "%s: %d of %d parts missing: %.300s", path, n_missing, (int)n, missing.p);
    mica__buf_release(&missing);
    return status;
}

static mica_status open_parts(mica__checkpoint *c, mica_error *err)
{
    int64_t n = int_or(&c->files[0].gguf, "split.count", 1);
    if (n == 0 || n == 1) return MICA_OK;
    if (n < 0 || n > MAX_PARTS)
        return mica__fail(err, MICA_DATA, "%s: split.count is %lld, limit is %d", c->path, (long long)n, MAX_PARTS);
    if (int_or(&c->files[0].gguf, "split.no", 0) != 0)
        return mica__fail(err, MICA_INVALID, "%s: is not the first part of a split file; give that one", c->path);
    if (!is_part_path(c->path, 0, n))
        return mica__fail(err, MICA_DATA, "%s: is part 1 of %d, but its name does not end in -00001-of-%05d.gguf",
                          c->path, (int)n, (int)n);
    MICA_TRY(check_parts(c->path, n, err));
    size_t n_tensors = c->files[0].gguf.n_tensors;
    for (int64_t i = 1; i < n; i++) {
        char *path = part_path(c->path, i, n);
        mica_status status = path ? add_part(c, path, err) : mica__fail_memory(err, strlen(c->path), "a path");
        mica__free(path);
        if (status != MICA_OK) return status;
        const mica__gguf *g = &c->files[i].gguf;
        int64_t no = int_or(g, "split.no", -1), count = int_or(g, "split.count", -1);
        if (no != i || count != n)
            return mica__fail(err, MICA_DATA, "%s: says it is part %lld of %lld, expected %lld of %lld", g->path,
                              (long long)no + 1, (long long)count, (long long)i + 1, (long long)n);
        n_tensors += g->n_tensors;
    }
    int64_t total = int_or(&c->files[0].gguf, "split.tensors.count", (int64_t)n_tensors);
    if (total != (int64_t)n_tensors)
        return mica__fail(err, MICA_DATA, "%s: split.tensors.count is %lld, the parts hold %zu tensors", c->path,
                          (long long)total, n_tensors);
    return MICA_OK;
}

mica_status mica__checkpoint_open_gguf(mica__checkpoint *c, mica_error *err)
{
    c->format = "gguf";
    if (mica__str_ends(mica__str_from(c->path), ".safetensors"))
        return mica__fail(err, MICA_INVALID, "%s: give the folder that holds this file and its config.json", c->path);
    MICA_TRY(add_part(c, c->path, err));
    MICA_TRY(open_parts(c, err));
    return add_tensors(c, err);
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

mica_status mica__gguf_text(const mica__gguf *g, const char *name, mica__buf *out, mica_error *err)
{
    static const struct {
        const char *name;
        mica_status (*make)(const mica__gguf *g, mica__buf *out, mica_error *err);
    } texts[] = {
        {"config.json", mica__gguf_config},
        {"generation_config.json", mica__gguf_generation_config},
        {"tokenizer.json", mica__gguf_tokenizer},
        {"tokenizer_config.json", mica__gguf_tokenizer_config},
        {"chat_template.jinja", mica__gguf_chat_template},

    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(texts[i].name, name) != 0) continue;
        mica_status status = texts[i].make(g, out, err);
        if (status == MICA_OK) status = mica__buf_status(out, err, name);
        return status == MICA_OK ? MICA_OK : mica__fail_prefix(err, status, "%s", g->path);
    }
    return mica__fail(err, MICA_NOT_FOUND, "%s: a GGUF file has no %s", g->path, name);
}
